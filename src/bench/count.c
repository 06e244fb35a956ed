/* SPDX-License-Identifier: MIT */
/* How much a step's kernels have to do: include/hsae/bench.h states the rule, each function below is a formula of it. */
#include "bench.h"

#include "base/context.h"
#include <math.h>
#include <stdlib.h>

static const double F = sizeof(f32);

static void encode(const struct work *w, double *flops, double *bytes)
{
    double rows = w->batch, d = w->dim, n = (double)w->features;
    *flops = 2 * rows * d * n;
    *bytes = F * (rows * d + n * d + 2 * n) + F * n * w->words + F * (double)w->listed; /* + bias and cut */
}

static void decode(const struct work *w, double *flops, double *bytes)
{
    double planes = (double)w->batch * w->dim * w->levels;
    *flops = 2 * (double)w->active * w->dim + 3 * planes;
    *bytes = F * w->dim * (double)w->touched + 2 * F * planes + 2 * F * (double)w->listed;
}

/* An element of a touched row: its gradient, its second moment, its step and, of D, its renormalisation: 18 operations for D, 11 for E. */
static void update(const struct work *w, double *flops, double *bytes)
{
    double d = w->dim, listed = (double)w->listed, touched = (double)w->touched;
    *flops = 2 * listed * d + 4 * (double)w->active * d + 29 * d * touched;
    *bytes = 8 * F * d * touched + 2 * F * (double)w->batch * d * w->levels + 4 * F * listed;
}

/* Bytes of one word a feature. */
static double feature_words(const struct work *w)
{
    return F * (double)w->features;
}

static double plane(const struct work *w)
{
    return (double)w->batch * w->dim;
}

static void load(const struct work *w, double *flops, double *bytes) /* x twice: rows and panels */
{
    *flops = 4 * plane(w);
    *bytes = (w->raw_bytes + 2 * F) * plane(w);
}

static void feature_flags(const struct work *w, double *flops, double *bytes) /* two words of the tree, last_fired, decoder row, flags */
{
    (void)flops;
    *bytes = 5 * feature_words(w);
}

static void prepare(const struct work *w, double *flops, double *bytes)
{
    *flops = w->words * LOAD_BLOCKS(w->stride);
    *bytes = feature_words(w) + F * w->words * LOAD_BLOCKS(w->stride);
}

static void quantize(const struct work *w, double *flops, double *bytes)
{
    *flops = 3 * plane(w);
    *bytes = 1.5 * F * plane(w) + F * w->batch;
}

/* Mixing: 4 sums and a product of each element. */
static void quantize8(const struct work *w, double *flops, double *bytes)
{
    *flops = 13 * plane(w);
    *bytes = 1.25 * F * plane(w) + UNIT_WORDS * F * w->batch;
}

static double bits(const struct work *w)
{
    return feature_words(w) * w->words;
}
static double tallies(const struct work *w)
{
    return F * (double)w->tallies;
}
static double lists(const struct work *w)
{
    return F * w->levels * (double)w->batch;
}
static double pairs(const struct work *w)
{
    return F * (double)w->listed;
}

static void lists_count(const struct work *w, double *flops, double *bytes)
{
    (void)flops;
    *bytes = bits(w) + feature_words(w);
}

static void scan(const struct work *w, double *flops, double *bytes) /* by feature and by sample */
{
    (void)flops;
    *bytes = 2 * feature_words(w) + 2 * lists(w);
}

static void lists_fill(const struct work *w, double *flops, double *bytes)
{
    (void)flops;
    *bytes = 2 * bits(w) + 3 * feature_words(w) + 3 * pairs(w);
}

static void samples_count(const struct work *w, double *flops, double *bytes)
{
    (void)flops;
    *bytes = bits(w) + feature_words(w) + tallies(w);
}

static void samples_base(const struct work *w, double *flops, double *bytes)
{
    (void)flops;
    *bytes = 2 * tallies(w) + lists(w);
}

static void samples_fill(const struct work *w, double *flops, double *bytes)
{
    (void)flops;
    *bytes = 2 * bits(w) + 2 * feature_words(w) + 2 * tallies(w) + lists(w) + 5 * pairs(w);
}

static void family_dot(const struct work *w, double *flops, double *bytes)
{
    *flops = 2 * (double)w->with_parent * w->dim;
    *bytes = F * w->dim * (double)(w->with_parent + w->with_children) + feature_words(w);
}

static void family(const struct work *w, double *flops, double *bytes) /* by sample: pairs, positions; five words of pair_terms */
{
    *flops = 4 * (double)w->listed;
    *bytes = (3 + 5) * F * (double)w->listed + TREE_WORDS * feature_words(w);
}

static void bias(const struct work *w, double *flops, double *bytes) /* and the squares of x */
{
    *flops = w->levels * (plane(w) + 12.0 * w->dim) + 4 * plane(w);
    *bytes = F * w->levels * (plane(w) + 4.0 * w->dim) + F * plane(w);
}

/* feature_sums, active samples, last_fired; three words of the threshold, read and written. */
static void finish_step(const struct work *w, double *flops, double *bytes)
{
    *flops = 2 * (double)w->features;
    *bytes = (FEATURE_SUM_WORDS + 2 + 6) * feature_words(w) + F * w->levels * (double)w->batch;
}

void hsae_bench_count(enum hsae_kernel kernel, const struct work *w, double *flops, double *bytes)
{
    /* Not counted: segment_rows, which has a part of the pairs of `update`; ghosts, since no feature of a benchmark is dead; the kernels of
     * the tree, which are timed as a whole; peaks. Screening saves none of encode's work, it does it in another way. */
    static void (*const counts[HSAE_KERNEL_COUNT + 1])(const struct work *, double *, double *) = {
        [HSAE_KERNEL_load] = load,
        [HSAE_KERNEL_feature_flags] = feature_flags,
        [HSAE_KERNEL_prepare] = prepare,
        [HSAE_KERNEL_encode] = encode,
        [HSAE_KERNEL_quantize] = quantize,
        [HSAE_KERNEL_screen] = encode,
        [HSAE_KERNEL_quantize8] = quantize8,
        [HSAE_KERNEL_screen8] = encode,
        [HSAE_KERNEL_lists_count] = lists_count,
        [HSAE_KERNEL_scan] = scan,
        [HSAE_KERNEL_lists_fill] = lists_fill,
        [HSAE_KERNEL_samples_count] = samples_count,
        [HSAE_KERNEL_samples_base] = samples_base,
        [HSAE_KERNEL_samples_fill] = samples_fill,
        [HSAE_KERNEL_decode] = decode,
        [HSAE_KERNEL_family_dot] = family_dot,
        [HSAE_KERNEL_family] = family,
        [HSAE_KERNEL_update] = update,
        [HSAE_KERNEL_bias] = bias,
        [HSAE_KERNEL_finish_step] = finish_step,
    };
    *flops = *bytes = 0;
    if (counts[kernel])
        counts[kernel](w, flops, bytes);
}

/* HSAE_KERNEL_COUNT: the only product that a step may have. */
const char *hsae_bench_group(enum hsae_kernel kernel)
{
    return kernel == HSAE_KERNEL_COUNT ? hsae_kernels[HSAE_KERNEL_encode].group : hsae_kernels[kernel].group;
}

/* Of the active features of a sample that have a parent, those whose parent is active too. */
static double active_parents(const hsae_trainer *trainer, uint32_t level, const u32 *starts, const u32 *samples, uint8_t *is_active)
{
    const struct device_model *device_model = &trainer->device_model;
    uint64_t children = 0, both = 0;
    for (uint32_t b = 0; b < device_model->batch; b++) {
        uint32_t up = (level - 1) * device_model->batch + b, own = level * device_model->batch + b;
        for (u32 q = starts[up]; q < starts[up + 1]; q++)
            is_active[samples[2 * q]] = bits_f32(samples[2 * q + 1]) != 0;
        for (u32 q = starts[own]; q < starts[own + 1]; q++) {
            int32_t parent = trainer->parents[level][samples[2 * q] - device_model->first[level]];
            if (parent < 0 || bits_f32(samples[2 * q + 1]) == 0)
                continue;
            children++;
            both += is_active[device_model->first[level - 1] + (uint32_t)parent];
        }
        for (u32 q = starts[up]; q < starts[up + 1]; q++)
            is_active[samples[2 * q]] = 0;
    }
    return children ? (double)both / (double)children : NAN;
}

static hsae_status count_parents(const hsae_trainer *trainer, uint64_t listed, hsae_bench_level *levels)
{
    const struct device_model *device_model = &trainer->device_model;
    size_t lists = (size_t)device_model->levels * device_model->batch;
    u32 *starts = malloc((lists + 1) * sizeof *starts), *samples = malloc((2 * listed + 1) * sizeof *samples);
    uint8_t *is_active = calloc(device_model->features, 1);
    hsae_status status = starts && samples && is_active
                             ? hsae_buffer_read(device_model->sample_starts, 0, (lists + 1) * sizeof *starts, starts)
                             : hsae_fail(trainer->context, HSAE_ERROR_MEMORY, "out of memory for the pairs of a step");
    if (!status)
        status = hsae_buffer_read(device_model->samples, 0, 2 * listed * sizeof *samples, samples);
    for (uint32_t l = 0; l < device_model->levels && !status; l++)
        levels[l].p_parent_given_child = l ? active_parents(trainer, l, starts, samples, is_active) : NAN;
    free(starts);
    free(samples);
    free(is_active);
    return status;
}

/* Features of the level above that are somebody's parent. */
static hsae_status count_children(const hsae_trainer *trainer, uint32_t level, struct work *work)
{
    uint8_t *seen = calloc(trainer->config.levels[level - 1], 1);
    if (!seen)
        return hsae_fail(trainer->context, HSAE_ERROR_MEMORY, "out of memory for the tree of a step");
    for (uint32_t i = 0; i < trainer->config.levels[level]; i++) {
        int32_t parent = trainer->parents[level][i];
        work->with_children += parent >= 0 && !seen[parent];
        if (parent >= 0)
            seen[parent] = 1;
    }
    free(seen);
    return HSAE_OK;
}

static void count_level(const hsae_trainer *trainer, uint32_t l, const u32 *starts, const u32 *fired, hsae_bench_level *level)
{
    const struct device_model *device_model = &trainer->device_model;
    *level = (hsae_bench_level){.features = device_model->first[l + 1] - device_model->first[l]};
    level->listed = starts[device_model->first[l + 1]] - starts[device_model->first[l]];
    for (uint32_t i = device_model->first[l]; i < device_model->first[l + 1]; i++) {
        level->active += fired[i];
        level->touched += starts[i + 1] > starts[i];
        level->with_parent += l && trainer->parents[l][i - device_model->first[l]] >= 0;
    }
}

hsae_status hsae_bench_work(hsae_trainer *trainer, struct work *work, hsae_bench_level levels[HSAE_MAX_LEVELS])
{
    const struct device_model *device_model = &trainer->device_model;
    size_t n = device_model->features;
    u32 *starts = malloc((n + 1) * sizeof *starts), *fired = malloc(n * sizeof *fired);
    *work = (struct work){.batch = device_model->batch,
                          .padded = device_model->padded,
                          .words = device_model->words,
                          .dim = device_model->dim,
                          .stride = device_model->stride,
                          .levels = device_model->levels,
                          .raw_bytes = (uint32_t)hsae_dtype_size(trainer->dtype),
                          .features = n,
                          .tallies = (uint64_t)device_model->blocks * device_model->padded};
    hsae_status status = starts && fired ? hsae_buffer_read(device_model->starts, 0, (n + 1) * sizeof *starts, starts)
                                         : hsae_fail(trainer->context, HSAE_ERROR_MEMORY, "out of memory for the pairs of a step");
    if (!status)
        status = hsae_buffer_read(device_model->active_count, 0, n * sizeof *fired, fired);
    for (uint32_t l = 0; l < device_model->levels && !status; l++) {
        count_level(trainer, l, starts, fired, &levels[l]);
        work->listed += levels[l].listed;
        work->active += levels[l].active;
        work->touched += levels[l].touched;
        work->with_parent += levels[l].with_parent;
        status = l ? count_children(trainer, l, work) : HSAE_OK;
    }
    free(starts);
    free(fired);
    return status ? status : count_parents(trainer, work->listed, levels);
}
