/* SPDX-License-Identifier: MIT */
/* Sums of p.reads rows that lie anywhere in `from`, for each row of `to`: how `decode` and `update` read memory. A work-group has WG x COLS
 * vectors, its lanes side by side. */
#define READS_AT_ONCE 4u
KERNEL(peak_gather)
    u32 first = GROUP * WG * COLS + LANE, vectors = p.count / VW, width = p.width / VW;
    for (u32 k = 0u; k < COLS; k++) {
        u32 at = first + k * WG, row = at / width, column = at - row * width;
        vf sum = splat(0.0f);
        if (at >= vectors)
            continue;
        for (u32 i = 0u; i < p.reads; i += READS_AT_ONCE) {
            UNROLL for (u32 j = 0u; j < READS_AT_ONCE; j++) sum += from[GATHERED_ROW(row * p.reads + i + j, p.rows) * width + column];
        }
        to[at] = sum;
    }
END
