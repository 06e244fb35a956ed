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
    LAUNCH(stack, sequence, load, 1, (uint64_t)stack->words * LOAD_BLOCKS(stack->stride), args, raw, stack->mean, stack->x,
           floats ? stack->panels : stack->nil[0], stack->norms);
    struct quantize_args quantize = {stack->padded, stack->stride};
    if (!floats)
        LAUNCH(stack, sequence, quantize, 1, stack->words, quantize, stack->x, stack->panels, stack->units);
}

void hsae_record_encode(const struct stack *stack, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    struct encode_args args = {first, first % stack->range_rows, count, stack->rows, stack->words, stack->dim, stack->stride};
    LAUNCH(stack, sequence, encode, 1, hsae_encode_groups(stack, count), args, stack->panels,
           stack->encoder.range[first / stack->range_rows], stack->table, stack->bits, stack->scratch);
}

static void record_screen(const struct stack *stack, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    uint32_t tile = hsae_screen_tile(stack);
    struct screen_args args = {first,         first % stack->range_rows, count, stack->rows, stack->words,
                               stack->stride, SCREEN_MARGIN(stack->dim)};
    LAUNCH(stack, sequence, screen, 1, ((uint64_t)count + tile - 1) / tile, args, stack->panels, stack->units, stack->x,
           stack->encoder.range[first / stack->range_rows], stack->table, stack->rounded, stack->bits, stack->scratch);
}

/* A chunk of features: all of one range of E. */
static void record_chunk(const struct stack *stack, struct hsae_sequence *sequence, uint32_t first, uint32_t count)
{
    struct lists_count_args lists_count = {first, count, stack->words};
    struct scan_args scan = {first, count, stack->capacity};
    struct lists_fill_args fill = {
        first, count, stack->words, stack->features, stack->capacity, hsae_buffer_size(stack->history) > 64, stack->screens};
    (stack->screens ? record_screen : hsae_record_encode)(stack, sequence, first, count);
    LAUNCH(stack, sequence, lists_count, 1, hsae_groups_for(stack, HSAE_KERNEL_lists_count, count), lists_count, stack->bits,
           stack->counts);
    LAUNCH(stack, sequence, scan, 1, 1, scan, stack->counts, stack->starts, stack->control);
    LAUNCH(stack, sequence, lists_fill, 1, hsae_groups_for(stack, HSAE_KERNEL_lists_fill, count), fill, stack->control, stack->bits,
           stack->starts, stack->table, stack->scratch, stack->pairs, stack->fired, stack->word_starts, stack->history);
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
    LAUNCH(stack, sequence, samples_count, 1, hsae_groups_for(stack, HSAE_KERNEL_samples_count, items), samples_count, stack->bits,
           stack->tree, stack->levels_table, stack->tally);
    LAUNCH(stack, sequence, samples_base, 1, hsae_groups_for(stack, HSAE_KERNEL_samples_base, lists), base, stack->levels_table,
           stack->tally, stack->totals);
    LAUNCH(stack, sequence, scan, 1, 1, scan, stack->totals, stack->sample_starts, stack->control);
    LAUNCH(stack, sequence, samples_fill, 1, hsae_groups_for(stack, HSAE_KERNEL_samples_fill, items), fill, stack->bits, stack->tree,
           stack->levels_table, stack->table, stack->control, stack->word_starts, stack->pairs, stack->sample_starts, stack->tally,
           stack->samples, stack->positions);
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
        LAUNCH(stack, sequence, decode, stack->ranges, (uint64_t)args.count * stack->slices * stack->rows, args, stack->x, stack->bias,
               RANGES4(stack, stack->decoder), stack->flags, stack->sample_starts, stack->samples, stack->control, hsae_residual(stack, l),
               stack->loss);
    }
}
