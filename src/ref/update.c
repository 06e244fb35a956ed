/* SPDX-License-Identifier: MIT */
/* Gradients (of loss, constraint and ghost loss), Adam and renormalisation, one feature after the other. Relatives are read from their rows
 * of D before the step, and the new row is written to a free row, so the order of features in a level doesn't matter. Sums are made from
 * the pairs, also where a feature is long. */
#include "pairs.h"

struct feature {
    const struct update_args *p;
    const struct hsae_update_memory *m;
    u32 rank;
    struct ref_pairs sums;
    const f32 *ghosts; /* its ghost gradients: a row for D, a row for E, each with a scalar 16 times after it; NULL where it isn't dead */
};

/* The constraint's part that is a combination of whole rows: own, children's and parent's, with batch-summed products of activations. */
static void add_relatives(const struct feature *f, double *decoder_sum, u32 first, u32 count)
{
    const u32 *tree = f->m->tree, *node = tree + (size_t)f->sums.index * TREE_WORDS;
    const f32 *feature_sums = f->m->feature_sums;
    double rho = f->p->rho;
    if (f->p->rho == 0.0f)
        return;
    for (u32 k = 0; k < node[TREE_CHILD_COUNT]; k++) {
        u32 child = tree[(size_t)(node[TREE_CHILD_FIRST] + k) * TREE_WORDS + TREE_AT_RANK];
        f32 product = feature_sums[(size_t)child * FEATURE_SUM_WORDS + FEATURE_SUM_PRODUCT];
        if (product != 0.0f)
            ref_add(decoder_sum, -rho * product, ref_pairs_row(&f->sums, child) + first, count);
    }
    if (node[TREE_CHILD_COUNT])
        ref_add(decoder_sum, rho * f->sums.squares, f->sums.decoder + first, count);
    if (node[TREE_PARENT] != NONE) {
        ref_add(decoder_sum, -rho * f->sums.product, ref_pairs_row(&f->sums, node[TREE_PARENT]) + first, count);
        ref_add(decoder_sum, rho * f->sums.squares, f->sums.decoder + first, count);
    }
}

/* The rows of D and E, a block of columns at a time. */
static void step_rows(const struct feature *f, const struct ref_adam *adam)
{
    const struct update_args *p = f->p;
    size_t line = (size_t)(f->sums.index - p->base) * p->stride;
    f32 *encoder = f->m->encoder + line, *encoder_v = f->m->encoder_v + line, *decoder_v = f->m->decoder_v + line;
    u32 *decoder_rows = f->m->decoder_rows, *free_row = &decoder_rows[p->free_row + f->rank - p->rank];
    f32 *next = ref_row(f->m->D, *free_row, p->range_rows, p->stride);
    double radial = p->project ? f->sums.radial / p->batch : 0, squares = 0;
    for (u32 first = 0; first < p->stride; first += REF_BLOCK) {
        double decoder_sum[REF_BLOCK] = {0}, encoder_sum[REF_BLOCK] = {0};
        u32 count = ref_min(REF_BLOCK, p->stride - first);
        ref_pairs_add(&f->sums, decoder_sum, encoder_sum, first, count);
        add_relatives(f, decoder_sum, first, count);
        for (u32 c = first; c < first + count; c++) {
            double decoder_gradient = 2 * decoder_sum[c - first], encoder_gradient = encoder_sum[c - first];
            if (f->ghosts) {
                decoder_gradient += f->ghosts[c];
                encoder_gradient += f->ghosts[p->stride + 16 + c];
            }
            next[c] = ref_adam_step(adam, f->sums.decoder[c], &decoder_v[c], decoder_gradient / p->batch - radial * f->sums.decoder[c]);
            encoder[c] = ref_adam_step(adam, encoder[c], &encoder_v[c], encoder_gradient / p->batch);
            squares += (double)next[c] * next[c];
        }
    }
    double norm = sqrt(squares);
    for (u32 c = 0; c < p->stride; c++)
        next[c] = norm > 0 ? (f32)(next[c] / norm) : 0.0f;
    decoder_rows[f->sums.index] = *free_row;
    *free_row = FLAG_ROW(f->sums.flag);
}

static void step_scalars(const struct feature *f, const struct ref_adam *adam, u32 *scalars, u32 step)
{
    f32 bias_v = bits_f32(scalars[SCALAR_BIAS_V]), log_threshold_v = bits_f32(scalars[SCALAR_LOG_THRESHOLD_V]);
    f32 bias = ref_adam_step(adam, bits_f32(scalars[SCALAR_BIAS]), &bias_v, f->sums.bias_gradient / f->p->batch);
    double gradient = f->sums.threshold * f->sums.threshold_gradient / f->p->bandwidth / f->p->batch; /* of log theta */
    f32 log_threshold = ref_adam_step(adam, bits_f32(scalars[SCALAR_LOG_THRESHOLD]), &log_threshold_v, gradient);
    f32 threshold = (f32)exp(log_threshold);
    scalars[SCALAR_BIAS] = bits_u32(bias);
    scalars[SCALAR_BIAS_V] = bits_u32(bias_v);
    scalars[SCALAR_LOG_THRESHOLD] = bits_u32(log_threshold);
    scalars[SCALAR_LOG_THRESHOLD_V] = bits_u32(log_threshold_v);
    scalars[SCALAR_THRESHOLD] = bits_u32(threshold);
    scalars[SCALAR_CUT] = bits_u32(threshold - 0.5f * f->p->bandwidth);
    scalars[SCALAR_ROW_STEP] = step;
}

/* Whether the launch updates the feature of a rank. */
static bool meant(const struct update_args *p, u32 rank, u32 index)
{
    return rank - p->rank < p->ranks && index - p->base < p->range_rows;
}

static void update_feature(const struct hsae_update_memory *m, const struct update_args *p, u32 rank, u32 index, const f32 *ghosts)
{
    const u32 *step_state = m->step_state, *flags = m->flags, *starts = m->starts;
    u32 *scalars = m->feature_scalars + (size_t)index * SCALAR_WORDS, step = step_state[STATE_STEP];
    struct feature f = {.p = p, .m = m, .rank = rank, .ghosts = ghosts};
    f.sums = REF_PAIRS(m, p, .index = index, .flag = flags[index], .begin = starts[index], .end = starts[index + 1],
                       .threshold = bits_f32(scalars[SCALAR_THRESHOLD]),
                       .lambda = bits_f32(step_state[STATE_LEVELS + p->level * STATE_LEVEL_WORDS + STATE_LAMBDA]),
                       .residual = m->residual + (size_t)p->residual_row * p->stride, .above = m->above + (size_t)p->above_row * p->stride);
    f.sums.decoder = ref_pairs_row(&f.sums, index);
    ref_pairs_score(&f.sums);
    if (ghosts) {
        f.sums.radial += ghosts[p->stride];
        f.sums.bias_gradient += ghosts[2 * (size_t)p->stride + 16];
    }
    struct ref_adam adam = {.rate = bits_f32(step_state[STATE_RATE]),
                            .correction = bits_f32(step_state[STATE_CORRECTION]),
                            .decay = exp2((double)p->log2_beta2 * ref_min(step - scalars[SCALAR_ROW_STEP], p->decay_steps)),
                            .one_minus_beta2 = p->one_minus_beta2,
                            .epsilon = p->epsilon};
    step_rows(&f, &adam);
    step_scalars(&f, &adam, scalars, step);
    f32 *feature_sums = m->feature_sums + (size_t)index * FEATURE_SUM_WORDS;
    feature_sums[FEATURE_SUM_OWN] = (f32)f.sums.own_term;
    feature_sums[FEATURE_SUM_PARENT] = (f32)f.sums.parent_term;
    feature_sums[FEATURE_SUM_PRODUCT] = (f32)f.sums.product;
}

/* The launch's places of the dead list. */
static void update_dead(const struct hsae_update_memory *m, const struct update_args *p)
{
    const u32 *step_state = m->step_state, *tree = m->tree;
    const f32 *ghosts = m->summed_rows;
    u32 dead = ref_dead(step_state, p->level);
    for (u32 k = 0; k < p->dead && p->chunk + k < dead; k++) {
        u32 i = step_state[STATE_DEAD_LIST + p->level_first + p->chunk + k];
        u32 rank = tree[(size_t)i * TREE_WORDS + TREE_RANK];
        if (meant(p, rank, i))
            update_feature(m, p, rank, i, ghosts + 2 * (size_t)k * (p->stride + 16));
    }
}

void hsae_ref_update(const struct hsae_update_memory *m, const struct update_args *p)
{
    const u32 *step_state = m->step_state, *tree = m->tree, *flags = m->flags, *starts = m->starts;
    f32 *feature_sums = m->feature_sums;
    if (ref_halted(step_state))
        return;
    if (p->dead) {
        update_dead(m, p);
        return;
    }
    for (u32 rank = p->rank; rank < p->rank + p->ranks; rank++) {
        u32 i = tree[(size_t)rank * TREE_WORDS + TREE_AT_RANK];
        if (!meant(p, rank, i) || (p->ghosts && flags[i] & FLAG_DEAD))
            continue;
        if (starts[i] == starts[i + 1])
            memset(feature_sums + (size_t)i * FEATURE_SUM_WORDS, 0, FEATURE_SUM_WORDS * sizeof *feature_sums);
        else
            update_feature(m, p, rank, i, NULL);
    }
}
