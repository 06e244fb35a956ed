/* SPDX-License-Identifier: MIT */
#include "screened.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    const struct fixture_chunk *chunk = &w->chunks[index];
    u32 tile = job->shape.group_size * job->shape.columns;
    JOB_ARGS(job, screen, .first = chunk->first, .row = chunk->row, .count = chunk->count, .batch = w->size.batch, .words = w->words,
             .stride = w->stride, .margin = SCREEN_MARGIN(w->size.dim));
    JOB_BIND(job, screen, .panels = &w->quantized, .units = &w->units, .x = &w->x, .encoder = &w->E[chunk->range],
             .feature_scalars = &w->feature_scalars, .rounded = &w->rounded, .bits = &w->bits, .scratch = &w->packed[index]);
    job_groups(job, (chunk->count + tile - 1) / tile);
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct screen_args p;
    memcpy(&p, job->args, sizeof p);
    screened_bounds(w, job, p.first, p.count, SLOT(screen, rounded), SLOT(screen, bits), SLOT(screen, scratch));
}

static double flops(const struct check_job *job)
{
    struct screen_args p;
    memcpy(&p, job->args, sizeof p);
    return 2.0 * p.count * p.batch * p.stride;
}

const struct check_kernel hsae_check_screen = {.launches = launches_chunks, .launch = launch, .bounds = bounds, .flops = flops};
