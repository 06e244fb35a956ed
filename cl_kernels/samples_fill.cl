/* Pairs by sample, in rank order: feature, activation, and the place of the same pair among the pairs by feature. One work-item a block of
 * features and 32 samples; it counts its tallies up as it goes. */
KERNEL_11(samples_fill, READ(0, u32, bits), READ(1, u32, tree), READ(2, u32, levels), READ(3, u32, table), READ(4, u32, control),
          READ(5, u32, word_starts), READ(6, u32, pairs), READ(7, u32, sample_starts), MODIFY(8, u32, tally), WRITE(9, u32, samples),
          WRITE(10, u32, positions))
BEGIN(samples_fill)
    if (control[CONTROL_HALT] != 0u)
        return;
    u32 item = GROUP * WG + LANE;
    u32 block = item / p.words, word = item - block * p.words, level = 0u, begin = 0u, end = 0u;
    FIND_BLOCK(block, level, begin, end)
    if (level == p.levels)
        return;
    u32 base = (block * p.words + word) * 32u, list = level * p.rows + word * 32u;
    for (u32 rank = begin; rank < end; rank++) {
        u32 feature = tree[rank * TREE_WORDS + TREE_AT_RANK];
        u32 set = bits[feature * p.words + word];
        f32 threshold = bits_f32(table[feature * TABLE_WORDS + TABLE_THRESHOLD]);
        u32 position = word_starts[feature * p.words + word];
        while (set != 0u) {
            u32 bit = low_bit(set);
            set &= set - 1u;
            u32 at = sample_starts[list + bit] + tally[base + bit];
            tally[base + bit] += 1u;
            f32 value = bits_f32(pairs[2u * position + 1u]);
            samples[2u * at] = feature;
            samples[2u * at + 1u] = bits_u32(value > threshold ? value : 0.0f);
            positions[at] = position;
            position += 1u;
        }
    }
END
