/* SPDX-License-Identifier: MIT */
/* Parts of the forest: whole trees that are updated together, so that as few free rows of D are needed as the largest part has features.
 * Ranks number a tree's features one after the other at every level, so a part is a run of ranks at each. */
#ifndef HSAE_SRC_PARTS_H
#define HSAE_SRC_PARTS_H

#include "device_model.h"

struct part {
    uint32_t rank[HSAE_MAX_LEVELS];  /* first of each level */
    uint32_t ranks[HSAE_MAX_LEVELS]; /* how many */
    uint32_t features;               /* of all levels */
};

struct parts {
    struct part *part;
    uint32_t count;
    uint32_t largest; /* features of the largest; more than was asked for where one tree is larger */
};

/* Cuts the forest of `tree` (kernels/args.h) into parts of at most `most` features, or of one tree. Replaces *parts. ERROR_MEMORY. */
hsae_status hsae_parts_cut(const struct device_model *device_model, const u32 *tree, uint32_t most, struct parts *parts);
void hsae_parts_free(struct parts *parts);

#endif
