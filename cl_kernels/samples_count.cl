/* How many pairs each sample has in each block of `block` features in rank order; blocks do not cross levels. tally: u32 [blocks][32 W]. One
 * work-item a block and bitmap word, that is 32 samples. */
KERNEL_4(samples_count, READ(0, u32, bits), READ(1, u32, tree), READ(2, u32, levels), WRITE(3, u32, tally))
BEGIN(samples_count)
    u32 item = GROUP * WG + LANE;
    u32 block = item / p.words, word = item - block * p.words, level = 0u, begin = 0u, end = 0u;
    FIND_BLOCK(block, level, begin, end)
    if (level == p.levels)
        return;
    u32 at = (block * p.words + word) * 32u;
    for (u32 b = 0u; b < 32u; b++)
        tally[at + b] = 0u;
    for (u32 rank = begin; rank < end; rank++) {
        u32 set = bits[tree[rank * TREE_WORDS + TREE_AT_RANK] * p.words + word];
        while (set != 0u) {
            tally[at + low_bit(set)] += 1u;
            set &= set - 1u;
        }
    }
END
