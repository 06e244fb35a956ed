/* SPDX-License-Identifier: MIT */
/* Shards of the forest: which part of the features' sums each feature is in. */
#ifndef HSAE_SRC_FOREST_SHARDS_H
#define HSAE_SRC_FOREST_SHARDS_H

#include <hsae/config.h>

/* The shard of each feature, to shard [N], a function of the forest alone: whole trees, the largest first (of equal ones that with the
 * first root), each to the shard with the fewest features so far (of equal ones the first). Level l has the features first[l] ..
 * first[l + 1] - 1; `parents` as of hsae_device_model_upload_tree. ERROR_MEMORY. */
hsae_status hsae_forest_shards(const hsae_context *context, uint32_t levels, const uint32_t *first, uint32_t shards,
                               int32_t *const *parents, uint16_t *shard);

#endif
