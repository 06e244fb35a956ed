/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, quantize, .padded = w->padded, .stride = w->stride);
    JOB_BIND(job, quantize, .x = &w->x, .words = &w->quantized, .units = &w->units);
    job_groups(job, w->words);
}

/* Half the relative error of the sum under the root, root, quotient. Quotients of up to 32000 are then off by far less than one half. */
static void bounds(const struct fixture *w, const struct check_job *job)
{
    for (u32 k = 0; k < w->quantized.count; k++)
        job->tolerance[SLOT(quantize, words)][k] = CHECK_HALVES;
    for (u32 b = 0; b < w->padded; b++) {
        f32 unit = bits_f32(job->expected[SLOT(quantize, units)][b]);
        job->tolerance[SLOT(quantize, units)][b] = (f32)(0.5 * bound_sum(w->stride, fabs(unit)) + bound_ulps(9, unit));
    }
}

const struct check_kernel hsae_check_quantize = {.launches = launches_one, .launch = launch, .bounds = bounds};
