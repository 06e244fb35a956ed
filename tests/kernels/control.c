/* SPDX-License-Identifier: MIT */
#include "ref/bounds.h"
#include "world.h"

static void launch(struct world *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, control, .levels = w->size.levels, .rows = w->size.rows, .padded = w->padded, .slices = w->size.slices,
             .features = w->features, .stride = w->stride, .rho = w->rho, .one_minus_momentum = 0.02f, .eta = 0.01f, .kappa = 0.003f);
    JOB_BIND(job, control, .levels = &w->levels, .loss = &w->loss, .terms = &w->terms, .active_count = &w->active_count,
             .squares = &w->squares, .starts = &w->starts, .last_fired = &w->last_fired, .control = &w->control, .status = &w->status);
    job_groups_exact(job, w->size.levels);
}

/* rho / B (sum of TERM_OWN over the level - sum of TERM_PARENT over the next). */
static double bound_constraint(const struct world *w, u32 level)
{
    struct sum sum = {0};
    for (u32 i = w->first[level]; i < w->first[level + 1]; i++)
        sum_add(&sum, words_f32(&w->terms, (size_t)i * TERM_WORDS + TERM_OWN), 0);
    for (u32 i = w->first[level + 1]; level + 1 < w->size.levels && i < w->first[level + 2]; i++)
        sum_add(&sum, -words_f32(&w->terms, (size_t)i * TERM_WORDS + TERM_PARENT), 0);
    double share = (double)w->rho / w->size.rows;
    return share * sum_estimate(&sum).off + bound_ulps(4, share * sum.value);
}

static void bounds(const struct world *w, const struct check_job *job)
{
    if (world_halted(w))
        return;
    f32 *control = job->tolerance[SLOT(control, control)], *status = job->tolerance[SLOT(control, status)];
    status[STATUS_VARIANCE] = (f32)bound_sum(w->stride, bits_f32(job->expected[SLOT(control, status)][STATUS_VARIANCE]));
    for (u32 l = 0; l < w->size.levels; l++) {
        u32 at = CONTROL_LEVELS + l * CONTROL_LEVEL_WORDS, figures = STATUS_LEVELS + l * STATUS_LEVEL_WORDS;
        const u32 *expected = job->expected[SLOT(control, status)] + figures;
        f32 reconstruction = bits_f32(expected[STATUS_RECONSTRUCTION]), l0 = bits_f32(expected[STATUS_L0]);
        f32 average = words_f32(&w->control, at + CONTROL_AVERAGE),
            lambda = bits_f32(job->expected[SLOT(control, control)][at + CONTROL_LAMBDA]);
        status[figures + STATUS_RECONSTRUCTION] =
            (f32)(bound_sum(w->size.rows * w->size.slices, reconstruction) + bound_ulps(4, reconstruction));
        status[figures + STATUS_L0] = (f32)bound_ulps(4, l0);
        status[figures + STATUS_CONSTRAINT] = (f32)bound_constraint(w, l);
        control[at + CONTROL_AVERAGE] = (f32)bound_ulps(6, fabs(average) + l0);
        control[at + CONTROL_LAMBDA] = (f32)bound_ulps(2, lambda);
    }
}

const struct check_kernel hsae_check_control = {.launches = launches_one, .launch = launch, .bounds = bounds};
