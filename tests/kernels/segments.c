/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static u32 launches(const struct fixture *fixture)
{
    return fixture->room != 0;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, segments, .features = w->features, .pairs = w->segment, .room = w->room);
    JOB_BIND(job, segments, .starts = &w->starts, .step_state = &w->step_state, .feature_scalars = &w->feature_scalars,
             .owners = &w->owners);
    job_groups_exact(job, 1);
}

const struct check_kernel hsae_check_segments = {.launches = launches, .launch = launch, .bounds = NULL};
