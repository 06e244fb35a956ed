/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 tile = job->shape.columns * job->shape.group_size * job->shape.vector_width;
    (void)index;
    JOB_ARGS(job, peak_copy, .count = w->x.count);
    JOB_BIND(job, peak_copy, .from = &w->x, .to = &w->peak);
    job_groups(job, (w->x.count + tile - 1) / tile);
}

const struct check_kernel hsae_check_peak_copy = {.launches = launches_one, .launch = launch, .bounds = NULL};
