/* SPDX-License-Identifier: MIT */
/* The keys that may change when a run is gone on with, and those that may not. */
#include "support.h"

static hsae_status set(void *user, hsae_config *config)
{
    const char *const *pair = user;
    return hsae_config_set(context, config, pair[0], pair[1]);
}

static hsae_status override(const hsae_config *run, const char *key, const char *text, hsae_config *out)
{
    const char *pair[2] = {key, text};
    return hsae_config_override(context, run, 12, set, pair, out);
}

static void test_override(void **state)
{
    (void)state;
    hsae_config run, out;
    hsae_config_defaults(&run);
    assert_ok(hsae_config_set(context, &run, "levels", "8,16"));
    assert_ok(hsae_config_set(context, &run, "target_l0", "2"));
    assert_ok(hsae_config_set(context, &run, "steps", "1000"));
    assert_ok(hsae_config_override(context, &run, 12, NULL, NULL, &out));
    assert_ok(hsae_config_resolve(context, &run, 12));
    assert_memory_equal(&run, &out, sizeof run);
    assert_ok(override(&run, "steps", "2000", &out));
    assert_true(out.steps == 2000 && out.hierarchy_period == run.hierarchy_period); /* which a run of 2000 steps would not have */
    assert_ok(override(&run, "lr", "0", &out));                                     /* automatic is what it was */
    assert_true(out.lr == run.lr);
    assert_ok(override(&run, "target_l0", "3", &out));
    assert_ok(override(&run, "rho", "0.5", &out));
    assert_ok(override(&run, "perturb", "0.5", &out));
    assert_true(out.perturb == 0.5 && out.rho == run.rho);
    assert_ok(override(&run, "seed", "0", &out)); /* the same is no change */
    const char *const others[][2] = {{"seed", "1"}, {"levels", "8,17"}, {"batch", "3"}, {"order", "sequential"}, {"hierarchy_period", "9"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_fails(override(&run, others[i][0], others[i][1], &out), HSAE_ERROR_CONFIG,
                     "only steps, lr, target_l0, rho, perturb and skip_bad_rows", others[i][0], NULL);
    assert_fails(override(&run, "steps", "0", &out), HSAE_ERROR_CONFIG, "steps", NULL);
    assert_true(out.perturb == run.perturb && out.steps == run.steps); /* as the last success left it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_override)};
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
