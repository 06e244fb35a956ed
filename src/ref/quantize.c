/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* The nearest whole number, ties to the even one, in 16 bits. */
static u32 quantized(f32 value, double unit)
{
    return (u32)(i32)lrint((double)value / unit) & 0xffff;
}

void hsae_ref_quantize(const struct hsae_quantize_memory *m, const struct quantize_args *p)
{
    const f32 *x = m->x;
    u32 *words = m->words;
    f32 *units = m->units;
    for (u32 sample = 0; sample < p->padded; sample++) {
        const f32 *row = x + (size_t)sample * p->stride;
        u32 *panel = words + (size_t)(sample / 32) * (p->stride / 2) * 32 + sample % 32;
        double unit = fmax(sqrt(ref_dot(row, row, p->stride)), 1e-30) / (double)QUANTIZED_NORM;
        units[sample] = (f32)unit;
        for (u32 k = 0; k < p->stride; k += 2)
            panel[(size_t)(k / 2) * 32] = quantized(row[k], unit) | quantized(row[k + 1], unit) << 16;
    }
}
