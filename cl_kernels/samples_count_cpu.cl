/* SPDX-License-Identifier: MIT */
/* samples_count.cl for CPU devices: a bitmap word is added to the tallies of its 32 samples whole, without a branch a bit. */
KERNEL_4(samples_count, READ(0, u32, bits), READ(1, u32, tree), READ(2, u32, levels), WRITE(3, vi, tally))
BEGIN(samples_count)
    u32 block = GROUP / p.words, word = GROUP - block * p.words, level = 0u, begin = 0u, end = 0u;
    FIND_BLOCK(block, level, begin, end)
    if (level == p.levels)
        return;
    vi lane, count[32u / VW];
#define NUMBER(k, name) lane.name = k;
    EACH_ELEMENT(NUMBER)
    UNROLL for (u32 v = 0u; v < 32u / VW; v++)
        count[v] = (vi)(0);
    for (u32 rank = begin; rank < end; rank++) {
        vi set = (vi)(as_int(bits[tree[rank * TREE_WORDS + TREE_AT_RANK] * p.words + word]));
        UNROLL for (u32 v = 0u; v < 32u / VW; v++)
            count[v] += (set >> (lane + (vi)(v * VW))) & (vi)(1);
    }
    UNROLL for (u32 v = 0u; v < 32u / VW; v++)
        tally[(block * p.words + word) * (32u / VW) + v] = count[v];
END
