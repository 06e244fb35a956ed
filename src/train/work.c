/* SPDX-License-Identifier: MIT */
#include "work.h"
#include "device/shape.h"

static double level_features(const struct device_model *device_model, uint32_t level)
{
    return level < device_model->levels ? device_model->first[level + 1] - device_model->first[level] : device_model->features;
}

static double encode_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    (void)args;
    struct hsae_kernel_shape shape = hsae_shape(device_model->device, HSAE_KERNEL_encode, 1);
    struct hsae_tile tile;
    hsae_shape_tile(&shape, &tile);
    return (double)groups * tile.features * tile.words * 32 * device_model->stride;
}

static double screen_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    const struct screen_args *screen = args;
    (void)groups;
    return (double)screen->count * device_model->padded * device_model->stride;
}

static double screen8_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    const struct screen8_args *screen = args;
    (void)groups;
    return (double)screen->count * device_model->padded * device_model->stride;
}

/* All of the batch, in and out. */
static double batch_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    (void)groups, (void)args;
    return 2.0 * device_model->batch * device_model->stride;
}

static double bias_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    const struct bias_args *bias = args;
    return batch_work(device_model, groups, args) * (bias->count + bias->squares);
}

/* All partial sums, in and out. */
static double merge_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    const struct merge_args *merge = args;
    return batch_work(device_model, groups, args) * (merge->shards + 1);
}

/* Of each level its pairs, and those of its children. */
static double decode_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    const struct decode_args *decode = args;
    (void)groups;
    const double share = decode->partial ? 1.0 / device_model->shards : 1;
    return device_model->stride * (2.0 * device_model->capacity / device_model->levels * share + 3.0 * device_model->batch) * decode->count;
}

/* All pairs of its levels, were they in segments. */
static double segment_rows_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    const struct segment_rows_args *segments = args;
    (void)groups;
    return 3.0 * device_model->stride * device_model->capacity / device_model->levels * segments->count;
}

/* Each pair reads three rows, of the sample and of relatives; each feature has four rows that are read and written. */
static double update_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    const struct update_args *update = args;
    double rows = update->dead && update->dead < update->ranks ? update->dead : update->ranks,
           share = rows / level_features(device_model, update->level);
    (void)groups;
    return device_model->stride * (3.0 * share * device_model->capacity / device_model->levels + 12.0 * rows);
}

/* A row or two for each group. */
static double rows_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    (void)args;
    return 2 * (double)groups * device_model->stride;
}

/* All features of the level, were they dead. */
static double ghost_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    const struct ghost_args *ghost = args;
    const double features[] = {[GHOST_WHOLE] = level_features(device_model, ghost->level), [GHOST_SUM] = ghost->ranks, [GHOST_BLEND] = 1};
    return batch_work(device_model, groups, args) * features[ghost->part];
}

static double ghost_rows_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    return batch_work(device_model, groups, args) * (double)groups;
}

static double relink_count_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    const struct relink_count_args *count = args;
    (void)device_model, (void)groups;
    return (double)count->children * count->parents * count->words;
}

static double relink_best_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    const struct relink_best_args *best = args;
    (void)device_model, (void)groups;
    return (double)best->children * best->parents;
}

/* The bitmap, and what is set in it. */
static double lists_work(const struct device_model *device_model, uint64_t groups, const void *args)
{
    (void)groups, (void)args;
    return (double)device_model->features * device_model->words + 4.0 * device_model->capacity;
}

double hsae_launch_work(const struct device_model *device_model, enum hsae_kernel kernel, uint64_t groups, const void *args)
{
    static double (*const works[HSAE_KERNEL_COUNT])(const struct device_model *, uint64_t, const void *) = {
        [HSAE_KERNEL_encode] = encode_work,
        [HSAE_KERNEL_screen] = screen_work,
        [HSAE_KERNEL_quantize] = batch_work,
        [HSAE_KERNEL_screen8] = screen8_work,
        [HSAE_KERNEL_quantize8] = batch_work,
        [HSAE_KERNEL_load] = batch_work,
        [HSAE_KERNEL_bias] = bias_work,
        [HSAE_KERNEL_decode] = decode_work,
        [HSAE_KERNEL_segment_rows] = segment_rows_work,
        [HSAE_KERNEL_update] = update_work,
        [HSAE_KERNEL_family_dot] = rows_work,
        [HSAE_KERNEL_relink_rows] = rows_work,
        [HSAE_KERNEL_ghost] = ghost_work,
        [HSAE_KERNEL_ghost_rows] = ghost_rows_work,
        [HSAE_KERNEL_relink_count] = relink_count_work,
        [HSAE_KERNEL_relink_best] = relink_best_work,
        [HSAE_KERNEL_merge] = merge_work,
    };
    if (hsae_kernels[kernel].work == HSAE_WORK_SINGLE)
        return 0; /* one group, or one a level: never cut */
    return (works[kernel] ? works[kernel] : lists_work)(device_model, groups, args);
}
