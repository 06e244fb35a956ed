/* SPDX-License-Identifier: MIT */
#include "crew.h"

#include "base/context.h"
#include "data/rows.h"
#include "data/squares.h"
#include "forward.h"
#include "launch.h"
#include "order.h"
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Typical values of activations below this would lose bits in arithmetic without subnormal numbers, which devices may have. */
static const double MIN_TYPICAL = 0x1p-100;

enum { READ_ROWS = 1024, BLOCK_BYTES = 1 << 20 };

/* Rows of so many floats that are in host memory at a time. */
static uint32_t block_rows(uint32_t length)
{
    uint32_t rows = (uint32_t)(BLOCK_BYTES / (length * sizeof(float)));
    return rows ? rows : 1;
}

/* Rows first .. first + count - 1 as floats, and the verdict on each. */
static hsae_status read_rows(hsae_context *context, const struct init_source *from, const struct row_rule *rule, uint64_t first,
                             size_t count, float *out, enum row_verdict *verdicts)
{
    if (!from->raw)
        return hsae_judged_read(from->dataset, rule, first, count, out, verdicts);
    memcpy(out, from->raw + first * from->dim, count * from->dim * sizeof *out);
    hsae_rows_judge(rule, out, count, from->dim, verdicts);
    for (size_t r = 0; r < count; r++)
        if (verdicts[r] == ROW_BAD)
            return hsae_fail(context, HSAE_ERROR_DATA, "row %" PRIu64 " of the activations has a value that is not finite", first + r);
    return HSAE_OK;
}

/* What the calibration sample adds up to, over its kept rows. */
struct sums {
    double *mean;            /* [dim] sum of the rows */
    double squares, largest; /* largest: of their values, without sign */
    double *norms;           /* [count] of the rows that are not zero, in any order; NULL: not wanted */
    uint64_t count;
    hsae_left_out left_out;
};

static hsae_status add_up(const hsae_trainer *trainer, const struct init_source *from, const struct row_rule *rule, uint64_t rows,
                          struct sums *sums)
{
    enum row_verdict verdicts[READ_ROWS];
    uint32_t dim = from->dim;
    hsae_status status = HSAE_OK;
    size_t size = (size_t)READ_ROWS * dim * sizeof(float);
    float *block = malloc(size);
    if (!block)
        return hsae_fail_memory(trainer->context, size, NULL, "%d rows of width %" PRIu32, READ_ROWS, dim);
    memset(sums->mean, 0, dim * sizeof *sums->mean);
    sums->squares = sums->largest = 0;
    sums->left_out = (hsae_left_out){0};
    for (uint64_t first = 0; first < rows && !status; first += READ_ROWS) {
        size_t count = rows - first < READ_ROWS ? (size_t)(rows - first) : READ_ROWS;
        status = read_rows(trainer->context, from, rule, first, count, block, verdicts);
        for (size_t r = 0; r < count && !status; r++) {
            const float *row = block + r * dim;
            hsae_left_out_add(&sums->left_out, verdicts[r], first + r);
            if (verdicts[r] != ROW_KEPT)
                continue;
            double norm = sums->norms ? sqrt(hsae_row_squares(row, dim)) : 0;
            if (norm > 0)
                sums->norms[sums->count++] = norm;
            for (uint32_t k = 0; k < dim; k++) {
                double value = row[k];
                sums->mean[k] += value;
                sums->squares += value * value;
                sums->largest = fmax(sums->largest, fabs(value));
            }
        }
    }
    free(block);
    return status;
}

/* The limit of the rows' norms, where the configuration leaves it to the sample; whether one that was given fits the sample. */
static void find_limit(hsae_trainer *trainer, double *norms, uint64_t count)
{
    hsae_config *config = &trainer->config;
    double limit = hsae_norm_limit(config->max_norm, norms, count);
    if (config->norm_limit == 0)
        config->norm_limit = limit;
    else if (limit > 0 && (config->norm_limit < limit / 2 || config->norm_limit > limit * 2))
        hsae_log(trainer->context, HSAE_LOG_WARNING,
                 "norm_limit is %g, but max_norm times the median norm of these rows is %g; norm_limit 0 finds it anew", config->norm_limit,
                 limit);
}

/* The rows that calibration leaves out, where there are some. */
static void say_left_out(const hsae_trainer *trainer, const struct init_source *from, const hsae_left_out *left_out)
{
    char text[1024];
    if (left_out->norm + left_out->bad == 0)
        return;
    hsae_left_out_text(left_out, trainer->config.norm_limit, from->dataset, text, sizeof text);
    hsae_log(trainer->context, HSAE_LOG_WARNING, "calibration: %s; training and evaluation leave such rows out, too%s", text,
             left_out->norm ? "; max_norm 0 keeps them" : "");
}

/* The sums over the kept rows of the sample, and norm_limit. The first pass keeps all rows that are finite; only where some of these are
 * beyond the limit there is a second. */
static hsae_status calibrate(hsae_trainer *trainer, const struct init_source *from, uint64_t rows, struct sums *sums)
{
    struct row_rule finite = {0, trainer->config.skip_bad_rows};
    sums->norms = malloc((size_t)rows * sizeof *sums->norms);
    if (!sums->norms)
        return hsae_fail_memory(trainer->context, rows * sizeof *sums->norms, NULL, "the norms of %" PRIu64 " rows", rows);
    hsae_status status = add_up(trainer, from, &finite, rows, sums);
    if (!status)
        find_limit(trainer, sums->norms, sums->count);
    const struct row_rule rule = hsae_row_rule(&trainer->config);
    bool again = false;
    for (uint64_t r = 0; r < sums->count && !status && rule.norm_limit > 0; r++)
        again |= sums->norms[r] > rule.norm_limit;
    free(sums->norms);
    sums->norms = NULL;
    if (!status && again)
        status = add_up(trainer, from, &rule, rows, sums);
    if (!status)
        say_left_out(trainer, from, &sums->left_out);
    return status;
}

/* Mean of the calibration sample to `mean`, and s so that the mean of |s (raw - mu)|^2 is d (paper, appendix A.1). */
static hsae_status normalise(hsae_trainer *trainer, const struct init_source *from, double *mean)
{
    uint32_t dim = from->dim;
    uint64_t rows = from->rows < HSAE_CALIBRATION_ROWS ? from->rows : HSAE_CALIBRATION_ROWS;
    struct sums sums = {.mean = mean};
    hsae_status status = calibrate(trainer, from, rows, &sums);
    if (status)
        return status;
    uint64_t kept = rows - sums.left_out.norm - sums.left_out.bad;
    double squares = sums.squares / (double)kept;
    for (uint32_t k = 0; k < dim; k++)
        mean[k] /= (double)kept;
    if (trainer->config.center == HSAE_CENTER_MEAN)
        for (uint32_t k = 0; k < dim; k++)
            squares -= mean[k] * mean[k];
    if (!(squares > 0) || !isfinite(squares))
        return hsae_fail(trainer->context, HSAE_ERROR_DATA,
                         "the first %" PRIu64 " activation vectors have no finite, positive variance: they cannot be normalised", rows);
    double typical = sqrt(squares / dim);
    if (typical < MIN_TYPICAL || 1 / typical < FLT_MIN || sums.largest > FLT_MAX / 2)
        return hsae_fail(trainer->context, HSAE_ERROR_DATA,
                         "the first %" PRIu64 " activation vectors have values of %g (root mean square) and up to %g: too %s to be "
                         "normalised in float32; multiply all activations by %s, or make them again",
                         rows, typical, sums.largest, typical < MIN_TYPICAL ? "small" : "large",
                         typical < MIN_TYPICAL ? "2^100" : "2^-100");
    trainer->scale = (float)sqrt(dim / squares);
    for (uint32_t k = 0; k < dim; k++)
        trainer->mean[k] = trainer->config.center == HSAE_CENTER_MEAN ? (float)mean[k] : 0;
    return HSAE_OK;
}

/* Unit rows of normal numbers: Box-Muller on Philox, counter (pair of columns, feature, level, "INIT"), key seed. */
static void random_row(float *row, uint32_t dim, uint64_t seed, uint32_t level, uint32_t feature)
{
    double squares = 0;
    for (uint32_t k = 0; k < dim; k += 2) {
        uint32_t out[4], counter[4] = {k / 2, feature, level, 0x494e4954u};
        hsae_philox(seed, counter, out);
        double u = (out[0] + 0.5) / 4294967296.0, angle = 6.283185307179586477 * out[1] / 4294967296.0, radius = sqrt(-2 * log(u));
        row[k] = (float)(radius * cos(angle));
        squares += (double)row[k] * row[k];
        if (k + 1 < dim) {
            row[k + 1] = (float)(radius * sin(angle));
            squares += (double)row[k + 1] * row[k + 1];
        }
    }
    double inverse = squares > 0 ? 1 / sqrt(squares) : 0;
    for (uint32_t k = 0; k < dim; k++)
        row[k] = (float)(row[k] * inverse);
}

/* Smallest-first order for the selection below. */
static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* k-th largest (from 1) of `count` values; reorders them. Quickselect, the pivot is the middle. */
static float kth_largest(float *values, size_t count, size_t k)
{
    size_t low = 0, high = count - 1, want = count - k;
    while (high - low > 32) {
        float pivot = values[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i >= j)
                break;
            float swap = values[i];
            values[i++] = values[j];
            values[j--] = swap;
        }
        if (want < i)
            high = i - 1;
        else
            low = i;
    }
    qsort(values + low, high - low + 1, sizeof *values, compare_floats);
    return values[want];
}

/* The largest `wanted` of a stream of values. */
struct largest {
    float *values; /* [room] */
    size_t wanted, held, room;
    float least; /* those above it may be among the largest */
};

static hsae_status largest_create(const hsae_trainer *trainer, size_t wanted, struct largest *largest)
{
    size_t room = 2 * wanted + 4096;
    *largest = (struct largest){malloc(room * sizeof(float)), wanted, 0, room, -INFINITY};
    return largest->values ? HSAE_OK
                           : hsae_fail_memory(trainer->context, room * sizeof(float), "a smaller batch or a lower init_l0",
                                              "the %zu largest pre-activations", wanted);
}

/* kth_largest leaves the k largest at the end. */
static void largest_shrink(struct largest *largest)
{
    largest->least = kth_largest(largest->values, largest->held, largest->wanted);
    memmove(largest->values, largest->values + largest->held - largest->wanted, largest->wanted * sizeof *largest->values);
    largest->held = largest->wanted;
}

static void largest_add(struct largest *largest, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (largest->held >= largest->wanted && !(values[i] > largest->least))
            continue;
        if (largest->held == largest->room)
            largest_shrink(largest);
        largest->values[largest->held++] = values[i];
    }
}

/* Both ends of what a launch makes. */
static void look(const hsae_trainer *trainer, uint32_t feature, const float *values)
{
    struct first_looks *looks = trainer->looks;
    if (!looks)
        return;
    uint32_t at = (uint32_t)(looks->count++ % MAX_LOOKS);
    looks->features[at] = feature;
    looks->values[at][0] = values[0];
    looks->values[at][1] = values[trainer->device_model.batch - 1];
}

/* Pre-activations of one level on the loaded batch. `block` holds BLOCK_BYTES, or what one feature needs. */
static hsae_status pre_activations(const hsae_trainer *trainer, uint32_t level, float *block, struct largest *largest)
{
    const struct device_model *device_model = &trainer->device_model;
    hsae_status status = HSAE_OK;
    uint32_t step = block_rows(device_model->padded);
    for (uint32_t at = device_model->first[level], end = device_model->first[level + 1], count; at < end && !status; at += count) {
        uint32_t range_left = device_model->range_rows - at % device_model->range_rows;
        struct hsae_sequence *sequence = NULL;
        count = device_model->chunk < end - at ? device_model->chunk : end - at;
        count = count < range_left ? count : range_left;
        status = hsae_sequence_create(device_model->device, "first pre-activations", false, &sequence);
        if (!status) {
            hsae_record_encode(device_model, sequence, at, count);
            status = hsae_device_model_run_once(device_model, &sequence);
        }
        for (uint32_t first = 0, rows; first < count && !status; first += rows) {
            uint64_t line = device_model->padded * sizeof *block;
            rows = count - first < step ? count - first : step;
            status = hsae_buffer_read(device_model->scratch, first * line, rows * line, block);
            if (!status && first == 0)
                look(trainer, at, block);
            if (!status && first + rows == count)
                look(trainer, at + count - 1, block + (size_t)(rows - 1) * device_model->padded);
            for (uint32_t r = 0; r < rows && !status; r++)
                largest_add(largest, block + (size_t)r * device_model->padded, device_model->batch);
        }
    }
    return status;
}

/* The first kept rows of the calibration data, as many as a batch has, to `out`. */
static hsae_status first_rows(const hsae_trainer *trainer, const struct init_source *from, float *out)
{
    enum row_verdict verdicts[READ_ROWS];
    const struct row_rule rule = hsae_row_rule(&trainer->config);
    uint32_t rows = trainer->device_model.batch, kept = 0;
    hsae_status status = HSAE_OK;
    for (uint64_t first = 0, count; kept < rows && first < from->rows && !status; first += count) {
        float *block = out + (size_t)kept * from->dim;
        count = rows - kept < READ_ROWS ? rows - kept : READ_ROWS;
        count = count < from->rows - first ? count : from->rows - first;
        status = read_rows(trainer->context, from, &rule, first, (size_t)count, block, verdicts);
        for (uint64_t r = 0; r < count && !status; r++)
            if (verdicts[r] == ROW_KEPT)
                memmove(out + (size_t)kept++ * from->dim, block + r * from->dim, from->dim * sizeof *out);
    }
    if (!status && kept < rows)
        status = hsae_fail(trainer->context, HSAE_ERROR_DATA,
                           "only %" PRIu32 " of %" PRIu64 " rows are not left out (norm_limit %g): fewer than a batch of %" PRIu32
                           "; lower batch, raise max_norm, or give more data",
                           kept, from->rows, trainer->config.norm_limit, rows);
    return status;
}

/* The first batch of the calibration data in place of a raw batch. */
static hsae_status load_batch(hsae_trainer *trainer, const struct init_source *from)
{
    const struct device_model *device_model = &trainer->device_model;
    struct hsae_sequence *sequence = NULL;
    struct hsae_buffer *raw = NULL;
    uint64_t size = (uint64_t)device_model->batch * device_model->dim * sizeof(float);
    float *block = malloc(size);
    if (!block)
        return hsae_fail_memory(trainer->context, size, "a smaller batch", "a batch of %" PRIu32 " rows", device_model->batch);
    hsae_status status = from ? first_rows(trainer, from, block) : HSAE_OK;
    if (!status)
        status = hsae_crew_share(trainer, block, size);
    if (!status)
        status = hsae_buffer_create(device_model->device, "first batch", size, HSAE_BUFFER_STAGING, &raw);
    if (!status)
        status = hsae_buffer_write(raw, 0, size, block);
    if (!status)
        status = hsae_sequence_create(device_model->device, "first batch", false, &sequence);
    if (!status) {
        hsae_record_load(device_model, sequence, raw, FORMAT_F32, trainer->scale, true);
        status = hsae_device_model_run_once(device_model, &sequence);
    }
    hsae_buffer_destroy(&raw);
    free(block);
    return status;
}

/* The `wanted` largest of all devices in place of this one's. */
static hsae_status largest_of_all(hsae_trainer *trainer, struct largest *largest)
{
    const uint32_t ranks = trainer->crew->part.ranks;
    const size_t bytes = largest->wanted * sizeof *largest->values;
    float *all = malloc(ranks * bytes);
    if (!all)
        return hsae_fail_memory(trainer->context, ranks * bytes, "a smaller batch or a lower init_l0", "the largest pre-activations");
    if (largest->held > largest->wanted)
        largest_shrink(largest);
    while (largest->held < largest->wanted)
        largest->values[largest->held++] = -INFINITY;
    hsae_status status = hsae_crew_gather(trainer, largest->values, bytes, all);
    free(largest->values);
    largest->values = all;
    largest->held = ranks * largest->wanted;
    return status;
}

/* Per level the k-th largest pre-activation of the first batch, k = max(1, floor(B min(init_l0, n / 4))), at least the bandwidth. */
static hsae_status first_threshold(hsae_trainer *trainer, uint32_t level, float *block, float *threshold)
{
    double features = trainer->config.levels[level], l0 = trainer->config.init_l0[level];
    size_t k = (size_t)floor(trainer->device_model.batch * (l0 < features / 4 ? l0 : features / 4));
    struct largest largest;
    hsae_status status = largest_create(trainer, k ? k : 1, &largest);
    if (!status)
        status = pre_activations(trainer, level, block, &largest);
    if (!status && trainer->crew)
        status = largest_of_all(trainer, &largest);
    if (!status) {
        *threshold = kth_largest(largest.values, largest.held, largest.wanted);
        if (!(*threshold >= (float)trainer->config.bandwidth))
            *threshold = (float)trainer->config.bandwidth;
    }
    free(largest.values);
    return status;
}

hsae_status hsae_first_thresholds(hsae_trainer *trainer, const struct init_source *from, hsae_model *model, struct train_state *state)
{
    struct device_model *device_model = &trainer->device_model;
    size_t size = (size_t)block_rows(device_model->padded) * device_model->padded * sizeof(float);
    float *block = malloc(size);
    hsae_status status = hsae_crew_leads(trainer) ? hsae_crew_vectors(trainer, model, NULL) : HSAE_OK;
    if (!status && !block)
        status = hsae_fail_memory(trainer->context, size, "a smaller batch", "pre-activations of %" PRIu32 " rows", device_model->batch);
    if (!status) /* thresholds of -infinity: every pre-activation is kept */
        status = hsae_device_model_upload(device_model, model, 0, NULL);
    if (!status)
        status = load_batch(trainer, from);
    if (!status && trainer->looks)
        status = hsae_rows_read(device_model, device_model->x, 0, 1, trainer->looks->x);
    if (!status && trainer->looks)
        status = hsae_rows_read(device_model, device_model->x, device_model->batch - 1, 1, trainer->looks->x + device_model->dim);
    for (uint32_t l = 0; l < device_model->levels && !status; l++) {
        float threshold = 0;
        status = first_threshold(trainer, l, block, &threshold);
        float log_threshold = status ? 0 : logf(threshold);
        for (uint32_t i = 0; i < model->levels[l].features && state; i++) {
            state->levels[l].log_threshold[i] = log_threshold;
            model->levels[l].threshold[i] = expf(log_threshold);
        }
    }
    free(block);
    return hsae_crew_settle(trainer, status);
}

/* E and D of all levels to the device, some rows at a time; both start the same. */
static hsae_status first_matrices(hsae_trainer *trainer)
{
    const struct device_model *device_model = &trainer->device_model;
    uint32_t step = block_rows(device_model->dim);
    size_t size = (size_t)step * device_model->dim * sizeof(float);
    float *block = malloc(size);
    hsae_status status = HSAE_OK;
    if (!block)
        return hsae_fail_memory(trainer->context, size, NULL, "%" PRIu32 " rows of width %" PRIu32, step, device_model->dim);
    for (uint32_t l = 0; l < device_model->levels; l++)
        for (uint32_t first = 0, end = trainer->config.levels[l], count; first < end && !status; first += count) {
            count = end - first < step ? end - first : step;
            for (uint32_t i = 0; i < count; i++)
                random_row(block + (size_t)i * device_model->dim, device_model->dim, trainer->config.seed, l, first + i);
            status = hsae_trainer_put_rows(trainer, MATRIX_ENCODER, l, first, count, block);
            if (!status)
                status = hsae_trainer_put_rows(trainer, MATRIX_DECODER, l, first, count, block);
        }
    free(block);
    return status;
}

/* All but the thresholds, which must wait for the matrices. */
static void first_vectors(const hsae_trainer *trainer, const double *mean, hsae_model *model, struct train_state *state)
{
    model->scale = trainer->scale;
    memcpy(model->mean, trainer->mean, model->dim * sizeof *model->mean);
    for (uint32_t l = 0; l < trainer->config.level_count; l++) {
        struct level_tensors *level = &model->levels[l];
        for (uint32_t i = 0; i < level->features; i++) {
            level->threshold[i] = -INFINITY;
            if (level->parent)
                level->parent[i] = -1;
        }
        if (trainer->config.center == HSAE_CENTER_NONE)
            for (uint32_t k = 0; k < model->dim; k++)
                level->decoder_bias[k] = (float)(trainer->scale * mean[k]);
        state->lambda[l] = 0;
        state->l0_average[l] = -1;
    }
}

hsae_status hsae_trainer_init(hsae_trainer *trainer, const struct init_source *source)
{
    hsae_model *model = NULL;
    struct train_state *state = NULL;
    double *mean = malloc(source->dim * sizeof *mean);
    trainer->looks = calloc(1, sizeof *trainer->looks + 2 * (size_t)source->dim * sizeof(f32));
    if (!mean || !trainer->looks) {
        free(mean);
        return hsae_fail(trainer->context, HSAE_ERROR_MEMORY, "out of memory for a mean of width %" PRIu32, source->dim);
    }
    hsae_status status = normalise(trainer, source, mean);
    if (!status)
        status = hsae_model_alloc_vectors(trainer->context, &trainer->config, source->dim, &model);
    if (!status)
        status = hsae_train_state_alloc_vectors(trainer->context, model, &state);
    if (!status)
        status = first_matrices(trainer);
    if (!status) {
        first_vectors(trainer, mean, model, state);
        status = hsae_first_thresholds(trainer, source, model, state);
    }
    if (!status)
        status = hsae_trainer_upload_vectors(trainer, model, state);
    free(mean);
    hsae_model_free(&model);
    hsae_train_state_free(&state);
    return status;
}
