/* SPDX-License-Identifier: MIT */
/* dots[j] = D_j . D_parent(j) for every feature with a parent, 0 for the others. One work-group a feature, in rank order: children of one
 * parent, whose row they share, come one after the other. */
KERNEL(family_dot)
    if (GROUP >= p.count)
        return;
    u32 child = tree[(p.first + GROUP) * TREE_WORDS + TREE_AT_RANK], parent = tree[child * TREE_WORDS + TREE_PARENT], width = p.stride / VW;
    vf sum = splat(0.0f);
    if (parent != NONE) {
        u32 row = FLAG_ROW(flags[child]), range = RANGE_OF(row);
        u32 other = FLAG_ROW(flags[parent]), other_range = RANGE_OF(other);
        idx at = IN_RANGE(row, range) * width, other_at = IN_RANGE(other, other_range) * width;
        DOT(sum, width, FETCH(D, range, at + c), FETCH(D, other_range, other_at + c))
    }
    WG_SUM(partial, sum_vf(sum));
    if (LANE == 0u)
        dots[child] = partial[0];
END
