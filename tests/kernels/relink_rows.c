/* SPDX-License-Identifier: MIT */
#include "ref/bounds.h"
#include "world.h"

/* For each level: its rows of E as rows, and of D as panels. */
static u32 launches(const struct world *world)
{
    return 2 * world->size.levels;
}

static void launch(struct world *w, u32 index, struct check_job *job)
{
    u32 level = index / 2, decoder = index % 2, count = w->size.features[level];
    JOB_ARGS(job, relink_rows, .first = w->first[level], .count = count, .padded = (count + 31) / 32 * 32, .stride = w->stride,
             .range_rows = w->range_rows, .decoder = decoder, .panels = decoder);
    u32 slot = job_bind4(job, 0, decoder ? w->D : w->E);
    slot = job_bind(job, slot, &w->flags);
    job_bind(job, slot, &w->unit);
    job_groups(job, (count + 31) / 32 * 32);
}

/* Half the relative error of the sum under the root, root, quotient, product. */
static void bounds(const struct world *w, const struct check_job *job)
{
    for (u32 k = 0; k < job->bindings[5]->count; k++)
        if (job->expected[5][k] != CHECK_POISON) {
            f32 value = bits_f32(job->expected[5][k]);
            job->tolerance[5][k] = (f32)(0.5 * bound_sum(w->stride, fabs(value)) + bound_ulps(9, value));
        }
}

const struct check_kernel hsae_check_relink_rows = {.launches = launches, .launch = launch, .bounds = bounds};
