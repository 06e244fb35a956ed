/* SPDX-License-Identifier: MIT */
/* The sums over the pairs of one segment of a long feature: its pairs' scores, and what `update` would have summed up there. One work-group
 * a segment. */
KERNEL(segment_rows)
    if (step_state[STATE_HALT] != 0u || GROUP >= p.room)
        return;
    u32 i = owners[GROUP], width = p.stride / VW, segment = step_state[STATE_SEGMENT];
    u32 level = p.level;
    if (i < level_info[level * LEVEL_WORDS + LEVEL_FIRST] || i >= level_info[(level + p.count) * LEVEL_WORDS + LEVEL_FIRST])
        return;
    while (i >= level_info[(level + 1u) * LEVEL_WORDS + LEVEL_FIRST])
        level += 1u;
    START(residual, (p.residual_row + (level - p.level) * p.padded) * width)
    START(above, (p.above_row + (max(level, 1u) - max(p.level, 1u)) * p.padded) * width)
    u32 begin = starts[i] + (GROUP - feature_scalars[i * SCALAR_WORDS + SCALAR_SEGMENT]) * segment;
    u32 end = min(begin + segment, starts[i + 1u]);
    u32 flag = flags[i], row = FLAG_ROW(flag), range = RANGE_OF(row);
    idx at = IN_RANGE(row, range) * width, to = 2u * GROUP * width;
    bool plain = (flag & (FLAG_SWAPPED | FLAG_PARENT_SWAPPED)) == 0u;
    f32 threshold = bits_f32(feature_scalars[i * SCALAR_WORDS + SCALAR_THRESHOLD]);
    f32 lambda = bits_f32(step_state[STATE_LEVELS + level * STATE_LEVEL_WORDS + STATE_LAMBDA]);
    f32 radial = 0.0f, bias_gradient = 0.0f, threshold_gradient = 0.0f, squares = 0.0f;
    f32 own_term = 0.0f, parent_term = 0.0f, product = 0.0f;
    for (idx column = 0u; column < width; column += WG * COLS) {
        vf dd[COLS], de[COLS];
        CLEAR_COLUMNS(dd, column, width)
        CLEAR_COLUMNS(de, column, width)
#include "pairs.h"
        if (column == 0u)
            BARRIER();
        EACH_COLUMN_CHECKED(column, sums[to + c] = dd[k]; sums[to + width + c] = de[k])
    }
    if (LANE == 0u) {
        u32 t = p.segments + GROUP * SEGMENT_WORDS;
        feature_sums[t + SEGMENT_RADIAL] = radial;
        feature_sums[t + SEGMENT_SQUARES] = squares;
        feature_sums[t + SEGMENT_BIAS] = bias_gradient;
        feature_sums[t + SEGMENT_THRESHOLD] = threshold_gradient;
        feature_sums[t + SEGMENT_OWN] = own_term;
        feature_sums[t + SEGMENT_PARENT] = parent_term;
        feature_sums[t + SEGMENT_PRODUCT] = product;
    }
END
