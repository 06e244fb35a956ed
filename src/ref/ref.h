/* SPDX-License-Identifier: MIT */
/* The reference kernels: plain C, one file a kernel, sums in double. A kernel runs one whole launch. The work is given by the arguments
 * alone: the launch's groups and shape only cut it. */
#ifndef HSAE_SRC_REF_H
#define HSAE_SRC_REF_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/kernel.h"

/* struct hsae_NAME_memory: a kernel's bindings (kernels/args.h) as arrays; a tensor cut into ranges is an array of them. */
#define REF_TYPE_u32                         u32
#define REF_TYPE_f32                         f32
#define REF_TYPE_vf                          f32
#define REF_TYPE_vi                          u32
#define REF_MEMORY_READ(type, name)          const REF_TYPE_##type *name;
#define REF_MEMORY_WRITE(type, name)         REF_TYPE_##type *name;
#define REF_MEMORY_MODIFY(type, name)        REF_TYPE_##type *name;
#define REF_MEMORY_READ4(type, name)         REF_TYPE_##type *name[HSAE_MAX_RANGES];
#define REF_MEMORY_MODIFY4(type, name)       REF_TYPE_##type *name[HSAE_MAX_RANGES];
#define REF_MEMORY_OF(use, slot, type, name) REF_MEMORY_##use(type, name)

/* The kernels: hsae_ref_NAME. */
#define REF_DECLARE(name, ...)         \
    struct hsae_##name##_memory {      \
        BINDINGS_##name(REF_MEMORY_OF) \
    };                                 \
    void hsae_ref_##name(const struct hsae_##name##_memory *m, const struct name##_args *p);
HSAE_KERNEL_LIST(REF_DECLARE)

/* Columns, samples or features whose sums in double are held at a time, so that a kernel needs no memory of its own. */
enum { REF_BLOCK = 256 };

static inline u32 ref_min(u32 a, u32 b)
{
    return a < b ? a : b;
}

static inline u32 ref_popcount(u32 word)
{
    u32 count = 0;
    for (; word; word &= word - 1)
        count++;
    return count;
}

static inline bool ref_halted(const u32 *step_state)
{
    return step_state[STATE_HALT] != 0;
}

/* A word of a level's step state. */
static inline u32 *ref_level(u32 *step_state, u32 level, u32 word)
{
    return &step_state[STATE_LEVELS + level * STATE_LEVEL_WORDS + word];
}
static inline u32 ref_dead(const u32 *step_state, u32 level)
{
    return step_state[STATE_LEVELS + level * STATE_LEVEL_WORDS + STATE_DEAD];
}

/* First global feature of a level; of level L: the number of all features. */
static inline u32 ref_first(const u32 *level_info, u32 level)
{
    return level_info[level * LEVEL_WORDS + LEVEL_FIRST];
}

/* A row of a tensor that is cut into ranges. */
static inline f32 *ref_row(f32 *const *ranges, u32 row, u32 range_rows, u32 stride)
{
    return ranges[row / range_rows] + (size_t)(row % range_rows) * stride;
}

/* The row of D that holds a feature at the start of the step. */
static inline u32 ref_decoder_row(const u32 *flags, u32 feature)
{
    return FLAG_ROW(flags[feature]);
}

static inline double ref_dot(const f32 *a, const f32 *b, u32 count)
{
    double sum = 0;
    for (u32 k = 0; k < count; k++)
        sum += (double)a[k] * b[k];
    return sum;
}

static inline void ref_add(double *sum, double weight, const f32 *row, u32 count)
{
    for (u32 k = 0; k < count; k++)
        sum[k] += weight * row[k];
}

/* Adam without a first moment; decay is beta2 to the number of steps since v was last updated. */
struct ref_adam {
    double rate, correction, decay, one_minus_beta2, epsilon;
};
static inline f32 ref_adam_step(const struct ref_adam *adam, f32 w, f32 *v, double gradient)
{
    double moment = adam->decay * *v + adam->one_minus_beta2 * gradient * gradient;
    *v = (f32)moment;
    return (f32)(w - adam->rate * gradient / (sqrt(moment * adam->correction) + adam->epsilon));
}

#endif
