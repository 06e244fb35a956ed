/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* What screening must not change: encode's bits and p, from the rows themselves. */
void hsae_ref_screen(const struct hsae_screen_memory *m, const struct screen_args *p)
{
    const f32 *x = m->x, *encoder = m->encoder;
    const u32 *feature_scalars = m->feature_scalars;
    u32 *bits = m->bits;
    f32 *scratch = m->scratch;
    for (u32 r = 0; r < p->count; r++) {
        const u32 *scalars = feature_scalars + (size_t)(p->first + r) * SCALAR_WORDS;
        const f32 *row = encoder + (size_t)(p->row + r) * p->stride;
        u32 *word = bits + (size_t)(p->first + r) * p->words;
        f32 *listed = scratch + (size_t)r * p->words * 32;
        memset(word, 0, p->words * sizeof *word);
        for (u32 s = 0; s < p->batch; s++) {
            f32 value = (f32)(ref_dot(row, x + (size_t)s * p->stride, p->stride) + bits_f32(scalars[SCALAR_BIAS]));
            if (value > bits_f32(scalars[SCALAR_CUT])) {
                word[s / 32] |= 1u << s % 32;
                *listed++ = value;
            }
        }
    }
}
