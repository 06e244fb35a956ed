/* SPDX-License-Identifier: MIT */
/* A trainer's matrices on its device, as rows to be read or written. */
#ifndef HSAE_SRC_DEVICE_ROWS_H
#define HSAE_SRC_DEVICE_ROWS_H

#include "trainer.h"

struct device_rows {
    hsae_trainer *trainer;
    bool write;
    u32 *decoder_rows; /* rows of D, of each feature */
};

/* Free rows->decoder_rows, also after a failure. ERROR_MEMORY. */
hsae_status hsae_device_rows_open(hsae_trainer *trainer, bool write, struct device_rows *rows);
/* Rows of the device's own features at .. at + count - 1 of a matrix that has one for each. */
hsae_status hsae_device_rows_copy(const struct device_rows *rows, enum matrix matrix, uint32_t at, uint32_t count, float *values);
/* Rows of a level's record of activity. */
hsae_status hsae_device_rows_history(const struct device_rows *rows, uint32_t level, uint64_t row, uint64_t count, u32 *bits);
/* hsae_device_rows_copy, once. */
hsae_status hsae_trainer_copy_rows(hsae_trainer *trainer, bool write, enum matrix matrix, uint32_t at, uint32_t count, float *values);

#endif
