/* SPDX-License-Identifier: MIT */
#include "screened.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    const struct fixture_chunk *chunk = &w->chunks[index];
    u32 tile = job->shape.group_size * job->shape.columns;
    JOB_ARGS(job, screen8, .first = chunk->first, .row = chunk->row, .count = chunk->count, .batch = w->size.batch, .words = w->words,
             .stride = w->stride);
    JOB_BIND(job, screen8, .panels = &w->quantized8, .units = &w->units8, .x = &w->x, .encoder = &w->E[chunk->range],
             .feature_scalars = &w->feature_scalars, .mixed = &w->mixed, .rounded = &w->rounded, .bits = &w->bits,
             .scratch = &w->packed[index]);
    job_groups(job, (chunk->count + tile - 1) / tile);
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct screen8_args p;
    memcpy(&p, job->args, sizeof p);
    for (u32 k = 0; k < w->mixed.count; k++)
        job->tolerance[SLOT(screen8, mixed)][k] = CHECK_ANY;
    screened_bounds(w, job, p.first, p.count, SLOT(screen8, rounded), SLOT(screen8, bits), SLOT(screen8, scratch));
}

static double flops(const struct check_job *job)
{
    struct screen8_args p;
    memcpy(&p, job->args, sizeof p);
    return 2.0 * p.count * p.batch * p.stride;
}

const struct check_kernel hsae_check_screen8 = {.launches = launches_chunks, .launch = launch, .bounds = bounds, .flops = flops};
