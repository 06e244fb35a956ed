/* SPDX-License-Identifier: MIT */
/* The step's flags of every feature: perturbation draws (Philox4x32-10, Salmon et al., SC'11: key = seed, counter = (index in level, level,
 * t, 0)), deadness, and the decoder row. One work-item a feature. */

FUNCTION u32 philox_first(u32 key_lo, u32 key_hi, u32 index, u32 level, u32 step)
{
    u32 c0 = index, c1 = level, c2 = step, c3 = 0u;
    for (u32 round = 0u; round < 10u; round++) {
        u32 hi0 = mul_hi_u32(0xD2511F53u, c0), lo0 = 0xD2511F53u * c0;
        u32 hi1 = mul_hi_u32(0xCD9E8D57u, c2), lo1 = 0xCD9E8D57u * c2;
        c0 = hi1 ^ c1 ^ key_lo;
        c1 = lo1;
        c2 = hi0 ^ c3 ^ key_hi;
        c3 = lo0;
        key_lo += 0x9E3779B9u;
        key_hi += 0xBB67AE85u;
    }
    return c0;
}

KERNEL(feature_flags)
    u32 i = GROUP * WG + LANE;
    if (i >= p.features)
        return;
    u32 level = 0u;
    while (level + 1u < p.levels && i >= level_info[(level + 1u) * LEVEL_WORDS + LEVEL_FIRST])
        level += 1u;
    u32 step = step_params[PARAM_STEP], bound = step_params[PARAM_PERTURB_BOUND];
    u32 seed_lo = step_params[PARAM_SEED_LO], seed_hi = step_params[PARAM_SEED_HI];
    u32 f = decoder_rows[i] << FLAG_ROW_SHIFT;
    u32 own = tree[i * TREE_WORDS + TREE_NUMBER];
    if (tree[i * TREE_WORDS + TREE_CHILD_COUNT] > 0u && (philox_first(seed_lo, seed_hi, own, level, step) >> 8) < bound)
        f |= FLAG_SWAPPED;
    u32 parent = tree[i * TREE_WORDS + TREE_PARENT];
    if (parent != NONE) {
        u32 number = tree[parent * TREE_WORDS + TREE_NUMBER];
        if ((philox_first(seed_lo, seed_hi, number, level - 1u, step) >> 8) < bound)
            f |= FLAG_PARENT_SWAPPED;
    }
    if (step - 1u - last_fired[i] >= step_params[PARAM_DEAD_STEPS])
        f |= FLAG_DEAD;
    flags[i] = f;
END
