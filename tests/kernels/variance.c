/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 tile = job->shape.columns * COLUMN_LANES(job->shape.group_size);
    (void)index;
    JOB_ARGS(job, variance, .batch = w->size.batch, .stride = w->stride);
    JOB_BIND(job, variance, .x = &w->x, .squares = &w->squares);
    job_groups(job, (w->width + tile - 1) / tile);
}

static void bounds(const struct fixture *w, const struct check_job *job)
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
        job->tolerance[SLOT(variance, squares)][c] = (f32)(carried + bound_sum(rows, squares));
    }
}

/* With several teams of rows, and with more teams than rows. */
static const struct hsae_kernel_shape shapes[] = {
    {.group_size = 16, .columns = 3, .ranges = 1, .vector_width = 8},
    {.group_size = 512, .columns = 1, .ranges = 1, .vector_width = 4},
};

const struct check_kernel hsae_check_variance = {
    .launches = launches_one, .launch = launch, .bounds = bounds, .shapes = shapes, .shape_count = sizeof shapes / sizeof *shapes};
