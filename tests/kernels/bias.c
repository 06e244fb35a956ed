/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 tile = job->shape.columns * COLUMN_LANES(job->shape.group_size);
    struct fixture_levels levels = fixture_levels(w, index);
    JOB_ARGS(job, bias, .level = levels.first, .count = levels.count, .row = levels.row, .batch = w->size.batch, .padded = w->padded,
             .stride = w->stride, .beta2 = w->beta2, .one_minus_beta2 = 1 - w->beta2, .epsilon = w->epsilon);
    JOB_BIND(job, bias, .step_state = &w->step_state, .residual = levels.residual, .bias = &w->bias, .bias_v = &w->bias_v);
    job_groups(job, levels.count * ((w->width + tile - 1) / tile));
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct bias_args p;
    memcpy(&p, job->args, sizeof p);
    struct adam_bounds adam = {
        words_f32(&w->step_state, STATE_RATE), words_f32(&w->step_state, STATE_CORRECTION), p.beta2, p.one_minus_beta2, p.epsilon, 0};
    for (u32 at = p.level * w->stride; at < (p.level + p.count) * w->stride && !fixture_halted(w); at++) {
        double sum = 0, scale = 0, share = 2.0 / p.batch;
        for (u32 b = 0; b < p.batch; b++) {
            f32 value = fixture_residual(w, at / w->stride, b, at % w->stride);
            sum += value;
            scale += fabs(value);
        }
        struct estimate g = {share * sum, share * bound_sum(p.batch, scale) + bound_ulps(4, share * sum)};
        struct adam_estimate stepped = bound_adam(&adam, g, words_f32(&w->bias, at), words_f32(&w->bias_v, at));
        job->tolerance[SLOT(bias, bias)][at] = (f32)stepped.w.off;
        job->tolerance[SLOT(bias, bias_v)][at] = (f32)stepped.v.off;
    }
}

/* With several teams of rows, and with more teams than rows. */
static const struct hsae_kernel_shape shapes[] = {
    {.group_size = 16, .columns = 3, .ranges = 1, .vector_width = 8},
    {.group_size = 512, .columns = 1, .ranges = 1, .vector_width = 4},
};

const struct check_kernel hsae_check_bias = {
    .launches = launches_residuals, .launch = launch, .bounds = bounds, .shapes = shapes, .shape_count = sizeof shapes / sizeof *shapes};
