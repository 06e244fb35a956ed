/* SPDX-License-Identifier: MIT */
#include "fixture.h"

/* The starts by feature, a launch a chunk; with the last one those by sample, and the segments where there is room for some. */
static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    bool last = index + 1 == w->chunk_count;
    struct scan_args p = {w->chunks[index].first,     w->chunks[index].count, w->capacity,
                          last ? w->totals.count : 0, last ? w->room : 0,     w->segment};
    memcpy(job->args, &p, sizeof p);
    for (u32 k = p.first ? p.first + 1 : 0; k <= p.first + p.count; k++)
        w->starts.at[k] = CHECK_POISON;
    for (u32 k = 0; p.lists && k <= p.lists; k++)
        w->sample_starts.at[k] = CHECK_POISON;
    JOB_BIND(job, scan, .counts = &w->counts, .starts = &w->starts, .step_state = &w->step_state, .totals = &w->totals,
             .sample_starts = &w->sample_starts, .feature_scalars = &w->feature_scalars, .owners = &w->owners);
    job_groups_exact(job, last ? 2 : 1);
}

const struct check_kernel hsae_check_scan = {.launches = launches_chunks, .launch = launch, .bounds = NULL};
