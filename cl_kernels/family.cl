/* The structural constraint's scalars of each pair (kernel_args.h: kin). The lists of a sample are in rank order at every level, so children of
 * one parent are adjacent and parents come in the same order as their families: one merge. One work-item a list (level, sample). */
KERNEL_7(family, READ(0, u32, control), READ(1, u32, tree), READ(2, u32, sample_starts), READ(3, u32, samples), READ(4, u32, positions),
         READ(5, f32, dots), WRITE(6, u32, kin))
BEGIN(family)
    u32 list = GROUP * WG + LANE;
    if (list >= p.levels * p.rows || control[CONTROL_HALT] != 0u)
        return;
    u32 begin = sample_starts[list], end = sample_starts[list + 1u];
    u32 up = list >= p.rows ? sample_starts[list - p.rows] : 0u, up_end = list >= p.rows ? sample_starts[list - p.rows + 1u] : 0u;
    u32 down = 0u, down_end = 0u;
    if (list + p.rows < p.levels * p.rows) {
        down = sample_starts[list + p.rows];
        down_end = sample_starts[list + p.rows + 1u];
    }
    u32 family_parent = NONE, family_first = 0u, family_end = 0u;
    f32 parent_act = 0.0f;
    for (u32 q = begin; q < end; q++) {
        u32 feature = samples[2u * q], node = feature * TREE_WORDS, at = positions[q] * KIN_WORDS;
        f32 a = bits_f32(samples[2u * q + 1u]), own = 0.0f, parent_side = 0.0f;
        if (tree[node + TREE_CHILD_COUNT] != 0u) {
            u32 rank = tree[node + TREE_CHILD_FIRST], rank_end = rank + tree[node + TREE_CHILD_COUNT];
            own = a;
            while (down < down_end && tree[samples[2u * down] * TREE_WORDS + TREE_RANK] < rank)
                down += 1u;
            while (down < down_end && tree[samples[2u * down] * TREE_WORDS + TREE_RANK] < rank_end) {
                own -= bits_f32(samples[2u * down + 1u]) * dots[samples[2u * down]];
                down += 1u;
            }
        }
        u32 parent = tree[node + TREE_PARENT];
        if (parent != family_parent) {
            family_parent = parent;
            family_first = q;
            family_end = q + 1u;
            parent_act = 0.0f;
            if (parent != NONE) {
                while (family_end < end && tree[samples[2u * family_end] * TREE_WORDS + TREE_PARENT] == parent)
                    family_end += 1u;
                u32 rank = tree[parent * TREE_WORDS + TREE_RANK];
                while (up < up_end && tree[samples[2u * up] * TREE_WORDS + TREE_RANK] < rank)
                    up += 1u;
                if (up < up_end && samples[2u * up] == parent)
                    parent_act = bits_f32(samples[2u * up + 1u]);
            }
        }
        if (parent != NONE)
            parent_side = parent_act * dots[feature] - a;
        kin[at + KIN_OWN] = bits_u32(own);
        kin[at + KIN_PARENT] = bits_u32(parent_side);
        kin[at + KIN_PARENT_ACT] = bits_u32(parent_act);
        kin[at + KIN_FIRST] = parent != NONE ? family_first : 0u;
        kin[at + KIN_END] = parent != NONE ? family_end : 0u;
    }
END
