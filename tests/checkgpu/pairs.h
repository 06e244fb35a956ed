/* SPDX-License-Identifier: MIT */
/* What the bounds of update and segment_rows share: a feature's sums over pairs. */
#ifndef HSAE_TESTS_PAIRS_H
#define HSAE_TESTS_PAIRS_H

#include "fixture.h"
#include "ref/bounds.h"

struct pair_sums {
    const struct fixture *w;
    const u32 *scores; /* pair_terms as the reference leaves it */
    f32 *tolerance;    /* of pair_terms */
    u32 i, level, flag, begin, end;
    f32 rho, bandwidth;
    double threshold, lambda;
    struct sum radial, bias, threshold_gradient, own, parent, product, squares;
};

/* All but the pairs: begin, end. pair_terms is bound at `slot`. */
static inline struct pair_sums pair_sums_of(const struct fixture *w, const struct check_job *job, u32 slot, u32 level, u32 i, f32 rho)
{
    return (struct pair_sums){.w = w,
                              .scores = job->expected[slot],
                              .tolerance = job->tolerance[slot],
                              .i = i,
                              .level = level,
                              .flag = w->flags.at[i],
                              .rho = rho,
                              .bandwidth = w->bandwidth,
                              .threshold = fixture_table(w, i, SCALAR_THRESHOLD),
                              .lambda = words_f32(&w->step_state, STATE_LEVELS + level * STATE_LEVEL_WORDS + STATE_LAMBDA)};
}

/* Element c of G, the residual that the feature is trained on. */
static inline double pair_answer(const struct pair_sums *f, u32 sample, u32 c, double *scale)
{
    double own = f->flag & FLAG_SWAPPED ? 0 : fixture_residual(f->w, f->level, sample, c);
    double above = f->flag & FLAG_PARENT_SWAPPED ? fixture_residual(f->w, f->level - 1, sample, c) : 0;
    *scale = fabs(own) + fabs(above);
    return own + above;
}

static inline f32 pair_kin(const struct fixture *w, u32 pair, u32 word)
{
    return words_f32(&w->pair_terms, (size_t)pair * PAIR_WORDS + word);
}

/* An active sibling at entry s of the lists by sample? Its activation, else 0. */
static inline double pair_sibling(const struct pair_sums *f, u32 s)
{
    return f->w->samples.at[2 * s] == f->i ? 0 : words_f32(&f->w->samples, 2 * (size_t)s + 1);
}

/* q of a pair; side: D_i . u_parent. */
static inline struct estimate pair_score(const struct pair_sums *f, u32 pair, struct estimate *side)
{
    const struct fixture *w = f->w;
    struct sum dot = {0}, siblings = {0};
    for (u32 c = 0; c < w->size.dim; c++) {
        double scale, g = pair_answer(f, w->pairs.at[2 * pair], c, &scale), d = fixture_decoder(w, f->i, c);
        sum_add(&dot, d * g, bound_ulps(1, d * scale));
    }
    struct estimate q = sum_estimate(&dot);
    q = (struct estimate){2 * q.value, 2 * q.off};
    *side = (struct estimate){0, 0};
    if (f->rho == 0.0f)
        return q;
    sum_add(&siblings, pair_kin(w, pair, PAIR_PARENT), 0);
    for (u32 s = w->pair_terms.at[pair * PAIR_WORDS + PAIR_FIRST]; s < w->pair_terms.at[pair * PAIR_WORDS + PAIR_END]; s++)
        for (u32 c = 0; c < w->size.dim && pair_sibling(f, s) != 0; c++) {
            double term = fixture_decoder(w, f->i, c) * pair_sibling(f, s) * fixture_decoder(w, w->samples.at[2 * s], c);
            sum_add(&siblings, -term, bound_ulps(1, term));
        }
    *side = sum_estimate(&siblings);
    double own = pair_kin(w, pair, PAIR_OWN), rho = 2 * (double)f->rho;
    q.off += rho * side->off + bound_ulps(3, rho * (fabs(own) + fabs(side->value))) + bound_ulps(1, q.value);
    q.value += rho * (own - side->value);
    return q;
}

static inline void pairs_score(struct pair_sums *f)
{
    const struct fixture *w = f->w;
    for (u32 pair = f->begin; pair < f->end; pair++) {
        f32 value = words_f32(&w->pairs, 2 * (size_t)pair + 1);
        double a = value > (f32)f->threshold ? value : 0;
        struct estimate side, q = pair_score(f, pair, &side);
        f->tolerance[pair * PAIR_WORDS + PAIR_SCORE] = (f32)q.off;
        sum_add(&f->radial, a * q.value, a * q.off);
        sum_add(&f->squares, a * a, 0);
        if (a > 0)
            sum_add(&f->bias, q.value, q.off);
        if (fabs(value - f->threshold) < 0.5 * f->bandwidth) {
            sum_add(&f->threshold_gradient, -f->threshold * q.value, f->threshold * q.off);
            sum_add(&f->threshold_gradient, -f->lambda, 0);
        }
        if (f->rho == 0.0f)
            continue;
        sum_add(&f->own, a * pair_kin(w, pair, PAIR_OWN), 0);
        sum_add(&f->parent, a * side.value, a * side.off);
        sum_add(&f->product, a * pair_kin(w, pair, PAIR_PARENT_ACT), 0);
    }
}

/* The batch sums of column c: of a (G - rho u_parent), and of q x. */
static inline void pairs_add(const struct pair_sums *f, u32 c, struct sum *decoder, struct sum *encoder)
{
    const struct fixture *w = f->w;
    for (u32 pair = f->begin; pair < f->end; pair++) {
        f32 a = words_f32(&w->pairs, 2 * (size_t)pair + 1);
        if (a <= (f32)f->threshold)
            continue;
        double scale, g = pair_answer(f, w->pairs.at[2 * pair], c, &scale);
        double x = words_f32(&w->x, (size_t)w->pairs.at[2 * pair] * w->stride + c);
        double q = bits_f32(f->scores[pair * PAIR_WORDS + PAIR_SCORE]);
        sum_add(decoder, a * g, bound_ulps(1, a * scale));
        sum_add(encoder, q * x, f->tolerance[pair * PAIR_WORDS + PAIR_SCORE] * fabs(x));
        if (f->rho == 0.0f)
            continue;
        for (u32 s = w->pair_terms.at[pair * PAIR_WORDS + PAIR_FIRST]; s < w->pair_terms.at[pair * PAIR_WORDS + PAIR_END]; s++)
            if (pair_sibling(f, s) != 0) {
                double term = (double)f->rho * a * pair_sibling(f, s) * fixture_decoder(w, w->samples.at[2 * s], c);
                sum_add(decoder, term, bound_ulps(2, term));
            }
    }
}

#endif
