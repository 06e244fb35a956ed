/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_relink_count(const struct hsae_relink_count_memory *m, const struct relink_count_args *p)
{
    const u32 *history = m->history;
    f32 *counts = m->counts;
    for (u32 r = 0; r < p->parents; r++)
        for (u32 s = 0; s < p->children; s++) {
            u32 both = 0;
            for (u32 step = 0; step < 64; step++) {
                const u32 *up = history + ((size_t)step * p->features + p->parent + r) * p->words;
                const u32 *down = history + ((size_t)step * p->features + p->child + s) * p->words;
                for (u32 w = 0; w < p->words; w++)
                    both += ref_popcount(up[w] & down[w]);
            }
            counts[(size_t)r * p->padded + s] = (f32)both;
        }
}
