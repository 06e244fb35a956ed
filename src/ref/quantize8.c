/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* 16 vectors of 16 columns times a Hadamard matrix, whose element (i, k) is -1 where i and k have an odd number of bits in common, else 1;
 * a quarter of that. `second`: before that the signs of vectors k change whose bits 0 and 1 are set, or 2 and 3, but not all. */
static void mix_block(f32 *block, bool second)
{
    for (u32 column = 0; column < 16; column++) {
        double sum[16] = {0};
        for (u32 i = 0; i < 16; i++)
            for (u32 k = 0; k < 16; k++)
                sum[i] +=
                    (ref_popcount(i & k) % 2 != (second && (k % 4 == 3) != (k / 4 == 3)) ? -0.25 : 0.25) * (double)block[k * 16 + column];
        for (u32 i = 0; i < 16; i++)
            block[i * 16 + column] = (f32)sum[i];
    }
}

void hsae_ref_quantize8(const struct hsae_quantize8_memory *m, const struct quantize8_args *p)
{
    f32 *mixed = m->mixed;
    for (u32 sample = 0; sample < p->padded; sample++) {
        u32 *panel = m->words + (size_t)(sample / 32) * (p->stride / 4) * 32 + sample % 32;
        f32 *units = m->units + (size_t)(sample / 32) * UNIT_WORDS * 32 + sample % 32;
        double largest = 1e-30, squares = 0, losses = 0;
        memcpy(mixed, m->x + (size_t)sample * p->stride, p->stride * sizeof *mixed);
        for (u32 from = 0; p->stride >= 256 && from < p->stride; from += 256)
            mix_block(mixed + ref_min(from, p->stride - 256), from > p->stride - 256);
        for (u32 k = 0; k < p->stride; k++)
            largest = fmax(largest, fabs((double)mixed[k]));
        for (u32 k = 0; k < p->stride; k++) {
            double exact = (double)mixed[k] * 127 / largest, whole = rint(exact);
            squares += exact * exact;
            losses += (exact - whole) * (exact - whole);
            u32 *word = &panel[(size_t)(k / 4) * 32];
            *word = (k % 4 ? *word : 0) | (u32)(whole + 128) << k % 4 * 8;
        }
        units[0] = (f32)(largest / 127);
        units[UNIT_NORM * 32] = (f32)(1.001 * sqrt(squares));
        units[UNIT_LOST * 32] = (f32)(1.001 * sqrt(losses));
    }
}
