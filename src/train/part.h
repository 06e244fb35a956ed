/* SPDX-License-Identifier: MIT */
/* The features that one of several devices has, which train a model together. Each has the shards of a run of them, so whole trees. Its
 * device model numbers them through for itself, in each level in the order that they have in the model. */
#ifndef HSAE_SRC_PART_H
#define HSAE_SRC_PART_H

#include <hsae/config.h>
#include <stdint.h>

struct part {
    uint32_t ranks, rank;                /* devices, and which of them this one is */
    uint32_t shards;                     /* of this one */
    uint32_t own[HSAE_MAX_LEVELS];       /* features of each level that it has */
    uint32_t *number;                    /* of each of them, level after level: its number in its level of the model */
    uint16_t *shard;                     /* of each of them, from its own first shard on */
    uint32_t first[HSAE_MAX_LEVELS + 1]; /* of the model: first feature of each level; [L] = N */
    uint16_t *owner;                     /* [N] rank of the device that has it */
};

/* `parents` (per level, [0] is not read) decide, with config's shards; NULL: there is no tree. Free *part also after a failure.
 * ERROR_CONFIG where a device would have no feature, ERROR_MEMORY. */
hsae_status hsae_part_create(const hsae_context *context, const hsae_config *config, int32_t *const *parents, uint32_t ranks, uint32_t rank,
                             struct part *part);
void hsae_part_free(struct part *part);
/* The features of `level` with numbers below `end` that the device has. */
uint32_t hsae_part_below(const struct part *part, uint32_t level, uint64_t end);

#endif
