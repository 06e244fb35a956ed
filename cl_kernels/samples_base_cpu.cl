/* SPDX-License-Identifier: MIT */
/* samples_base.cl for CPU devices: VW lists of a level at a time, by the work-group of the first of them. */
CPU_KERNEL(samples_base)
    u32 level = GROUP / p.batch, column = GROUP - level * p.batch, block = 0u;
    if (level >= p.levels || column % VW != 0u)
        return;
    for (u32 l = 0u; l < level; l++)
        block += (level_info[(l + 1u) * LEVEL_WORDS + LEVEL_FIRST] - level_info[l * LEVEL_WORDS + LEVEL_FIRST] + p.block - 1u) / p.block;
    u32 features = level_info[(level + 1u) * LEVEL_WORDS + LEVEL_FIRST] - level_info[level * LEVEL_WORDS + LEVEL_FIRST];
    u32 stop = block + (features + p.block - 1u) / p.block;
    vi total = (vi)(0);
    global vi *tallies = (global vi *)tally;
    for (; block < stop; block++) {
        idx at = (block * p.words * 32u + column) / VW;
        vi count = tallies[at];
        tallies[at] = total;
        total += count;
    }
#define STORE_TOTAL(k, name)  \
    if (column + k < p.batch) \
        totals[GROUP + k] = as_uint(total.name);
    EACH_ELEMENT(STORE_TOTAL)
END
