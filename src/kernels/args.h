/* SPDX-License-Identifier: MIT */
/* The argument struct of every kernel, and the layout of the small shared buffers, read by C, GLSL and OpenCL C alike: only u32, i32 and
 * f32 members, at most 128 bytes (push constants). A recorded step keeps its arguments; what changes from step to step is in `step_params`.
 *
 * Features are numbered through all levels ("global feature"): level l has first_l .. first_l + n_l - 1.
 * B: samples in a batch; words: W = ceil(B / 32); padded batch: 32 W; stride: floats in a row of d, a multiple of 16, zero-padded. */
#ifndef HSAE_KERNEL_ARGS_H
#define HSAE_KERNEL_ARGS_H

#ifndef HSAE_KERNEL_DIALECT_H
#include <stdint.h>
#include <string.h>
typedef uint32_t u32;
typedef int32_t i32;
typedef float f32;

/* The dialect's bit casts, for hosts that read and write the kernels' buffers. */
static inline f32 bits_f32(u32 bits)
{
    f32 value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline u32 bits_u32(f32 value)
{
    u32 bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
#endif

#define NONE 0xffffffffu

/* step_params: u32 [PARAM_WORDS], written by the host before each step. */
#define PARAM_STEP          0u /* t, from 1 */
#define PARAM_SEED_LO       1u
#define PARAM_SEED_HI       2u
#define PARAM_PERTURB_BOUND 3u /* perturbed where the first Philox word >> 8 is below it */
#define PARAM_DEAD_STEPS    4u /* dead where t - 1 - last_fired >= it */
#define PARAM_RATE          5u /* f32: learning rate */
#define PARAM_CORRECTION    6u /* f32: 1 / (1 - beta2^t) */
#define PARAM_WORDS         16u

/* level_info: u32 [L + 1][LEVEL_WORDS], constant; entry L has only LEVEL_FIRST = number of all features. */
#define LEVEL_FIRST  0u /* first global feature */
#define LEVEL_TARGET 1u /* f32: target L0 */
#define LEVEL_GHOSTS 2u /* dead features that the recorded step has ghost launches for */
#define LEVEL_WORDS  4u

/* tree: u32 [N][TREE_WORDS], changed only by a hierarchy update. Ranks number the features so that children of one parent are
 * adjacent: within a level by (rank of the parent, index), features without a parent last; level l has ranks first_l .. */
#define TREE_PARENT      0u /* global feature or NONE */
#define TREE_CHILD_FIRST 1u /* rank of its first child; only where there is one */
#define TREE_CHILD_COUNT 2u
#define TREE_RANK        3u /* its rank */
#define TREE_AT_RANK     4u /* entry r: the feature whose rank is r */
#define TREE_NUMBER      5u /* its number in its level, among the features of all devices that train together */
#define TREE_WORDS       6u

/* flags: u32 [N], written by feature_flags at the start of a step. */
#define FLAG_SWAPPED        1u /* s = 1: the children stand in for the feature */
#define FLAG_PARENT_SWAPPED 2u /* s of its parent = 1 */
#define FLAG_DEAD           4u
#define FLAG_ROW_SHIFT      3u /* the bits from here on: the row of D that the feature has in this step, see decoder_rows */
#define FLAG_ROW(flag)      ((flag) >> FLAG_ROW_SHIFT)

/* decoder_rows: u32 [N + S]: the row of D of each feature, then the free rows. An update writes a feature's new row to a free one and frees
 * the old one. Relatives read the old row until a later slice of the forest needs it. */

/* feature_scalars: u32 [N][SCALAR_WORDS] (bits of f32 but for the last two). */
#define SCALAR_BIAS            0u
#define SCALAR_LOG_THRESHOLD   1u
#define SCALAR_THRESHOLD       2u
#define SCALAR_CUT             3u /* threshold - bandwidth / 2: pairs above it are listed */
#define SCALAR_BIAS_V          4u
#define SCALAR_LOG_THRESHOLD_V 5u
#define SCALAR_ROW_STEP        6u /* u32: step of the row's last update */
#define SCALAR_SEGMENT         7u /* u32: number of a long feature's first segment in this step */
#define SCALAR_WORDS           8u

/* step_state: u32, what a step decides about itself. */
#define STATE_STEP            0u
#define STATE_RATE            1u /* f32 */
#define STATE_CORRECTION      2u /* f32 */
#define STATE_HALT            3u /* not 0: this and all later queued steps change nothing until the host grows the buffers and resubmits them */
#define STATE_PAIRS           4u /* pairs that the last step lists; after a halt the most that a step would list */
#define STATE_SEGMENT         5u /* pairs of a segment in this step */
#define STATE_LEVELS          8u /* [HSAE_MAX_LEVELS][STATE_LEVEL_WORDS] */
#define STATE_LAMBDA          0u /* f32; set by the first step */
#define STATE_AVERAGE         1u /* f32: running mean of L0; negative before the first step */
#define STATE_DEAD            2u /* dead features before the step */
#define STATE_SHIFT           3u /* f32: what the end of the step adds to all log thresholds of the level */
#define STATE_OTHERS          4u /* active pairs of the level on the other devices that train the model */
#define STATE_LEVEL_WORDS     5u
#define STATE_DEAD_LIST       48u /* [N]: of level l from first_l on, ascending */
#define STATE_WORDS(features) (STATE_DEAD_LIST + (features))

#define HALT_PAIRS  1u /* the lists are too short */
#define HALT_GHOSTS 2u /* more dead features than the recorded step has ghost launches for */

/* Pairs (feature, sample) with p > cut. By feature: pairs u32 [capacity][2] = sample, bits of p; feature i has starts[i] .. starts[i + 1] -
 * 1, ascending samples. By sample: samples u32 [capacity][2] = feature, bits of the activation a (0 where p <= threshold); list l B + b has
 * sample_starts[l B + b] .., ascending ranks; positions u32 [capacity] = the place of the same pair in `pairs`. */

/* pair_terms: u32 [capacity][PAIR_WORDS], for each entry of `pairs`, with D_i . D_j of decoder rows (algorithm: u, the constraint's
 * residual). */
#define PAIR_OWN        0u /* f32: D_i . u_i */
#define PAIR_PARENT     1u /* f32: D_i . u_parent, co-active siblings left out */
#define PAIR_PARENT_ACT 2u /* f32: activation of the parent */
#define PAIR_FIRST      3u /* its family among `samples`: from here */
#define PAIR_END        4u /* to before here, itself included */
#define PAIR_SCORE      5u /* f32: q = d loss / d a */
#define PAIR_WORDS      6u

/* feature_sums: f32 [N][FEATURE_SUM_WORDS], sums over the batch; where there are segments, [room][SEGMENT_WORDS] more. */
#define FEATURE_SUM_OWN     0u /* of a_i D_i . u_i */
#define FEATURE_SUM_PARENT  1u /* of a_i D_i . u_parent */
#define FEATURE_SUM_PRODUCT 2u /* of a_i a_parent */
#define FEATURE_SUM_WORDS   3u

/* Load balancing: the pairs of a feature with more than 2 STATE_SEGMENT pairs are split into segments of STATE_SEGMENT pairs, one
 * work-group each (split-K), and `update` adds up their sums in ascending order. The length of a segment starts at SEGMENT_PAIRS(B) and
 * doubles until all segments fit in `room`. owners: u32 [room], the feature of each segment, those of a feature adjacent; NONE after the
 * last. sums: f32 [room][2][stride], a segment's part of the gradients of D_i and of E_i. */
#define SEGMENT_PAIRS(rows)         (((rows) + 63u) / 64u * 4u)
#define SEGMENTS_OF(pairs, segment) ((pairs) > 2u * (segment) ? ((pairs) + (segment)-1u) / (segment) : 0u)
#define SEGMENT_RADIAL              0u /* of a q */
#define SEGMENT_SQUARES             1u /* of a^2 */
#define SEGMENT_BIAS                2u
#define SEGMENT_THRESHOLD           3u
#define SEGMENT_OWN                 4u
#define SEGMENT_PARENT              5u
#define SEGMENT_PRODUCT             6u
#define SEGMENT_WORDS               8u

/* step_report: u32 [REPORT_WORDS], read by the host after a step. */
#define REPORT_STEP           0u
#define REPORT_HALT           1u
#define REPORT_PAIRS          2u
#define REPORT_VARIANCE       3u /* f32: sum over the batch of |x - mean x|^2 */
#define REPORT_LEVELS         8u /* [HSAE_MAX_LEVELS][REPORT_LEVEL_WORDS] */
#define REPORT_RECONSTRUCTION 0u /* f32: batch mean */
#define REPORT_L0             1u /* f32 */
#define REPORT_LAMBDA         2u /* f32: the one used */
#define REPORT_CONSTRAINT     3u /* f32: batch mean, rho included */
#define REPORT_DEAD           4u
#define REPORT_LEVEL_WORDS    5u
#define REPORT_WORDS          48u

#define FORMAT_F32  0u
#define FORMAT_F16  1u
#define FORMAT_BF16 2u

/* norms: f32 [W][LOAD_BLOCKS], |x|^2 of a panel of 32 samples by blocks of LOAD_COLUMNS columns. */
#define LOAD_COLUMNS        64u
#define LOAD_BLOCKS(stride) (((stride) + LOAD_COLUMNS - 1u) / LOAD_COLUMNS)

/* quantize and screen: a row is rounded to whole numbers of 16 bits in units in which its norm is QUANTIZED_NORM (of a row without a norm:
 * in some unit), two a word, the lower column in the low half. No sum of products of two such rows leaves 32 bits. */
#define QUANTIZED_NORM 32000.0f
/* By how much a product of quantized rows may be below that of the rows, in both units. Of roundings: each element is off by at most 0.51,
 * so each row by 0.51 sqrt(d); |a b - a' b'| <= |a||b - b'| + |b||a - a'| + |a - a'||b - b'|, a norm being off by less than 1 in 1000. Of
 * floats: of the exact dot in any order, d roundings, and of units, limits and comparisons 64. */
#define SCREEN_MARGIN(d) \
    (1.03f * QUANTIZED_NORM * sqrtf((f32)(d)) + 0.27f * (f32)(d) + ((f32)(d) + 64.0f) * 5.9604645e-8f * QUANTIZED_NORM * QUANTIZED_NORM)

/* residual: f32 [levels in one buffer][padded][stride]. Where a buffer for all levels would be larger than a kernel may see, there are
 * several. */

/* bias: so many of a work-group's work-items are side by side, COLS vectors of columns each; every so many more have the same
 * columns of other rows, and a device with many cores gets a short walk down the batch. */
#define COLUMN_LANES(group_size) ((group_size) < 8u ? (group_size) : 8u)

/* Kernels over lists, features or blocks: so many of a work-group's work-items are a team that shares one of them. */
#define TEAM_SIZE(group_size, columns) ((columns) < (group_size) ? (columns) : (group_size))

/* Of each kernel its arguments, its bindings B(access, number, type, name) and its local arrays L(type, name, count). READ, WRITE (whole,
 * or where the kernel says so) and MODIFY are one buffer, READ4 and MODIFY4 a tensor cut into ranges, with four numbers
 * (kernels/dialect.h). vf and vi: vectors of f32 and i32, or for the host just these. */
/* clang-format off */

struct load_args {
    u32 batch; /* B */
    u32 padded; /* 32 ceil(B / 32) */
    u32 dim;    /* d */
    u32 stride;
    u32 format; /* of the raw rows */
    f32 scale;
    u32 panels; /* 1: writes the panels of encode, too */
};
#define BINDINGS_load(B) B(READ, 0, u32, raw) B(READ, 1, f32, mean) B(WRITE, 2, f32, x) B(WRITE, 3, f32, panels) B(WRITE, 4, f32, norms)
#define LOCALS_load(L) L(f32, partial, WG)

struct feature_flags_args {
    u32 features; /* N */
    u32 levels;   /* L */
};
#define BINDINGS_feature_flags(B) B(READ, 0, u32, step_params) B(READ, 1, u32, level_info) B(READ, 2, u32, tree) B(READ, 3, u32, last_fired) \
    B(READ, 4, u32, decoder_rows) B(WRITE, 5, u32, flags)
#define LOCALS_feature_flags(L)

struct prepare_args {
    u32 levels;
    u32 batch;
    u32 norms;  /* how many */
    u32 ghosts; /* 1: dead features get ghost gradients */
    f32 lambda_init;
};
#define BINDINGS_prepare(B) B(READ, 0, u32, step_params) B(READ, 1, u32, level_info) B(READ, 2, u32, flags) B(READ, 3, f32, norms) \
    B(MODIFY, 4, u32, step_state)
#define LOCALS_prepare(L) L(u32, counts, WG) L(f32, partial, WG)

struct encode_args {
    u32 first; /* global feature of the chunk's first row: indexes feature_scalars and bits */
    u32 row;   /* its row in `encoder` */
    u32 count; /* rows of the chunk */
    u32 batch; /* B */
    u32 words; /* W */
    u32 dim;
    u32 stride;
};
#define BINDINGS_encode(B) B(READ, 0, vf, panels) B(READ, 1, vf, encoder) B(READ, 2, u32, feature_scalars) B(WRITE, 3, u32, bits) \
    B(WRITE, 4, vf, scratch)
/* Its tile, from the TILE_* of its shape: lanes along samples and features, and vectors of samples of a work-item. */
#define VECTORS_PER_WORD (32u / VW) /* of a bitmap word */
#define ENCODE_VECTORS   (TILE_VECTORS == 0u ? VECTORS_PER_WORD : TILE_VECTORS)
#define ENCODE_WORDS     (TILE_WORDS == 0u ? 1u : TILE_WORDS)
#define ENCODE_LANES_S   (ENCODE_WORDS * VECTORS_PER_WORD / ENCODE_VECTORS) /* 1, or a multiple of VECTORS_PER_WORD: adjacent lanes share a word */
#define ENCODE_LANES_F   (WG / ENCODE_LANES_S)
#define ENCODE_FEATURES  (ENCODE_LANES_F * COLS)
/* Staged: rows of STEP_VECTORS vectors and padding; columns of the tile's samples. */
#define ENCODE_STEP_VECTORS (TILE_STEP / VW)
#define ENCODE_LINE         (ENCODE_STEP_VECTORS + TILE_PAD)
#define ENCODE_SAMPLES      (ENCODE_WORDS * VECTORS_PER_WORD)
/* Words that marks of a work-item's features, VW bits each, are stored in. */
#define ENCODE_MARKS ((COLS + VECTORS_PER_WORD - 1u) / VECTORS_PER_WORD)
#define LOCALS_encode(L) \
    L(vf, rows, AT_LEAST_1(ENCODE_FEATURES * ENCODE_LINE * (TILE_STEP == 0u ? 0u : 1u))) \
    L(vf, columns, AT_LEAST_1(ENCODE_SAMPLES * TILE_STEP)) \
    L(u32, marks, ONE_IF(ENCODE_LANES_S == 1u, WG * ENCODE_VECTORS * ENCODE_MARKS))

struct quantize_args {
    u32 padded; /* 32 ceil(B / 32) */
    u32 stride;
};
#define BINDINGS_quantize(B) B(READ, 0, vf, x) B(WRITE, 1, u32, words) B(WRITE, 2, f32, units)
#define LOCALS_quantize(L) L(f32, partial, WG)

struct screen_args {
    u32 first; /* as encode's */
    u32 row;
    u32 count;
    u32 batch;
    u32 words;
    u32 stride;
    f32 margin; /* SCREEN_MARGIN */
};
#define BINDINGS_screen(B) B(READ, 0, vi, panels) B(READ, 1, vf, units) B(READ, 2, vf, x) B(READ, 3, vf, encoder) B(READ, 4, u32, feature_scalars) \
    B(WRITE, 5, u32, rounded) B(WRITE, 6, u32, bits) B(WRITE, 7, f32, scratch)
#define LOCALS_screen(L)

/* quantize8 and screen8: of a panel of 32 samples f32 [UNIT_WORDS][32]: each one's unit, and in that unit bounds from above of its norm and
 * of the norm of what rounding changed. mixed: a row of d floats for each work-item. */
#define UNIT_NORM  1u
#define UNIT_LOST  2u
#define UNIT_WORDS 3u

struct quantize8_args {
    u32 padded; /* 32 ceil(B / 32) */
    u32 stride;
};
#define BINDINGS_quantize8(B) B(READ, 0, vf, x) B(WRITE, 1, vf, mixed) B(WRITE, 2, u32, words) B(WRITE, 3, f32, units)
#define LOCALS_quantize8(L)

struct screen8_args {
    u32 first; /* as encode's */
    u32 row;
    u32 count;
    u32 batch;
    u32 words;
    u32 stride;
};
#define BINDINGS_screen8(B) B(READ, 0, vi, panels) B(READ, 1, vf, units) B(READ, 2, vf, x) B(READ, 3, vf, encoder) B(READ, 4, u32, feature_scalars) \
    B(WRITE, 5, vf, mixed) B(WRITE, 6, u32, rounded) B(WRITE, 7, u32, bits) B(WRITE, 8, f32, scratch)
#define LOCALS_screen8(L)

struct lists_count_args {
    u32 first;
    u32 count;
    u32 words;
};
#define BINDINGS_lists_count(B) B(READ, 0, u32, bits) B(WRITE, 1, u32, counts)
#define LOCALS_lists_count(L) L(u32, partial, WG)

struct scan_args {
    u32 first; /* starts[first] is known (0 where first = 0), starts[first + 1 ..] are written */
    u32 count;
    u32 capacity; /* of the lists; a total above it halts the step */
    u32 lists;    /* of samples; 0: none, and no group for them */
    u32 room;     /* for segments; 0: none are wanted. Only where the features first .. first + count - 1 end with the last */
    u32 pairs;    /* of a segment, at least; 0: STATE_SEGMENT has its length, which suits all devices that train together */
};
#define BINDINGS_scan(B) B(READ, 0, u32, counts) B(MODIFY, 1, u32, starts) B(MODIFY, 2, u32, step_state) B(READ, 3, u32, totals) \
    B(WRITE, 4, u32, sample_starts) B(MODIFY, 5, u32, feature_scalars) B(WRITE, 6, u32, owners)
#define LOCALS_scan(L) L(u32, sums, WG)

struct lists_fill_args {
    u32 first;
    u32 count;
    u32 words;
    u32 features;
    u32 capacity;
    u32 history; /* 1: keep who is active for co-activation */
    u32 packed;  /* 1: the scratch is that of screen, with p of a feature's pairs adjacent; 0: that of encode, with p of its samples */
};
#define BINDINGS_lists_fill(B) B(READ, 0, u32, step_state) B(READ, 1, u32, bits) B(READ, 2, u32, starts) B(READ, 3, u32, feature_scalars) \
    B(READ, 4, f32, scratch) B(WRITE, 5, u32, pairs) B(WRITE, 6, u32, active_count) B(WRITE, 7, u32, word_starts) \
    B(WRITE, 8, u32, history)
#define LOCALS_lists_fill(L) L(u32, partial, WG)

struct samples_count_args {
    u32 levels;
    u32 words;
    u32 block; /* features in a block; blocks do not cross levels */
};
#define BINDINGS_samples_count(B) B(READ, 0, u32, bits) B(READ, 1, u32, tree) B(READ, 2, u32, level_info) B(WRITE, 3, u32, tally)
#define LOCALS_samples_count(L) L(u32, tile, WG)

struct samples_base_args {
    u32 levels;
    u32 batch;
    u32 words;
    u32 block;
};
#define BINDINGS_samples_base(B) B(READ, 0, u32, level_info) B(MODIFY, 1, u32, tally) B(WRITE, 2, u32, totals)
#define LOCALS_samples_base(L) L(u32, partial, WG)

struct samples_fill_args {
    u32 levels;
    u32 batch;
    u32 words;
    u32 block;
};
#define BINDINGS_samples_fill(B) B(READ, 0, u32, bits) B(READ, 1, u32, tree) B(READ, 2, u32, level_info) B(READ, 3, u32, feature_scalars) \
    B(READ, 4, u32, step_state) B(READ, 5, u32, word_starts) B(READ, 6, u32, pairs) B(READ, 7, u32, sample_starts) B(MODIFY, 8, u32, tally) \
    B(WRITE, 9, u32, samples) B(WRITE, 10, u32, positions)
#define LOCALS_samples_fill(L) L(u32, tile, WG)

struct decode_args {
    u32 level; /* first of the launch */
    u32 count; /* levels of the launch */
    u32 levels;
    u32 row; /* in `residual`, of the first level's first sample */
    u32 batch;
    u32 padded;
    u32 stride;
    u32 range_rows;
    u32 slices; /* column slices, of whole 16 floats, each with its own part of the loss */
    u32 partial; /* 1: one level, and of it only what these features give, from 0 and without a loss: of ranks rank .. rank + ranks - 1 .. */
    u32 rank;
    u32 ranks;
    u32 below; /* .. and of the level below those of ranks below .. below + below_ranks - 1 */
    u32 below_ranks;
};
#define BINDINGS_decode(B) B(READ, 0, vf, x) B(READ, 1, vf, bias) B(READ4, 2, vf, D) B(READ, 6, u32, flags) \
    B(READ, 7, u32, sample_starts) B(READ, 8, u32, samples) B(READ, 9, u32, step_state) B(READ, 10, u32, tree) B(WRITE, 11, vf, residual) \
    B(WRITE, 12, f32, loss)
#define LOCALS_decode(L) L(f32, partial, WG)

/* partials: f32 [shards][padded][stride]. Neighbours are added until one is left: (0 + 1) + (2 + 3), and so on. */
struct merge_args {
    u32 residual; /* 1: c - x is added, and the loss is wanted: R; 0: the sum alone */
    u32 level;
    u32 row; /* in `sum`, of the first sample */
    u32 shards; /* a power of two */
    u32 batch;
    u32 padded;
    u32 stride;
    u32 slices; /* as of decode */
};
#define BINDINGS_merge(B) B(READ, 0, vf, x) B(READ, 1, vf, bias) B(READ, 2, u32, step_state) B(MODIFY, 3, vf, partials) B(WRITE, 4, vf, sum) \
    B(WRITE, 5, f32, loss)
#define LOCALS_merge(L) L(f32, partial, WG)

struct family_dot_args {
    u32 first; /* first feature of level 1 */
    u32 count; /* features from there on */
    u32 stride;
    u32 range_rows;
};
#define BINDINGS_family_dot(B) B(READ4, 0, vf, D) B(READ, 4, u32, tree) B(READ, 5, u32, flags) B(WRITE, 6, f32, dots)
#define LOCALS_family_dot(L) L(f32, partial, WG)

struct family_args {
    u32 levels;
    u32 batch;
};
#define BINDINGS_family(B) B(READ, 0, u32, step_state) B(READ, 1, u32, tree) B(READ, 2, u32, sample_starts) B(READ, 3, u32, samples) \
    B(READ, 4, u32, positions) B(READ, 5, f32, dots) B(WRITE, 6, u32, pair_terms)
#define LOCALS_family(L)

#define GHOST_WHOLE 0u
#define GHOST_SUM   1u /* y of the dead features of some ranks alone, into `ghost` */
#define GHOST_BLEND 2u /* the rest: y is in `ghost` */
struct ghost_args {
    u32 level;
    u32 first; /* first_l */
    u32 row;   /* in `residual`, of the level's first sample */
    u32 batch;
    u32 stride;
    u32 range_rows;
    u32 part; /* GHOST_WHOLE .. */
    u32 to; /* row of the first sample in `ghost` */
    u32 rank; /* GHOST_SUM: features of these ranks only: rank .. rank + ranks - 1 */
    u32 ranks;
};
#define BINDINGS_ghost(B) B(READ, 0, vf, x) B(READ4, 1, vf, E) B(READ4, 5, vf, D) B(READ, 9, u32, flags) B(READ, 10, u32, step_state) \
    B(READ, 11, u32, feature_scalars) B(READ, 12, vf, residual) B(READ, 13, u32, tree) B(MODIFY, 14, vf, ghost) B(WRITE, 15, f32, ghost_losses)
#define LOCALS_ghost(L) L(f32, partial, WG)

struct ghost_scale_args {
    u32 level;
    u32 batch;
    u32 padded;
    u32 slices;
};
#define BINDINGS_ghost_scale(B) B(READ, 0, u32, step_state) B(READ, 1, f32, ghost_losses) B(READ, 2, f32, loss) B(WRITE, 3, f32, weights)
#define LOCALS_ghost_scale(L) L(f32, partial, WG)

struct ghost_rows_args {
    u32 level;
    u32 first;
    u32 chunk; /* first place in the level's dead list */
    u32 count; /* places in the chunk */
    u32 rank;  /* features of these ranks only: rank .. rank + ranks - 1 */
    u32 ranks;
    u32 batch;
    u32 stride;
    u32 range_rows;
};
#define BINDINGS_ghost_rows(B) B(READ, 0, vf, x) B(READ4, 1, vf, E) B(READ4, 5, vf, D) B(READ, 9, u32, flags) B(READ, 10, u32, step_state) \
    B(READ, 11, u32, feature_scalars) B(READ, 12, vf, ghost) B(READ, 13, f32, weights) B(READ, 14, u32, tree) B(WRITE, 15, vf, rows)
#define LOCALS_ghost_rows(L) L(f32, partial, WG)

struct segment_rows_args {
    u32 level; /* features of the levels level .. level + count - 1 */
    u32 count;
    u32 residual_row; /* in `residual`, of the first level's first sample; those of the others follow */
    u32 above_row;    /* in `above`, of that of the level above the first; where there is none, of the first itself */
    u32 padded;
    u32 room;
    u32 segments; /* word of `feature_sums` from which on the segments' sums are */
    u32 stride;
    u32 range_rows;
    f32 rho;
    f32 bandwidth;
};
#define BINDINGS_segment_rows(B) B(READ, 0, u32, step_state) B(READ, 1, u32, flags) B(READ, 2, u32, starts) B(READ, 3, u32, pairs) \
    B(READ, 4, u32, samples) B(READ, 5, u32, owners) B(READ, 6, u32, level_info) B(MODIFY, 7, u32, pair_terms) B(MODIFY, 8, f32, feature_sums) \
    B(READ4, 9, vf, D) B(READ, 13, u32, feature_scalars) B(READ, 14, vf, x) B(READ, 15, vf, residual) B(READ, 16, vf, above) \
    B(WRITE, 17, vf, sums)
#define LOCALS_segment_rows(L) L(f32, partial, 4 * WG)

struct update_args {
    u32 level;
    u32 level_first;
    u32 rank; /* features of this launch: those of ranks rank .. rank + ranks - 1 .. */
    u32 ranks;
    u32 base;   /* .. that are among base .. base + range_rows - 1, the range of E (and of the second moments) that is bound */
    u32 free_row; /* place in `decoder_rows` of the new row of the feature of rank `rank` */
    u32 ghosts; /* 1: dead features are left to launches with `dead` set */
    u32 dead;   /* not 0: works on so many places of the dead list, from place `chunk` on */
    u32 chunk;
    u32 residual_row; /* in `residual`, of the level's first sample */
    u32 above_row;    /* in `above`, of that of the level above; of the first level: any */
    u32 segments;     /* word of `feature_sums` from which on the segments' sums are; 0: no feature is long */
    u32 batch;
    u32 stride;
    u32 range_rows;
    u32 project;
    f32 rho; /* 0: no constraint */
    f32 bandwidth;
    f32 one_minus_beta2;
    f32 log2_beta2;
    u32 decay_steps; /* of decay, at most, in a row's update */
    f32 epsilon;
};
#define BINDINGS_update(B) B(READ, 0, u32, step_state) B(READ, 1, u32, tree) B(READ, 2, u32, flags) B(READ, 3, u32, starts) \
    B(READ, 4, u32, pairs) B(READ, 5, u32, samples) B(MODIFY, 6, u32, pair_terms) B(MODIFY, 7, f32, feature_sums) B(MODIFY4, 8, vf, D) \
    B(MODIFY, 12, vf, encoder) B(MODIFY, 13, vf, encoder_v) B(MODIFY, 14, vf, decoder_v) B(MODIFY, 15, u32, feature_scalars) \
    B(MODIFY, 16, u32, decoder_rows) B(READ, 17, vf, x) B(READ, 18, vf, residual) B(READ, 19, vf, above) B(READ, 20, vf, summed_rows)
#define LOCALS_update(L) L(f32, partial, 4 * WG)

struct bias_args {
    u32 level; /* first of the launch */
    u32 count; /* levels of the launch */
    u32 row;   /* in `residual`, of the first level's first sample */
    u32 batch;
    u32 padded;
    u32 stride;
    u32 squares; /* 1: also those of x; one more level's groups */
    f32 beta2;
    f32 one_minus_beta2;
    f32 epsilon;
};
#define BINDINGS_bias(B) B(READ, 0, u32, step_state) B(READ, 1, vf, residual) B(MODIFY, 2, vf, bias) B(MODIFY, 3, vf, bias_v) \
    B(READ, 4, vf, x) B(WRITE, 5, vf, squares)
#define LOCALS_bias(L) L(f32, partial, WG)

struct finish_step_args {
    u32 levels;
    u32 batch;
    u32 padded;
    u32 slices;
    u32 features;
    u32 stride;
    f32 rho;
    f32 one_minus_momentum;
    f32 eta;
    f32 kappa;
    f32 gain;    /* 0: the penalty alone is adapted, and momentum, eta and kappa say how; else thresholds are shifted, too */
    f32 penalty; /* the penalty stays within PENALTY_RANGE of this / target */
    f32 bandwidth;
};
#define PENALTY_RANGE 1e4f
#define BINDINGS_finish_step(B) B(READ, 0, u32, level_info) B(READ, 1, f32, loss) B(READ, 2, f32, feature_sums) B(READ, 3, u32, active_count) \
    B(READ, 4, f32, squares) B(READ, 5, u32, starts) B(MODIFY, 6, u32, last_fired) B(MODIFY, 7, u32, step_state) B(WRITE, 8, u32, step_report) \
    B(MODIFY, 9, u32, feature_scalars)
#define LOCALS_finish_step(L) L(f32, partial, WG) L(u32, counts, WG)

struct relink_rows_args {
    u32 first; /* global feature of the first row */
    u32 count;
    u32 padded; /* rows written: those after the first `count` are zero */
    u32 stride;
    u32 range_rows;
    u32 decoder; /* 1: rows of D, found through flags; 0: rows of E */
    u32 panels;  /* 1: written as panels of 32 rows, 0: as rows */
};
#define BINDINGS_relink_rows(B) B(READ4, 0, vf, S) B(READ, 4, u32, flags) B(WRITE, 5, f32, unit)
#define LOCALS_relink_rows(L) L(f32, partial, WG)

struct relink_count_args {
    u32 child; /* global feature of column 0 */
    u32 children;
    u32 padded;
    u32 parent; /* global feature of row 0 */
    u32 parents;
    u32 features;
    u32 words;
    f32 samples; /* that the history holds; 0: the counts themselves are wanted, else `inclusion` or `part` */
    f32 least;   /* the share of a child's samples that its parent must have: 0 for `inclusion` */
};
/* A child that is active in a larger share of its parent's samples is a copy of the parent. */
#define INCLUSION_COPY 0.6f
/* `least` of the similarity `part`. */
#define PART_LEAST 0.5f
#define BINDINGS_relink_count(B) B(READ, 0, u32, history) B(WRITE, 1, f32, counts)
#define LOCALS_relink_count(L) L(u32, up, WG) L(u32, down, WG)

struct relink_best_args {
    u32 child; /* index in its level of column 0 */
    u32 children;
    u32 padded;
    u32 parent; /* index in its level of row 0 */
    u32 parents;
    u32 candidates; /* kept for each child */
};
#define BINDINGS_relink_best(B) B(READ, 0, f32, similarity) B(READ, 1, u32, cursor) B(MODIFY, 2, u32, best)
#define LOCALS_relink_best(L) L(f32, values, WG) L(u32, parents, WG)

struct peak_fma_args {
    u32 count; /* floats, a multiple of 16 */
    u32 repeats;
    f32 factor;
    f32 term;
};
#define BINDINGS_peak_fma(B) B(READ, 0, vf, from) B(WRITE, 1, vf, to)
#define LOCALS_peak_fma(L)

struct peak_copy_args {
    u32 count; /* floats, a multiple of 16 */
};
#define BINDINGS_peak_copy(B) B(READ, 0, vf, from) B(WRITE, 1, vf, to)
#define LOCALS_peak_copy(L)

struct peak_gather_args {
    u32 count; /* floats of the result, a multiple of width */
    u32 rows;  /* <= 65536 */
    u32 width; /* floats in a row, a multiple of 16 */
    u32 reads; /* rows in a sum, a multiple of 4 */
};
#define BINDINGS_peak_gather(B) B(READ, 0, vf, from) B(WRITE, 1, vf, to)
#define LOCALS_peak_gather(L)
/* The row that the i-th read takes. */
#define GATHERED_ROW(i, rows) ((((i) * 2654435761u) >> 16) * (rows) >> 16)
/* clang-format on */

#endif
