/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* Adds weights[s] times row s of `rows`, for `count` samples. */
static void add_samples(f32 *gradient, const double *weights, const f32 *rows, u32 count, u32 stride)
{
    for (u32 column = 0; column < stride; column += REF_BLOCK) {
        double sum[REF_BLOCK] = {0};
        u32 columns = ref_min(REF_BLOCK, stride - column);
        ref_add(sum, 1, gradient + column, columns);
        for (u32 s = 0; s < count; s++)
            ref_add(sum, weights[s], rows + (size_t)s * stride + column, columns);
        for (u32 c = 0; c < columns; c++)
            gradient[column + c] = (f32)sum[c];
    }
}

/* The gradients of one dead feature, a block of samples at a time. */
static void feature_rows(const struct hsae_ghost_rows_memory *m, const struct ghost_rows_args *p, u32 feature, f32 *decoder_gradient,
                         f32 *encoder_gradient)
{
    const f32 *x = m->x, *ghost = m->ghost, *weights = m->weights;
    const u32 *flags = m->flags, *feature_scalars = m->feature_scalars;
    const f32 *encoder = ref_row(m->E, feature, p->range_rows, p->stride);
    const f32 *decoder = ref_row(m->D, ref_decoder_row(flags, feature), p->range_rows, p->stride);
    double bias = bits_f32(feature_scalars[(size_t)feature * SCALAR_WORDS + SCALAR_BIAS]), radial = 0, bias_gradient = 0;
    memset(decoder_gradient, 0, p->stride * sizeof *decoder_gradient);
    memset(encoder_gradient, 0, p->stride * sizeof *encoder_gradient);
    for (u32 begin = 0; begin < p->batch; begin += REF_BLOCK) {
        double decoder_weights[REF_BLOCK], slopes[REF_BLOCK];
        u32 count = ref_min(REF_BLOCK, p->batch - begin);
        const f32 *x_rows = x + (size_t)begin * p->stride, *ghost_rows = ghost + (size_t)begin * p->stride;
        for (u32 s = 0; s < count; s++) {
            double pre = ref_dot(encoder, x_rows + (size_t)s * p->stride, p->stride) + bias, g = exp(fmin(pre, 10));
            double q = weights[begin + s] * ref_dot(decoder, ghost_rows + (size_t)s * p->stride, p->stride);
            decoder_weights[s] = g * weights[begin + s];
            slopes[s] = pre < 10 ? g * q : 0;
            radial += g * q;
            bias_gradient += slopes[s];
        }
        add_samples(decoder_gradient, decoder_weights, ghost_rows, count, p->stride);
        add_samples(encoder_gradient, slopes, x_rows, count, p->stride);
    }
    for (u32 c = p->stride; c < p->stride + 16; c++) {
        decoder_gradient[c] = (f32)radial;
        encoder_gradient[c] = (f32)bias_gradient;
    }
}

void hsae_ref_ghost_rows(const struct hsae_ghost_rows_memory *m, const struct ghost_rows_args *p)
{
    const u32 *step_state = m->step_state;
    const u32 *tree = m->tree;
    f32 *rows = m->rows;
    if (ref_halted(step_state))
        return;
    u32 dead = ref_dead(step_state, p->level);
    size_t length = p->stride + 16;
    for (u32 k = 0; k < p->count && p->chunk + k < dead; k++) {
        u32 feature = step_state[STATE_DEAD_LIST + p->first + p->chunk + k];
        if (tree[(size_t)feature * TREE_WORDS + TREE_RANK] - p->rank < p->ranks)
            feature_rows(m, p, feature, rows + 2 * k * length, rows + (2 * k + 1) * length);
    }
}
