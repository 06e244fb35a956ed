/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, quantize8, .padded = w->padded, .stride = w->stride);
    JOB_BIND(job, quantize8, .x = &w->x, .mixed = &w->mixed, .words = &w->quantized8, .units = &w->units8);
    job_groups(job, (w->words + job->shape.group_size - 1) / job->shape.group_size);
}

/* Of mixing twice 8 roundings, of the norm half those of the sum under the root. Where a number is rounded the other way, what rounding
 * changed differs by as little as the number. */
static void bounds(const struct fixture *w, const struct check_job *job)
{
    for (u32 k = 0; k < w->mixed.count; k++)
        job->tolerance[SLOT(quantize8, mixed)][k] = CHECK_ANY;
    for (u32 k = 0; k < w->quantized8.count; k++)
        job->tolerance[SLOT(quantize8, words)][k] = CHECK_BYTES;
    const u32 *expected = job->expected[SLOT(quantize8, units)];
    for (u32 b = 0; b < w->padded; b++) {
        const u32 first = b / 32 * UNIT_WORDS * 32 + b % 32;
        f32 *tolerance = job->tolerance[SLOT(quantize8, units)];
        const f32 norm = bits_f32(expected[first + UNIT_NORM * 32]);
        tolerance[first] = bound_ulps(24, bits_f32(expected[first]));
        tolerance[first + UNIT_NORM * 32] = (f32)(0.5 * bound_sum(w->stride, fabs(norm)) + bound_ulps(24, norm));
        tolerance[first + UNIT_LOST * 32] = tolerance[first + UNIT_NORM * 32];
    }
}

const struct check_kernel hsae_check_quantize8 = {.launches = launches_one, .launch = launch, .bounds = bounds};
