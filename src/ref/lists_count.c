/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_lists_count(const struct hsae_lists_count_memory *m, const struct lists_count_args *p)
{
    const u32 *bits = m->bits;
    u32 *counts = m->counts;
    for (u32 i = p->first; i < p->first + p->count; i++) {
        counts[i] = 0;
        for (u32 w = 0; w < p->words; w++)
            counts[i] += ref_popcount(bits[(size_t)i * p->words + w]);
    }
}
