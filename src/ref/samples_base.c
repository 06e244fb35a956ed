/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_samples_base(void *const *b, const void *args, const u32 groups[2])
{
    const struct samples_base_args *p = args;
    const u32 *levels = b[0];
    u32 *tally = b[1], *totals = b[2], samples = 32 * p->words;
    (void)groups;
    for (u32 l = 0; l < p->levels; l++) {
        u32 blocks = (ref_first(levels, l + 1) - ref_first(levels, l) + p->block - 1) / p->block;
        for (u32 s = 0; s < p->rows; s++) {
            u32 total = 0;
            for (u32 block = 0; block < blocks; block++) {
                u32 *cell = &tally[(size_t)block * samples + s], count = *cell;
                *cell = total;
                total += count;
            }
            totals[(size_t)l * p->rows + s] = total;
        }
        tally += (size_t)blocks * samples;
    }
}
