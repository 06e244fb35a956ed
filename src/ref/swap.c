/* SPDX-License-Identifier: MIT */
#include "ref.h"

static u32 philox_first(u32 key_lo, u32 key_hi, u32 index, u32 level, u32 step)
{
    u32 c[4] = {index, level, step, 0};
    for (int round = 0; round < 10; round++) {
        uint64_t even = (uint64_t)0xD2511F53u * c[0];
        uint64_t odd = (uint64_t)0xCD9E8D57u * c[2];
        u32 next[4] = {(u32)(odd >> 32) ^ c[1] ^ key_lo, (u32)odd, (u32)(even >> 32) ^ c[3] ^ key_hi, (u32)even};
        memcpy(c, next, sizeof c);
        key_lo += 0x9E3779B9u;
        key_hi += 0xBB67AE85u;
    }
    return c[0];
}

void hsae_ref_swap(const struct hsae_swap_memory *m, const struct swap_args *p)
{
    const u32 *clock = m->clock, *levels = m->levels, *tree = m->tree, *last_fired = m->last_fired, *places = m->places;
    u32 *flags = m->flags;
    for (u32 l = 0; l < p->levels; l++) {
        u32 first = levels[l * LEVEL_WORDS + LEVEL_FIRST], end = levels[(l + 1) * LEVEL_WORDS + LEVEL_FIRST];
        for (u32 i = first; i < end; i++) {
            const u32 *node = tree + (size_t)i * TREE_WORDS;
            u32 f = places[i] << FLAG_ROW_SHIFT;
            if (node[TREE_CHILD_COUNT] &&
                philox_first(clock[CLOCK_SEED_LO], clock[CLOCK_SEED_HI], i - first, l, clock[CLOCK_STEP]) >> 8 < clock[CLOCK_SWAP_BOUND])
                f |= FLAG_SWAPPED;
            if (node[TREE_PARENT] != NONE &&
                philox_first(clock[CLOCK_SEED_LO], clock[CLOCK_SEED_HI], node[TREE_PARENT] - levels[(l - 1) * LEVEL_WORDS + LEVEL_FIRST],
                             l - 1, clock[CLOCK_STEP]) >>
                    8 < clock[CLOCK_SWAP_BOUND])
                f |= FLAG_PARENT_SWAPPED;
            if (clock[CLOCK_STEP] - 1 - last_fired[i] >= clock[CLOCK_DEAD_STEPS])
                f |= FLAG_DEAD;
            flags[i] = f;
        }
    }
}
