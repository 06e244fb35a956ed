/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

/* For each level: its rows of E as rows, and of D as panels. */
static u32 launches(const struct fixture *fixture)
{
    return 2 * fixture->size.levels;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 level = index / 2, decoder = index % 2, count = w->size.features[level];
    JOB_ARGS(job, relink_rows, .first = w->first[level], .count = count, .padded = (count + 31) / 32 * 32, .stride = w->stride,
             .range_rows = w->range_rows, .decoder = decoder, .panels = decoder);
    struct check_words *rows = decoder ? w->D : w->E;
    JOB_BIND(job, relink_rows, .S = WORDS4(rows), .flags = &w->flags, .unit = &w->unit);
    job_groups(job, (count + 31) / 32 * 32);
}

/* Half the relative error of the sum under the root, root, quotient, product. */
static void bounds(const struct fixture *w, const struct check_job *job)
{
    for (u32 k = 0; k < job->bindings[SLOT(relink_rows, unit)]->count; k++)
        if (job->expected[SLOT(relink_rows, unit)][k] != CHECK_POISON) {
            f32 value = bits_f32(job->expected[SLOT(relink_rows, unit)][k]);
            job->tolerance[SLOT(relink_rows, unit)][k] = (f32)(0.5 * bound_sum(w->stride, fabs(value)) + bound_ulps(9, value));
        }
}

const struct check_kernel hsae_check_relink_rows = {.launches = launches, .launch = launch, .bounds = bounds};
