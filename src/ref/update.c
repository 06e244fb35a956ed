/* Gradients (of loss, constraint and ghost loss), Adam and renormalisation, one feature after the other. Relatives are read from their rows
 * of D before the step, and the new row goes to a free row, so the order of features in a level doesn't matter. */
#include "ref.h"

struct feature {
    const struct update_args *p;
    void *const *b;
    u32 index, flag, begin, end; /* its pairs */
    u32 rank;
    const f32 *decoder; /* its row of D before the step */
    const f32 *ghosts;  /* its ghost gradients: a row for D, a row for E, each with a scalar 16 times behind it; NULL where it isn't dead */
    f32 threshold;
    /* Sums over the batch. */
    double radial; /* D_i . gradient of D_i */
    double bias_gradient, threshold_gradient;
    double squares, own_term, parent_term, product;
};

static const f32 *decoder_row(const struct feature *f, u32 feature)
{
    return ref_row(f->b + 8, ref_decoder_row(f->b[2], feature), f->p->range_rows, f->p->stride);
}

/* The rows whose sum is G, the residual that a feature is answerable to; NULL where one doesn't count. */
struct answer {
    const f32 *own, *above;
};

static struct answer answer_of(const struct feature *f, u32 sample)
{
    const struct update_args *p = f->p;
    size_t line = ((size_t)p->residual_row + sample) * p->stride, line_above = ((size_t)p->above_row + sample) * p->stride;
    return (struct answer){f->flag & FLAG_SWAPPED ? NULL : (const f32 *)f->b[18] + line,
                           f->flag & FLAG_PARENT_SWAPPED ? (const f32 *)f->b[19] + line_above : NULL};
}

/* q = 2 D_i . G + 2 rho D_i . (u_i - u_parent) of one pair, and the sums of the constraint. */
static double pair_score(struct feature *f, const u32 *kin, u32 sample, double a)
{
    const u32 *samples = f->b[5];
    u32 stride = f->p->stride;
    struct answer g = answer_of(f, sample);
    double score = (g.own ? ref_dot(f->decoder, g.own, stride) : 0) + (g.above ? ref_dot(f->decoder, g.above, stride) : 0);
    if (f->p->rho == 0.0f)
        return 2 * score;
    double own_side = bits_f32(kin[KIN_OWN]), parent_side = bits_f32(kin[KIN_PARENT]);
    for (size_t s = kin[KIN_FIRST]; s < kin[KIN_END]; s++) {
        f32 act = bits_f32(samples[2 * s + 1]);
        if (samples[2 * s] != f->index && act != 0.0f)
            parent_side -= act * ref_dot(f->decoder, decoder_row(f, samples[2 * s]), stride);
    }
    f->own_term += a * own_side;
    f->parent_term += a * parent_side;
    f->product += a * bits_f32(kin[KIN_PARENT_ACT]);
    return 2 * score + 2 * (double)f->p->rho * (own_side - parent_side);
}

static void score_pairs(struct feature *f)
{
    const u32 *control = f->b[0], *pairs = f->b[4];
    double lambda = bits_f32(control[CONTROL_LEVELS + f->p->level * CONTROL_LEVEL_WORDS + CONTROL_LAMBDA]);
    for (size_t pair = f->begin; pair < f->end; pair++) {
        u32 *kin = (u32 *)f->b[6] + pair * KIN_WORDS;
        f32 value = bits_f32(pairs[2 * pair + 1]);
        bool active = value > f->threshold;
        double a = active ? value : 0, q = pair_score(f, kin, pairs[2 * pair], a);
        kin[KIN_SCORE] = bits_u32((f32)q);
        f->radial += a * q;
        f->squares += a * a;
        if (active)
            f->bias_gradient += q;
        if (fabsf(value - f->threshold) < 0.5f * f->p->bandwidth)
            f->threshold_gradient -= f->threshold * q + lambda;
    }
}

/* Batch sums for columns first .. first + count - 1: of a (G - rho u_parent), own rows left out, and of q x. */
static void add_pairs(const struct feature *f, double *decoder_sum, double *encoder_sum, u32 first, u32 count)
{
    const u32 *pairs = f->b[4], *samples = f->b[5];
    const f32 *x = f->b[17];
    for (size_t pair = f->begin; pair < f->end; pair++) {
        const u32 *kin = (const u32 *)f->b[6] + pair * KIN_WORDS;
        u32 sample = pairs[2 * pair];
        f32 value = bits_f32(pairs[2 * pair + 1]);
        if (value <= f->threshold)
            continue;
        struct answer g = answer_of(f, sample);
        if (g.own)
            ref_add(decoder_sum, value, g.own + first, count);
        if (g.above)
            ref_add(decoder_sum, value, g.above + first, count);
        ref_add(encoder_sum, bits_f32(kin[KIN_SCORE]), x + (size_t)sample * f->p->stride + first, count);
        if (f->p->rho == 0.0f)
            continue;
        for (size_t s = kin[KIN_FIRST]; s < kin[KIN_END]; s++) {
            f32 act = bits_f32(samples[2 * s + 1]);
            if (samples[2 * s] != f->index && act != 0.0f)
                ref_add(decoder_sum, (double)f->p->rho * value * act, decoder_row(f, samples[2 * s]) + first, count);
        }
    }
}

/* The constraint's part that is a combination of whole rows: own, children's and parent's, with batch-summed products of activations. */
static void add_relatives(const struct feature *f, double *decoder_sum, u32 first, u32 count)
{
    const u32 *tree = f->b[1], *node = tree + (size_t)f->index * TREE_WORDS;
    const f32 *terms = f->b[7];
    double rho = f->p->rho;
    if (f->p->rho == 0.0f)
        return;
    for (u32 k = 0; k < node[TREE_CHILD_COUNT]; k++) {
        u32 child = tree[(size_t)(node[TREE_CHILD_FIRST] + k) * TREE_WORDS + TREE_AT_RANK];
        f32 product = terms[(size_t)child * TERM_WORDS + TERM_PRODUCT];
        if (product != 0.0f)
            ref_add(decoder_sum, -rho * product, decoder_row(f, child) + first, count);
    }
    if (node[TREE_CHILD_COUNT])
        ref_add(decoder_sum, rho * f->squares, f->decoder + first, count);
    if (node[TREE_PARENT] != NONE) {
        ref_add(decoder_sum, -rho * f->product, decoder_row(f, node[TREE_PARENT]) + first, count);
        ref_add(decoder_sum, rho * f->squares, f->decoder + first, count);
    }
}

/* The rows of D and E, a block of columns at a time. */
static void step_rows(const struct feature *f, const struct ref_adam *adam)
{
    const struct update_args *p = f->p;
    size_t line = (size_t)(f->index - p->base) * p->stride;
    f32 *encoder = (f32 *)f->b[12] + line, *encoder_v = (f32 *)f->b[13] + line, *decoder_v = (f32 *)f->b[14] + line;
    u32 *places = f->b[16], *spare = &places[p->spare + f->rank - p->rank];
    f32 *next = ref_row(f->b + 8, *spare, p->range_rows, p->stride);
    double radial = p->project ? f->radial / p->rows : 0, squares = 0;
    for (u32 first = 0; first < p->stride; first += REF_BLOCK) {
        double decoder_sum[REF_BLOCK] = {0}, encoder_sum[REF_BLOCK] = {0};
        u32 count = ref_min(REF_BLOCK, p->stride - first);
        add_pairs(f, decoder_sum, encoder_sum, first, count);
        add_relatives(f, decoder_sum, first, count);
        for (u32 c = first; c < first + count; c++) {
            double decoder_gradient = 2 * decoder_sum[c - first], encoder_gradient = encoder_sum[c - first];
            if (f->ghosts) {
                decoder_gradient += f->ghosts[c];
                encoder_gradient += f->ghosts[p->stride + 16 + c];
            }
            next[c] = ref_adam_step(adam, f->decoder[c], &decoder_v[c], decoder_gradient / p->rows - radial * f->decoder[c]);
            encoder[c] = ref_adam_step(adam, encoder[c], &encoder_v[c], encoder_gradient / p->rows);
            squares += (double)next[c] * next[c];
        }
    }
    double norm = sqrt(squares);
    for (u32 c = 0; c < p->stride; c++)
        next[c] = norm > 0 ? (f32)(next[c] / norm) : 0.0f;
    places[f->index] = *spare;
    *spare = FLAG_ROW(f->flag);
}

static void step_scalars(const struct feature *f, const struct ref_adam *adam, u32 *scalars, u32 step)
{
    f32 bias_v = bits_f32(scalars[TABLE_BIAS_V]), log_threshold_v = bits_f32(scalars[TABLE_LOG_THRESHOLD_V]);
    f32 bias = ref_adam_step(adam, bits_f32(scalars[TABLE_BIAS]), &bias_v, f->bias_gradient / f->p->rows);
    double gradient = f->threshold * f->threshold_gradient / f->p->bandwidth / f->p->rows; /* of log theta */
    f32 log_threshold = ref_adam_step(adam, bits_f32(scalars[TABLE_LOG_THRESHOLD]), &log_threshold_v, gradient);
    f32 threshold = (f32)exp(log_threshold);
    scalars[TABLE_BIAS] = bits_u32(bias);
    scalars[TABLE_BIAS_V] = bits_u32(bias_v);
    scalars[TABLE_LOG_THRESHOLD] = bits_u32(log_threshold);
    scalars[TABLE_LOG_THRESHOLD_V] = bits_u32(log_threshold_v);
    scalars[TABLE_THRESHOLD] = bits_u32(threshold);
    scalars[TABLE_CUT] = bits_u32(threshold - 0.5f * f->p->bandwidth);
    scalars[TABLE_ROW_STEP] = step;
}

/* Whether the launch updates the feature of a rank. */
static bool meant(const struct update_args *p, u32 rank, u32 index)
{
    return rank - p->rank < p->ranks && index - p->base < p->range_rows;
}

static void update_feature(void *const *b, const struct update_args *p, u32 rank, u32 index, const f32 *ghosts)
{
    const u32 *control = b[0], *flags = b[2], *starts = b[3];
    u32 *scalars = (u32 *)b[15] + (size_t)index * TABLE_WORDS, step = control[CONTROL_STEP];
    struct feature f = {.p = p,
                        .b = b,
                        .index = index,
                        .rank = rank,
                        .flag = flags[index],
                        .begin = starts[index],
                        .end = starts[index + 1],
                        .ghosts = ghosts};
    f.decoder = decoder_row(&f, index);
    f.threshold = bits_f32(scalars[TABLE_THRESHOLD]);
    score_pairs(&f);
    if (ghosts) {
        f.radial += ghosts[p->stride];
        f.bias_gradient += ghosts[2 * (size_t)p->stride + 16];
    }
    struct ref_adam adam = {.rate = bits_f32(control[CONTROL_RATE]),
                            .correction = bits_f32(control[CONTROL_CORRECTION]),
                            .decay = exp2((double)p->log2_beta2 * (step - scalars[TABLE_ROW_STEP])),
                            .one_minus_beta2 = p->one_minus_beta2,
                            .epsilon = p->epsilon};
    step_rows(&f, &adam);
    step_scalars(&f, &adam, scalars, step);
    f32 *terms = (f32 *)b[7] + (size_t)index * TERM_WORDS;
    terms[TERM_OWN] = (f32)f.own_term;
    terms[TERM_PARENT] = (f32)f.parent_term;
    terms[TERM_PRODUCT] = (f32)f.product;
}

/* The launch's places of the dead list. */
static void update_dead(void *const *b, const struct update_args *p)
{
    const u32 *control = b[0], *tree = b[1];
    const f32 *ghosts = b[20];
    u32 dead = ref_dead(control, p->level);
    for (u32 k = 0; k < p->dead && p->chunk + k < dead; k++) {
        u32 i = control[CONTROL_DEAD_LIST + p->level_first + p->chunk + k];
        u32 rank = tree[(size_t)i * TREE_WORDS + TREE_RANK];
        if (meant(p, rank, i))
            update_feature(b, p, rank, i, ghosts + 2 * (size_t)k * (p->stride + 16));
    }
}

void hsae_ref_update(void *const *b, const void *args, const u32 groups[2])
{
    const struct update_args *p = args;
    const u32 *control = b[0], *tree = b[1], *flags = b[2], *starts = b[3];
    f32 *terms = b[7];
    (void)groups;
    if (ref_halted(control))
        return;
    if (p->dead) {
        update_dead(b, p);
        return;
    }
    for (u32 rank = p->rank; rank < p->rank + p->ranks; rank++) {
        u32 i = tree[(size_t)rank * TREE_WORDS + TREE_AT_RANK];
        if (!meant(p, rank, i) || (p->ghosts && flags[i] & FLAG_DEAD))
            continue;
        if (starts[i] == starts[i + 1])
            memset(terms + (size_t)i * TERM_WORDS, 0, TERM_WORDS * sizeof *terms);
        else
            update_feature(b, p, rank, i, NULL);
    }
}
