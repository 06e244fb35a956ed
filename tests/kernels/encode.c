#include "bounds.h"
#include "world.h"

static void launch(struct world *w, u32 index, struct check_job *job)
{
    const struct world_chunk *chunk = &w->chunks[index];
    u32 tile = job->shape.columns * job->shape.group_size;
    JOB_ARGS(job, encode, .first = chunk->first, .row = chunk->row, .count = chunk->count, .rows = w->size.rows, .words = w->words,
             .dim = w->size.dim, .stride = w->stride);
    JOB_BIND(job, &w->panels, &w->E[chunk->range], &w->table, &w->bits, &w->scratch[index]);
    job_groups(job, (chunk->count + tile - 1) / tile * w->words);
}

/* The bitmap is exact: the world keeps pre-activations away from the cut. */
static void bounds(const struct world *w, const struct check_job *job)
{
    struct encode_args p;
    memcpy(&p, job->args, sizeof p);
    for (u32 r = 0; r < p.count; r++)
        for (u32 b = 0; b < w->padded; b++) {
            double scale = fabs(world_table(w, p.first + r, TABLE_BIAS));
            for (u32 k = 0; k < p.dim; k++)
                scale += fabs((double)world_row(w, w->E, p.first + r, k) * words_f32(&w->x, (size_t)b * w->stride + k));
            job->tolerance[4][r * w->padded + b] = (f32)bound_sum(p.dim + 1, scale);
        }
}

const struct check_kernel hsae_check_encode = {launches_chunks, launch, bounds};
