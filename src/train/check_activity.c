/* SPDX-License-Identifier: MIT */
#include "check_activity.h"

#include "base/context.h"
#include "check.h"
#include "model/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Features of a level that are compared on all rows, and rows of which all features are. */
enum { SAMPLED_FEATURES = 6, SAMPLED_ROWS = 4 };

/* Both ends, and `most` - 2 between them. */
static bool is_sampled(uint32_t k, uint32_t count, uint32_t most)
{
    const uint32_t step = (count - 1) / (most - 1) + 1;
    return k + 1 == count || k % step == 0;
}

static float *normalise(const struct device_model *device_model, const hsae_model *model, const float *raw, double *sizes)
{
    const uint32_t dim = device_model->dim;
    float *x = malloc((size_t)device_model->batch * dim * sizeof *x);
    for (size_t r = 0; x && r < device_model->batch; r++)
        sizes[r] = hsae_check_normalise(model, raw + r * dim, x + r * dim);
    return x;
}

/* The words of one feature. */
static hsae_status compare_feature(const struct device_model *device_model, const hsae_model *model, uint32_t level, uint32_t feature,
                                   const float *x, const double *sizes, const u32 *words)
{
    const struct level_tensors *tensors = &model->levels[level];
    const uint32_t dim = device_model->dim, features = model->config.levels[level];
    const f32 *encoder = tensors->encoder_weight + (size_t)feature * dim;
    const double bias = tensors->encoder_bias[feature], threshold = tensors->threshold[feature],
                 norm = sqrt(hsae_check_dot(encoder, encoder, dim));
    const bool whole = is_sampled(feature, features, SAMPLED_FEATURES);
    for (uint32_t r = 0; r < device_model->batch; r++) {
        if (!whole && !is_sampled(r, device_model->batch, SAMPLED_ROWS))
            continue;
        const struct estimate p = hsae_check_preactivation(encoder, bias, x + (size_t)r * dim, dim, norm * sizes[r]);
        const bool active = words[r / 32] >> r % 32 & 1;
        if (active ? !(p.value + p.off <= threshold) : !(p.value - p.off > threshold && fabs(p.value) + p.off < 1e30))
            continue;
        return hsae_fail_wrong(device_model->device,
                               "on a batch of %" PRIu32 " rows feature %" PRIu32 " of level %" PRIu32 " is %s on row %" PRIu32
                               "; its pre-activation is %.7g, its threshold %.7g",
                               device_model->batch, feature, level, active ? "active" : "not active", r, p.value, threshold);
    }
    return HSAE_OK;
}

hsae_status hsae_check_activity(const struct device_model *device_model, const hsae_model *model, const float *raw, u32 slot)
{
    const uint64_t entries = (uint64_t)device_model->features * device_model->words;
    double *sizes = malloc(device_model->batch * sizeof *sizes);
    float *x = sizes ? normalise(device_model, model, raw, sizes) : NULL;
    u32 *words = malloc(entries * sizeof *words);
    hsae_status status = x && words
                             ? hsae_buffer_read(device_model->history, slot * entries * sizeof *words, entries * sizeof *words, words)
                             : hsae_fail_memory(device_model->context, entries * sizeof *words, NULL, "the check of a batch");
    for (uint32_t l = 0; l < device_model->levels && !status; l++)
        for (uint32_t feature = 0; feature < model->config.levels[l] && !status; feature++)
            status = compare_feature(device_model, model, l, feature, x, sizes,
                                     words + (size_t)(device_model->first[l] + feature) * device_model->words);
    free(words);
    free(x);
    free(sizes);
    return status;
}
