/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "base/context.h"
#include "model/model.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of a tensor that are so close together are read at once, with what is between them. */
static const uint64_t SPAN_BYTES = UINT64_C(256) << 10;

struct check_block {
    struct check_block *next;
    max_align_t bytes[];
};

void *hsae_check_alloc(struct check *check, uint64_t count, size_t size)
{
    struct check_block *block = count < SIZE_MAX / 2 / size ? calloc(1, sizeof *block + (size_t)count * size) : NULL;
    if (!block) {
        hsae_fail_memory(check->trainer->context, count * size, "a smaller batch", "the check of a step");
        return NULL;
    }
    block->next = check->blocks;
    check->blocks = block;
    return block->bytes;
}

void hsae_check_free(struct check **check_pointer)
{
    struct check *check = *check_pointer;
    if (!check)
        return;
    for (struct check_block *block = check->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(check);
    *check_pointer = NULL;
}

hsae_status hsae_check_fail(const struct check *check, const char *kernel, const char *format, ...)
{
    char what[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(check->failure, CHECK_FAILURE_BYTES, "in step %" PRIu64 " of this run %s is wrong: %s", check->frame->step, kernel, what);
    return HSAE_ERROR_DRIVER;
}

hsae_status hsae_check_off(const struct check *check, const char *kernel, const char *what, double found, struct estimate wanted)
{
    return hsae_check_fail(check, kernel, "%s is %.7g, not %.7g, and rounding may make %.2g of difference", what, found, wanted.value,
                           wanted.off + bound_ulps(1, wanted.value));
}

/* Several sums, so that one needn't wait for the other. */
double hsae_check_dot(const f32 *a, const f32 *b, u32 count)
{
    enum { LANES = 8 };
    double sums[LANES] = {0}, sum = 0;
    u32 whole = count / LANES * LANES;
    for (u32 k = 0; k < whole; k += LANES)
        for (u32 lane = 0; lane < LANES; lane++)
            sums[lane] += (double)a[k + lane] * b[k + lane];
    for (u32 k = whole; k < count; k++)
        sum += (double)a[k] * b[k];
    for (u32 lane = 0; lane < LANES; lane++)
        sum += sums[lane];
    return sum;
}

double hsae_check_normalise(const hsae_model *model, const float *raw, f32 *x)
{
    for (uint32_t c = 0; c < model->dim; c++)
        x[c] = (raw[c] - model->mean[c]) * model->scale;
    return sqrt(hsae_check_dot(x, x, model->dim));
}

struct estimate hsae_check_preactivation(const f32 *encoder, double bias, const f32 *x, u32 dim, double scale)
{
    return (struct estimate){bias + hsae_check_dot(encoder, x, dim), bound_sum(dim + 1, scale + fabs(bias)) + bound_ulps(4, scale)};
}

/* ---- reading ---- */

hsae_status hsae_check_words(struct check *check, struct hsae_buffer *buffer, uint64_t first, uint64_t words, void *out)
{
    u32 **place = out;
    *place = hsae_check_alloc(check, words, sizeof **place);
    if (!*place)
        return HSAE_ERROR_MEMORY;
    return words ? hsae_buffer_read(buffer, first * sizeof **place, words * sizeof **place, *place) : HSAE_OK;
}

hsae_status hsae_check_part(struct check *check, struct check_words *list, uint64_t first, uint64_t words, void *out)
{
    u32 **place = out;
    if (list->words * sizeof(u32) > CHECK_BLOCK_BYTES)
        return hsae_check_words(check, list->buffer, first, words, out);
    hsae_status status = list->all ? HSAE_OK : hsae_check_words(check, list->buffer, 0, list->words, &list->all);
    *place = status ? NULL : list->all + first;
    return status;
}

void hsae_check_open_lists(struct check *check)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const uint64_t pairs = check->starts[device_model->features];
    check->pairs = (struct check_words){device_model->pairs, 2 * pairs, NULL};
    check->samples = (struct check_words){device_model->samples, 2 * pairs, NULL};
    check->positions = (struct check_words){device_model->positions, pairs, NULL};
}

/* From a tensor or, where that is NULL, a plain buffer. */
static hsae_status gather(struct check *check, const struct ranged *tensor, struct hsae_buffer *plain, const u32 *rows, u32 count, f32 *out)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const size_t line = device_model->dim;
    uint64_t span = SPAN_BYTES / (device_model->stride * sizeof(f32));
    span = span ? span : 1;
    f32 *buffer = malloc(span * line * sizeof *buffer);
    hsae_status status =
        buffer ? HSAE_OK : hsae_fail_memory(check->trainer->context, span * line * sizeof *buffer, NULL, "rows of the check of a step");
    for (u32 k = 0, end; k < count && !status; k = end) {
        for (end = k + 1; end < count && rows[end] - rows[k] < span;)
            end++;
        const u32 length = rows[end - 1] - rows[k] + 1;
        status = tensor ? hsae_ranged_read(device_model, tensor, rows[k], length, buffer)
                        : hsae_rows_read(device_model, plain, rows[k], length, buffer);
        for (u32 r = k; r < end && !status; r++)
            memcpy(out + r * line, buffer + (rows[r] - rows[k]) * line, line * sizeof *out);
    }
    free(buffer);
    return status;
}

hsae_status hsae_check_rows(struct check *check, const struct ranged *tensor, const u32 *rows, u32 count, f32 *out)
{
    return gather(check, tensor, NULL, rows, count, out);
}

hsae_status hsae_check_buffer_rows(struct check *check, struct hsae_buffer *buffer, const u32 *rows, u32 count, f32 *out)
{
    return gather(check, NULL, buffer, rows, count, out);
}

hsae_status hsae_check_tensor(struct check *check, const struct ranged *tensor, const u32 *decoder_rows, f32 **out)
{
    const u32 count = check->feature_count;
    const size_t dim = check->trainer->device_model.dim;
    u32 *rows = hsae_check_alloc(check, count, sizeof *rows);
    *out = hsae_check_alloc(check, count * dim, sizeof **out);
    if (!rows || !*out)
        return HSAE_ERROR_MEMORY;
    for (u32 k = 0; k < count; k++)
        rows[k] = decoder_rows ? decoder_rows[check->features[k].index] : check->features[k].index;
    /* Runs of ascending rows: places are in any order. */
    hsae_status status = HSAE_OK;
    for (u32 k = 0, end; k < count && !status; k = end) {
        for (end = k + 1; end < count && rows[end] > rows[end - 1];)
            end++;
        status = hsae_check_rows(check, tensor, rows + k, end - k, *out + k * dim);
    }
    return status;
}
