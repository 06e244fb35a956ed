/* SPDX-License-Identifier: MIT */
#include "work.h"
#include "device/shape.h"

#include <string.h>

static double level_features(const struct stack *stack, uint32_t level)
{
    return level < stack->levels ? stack->first[level + 1] - stack->first[level] : stack->features;
}

static double encode_work(const struct stack *stack, uint64_t groups)
{
    struct hsae_kernel_shape shape = hsae_shape_compiled(stack->device, HSAE_KERNEL_encode, 1);
    struct hsae_tile tile;
    hsae_shape_tile(&shape, &tile);
    return (double)groups * tile.features * tile.words * 32 * stack->stride;
}

/* Each pair reads three rows, of the sample and of relatives; each feature has four rows that are read and written. */
static double update_work(const struct stack *stack, const void *args)
{
    struct update_args update;
    memcpy(&update, args, sizeof update);
    double rows = update.dead && update.dead < update.ranks ? update.dead : update.ranks,
           share = rows / level_features(stack, update.level);
    return stack->stride * (3.0 * share * stack->capacity / stack->levels + 12.0 * rows);
}

double hsae_launch_work(const struct stack *stack, enum hsae_kernel kernel, uint64_t groups, const void *args)
{
    double row = stack->stride, samples = stack->rows, pairs = stack->capacity;
    struct relink_count_args count;
    struct relink_best_args best;
    struct bias_args bias;
    struct decode_args decode;
    struct segment_rows_args segments;
    uint32_t level;
    switch (kernel) {
    case HSAE_KERNEL_encode:
        return encode_work(stack, groups);
    case HSAE_KERNEL_screen: {
        struct screen_args screen;
        memcpy(&screen, args, sizeof screen);
        return (double)screen.count * stack->padded * row;
    }
    case HSAE_KERNEL_quantize:
    case HSAE_KERNEL_load:
    case HSAE_KERNEL_variance:
        return 2 * samples * row;
    case HSAE_KERNEL_bias:
        memcpy(&bias, args, sizeof bias);
        return 2 * samples * row * bias.count;
    case HSAE_KERNEL_decode: /* of each level its pairs, and those of its children */
        memcpy(&decode, args, sizeof decode);
        return row * (2 * pairs / stack->levels + 3 * samples) * decode.count;
    case HSAE_KERNEL_segment_rows: /* all pairs of its levels, were they in segments */
        memcpy(&segments, args, sizeof segments);
        return 3 * row * pairs / stack->levels * segments.count;
    case HSAE_KERNEL_update:
        return update_work(stack, args);
    case HSAE_KERNEL_family_dot:
    case HSAE_KERNEL_relink_rows:
        return 2 * (double)groups * row;
    case HSAE_KERNEL_ghost: /* all features of the level, were they dead */
        memcpy(&level, args, sizeof level);
        return 2 * samples * row * level_features(stack, level);
    case HSAE_KERNEL_ghost_rows:
        return 2 * (double)groups * samples * row;
    case HSAE_KERNEL_relink_count:
        memcpy(&count, args, sizeof count);
        return (double)count.children * count.parents * count.words;
    case HSAE_KERNEL_relink_best:
        memcpy(&best, args, sizeof best);
        return (double)best.children * best.parents;
    case HSAE_KERNEL_prepare:
    case HSAE_KERNEL_scan:
    case HSAE_KERNEL_segments:
    case HSAE_KERNEL_control:
    case HSAE_KERNEL_ghost_scale:
        return 0; /* one group, or one a level: never cut */
    default:      /* lists: the bitmap, and what is set in it */
        return (double)stack->features * stack->words + 4 * pairs;
    }
}
