/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, samples_base, .levels = w->size.levels, .batch = w->size.batch, .words = w->words, .block = w->block);
    JOB_BIND(job, samples_base, .level_info = &w->level_info, .tally = &w->tally, .totals = &w->totals);
    job_items(job, w->totals.count);
}

const struct check_kernel hsae_check_samples_base = {
    .launches = launches_one, .launch = launch, .bounds = NULL, .shapes = check_teams, .shape_count = CHECK_TEAMS};
