/* SPDX-License-Identifier: MIT */
/* Pairs of each feature of a chunk: the set bits of its bitmap row. A team a feature. */
KERNEL(lists_count)
    u32 team = LANE / TEAM, member = LANE - team * TEAM, r = GROUP * TEAMS + team, total = 0u;
    bool inside = team < TEAMS && r < p.count;
    for (u32 w = member; inside && w < p.words; w += TEAM)
        total += pop_count(bits[(p.first + r) * p.words + w]);
    TEAM_SUM(partial, total)
    if (inside && member == 0u)
        counts[p.first + r] = total;
END
