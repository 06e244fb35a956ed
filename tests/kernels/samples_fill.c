/* SPDX-License-Identifier: MIT */
#include "world.h"

static void launch(struct world *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, samples_fill, .levels = w->size.levels, .rows = w->size.rows, .words = w->words, .block = w->block);
    JOB_BIND(job, &w->bits, &w->tree, &w->levels, &w->table, &w->control, &w->word_starts, &w->pairs, &w->sample_starts, &w->tally,
             &w->samples, &w->positions);
    job_items(job, w->blocks * w->words);
}

const struct check_kernel hsae_check_samples_fill = {
    .launches = launches_one, .launch = launch, .bounds = NULL, .shapes = check_teams, .shape_count = CHECK_TEAMS};
