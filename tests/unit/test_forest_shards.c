/* SPDX-License-Identifier: MIT */
/* Which shard each feature is in: whole trees, the largest first. */
#include "support.h"

#include "train/forest_shards.h"

enum { FEATURES = 13 };

/* Levels of 2, 4 and 7 features. Trees: of 6 features with root 0, of 3 with 1, of 2 with 4; 9 and 12 are alone. */
static int32_t second[] = {0, 0, -1, 1}, third[] = {0, 0, 1, -1, 3, 2, -1};
static int32_t *const parents[] = {NULL, second, third};

static const uint32_t first[] = {0, 2, 6, FEATURES};

static void test_whole_trees(void **state)
{
    static const struct {
        uint32_t shards;
        uint16_t shard[FEATURES];
    } cases[] = {
        {1, {0}},
        {2, {0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0}},
        {4, {0, 1, 0, 0, 2, 1, 0, 0, 0, 3, 1, 2, 3}},
        {8, {0, 1, 0, 0, 2, 1, 0, 0, 0, 3, 1, 2, 4}},
    };
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint16_t shard[FEATURES] = {0};
        assert_ok(hsae_forest_shards(context, 3, first, cases[k].shards, parents, shard));
        assert_memory_equal(shard, cases[k].shard, sizeof shard);
    }
}

/* Without a tree: one after the other. */
static void test_no_tree(void **state)
{
    uint16_t shard[FEATURES] = {0};
    (void)state;
    assert_ok(hsae_forest_shards(context, 3, first, 4, NULL, shard));
    for (uint32_t i = 0; i < FEATURES; i++)
        assert_int_equal(shard[i], i % 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole_trees), cmocka_unit_test(test_no_tree)};
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
