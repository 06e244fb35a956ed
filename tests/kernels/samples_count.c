/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, samples_count, .levels = w->size.levels, .words = w->words, .block = w->block);
    JOB_BIND(job, samples_count, .bits = &w->bits, .tree = &w->tree, .level_info = &w->level_info, .tally = &w->tally);
    job_items(job, w->blocks * w->words);
}

const struct check_kernel hsae_check_samples_count = {
    .launches = launches_one, .launch = launch, .bounds = NULL, .shapes = check_teams, .shape_count = CHECK_TEAMS};
