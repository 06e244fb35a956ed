/* SPDX-License-Identifier: MIT */
/* Pairs by sample, in rank order: feature, activation, and the place of the same pair among the pairs by feature. A team a block of
 * features and 32 samples, each of it a feature of a tile; it counts its tallies up as it goes. */
KERNEL(samples_fill)
    if (step_state[STATE_HALT] != 0u)
        return;
    u32 team = LANE / TEAM, member = LANE - team * TEAM, item = GROUP * TEAMS + team;
    u32 block = item / p.words, word = item - block * p.words, level = 0u, begin = 0u, end = 0u;
    FIND_BLOCK(block, level, begin, end)
    bool inside = team < TEAMS && level != p.levels;
    u32 base = (block * p.words + word) * 32u, list = level * p.batch + word * 32u;
    for (u32 first = 0u; first < p.block; first += TEAM) {
        u32 rank = begin + first + member, feature = 0u, set = 0u, position = 0u;
        f32 threshold = 0.0f;
        if (inside && rank < end) {
            feature = tree[rank * TREE_WORDS + TREE_AT_RANK];
            set = bits[feature * p.words + word];
            threshold = bits_f32(feature_scalars[feature * SCALAR_WORDS + SCALAR_THRESHOLD]);
            position = word_starts[feature * p.words + word];
        }
        if (TEAM > 1u) {
            BARRIER();
            tile[LANE] = set;
            BARRIER();
        }
        while (set != 0u) {
            u32 bit = low_bit(set), before = tally[base + bit];
            set &= set - 1u;
            if (TEAM == 1u)
                tally[base + bit] = before + 1u;
            for (u32 k = LANE - member; k < LANE; k++)
                before += (tile[k] >> bit) & 1u;
            u32 at = sample_starts[list + bit] + before;
            f32 value = bits_f32(pairs[2u * position + 1u]);
            samples[2u * at] = feature;
            samples[2u * at + 1u] = bits_u32(value > threshold ? value : 0.0f);
            positions[at] = position;
            position += 1u;
        }
        if (TEAM > 1u) {
            BARRIER();
            TALLY_TILE(base)
        }
    }
END
