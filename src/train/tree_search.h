/* SPDX-License-Identifier: MIT */
/* The search for parents: which feature of the level above is most similar to each. */
#ifndef HSAE_SRC_TREE_SEARCH_H
#define HSAE_SRC_TREE_SEARCH_H

#include "device_model.h"

/* New parents of every level but the first, to parents[1] .. [levels - 1], from the parameters (or, for co-activation and inclusion, the
 * activity history, which has so many samples) in the device model, by config's tree, similarity and exclude. The flags must tell where
 * each decoder row lies. check: the best parents of a few features are looked for on the host, too; ERROR_DRIVER where they are others. */
hsae_status hsae_hierarchy_link(const struct device_model *device_model, const hsae_config *config, uint64_t samples, bool check,
                                int32_t *const *parents);

#endif
