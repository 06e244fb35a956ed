/* SPDX-License-Identifier: MIT */
/* How many pairs each sample has in each block of `block` features in rank order; blocks do not cross levels. tally: u32 [blocks][32 W]. A
 * team a block and bitmap word, that is 32 samples: alone, a work-item counts what is set; several have a tile of features, then samples
 * each. */
KERNEL(samples_count)
    u32 team = LANE / TEAM, member = LANE - team * TEAM, item = GROUP * TEAMS + team;
    u32 block = item / p.words, word = item - block * p.words, level = 0u, begin = 0u, end = 0u;
    FIND_BLOCK(block, level, begin, end)
    bool inside = team < TEAMS && level != p.levels;
    u32 at = (block * p.words + word) * 32u;
    if (inside)
        for (u32 b = member; b < 32u; b += TEAM)
            tally[at + b] = 0u;
    for (u32 first = 0u; first < p.block; first += TEAM) {
        u32 rank = begin + first + member, set = 0u;
        if (inside && rank < end)
            set = bits[tree[rank * TREE_WORDS + TREE_AT_RANK] * p.words + word];
        if (TEAM > 1u) {
            BARRIER();
            tile[LANE] = set;
            BARRIER();
            TALLY_TILE(at)
        } else {
            while (set != 0u) {
                tally[at + low_bit(set)] += 1u;
                set &= set - 1u;
            }
        }
    }
END
