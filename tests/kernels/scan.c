/* SPDX-License-Identifier: MIT */
#include "fixture.h"

/* The starts by feature, a launch a chunk, and those by sample, unchecked. */
static u32 launches(const struct fixture *fixture)
{
    return fixture->chunk_count + 1;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    bool by_feature = index < w->chunk_count;
    struct check_words *starts = by_feature ? &w->starts : &w->sample_starts;
    struct scan_args p = {.first = 0, .count = w->totals.count, .capacity = 0};
    if (by_feature)
        p = (struct scan_args){.first = w->chunks[index].first, .count = w->chunks[index].count, .capacity = w->capacity};
    memcpy(job->args, &p, sizeof p);
    for (u32 k = p.first ? p.first + 1 : 0; k <= p.first + p.count; k++)
        starts->at[k] = CHECK_POISON;
    JOB_BIND(job, scan, .counts = by_feature ? &w->counts : &w->totals, .starts = starts, .step_state = &w->step_state);
    job_groups_exact(job, 1);
}

const struct check_kernel hsae_check_scan = {.launches = launches, .launch = launch, .bounds = NULL};
