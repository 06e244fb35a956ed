/* SPDX-License-Identifier: MIT */
/* The check of a session's batch: whether the device encodes and decodes real rows, at their own sizes, as the reference does.
 *
 * As the check of a training step (train/check.h) it computes a sample anew on the host, in double, and compares within what rounding may
 * do: a few rows against all features, and a few features of each level against all rows. */
#ifndef HSAE_SRC_SESSION_CHECK_H
#define HSAE_SRC_SESSION_CHECK_H

#include "train/device_model.h"

/* What a batch was made of, and what the device made of it. */
struct batch_check {
    const hsae_model *model;
    const struct device_model *device_model;
    const float *raw; /* [rows, d] */
    uint32_t rows;
    const u32 *starts, *samples; /* as in struct hsae_session */
};

/* The lists of active features. ERROR_DRIVER: they are wrong. */
hsae_status hsae_check_encoded(const struct batch_check *check);
/* The squared lengths of the residuals, found [levels][B], of rows that are kept. */
hsae_status hsae_check_squares(const struct batch_check *check, const bool *keep, const double *found);
/* The reconstructions from the lists of one level, found [rows, d], in normalised units. */
hsae_status hsae_check_decoded(const struct batch_check *check, uint32_t level, const float *found);

#endif
