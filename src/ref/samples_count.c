/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_samples_count(const struct hsae_samples_count_memory *m, const struct samples_count_args *p)
{
    const u32 *bits = m->bits, *tree = m->tree, *level_info = m->level_info;
    u32 *tally = m->tally, samples = 32 * p->words;
    for (u32 l = 0; l < p->levels; l++) {
        u32 end = ref_first(level_info, l + 1);
        for (u32 begin = ref_first(level_info, l); begin < end; begin += ref_min(p->block, end - begin)) {
            memset(tally, 0, samples * sizeof *tally);
            for (u32 rank = begin; rank < begin + ref_min(p->block, end - begin); rank++) {
                const u32 *line = bits + (size_t)tree[(size_t)rank * TREE_WORDS + TREE_AT_RANK] * p->words;
                for (u32 s = 0; s < samples; s++)
                    tally[s] += line[s / 32] >> s % 32 & 1;
            }
            tally += samples;
        }
    }
}
