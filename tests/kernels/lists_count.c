/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    const struct fixture_chunk *chunk = &w->chunks[index];
    JOB_ARGS(job, lists_count, .first = chunk->first, .count = chunk->count, .words = w->words);
    JOB_BIND(job, lists_count, .bits = &w->bits, .counts = &w->counts);
    job_items(job, chunk->count);
}

const struct check_kernel hsae_check_lists_count = {
    .launches = launches_chunks, .launch = launch, .bounds = NULL, .shapes = check_teams, .shape_count = CHECK_TEAMS};
