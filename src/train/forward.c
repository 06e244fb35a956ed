/* SPDX-License-Identifier: MIT */
#include "forward.h"

#include "launch.h"
#include <math.h>

void hsae_forward_fit(const struct device_model *device_model)
{
    FIT(device_model, 1, HSAE_KERNEL_load, HSAE_KERNEL_encode, HSAE_KERNEL_lists_count, HSAE_KERNEL_scan, HSAE_KERNEL_lists_fill,
        HSAE_KERNEL_samples_count, HSAE_KERNEL_samples_base, HSAE_KERNEL_samples_fill);
    FIT(device_model, device_model->ranges, HSAE_KERNEL_decode);
    if (device_model->screens == 16)
        FIT(device_model, 1, HSAE_KERNEL_quantize, HSAE_KERNEL_screen);
    if (device_model->screens == 8)
        FIT(device_model, 1, HSAE_KERNEL_quantize8, HSAE_KERNEL_screen8);
    if (device_model->shards > 1 || device_model->part)
        FIT(device_model, 1, HSAE_KERNEL_merge);
}

void hsae_record_load(const struct device_model *device_model, struct hsae_sequence *sequence, struct hsae_buffer *raw, uint32_t format,
                      float scale, bool floats)
{
    const uint32_t bits = floats ? 0 : device_model->screens;
    struct load_args args = {device_model->batch, device_model->padded, device_model->dim, device_model->stride, format, scale, bits == 0};
    LAUNCH(device_model, sequence, load, 1, (uint64_t)device_model->words * LOAD_BLOCKS(device_model->stride), args, .raw = raw,
           .mean = device_model->mean, .x = device_model->x, .panels = bits ? device_model->unused_binding[0] : device_model->panels,
           .norms = device_model->norms);
    struct quantize_args quantize = {device_model->padded, device_model->stride};
    struct quantize8_args quantize8 = {device_model->padded, device_model->stride};
    if (bits == 8)
        LAUNCH(device_model, sequence, quantize8, 1, hsae_groups_for(device_model, HSAE_KERNEL_quantize8, device_model->words), quantize8,
               .x = device_model->x, .mixed = device_model->mixed, .words = device_model->panels, .units = device_model->units);
    if (bits == 16)
        LAUNCH(device_model, sequence, quantize, 1, device_model->words, quantize, .x = device_model->x, .words = device_model->panels,
               .units = device_model->units);
}

void hsae_record_encode(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    struct encode_args args = {
        first, first % device_model->range_rows, count, device_model->batch, device_model->words, device_model->dim, device_model->stride};
    LAUNCH(device_model, sequence, encode, 1, hsae_encode_groups(device_model, count), args, .panels = device_model->panels,
           .encoder = device_model->encoder.range[first / device_model->range_rows], .feature_scalars = device_model->feature_scalars,
           .bits = device_model->bits, .scratch = device_model->scratch);
}

static void record_screen(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    uint32_t tile = hsae_screen_tile(device_model);
    struct screen_args args = {first,
                               first % device_model->range_rows,
                               count,
                               device_model->batch,
                               device_model->words,
                               device_model->stride,
                               SCREEN_MARGIN(device_model->dim)};
    LAUNCH(device_model, sequence, screen, 1, ((uint64_t)count + tile - 1) / tile, args, .panels = device_model->panels,
           .units = device_model->units, .x = device_model->x, .encoder = device_model->encoder.range[first / device_model->range_rows],
           .feature_scalars = device_model->feature_scalars, .rounded = device_model->rounded, .bits = device_model->bits,
           .scratch = device_model->scratch);
}

static void record_screen8(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    uint32_t tile = hsae_screen_tile(device_model);
    struct screen8_args args = {
        first, first % device_model->range_rows, count, device_model->batch, device_model->words, device_model->stride};
    LAUNCH(device_model, sequence, screen8, 1, ((uint64_t)count + tile - 1) / tile, args, .panels = device_model->panels,
           .units = device_model->units, .x = device_model->x, .encoder = device_model->encoder.range[first / device_model->range_rows],
           .feature_scalars = device_model->feature_scalars, .mixed = device_model->mixed, .rounded = device_model->rounded,
           .bits = device_model->bits, .scratch = device_model->scratch);
}

/* Pairs by sample, before they are listed: how many each sample has of each block of features, and of each level. */
static void record_samples_count(const struct device_model *device_model, struct hsae_sequence *sequence)
{
    uint64_t items = (uint64_t)device_model->blocks * device_model->words, lists = (uint64_t)device_model->levels * device_model->batch;
    struct samples_count_args samples_count = {device_model->levels, device_model->words, device_model->block};
    struct samples_base_args base = {device_model->levels, device_model->batch, device_model->words, device_model->block};
    LAUNCH(device_model, sequence, samples_count, 1, hsae_groups_for(device_model, HSAE_KERNEL_samples_count, items), samples_count,
           .bits = device_model->bits, .tree = device_model->tree, .level_info = device_model->level_info, .tally = device_model->tally);
    LAUNCH(device_model, sequence, samples_base, 1, hsae_groups_for(device_model, HSAE_KERNEL_samples_base, lists), base,
           .level_info = device_model->level_info, .tally = device_model->tally, .totals = device_model->totals);
}

/* A chunk of features: all of one range of E. The last one's scan is also that of the lists by sample. */
static void record_chunk(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t first, uint32_t count,
                         struct hsae_buffer *owners)
{
    bool last = first + count == device_model->features;
    struct lists_count_args lists_count = {first, count, device_model->words};
    struct scan_args scan = {first,
                             count,
                             device_model->capacity,
                             last ? device_model->levels * device_model->batch : 0,
                             last && owners ? (u32)(hsae_buffer_size(owners) / sizeof(u32)) : 0,
                             SEGMENT_PAIRS(device_model->batch)};
    struct lists_fill_args fill = {first,
                                   count,
                                   device_model->words,
                                   device_model->features,
                                   device_model->capacity,
                                   hsae_buffer_size(device_model->history) > 64,
                                   device_model->screens != 0};
    (device_model->screens == 8 ? record_screen8
     : device_model->screens    ? record_screen
                                : hsae_record_encode)(device_model, sequence, first, count);
    LAUNCH(device_model, sequence, lists_count, 1, hsae_groups_for(device_model, HSAE_KERNEL_lists_count, count), lists_count,
           .bits = device_model->bits, .counts = device_model->counts);
    if (last)
        record_samples_count(device_model, sequence);
    LAUNCH(device_model, sequence, scan, 1, last ? 2 : 1, scan, .counts = device_model->counts, .starts = device_model->starts,
           .step_state = device_model->step_state, .totals = device_model->totals, .sample_starts = device_model->sample_starts,
           .feature_scalars = device_model->feature_scalars, .owners = owners ? owners : device_model->unused_binding[0]);
    LAUNCH(device_model, sequence, lists_fill, 1, hsae_groups_for(device_model, HSAE_KERNEL_lists_fill, count), fill,
           .step_state = device_model->step_state, .bits = device_model->bits, .starts = device_model->starts,
           .feature_scalars = device_model->feature_scalars, .scratch = device_model->scratch, .pairs = device_model->pairs,
           .active_count = device_model->active_count, .word_starts = device_model->word_starts, .history = device_model->history);
}

void hsae_record_lists(const struct device_model *device_model, struct hsae_sequence *sequence, struct hsae_buffer *owners)
{
    for (uint32_t first = 0, count; first < device_model->features; first += count) {
        uint32_t range_left = device_model->range_rows - first % device_model->range_rows, left = device_model->features - first;
        count = device_model->chunk < left ? device_model->chunk : left;
        count = count < range_left ? count : range_left;
        record_chunk(device_model, sequence, first, count, owners);
    }
    uint64_t items = (uint64_t)device_model->blocks * device_model->words;
    struct samples_fill_args fill = {device_model->levels, device_model->batch, device_model->words, device_model->block};
    LAUNCH(device_model, sequence, samples_fill, 1, hsae_groups_for(device_model, HSAE_KERNEL_samples_fill, items), fill,
           .bits = device_model->bits, .tree = device_model->tree, .level_info = device_model->level_info,
           .feature_scalars = device_model->feature_scalars, .step_state = device_model->step_state,
           .word_starts = device_model->word_starts, .pairs = device_model->pairs, .sample_starts = device_model->sample_starts,
           .tally = device_model->tally, .samples = device_model->samples, .positions = device_model->positions);
}

void hsae_record_merge(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t level, uint32_t count,
                       struct hsae_buffer *partials, struct hsae_buffer *plain)
{
    struct merge_args args = {.residual = !plain,
                              .level = level,
                              .row = plain ? 0 : hsae_residual_row(device_model, level),
                              .shards = count,
                              .batch = device_model->batch,
                              .padded = device_model->padded,
                              .stride = device_model->stride,
                              .slices = device_model->slices};
    LAUNCH(device_model, sequence, merge, 1, (uint64_t)device_model->slices * device_model->batch, args, .x = device_model->x,
           .bias = device_model->bias, .step_state = device_model->step_state, .partials = partials,
           .sum = plain ? plain : hsae_residual(device_model, level), .loss = device_model->loss);
}

/* All but the levels, and what of them. */
static struct decode_args decode_args(const struct device_model *device_model)
{
    return (struct decode_args){.levels = device_model->levels,
                                .batch = device_model->batch,
                                .padded = device_model->padded,
                                .stride = device_model->stride,
                                .range_rows = device_model->range_rows,
                                .slices = device_model->slices};
}

/* What `args` names of the decoder's levels, to `residual`. */
static void launch_decode(const struct device_model *device_model, struct hsae_sequence *sequence, const struct decode_args *args,
                          struct hsae_buffer *residual)
{
    LAUNCH(device_model, sequence, decode, device_model->ranges, (uint64_t)args->count * device_model->slices * device_model->batch, *args,
           .x = device_model->x, .bias = device_model->bias, .D = RANGES4(device_model, device_model->decoder),
           .flags = device_model->flags, .sample_starts = device_model->sample_starts, .samples = device_model->samples,
           .step_state = device_model->step_state, .tree = device_model->tree, .residual = residual, .loss = device_model->loss);
}

void hsae_record_sum(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t level, struct hsae_buffer *plain)
{
    struct decode_args args = decode_args(device_model);
    args.level = level;
    args.count = args.partial = 1;
    for (uint32_t s = 0; s < device_model->shards; s++) {
        const uint32_t below = level + 1 < device_model->levels ? level + 1 : level; /* of the last level none are read */
        args.row = s * device_model->padded;
        args.rank = device_model->shard_rank[level][s];
        args.ranks = device_model->shard_rank[level][s + 1] - args.rank;
        args.below = device_model->shard_rank[below][s];
        args.below_ranks = device_model->shard_rank[below][s + 1] - args.below;
        launch_decode(device_model, sequence, &args, device_model->partials);
    }
    hsae_record_merge(device_model, sequence, level, device_model->shards, device_model->partials, plain);
}

void hsae_record_decode(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    struct decode_args args = decode_args(device_model);
    for (uint32_t l = first; l < first + count && device_model->shards > 1; l++)
        hsae_record_sum(device_model, sequence, l, NULL);
    for (uint32_t l = first; l < first + count && device_model->shards == 1; l += args.count) {
        args.level = l;
        args.count = hsae_residual_levels(device_model, l, first + count);
        args.row = hsae_residual_row(device_model, l);
        launch_decode(device_model, sequence, &args, hsae_residual(device_model, l));
    }
}
