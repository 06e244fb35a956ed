/* SPDX-License-Identifier: MIT */
/* Slices of the forest: whole trees that are updated together, so that as few free rows of D are needed as the largest slice has features.
 * Ranks number a tree's features one after the other at every level, so a slice is a run of ranks at each. */
#ifndef HSAE_SRC_FOREST_SLICES_H
#define HSAE_SRC_FOREST_SLICES_H

#include "device_model.h"

struct forest_slice {
    uint32_t rank[HSAE_MAX_LEVELS];  /* first of each level */
    uint32_t ranks[HSAE_MAX_LEVELS]; /* how many */
    uint32_t features;               /* of all levels */
};

struct forest_slices {
    struct forest_slice *slice;
    uint32_t count;
    uint32_t largest; /* features of the largest; more than was asked for where one tree is larger */
};

/* Cuts the forest of `tree` (kernels/args.h) into slices of at most `most` features, or of one tree. Replaces *slices. ERROR_MEMORY. */
hsae_status hsae_forest_slices_cut(const struct device_model *device_model, const u32 *tree, uint32_t most, struct forest_slices *slices);
void hsae_forest_slices_free(struct forest_slices *slices);

#endif
