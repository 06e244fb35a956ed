/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 tile = job->shape.columns * COLUMN_LANES(job->shape.group_size);
    struct fixture_levels levels = fixture_levels(w, index);
    u32 squares = levels.first + levels.count == w->size.levels;
    JOB_ARGS(job, bias, .level = levels.first, .count = levels.count, .row = levels.row, .batch = w->size.batch, .padded = w->padded,
             .stride = w->stride, .squares = squares, .beta2 = w->beta2, .one_minus_beta2 = 1 - w->beta2, .epsilon = w->epsilon);
    JOB_BIND(job, bias, .step_state = &w->step_state, .residual = levels.residual, .bias = &w->bias, .bias_v = &w->bias_v, .x = &w->x,
             .squares = &w->squares);
    job_groups(job, (levels.count + squares) * ((w->width + tile - 1) / tile));
}

static void bound_squares(const struct fixture *w, const struct check_job *job)
{
    u32 rows = w->size.batch;
    for (u32 c = 0; c < w->stride; c++) {
        double sum = 0, scale = 0, carried = 0;
        for (u32 b = 0; b < rows; b++) {
            sum += words_f32(&w->x, (size_t)b * w->stride + c);
            scale += fabs(words_f32(&w->x, (size_t)b * w->stride + c));
        }
        double mean = sum / rows, mean_off = bound_sum(rows, scale) / rows + bound_ulps(3, mean), squares = 0;
        for (u32 b = 0; b < rows; b++) {
            double off = words_f32(&w->x, (size_t)b * w->stride + c) - mean, off_off = mean_off + bound_ulps(1, off);
            carried += (2 * fabs(off) + off_off) * off_off;
            squares += off * off;
        }
        job->tolerance[SLOT(bias, squares)][c] = (f32)(carried + bound_sum(rows, squares));
    }
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
    if (p.squares && !fixture_halted(w))
        bound_squares(w, job);
}

/* With several teams of rows, and with more teams than rows. */
static const struct hsae_kernel_shape shapes[] = {
    {.group_size = 16, .columns = 3, .ranges = 1, .vector_width = 8},
    {.group_size = 512, .columns = 1, .ranges = 1, .vector_width = 4},
};

const struct check_kernel hsae_check_bias = {
    .launches = launches_residuals, .launch = launch, .bounds = bounds, .shapes = shapes, .shape_count = sizeof shapes / sizeof *shapes};
