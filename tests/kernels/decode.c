/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static u32 launches(const struct fixture *w)
{
    return launches_residuals(w) + w->size.levels * FIXTURE_SHARDS;
}

/* A shard's part of a level. */
static void launch_part(struct fixture *w, u32 level, u32 shard, struct check_job *job)
{
    u32 below = level + 1 < w->size.levels ? level + 1 : level;
    JOB_ARGS(job, decode, .level = level, .count = 1, .levels = w->size.levels, .row = shard * w->padded, .batch = w->size.batch,
             .padded = w->padded, .stride = w->stride, .range_rows = w->range_rows, .slices = w->size.slices, .partial = 1,
             .rank = fixture_shard(w, level, shard), .ranks = fixture_shard(w, level, shard + 1) - fixture_shard(w, level, shard),
             .below = fixture_shard(w, below, shard), .below_ranks = fixture_shard(w, below, shard + 1) - fixture_shard(w, below, shard));
    JOB_BIND(job, decode, .x = &w->x, .bias = &w->bias, .D = WORDS4(w->D), .flags = &w->flags, .sample_starts = &w->sample_starts,
             .samples = &w->samples, .step_state = &w->step_state, .tree = &w->tree, .residual = &w->partials[level],
             .loss = &w->merged_loss);
    job_groups(job, w->size.slices * w->size.batch);
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    if (index >= launches_residuals(w)) {
        index -= launches_residuals(w);
        launch_part(w, index / FIXTURE_SHARDS, index % FIXTURE_SHARDS, job);
        return;
    }
    struct fixture_levels levels = fixture_levels(w, index);
    JOB_ARGS(job, decode, .level = levels.first, .count = levels.count, .levels = w->size.levels, .row = levels.row, .batch = w->size.batch,
             .padded = w->padded, .stride = w->stride, .range_rows = w->range_rows, .slices = w->size.slices);
    JOB_BIND(job, decode, .x = &w->x, .bias = &w->bias, .D = WORDS4(w->D), .flags = &w->flags, .sample_starts = &w->sample_starts,
             .samples = &w->samples, .step_state = &w->step_state, .tree = &w->tree, .residual = levels.residual, .loss = &w->loss);
    job_groups(job, levels.count * w->size.slices * w->size.batch);
}

/* Whether a feature counts in a launch for a shard's part. */
static bool in_part(const struct fixture *w, const struct decode_args *p, u32 feature, bool below)
{
    u32 rank = fixture_tree(w, feature, TREE_RANK), first = below ? p->below : p->rank;
    return !p->partial || (rank >= first && rank < first + (below ? p->below_ranks : p->ranks));
}

/* |c| + |x| + sum |a D| of one element, and the number of terms. */
static double magnitude(const struct fixture *w, const struct decode_args *p, u32 level, u32 b, u32 c, u32 *terms)
{
    double center = fabs(words_f32(&w->bias, (size_t)level * w->stride + c)) + fabs(words_f32(&w->x, (size_t)b * w->stride + c));
    double sum = p->partial ? 0 : center;
    *terms = p->partial ? 0 : 2;
    for (u32 l = level; l < level + 2 && l < w->size.levels; l++) {
        u32 list = l * w->size.batch + b;
        for (u32 q = w->sample_starts.at[list]; q < w->sample_starts.at[list + 1]; q++) {
            u32 feature = w->samples.at[2 * q], flag = w->flags.at[feature];
            if ((l == level ? !(flag & FLAG_SWAPPED) : (flag & FLAG_PARENT_SWAPPED) != 0) && in_part(w, p, feature, l != level)) {
                sum += fabs((double)words_f32(&w->samples, 2 * (size_t)q + 1) * fixture_decoder(w, feature, c));
                *terms += 1;
            }
        }
    }
    return sum;
}

static void bound_level(const struct fixture *w, const struct check_job *job, const struct decode_args *p, u32 level)
{
    u32 share = (w->stride / 16 + p->slices - 1) / p->slices * 16;
    for (u32 b = 0; b < p->batch; b++)
        for (u32 slice = 0; slice < p->slices; slice++) {
            double carried = 0;
            u32 loss = (level * p->slices + slice) * p->padded + b, terms;
            for (u32 c = slice * share; c < (slice + 1) * share && c < w->stride; c++) {
                u32 at = (p->row + (level - p->level) * p->padded + b) * w->stride + c;
                double scale = magnitude(w, p, level, b, c, &terms), off = bound_sum(terms, scale);
                job->tolerance[SLOT(decode, residual)][at] = (f32)off;
                carried += 2 * fabs(bits_f32(job->expected[SLOT(decode, residual)][at])) * off;
            }
            if (p->partial)
                continue;
            job->tolerance[SLOT(decode, loss)][loss] = (f32)(carried + bound_sum(share, bits_f32(job->expected[SLOT(decode, loss)][loss])));
        }
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct decode_args p;
    memcpy(&p, job->args, sizeof p);
    for (u32 l = p.level; l < p.level + p.count && !fixture_halted(w); l++)
        bound_level(w, job, &p, l);
}

const struct check_kernel hsae_check_decode = {.launches = launches, .launch = launch, .bounds = bounds};
