/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 tile = job->shape.columns * job->shape.group_size * job->shape.vector_width;
    (void)index;
    JOB_ARGS(job, peak_fma, .count = w->x.count, .repeats = 37, .factor = 0.75f, .term = 0.5f);
    JOB_BIND(job, peak_fma, .from = &w->x, .to = &w->peak);
    job_groups(job, (w->x.count + tile - 1) / tile);
}

/* Each of the steps adds a rounding error of half an ulp of what it yields, and shrinks those before it by the factor. */
static void bounds(const struct fixture *w, const struct check_job *job)
{
    for (u32 k = 0; k < w->x.count; k++) {
        double off = 0, x = words_f32(&w->x, k);
        for (int i = 0; i < 37; i++) {
            double product = 0.75 * x;
            x = product + 0.5;
            off = 0.75 * off + bound_ulps(1, product) + bound_ulps(1, x);
        }
        job->tolerance[SLOT(peak_fma, to)][k] = (f32)off;
    }
}

static double flops(const struct check_job *job)
{
    struct peak_fma_args p;
    memcpy(&p, job->args, sizeof p);
    return 2.0 * p.count * p.repeats;
}

const struct check_kernel hsae_check_peak_fma = {.launches = launches_one, .launch = launch, .bounds = bounds, .flops = flops};
