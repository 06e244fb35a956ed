/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    const struct fixture_chunk *chunk = &w->chunks[index];
    u32 packed = fixture_random(w, 2);
    JOB_ARGS(job, lists_fill, .first = chunk->first, .count = chunk->count, .words = w->words, .features = w->features,
             .capacity = w->capacity, .history = fixture_random(w, 4) != 0, .packed = packed);
    JOB_BIND(job, lists_fill, .step_state = &w->step_state, .bits = &w->bits, .starts = &w->starts, .feature_scalars = &w->feature_scalars,
             .scratch = packed ? &w->packed[index] : &w->scratch[index], .pairs = &w->pairs, .active_count = &w->active_count,
             .word_starts = &w->word_starts, .history = &w->history);
    job_items(job, chunk->count);
}

const struct check_kernel hsae_check_lists_fill = {
    .launches = launches_chunks, .launch = launch, .bounds = NULL, .shapes = check_teams, .shape_count = CHECK_TEAMS};
