/* Turns the tallies of each list (level, sample) into offsets within the list, and gives its length: totals [L B]. One work-item a list. */
KERNEL_3(samples_base, READ(0, u32, levels), MODIFY(1, u32, tally), WRITE(2, u32, totals))
BEGIN(samples_base)
    u32 list = GROUP * WG + LANE;
    if (list >= p.levels * p.rows)
        return;
    u32 level = list / p.rows, column = list - level * p.rows, block = 0u;
    for (u32 l = 0u; l < level; l++)
        block += (levels[(l + 1u) * LEVEL_WORDS + LEVEL_FIRST] - levels[l * LEVEL_WORDS + LEVEL_FIRST] + p.block - 1u) / p.block;
    u32 end =
        block + (levels[(level + 1u) * LEVEL_WORDS + LEVEL_FIRST] - levels[level * LEVEL_WORDS + LEVEL_FIRST] + p.block - 1u) / p.block;
    u32 total = 0u;
    for (; block < end; block++) {
        u32 at = block * p.words * 32u + column, count = tally[at];
        tally[at] = total;
        total += count;
    }
    totals[list] = total;
END
