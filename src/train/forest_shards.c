/* SPDX-License-Identifier: MIT */
#include "forest_shards.h"

#include "base/context.h"
#include <inttypes.h>
#include <stdlib.h>

struct tree_size {
    uint32_t root, features;
};

static int largest_first(const void *a, const void *b)
{
    const struct tree_size *x = a, *y = b;
    if (x->features != y->features)
        return x->features > y->features ? -1 : 1;
    return (x->root > y->root) - (x->root < y->root);
}

/* The parent of the feature `i` of level `l` among all features; the feature itself where it is a root. */
static uint32_t parent_of(const uint32_t *first, int32_t *const *parents, uint32_t l, uint32_t i)
{
    int32_t parent = l && parents ? parents[l][i - first[l]] : -1;
    return parent < 0 ? i : first[l - 1] + (uint32_t)parent;
}

/* Each tree, with its features counted; `trees` has all features at first. Returns how many there are. */
static uint32_t count_trees(uint32_t levels, const uint32_t *first, int32_t *const *parents, struct tree_size *trees)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < first[levels]; i++)
        trees[i] = (struct tree_size){i, 1};
    for (uint32_t l = levels; l--;)
        for (uint32_t i = first[l]; i < first[l + 1]; i++) {
            uint32_t parent = parent_of(first, parents, l, i);
            if (parent != i) {
                trees[parent].features += trees[i].features;
                trees[i].features = 0;
            }
        }
    for (uint32_t i = 0; i < first[levels]; i++)
        if (trees[i].features)
            trees[count++] = trees[i];
    return count;
}

hsae_status hsae_forest_shards(const hsae_context *context, uint32_t levels, const uint32_t *first, uint32_t shards,
                               int32_t *const *parents, uint16_t *shard)
{
    struct tree_size *trees = malloc(first[levels] * sizeof *trees);
    uint32_t features[HSAE_MAX_SHARDS] = {0};
    if (!trees)
        return hsae_fail_memory(context, first[levels] * sizeof *trees, "smaller levels", "the trees of %" PRIu32 " features",
                                first[levels]);
    uint32_t count = count_trees(levels, first, parents, trees);
    qsort(trees, count, sizeof *trees, largest_first);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t least = 0;
        for (uint32_t s = 1; s < shards; s++)
            least = features[s] < features[least] ? s : least;
        shard[trees[k].root] = (uint16_t)least;
        features[least] += trees[k].features;
    }
    for (uint32_t l = 1; l < levels; l++)
        for (uint32_t i = first[l]; i < first[l + 1]; i++)
            shard[i] = shard[parent_of(first, parents, l, i)];
    free(trees);
    return HSAE_OK;
}
