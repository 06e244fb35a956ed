/* SPDX-License-Identifier: MIT */
/* The sums over a feature's pairs that update and segment_rows make. */
#ifndef HSAE_SRC_REF_PAIRS_H
#define HSAE_SRC_REF_PAIRS_H

#include "ref.h"

struct ref_pairs {
    u32 index, flag, begin, end; /* the feature, its flags, its pairs */
    u32 range_rows, stride;
    f32 rho, bandwidth, threshold, lambda;
    f32 *const *ranges; /* of D */
    const u32 *flags, *pairs, *samples;
    u32 *pair_terms;
    const f32 *x, *residual, *above; /* the latter two from the level's first sample on */
    const f32 *decoder;              /* its row of D before the step */
    /* Sums over the batch. */
    double radial; /* D_i . gradient of D_i */
    double bias_gradient, threshold_gradient;
    double squares, own_term, parent_term, product;
};

/* The fields that update and segment_rows fill alike from their memory m and arguments p; the others follow by name. */
#define REF_PAIRS(m, p, ...)                                                                                                       \
    (struct ref_pairs)                                                                                                             \
    {                                                                                                                              \
        .range_rows = (p)->range_rows, .stride = (p)->stride, .rho = (p)->rho, .bandwidth = (p)->bandwidth, .ranges = (m)->D,      \
        .flags = (m)->flags, .pairs = (m)->pairs, .samples = (m)->samples, .pair_terms = (m)->pair_terms, .x = (m)->x, __VA_ARGS__ \
    }

static inline const f32 *ref_pairs_row(const struct ref_pairs *f, u32 feature)
{
    return ref_row(f->ranges, ref_decoder_row(f->flags, feature), f->range_rows, f->stride);
}

/* The rows whose sum is G, the residual that the feature is trained on; NULL where one doesn't count. */
struct ref_target {
    const f32 *own, *above;
};

static inline struct ref_target ref_pairs_target(const struct ref_pairs *f, u32 sample)
{
    size_t line = (size_t)sample * f->stride;
    return (struct ref_target){f->flag & FLAG_SWAPPED ? NULL : f->residual + line, f->flag & FLAG_PARENT_SWAPPED ? f->above + line : NULL};
}

/* q = 2 D_i . G + 2 rho D_i . (u_i - u_parent) of one pair, and the sums of the constraint. */
static inline double ref_pair_score(struct ref_pairs *f, const u32 *pair_terms, u32 sample, double a)
{
    struct ref_target g = ref_pairs_target(f, sample);
    double score = (g.own ? ref_dot(f->decoder, g.own, f->stride) : 0) + (g.above ? ref_dot(f->decoder, g.above, f->stride) : 0);
    if (f->rho == 0.0f)
        return 2 * score;
    double own_side = bits_f32(pair_terms[PAIR_OWN]), parent_side = bits_f32(pair_terms[PAIR_PARENT]);
    for (size_t s = pair_terms[PAIR_FIRST]; s < pair_terms[PAIR_END]; s++) {
        f32 act = bits_f32(f->samples[2 * s + 1]);
        if (f->samples[2 * s] != f->index && act != 0.0f)
            parent_side -= act * ref_dot(f->decoder, ref_pairs_row(f, f->samples[2 * s]), f->stride);
    }
    f->own_term += a * own_side;
    f->parent_term += a * parent_side;
    f->product += a * bits_f32(pair_terms[PAIR_PARENT_ACT]);
    return 2 * score + 2 * (double)f->rho * (own_side - parent_side);
}

static inline void ref_pairs_score(struct ref_pairs *f)
{
    for (size_t pair = f->begin; pair < f->end; pair++) {
        u32 *pair_terms = f->pair_terms + pair * PAIR_WORDS;
        f32 value = bits_f32(f->pairs[2 * pair + 1]);
        bool active = value > f->threshold;
        double a = active ? value : 0, q = ref_pair_score(f, pair_terms, f->pairs[2 * pair], a);
        pair_terms[PAIR_SCORE] = bits_u32((f32)q);
        f->radial += a * q;
        f->squares += a * a;
        if (active)
            f->bias_gradient += q;
        if (fabsf(value - f->threshold) < 0.5f * f->bandwidth)
            f->threshold_gradient -= f->threshold * q + f->lambda;
    }
}

/* For columns first .. first + count - 1: the sums of a (G - rho u_parent), own rows left out, and of q x. */
static inline void ref_pairs_add(const struct ref_pairs *f, double *decoder_sum, double *encoder_sum, u32 first, u32 count)
{
    for (size_t pair = f->begin; pair < f->end; pair++) {
        const u32 *pair_terms = f->pair_terms + pair * PAIR_WORDS;
        u32 sample = f->pairs[2 * pair];
        f32 value = bits_f32(f->pairs[2 * pair + 1]);
        if (value <= f->threshold)
            continue;
        struct ref_target g = ref_pairs_target(f, sample);
        if (g.own)
            ref_add(decoder_sum, value, g.own + first, count);
        if (g.above)
            ref_add(decoder_sum, value, g.above + first, count);
        ref_add(encoder_sum, bits_f32(pair_terms[PAIR_SCORE]), f->x + (size_t)sample * f->stride + first, count);
        if (f->rho == 0.0f)
            continue;
        for (size_t s = pair_terms[PAIR_FIRST]; s < pair_terms[PAIR_END]; s++) {
            f32 act = bits_f32(f->samples[2 * s + 1]);
            if (f->samples[2 * s] != f->index && act != 0.0f)
                ref_add(decoder_sum, (double)f->rho * value * act, ref_pairs_row(f, f->samples[2 * s]) + first, count);
        }
    }
}

#endif
