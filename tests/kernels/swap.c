/* SPDX-License-Identifier: MIT */
#include "world.h"

static void launch(struct world *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, swap, .features = w->features, .levels = w->size.levels);
    JOB_BIND(job, swap, .clock = &w->clock, .levels = &w->levels, .tree = &w->tree, .last_fired = &w->last_fired, .places = &w->places,
             .flags = &w->flags);
    job_items(job, w->features);
}

const struct check_kernel hsae_check_swap = {.launches = launches_one, .launch = launch, .bounds = NULL};
