/* SPDX-License-Identifier: MIT */
/* Pairs are taken PAIRS_PER_PASS at a time; pairs that do not count have weight 0. */
#define ADD_ROW acc[k] = fma_vf(splat(a[j]), FETCH(D, range[j], at[j] + c), acc[k])
#include "ranks.h"
/* Residual R = c + sum a_i D_i - x of some levels, with perturbation: swapped features are left out and their children stand in. One
 * work-group a level, column slice and sample; the sample is fast, so that the slice of D stays in cache. loss: f32 [L][slices][padded],
 * the slice's |R|^2. `partial`: a shard's part of it, from 0. */
KERNEL(decode)
    u32 turn = GROUP / p.batch, b = GROUP - turn * p.batch, nth = turn / p.slices, slice = turn - nth * p.slices, level = p.level + nth;
    if (nth >= p.count || step_state[STATE_HALT] != 0u)
        return;
    u32 width = p.stride / VW, share = (p.stride / 16u + p.slices - 1u) / p.slices * (16u / VW);
    u32 first = slice * share, end = min(first + share, width);
    vf squares = splat(0.0f);
    idx line = b * width, center = level * width, home = (p.row + nth * p.padded + b) * width;
    for (idx column = first; column < end; column += WG * COLS) {
        vf acc[COLS];
        EACH_COLUMN(column, end, acc[k] = p.partial != 0u ? splat(0.0f) : bias[center + c] - x[line + c])
        for (u32 l = level; l < min(level + 2u, p.levels); l++) {
            u32 list = l * p.batch + b, begin = sample_starts[list], stop = sample_starts[list + 1u];
            TAKE_RANKS(begin, stop, l == level)
            for (u32 q = begin; q < stop; q += PAIRS_PER_PASS) {
                u32 range[PAIRS_PER_PASS];
                idx at[PAIRS_PER_PASS];
                f32 a[PAIRS_PER_PASS];
                EACH_PAIR(u32 here = min(q + j, stop - 1u); u32 flag = flags[samples[2u * here]]; u32 row = FLAG_ROW(flag);
                          bool counts = l == level ? (flag & FLAG_SWAPPED) == 0u : (flag & FLAG_PARENT_SWAPPED) != 0u;
                          a[j] = counts && q + j < stop ? bits_f32(samples[2u * here + 1u]) : 0.0f;
                          range[j] = RANGE_OF(row); at[j] = IN_RANGE(row, range[j]) * width)
                if (l == level)
                    EACH_COLUMN(column, end, EACH_PAIR(ADD_ROW))
                else /* few of them stand in for their parents */
                    EACH_PAIR(if (a[j] != 0.0f) EACH_COLUMN(column, end, ADD_ROW))
            }
        }
        EACH_COLUMN(column, end, residual[home + c] = acc[k]; squares = fma_vf(acc[k], acc[k], squares))
    }
    WG_SUM(partial, sum_vf(squares));
    if (LANE == 0u && p.partial == 0u)
        loss[(level * p.slices + slice) * p.padded + b] = partial[0];
END
