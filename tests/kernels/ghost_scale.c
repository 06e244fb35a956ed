/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static u32 launches(const struct fixture *fixture)
{
    return fixture->ghosts ? fixture->size.levels : 0;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    JOB_ARGS(job, ghost_scale, .level = index, .batch = w->size.batch, .padded = w->padded, .slices = w->size.slices);
    JOB_BIND(job, ghost_scale, .step_state = &w->step_state, .ghost_losses = &w->ghost_losses[index], .loss = &w->loss,
             .weights = &w->weights[index]);
    job_groups_exact(job, 1);
}

/* A quotient of two sums of positive terms, and three products. */
static void bounds(const struct fixture *w, const struct check_job *job)
{
    double relative = bound_sum(w->size.batch, 1) + bound_sum(w->size.batch * w->size.slices, 1) + bound_ulps(6, 1);
    for (u32 b = 0; b < w->size.batch && !fixture_halted(w); b++)
        if (job->expected[SLOT(ghost_scale, weights)][b] != CHECK_POISON)
            job->tolerance[SLOT(ghost_scale, weights)][b] = (f32)(relative * fabs(bits_f32(job->expected[SLOT(ghost_scale, weights)][b])));
}

const struct check_kernel hsae_check_ghost_scale = {.launches = launches, .launch = launch, .bounds = bounds};
