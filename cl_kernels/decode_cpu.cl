/* SPDX-License-Identifier: MIT */
/* decode.cl for CPU devices: one pair at a time. Out-of-order cores have many rows on their way by themselves, and pairs that do not count
 * cost nothing but the question. */
#include "ranks.h"
CPU_KERNEL(decode)
    u32 turn = GROUP / p.batch, b = GROUP - turn * p.batch, nth = turn / p.slices, slice = turn - nth * p.slices, level = p.level + nth;
    if (nth >= p.count || step_state[STATE_HALT] != 0u)
        return;
    u32 width = p.stride / VW, share = (p.stride / 16u + p.slices - 1u) / p.slices * (16u / VW);
    u32 first = slice * share, end = min(first + share, width);
    vf squares = splat(0.0f);
    idx line = b * width, center = level * width, home = (p.row + nth * p.padded + b) * width;
    for (idx column = first; column < end; column += COLS) {
        vf acc[COLS];
        EACH_COLUMN(column, end, acc[k] = p.partial != 0u ? splat(0.0f) : bias[center + c] - x[line + c])
        for (u32 l = level; l < min(level + 2u, p.levels); l++) {
            u32 list = l * p.batch + b, begin = sample_starts[list], stop = sample_starts[list + 1u];
            TAKE_RANKS(begin, stop, l == level)
            for (u32 q = begin; q < stop; q++) {
                u32 flag = flags[samples[2u * q]];
                f32 a = bits_f32(samples[2u * q + 1u]);
                if (a == 0.0f || (l == level ? (flag & FLAG_SWAPPED) != 0u : (flag & FLAG_PARENT_SWAPPED) == 0u))
                    continue;
                u32 row = FLAG_ROW(flag), range = RANGE_OF(row);
                idx at = IN_RANGE(row, range) * width;
                EACH_COLUMN(column, end, acc[k] = fma_vf(splat(a), FETCH(D, range, at + c), acc[k]))
            }
        }
        EACH_COLUMN(column, end, residual[home + c] = acc[k]; squares = fma_vf(acc[k], acc[k], squares))
    }
    if (p.partial == 0u)
        loss[(level * p.slices + slice) * p.padded + b] = sum_vf(squares);
END
