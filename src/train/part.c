/* SPDX-License-Identifier: MIT */
#include "part.h"

#include "base/context.h"
#include "forest_shards.h"
#include <inttypes.h>
#include <stdlib.h>

/* A part with so many times the mean is worth a line. */
static const double UNEVEN = 1.1;

/* Places for `features` of them. */
static hsae_status alloc_own(const hsae_context *context, uint32_t features, struct part *part)
{
    part->number = malloc(features * sizeof *part->number);
    part->shard = malloc(features * sizeof *part->shard);
    if (part->number && part->shard)
        return HSAE_OK;
    return hsae_fail_memory(context, features * (sizeof *part->number + sizeof *part->shard), "smaller levels",
                            "the numbers of %" PRIu32 " features", features);
}

hsae_status hsae_part_create(const hsae_context *context, const hsae_config *config, int32_t *const *parents, uint32_t ranks, uint32_t rank,
                             struct part *part)
{
    const uint32_t levels = config->level_count, shards = config->shards / ranks;
    *part = (struct part){.ranks = ranks, .rank = rank, .shards = shards};
    for (uint32_t l = 0; l < levels; l++)
        part->first[l + 1] = part->first[l] + config->levels[l];
    const uint32_t features = part->first[levels];
    part->owner = malloc(features * sizeof *part->owner); /* the shard of each, at first */
    if (!part->owner)
        return hsae_fail_memory(context, features * sizeof *part->owner, "smaller levels", "the owners of %" PRIu32 " features", features);
    hsae_status status = hsae_forest_shards(context, levels, part->first, config->shards, parents, part->owner);
    uint32_t held[HSAE_MAX_SHARDS] = {0}, most = 0;
    for (uint32_t i = 0; i < features && !status; i++)
        held[part->owner[i] / shards]++;
    for (uint32_t r = 0; r < ranks && !status; r++) {
        most = held[r] > most ? held[r] : most;
        if (!held[r] && rank) /* the first device says it */
            status = HSAE_ERROR_CONFIG;
        else if (!held[r])
            status = hsae_fail(context, HSAE_ERROR_CONFIG,
                               "the forest has too few trees for %" PRIu32 " devices: device %" PRIu32
                               " would have no feature; use fewer devices, or a larger first level",
                               ranks, r);
    }
    if (!status)
        status = alloc_own(context, held[rank], part);
    for (uint32_t l = 0, at = 0; l < levels && !status; l++)
        for (uint32_t i = part->first[l]; i < part->first[l + 1]; i++)
            if (part->owner[i] / shards == rank) {
                part->number[at] = i - part->first[l];
                part->shard[at++] = (uint16_t)(part->owner[i] % shards);
                part->own[l]++;
            }
    for (uint32_t i = 0; i < features && !status; i++)
        part->owner[i] = (uint16_t)(part->owner[i] / shards);
    if (!status && rank == 0)
        hsae_log(context, (double)most * ranks > UNEVEN * features ? HSAE_LOG_INFO : HSAE_LOG_DEBUG,
                 "%" PRIu32 " features on %" PRIu32 " devices: the largest part has %.3f times the mean", features, ranks,
                 (double)most * ranks / features);
    return status;
}

void hsae_part_free(struct part *part)
{
    free(part->number);
    free(part->shard);
    free(part->owner);
    *part = (struct part){0};
}

uint32_t hsae_part_below(const struct part *part, uint32_t level, uint64_t end)
{
    uint32_t first = 0;
    for (uint32_t l = 0; l < level; l++)
        first += part->own[l];
    uint32_t low = 0, high = part->own[level];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (part->number[first + middle] < end)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
