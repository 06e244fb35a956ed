/* SPDX-License-Identifier: MIT */
/* Turns the tallies of each list (level, sample) into offsets within the list, and gives its length: totals [L B]. A team a list, each of
 * it some of the level's blocks; teams are side by side, as their samples are. */
KERNEL(samples_base)
    u32 member = LANE / TEAMS, team = LANE - member * TEAMS, list = GROUP * TEAMS + team;
    u32 level = list / p.batch, column = list - level * p.batch, block = 0u, stop = 0u, total = 0u;
    bool inside = member < TEAM && list < p.levels * p.batch;
    if (inside) {
        for (u32 l = 0u; l < level; l++)
            block +=
                (level_info[(l + 1u) * LEVEL_WORDS + LEVEL_FIRST] - level_info[l * LEVEL_WORDS + LEVEL_FIRST] + p.block - 1u) / p.block;
        u32 count =
            (level_info[(level + 1u) * LEVEL_WORDS + LEVEL_FIRST] - level_info[level * LEVEL_WORDS + LEVEL_FIRST] + p.block - 1u) / p.block;
        u32 segment = (count + TEAM - 1u) / TEAM, first = min(member * segment, count);
        stop = block + min(first + segment, count);
        block += first;
    }
    if (TEAM > 1u) {
        for (u32 k = block; k < stop; k++)
            total += tally[k * p.words * 32u + column];
        partial[LANE] = total;
        total = 0u;
        BARRIER();
        for (u32 k = team; k < LANE; k += TEAMS)
            total += partial[k];
    }
    for (; block < stop; block++) {
        u32 at = block * p.words * 32u + column, count = tally[at];
        tally[at] = total;
        total += count;
    }
    if (inside && member == TEAM - 1u)
        totals[list] = total;
END
