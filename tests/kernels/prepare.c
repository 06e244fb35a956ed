/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, prepare, .levels = w->size.levels, .batch = w->size.batch, .norms = w->norms.count, .ghosts = w->ghosts,
             .lambda_init = w->lambda_init);
    JOB_BIND(job, prepare, .step_params = &w->step_params, .level_info = &w->level_info, .flags = &w->flags, .norms = &w->norms,
             .step_state = &w->step_state);
    job_groups_exact(job, 1);
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    for (u32 l = 0; l < w->size.levels; l++) {
        u32 at = STATE_LEVELS + l * STATE_LEVEL_WORDS + STATE_LAMBDA;
        f32 lambda = bits_f32(job->expected[SLOT(prepare, step_state)][at]);
        if (job->expected[SLOT(prepare, step_state)][at] != w->step_state.at[at])
            job->tolerance[SLOT(prepare, step_state)][at] = (f32)(bound_sum(w->norms.count, lambda) + bound_ulps(6, lambda));
    }
}

const struct check_kernel hsae_check_prepare = {.launches = launches_one, .launch = launch, .bounds = bounds};
