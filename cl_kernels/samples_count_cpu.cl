/* SPDX-License-Identifier: MIT */
/* samples_count.cl for CPU devices: a bitmap word is added to the tallies of its 32 samples whole, without a branch a bit. */
CPU_KERNEL(samples_count)
    u32 block = GROUP / p.words, word = GROUP - block * p.words, level = 0u, begin = 0u, end = 0u;
    FIND_BLOCK(block, level, begin, end)
    if (level == p.levels)
        return;
    vi lane, count[VECTORS_PER_WORD];
#define NUMBER(k, name) lane.name = k;
    EACH_ELEMENT(NUMBER)
    UNROLL for (u32 v = 0u; v < VECTORS_PER_WORD; v++)
        count[v] = (vi)(0);
    for (u32 rank = begin; rank < end; rank++) {
        vi set = (vi)(as_int(bits[tree[rank * TREE_WORDS + TREE_AT_RANK] * p.words + word]));
        UNROLL for (u32 v = 0u; v < VECTORS_PER_WORD; v++)
            count[v] += (set >> (lane + (vi)(v * VW))) & (vi)(1);
    }
    UNROLL for (u32 v = 0u; v < VECTORS_PER_WORD; v++)
        ((global vi *)tally)[(block * p.words + word) * VECTORS_PER_WORD + v] = count[v];
END
