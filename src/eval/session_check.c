/* SPDX-License-Identifier: MIT */
#include "session_check.h"

#include "base/context.h"
#include "model/model.h"
#include "train/check.h"

#include <inttypes.h>
#include <stdlib.h>

/* Multiply-adds that may be spent on the sampled rows, and on the sampled features. */
static const double CHECK_WORK = 2e8;
enum { MOST_ROWS = 10, MOST_FEATURES = 16 /* of a level */, LEAST_FEATURES = 4 };

/* Spread over 0 .. 2^32 - 1 without a step that a work-group's size could have. */
static u32 spread(u32 index)
{
    return index * UINT32_C(2654435769);
}

/* Whether row r is sampled, one of about `most`: both ends, both sides of a bitmap word's end, and others. */
static bool takes_row(const struct batch_check *check, uint32_t r, double most)
{
    return r == 0 || r + 1 == check->rows || ((r == 31 || r == 32) && most >= 4) || spread(r) < most / check->rows * 4294967295.0;
}

static double rows_for(const struct batch_check *check, double work_of_one)
{
    double fit = CHECK_WORK / work_of_one;
    return fit >= check->rows || fit >= MOST_ROWS ? MOST_ROWS : fit;
}

/* Of a level: its ends, those of what launches and buffers are cut by, and others. */
static bool takes_feature(const struct batch_check *check, uint32_t level, u32 feature)
{
    const struct device_model *device_model = check->device_model;
    const u32 first = device_model->first[level], end = device_model->first[level + 1], chunk = device_model->chunk;
    double fit = CHECK_WORK / ((double)check->rows * device_model->dim * device_model->levels);
    double most = fit < LEAST_FEATURES ? LEAST_FEATURES : fit > MOST_FEATURES ? MOST_FEATURES : fit;
    bool edge = feature == first || feature + 1 == end ||
                (feature % device_model->range_rows == 0 && end - first > device_model->range_rows) ||
                feature == first + (end - 1 - first) / chunk * chunk;
    return edge || spread(feature) < (most - 3) / (end - first) * 4294967295.0;
}

/* Feature i of a level on a row: what was listed (NULL: nothing) against what is right. */
static hsae_status compare_pair(const struct batch_check *check, uint32_t level, uint32_t i, uint32_t r, const u32 *pair, const f32 *x,
                                double size)
{
    const uint32_t dim = check->model->dim;
    const struct level_tensors *tensors = &check->model->levels[level];
    const f32 *encoder = tensors->encoder_weight + (size_t)i * dim;
    const double bias = tensors->encoder_bias[i], threshold = tensors->threshold[i];
    const struct estimate p = hsae_check_preactivation(encoder, bias, x, dim, sqrt(hsae_check_dot(encoder, encoder, dim)) * size);
    const double found = pair ? bits_f32(pair[1]) : 0;
    if (pair ? hsae_check_near(found, p) && found > threshold : !(p.value - p.off > threshold && fabs(p.value) + p.off < 1e30))
        return HSAE_OK;
    return hsae_fail_wrong(check->device_model->device,
                           "on a batch of %" PRIu32 " rows the activation of feature %" PRIu32 " of level %" PRIu32 " on row %" PRIu32
                           " is %.7g; its pre-activation is %.7g, its threshold %.7g",
                           check->rows, i, level, r, found, p.value, threshold);
}

/* A level's list of a row. */
static hsae_status compare_list(const struct batch_check *check, uint32_t level, uint32_t r, bool whole, const f32 *x, double size)
{
    const struct device_model *device_model = check->device_model;
    const u32 *starts = check->starts + (size_t)level * device_model->batch + r, first = device_model->first[level];
    const u32 *pair = check->samples + 2 * (size_t)starts[0], *end = check->samples + 2 * (size_t)starts[1];
    hsae_status status = HSAE_OK;
    for (u32 feature = first; feature < device_model->first[level + 1] && !status; feature++) {
        const bool listed = pair < end && pair[0] == feature;
        if (whole || takes_feature(check, level, feature))
            status = compare_pair(check, level, feature - first, r, listed ? pair : NULL, x, size);
        pair += listed ? 2 : 0;
    }
    return status || pair == end
               ? status
               : hsae_fail_wrong(device_model->device, "the active features of row %" PRIu32 " do not ascend at level %" PRIu32, r, level);
}

hsae_status hsae_check_encoded(const struct batch_check *check)
{
    const struct device_model *device_model = check->device_model;
    const double most = rows_for(check, (double)device_model->features * device_model->dim);
    f32 *x = malloc(device_model->dim * sizeof *x);
    hsae_status status = x ? HSAE_OK : hsae_fail_memory(device_model->context, device_model->dim * sizeof *x, NULL, "the check of a batch");
    for (uint32_t r = 0; r < check->rows && !status; r++) {
        const double size = hsae_check_normalise(check->model, check->raw + (size_t)r * check->model->dim, x);
        for (uint32_t l = 0; l < device_model->levels && !status; l++)
            status = compare_list(check, l, r, takes_row(check, r, most), x, size);
    }
    free(x);
    return status;
}

/* ---- reconstructions ---- */

/* The elements of c + sum a D - x of a row, where its list says which; x NULL: of zeros. */
static void reconstruct(const struct batch_check *check, uint32_t level, uint32_t r, const f32 *x, struct sum *sums)
{
    const struct device_model *device_model = check->device_model;
    const struct level_tensors *tensors = &check->model->levels[level];
    const u32 *starts = check->starts + (size_t)level * device_model->batch + r;
    for (uint32_t c = 0; c < device_model->dim; c++) {
        sums[c] = (struct sum){0};
        sum_add(&sums[c], tensors->decoder_bias[c], 0);
        sum_add(&sums[c], x ? -x[c] : 0, x ? bound_ulps(2, x[c]) : 0);
    }
    for (u32 k = starts[0]; k < starts[1]; k++) {
        const u32 *pair = check->samples + 2 * (size_t)k;
        const f32 *row = tensors->decoder_weight + (size_t)(pair[0] - device_model->first[level]) * device_model->dim;
        for (uint32_t c = 0; c < device_model->dim; c++)
            sum_add(&sums[c], (double)bits_f32(pair[1]) * row[c], 0);
    }
}

/* Rows whose reconstructions are compared: fewer where lists are long. */
static double decoded_rows(const struct batch_check *check, uint32_t levels)
{
    const struct device_model *device_model = check->device_model;
    const double pairs = check->starts[(size_t)device_model->levels * device_model->batch];
    return rows_for(check, (pairs / check->rows + levels) * device_model->dim);
}

static struct sum *make_sums(const struct batch_check *check, f32 **x)
{
    const struct device_model *device_model = check->device_model;
    struct sum *sums = malloc(device_model->dim * (sizeof *sums + sizeof **x));
    if (sums)
        *x = (f32 *)(sums + device_model->dim);
    else
        hsae_fail_memory(device_model->context, device_model->dim * (sizeof *sums + sizeof **x), NULL, "the check of a batch");
    return sums;
}

hsae_status hsae_check_squares(const struct batch_check *check, const bool *keep, const double *found)
{
    const struct device_model *device_model = check->device_model;
    const double most = decoded_rows(check, device_model->levels);
    f32 *x;
    struct sum *sums = make_sums(check, &x);
    hsae_status status = sums ? HSAE_OK : HSAE_ERROR_MEMORY;
    for (uint32_t r = 0; r < check->rows && !status; r++) {
        if (!keep[r] || !takes_row(check, r, most))
            continue;
        hsae_check_normalise(check->model, check->raw + (size_t)r * check->model->dim, x);
        for (uint32_t l = 0; l < device_model->levels && !status; l++) {
            struct sum squares = {0};
            reconstruct(check, l, r, x, sums);
            for (uint32_t c = 0; c < device_model->dim; c++) {
                const struct estimate element = sum_estimate(&sums[c]);
                sum_add(&squares, element.value * element.value, (2 * fabs(element.value) + element.off) * element.off);
            }
            const struct estimate wanted = sum_estimate(&squares);
            const double value = found[(size_t)l * device_model->batch + r];
            if (!hsae_check_near(value, wanted))
                status = hsae_fail_wrong(device_model->device,
                                         "on a batch of %" PRIu32 " rows the squared residual of level %" PRIu32 " on row %" PRIu32
                                         " is %.7g, not %.7g",
                                         check->rows, l, r, value, wanted.value);
        }
    }
    free(sums);
    return status;
}

hsae_status hsae_check_decoded(const struct batch_check *check, uint32_t level, const float *found)
{
    const struct device_model *device_model = check->device_model;
    const double most = decoded_rows(check, 1);
    f32 *x;
    struct sum *sums = make_sums(check, &x);
    hsae_status status = sums ? HSAE_OK : HSAE_ERROR_MEMORY;
    for (uint32_t r = 0; r < check->rows && !status; r++) {
        if (!takes_row(check, r, most))
            continue;
        reconstruct(check, level, r, NULL, sums);
        for (uint32_t c = 0; c < device_model->dim && !status; c++) {
            const double value = found[(size_t)r * device_model->dim + c];
            if (!hsae_check_near(value, sum_estimate(&sums[c])))
                status = hsae_fail_wrong(device_model->device,
                                         "on a batch of %" PRIu32 " rows column %" PRIu32 " of level %" PRIu32
                                         "'s reconstruction of row %" PRIu32 " is %.7g, not %.7g",
                                         check->rows, c, level, r, value, sums[c].value);
        }
    }
    free(sums);
    return status;
}
