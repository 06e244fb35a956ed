/* SPDX-License-Identifier: MIT */
#include "ref.h"

#include <math.h>

/* Correlation of being active (phi); less than any other where the child is a copy of the parent or too seldom active with it, or one of
 * both is always or never active. */
static f32 inclusion(f32 both, f32 above, f32 below, f32 samples, f32 least)
{
    double up = above / (double)samples, down = below / (double)samples, spread = up * (1 - up) * (down * (1 - down));
    if (spread <= 0)
        return -3;
    double phi = (both / (double)samples - up * down) / sqrt(spread);
    return (f32)(both > INCLUSION_COPY * above || both < least * below ? phi - 2 : phi);
}

void hsae_ref_relink_count(const struct hsae_relink_count_memory *m, const struct relink_count_args *p)
{
    const u32 *history = m->history;
    f32 *counts = m->counts;
    for (u32 r = 0; r < p->parents; r++)
        for (u32 s = 0; s < p->children; s++) {
            u32 both = 0, above = 0, below = 0;
            for (u32 step = 0; step < 64; step++) {
                const u32 *up = history + ((size_t)step * p->features + p->parent + r) * p->words;
                const u32 *down = history + ((size_t)step * p->features + p->child + s) * p->words;
                for (u32 w = 0; w < p->words; w++) {
                    both += ref_popcount(up[w] & down[w]);
                    above += ref_popcount(up[w]);
                    below += ref_popcount(down[w]);
                }
            }
            counts[(size_t)r * p->padded + s] =
                p->samples > 0 ? inclusion((f32)both, (f32)above, (f32)below, p->samples, p->least) : (f32)both;
        }
}
