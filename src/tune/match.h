/* SPDX-License-Identifier: MIT */
/* Whether a device with the shapes that it has now computes what the reference device does. */
#ifndef HSAE_SRC_TUNE_MATCH_H
#define HSAE_SRC_TUNE_MATCH_H

#include "device/device.h"
#include <hsae/model.h>

struct match; /* results of the reference device, and of the device with the shapes that it had */

/* Trains on both devices from the same seed: a few steps of a small model of odd sizes, with a tree that is rebuilt on the way, families,
 * perturbation and ghost gradients. Destroy it also after a failure. */
hsae_status hsae_match_create(struct hsae_device *device, struct match **out);
void hsae_match_destroy(struct match **match);

/* The largest difference between the device's first result and the reference device's, as hsae_match_check gives it; `tensor` (NULL, or
 * room for 64 characters) gets the name of what differs most, "" where nothing does. */
double hsae_match_agreement(const struct match *match, char *tensor);

/* The same steps on the device; *off: the largest difference of any number of the training state from either result, in units of what
 * rounding may do: matches where <= 1. Integers and bits must be equal, else *off is infinite. An error where the device cannot run them.
 */
hsae_status hsae_match_check(struct match *match, double *off);

/* The model that the reference device trained, and some rows of its data. */
const hsae_model *hsae_match_model(const struct match *match);
const float *hsae_match_rows(const struct match *match, uint32_t *count);

/* The largest difference of `count` numbers from those expected, in units of what rounding may do, where that is `tolerance` times the
 * larger of a number and their root mean square; infinite where one is not a number. */
double hsae_floats_off(const float *expected, const float *found, uint64_t count, double tolerance);

#endif
