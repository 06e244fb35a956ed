/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* One feature on one panel of 32 samples: p of each in `out`, returns the bits of those above the cut. */
static u32 encode_word(const f32 *panel, const f32 *row, u32 dim, f32 bias, f32 cut, f32 out[32])
{
    double sum[32];
    for (u32 s = 0; s < 32; s++)
        sum[s] = bias;
    for (u32 k = 0; k < dim; k++)
        ref_add(sum, row[k], panel + (size_t)k * 32, 32);
    u32 word = 0;
    for (u32 s = 0; s < 32; s++) {
        out[s] = (f32)sum[s];
        word |= (u32)(out[s] > cut) << s;
    }
    return word;
}

void hsae_ref_encode(const struct hsae_encode_memory *m, const struct encode_args *p)
{
    const f32 *panels = m->panels, *encoder = m->encoder;
    const u32 *feature_scalars = m->feature_scalars;
    u32 *bits = m->bits;
    f32 *scratch = m->scratch;
    for (u32 r = 0; r < p->count; r++) {
        const u32 *scalars = feature_scalars + (size_t)(p->first + r) * SCALAR_WORDS;
        const f32 *row = encoder + (size_t)(p->row + r) * p->stride;
        for (u32 w = 0; w < p->words; w++) {
            f32 values[32];
            u32 word = encode_word(panels + (size_t)w * p->stride * 32, row, p->dim, bits_f32(scalars[SCALAR_BIAS]),
                                   bits_f32(scalars[SCALAR_CUT]), values);
            u32 samples = p->batch - w * 32;
            if (samples < 32)
                word &= (1u << samples) - 1;
            bits[(size_t)(p->first + r) * p->words + w] = word;
            if (word)
                memcpy(scratch + ((size_t)r * p->words + w) * 32, values, sizeof values);
        }
    }
}
