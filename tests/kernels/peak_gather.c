/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

enum { WIDTH = 16, READS = 12 };

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 tile = job->shape.columns * job->shape.group_size * job->shape.vector_width;
    (void)index;
    JOB_ARGS(job, peak_gather, .count = w->x.count, .rows = w->x.count / WIDTH, .width = WIDTH, .reads = READS);
    JOB_BIND(job, peak_gather, .from = &w->x, .to = &w->peak);
    job_groups(job, (w->x.count + tile - 1) / tile);
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    for (u32 k = 0; k < w->x.count; k++) {
        double scale = 0;
        for (u32 i = 0; i < READS; i++)
            scale += fabs(words_f32(&w->x, GATHERED_ROW(k / WIDTH * READS + i, w->x.count / WIDTH) * WIDTH + k % WIDTH));
        job->tolerance[SLOT(peak_gather, to)][k] = (f32)bound_sum(READS, scale);
    }
}

const struct check_kernel hsae_check_peak_gather = {.launches = launches_one, .launch = launch, .bounds = bounds};
