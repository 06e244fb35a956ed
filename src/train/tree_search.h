/* SPDX-License-Identifier: MIT */
/* The search for parents: which feature of the level above is most similar to each. */
#ifndef HSAE_SRC_TREE_SEARCH_H
#define HSAE_SRC_TREE_SEARCH_H

#include "device_model.h"

/* New parents of every level but the first, to parents[1] .. [levels - 1], from the parameters (or, for co-activation, inclusion and
 * part, the activity history, which has so many samples) in the device model, by config's tree, similarity and exclude. The flags must tell
 * which row of D each feature has. check: the host looks for the best parents of a few features, too; ERROR_DRIVER where it finds others.
 */
hsae_status hsae_hierarchy_link(const struct device_model *device_model, const hsae_config *config, uint64_t samples, bool check,
                                int32_t *const *parents);

#endif
