/* SPDX-License-Identifier: MIT */
#include "ref.h"

static f32 variance(const f32 *x, const struct bias_args *p, u32 column)
{
    double mean = 0, sum = 0;
    for (u32 s = 0; s < p->batch; s++)
        mean += x[(size_t)s * p->stride + column];
    mean /= p->batch;
    for (u32 s = 0; s < p->batch; s++) {
        double off = x[(size_t)s * p->stride + column] - mean;
        sum += off * off;
    }
    return (f32)sum;
}

void hsae_ref_bias(const struct hsae_bias_memory *m, const struct bias_args *p)
{
    const u32 *step_state = m->step_state;
    if (ref_halted(step_state))
        return;
    struct ref_adam adam = {bits_f32(step_state[STATE_RATE]), bits_f32(step_state[STATE_CORRECTION]), p->beta2, p->one_minus_beta2,
                            p->epsilon};
    for (u32 k = 0; k < p->count; k++) {
        const f32 *residual = m->residual + ((size_t)p->row + (size_t)k * p->padded) * p->stride;
        size_t first = ((size_t)p->level + k) * p->stride;
        f32 *bias = m->bias + first, *bias_v = m->bias_v + first;
        for (u32 c = 0; c < p->stride; c++) {
            double sum = 0;
            for (u32 s = 0; s < p->batch; s++)
                sum += residual[(size_t)s * p->stride + c];
            bias[c] = ref_adam_step(&adam, bias[c], &bias_v[c], 2 * sum / p->batch);
        }
    }
    for (u32 c = 0; p->squares && c < p->stride; c++)
        m->squares[c] = variance(m->x, p, c);
}
