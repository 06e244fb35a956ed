/* SPDX-License-Identifier: MIT */
#include "device_rows.h"

#include "base/context.h"
#include <inttypes.h>
#include <stdlib.h>

static hsae_status copy_ranged(const struct device_rows *rows, const struct ranged *tensor, uint32_t row, uint32_t count, float *values)
{
    const struct device_model *device_model = &rows->trainer->device_model;
    return rows->write ? hsae_ranged_write(device_model, tensor, row, count, values)
                       : hsae_ranged_read(device_model, tensor, row, count, values);
}

/* Rows of D are where `decoder_rows` says; neighbours often side by side. */
static hsae_status copy_decoder(const struct device_rows *rows, uint32_t first, uint32_t count, float *values)
{
    const struct device_model *device_model = &rows->trainer->device_model;
    const u32 *decoder_rows = rows->decoder_rows;
    hsae_status status = HSAE_OK;
    for (uint32_t at = first, end = first + count, run; at < end && !status; at += run) {
        for (run = 1; at + run < end && decoder_rows[at + run] == decoder_rows[at] + run; run++)
            ;
        status = copy_ranged(rows, &device_model->decoder, decoder_rows[at], run, values + (size_t)(at - first) * device_model->dim);
    }
    return status;
}

/* The record of co-activation: [64][n][W] a level in the file, [64][N][W] on the device. */
hsae_status hsae_device_rows_history(const struct device_rows *rows, uint32_t level, uint64_t row, uint64_t count, u32 *bits)
{
    const struct device_model *device_model = &rows->trainer->device_model;
    uint64_t line = (uint64_t)device_model->words * sizeof(u32), features = device_model->first[level + 1] - device_model->first[level];
    hsae_status status = HSAE_OK;
    for (uint64_t end = row + count, run; row < end && !status; row += run, bits += run * device_model->words) {
        uint64_t step = row / features, feature = row % features,
                 offset = (step * device_model->features + device_model->first[level] + feature) * line;
        run = features - feature < end - row ? features - feature : end - row;
        status = rows->write ? hsae_buffer_write(device_model->history, offset, run * line, bits)
                             : hsae_buffer_read(device_model->history, offset, run * line, bits);
    }
    return status;
}

hsae_status hsae_device_rows_copy(const struct device_rows *rows, enum matrix matrix, uint32_t at, uint32_t count, float *values)
{
    const hsae_trainer *trainer = rows->trainer;
    if (matrix == MATRIX_DECODER)
        return copy_decoder(rows, at, count, values);
    const struct ranged *tensor = matrix == MATRIX_ENCODER     ? &trainer->device_model.encoder
                                  : matrix == MATRIX_ENCODER_V ? &trainer->encoder_v
                                                               : &trainer->decoder_v;
    return copy_ranged(rows, tensor, at, count, values);
}

hsae_status hsae_device_rows_open(hsae_trainer *trainer, bool write, struct device_rows *rows)
{
    const uint64_t bytes = trainer->device_model.features * sizeof *rows->decoder_rows;
    *rows = (struct device_rows){trainer, write, malloc(bytes)};
    if (rows->decoder_rows)
        return hsae_buffer_read(trainer->device_model.decoder_rows, 0, bytes, rows->decoder_rows);
    return hsae_fail_memory(trainer->context, bytes, "smaller levels", "the rows of %" PRIu32 " features", trainer->device_model.features);
}

hsae_status hsae_trainer_copy_rows(hsae_trainer *trainer, bool write, enum matrix matrix, uint32_t at, uint32_t count, float *values)
{
    struct device_rows rows = {trainer, write, NULL};
    hsae_status status = matrix == MATRIX_DECODER ? hsae_device_rows_open(trainer, write, &rows) : HSAE_OK;
    if (!status)
        status = hsae_device_rows_copy(&rows, matrix, at, count, values);
    free(rows.decoder_rows);
    return status;
}
