/* SPDX-License-Identifier: MIT */
#include "forest_shards.h"
#include "forward.h"
#include "launch.h"

#include "base/context.h"
#include "device/speed.h"
#include "device/tuning_file.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Kernels index with 32 bits; a range stays well below that. */
static const uint64_t MAX_RANGE_BYTES = UINT64_C(1) << 33;
/* Of a level's rows of D that decode works on at a time: a CPU's last cache, or a GPU's, holds it. */
static const uint64_t SLICE_BYTES = 12 << 20;
/* Most features, and values of a padded batch, that kernels can index. */
enum { MAX_FEATURES = UINT32_MAX / 128, MAX_VALUES = UINT32_MAX / 2 };
/* Features in a block of the sample lists: few enough for many work-items, enough to keep the tallies small. */
static const uint32_t BLOCK = 64;

_Static_assert(STATE_LEVELS + HSAE_MAX_LEVELS * STATE_LEVEL_WORDS <= STATE_DEAD_LIST, "step_state: the levels reach into the dead lists");
_Static_assert(STATE_SEGMENT < STATE_LEVELS && STATE_OTHERS < STATE_LEVEL_WORDS,
               "step_state: the levels begin too early, or are too short");
_Static_assert(REPORT_LEVELS + HSAE_MAX_LEVELS * REPORT_LEVEL_WORDS <= REPORT_WORDS, "status: too short for all levels");
_Static_assert(REPORT_VARIANCE < REPORT_LEVELS && REPORT_DEAD < REPORT_LEVEL_WORDS, "status: the levels begin too early, or are too short");
_Static_assert(PARAM_CORRECTION < PARAM_WORDS && LEVEL_GHOSTS < LEVEL_WORDS, "step_params or level_info: too short");
_Static_assert(TREE_NUMBER < TREE_WORDS && SCALAR_SEGMENT < SCALAR_WORDS && FEATURE_SUM_PRODUCT < FEATURE_SUM_WORDS,
               "a feature's words are too few");
_Static_assert(PAIR_SCORE < PAIR_WORDS && SEGMENT_PRODUCT < SEGMENT_WORDS, "a pair's or a segment's words are too few");
/* Rows of D, the free ones included, are numbers above the flags' bits. */
_Static_assert(2 * (uint64_t)MAX_FEATURES <= UINT32_MAX >> FLAG_ROW_SHIFT, "flags: too few bits for a row");

uint64_t hsae_binding_limit(const struct hsae_device *device)
{
    const hsae_limits *limits = &device->info.limits;
    uint64_t limit = limits->max_binding_bytes < limits->max_allocation_bytes ? limits->max_binding_bytes : limits->max_allocation_bytes;
    return limit < MAX_RANGE_BYTES ? limit : MAX_RANGE_BYTES;
}

/* Free rows for training: as many as features where D is a small part of the device's memory and they fit, so that all trees are updated
 * at once, else an eighth of them. A GPU has more of its memory for them: each of many launches ends with most of it idle. */
static uint32_t first_free_rows(const struct device_model *device_model)
{
    const hsae_device_info *info = &device_model->device->info;
    uint64_t row_bytes = device_model->stride * sizeof(float);
    uint64_t few = info->limits.memory_bytes / (info->type == HSAE_DEVICE_CPU ? 128 : 16) / row_bytes;
    uint64_t fit = hsae_binding_limit(device_model->device) / row_bytes * HSAE_MAX_RANGES;
    return device_model->features <= few && 2 * (uint64_t)device_model->features <= fit ? device_model->features
                                                                                        : (device_model->features + 7) / 8;
}

static hsae_status fail_decoder(const struct device_model *device_model, uint32_t free_rows)
{
    uint64_t row_bytes = (uint64_t)device_model->stride * sizeof(float), rows = (uint64_t)device_model->features + free_rows;
    return hsae_fail(device_model->context, HSAE_ERROR_LIMIT,
                     "%s: the decoder needs %" PRIu64 " bytes in at most %d buffers, %" PRIu64
                     " of them for rows that are being updated, but a buffer that a kernel sees may have only %" PRIu64
                     " bytes; at most %" PRIu64 " rows of width %" PRIu32 " fit",
                     device_model->device->info.id, rows * row_bytes, HSAE_MAX_RANGES, free_rows * row_bytes,
                     hsae_binding_limit(device_model->device), hsae_binding_limit(device_model->device) / row_bytes * HSAE_MAX_RANGES,
                     device_model->dim);
}

/* Cuts the largest tensor, D, into as few ranges as the device's limits allow, with room for as many free rows as there may ever be. */
static hsae_status cut_ranges(struct device_model *device_model)
{
    uint64_t fit = hsae_binding_limit(device_model->device) / (device_model->stride * sizeof(float));
    uint64_t rows = (uint64_t)device_model->features + device_model->free_rows,
             most = device_model->free_rows ? 2 * (uint64_t)device_model->features : rows;
    for (device_model->ranges = 1; device_model->ranges < HSAE_MAX_RANGES && device_model->ranges * fit < most;)
        device_model->ranges *= 2;
    uint64_t wanted = (most + device_model->ranges - 1) / device_model->ranges;
    device_model->range_rows = (uint32_t)(wanted < fit ? wanted : fit);
    return device_model->ranges * fit >= rows ? HSAE_OK : fail_decoder(device_model, device_model->free_rows);
}

hsae_status hsae_ranged_create(const struct device_model *device_model, const char *label, uint32_t rows, struct ranged *tensor)
{
    for (uint32_t k = 0, left = rows; left; k++) {
        uint32_t count = left < device_model->range_rows ? left : device_model->range_rows;
        hsae_status status = hsae_buffer_create(device_model->device, label, (uint64_t)count * device_model->stride * sizeof(float),
                                                HSAE_BUFFER_DEVICE, &tensor->range[k]);
        if (status)
            return status;
        left -= count;
    }
    return HSAE_OK;
}

void hsae_ranged_destroy(struct ranged *tensor)
{
    for (int k = 0; k < HSAE_MAX_RANGES; k++)
        hsae_buffer_destroy(&tensor->range[k]);
}

static hsae_status copy_rows(const struct device_model *device_model, struct hsae_buffer *buffer, uint32_t row, uint32_t count, float *read,
                             const float *write)
{
    uint32_t step = HSAE_COPY_BYTES / (device_model->stride * (uint32_t)sizeof(float));
    if (!step)
        step = 1;
    if (step > count)
        step = count;
    float *copy = calloc((size_t)step * device_model->stride, sizeof *copy);
    hsae_status status = HSAE_OK;
    if (!copy)
        return hsae_fail_memory(device_model->context, (uint64_t)step * device_model->stride * sizeof *copy, NULL,
                                "a copy of %" PRIu32 " rows", step);
    for (uint32_t done = 0; done < count && !status; done += step) {
        uint32_t now = count - done < step ? count - done : step;
        uint64_t offset = (uint64_t)(row + done) * device_model->stride * sizeof(float),
                 size = (uint64_t)now * device_model->stride * sizeof(float);
        if (read) {
            status = hsae_buffer_read(buffer, offset, size, copy);
            for (uint32_t r = 0; r < now && !status; r++)
                memcpy(read + (size_t)(done + r) * device_model->dim, copy + (size_t)r * device_model->stride,
                       device_model->dim * sizeof(float));
        } else {
            for (uint32_t r = 0; r < now; r++)
                memcpy(copy + (size_t)r * device_model->stride, write + (size_t)(done + r) * device_model->dim,
                       device_model->dim * sizeof(float));
            status = hsae_buffer_write(buffer, offset, size, copy);
        }
    }
    free(copy);
    return status;
}

hsae_status hsae_rows_write(const struct device_model *device_model, struct hsae_buffer *buffer, uint32_t row, uint32_t count,
                            const float *data)
{
    return copy_rows(device_model, buffer, row, count, NULL, data);
}

hsae_status hsae_rows_read(const struct device_model *device_model, struct hsae_buffer *buffer, uint32_t row, uint32_t count, float *data)
{
    return copy_rows(device_model, buffer, row, count, data, NULL);
}

static hsae_status copy_tensor(const struct device_model *device_model, const struct ranged *tensor, uint32_t row, uint32_t count,
                               float *read, const float *write)
{
    hsae_status status = HSAE_OK;
    while (count && !status) {
        uint32_t range = row / device_model->range_rows, local = row % device_model->range_rows;
        uint32_t now = device_model->range_rows - local < count ? device_model->range_rows - local : count;
        status = copy_rows(device_model, tensor->range[range], local, now, read, write);
        read = read ? read + (size_t)now * device_model->dim : NULL;
        write = write ? write + (size_t)now * device_model->dim : NULL;
        row += now;
        count -= now;
    }
    return status;
}

hsae_status hsae_ranged_write(const struct device_model *device_model, const struct ranged *tensor, uint32_t row, uint32_t count,
                              const float *data)
{
    return copy_tensor(device_model, tensor, row, count, NULL, data);
}

hsae_status hsae_ranged_read(const struct device_model *device_model, const struct ranged *tensor, uint32_t row, uint32_t count,
                             float *data)
{
    return copy_tensor(device_model, tensor, row, count, data, NULL);
}

/* Bytes of a chunk's scratch: it stays in a CPU's cache (screen writes little of it). On a GPU every chunk has launches that leave most of
 * it idle, so that all features should be one chunk. */
static uint64_t scratch_bytes(const struct device_model *device_model)
{
    const hsae_device_info *info = &device_model->device->info;
    uint64_t cached = device_model->screens ? UINT64_C(4) << 20 : UINT64_C(2) << 20, least = UINT64_C(32) << 20,
             share = info->limits.memory_bytes / 32;
    return info->type == HSAE_DEVICE_CPU ? cached : share > least ? share : least;
}

/* Sizes that follow from the device. */
static void choose_sizes(struct device_model *device_model)
{
    uint64_t scratch = scratch_bytes(device_model);
    uint64_t unit = hsae_encode_tile(device_model).features;
    uint64_t limit = hsae_binding_limit(device_model->device), rows = limit / (device_model->stride * sizeof(float));
    uint64_t chunk = (scratch < limit ? scratch : limit) / (device_model->padded * sizeof(float));
    chunk = (chunk < rows ? chunk : rows) / unit * unit; /* `rows`: a hierarchy update has a chunk's rows in one buffer */
    device_model->chunk = (uint32_t)(chunk < unit ? unit : chunk);
    if (device_model->chunk > device_model->features)
        device_model->chunk = device_model->features;
    device_model->block = BLOCK;
    device_model->blocks = 0;
    for (uint32_t l = 0; l < device_model->levels; l++)
        device_model->blocks += (device_model->first[l + 1] - device_model->first[l] + BLOCK - 1) / BLOCK;
    uint64_t slices = ((uint64_t)device_model->largest_level * device_model->stride * sizeof(float) + SLICE_BYTES - 1) / SLICE_BYTES,
             most = device_model->stride / 64;
    slices = slices < most ? slices : most ? most : 1;
    /* A slice keeps all work-items of decode busy: parts of 16 columns, as the kernel cuts them, in whole passes. */
    struct hsae_kernel_shape shape = hsae_shape(device_model->device, HSAE_KERNEL_decode, device_model->ranges);
    uint64_t parts = device_model->stride / 16, pass = ((uint64_t)shape.group_size * shape.columns * shape.vector_width + 15) / 16;
    uint64_t share = ((parts + slices - 1) / slices + pass - 1) / pass * pass;
    device_model->slices = (uint32_t)((parts + share - 1) / share);
    uint64_t residuals = limit / ((uint64_t)device_model->padded * device_model->stride * sizeof(float));
    residuals = residuals < device_model->levels ? residuals : device_model->levels;
    device_model->residual_levels = residuals ? (uint32_t)residuals : 1;
}

hsae_status hsae_device_model_buffer(const struct device_model *device_model, const char *label, uint64_t words, enum growth growth,
                                     struct hsae_buffer **out)
{
    uint64_t bytes = words * sizeof(u32), limit = hsae_binding_limit(device_model->device);
    if (bytes <= limit)
        return hsae_buffer_create(device_model->device, label, bytes, HSAE_BUFFER_DEVICE, out);
    char hint[64] = "use another device";
    double share = (double)limit / (double)bytes;
    uint64_t batch = 32 * (uint64_t)(share * device_model->words); /* buffers have whole words of samples */
    uint64_t features = (uint64_t)(share * device_model->features);
    if (growth == GROWS_WITH_BATCH && batch)
        snprintf(hint, sizeof hint, "with a batch of at most %" PRIu64 " it fits", batch);
    else if (growth == GROWS_WITH_FEATURES && features)
        snprintf(hint, sizeof hint, "with at most %" PRIu64 " features in all it fits", features);
    return hsae_fail(device_model->context, HSAE_ERROR_LIMIT,
                     "%s: buffer %s needs %" PRIu64 " bytes, a buffer that a kernel of this device sees may have %" PRIu64 "; %s",
                     device_model->device->info.id, label, bytes, limit, hint);
}

struct want {
    struct hsae_buffer **buffer;
    const char *label;
    uint64_t words;
    enum growth growth;
};

static hsae_status create_all(struct device_model *device_model, const struct want *want, size_t count)
{
    hsae_status status = HSAE_OK;
    for (size_t k = 0; k < count && !status; k++)
        status = hsae_device_model_buffer(device_model, want[k].label, want[k].words, want[k].growth, want[k].buffer);
    return status;
}

static hsae_status create_lists(struct device_model *device_model, uint32_t pairs)
{
    device_model->capacity = pairs;
    struct want want[] = {
        {&device_model->pairs, "pairs by feature", 2 * (uint64_t)pairs, GROWS_WITH_BATCH},
        {&device_model->samples, "pairs by sample", 2 * (uint64_t)pairs, GROWS_WITH_BATCH},
        {&device_model->positions, "pair positions", pairs, GROWS_WITH_BATCH},
    };
    return create_all(device_model, want, sizeof want / sizeof *want);
}

/* How long lists are that need room for `needed` pairs and had better have room for `wanted`. */
static uint32_t list_length(const struct device_model *device_model, uint64_t needed, double wanted)
{
    uint64_t fit = hsae_binding_limit(device_model->device) / (PAIR_WORDS * sizeof(u32));
    fit = fit > needed ? fit : needed;
    fit = fit < HSAE_MAX_PAIRS ? fit : HSAE_MAX_PAIRS;
    return wanted < (double)fit ? (uint32_t)wanted : (uint32_t)fit;
}

hsae_status hsae_device_model_grow(struct device_model *device_model, uint64_t pairs)
{
    if (pairs > HSAE_MAX_PAIRS)
        return hsae_fail(device_model->context, HSAE_ERROR_LIMIT,
                         "%s: a batch of %" PRIu32 " has %" PRIu64 " active features, at most %" PRIu32
                         " can be listed; use a smaller batch",
                         device_model->device->info.id, device_model->batch, pairs, (uint32_t)HSAE_MAX_PAIRS);
    hsae_buffer_destroy(&device_model->pairs);
    hsae_buffer_destroy(&device_model->samples);
    hsae_buffer_destroy(&device_model->positions);
    return create_lists(device_model, list_length(device_model, pairs, (double)(pairs + pairs / 4)));
}

hsae_status hsae_device_model_clear_halt(struct device_model *device_model)
{
    const u32 clear = 0;
    return hsae_buffer_write(device_model->step_state, STATE_HALT * sizeof(u32), sizeof clear, &clear);
}

hsae_status hsae_device_model_fit_screen(struct device_model *device_model)
{
    const uint64_t line = device_model->stride, bits = device_model->screens, w = device_model->words,
                   rows = device_model->chunk + hsae_screen_tile(device_model),
                   items = rows / hsae_shape(device_model->device, HSAE_KERNEL_screen8, 1).columns; /* of screen8; quantize8 has `words` */
    struct want want[] = {
        {&device_model->rounded, "rounded rows of a chunk", bits ? rows * line * bits / 32 : 4, GROWS_NOT},
        {&device_model->mixed, "rows before rounding", bits == 8 ? (items > w ? items : w) * line : 4, GROWS_NOT},
    };
    hsae_status status = HSAE_OK;
    for (size_t k = 0; k < sizeof want / sizeof *want && !status; k++)
        if (!*want[k].buffer || hsae_buffer_size(*want[k].buffer) < want[k].words * sizeof(u32)) {
            hsae_buffer_destroy(want[k].buffer);
            status = create_all(device_model, &want[k], 1);
        }
    return status;
}

static hsae_status create_buffers(struct device_model *device_model, bool history)
{
    uint64_t n = device_model->features, w = device_model->words, padded = device_model->padded, line = device_model->stride,
             levels = device_model->levels, bits = device_model->screens;
    struct want want[] = {
        {&device_model->unused_binding[0], "nothing", 16, GROWS_NOT},
        {&device_model->unused_binding[1], "nothing", 16, GROWS_NOT},
        {&device_model->unused_binding[2], "nothing", 16, GROWS_NOT},
        {&device_model->unused_binding[3], "nothing", 16, GROWS_NOT},
        {&device_model->mean, "input mean", line, GROWS_NOT},
        {&device_model->x, "batch", padded * line, GROWS_WITH_BATCH},
        {&device_model->panels, "batch in panels", padded * line, GROWS_WITH_BATCH},
        {&device_model->norms, "batch norms", w * LOAD_BLOCKS(line), GROWS_WITH_BATCH},
        {&device_model->units, "units of the batch",
         bits == 8 ? UNIT_WORDS * padded
         : bits    ? padded
                   : 4,
         GROWS_WITH_BATCH},
        {&device_model->level_info, "levels", (levels + 1) * LEVEL_WORDS, GROWS_NOT},
        {&device_model->tree, "tree", n * TREE_WORDS, GROWS_WITH_FEATURES},
        {&device_model->feature_scalars, "feature scalars", n * SCALAR_WORDS, GROWS_WITH_FEATURES},
        {&device_model->flags, "feature flags", n, GROWS_WITH_FEATURES},
        {&device_model->decoder_rows, "decoder rows of features", n + device_model->free_rows, GROWS_WITH_FEATURES},
        {&device_model->step_state, "step state", STATE_WORDS(n), GROWS_WITH_FEATURES},
        {&device_model->bits, "activity bitmap", n * w, GROWS_WITH_BATCH},
        {&device_model->scratch, "pre-activations of a chunk", device_model->chunk * padded, GROWS_WITH_BATCH},
        {&device_model->counts, "pairs of each feature", n, GROWS_WITH_FEATURES},
        {&device_model->starts, "starts by feature", n + 1, GROWS_WITH_FEATURES},
        {&device_model->active_count, "active samples of each feature", n, GROWS_WITH_FEATURES},
        {&device_model->word_starts, "starts by bitmap word", n * w, GROWS_WITH_BATCH},
        {&device_model->history, "activity history", history ? HSAE_ACTIVITY_STEPS * n * w : 16, GROWS_WITH_BATCH},
        {&device_model->tally, "block tallies", device_model->blocks * padded, GROWS_WITH_BATCH},
        {&device_model->totals, "pairs of each sample", levels * device_model->batch, GROWS_WITH_BATCH},
        {&device_model->sample_starts, "starts by sample", levels * device_model->batch + 1, GROWS_WITH_BATCH},
        {&device_model->bias, "decoder bias", levels * line, GROWS_NOT},
        {&device_model->loss, "loss", levels * device_model->slices * padded, GROWS_WITH_BATCH},
        {&device_model->partials, "partial sums of shards",
         device_model->shards > 1 || device_model->part ? device_model->shards * padded * line : 4, GROWS_WITH_BATCH},
    };
    hsae_status status = create_all(device_model, want, sizeof want / sizeof *want);
    if (!status)
        status = hsae_device_model_fit_screen(device_model);
    for (uint32_t l = 0, count; l < levels && !status; l += count) {
        count = hsae_residual_levels(device_model, l, device_model->levels);
        status = hsae_device_model_buffer(device_model, "residual", count * padded * line, GROWS_WITH_BATCH,
                                          &device_model->residual[l / device_model->residual_levels]);
    }
    return status;
}

/* Rows from `first` on belong to the feature of the same number, or are free. The flags tell so, too, until there are steps. */
static hsae_status write_decoder_rows(struct device_model *device_model, uint32_t first)
{
    uint32_t rows = device_model->features + device_model->free_rows;
    u32 *decoder_rows = malloc(rows * sizeof *decoder_rows);
    if (!decoder_rows)
        return hsae_fail_memory(device_model->context, rows * sizeof *decoder_rows, "smaller levels", "the places of %" PRIu32 " rows",
                                rows);
    for (uint32_t row = first; row < rows; row++)
        decoder_rows[row] = row;
    hsae_status status = hsae_buffer_write(device_model->decoder_rows, first * sizeof *decoder_rows, (rows - first) * sizeof *decoder_rows,
                                           decoder_rows + first);
    for (uint32_t row = 0; row < device_model->features; row++)
        decoder_rows[row] = row << FLAG_ROW_SHIFT;
    if (!status && first == 0)
        status = hsae_buffer_write(device_model->flags, 0, device_model->features * sizeof *decoder_rows, decoder_rows);
    free(decoder_rows);
    return status;
}

/* A larger buffer in place of *buffer, with its content. */
static hsae_status enlarge(const struct device_model *device_model, const char *label, uint64_t size, struct hsae_buffer **buffer)
{
    struct hsae_buffer *grown = NULL;
    uint64_t old = *buffer ? hsae_buffer_size(*buffer) : 0;
    void *copy = malloc(HSAE_COPY_BYTES);
    hsae_status status = copy ? hsae_buffer_create(device_model->device, label, size, HSAE_BUFFER_DEVICE, &grown)
                              : hsae_fail_memory(device_model->context, HSAE_COPY_BYTES, NULL, "a copy of %s", label);
    for (uint64_t done = 0, now; done < old && !status; done += now) {
        now = old - done < HSAE_COPY_BYTES ? old - done : HSAE_COPY_BYTES;
        status = hsae_buffer_read(*buffer, done, now, copy);
        if (!status)
            status = hsae_buffer_write(grown, done, now, copy);
    }
    free(copy);
    if (!status) {
        struct hsae_buffer *swap = *buffer;
        *buffer = grown;
        grown = swap;
    }
    hsae_buffer_destroy(&grown);
    return status;
}

hsae_status hsae_device_model_grow_free_rows(struct device_model *device_model, uint32_t free_rows)
{
    uint32_t rows = device_model->features + free_rows, first = device_model->features + device_model->free_rows;
    hsae_status status = HSAE_OK;
    if ((uint64_t)device_model->range_rows * device_model->ranges < rows)
        return fail_decoder(device_model, free_rows);
    for (uint32_t k = 0; k < device_model->ranges && !status; k++) {
        uint32_t begin = k * device_model->range_rows, count = begin < rows ? rows - begin : 0;
        count = count < device_model->range_rows ? count : device_model->range_rows;
        uint64_t size = (uint64_t)count * device_model->stride * sizeof(float);
        struct hsae_buffer **range = &device_model->decoder.range[k];
        if (size > (*range ? hsae_buffer_size(*range) : 0))
            status = enlarge(device_model, "decoder", size, range);
    }
    if (!status)
        status = enlarge(device_model, "decoder rows of features", rows * sizeof(u32), &device_model->decoder_rows);
    if (status)
        return status;
    device_model->free_rows = free_rows;
    return write_decoder_rows(device_model, first);
}

hsae_status hsae_device_model_check(const hsae_context *context, const hsae_config *config, uint32_t dim, uint32_t rows)
{
    const uint64_t max_features = MAX_FEATURES, max_values = MAX_VALUES;
    uint64_t features = 0, padded = ((uint64_t)rows + 31) / 32 * 32, line = (uint64_t)dim + 16; /* at least the stride */
    for (uint32_t l = 0; l < config->level_count; l++)
        features += config->levels[l];
    if (features > max_features)
        return hsae_fail(context, HSAE_ERROR_LIMIT, "%" PRIu64 " features are too many for 32-bit indices: at most %" PRIu64, features,
                         max_features);
    if (32 * line > max_values)
        return hsae_fail(context, HSAE_ERROR_LIMIT, "width %" PRIu32 " is too large for 32-bit indices: at most %" PRIu64, dim,
                         max_values / 32 - 16);
    if (padded > max_values / line)
        return hsae_fail(context, HSAE_ERROR_LIMIT,
                         "a batch of %" PRIu32 " is too large for 32-bit indices: at width %" PRIu32 " at most %" PRIu64, rows, dim,
                         max_values / line / 32 * 32);
    return HSAE_OK;
}

hsae_status hsae_device_model_create(struct device_model *device_model, struct hsae_device *device, const hsae_config *config, uint32_t dim,
                                     const struct device_model_params *params)
{
    uint64_t features = 0;
    hsae_status status = hsae_device_model_check(device->context, config, dim, params->batch);
    if (status)
        return status;
    hsae_tuning_load(device);
    hsae_speed_load(device);
    device_model->device = device;
    device_model->context = device->context;
    device_model->levels = config->level_count;
    device_model->part = params->part;
    for (uint32_t l = 0; l < device_model->levels; l++) {
        device_model->first[l] = (uint32_t)features;
        features += params->part ? params->part->own[l] : config->levels[l];
        device_model->all_features += config->levels[l];
        device_model->largest_level = config->levels[l] > device_model->largest_level ? config->levels[l] : device_model->largest_level;
    }
    device_model->dim = dim;
    device_model->batch = params->batch;
    device_model->shards = params->part ? params->part->shards : params->training ? config->shards : 1;
    device_model->words = (params->batch + 31) / 32;
    device_model->padded = device_model->words * 32;
    device_model->stride = (dim + 15) / 16 * 16;
    device_model->features = device_model->first[device_model->levels] = (uint32_t)features;
    device_model->free_rows = params->training ? first_free_rows(device_model) : 0;
    if ((status = cut_ranges(device_model)))
        return status;
    device_model->screens = hsae_screens(device);
    hsae_forward_fit(device_model);
    choose_sizes(device_model);
    if ((status = create_buffers(device_model, params->history)) ||
        (status = create_lists(device_model, list_length(device_model, 0, params->pairs))) ||
        (status = hsae_ranged_create(device_model, "encoder", device_model->features, &device_model->encoder)) ||
        (status = hsae_ranged_create(device_model, "decoder", device_model->features + device_model->free_rows, &device_model->decoder)) ||
        (status = write_decoder_rows(device_model, 0)))
        return status;
    u32 level_info[(HSAE_MAX_LEVELS + 1) * LEVEL_WORDS] = {0};
    for (uint32_t l = 0; l <= device_model->levels; l++) {
        level_info[l * LEVEL_WORDS + LEVEL_FIRST] = device_model->first[l];
        level_info[l * LEVEL_WORDS + LEVEL_TARGET] = bits_u32(l < device_model->levels ? (f32)config->target_l0[l] : 0);
    }
    return hsae_buffer_write(device_model->level_info, 0, (device_model->levels + 1) * LEVEL_WORDS * sizeof(u32), level_info);
}

void hsae_device_model_destroy(struct device_model *device_model)
{
    struct hsae_buffer **buffers[] = {
        &device_model->mean,
        &device_model->x,
        &device_model->panels,
        &device_model->norms,
        &device_model->level_info,
        &device_model->tree,
        &device_model->feature_scalars,
        &device_model->flags,
        &device_model->decoder_rows,
        &device_model->step_state,
        &device_model->bits,
        &device_model->scratch,
        &device_model->counts,
        &device_model->starts,
        &device_model->active_count,
        &device_model->word_starts,
        &device_model->history,
        &device_model->pairs,
        &device_model->samples,
        &device_model->positions,
        &device_model->tally,
        &device_model->totals,
        &device_model->sample_starts,
        &device_model->bias,
        &device_model->units,
        &device_model->rounded,
        &device_model->mixed,
        &device_model->loss,
        &device_model->partials,
        &device_model->unused_binding[0],
        &device_model->unused_binding[1],
        &device_model->unused_binding[2],
        &device_model->unused_binding[3],
    };
    for (size_t k = 0; k < sizeof buffers / sizeof *buffers; k++)
        hsae_buffer_destroy(buffers[k]);
    for (int l = 0; l < HSAE_MAX_LEVELS; l++)
        hsae_buffer_destroy(&device_model->residual[l]);
    hsae_ranged_destroy(&device_model->encoder);
    hsae_ranged_destroy(&device_model->decoder);
}

/* Ranks: features of a level by (shard, rank of the parent, index), without a parent last in their shard. */
static void rank_features(struct device_model *device_model, const uint16_t *shard, u32 *tree)
{
#define NODE(i, word) tree[(size_t)(i)*TREE_WORDS + (word)]
    for (uint32_t l = 0; l < device_model->levels; l++) {
        uint32_t first = device_model->first[l], end = device_model->first[l + 1];
        uint32_t loose[HSAE_MAX_SHARDS + 1] = {0},
                                         *begin = device_model->shard_rank[l]; /* loose: rank of the next feature without a parent */
        memset(begin, 0, sizeof device_model->shard_rank[l]);
        for (uint32_t i = first; i < end; i++) {
            begin[shard[i] + 1]++;
            if (NODE(i, TREE_PARENT) != NONE)
                NODE(NODE(i, TREE_PARENT), TREE_CHILD_COUNT)++;
            else
                loose[shard[i]]++;
        }
        begin[0] = first;
        for (uint32_t s = 0; s < device_model->shards; s++) {
            begin[s + 1] += begin[s];
            loose[s] = begin[s + 1] - loose[s];
            if (!l)
                continue;
            const uint32_t *up = device_model->shard_rank[l - 1];
            for (uint32_t rank = up[s], at = begin[s]; rank < up[s + 1]; rank++) {
                u32 node = NODE(rank, TREE_AT_RANK);
                NODE(node, TREE_CHILD_FIRST) = at;
                at += NODE(node, TREE_CHILD_COUNT);
                NODE(node, TREE_CHILD_COUNT) = 0; /* counted up again below */
            }
        }
        for (uint32_t i = first; i < end; i++) {
            u32 node = NODE(i, TREE_PARENT);
            u32 rank = node == NONE ? loose[shard[i]]++ : NODE(node, TREE_CHILD_FIRST) + NODE(node, TREE_CHILD_COUNT)++;
            NODE(i, TREE_RANK) = rank;
            NODE(rank, TREE_AT_RANK) = i;
        }
    }
#undef NODE
}

/* Who is whose parent, among the features that the device model has. Trees are whole there. */
static void set_parents(const struct device_model *device_model, int32_t *const *parents, u32 *tree)
{
    const uint32_t *first = device_model->first;
    for (uint32_t l = 0; l < device_model->levels; l++)
        for (uint32_t i = first[l]; i < first[l + 1]; i++) {
            u32 *node = tree + (size_t)i * TREE_WORDS;
            const int32_t parent = l && parents ? parents[l][hsae_number(device_model, l, i)] : -1;
            const uint32_t above = l == 0 || parent < 0 ? 0
                                   : device_model->part ? hsae_part_below(device_model->part, l - 1, (uint64_t)parent)
                                                        : (uint32_t)parent;
            node[TREE_PARENT] = l == 0 || parent < 0 ? NONE : first[l - 1] + above;
            node[TREE_NUMBER] = hsae_number(device_model, l, i);
        }
}

hsae_status hsae_device_model_upload_tree(struct device_model *device_model, int32_t *const *parents, u32 **out)
{
    const struct part *part = device_model->part;
    u32 *tree = calloc((size_t)device_model->features * TREE_WORDS, sizeof *tree);
    uint16_t *shard = calloc(device_model->features, sizeof *shard);
    hsae_status status = HSAE_OK;
    if (!tree || !shard)
        status = hsae_fail_memory(device_model->context, (uint64_t)device_model->features * (TREE_WORDS * sizeof *tree + sizeof *shard),
                                  "smaller levels", "a tree of %" PRIu32 " features", device_model->features);
    else if (device_model->shards > 1 && !part)
        status = hsae_forest_shards(device_model->context, device_model->levels, device_model->first, device_model->shards, parents, shard);
    if (!status) {
        set_parents(device_model, parents, tree);
        rank_features(device_model, part ? part->shard : shard, tree);
    }
    free(shard);
    if (!status)
        status = hsae_buffer_write(device_model->tree, 0, (uint64_t)device_model->features * TREE_WORDS * sizeof(u32), tree);
    if (out && !status)
        *out = tree;
    else
        free(tree);
    return status;
}

hsae_status hsae_device_model_upload(struct device_model *device_model, const hsae_model *model, double bandwidth,
                                     float *const *log_thresholds)
{
    hsae_status status = HSAE_OK;
    u32 *feature_scalars = calloc((size_t)device_model->features * SCALAR_WORDS, sizeof *feature_scalars);
    float *mean = calloc(device_model->stride, sizeof *mean);
    if (!feature_scalars || !mean) {
        status = hsae_fail_memory(device_model->context, (uint64_t)device_model->features * SCALAR_WORDS * sizeof *feature_scalars,
                                  "smaller levels", "the scalars of %" PRIu32 " features", device_model->features);
        goto done;
    }
    memcpy(mean, model->mean, model->dim * sizeof *mean);
    if ((status = hsae_buffer_write(device_model->mean, 0, device_model->stride * sizeof *mean, mean)))
        goto done;
    for (uint32_t l = 0; l < device_model->levels && !status; l++) {
        const struct level_tensors *level = &model->levels[l];
        for (uint32_t at = device_model->first[l]; at < device_model->first[l + 1]; at++) {
            const uint32_t i = hsae_number(device_model, l, at);
            u32 *scalars = feature_scalars + (size_t)at * SCALAR_WORDS;
            scalars[SCALAR_BIAS] = bits_u32(level->encoder_bias[i]);
            scalars[SCALAR_LOG_THRESHOLD] = bits_u32(log_thresholds ? log_thresholds[l][i] : logf(level->threshold[i]));
            scalars[SCALAR_THRESHOLD] = bits_u32(level->threshold[i]);
            scalars[SCALAR_CUT] = bits_u32(level->threshold[i] - (f32)(0.5 * bandwidth));
        }
        if (level->encoder_weight && !device_model->part)
            status =
                hsae_ranged_write(device_model, &device_model->encoder, device_model->first[l], level->features, level->encoder_weight);
        if (!status && level->decoder_weight && !device_model->part)
            status =
                hsae_ranged_write(device_model, &device_model->decoder, device_model->first[l], level->features, level->decoder_weight);
        if (!status)
            status = hsae_rows_write(device_model, device_model->bias, l, 1, level->decoder_bias);
    }
    if (!status)
        status = hsae_buffer_write(device_model->feature_scalars, 0, (uint64_t)device_model->features * SCALAR_WORDS * sizeof(u32),
                                   feature_scalars);
done:
    free(feature_scalars);
    free(mean);
    return status;
}
