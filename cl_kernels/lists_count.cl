/* Pairs of each feature of a chunk: the set bits of its bitmap row. One work-item a feature. */
KERNEL_2(lists_count, READ(0, u32, bits), WRITE(1, u32, counts))
BEGIN(lists_count)
    u32 r = GROUP * WG + LANE;
    if (r >= p.count)
        return;
    u32 total = 0u;
    for (u32 w = 0u; w < p.words; w++)
        total += pop_count(bits[(p.first + r) * p.words + w]);
    counts[p.first + r] = total;
END
