/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* The nearest whole number, ties to the even one, in 16 bits. */
static u32 quantized(f32 value, double unit)
{
    return (u32)(i32)lrint((double)value / unit) & 0xffff;
}

void hsae_ref_quantize(void *const *b, const void *args, const u32 groups[2])
{
    const struct quantize_args *p = args;
    const f32 *x = b[0];
    u32 *words = b[1];
    f32 *units = b[2];
    (void)groups;
    for (u32 sample = 0; sample < p->padded; sample++) {
        const f32 *row = x + (size_t)sample * p->stride;
        u32 *panel = words + (size_t)(sample / 32) * (p->stride / 2) * 32 + sample % 32;
        double unit = fmax(sqrt(ref_dot(row, row, p->stride)), 1e-30) / (double)QUANTIZED_NORM;
        units[sample] = (f32)unit;
        for (u32 k = 0; k < p->stride; k += 2)
            panel[(size_t)(k / 2) * 32] = quantized(row[k], unit) | quantized(row[k + 1], unit) << 16;
    }
}
