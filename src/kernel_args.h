/* The argument struct of every kernel, and the layout of the small shared buffers, read by C, GLSL and OpenCL C alike: only u32, i32 and
 * f32 members, at most 128 bytes (push constants). A recorded step keeps its arguments; what changes from step to step is in `clock`.
 *
 * Features are numbered through all levels ("global feature"): level l has first_l .. first_l + n_l - 1.
 * B: samples in a batch; words: W = ceil(B / 32); padded batch: 32 W; stride: floats in a row of d, a multiple of 16, zero-padded. */
#ifndef HSAE_KERNEL_ARGS_H
#define HSAE_KERNEL_ARGS_H

#ifndef HSAE_KERNEL_DIALECT_H
#include <stdint.h>
typedef uint32_t u32;
typedef int32_t i32;
typedef float f32;
#endif

#define NONE 0xffffffffu

/* clock: u32 [CLOCK_WORDS], written by the host before each step. */
#define CLOCK_STEP 0u       /* t, from 1 */
#define CLOCK_SEED_LO 1u
#define CLOCK_SEED_HI 2u
#define CLOCK_SWAP_BOUND 3u /* swapped where the first Philox word >> 8 is below it */
#define CLOCK_DEAD_STEPS 4u /* dead where t - 1 - last_fired >= it */
#define CLOCK_RATE 5u       /* f32: learning rate */
#define CLOCK_CORRECTION 6u /* f32: 1 / (1 - beta2^t) */
#define CLOCK_WORDS 16u

/* levels: u32 [L + 1][LEVEL_WORDS], constant; entry L has only LEVEL_FIRST = number of all features. */
#define LEVEL_FIRST 0u    /* first global feature */
#define LEVEL_TARGET 1u   /* f32: target L0 */
#define LEVEL_GHOSTS 2u   /* dead features that the recorded step has ghost launches for */
#define LEVEL_WORDS 4u

/* tree: u32 [N][TREE_WORDS], changed only by a hierarchy update. Ranks number the features of each level so that children of one parent
 * are adjacent: by (rank of the parent, index), features without a parent last; global like features (level l: first_l ..). */
#define TREE_PARENT 0u      /* global feature or NONE */
#define TREE_CHILD_FIRST 1u /* rank of its first child */
#define TREE_CHILD_COUNT 2u
#define TREE_AT_RANK 3u     /* entry r: the feature whose rank is r */
#define TREE_WORDS 4u

/* flags: u32 [N], written by swap at the start of a step. */
#define FLAG_SWAPPED 1u        /* s = 1: the children stand in for the feature */
#define FLAG_PARENT_SWAPPED 2u /* s of its parent = 1 */
#define FLAG_DEAD 4u
#define FLAG_SLOT 8u           /* row of D is in the second half of the pool */

struct swap_args {
    u32 features; /* N */
    u32 levels;   /* L */
};

#endif
