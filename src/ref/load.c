/* SPDX-License-Identifier: MIT */
#include "ref.h"

static f32 half_to_f32(u32 half)
{
    int exponent = (int)(half >> 10 & 31);
    u32 fraction = half & 1023;
    f32 size;
    if (exponent == 31)
        size = fraction ? NAN : INFINITY;
    else if (exponent)
        size = ldexpf((f32)(1024 + fraction), exponent - 25);
    else
        size = ldexpf((f32)fraction, -24);
    return half & 0x8000 ? -size : size;
}

/* 16-bit elements are two a word, the first in the low half. */
static f32 element(const u32 *raw, size_t e, u32 format)
{
    if (format == FORMAT_F32)
        return bits_f32(raw[e]);
    u32 half = e & 1 ? raw[e / 2] >> 16 : raw[e / 2] & 0xffff;
    return format == FORMAT_F16 ? half_to_f32(half) : bits_f32(half << 16);
}

void hsae_ref_load(const struct hsae_load_memory *m, const struct load_args *p)
{
    const u32 *raw = m->raw;
    const f32 *mean = m->mean;
    f32 *x = m->x, *panels = m->panels, *norms = m->norms;
    for (u32 sample = 0; sample < p->padded; sample++) {
        f32 *row = x + (size_t)sample * p->stride;
        f32 *panel = panels + (size_t)(sample / 32) * p->stride * 32 + sample % 32;
        f32 *norm = norms + (size_t)(sample / 32) * LOAD_BLOCKS(p->stride);
        for (u32 k = 0; k < p->stride; k++) {
            bool inside = sample < p->batch && k < p->dim;
            row[k] = inside ? (element(raw, (size_t)sample * p->dim + k, p->format) - mean[k]) * p->scale : 0.0f;
            if (p->panels)
                panel[(size_t)k * 32] = row[k];
        }
        for (u32 k = 0; k < p->stride; k += LOAD_COLUMNS) {
            double squares = ref_dot(row + k, row + k, ref_min(LOAD_COLUMNS, p->stride - k));
            norm[k / LOAD_COLUMNS] = (f32)(squares + (sample % 32 ? norm[k / LOAD_COLUMNS] : 0));
        }
    }
}
