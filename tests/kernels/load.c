/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

/* All formats, the first without panels; the step goes on with the last launch's F32. */
static const u32 formats[FIXTURE_FORMATS] = {FORMAT_F16, FORMAT_BF16, FORMAT_F32};

static u32 launches(const struct fixture *fixture)
{
    (void)fixture;
    return FIXTURE_FORMATS;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    JOB_ARGS(job, load, .batch = w->size.batch, .padded = w->padded, .dim = w->size.dim, .stride = w->stride, .format = formats[index],
             .scale = w->scale, .panels = index > 0);
    JOB_BIND(job, load, .raw = &w->raw[formats[index]], .mean = &w->mean, .x = &w->x, .panels = &w->panels, .norms = &w->norms);
    job_groups(job, w->words * LOAD_BLOCKS(w->stride));
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    for (u32 slot = 2; slot <= 3; slot++)
        for (u32 k = 0; k < job->bindings[slot]->count; k++)
            if (job->expected[slot][k] != CHECK_POISON)
                job->tolerance[slot][k] = (f32)bound_ulps(2, bits_f32(job->expected[slot][k]));
    for (u32 k = 0; k < w->norms.count; k++) {
        f32 norm = bits_f32(job->expected[SLOT(load, norms)][k]); /* the reference rounds after each sample */
        job->tolerance[SLOT(load, norms)][k] = (f32)(bound_sum(32 * LOAD_COLUMNS, norm) + 2 * bound_ulps(2, norm));
    }
}

const struct check_kernel hsae_check_load = {.launches = launches, .launch = launch, .bounds = bounds};
