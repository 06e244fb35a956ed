/* SPDX-License-Identifier: MIT */
#include "world.h"

static void launch(struct world *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, swap, .features = w->features, .levels = w->size.levels);
    JOB_BIND(job, &w->clock, &w->levels, &w->tree, &w->last_fired, &w->places, &w->flags);
    job_items(job, w->features);
}

const struct check_kernel hsae_check_swap = {.launches = launches_one, .launch = launch, .bounds = NULL};
