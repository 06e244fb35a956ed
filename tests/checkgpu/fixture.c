/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <math.h>
#include <stdio.h>

#include "ref/bounds.h"

/* ---- random numbers: splitmix64 ---- */

static u32 random_word(struct fixture *fixture)
{
    uint64_t z = fixture->random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (u32)((z ^ z >> 31) >> 32);
}

u32 fixture_random(struct fixture *fixture, u32 below)
{
    return (u32)((uint64_t)random_word(fixture) * below >> 32);
}

f32 fixture_uniform(struct fixture *fixture, double low, double high)
{
    return (f32)(low + (high - low) * (random_word(fixture) >> 8) * 0x1p-24);
}

static double normal(struct fixture *fixture)
{
    double radius = ((random_word(fixture) >> 8) + 1) * 0x1p-24, angle = (random_word(fixture) >> 8) * 0x1p-24;
    return sqrt(-2 * log(radius)) * cos(6.283185307179586 * angle);
}

/* ---- memory ---- */

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory) {
        fprintf(stderr, "checkgpu: out of memory for a test's %zu bytes\n", bytes);
        exit(1);
    }
    return memory;
}

/* Words that hold poison. */
static void words_create(struct fixture *fixture, struct check_words *words, const char *label, size_t count)
{
    *words = (struct check_words){label, allocate(count * sizeof(u32)), (u32)count};
    for (size_t k = 0; k < count; k++)
        words->at[k] = CHECK_POISON;
    fixture->all[fixture->all_count++] = words;
}

/* A tensor of `rows` rows in ranges. */
static void ranges_create(struct fixture *fixture, struct check_words ranges[HSAE_MAX_RANGES], const char *label, u32 rows)
{
    for (u32 range = 0; range < HSAE_MAX_RANGES; range++) {
        u32 begin = range * fixture->range_rows < rows ? range * fixture->range_rows : rows;
        u32 count = rows - begin < fixture->range_rows ? rows - begin : fixture->range_rows;
        words_create(fixture, &ranges[range], label, count ? (size_t)count * fixture->stride : 16);
    }
}

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void row_set(struct fixture *fixture, struct check_words *ranges, u32 row, u32 c, f32 value)
{
    words_set(&ranges[row / fixture->range_rows], (size_t)(row % fixture->range_rows) * fixture->stride + c, value);
}

static void create_step_words(struct fixture *w)
{
    size_t features = w->features, rows = w->size.batch, levels = w->size.levels, batch = (size_t)w->padded * w->stride;
    words_create(w, &w->x, "x", batch);
    words_create(w, &w->peak, "peak", batch);
    words_create(w, &w->panels, "panels", batch);
    words_create(w, &w->norms, "norms", w->words * LOAD_BLOCKS(w->stride));
    words_create(w, &w->quantized, "quantized", batch / 2);
    words_create(w, &w->units, "units", w->padded);
    words_create(w, &w->rounded, "rounded", (size_t)(w->size.chunk + w->shape.columns) * w->stride / 2);
    words_create(w, &w->quantized8, "quantized to bytes", batch / 4);
    words_create(w, &w->units8, "units of bytes", UNIT_WORDS * w->padded);
    words_create(w, &w->mixed, "mixed", (size_t)(w->size.chunk > w->words ? w->size.chunk : w->words) * w->stride);
    words_create(w, &w->flags, "flags", features);
    words_create(w, &w->step_report, "step report", REPORT_WORDS);
    words_create(w, &w->bits, "bits", features * w->words);
    words_create(w, &w->counts, "counts", features);
    words_create(w, &w->starts, "starts", features + 1);
    words_create(w, &w->active_count, "active_count", features);
    words_create(w, &w->word_starts, "word_starts", features * w->words);
    words_create(w, &w->history, "history", 64 * features * w->words);
    words_create(w, &w->tally, "tally", (size_t)w->blocks * w->padded);
    words_create(w, &w->totals, "totals", levels * rows);
    words_create(w, &w->sample_starts, "sample_starts", levels * rows + 1);
    words_create(w, &w->pairs, "pairs", 2 * (size_t)w->capacity);
    words_create(w, &w->samples, "samples", 2 * (size_t)w->capacity);
    words_create(w, &w->positions, "positions", w->capacity);
    words_create(w, &w->pair_terms, "pair terms", (size_t)PAIR_WORDS * w->capacity);
    words_create(w, &w->none, "none", 16);
    words_create(w, &w->loss, "loss", levels * w->size.slices * w->padded);
    words_create(w, &w->merged_loss, "loss", levels * w->size.slices * w->padded);
    words_create(w, &w->dots, "dots", features);
    words_create(w, &w->feature_sums, "feature sums", features * FEATURE_SUM_WORDS + (size_t)w->room * SEGMENT_WORDS);
    words_create(w, &w->owners, "owners", w->room ? w->room : 1);
    words_create(w, &w->sums, "sums", (w->room ? 2 * (size_t)w->room : 1) * w->stride);
    words_create(w, &w->squares, "squares", w->stride);
    for (u32 c = 0; c < w->chunk_count; c++) {
        words_create(w, &w->scratch[c], "scratch", (size_t)w->chunks[c].count * w->padded);
        words_create(w, &w->packed[c], "packed scratch", (size_t)w->chunks[c].count * w->padded);
    }
    for (u32 l = 0; l < levels; l++) {
        if (l % w->residual_levels == 0)
            words_create(w, &w->residual[l / w->residual_levels], "residual", batch * at_most(levels - l, w->residual_levels));
        words_create(w, &w->partials[l], "partial sums", FIXTURE_SHARDS * batch);
        words_create(w, &w->merged[l], "merged", batch);
        words_create(w, &w->part_losses[l], "ghost losses", 2 * (size_t)w->padded);
        words_create(w, &w->ghost[l], "ghost", batch);
        words_create(w, &w->ghost_losses[l], "ghost losses", 2 * (size_t)w->padded);
        words_create(w, &w->weights[l], "ghost weights", w->padded);
        for (u32 c = 0; c < FIXTURE_GHOST_CHUNKS; c++)
            words_create(w, &w->rows[l][c], "ghost rows", 2 * (size_t)fixture_ghost_chunk(w, l) * (w->stride + 16));
    }
}

/* ---- parameters and the batch ---- */

static u32 random_half(struct fixture *w)
{
    u32 exponent = fixture_random(w, 12) ? 11 + fixture_random(w, 8) : 0; /* some are zero or subnormal */
    return fixture_random(w, 2) << 15 | exponent << 10 | fixture_random(w, 1024);
}

static u32 random_brain(struct fixture *w)
{
    return fixture_random(w, 2) << 15 | (120 + fixture_random(w, 10)) << 7 | fixture_random(w, 128);
}

static void create_batch(struct fixture *w)
{
    u32 dim = w->size.dim, elements = w->size.batch * dim;
    words_create(w, &w->mean, "mean", w->stride);
    for (u32 k = 0; k < dim; k++)
        words_set(&w->mean, k, fixture_uniform(w, -1, 1));
    words_create(w, &w->raw[FORMAT_F32], "raw F32", elements);
    for (u32 e = 0; e < elements; e++)
        words_set(&w->raw[FORMAT_F32], e, (f32)(words_f32(&w->mean, e % dim) + normal(w) / w->scale));
    for (u32 format = FORMAT_F16; format <= FORMAT_BF16; format++) {
        words_create(w, &w->raw[format], format == FORMAT_F16 ? "raw F16" : "raw BF16", (elements + 1) / 2);
        for (u32 e = 0; e < w->raw[format].count; e++)
            w->raw[format].at[e] = format == FORMAT_F16 ? random_half(w) | random_half(w) << 16 : random_brain(w) | random_brain(w) << 16;
    }
}

/* Row of random numbers with norm 1; zero after dim. */
static void unit_row(struct fixture *w, struct check_words *ranges, u32 row)
{
    double values[1024], squares = 0;
    for (u32 k = 0; k < w->size.dim; k++) {
        values[k] = normal(w);
        squares += values[k] * values[k];
    }
    for (u32 k = 0; k < w->stride; k++)
        row_set(w, ranges, row, k, k < w->size.dim ? (f32)(values[k] / sqrt(squares)) : 0.0f);
}

/* Second moments: some rows were never updated. */
static void moment_row(struct fixture *w, struct check_words *ranges, u32 row)
{
    bool fresh = fixture_random(w, 8) == 0;
    for (u32 k = 0; k < w->stride; k++)
        row_set(w, ranges, row, k, k < w->size.dim && !fresh ? fixture_uniform(w, 1e-4, 0.1) : 0.0f);
}

/* A free row for each feature, all in disorder. */
static void create_decoder_rows(struct fixture *w)
{
    words_create(w, &w->decoder_rows, "decoder rows", 2 * (size_t)w->features);
    for (u32 k = 0; k < 2 * w->features; k++) {
        u32 other = fixture_random(w, k + 1);
        w->decoder_rows.at[k] = w->decoder_rows.at[other];
        w->decoder_rows.at[other] = k;
    }
}

static void create_parameters(struct fixture *w)
{
    ranges_create(w, w->E, "encoder", w->features);
    ranges_create(w, w->E_v, "encoder_v", w->features);
    ranges_create(w, w->D, "decoder", 2 * w->features); /* free rows stay poison */
    ranges_create(w, w->D_v, "decoder_v", w->features);
    create_decoder_rows(w);
    words_create(w, &w->feature_scalars, "feature scalars", (size_t)w->features * SCALAR_WORDS);
    for (u32 i = 0; i < w->features; i++) {
        size_t t = (size_t)i * SCALAR_WORDS;
        f32 log_threshold = fixture_uniform(w, -0.5, 0.4), threshold = (f32)exp(log_threshold);
        unit_row(w, w->E, i);
        unit_row(w, w->D, w->decoder_rows.at[i]);
        moment_row(w, w->E_v, i);
        moment_row(w, w->D_v, i);
        words_set(&w->feature_scalars, t + SCALAR_BIAS,
                  fixture_random(w, 24) ? fixture_uniform(w, -0.3, 0.3) : 10.5f); /* some reach the ghosts' clamp */
        words_set(&w->feature_scalars, t + SCALAR_LOG_THRESHOLD, log_threshold);
        words_set(&w->feature_scalars, t + SCALAR_THRESHOLD, threshold);
        words_set(&w->feature_scalars, t + SCALAR_CUT, threshold - 0.5f * w->bandwidth);
        words_set(&w->feature_scalars, t + SCALAR_BIAS_V, fixture_uniform(w, 0, 0.2));
        words_set(&w->feature_scalars, t + SCALAR_LOG_THRESHOLD_V, fixture_uniform(w, 0, 0.2));
        w->feature_scalars.at[t + SCALAR_ROW_STEP] = fixture_random(w, FIXTURE_STEP);
    }
    words_create(w, &w->bias, "bias", (size_t)w->size.levels * w->stride);
    words_create(w, &w->bias_v, "bias_v", (size_t)w->size.levels * w->stride);
    for (u32 c = 0; c < w->bias.count; c++) {
        bool inside = c % w->stride < w->size.dim;
        words_set(&w->bias, c, inside ? fixture_uniform(w, -0.5, 0.5) : 0.0f);
        words_set(&w->bias_v, c, inside ? fixture_uniform(w, 0, 0.1) : 0.0f);
    }
}

/* Whether p is too near to a place where the least error changes a decision: the cut, the threshold, the window's end, the ghosts' clamp.
 */
static bool on_edge(const struct fixture *w, u32 feature, double p, double margin)
{
    double threshold = fixture_table(w, feature, SCALAR_THRESHOLD), half = 0.5 * w->bandwidth;
    return fabs(p - (threshold - half)) < margin || fabs(p - threshold) < margin || fabs(p - (threshold + half)) < margin ||
           fabs(p - 10) < margin;
}

/* Moves biases until no pre-activation is on an edge, and counts the pairs. */
static u32 settle_pairs(struct fixture *w)
{
    u32 rows = w->size.batch, dim = w->size.dim, pairs = 0;
    double *p = allocate(rows * sizeof *p), *scale = allocate(rows * sizeof *scale);
    for (u32 i = 0; i < w->features; i++) {
        for (u32 b = 0; b < rows; b++) {
            p[b] = scale[b] = 0;
            for (u32 k = 0; k < dim; k++) {
                f32 x = (words_f32(&w->raw[FORMAT_F32], (size_t)b * dim + k) - words_f32(&w->mean, k)) * w->scale;
                double term = (double)x * fixture_row(w, w->E, i, k);
                p[b] += term;
                scale[b] += fabs(term);
            }
        }
        f32 bias = fixture_table(w, i, SCALAR_BIAS);
        for (u32 b = 0; b < rows;) {
            if (on_edge(w, i, p[b] + bias, 4 * bound_sum(dim + 1, scale[b] + fabs(bias)))) {
                bias += fixture_uniform(w, -1e-3, 1e-3);
                b = 0;
            } else {
                b++;
            }
        }
        words_set(&w->feature_scalars, (size_t)i * SCALAR_WORDS + SCALAR_BIAS, bias);
        for (u32 b = 0; b < rows; b++)
            pairs += p[b] + bias > fixture_table(w, i, SCALAR_CUT);
    }
    free(p);
    free(scale);
    return pairs;
}

/* ---- tree, parameters and state of the step ---- */

/* Ranks of a level: by the parents' ranks, then by index, orphans last. */
static void rank_level(struct fixture *w, u32 level)
{
    u32 *tree = w->tree.at, rank = w->first[level];
    u32 above = level ? w->first[level - 1] : 0, above_end = level ? w->first[level] : 0;
    for (u32 r = above; r <= above_end; r++) {
        u32 parent = r < above_end ? tree[(size_t)r * TREE_WORDS + TREE_AT_RANK] : NONE, first = rank;
        for (u32 j = w->first[level]; j < w->first[level + 1]; j++)
            if (tree[(size_t)j * TREE_WORDS + TREE_PARENT] == parent) {
                tree[(size_t)j * TREE_WORDS + TREE_RANK] = rank;
                tree[(size_t)rank++ * TREE_WORDS + TREE_AT_RANK] = j;
            }
        if (parent != NONE) {
            tree[(size_t)parent * TREE_WORDS + TREE_CHILD_COUNT] = rank - first;
            if (rank > first)
                tree[(size_t)parent * TREE_WORDS + TREE_CHILD_FIRST] = first;
        }
    }
}

static void create_tree(struct fixture *w)
{
    words_create(w, &w->tree, "tree", (size_t)w->features * TREE_WORDS);
    for (u32 l = 0; l < w->size.levels; l++) {
        for (u32 i = w->first[l]; i < w->first[l + 1]; i++) {
            u32 *node = w->tree.at + (size_t)i * TREE_WORDS;
            bool orphan = l == 0 || fixture_random(w, 5) == 0;
            node[TREE_PARENT] = orphan ? NONE : w->first[l - 1] + fixture_random(w, w->size.features[l - 1]);
            node[TREE_CHILD_COUNT] = 0;
            node[TREE_NUMBER] = 3 * (i - w->first[l]) + 1; /* as where other devices have the features between */
        }
        rank_level(w, l);
    }
}

static void create_step_params(struct fixture *w)
{
    words_create(w, &w->step_params, "step parameters", PARAM_WORDS);
    w->step_params.at[PARAM_STEP] = FIXTURE_STEP;
    w->step_params.at[PARAM_SEED_LO] = random_word(w);
    w->step_params.at[PARAM_SEED_HI] = random_word(w);
    w->step_params.at[PARAM_PERTURB_BOUND] = 5000000; /* of 2^24 */
    w->step_params.at[PARAM_DEAD_STEPS] = FIXTURE_DEAD_STEPS;
    words_set(&w->step_params, PARAM_RATE, fixture_uniform(w, 0.001, 0.05));
    words_set(&w->step_params, PARAM_CORRECTION, (f32)(1 / (1 - pow(w->beta2, FIXTURE_STEP))));
    words_create(w, &w->last_fired, "last_fired", w->features);
    u32 alive = fixture_random(w, 2) ? 8 : 2; /* of 10 */
    for (u32 i = 0; i < w->features; i++)
        w->last_fired.at[i] = fixture_random(w, 10) < alive ? FIXTURE_STEP - 1 - fixture_random(w, FIXTURE_DEAD_STEPS)
                                                            : FIXTURE_STEP - 1 - FIXTURE_DEAD_STEPS - fixture_random(w, 3);
}

/* The levels, and the state as the step before has left it. */
static void create_step_state(struct fixture *w)
{
    bool is_short = w->size.kind == FIXTURE_SHORT;
    words_create(w, &w->level_info, "level info", (size_t)(w->size.levels + 1) * LEVEL_WORDS);
    words_create(w, &w->step_state, "step state", STATE_WORDS(w->features));
    w->level_info.at[w->size.levels * LEVEL_WORDS + LEVEL_FIRST] = w->features;
    w->step_state.at[STATE_STEP] = FIXTURE_STEP - 1;
    w->step_state.at[STATE_HALT] = w->size.kind == FIXTURE_HALTED ? HALT_PAIRS : 0;
    w->step_state.at[STATE_PAIRS] = 0;
    for (u32 l = 0; l < w->size.levels; l++) {
        u32 *level = w->level_info.at + l * LEVEL_WORDS, at = STATE_LEVELS + l * STATE_LEVEL_WORDS;
        bool no_lambda = fixture_random(w, 2), no_average = fixture_random(w, 2); /* only both together mean a first step */
        level[LEVEL_FIRST] = w->first[l];
        words_set(&w->level_info, l * LEVEL_WORDS + LEVEL_TARGET, fixture_uniform(w, 0.2, 0.3) * (f32)w->size.features[l]);
        level[LEVEL_GHOSTS] = is_short ? 0 : w->size.features[l];
        words_set(&w->step_state, at + STATE_LAMBDA, no_lambda ? 0.0f : fixture_uniform(w, 0.1, 1));
        words_set(&w->step_state, at + STATE_AVERAGE, no_average ? -1.0f : fixture_uniform(w, 0.1, 0.4) * (f32)w->size.features[l]);
        words_set(&w->step_state, at + STATE_SHIFT, fixture_uniform(w, -0.1, 0.1));
        w->step_state.at[at + STATE_DEAD] = w->size.features[l] / 2;
        w->step_state.at[at + STATE_OTHERS] = l * w->size.batch;
    }
}

/* What the hierarchy update reads and writes: similarities with many ties, and cursors after which some children go on. */
static void create_relink_words(struct fixture *w)
{
    size_t unit = 0, counts = 16;
    for (u32 l = 0; l < w->size.levels; l++) {
        u32 children = w->size.features[l], padded = (children + 31) / 32 * 32, parents = l ? w->size.features[l - 1] : 0;
        unit = (size_t)padded * w->stride;
        if (l == 0)
            continue;
        counts = (size_t)parents * padded > counts ? (size_t)parents * padded : counts;
        words_create(w, &w->similarity[l], "similarity", (size_t)parents * padded);
        words_create(w, &w->cursor[l], "cursor", 2 * (size_t)children);
        words_create(w, &w->best[l], "best", 2 * (size_t)children * FIXTURE_CANDIDATES);
        for (u32 k = 0; k < w->similarity[l].count; k++)
            words_set(&w->similarity[l], k, (f32)fixture_random(w, 9) * 0.25f - 1.0f);
        for (u32 s = 0; s < children; s++) {
            words_set(&w->cursor[l], 2 * (size_t)s, (f32)fixture_random(w, 9) * 0.25f - 1.0f);
            w->cursor[l].at[2 * s + 1] = fixture_random(w, 2) ? NONE : fixture_random(w, parents);
        }
        for (u32 k = 0; k < children * FIXTURE_CANDIDATES; k++) {
            words_set(&w->best[l], 2 * (size_t)k, 0.0f);
            w->best[l].at[2 * k + 1] = NONE;
        }
    }
    words_create(w, &w->unit, "unit rows", unit);
    words_create(w, &w->co_counts, "co-activations", counts);
}

/* ---- the whole ---- */

/* Of the levels that are left of a buffer, as many as a launch has at most. */
static u32 launch_levels(const struct fixture *w, u32 first)
{
    u32 left = w->residual_levels - first % w->residual_levels;
    return (u32)at_most(at_most(left, w->launch_levels), w->size.levels - first);
}

u32 launches_residuals(const struct fixture *w)
{
    u32 launches = 0;
    for (u32 l = 0; l < w->size.levels; l += launch_levels(w, l))
        launches++;
    return launches;
}

struct fixture_levels fixture_levels(struct fixture *w, u32 index)
{
    u32 first = 0;
    while (index--)
        first += launch_levels(w, first);
    return (struct fixture_levels){first, launch_levels(w, first), fixture_residual_row(w, first), fixture_residuals(w, first)};
}

static void cut_chunks(struct fixture *w)
{
    for (u32 l = 0; l < w->size.levels; l++)
        for (u32 f = w->first[l]; f < w->first[l + 1];) {
            u32 range = f / w->range_rows, end = (range + 1) * w->range_rows;
            end = end < w->first[l + 1] ? end : w->first[l + 1];
            u32 count = end - f < w->size.chunk ? end - f : w->size.chunk;
            w->chunks[w->chunk_count++] = (struct fixture_chunk){l, f, count, range, f - range * w->range_rows};
            f += count;
        }
}

struct fixture *fixture_create(const struct fixture_size *size, const struct hsae_kernel_shape *shape, uint64_t seed)
{
    struct fixture *w = allocate(sizeof *w);
    *w = (struct fixture){.size = *size, .shape = *shape, .random = seed, .bandwidth = 0.5f, .beta2 = 0.995f, .epsilon = 1e-8f};
    w->block = 8;
    for (u32 l = 0; l < size->levels; l++) {
        w->first[l + 1] = w->first[l] + size->features[l];
        w->blocks += (size->features[l] + w->block - 1) / w->block;
    }
    w->features = w->first[size->levels];
    w->words = (size->batch + 31) / 32;
    w->padded = 32 * w->words;
    w->stride = (size->dim + 15) / 16 * 16;
    w->width = w->stride / shape->vector_width;
    w->range_rows = (2 * w->features + shape->ranges - 1) / shape->ranges;
    w->scale = fixture_uniform(w, 0.5, 2);
    w->lambda_init = fixture_uniform(w, 0.01, 0.1);
    w->rho = fixture_random(w, 4) ? fixture_uniform(w, 0.01, 0.5) : 0.0f;
    w->ghosts = fixture_random(w, 4) != 0;
    w->project = fixture_random(w, 4) != 0;
    w->residual_levels = 1 + fixture_random(w, size->levels);
    w->launch_levels = 1 + fixture_random(w, w->residual_levels);
    w->segment = fixture_random(w, 4) ? 1 + fixture_random(w, 6) : SEGMENT_PAIRS(size->batch);
    w->room = fixture_random(w, 4) ? 1 + fixture_random(w, 2 * w->features) : 0;
    cut_chunks(w);
    create_batch(w);
    create_parameters(w);
    create_tree(w);
    create_step_params(w);
    u32 pairs = settle_pairs(w);
    w->capacity = size->kind == FIXTURE_SHORT ? pairs / 2 : pairs;
    w->capacity = w->capacity ? w->capacity : 1;
    create_step_state(w);
    create_step_words(w);
    create_relink_words(w);
    for (u32 k = 0; k < w->history.count; k++)
        w->history.at[k] = random_word(w);
    return w;
}

void fixture_destroy(struct fixture *fixture)
{
    for (u32 k = 0; k < fixture->all_count; k++)
        free(fixture->all[k]->at);
    free(fixture);
}

bool fixture_advance(struct fixture *fixture, hsae_device *reference, enum hsae_kernel until)
{
    /* The kernels of a step in their order. */
    static const enum hsae_kernel step[] = {
        HSAE_KERNEL_load,         HSAE_KERNEL_feature_flags, HSAE_KERNEL_prepare,     HSAE_KERNEL_quantize,     HSAE_KERNEL_screen,
        HSAE_KERNEL_quantize8,    HSAE_KERNEL_screen8,       HSAE_KERNEL_encode,      HSAE_KERNEL_lists_count,  HSAE_KERNEL_samples_count,
        HSAE_KERNEL_samples_base, HSAE_KERNEL_scan,          HSAE_KERNEL_lists_fill,  HSAE_KERNEL_samples_fill, HSAE_KERNEL_decode,
        HSAE_KERNEL_merge,        HSAE_KERNEL_family_dot,    HSAE_KERNEL_family,      HSAE_KERNEL_ghost,        HSAE_KERNEL_ghost_scale,
        HSAE_KERNEL_ghost_rows,   HSAE_KERNEL_segment_rows,  HSAE_KERNEL_update,      HSAE_KERNEL_bias,         HSAE_KERNEL_finish_step,
        HSAE_KERNEL_relink_rows,  HSAE_KERNEL_relink_count,  HSAE_KERNEL_relink_best,
    };
    for (u32 k = 0; k < sizeof step / sizeof *step; k++) {
        const struct check_kernel *kernel = check_kernels[step[k]];
        if (step[k] == until)
            return true;
        u32 launches = kernel->launches(fixture);
        for (u32 index = 0; index < launches; index++) {
            struct check_job job = {.kernel = step[k], .shape = fixture->shape};
            kernel->launch(fixture, index, &job);
            if (!check_advance(reference, &job))
                return false;
        }
    }
    return true;
}
