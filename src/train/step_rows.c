/* SPDX-License-Identifier: MIT */
/* Steps on rows in the caller's memory: a batch at a time, or any number of rows that are gathered into batches. */
#include "crew.h"

#include "base/context.h"
#include "data/dataset.h"
#include "data/rows.h"
#include "data/squares.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static size_t row_bytes(const hsae_trainer *trainer, hsae_dtype dtype)
{
    return trainer->device_model.dim * hsae_dtype_size(dtype);
}

/* The verdicts on a batch, which are counted. ERROR_DATA: a bad row, or none that is kept. */
static hsae_status judge(const hsae_trainer *trainer, const unsigned char *raw, hsae_dtype dtype, enum row_verdict *verdicts,
                         hsae_left_out *left_out)
{
    const struct row_rule rule = hsae_row_rule(&trainer->config);
    uint32_t rows = trainer->device_model.batch, kept = 0;
    for (uint32_t r = 0; r < rows; r++) {
        verdicts[r] = hsae_row_judge(&rule, hsae_row_squares_raw(raw + r * row_bytes(trainer, dtype), dtype, trainer->device_model.dim));
        hsae_left_out_add(left_out, verdicts[r], trainer->step * rows + r);
        if (verdicts[r] == ROW_BAD)
            return hsae_fail(trainer->context, HSAE_ERROR_DATA, "row %" PRIu32 " of the batch has a value that is not finite", r);
        kept += !hsae_row_left_out(verdicts[r]);
    }
    return kept ? HSAE_OK
                : hsae_fail(trainer->context, HSAE_ERROR_DATA,
                            "all %" PRIu32 " rows of the batch are left out: their norms are above norm_limit, %g, or they are not finite",
                            rows, rule.norm_limit);
}

/* The batch to the frame's staging buffer; for each row that is left out the next kept one, after the last row the first kept one. */
static hsae_status stage(const hsae_trainer *trainer, struct frame *frame, const unsigned char *raw, hsae_dtype dtype,
                         const enum row_verdict *verdicts)
{
    size_t bytes = row_bytes(trainer, dtype), next = 0;
    void *staged;
    hsae_status status = hsae_buffer_map(frame->raw, &staged);
    if (status)
        return status;
    while (hsae_row_left_out(verdicts[next]))
        next++;
    for (size_t r = trainer->device_model.batch; r > 0; r--) {
        next = hsae_row_left_out(verdicts[r - 1]) ? next : r - 1;
        memcpy((unsigned char *)staged + (r - 1) * bytes, raw + next * bytes, bytes);
    }
    return hsae_buffer_unmap(frame->raw);
}

static hsae_status step(hsae_trainer *trainer, const unsigned char *raw, hsae_dtype dtype, hsae_step_metrics *metrics)
{
    struct frame *frame = NULL;
    hsae_left_out left_out = trainer->left_out;
    size_t size = trainer->device_model.batch * sizeof(enum row_verdict);
    enum row_verdict *verdicts = malloc(size);
    if (!verdicts)
        return hsae_fail_memory(trainer->context, size, NULL, "the verdicts on %" PRIu32 " rows", trainer->device_model.batch);
    hsae_status status = judge(trainer, raw, dtype, verdicts, &left_out);
    if (!status)
        status = hsae_step_set_dtype(trainer, dtype);
    if (!status)
        status = hsae_frame_next(trainer, &frame);
    hsae_dataset_close(&trainer->data);
    if (!status)
        status = stage(trainer, frame, raw, dtype, verdicts);
    free(verdicts);
    if (!status)
        status = hsae_frame_launch(trainer, frame);
    if (!status)
        trainer->left_out = left_out;
    if (!status && metrics) {
        status = hsae_step_drain(trainer, 0);
        if (!status && trainer->crew)
            status = hsae_crew_figures(trainer);
        if (!status)
            hsae_step_figures(trainer, metrics);
    }
    return status;
}

static hsae_status refuse_done(const hsae_trainer *trainer)
{
    return trainer->step < trainer->config.steps
               ? HSAE_OK
               : hsae_fail(trainer->context, HSAE_ERROR_ARGUMENT, "all %" PRIu64 " steps are done", trainer->config.steps);
}

hsae_status hsae_trainer_step(hsae_trainer *trainer, const float *raw, hsae_step_metrics *metrics)
{
    HSAE_REQUIRE(trainer ? trainer->context : NULL, trainer, raw);
    hsae_status status = refuse_done(trainer);
    return status ? status : step(trainer, (const unsigned char *)raw, HSAE_DTYPE_F32, metrics);
}

/* Room for a batch of `dtype`. */
static hsae_status gather_as(hsae_trainer *trainer, hsae_dtype dtype)
{
    static const char *const names[] = {"float32", "float16", "bfloat16"};
    if (trainer->gathered.count && trainer->gathered.dtype != dtype)
        return hsae_fail(trainer->context, HSAE_ERROR_ARGUMENT,
                         "%" PRIu32 " rows of %s wait for their batch: give rows of one type until it is full", trainer->gathered.count,
                         names[trainer->gathered.dtype]);
    if (trainer->gathered.rows && trainer->gathered.dtype == dtype)
        return HSAE_OK;
    size_t bytes = trainer->device_model.batch * row_bytes(trainer, dtype);
    free(trainer->gathered.rows);
    trainer->gathered.rows = malloc(bytes);
    trainer->gathered.dtype = dtype;
    return trainer->gathered.rows
               ? HSAE_OK
               : hsae_fail_memory(trainer->context, bytes, "a smaller batch", "a batch of %" PRIu32 " rows", trainer->device_model.batch);
}

/* Takes the rows of the next batch from `raw`, as far as there are `left`: *taken, and a step if they fill it. */
static hsae_status take(hsae_trainer *trainer, const unsigned char *raw, hsae_dtype dtype, uint64_t left, uint64_t *taken,
                        hsae_step_metrics *metrics)
{
    uint32_t batch = trainer->device_model.batch, have = trainer->gathered.count;
    size_t bytes = row_bytes(trainer, dtype);
    *taken = left < batch - have ? left : batch - have;
    if (*taken == batch)
        return step(trainer, raw, dtype, metrics);
    hsae_status status = gather_as(trainer, dtype);
    if (status)
        return status;
    memcpy(trainer->gathered.rows + have * bytes, raw, (size_t)*taken * bytes);
    trainer->gathered.count += (uint32_t)*taken;
    if (trainer->gathered.count < batch)
        return HSAE_OK;
    trainer->gathered.count = 0;
    return step(trainer, trainer->gathered.rows, dtype, metrics);
}

hsae_status hsae_trainer_step_rows(hsae_trainer *trainer, const void *raw, hsae_dtype dtype, uint64_t count, uint64_t *used,
                                   hsae_step_metrics *metrics)
{
    HSAE_REQUIRE(trainer ? trainer->context : NULL, trainer, raw);
    const uint32_t batch = trainer->device_model.batch;
    uint64_t done = 0, taken;
    if (used)
        *used = 0;
    if (metrics)
        memset(metrics, 0, sizeof *metrics);
    if (!hsae_is_dtype(dtype))
        return hsae_fail_dtype(trainer->context, "hsae_trainer_step_rows", dtype);
    hsae_status status = refuse_done(trainer);
    if (!status && trainer->gathered.count)
        status = gather_as(trainer, dtype);
    while (!status && done < count && trainer->step < trainer->config.steps) {
        uint64_t full = (trainer->gathered.count + (count - done)) / batch, steps = trainer->config.steps - trainer->step;
        bool last = full == 1 || steps == 1;
        status = take(trainer, (const unsigned char *)raw + done * row_bytes(trainer, dtype), dtype, count - done, &taken,
                      last ? metrics : NULL);
        done += status ? 0 : taken;
    }
    if (status)
        trainer->gathered.count = 0;
    if (used)
        *used = done;
    return status;
}

uint32_t hsae_trainer_gathered(const hsae_trainer *trainer)
{
    return trainer ? trainer->gathered.count : 0;
}
