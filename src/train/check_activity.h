/* SPDX-License-Identifier: MIT */
/* The check of a batch on which the features' activity is counted for a new tree: whether the history has the features that are active.
 *
 * As the check of a training step (check.h) it computes a sample anew on the host, in double, and compares within what rounding may do: a
 * few rows against all features, and a few features of each level against all rows. */
#ifndef HSAE_SRC_CHECK_ACTIVITY_H
#define HSAE_SRC_CHECK_ACTIVITY_H

#include "device_model.h"

/* The batch `raw` [B, d] and what is in the history's slot. ERROR_DRIVER: it is wrong. */
hsae_status hsae_check_activity(const struct device_model *device_model, const hsae_model *model, const float *raw, u32 slot);

#endif
