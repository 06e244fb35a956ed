/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_bias(void *const *b, const void *args, const u32 groups[2])
{
    const struct bias_args *p = args;
    const u32 *control = b[0];
    (void)groups;
    if (ref_halted(control))
        return;
    struct ref_adam adam = {bits_f32(control[CONTROL_RATE]), bits_f32(control[CONTROL_CORRECTION]), p->beta2, p->one_minus_beta2,
                            p->epsilon};
    for (u32 k = 0; k < p->count; k++) {
        const f32 *residual = (const f32 *)b[1] + ((size_t)p->row + (size_t)k * p->padded) * p->stride;
        size_t first = ((size_t)p->level + k) * p->stride;
        f32 *bias = (f32 *)b[2] + first, *bias_v = (f32 *)b[3] + first;
        for (u32 c = 0; c < p->stride; c++) {
            double sum = 0;
            for (u32 s = 0; s < p->rows; s++)
                sum += residual[(size_t)s * p->stride + c];
            bias[c] = ref_adam_step(&adam, bias[c], &bias_v[c], 2 * sum / p->rows);
        }
    }
}
