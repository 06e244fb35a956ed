/* SPDX-License-Identifier: MIT */
#include "pairs.h"

/* From the last level to the first, chunks of ranks; of each, for each range of E: the live features, then those of each piece of the dead
 * list. */
static u32 passes(const struct fixture *w)
{
    return w->ghosts ? 1 + FIXTURE_GHOST_CHUNKS : 1;
}

static u32 encoder_ranges(const struct fixture *w)
{
    return (w->features - 1) / w->range_rows + 1;
}

static u32 launches(const struct fixture *w)
{
    return w->chunk_count * encoder_ranges(w) * passes(w);
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 pass = index % passes(w), range = index / passes(w) % encoder_ranges(w);
    const struct fixture_chunk *chunk = &w->chunks[w->chunk_count - 1 - index / passes(w) / encoder_ranges(w)];
    u32 level = chunk->level, places = fixture_ghost_chunk(w, level);
    JOB_ARGS(job, update, .level = level, .level_first = w->first[level], .rank = chunk->first, .ranks = chunk->count,
             .base = range * w->range_rows, .free_row = w->features + chunk->first, .ghosts = w->ghosts, .dead = pass ? places : 0,
             .chunk = pass ? (pass - 1) * places : 0, .residual_row = fixture_residual_row(w, level),
             .above_row = level ? fixture_residual_row(w, level - 1) : 0, .segments = w->room ? w->features * FEATURE_SUM_WORDS : 0,
             .batch = w->size.batch, .stride = w->stride, .range_rows = w->range_rows, .project = w->project, .rho = w->rho,
             .bandwidth = w->bandwidth, .one_minus_beta2 = 1 - w->beta2, .log2_beta2 = (f32)log2(w->beta2),
             .decay_steps = w->size.batch % 2 ? 1 : UINT32_MAX, .epsilon = w->epsilon);
    JOB_BIND(job, update, .step_state = &w->step_state, .tree = &w->tree, .flags = &w->flags, .starts = &w->starts, .pairs = &w->pairs,
             .samples = &w->samples, .pair_terms = &w->pair_terms, .feature_sums = &w->feature_sums, .D = WORDS4(w->D),
             .encoder = &w->E[range], .encoder_v = &w->E_v[range], .decoder_v = &w->D_v[range], .feature_scalars = &w->feature_scalars,
             .decoder_rows = &w->decoder_rows, .x = &w->x, .residual = fixture_residuals(w, level),
             .above = level ? fixture_residuals(w, level - 1) : &w->none, .summed_rows = pass ? &w->rows[level][pass - 1] : &w->sums);
    job_groups(job, pass ? places : chunk->count);
}

/* A feature with its sums over the batch. */
struct feature {
    const struct fixture *w;
    const struct update_args *p;
    const struct check_job *job;
    u32 i;
    struct pair_sums sums;
    const struct check_words *ghosts; /* NULL: not dead */
    u32 ghost_row;
};

/* The constraint's whole rows: children, parent, own. */
static void add_relatives(const struct feature *f, u32 c, struct sum *decoder)
{
    const struct fixture *w = f->w;
    double rho = f->p->rho, d = fixture_decoder(w, f->i, c);
    u32 parent = fixture_tree(w, f->i, TREE_PARENT), children = fixture_tree(w, f->i, TREE_CHILD_COUNT);
    if (f->p->rho == 0.0f)
        return;
    for (u32 r = 0; r < children; r++) {
        u32 child = fixture_tree(w, fixture_tree(w, f->i, TREE_CHILD_FIRST) + r, TREE_AT_RANK);
        double term =
            rho * words_f32(&w->feature_sums, (size_t)child * FEATURE_SUM_WORDS + FEATURE_SUM_PRODUCT) * fixture_decoder(w, child, c);
        sum_add(decoder, -term, bound_ulps(1, term));
    }
    struct estimate squares = sum_estimate(&f->sums.squares), product = sum_estimate(&f->sums.product);
    if (parent != NONE)
        sum_add(decoder, -rho * product.value * fixture_decoder(w, parent, c), rho * product.off * fabs(fixture_decoder(w, parent, c)));
    double self = rho * ((children != 0) + (parent != NONE));
    sum_add(decoder, self * squares.value * d, self * (squares.off + bound_ulps(2, squares.value)) * fabs(d));
}

/* The gradient's element: share times a sum, and of a dead feature also of its ghost gradient. */
static struct estimate gradient(const struct feature *f, const struct sum *sum, double factor, u32 ghost)
{
    double share = 1.0 / f->p->batch, ghosts = f->ghosts ? words_f32(f->ghosts, f->ghost_row + ghost) : 0;
    struct estimate pairs = sum_estimate(sum);
    return (struct estimate){share * (factor * pairs.value + ghosts),
                             share * (factor * pairs.off + bound_ulps(5, factor * fabs(pairs.value) + fabs(ghosts)))};
}

static void bound_rows(const struct feature *f, const struct adam_bounds *adam, struct estimate radial)
{
    const struct fixture *w = f->w;
    u32 next = w->decoder_rows.at[f->p->free_row + w->tree.at[f->i * TREE_WORDS + TREE_RANK] - f->p->rank];
    u32 at = next % w->range_rows * w->stride, slot = SLOT(update, D) + next / w->range_rows, line = (f->i - f->p->base) * w->stride;
    struct estimate moved[1024];
    double squares = 0, carried = 0;
    for (u32 c = 0; c < w->stride; c++) {
        struct sum decoder = {0}, encoder = {0};
        double d = fixture_decoder(w, f->i, c);
        pairs_add(&f->sums, c, &decoder, &encoder);
        add_relatives(f, c, &decoder);
        struct estimate g = gradient(f, &decoder, 2, c), e = gradient(f, &encoder, 1, w->stride + 16 + c);
        g.off += radial.off * fabs(d) + bound_ulps(1, fabs(g.value) + fabs(radial.value * d));
        g.value -= radial.value * d;
        struct adam_estimate step = bound_adam(adam, g, d, words_f32(&w->D_v[f->p->base / w->range_rows], line + c));
        moved[c] = step.w;
        squares += step.w.value * step.w.value;
        carried += fabs(step.w.value) * step.w.off;
        f->job->tolerance[SLOT(update, decoder_v)][line + c] = (f32)step.v.off;
        step = bound_adam(adam, e, words_f32(f->job->bindings[SLOT(update, encoder)], line + c),
                          words_f32(f->job->bindings[SLOT(update, encoder_v)], line + c));
        f->job->tolerance[SLOT(update, encoder)][line + c] = (f32)step.w.off;
        f->job->tolerance[SLOT(update, encoder_v)][line + c] = (f32)step.v.off;
    }
    double inverse = squares > 0 ? 1 / sqrt(squares) : 0;
    double relative = carried * inverse * inverse + 0.5 * bound_sum(w->stride, 1) + bound_ulps(9, 1);
    for (u32 c = 0; c < w->stride; c++)
        f->job->tolerance[slot][at + c] = (f32)(inverse * (moved[c].off + relative * fabs(moved[c].value)));
}

static void bound_scalars(const struct feature *f, const struct adam_bounds *adam)
{
    const struct fixture *w = f->w;
    f32 *feature_scalars = f->job->tolerance[SLOT(update, feature_scalars)] + f->i * SCALAR_WORDS,
        *terms = f->job->tolerance[SLOT(update, feature_sums)] + f->i * FEATURE_SUM_WORDS;
    struct estimate g = gradient(f, &f->sums.bias, 1, 2 * w->stride + 16);
    struct adam_estimate step = bound_adam(adam, g, fixture_table(w, f->i, SCALAR_BIAS), fixture_table(w, f->i, SCALAR_BIAS_V));
    feature_scalars[SCALAR_BIAS] = (f32)step.w.off;
    feature_scalars[SCALAR_BIAS_V] = (f32)step.v.off;
    g = sum_estimate(&f->sums.threshold_gradient);
    double factor = f->sums.threshold / f->p->bandwidth / f->p->batch;
    g = (struct estimate){factor * g.value, factor * g.off + bound_ulps(6, factor * g.value)};
    step = bound_adam(adam, g, fixture_table(w, f->i, SCALAR_LOG_THRESHOLD), fixture_table(w, f->i, SCALAR_LOG_THRESHOLD_V));
    double threshold = exp(step.w.value), off = threshold * bound_exp(step.w.value, step.w.off);
    feature_scalars[SCALAR_LOG_THRESHOLD] = (f32)step.w.off;
    feature_scalars[SCALAR_LOG_THRESHOLD_V] = (f32)step.v.off;
    feature_scalars[SCALAR_THRESHOLD] = (f32)off;
    feature_scalars[SCALAR_CUT] = (f32)(off + bound_ulps(1, threshold));
    terms[FEATURE_SUM_OWN] = (f32)sum_estimate(&f->sums.own).off;
    terms[FEATURE_SUM_PARENT] = (f32)sum_estimate(&f->sums.parent).off;
    terms[FEATURE_SUM_PRODUCT] = (f32)sum_estimate(&f->sums.product).off;
}

/* `place`: of a dead feature in its chunk of ghost rows. */
static void bound_feature(const struct fixture *w, const struct update_args *p, const struct check_job *job, u32 i, u32 place)
{
    struct feature f = {.w = w, .p = p, .job = job, .i = i, .sums = pair_sums_of(w, job, SLOT(update, pair_terms), p->level, i, p->rho)};
    f.sums.begin = w->starts.at[i];
    f.sums.end = w->starts.at[i + 1];
    f.ghosts = p->dead ? job->bindings[SLOT(update, summed_rows)] : NULL;
    f.ghost_row = 2 * place * (w->stride + 16);
    u32 idle = w->step_state.at[STATE_STEP] - w->feature_scalars.at[i * SCALAR_WORDS + SCALAR_ROW_STEP];
    double exponent = (double)p->log2_beta2 * (idle < p->decay_steps ? idle : p->decay_steps);
    struct adam_bounds adam = {.rate = words_f32(&w->step_state, STATE_RATE),
                               .correction = words_f32(&w->step_state, STATE_CORRECTION),
                               .decay = exp2(exponent),
                               .one_minus_beta2 = p->one_minus_beta2,
                               .epsilon = p->epsilon,
                               .decay_off = bound_exp(exponent, bound_ulps(1, exponent))};
    pairs_score(&f.sums);
    struct estimate radial = gradient(&f, &f.sums.radial, 1, w->stride);
    bound_rows(&f, &adam, p->project ? radial : (struct estimate){0, 0});
    bound_scalars(&f, &adam);
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct update_args p;
    memcpy(&p, job->args, sizeof p);
    if (fixture_halted(w))
        return;
    for (u32 k = 0; k < p.dead && p.chunk + k < fixture_dead(w, p.level); k++) {
        u32 i = w->step_state.at[STATE_DEAD_LIST + p.level_first + p.chunk + k];
        if (w->tree.at[i * TREE_WORDS + TREE_RANK] - p.rank < p.ranks && i - p.base < p.range_rows)
            bound_feature(w, &p, job, i, k);
    }
    for (u32 rank = p.rank; !p.dead && rank < p.rank + p.ranks; rank++) {
        u32 i = w->tree.at[rank * TREE_WORDS + TREE_AT_RANK];
        if (i - p.base < p.range_rows && w->starts.at[i] != w->starts.at[i + 1] && !(p.ghosts && w->flags.at[i] & FLAG_DEAD))
            bound_feature(w, &p, job, i, 0);
    }
}

const struct check_kernel hsae_check_update = {.launches = launches, .launch = launch, .bounds = bounds};
