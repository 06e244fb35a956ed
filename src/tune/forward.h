/* SPDX-License-Identifier: MIT */
/* Whether a device does with a finished model what the reference device does: encode, decode, evaluate. */
#ifndef HSAE_SRC_TUNE_FORWARD_H
#define HSAE_SRC_TUNE_FORWARD_H

#include "device/device.h"
#include <hsae/model.h>

/* Runs `count` rows of the model's width through sessions on both devices, in several batches; rows that have a feature within rounding of
 * its threshold are left out. *off: the largest difference, in units of what rounding may do: agrees where <= 1. Features must be the same,
 * else it is infinite. `what` (room for 64 characters) gets the name of what differs most. ERROR_FILE where a data set cannot be written to
 * $TMPDIR. */
hsae_status hsae_forward_agreement(struct hsae_device *device, const hsae_model *model, const float *rows, uint32_t count, double *off,
                                   char *what);

#endif
