/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

/* The partial sums that decode left: as a level's residual, and what that leaves in them as a plain sum. */
static u32 launches(const struct fixture *w)
{
    return 2 * w->size.levels;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 level = index / 2;
    JOB_ARGS(job, merge, .residual = index % 2 == 0, .level = level, .shards = FIXTURE_SHARDS, .batch = w->size.batch, .padded = w->padded,
             .stride = w->stride, .slices = w->size.slices);
    JOB_BIND(job, merge, .x = &w->x, .bias = &w->bias, .step_state = &w->step_state, .partials = &w->partials[level],
             .sum = &w->merged[level], .loss = &w->merged_loss);
    job_groups(job, w->size.slices * w->size.batch);
}

/* Of one element, whose size is returned: the sums in place, and what is made of them. */
static double bound_element(const struct fixture *w, const struct check_job *job, const struct merge_args *p, u32 b, u32 c)
{
    double size = 0;
    for (u32 s = 0; s < p->shards; s++)
        size += fabs(words_f32(&w->partials[p->level], (size_t)(s * p->padded + b) * p->stride + c));
    for (u32 s = 0; s < p->shards; s += 2)
        job->tolerance[SLOT(merge, partials)][(s * p->padded + b) * p->stride + c] = (f32)bound_sum(p->shards, size);
    if (p->residual)
        size += fabs(words_f32(&w->bias, (size_t)p->level * p->stride + c)) + fabs(words_f32(&w->x, (size_t)b * p->stride + c));
    job->tolerance[SLOT(merge, sum)][b * p->stride + c] = (f32)bound_sum(p->shards + 2, size);
    return size;
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct merge_args p;
    memcpy(&p, job->args, sizeof p);
    u32 share = (p.stride / 16 + p.slices - 1) / p.slices * 16;
    for (u32 b = 0; b < p.batch && !fixture_halted(w); b++)
        for (u32 slice = 0; slice < p.slices; slice++) {
            double carried = 0;
            u32 loss = (p.level * p.slices + slice) * p.padded + b;
            for (u32 c = slice * share; c < (slice + 1) * share && c < p.stride; c++) {
                double off = bound_sum(p.shards + 2, bound_element(w, job, &p, b, c));
                carried += 2 * fabs(bits_f32(job->expected[SLOT(merge, sum)][b * p.stride + c])) * off;
            }
            if (p.residual)
                job->tolerance[SLOT(merge, loss)][loss] =
                    (f32)(carried + bound_sum(share, bits_f32(job->expected[SLOT(merge, loss)][loss])));
        }
}

const struct check_kernel hsae_check_merge = {.launches = launches, .launch = launch, .bounds = bounds};
