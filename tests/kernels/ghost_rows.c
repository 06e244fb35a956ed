/* SPDX-License-Identifier: MIT */
#include "ghosts.h"

/* For each level and chunk of its dead features: the lower half of the ranks, then the upper. */
static u32 launches(const struct fixture *fixture)
{
    return fixture->ghosts ? fixture->size.levels * FIXTURE_GHOST_CHUNKS * 2 : 0;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 level = index / 2 / FIXTURE_GHOST_CHUNKS, chunk = index / 2 % FIXTURE_GHOST_CHUNKS, count = fixture_ghost_chunk(w, level);
    u32 half = w->size.features[level] / 2, upper = index % 2;
    JOB_ARGS(job, ghost_rows, .level = level, .first = w->first[level], .chunk = chunk * count, .count = count,
             .rank = w->first[level] + (upper ? half : 0), .ranks = upper ? w->size.features[level] - half : half, .batch = w->size.batch,
             .stride = w->stride, .range_rows = w->range_rows);
    JOB_BIND(job, ghost_rows, .x = &w->x, .E = WORDS4(w->E), .D = WORDS4(w->D), .flags = &w->flags, .step_state = &w->step_state,
             .feature_scalars = &w->feature_scalars, .ghost = &w->ghost[level], .weights = &w->weights[level], .tree = &w->tree,
             .rows = &w->rows[level][chunk]);
    job_groups(job, count);
}

/* The sums over the batch of one feature: g w v by column, slope x by column, g q, slope. */
struct sums {
    struct sum *decoder, *encoder, radial, bias;
};

static void add_sample(const struct fixture *w, u32 level, u32 feature, u32 b, struct sums *sums)
{
    double p, weight = words_f32(&w->weights[level], b);
    struct estimate g = ghost_activation(w, feature, b, &p);
    struct sum dot = {0};
    for (u32 c = 0; c < w->stride; c++)
        sum_add(&dot, (double)fixture_decoder(w, feature, c) * words_f32(&w->ghost[level], (size_t)b * w->stride + c), 0);
    struct estimate score = sum_estimate(&dot);
    double gq = g.value * weight * score.value;
    double gq_off = fabs(weight) * (g.off * fabs(score.value) + g.value * score.off) + bound_ulps(2, gq);
    bool open = p < 10;
    sum_add(&sums->radial, gq, gq_off);
    sum_add(&sums->bias, open ? gq : 0, open ? gq_off : 0);
    for (u32 c = 0; c < w->stride; c++) {
        double v = words_f32(&w->ghost[level], (size_t)b * w->stride + c), x = words_f32(&w->x, (size_t)b * w->stride + c);
        double term = g.value * weight * v;
        sum_add(&sums->decoder[c], term, g.off * fabs(weight * v) + bound_ulps(1, term));
        sum_add(&sums->encoder[c], open ? gq * x : 0, open ? gq_off * fabs(x) : 0);
    }
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct ghost_rows_args p;
    memcpy(&p, job->args, sizeof p);
    struct sums sums = {.decoder = malloc(w->stride * sizeof *sums.decoder), .encoder = malloc(w->stride * sizeof *sums.encoder)};
    u32 dead = fixture_dead(w, p.level), length = w->stride + 16;
    bool idle = !sums.decoder || !sums.encoder || fixture_halted(w);
    for (u32 k = 0; k < p.count && p.chunk + k < dead && !idle; k++) {
        u32 feature = ghost_feature(w, p.level, p.chunk + k);
        if (w->tree.at[feature * TREE_WORDS + TREE_RANK] - p.rank >= p.ranks)
            continue;
        sums.radial = sums.bias = (struct sum){0};
        memset(sums.decoder, 0, w->stride * sizeof *sums.decoder);
        memset(sums.encoder, 0, w->stride * sizeof *sums.encoder);
        for (u32 b = 0; b < p.batch; b++)
            add_sample(w, p.level, feature, b, &sums);
        f32 *row = job->tolerance[SLOT(ghost_rows, rows)] + 2 * (size_t)k * length;
        for (u32 c = 0; c < length; c++) {
            row[c] = (f32)sum_estimate(c < w->stride ? &sums.decoder[c] : &sums.radial).off;
            row[length + c] = (f32)sum_estimate(c < w->stride ? &sums.encoder[c] : &sums.bias).off;
        }
    }
    free(sums.decoder);
    free(sums.encoder);
}

const struct check_kernel hsae_check_ghost_rows = {.launches = launches, .launch = launch, .bounds = bounds};
