/* SPDX-License-Identifier: MIT */
#include "ghosts.h"

static u32 launches(const struct fixture *fixture)
{
    return fixture->ghosts ? fixture->size.levels * (FIXTURE_SHARDS + 2) : 0;
}

/* Each level as a whole; then what a shard's dead features give, each shard's; then the rest, as if shard 0 were all. */

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 level = index % w->size.levels, part = index / w->size.levels, shard = part ? (part - 1) % FIXTURE_SHARDS : 0;
    JOB_ARGS(job, ghost, .level = level, .first = w->first[level], .row = fixture_residual_row(w, level), .batch = w->size.batch,
             .stride = w->stride, .range_rows = w->range_rows,
             .part = !part                   ? GHOST_WHOLE
                     : part > FIXTURE_SHARDS ? GHOST_BLEND
                                             : GHOST_SUM,
             .to = shard * w->padded, .rank = fixture_shard(w, level, shard),
             .ranks = fixture_shard(w, level, shard + 1) - fixture_shard(w, level, shard));
    JOB_BIND(job, ghost, .x = &w->x, .E = WORDS4(w->E), .D = WORDS4(w->D), .flags = &w->flags, .step_state = &w->step_state,
             .feature_scalars = &w->feature_scalars, .residual = fixture_residuals(w, level), .tree = &w->tree,
             .ghost = part ? &w->partials[level] : &w->ghost[level],
             .ghost_losses = part ? &w->part_losses[level] : &w->ghost_losses[level]);
    job_groups(job, w->size.batch);
}

/* alpha = |R| / (2 |y|). |y| is off by no more than the norm of how far y is off, and by its own rounding. */
static struct estimate bound_alpha(const struct fixture *w, u32 level, u32 b, const struct sum *y)
{
    double norm = 0, off = 0, target = 0;
    for (u32 c = 0; c < w->stride; c++) {
        struct estimate element = sum_estimate(&y[c]);
        double residual = fixture_residual(w, level, b, c);
        norm += element.value * element.value;
        off += element.off * element.off;
        target += residual * residual;
    }
    double alpha = norm > 0 ? sqrt(target / norm) / 2 : 0;
    double relative = norm > 0 ? sqrt(off / norm) + bound_sum(w->stride, 1) : 0; /* two roots halve the error of two sums */
    return (struct estimate){alpha, alpha * relative + bound_ulps(12, alpha)};
}

/* y of a sample: what is in place for GHOST_BLEND, else sums over the dead features. */
static void sum_dead(const struct fixture *w, const struct ghost_args *args, u32 b, struct sum *y)
{
    memset(y, 0, w->stride * sizeof *y);
    for (u32 c = 0; c < w->stride && args->part == GHOST_BLEND; c++)
        sum_add(&y[c], words_f32(&w->partials[args->level], (size_t)b * w->stride + c), 0);
    for (u32 k = 0; k < fixture_dead(w, args->level) && args->part != GHOST_BLEND; k++) {
        u32 feature = ghost_feature(w, args->level, k), rank = fixture_tree(w, feature, TREE_RANK);
        double p;
        if (args->part == GHOST_SUM && (rank < args->rank || rank >= args->rank + args->ranks))
            continue;
        struct estimate g = ghost_activation(w, feature, b, &p);
        for (u32 c = 0; c < w->stride; c++) {
            double value = fixture_decoder(w, feature, c);
            sum_add(&y[c], g.value * value, g.off * fabs(value));
        }
    }
}

static void bound_blend(const struct fixture *w, const struct ghost_args *args, u32 b, const struct sum *y, const struct check_job *job)
{
    struct estimate alpha = bound_alpha(w, args->level, b, y);
    struct sum loss = {0};
    for (u32 c = 0; c < w->stride; c++) {
        u32 at = b * w->stride + c;
        struct estimate element = sum_estimate(&y[c]);
        struct sum v = {0};
        sum_add(&v, alpha.value * element.value, alpha.off * fabs(element.value) + alpha.value * element.off);
        sum_add(&v, fixture_residual(w, args->level, b, c), 0);
        struct estimate result = sum_estimate(&v);
        job->tolerance[SLOT(ghost, ghost)][at] = (f32)result.off;
        sum_add(&loss, result.value * result.value, (2 * fabs(result.value) + result.off) * result.off);
    }
    job->tolerance[SLOT(ghost, ghost_losses)][2 * b] = (f32)sum_estimate(&loss).off;
    job->tolerance[SLOT(ghost, ghost_losses)][2 * b + 1] = (f32)alpha.off;
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct ghost_args p;
    memcpy(&p, job->args, sizeof p);
    struct sum *y = malloc(w->stride * sizeof *y);
    for (u32 b = 0; y && b < p.batch && !fixture_halted(w) && fixture_dead(w, p.level); b++) {
        sum_dead(w, &p, b, y);
        if (p.part != GHOST_SUM)
            bound_blend(w, &p, b, y, job);
        for (u32 c = 0; c < w->stride && p.part == GHOST_SUM; c++)
            job->tolerance[SLOT(ghost, ghost)][(p.to + b) * w->stride + c] = (f32)sum_estimate(&y[c]).off;
    }
    free(y);
}

const struct check_kernel hsae_check_ghost = {.launches = launches, .launch = launch, .bounds = bounds};
