/* SPDX-License-Identifier: MIT */
/* A random consistent training state on the host: parameters, tree, step parameters, a batch, and room for all that a step's kernels write.
 */
#ifndef HSAE_TESTS_FIXTURE_H
#define HSAE_TESTS_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "checkgpu.h"

enum {
    FIXTURE_LEVELS = 4,
    FIXTURE_CHUNKS = 32,      /* most of struct fixture_chunk */
    FIXTURE_GHOST_CHUNKS = 2, /* launches of ghost_rows for each level */
    FIXTURE_SHARDS = 4,       /* of a level: its ranks in equal parts */
    FIXTURE_FORMATS = 3,      /* raw formats of load */
    FIXTURE_CANDIDATES = 3,   /* of relink_best */
    FIXTURE_STEP = 170,
    FIXTURE_DEAD_STEPS = 20,
};

enum fixture_kind {
    FIXTURE_PLAIN,
    FIXTURE_HALTED, /* STATE_HALT is set from the start */
    FIXTURE_SHORT,  /* the lists are too short, and there are too few ghost launches */
};

struct fixture_size {
    u32 levels, features[FIXTURE_LEVELS], batch, dim;
    u32 chunk; /* most features in a chunk */
    u32 slices;
    enum fixture_kind kind;
};

/* Features of one level in one range of E: what encode, the lists and update take at a time. */
struct fixture_chunk {
    u32 level, first, count, range, row; /* row of the first one in its range */
};

/* Levels of one buffer of residuals: what decode and bias take at a time. */
struct fixture_levels {
    u32 first, count, row; /* row of the first one's first sample in the buffer */
    struct check_words *residual;
};

struct fixture {
    struct fixture_size size;
    struct hsae_kernel_shape shape;
    uint64_t random;
    u32 features, first[FIXTURE_LEVELS + 1];
    u32 words, padded, stride, width, range_rows, block, blocks, capacity;
    u32 chunk_count;
    struct fixture_chunk chunks[FIXTURE_CHUNKS];
    f32 scale, lambda_init, rho, bandwidth, beta2, epsilon;
    u32 ghosts, project; /* 1: on */
    u32 residual_levels; /* levels in one buffer of residuals */
    u32 launch_levels;   /* most levels of a launch of decode, bias or segment_rows; not more */
    u32 segment, room;   /* pairs of a segment, at least; how many there may be, 0: no feature is long */

    struct check_words raw[FIXTURE_FORMATS], mean, x, panels, norms, quantized, units, rounded, quantized8, units8, mixed;
    struct check_words step_params, level_info, tree, last_fired, decoder_rows, flags, feature_scalars, step_state, step_report;
    struct check_words E[HSAE_MAX_RANGES], E_v[HSAE_MAX_RANGES], D[HSAE_MAX_RANGES], D_v[HSAE_MAX_RANGES]; /* unused: a few words */
    struct check_words bits, scratch[FIXTURE_CHUNKS], packed[FIXTURE_CHUNKS], counts, starts, pairs, active_count, word_starts, history;
    struct check_words tally, totals, sample_starts, samples, positions;
    struct check_words residual[FIXTURE_LEVELS], none, loss, dots, pair_terms, feature_sums, owners, sums, bias, bias_v, squares;
    struct check_words ghost[FIXTURE_LEVELS], ghost_losses[FIXTURE_LEVELS], weights[FIXTURE_LEVELS],
        rows[FIXTURE_LEVELS][FIXTURE_GHOST_CHUNKS];
    struct check_words partials[FIXTURE_LEVELS], merged[FIXTURE_LEVELS], merged_loss, part_losses[FIXTURE_LEVELS];
    struct check_words peak, unit, co_counts, similarity[FIXTURE_LEVELS], cursor[FIXTURE_LEVELS], best[FIXTURE_LEVELS];

    struct check_words *all[256]; /* those that hold memory */
    u32 all_count;
};

/* Ends the program where memory runs out. */
struct fixture *fixture_create(const struct fixture_size *size, const struct hsae_kernel_shape *shape, uint64_t seed);
void fixture_destroy(struct fixture *fixture);
/* Runs the step's kernels up to, and without, the last launches of `until` on the reference device. False: a failure, which was printed. */
bool fixture_advance(struct fixture *fixture, hsae_device *reference, enum hsae_kernel until);

/* ---- random numbers ---- */

u32 fixture_random(struct fixture *fixture, u32 below);
/* In [low, high). */
f32 fixture_uniform(struct fixture *fixture, double low, double high);

/* ---- words ---- */

static inline f32 words_f32(const struct check_words *words, size_t index)
{
    return bits_f32(words->at[index]);
}
static inline void words_set(struct check_words *words, size_t index, f32 value)
{
    words->at[index] = bits_u32(value);
}

/* ---- the state ---- */

static inline f32 fixture_table(const struct fixture *fixture, u32 feature, u32 word)
{
    return words_f32(&fixture->feature_scalars, (size_t)feature * SCALAR_WORDS + word);
}
static inline u32 fixture_tree(const struct fixture *fixture, u32 feature, u32 word)
{
    return fixture->tree.at[(size_t)feature * TREE_WORDS + word];
}
/* Column c of row `row` of a tensor that is cut into ranges. */
static inline f32 fixture_row(const struct fixture *fixture, const struct check_words *ranges, u32 row, u32 c)
{
    return words_f32(&ranges[row / fixture->range_rows], (size_t)(row % fixture->range_rows) * fixture->stride + c);
}
/* The row of D that holds a feature before the step is updated; known once feature_flags has run. */
static inline u32 fixture_decoder_row(const struct fixture *fixture, u32 feature)
{
    return FLAG_ROW(fixture->flags.at[feature]);
}
static inline f32 fixture_decoder(const struct fixture *fixture, u32 feature, u32 c)
{
    return fixture_row(fixture, fixture->D, fixture_decoder_row(fixture, feature), c);
}
static inline u32 fixture_dead(const struct fixture *fixture, u32 level)
{
    return fixture->step_state.at[STATE_LEVELS + level * STATE_LEVEL_WORDS + STATE_DEAD];
}
/* Places of a ghost_rows launch of a level. */
static inline u32 fixture_ghost_chunk(const struct fixture *fixture, u32 level)
{
    return (fixture->size.features[level] + FIXTURE_GHOST_CHUNKS - 1) / FIXTURE_GHOST_CHUNKS;
}
static inline bool fixture_halted(const struct fixture *fixture)
{
    return fixture->step_state.at[STATE_HALT] != 0;
}

/* First rank of a shard of a level. */
static inline u32 fixture_shard(const struct fixture *fixture, u32 level, u32 shard)
{
    return fixture->first[level] + fixture->size.features[level] * shard / FIXTURE_SHARDS;
}
/* The levels that the index-th launch of decode or bias takes. */
struct fixture_levels fixture_levels(struct fixture *fixture, u32 index);
static inline struct check_words *fixture_residuals(struct fixture *fixture, u32 level)
{
    return &fixture->residual[level / fixture->residual_levels];
}
/* The row of a level's first sample in its buffer of residuals. */
static inline u32 fixture_residual_row(const struct fixture *fixture, u32 level)
{
    return level % fixture->residual_levels * fixture->padded;
}
static inline f32 fixture_residual(const struct fixture *fixture, u32 level, u32 b, u32 c)
{
    return words_f32(&fixture->residual[level / fixture->residual_levels],
                     ((size_t)fixture_residual_row(fixture, level) + b) * fixture->stride + c);
}

/* ---- jobs ---- */

/* JOB_BIND(job, decode, .x = &w->x, ...) */
#define JOB_BIND(job, name, ...) \
    memcpy((job)->bindings, &(const struct check_##name##_words){__VA_ARGS__}, sizeof(struct check_##name##_words))
/* A tensor in ranges. */
#define WORDS4(ranges)                                         \
    {                                                          \
        &(ranges)[0], &(ranges)[1], &(ranges)[2], &(ranges)[3] \
    }
/* JOB_ARGS(job, decode, .level = l, ...) */
#define JOB_ARGS(job, name, ...) memcpy((job)->args, &(const struct name##_args){__VA_ARGS__}, sizeof(struct name##_args))
/* Groups for that many work-groups by linear number: in two dimensions and with spare ones where there are several. */
static inline void job_groups(struct check_job *job, u32 groups)
{
    job->groups[0] = groups > 3 ? groups / 2 + 1 : groups;
    job->groups[1] = groups > 3 ? 2 : 1;
}
/* For that many work-items, or teams of them. */
static inline void job_items(struct check_job *job, u32 items)
{
    u32 teams = job->shape.group_size / TEAM_SIZE(job->shape.group_size, job->shape.columns);
    job_groups(job, (items + teams - 1) / teams);
}
/* Exactly that many. */
static inline void job_groups_exact(struct check_job *job, u32 groups)
{
    job->groups[0] = groups;
    job->groups[1] = 1;
}

/* Launch counts that many kernels share. */
static inline u32 launches_one(const struct fixture *fixture)
{
    (void)fixture;
    return 1;
}
u32 launches_residuals(const struct fixture *fixture); /* those of fixture_levels */
static inline u32 launches_chunks(const struct fixture *fixture)
{
    return fixture->chunk_count;
}

#endif
