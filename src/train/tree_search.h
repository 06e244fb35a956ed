/* SPDX-License-Identifier: MIT */
/* The search for parents: which feature of the level above is most similar to each. */
#ifndef HSAE_SRC_TREE_SEARCH_H
#define HSAE_SRC_TREE_SEARCH_H

#include "base/peers.h"
#include "device_model.h"

/* New parents of every level but the first, to parents[1] .. [levels - 1], from the parameters (or, for co-activation, inclusion and
 * part, the activity history, which has so many samples) in the device model, by config's tree, similarity and exclude. The flags must tell
 * which row of D each feature has. With `peers` all devices of a model look together (not by counts), each among its children, and get the
 * same parents; NULL: the device model has all features. check: the host looks for the best parents of a few features, too; ERROR_DRIVER
 * where it finds others.
 */
hsae_status hsae_hierarchy_link(const struct device_model *device_model, const hsae_config *config, struct hsae_peers *peers,
                                uint64_t samples, bool check, int32_t *const *parents);

#endif
