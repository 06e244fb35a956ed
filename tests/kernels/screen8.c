/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

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

/* The bitmap is exact: the fixture keeps pre-activations away from the cut. */
static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct screen8_args p;
    memcpy(&p, job->args, sizeof p);
    for (u32 k = 0; k < w->rounded.count; k++)
        job->tolerance[SLOT(screen8, rounded)][k] = CHECK_ANY;
    for (u32 k = 0; k < w->mixed.count; k++)
        job->tolerance[SLOT(screen8, mixed)][k] = CHECK_ANY;
    for (u32 r = 0; r < p.count; r++)
        for (u32 b = 0, at = r * w->padded; b < p.batch; b++) {
            u32 feature = p.first + r;
            if (!(job->expected[SLOT(screen8, bits)][feature * p.words + b / 32] >> b % 32 & 1))
                continue;
            double scale = fabs(fixture_table(w, feature, SCALAR_BIAS));
            for (u32 k = 0; k < w->size.dim; k++)
                scale += fabs((double)fixture_row(w, w->E, feature, k) * words_f32(&w->x, (size_t)b * w->stride + k));
            job->tolerance[SLOT(screen8, scratch)][at++] = (f32)bound_sum(w->size.dim + 1, scale);
        }
}

static double flops(const struct check_job *job)
{
    struct screen8_args p;
    memcpy(&p, job->args, sizeof p);
    return 2.0 * p.count * p.batch * p.stride;
}

const struct check_kernel hsae_check_screen8 = {.launches = launches_chunks, .launch = launch, .bounds = bounds, .flops = flops};
