/* SPDX-License-Identifier: MIT */
#include "ghosts.h"

static u32 launches(const struct fixture *fixture)
{
    return fixture->ghosts ? fixture->size.levels : 0;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    JOB_ARGS(job, ghost, .level = index, .first = w->first[index], .row = fixture_residual_row(w, index), .batch = w->size.batch,
             .stride = w->stride, .range_rows = w->range_rows);
    JOB_BIND(job, ghost, .x = &w->x, .E = WORDS4(w->E), .D = WORDS4(w->D), .flags = &w->flags, .step_state = &w->step_state,
             .feature_scalars = &w->feature_scalars, .residual = fixture_residuals(w, index), .ghost = &w->ghost[index],
             .ghost_losses = &w->ghost_losses[index]);
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

static void bound_sample(const struct fixture *w, u32 level, u32 b, struct sum *y, const struct check_job *job)
{
    memset(y, 0, w->stride * sizeof *y);
    for (u32 k = 0; k < fixture_dead(w, level); k++) {
        u32 feature = ghost_feature(w, level, k);
        double p;
        struct estimate g = ghost_activation(w, feature, b, &p);
        for (u32 c = 0; c < w->stride; c++) {
            double value = fixture_decoder(w, feature, c);
            sum_add(&y[c], g.value * value, g.off * fabs(value));
        }
    }
    struct estimate alpha = bound_alpha(w, level, b, y);
    struct sum loss = {0};
    for (u32 c = 0; c < w->stride; c++) {
        u32 at = b * w->stride + c;
        struct estimate element = sum_estimate(&y[c]);
        struct sum v = {0};
        sum_add(&v, alpha.value * element.value, alpha.off * fabs(element.value) + alpha.value * element.off);
        sum_add(&v, fixture_residual(w, level, b, c), 0);
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
    for (u32 b = 0; y && b < p.batch && !fixture_halted(w) && fixture_dead(w, p.level); b++)
        bound_sample(w, p.level, b, y, job);
    free(y);
}

const struct check_kernel hsae_check_ghost = {.launches = launches, .launch = launch, .bounds = bounds};
