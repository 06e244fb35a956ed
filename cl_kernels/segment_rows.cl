/* SPDX-License-Identifier: MIT */
/* The sums over the pairs of one segment of a long feature: its pairs' scores, and what `update` would have summed up there. One work-group a
 * segment. */
KERNEL(segment_rows)
    if (control[CONTROL_HALT] != 0u || GROUP >= p.room)
        return;
    u32 i = owners[GROUP], width = p.stride / VW, segment = control[CONTROL_SEGMENT];
    u32 level = p.level;
    if (i < levels[level * LEVEL_WORDS + LEVEL_FIRST] || i >= levels[(level + p.count) * LEVEL_WORDS + LEVEL_FIRST])
        return;
    while (i >= levels[(level + 1u) * LEVEL_WORDS + LEVEL_FIRST])
        level += 1u;
    START(residual, (p.residual_row + (level - p.level) * p.padded) * width)
    START(above, (p.above_row + (max(level, 1u) - max(p.level, 1u)) * p.padded) * width)
    u32 begin = starts[i] + (GROUP - table[i * TABLE_WORDS + TABLE_SEGMENT]) * segment, end = min(begin + segment, starts[i + 1u]);
    u32 flag = flags[i], row = FLAG_ROW(flag), range = RANGE_OF(row);
    idx at = IN_RANGE(row, range) * width, to = 2u * GROUP * width;
    bool plain = (flag & (FLAG_SWAPPED | FLAG_PARENT_SWAPPED)) == 0u;
    f32 threshold = bits_f32(table[i * TABLE_WORDS + TABLE_THRESHOLD]);
    f32 lambda = bits_f32(control[CONTROL_LEVELS + level * CONTROL_LEVEL_WORDS + CONTROL_LAMBDA]);
    f32 radial = 0.0f, bias_gradient = 0.0f, threshold_gradient = 0.0f, squares = 0.0f;
    f32 own_term = 0.0f, parent_term = 0.0f, product = 0.0f;
    for (idx column = 0u; column < width; column += WG * COLS) {
        vf dd[COLS], de[COLS];
        CLEAR_COLUMNS(dd, column, width)
        CLEAR_COLUMNS(de, column, width)
#include "pairs.h"
        if (column == 0u)
            BARRIER();
        EACH_COLUMN_ONCE(column, sums[to + c] = dd[k]; sums[to + width + c] = de[k])
    }
    if (LANE == 0u) {
        u32 t = p.segments + GROUP * SEGMENT_WORDS;
        terms[t + SEGMENT_RADIAL] = radial;
        terms[t + SEGMENT_SQUARES] = squares;
        terms[t + SEGMENT_BIAS] = bias_gradient;
        terms[t + SEGMENT_THRESHOLD] = threshold_gradient;
        terms[t + SEGMENT_OWN] = own_term;
        terms[t + SEGMENT_PARENT] = parent_term;
        terms[t + SEGMENT_PRODUCT] = product;
    }
END
