/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* |y|^2 of less is none (the smallest normal float32): dead features whose pre-activations are far below 0 in a sample have nothing to give
 * there, and alpha would overflow. */
static const double MIN_SQUARES = 0x1p-126;

/* Whether a dead feature is among those whose part is wanted. */
static bool is_wanted(const struct hsae_ghost_memory *m, const struct ghost_args *p, u32 feature)
{
    const u32 *tree = m->tree;
    return p->part != GHOST_SUM || tree[(size_t)feature * TREE_WORDS + TREE_RANK] - p->rank < p->ranks;
}

/* y of one sample, a block of dead features at a time. */
static void dead_sum(const struct hsae_ghost_memory *m, const struct ghost_args *p, const f32 *x, f32 *y)
{
    const u32 *flags = m->flags, *step_state = m->step_state, *feature_scalars = m->feature_scalars;
    const u32 *list = step_state + STATE_DEAD_LIST + p->first;
    u32 dead = ref_dead(step_state, p->level);
    memset(y, 0, p->stride * sizeof *y);
    for (u32 at = 0; at < dead;) {
        double g[REF_BLOCK];
        u32 features[REF_BLOCK], count = 0;
        for (; at < dead && count < REF_BLOCK; at++)
            if (is_wanted(m, p, list[at]))
                features[count++] = list[at];
        for (u32 k = 0; k < count; k++) {
            double bias = bits_f32(feature_scalars[(size_t)features[k] * SCALAR_WORDS + SCALAR_BIAS]);
            g[k] = exp(fmin(ref_dot(ref_row(m->E, features[k], p->range_rows, p->stride), x, p->stride) + bias, 10));
        }
        for (u32 column = 0; column < p->stride; column += REF_BLOCK) {
            double sum[REF_BLOCK] = {0};
            u32 columns = ref_min(REF_BLOCK, p->stride - column);
            ref_add(sum, 1, y + column, columns);
            for (u32 k = 0; k < count; k++) {
                u32 row = ref_decoder_row(flags, features[k]);
                ref_add(sum, g[k], ref_row(m->D, row, p->range_rows, p->stride) + column, columns);
            }
            for (u32 c = 0; c < columns; c++)
                y[column + c] = (f32)sum[c];
        }
    }
}

void hsae_ref_ghost(const struct hsae_ghost_memory *m, const struct ghost_args *p)
{
    const f32 *x = m->x, *residual = m->residual + (size_t)p->row * p->stride;
    const u32 *step_state = m->step_state;
    f32 *ghost = m->ghost, *ghost_losses = m->ghost_losses;
    if (ref_halted(step_state) || ref_dead(step_state, p->level) == 0)
        return;
    for (u32 s = 0; s < p->batch; s++) {
        const f32 *target = residual + (size_t)s * p->stride;
        f32 *v = ghost + ((size_t)p->to + s) * p->stride;
        if (p->part != GHOST_BLEND)
            dead_sum(m, p, x + (size_t)s * p->stride, v);
        if (p->part == GHOST_SUM)
            continue;
        double squares = ref_dot(v, v, p->stride);
        double alpha = squares >= MIN_SQUARES ? sqrt(ref_dot(target, target, p->stride)) / (2 * sqrt(squares)) : 0;
        for (u32 c = 0; c < p->stride; c++)
            v[c] = (f32)(alpha * v[c] + target[c]);
        ghost_losses[2 * (size_t)s] = (f32)ref_dot(v, v, p->stride);
        ghost_losses[2 * (size_t)s + 1] = (f32)alpha;
    }
}
