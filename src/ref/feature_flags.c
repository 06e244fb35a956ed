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

void hsae_ref_feature_flags(const struct hsae_feature_flags_memory *m, const struct feature_flags_args *p)
{
    const u32 *step_params = m->step_params, *level_info = m->level_info, *tree = m->tree, *last_fired = m->last_fired,
              *decoder_rows = m->decoder_rows;
    u32 *flags = m->flags;
    for (u32 l = 0; l < p->levels; l++) {
        u32 first = level_info[l * LEVEL_WORDS + LEVEL_FIRST], end = level_info[(l + 1) * LEVEL_WORDS + LEVEL_FIRST];
        for (u32 i = first; i < end; i++) {
            const u32 *node = tree + (size_t)i * TREE_WORDS;
            u32 f = decoder_rows[i] << FLAG_ROW_SHIFT;
            if (node[TREE_CHILD_COUNT] &&
                philox_first(step_params[PARAM_SEED_LO], step_params[PARAM_SEED_HI], node[TREE_NUMBER], l, step_params[PARAM_STEP]) >> 8 <
                    step_params[PARAM_PERTURB_BOUND])
                f |= FLAG_SWAPPED;
            if (node[TREE_PARENT] != NONE &&
                philox_first(step_params[PARAM_SEED_LO], step_params[PARAM_SEED_HI],
                             tree[(size_t)node[TREE_PARENT] * TREE_WORDS + TREE_NUMBER], l - 1, step_params[PARAM_STEP]) >>
                    8 < step_params[PARAM_PERTURB_BOUND])
                f |= FLAG_PARENT_SWAPPED;
            if (step_params[PARAM_STEP] - 1 - last_fired[i] >= step_params[PARAM_DEAD_STEPS])
                f |= FLAG_DEAD;
            flags[i] = f;
        }
    }
}
