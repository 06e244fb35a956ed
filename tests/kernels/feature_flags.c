/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, feature_flags, .features = w->features, .levels = w->size.levels);
    JOB_BIND(job, feature_flags, .step_params = &w->step_params, .level_info = &w->level_info, .tree = &w->tree,
             .last_fired = &w->last_fired, .decoder_rows = &w->decoder_rows, .flags = &w->flags);
    job_items(job, w->features);
}

const struct check_kernel hsae_check_feature_flags = {.launches = launches_one, .launch = launch, .bounds = NULL};
