/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, samples_fill, .levels = w->size.levels, .batch = w->size.batch, .words = w->words, .block = w->block);
    JOB_BIND(job, samples_fill, .bits = &w->bits, .tree = &w->tree, .level_info = &w->level_info, .feature_scalars = &w->feature_scalars,
             .step_state = &w->step_state, .word_starts = &w->word_starts, .pairs = &w->pairs, .sample_starts = &w->sample_starts,
             .tally = &w->tally, .samples = &w->samples, .positions = &w->positions);
    job_items(job, w->blocks * w->words);
}

const struct check_kernel hsae_check_samples_fill = {
    .launches = launches_one, .launch = launch, .bounds = NULL, .shapes = check_teams, .shape_count = CHECK_TEAMS};
