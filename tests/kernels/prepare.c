/* SPDX-License-Identifier: MIT */
#include "ref/bounds.h"
#include "world.h"

static void launch(struct world *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, prepare, .levels = w->size.levels, .rows = w->size.rows, .norms = w->norms.count, .ghosts = w->ghosts,
             .lambda_init = w->lambda_init);
    JOB_BIND(job, prepare, .clock = &w->clock, .levels = &w->levels, .flags = &w->flags, .norms = &w->norms, .control = &w->control);
    job_groups_exact(job, 1);
}

static void bounds(const struct world *w, const struct check_job *job)
{
    for (u32 l = 0; l < w->size.levels; l++) {
        u32 at = CONTROL_LEVELS + l * CONTROL_LEVEL_WORDS + CONTROL_LAMBDA;
        f32 lambda = bits_f32(job->expected[SLOT(prepare, control)][at]);
        if (job->expected[SLOT(prepare, control)][at] != w->control.at[at])
            job->tolerance[SLOT(prepare, control)][at] = (f32)(bound_sum(w->norms.count, lambda) + bound_ulps(6, lambda));
    }
}

const struct check_kernel hsae_check_prepare = {.launches = launches_one, .launch = launch, .bounds = bounds};
