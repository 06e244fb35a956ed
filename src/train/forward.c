/* SPDX-License-Identifier: MIT */
#include "forward.h"

#include "launch.h"
#include <math.h>

void hsae_forward_fit(const struct stack *stack)
{
    FIT(stack, 1, HSAE_KERNEL_load, HSAE_KERNEL_encode, HSAE_KERNEL_lists_count, HSAE_KERNEL_scan, HSAE_KERNEL_lists_fill,
        HSAE_KERNEL_samples_count, HSAE_KERNEL_samples_base, HSAE_KERNEL_samples_fill);
    FIT(stack, stack->ranges, HSAE_KERNEL_decode);
    if (stack->screens)
        FIT(stack, 1, HSAE_KERNEL_quantize, HSAE_KERNEL_screen);
}

void hsae_record_load(const struct stack *stack, struct hsae_sequence *sequence, struct hsae_buffer *raw, uint32_t format, float scale,
                      bool floats)
{
    floats = floats || !stack->screens;
    struct load_args args = {stack->rows, stack->padded, stack->dim, stack->stride, format, scale, floats};
    LAUNCH(stack, sequence, load, 1, (uint64_t)stack->words * LOAD_BLOCKS(stack->stride), args, .raw = raw, .mean = stack->mean,
           .x = stack->x, .panels = floats ? stack->panels : stack->nil[0], .norms = stack->norms);
    struct quantize_args quantize = {stack->padded, stack->stride};
    if (!floats)
        LAUNCH(stack, sequence, quantize, 1, stack->words, quantize, .x = stack->x, .words = stack->panels, .units = stack->units);
}

void hsae_record_encode(const struct stack *stack, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    struct encode_args args = {first, first % stack->range_rows, count, stack->rows, stack->words, stack->dim, stack->stride};
    LAUNCH(stack, sequence, encode, 1, hsae_encode_groups(stack, count), args, .panels = stack->panels,
           .encoder = stack->encoder.range[first / stack->range_rows], .feature_scalars = stack->feature_scalars, .bits = stack->bits,
           .scratch = stack->scratch);
}

static void record_screen(const struct stack *stack, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    uint32_t tile = hsae_screen_tile(stack);
    struct screen_args args = {first,         first % stack->range_rows, count, stack->rows, stack->words,
                               stack->stride, SCREEN_MARGIN(stack->dim)};
    LAUNCH(stack, sequence, screen, 1, ((uint64_t)count + tile - 1) / tile, args, .panels = stack->panels, .units = stack->units,
           .x = stack->x, .encoder = stack->encoder.range[first / stack->range_rows], .feature_scalars = stack->feature_scalars,
           .rounded = stack->rounded, .bits = stack->bits, .scratch = stack->scratch);
}

/* A chunk of features: all of one range of E. */
static void record_chunk(const struct stack *stack, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    struct lists_count_args lists_count = {first, count, stack->words};
    struct scan_args scan = {first, count, stack->capacity};
    struct lists_fill_args fill = {
        first, count, stack->words, stack->features, stack->capacity, hsae_buffer_size(stack->history) > 64, stack->screens};
    (stack->screens ? record_screen : hsae_record_encode)(stack, sequence, first, count);
    LAUNCH(stack, sequence, lists_count, 1, hsae_groups_for(stack, HSAE_KERNEL_lists_count, count), lists_count, .bits = stack->bits,
           .counts = stack->counts);
    LAUNCH(stack, sequence, scan, 1, 1, scan, .counts = stack->counts, .starts = stack->starts, .step_state = stack->step_state);
    LAUNCH(stack, sequence, lists_fill, 1, hsae_groups_for(stack, HSAE_KERNEL_lists_fill, count), fill, .step_state = stack->step_state,
           .bits = stack->bits, .starts = stack->starts, .feature_scalars = stack->feature_scalars, .scratch = stack->scratch,
           .pairs = stack->pairs, .active_count = stack->active_count, .word_starts = stack->word_starts, .history = stack->history);
}

void hsae_record_lists(const struct stack *stack, struct hsae_sequence *sequence)
{
    for (uint32_t first = 0, count; first < stack->features; first += count) {
        uint32_t range_left = stack->range_rows - first % stack->range_rows, left = stack->features - first;
        count = stack->chunk < left ? stack->chunk : left;
        count = count < range_left ? count : range_left;
        record_chunk(stack, sequence, first, count);
    }
    uint64_t items = (uint64_t)stack->blocks * stack->words, lists = (uint64_t)stack->levels * stack->rows;
    struct samples_count_args samples_count = {stack->levels, stack->words, stack->block};
    struct samples_base_args base = {stack->levels, stack->rows, stack->words, stack->block};
    struct scan_args scan = {0, (u32)lists, 0};
    struct samples_fill_args fill = {stack->levels, stack->rows, stack->words, stack->block};
    LAUNCH(stack, sequence, samples_count, 1, hsae_groups_for(stack, HSAE_KERNEL_samples_count, items), samples_count, .bits = stack->bits,
           .tree = stack->tree, .level_info = stack->level_info, .tally = stack->tally);
    LAUNCH(stack, sequence, samples_base, 1, hsae_groups_for(stack, HSAE_KERNEL_samples_base, lists), base, .level_info = stack->level_info,
           .tally = stack->tally, .totals = stack->totals);
    LAUNCH(stack, sequence, scan, 1, 1, scan, .counts = stack->totals, .starts = stack->sample_starts, .step_state = stack->step_state);
    LAUNCH(stack, sequence, samples_fill, 1, hsae_groups_for(stack, HSAE_KERNEL_samples_fill, items), fill, .bits = stack->bits,
           .tree = stack->tree, .level_info = stack->level_info, .feature_scalars = stack->feature_scalars, .step_state = stack->step_state,
           .word_starts = stack->word_starts, .pairs = stack->pairs, .sample_starts = stack->sample_starts, .tally = stack->tally,
           .samples = stack->samples, .positions = stack->positions);
}

void hsae_record_decode(const struct stack *stack, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    struct decode_args args = {.levels = stack->levels,
                               .rows = stack->rows,
                               .padded = stack->padded,
                               .stride = stack->stride,
                               .range_rows = stack->range_rows,
                               .slices = stack->slices};
    for (uint32_t l = first; l < first + count; l += args.count) {
        args.level = l;
        args.count = hsae_residual_levels(stack, l, first + count);
        args.row = hsae_residual_row(stack, l);
        LAUNCH(stack, sequence, decode, stack->ranges, (uint64_t)args.count * stack->slices * stack->rows, args, .x = stack->x,
               .bias = stack->bias, .D = RANGES4(stack, stack->decoder), .flags = stack->flags, .sample_starts = stack->sample_starts,
               .samples = stack->samples, .step_state = stack->step_state, .residual = hsae_residual(stack, l), .loss = stack->loss);
    }
}
