/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    const struct fixture_chunk *chunk = &w->chunks[index];
    struct hsae_tile tile;
    hsae_shape_tile(&job->shape, &tile);
    JOB_ARGS(job, encode, .first = chunk->first, .row = chunk->row, .count = chunk->count, .batch = w->size.batch, .words = w->words,
             .dim = w->size.dim, .stride = w->stride);
    JOB_BIND(job, encode, .panels = &w->panels, .encoder = &w->E[chunk->range], .feature_scalars = &w->feature_scalars, .bits = &w->bits,
             .scratch = &w->scratch[index]);
    job_groups(job, (chunk->count + tile.features - 1) / tile.features * ((w->words + tile.words - 1) / tile.words));
}

/* The bitmap is exact: the fixture keeps pre-activations away from the cut. */
static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct encode_args p;
    memcpy(&p, job->args, sizeof p);
    for (u32 r = 0; r < p.count; r++)
        for (u32 b = 0; b < w->padded; b++) {
            double scale = fabs(fixture_table(w, p.first + r, SCALAR_BIAS));
            for (u32 k = 0; k < p.dim; k++)
                scale += fabs((double)fixture_row(w, w->E, p.first + r, k) * words_f32(&w->x, (size_t)b * w->stride + k));
            job->tolerance[SLOT(encode, scratch)][r * w->padded + b] = (f32)bound_sum(p.dim + 1, scale);
        }
}

/* The defaults of GPUs (src/device/shape.c); then tiles larger and smaller than the cases, with one and with several lanes along the
 * samples and the features, one and several words of marks, from memory and through local memory. */
#define TILE(group, cols, width, vectors, words, step, pad, prefetch)                                                           \
    {                                                                                                                           \
        .group_size = group, .columns = cols, .ranges = 1, .vector_width = width, .tile_vectors = vectors, .tile_words = words, \
        .tile_step = step, .tile_pad = pad, .tile_prefetch = prefetch                                                           \
    }
static const struct hsae_kernel_shape shapes[] = {
    TILE(256, 8, 4, 2, 4, 8, 0, 1), TILE(64, 4, 4, 2, 2, 8, 0, 1),  TILE(32, 8, 4, 1, 4, 0, 0, 0),  TILE(32, 6, 4, 1, 4, 0, 0, 0),
    TILE(64, 8, 4, 2, 2, 16, 1, 1), TILE(16, 2, 4, 1, 1, 16, 1, 0), TILE(16, 16, 4, 1, 2, 8, 2, 1), TILE(16, 9, 4, 8, 1, 4, 1, 1),
    TILE(8, 4, 4, 1, 1, 0, 0, 0),   TILE(32, 3, 4, 2, 2, 0, 0, 0),  TILE(16, 8, 8, 1, 4, 16, 1, 1), TILE(8, 5, 8, 1, 1, 0, 0, 0),
    TILE(4, 3, 16, 1, 2, 0, 0, 0),
};

static double flops(const struct check_job *job)
{
    struct encode_args p;
    memcpy(&p, job->args, sizeof p);
    return 2.0 * p.count * p.batch * p.dim;
}

const struct check_kernel hsae_check_encode = {.launches = launches_chunks,
                                               .launch = launch,
                                               .bounds = bounds,
                                               .flops = flops,
                                               .shapes = shapes,
                                               .shape_count = sizeof shapes / sizeof *shapes};
