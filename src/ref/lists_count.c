/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_lists_count(void *const *b, const void *args, const u32 groups[2])
{
    const struct lists_count_args *p = args;
    const u32 *bits = b[0];
    u32 *counts = b[1];
    (void)groups;
    for (u32 i = p->first; i < p->first + p->count; i++) {
        counts[i] = 0;
        for (u32 w = 0; w < p->words; w++)
            counts[i] += ref_popcount(bits[(size_t)i * p->words + w]);
    }
}
