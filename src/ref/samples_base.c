/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_samples_base(const struct hsae_samples_base_memory *m, const struct samples_base_args *p)
{
    const u32 *level_info = m->level_info;
    u32 *tally = m->tally, *totals = m->totals, samples = 32 * p->words;
    for (u32 l = 0; l < p->levels; l++) {
        u32 blocks = (ref_first(level_info, l + 1) - ref_first(level_info, l) + p->block - 1) / p->block;
        for (u32 s = 0; s < p->batch; s++) {
            u32 total = 0;
            for (u32 block = 0; block < blocks; block++) {
                u32 *cell = &tally[(size_t)block * samples + s], count = *cell;
                *cell = total;
                total += count;
            }
            totals[(size_t)l * p->batch + s] = total;
        }
        tally += (size_t)blocks * samples;
    }
}
