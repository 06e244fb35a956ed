/* SPDX-License-Identifier: MIT */
#include "forest_slices.h"

#include "base/context.h"
#include <stdlib.h>

static hsae_status append(const struct device_model *device_model, struct forest_slices *slices, const uint32_t *rank)
{
    struct forest_slice *grown = realloc(slices->slice, (slices->count + 1) * sizeof *grown);
    if (!grown)
        return hsae_fail(device_model->context, HSAE_ERROR_MEMORY, "out of memory for %u slices of the forest", slices->count + 1);
    slices->slice = grown;
    grown[slices->count] = (struct forest_slice){.features = 0};
    for (uint32_t l = 0; l < device_model->levels; l++)
        grown[slices->count].rank[l] = rank[l];
    slices->count++;
    return HSAE_OK;
}

/* The features of each level in the tree whose root has rank rank[level]; at every level below, the tree's ranks begin at rank[]. */
static uint32_t span_tree(const struct device_model *device_model, const u32 *tree, uint32_t level, const uint32_t *rank, uint32_t *span)
{
    uint32_t features = 1;
    span[level] = 1;
    for (uint32_t l = level + 1; l < device_model->levels; l++) {
        span[l] = 0;
        for (uint32_t r = rank[l - 1]; r < rank[l - 1] + span[l - 1]; r++)
            span[l] += tree[(size_t)tree[(size_t)r * TREE_WORDS + TREE_AT_RANK] * TREE_WORDS + TREE_CHILD_COUNT];
        features += span[l];
    }
    return features;
}

hsae_status hsae_forest_slices_cut(const struct device_model *device_model, const u32 *tree, uint32_t most, struct forest_slices *slices)
{
    uint32_t rank[HSAE_MAX_LEVELS], span[HSAE_MAX_LEVELS];
    hsae_forest_slices_free(slices);
    for (uint32_t l = 0; l < device_model->levels; l++)
        rank[l] = device_model->first[l];
    hsae_status status = append(device_model, slices, rank);
    for (uint32_t k = 0; k < device_model->shards * device_model->levels && !status; k++) {
        uint32_t shard = k / device_model->levels, level = k % device_model->levels;
        while (!status && rank[level] < device_model->shard_rank[level][shard + 1]) { /* what is left of a level there has no parents */
            uint32_t features = span_tree(device_model, tree, level, rank, span);
            struct forest_slice *slice = &slices->slice[slices->count - 1];
            if (slice->features && slice->features + features > most) {
                status = append(device_model, slices, rank);
                if (status)
                    break;
                slice = &slices->slice[slices->count - 1];
            }
            for (uint32_t l = level; l < device_model->levels; l++) {
                slice->ranks[l] += span[l];
                rank[l] += span[l];
            }
            slice->features += features;
            slices->largest = slice->features > slices->largest ? slice->features : slices->largest;
        }
    }
    if (status)
        hsae_forest_slices_free(slices);
    return status;
}

void hsae_forest_slices_free(struct forest_slices *slices)
{
    free(slices->slice);
    *slices = (struct forest_slices){0};
}
