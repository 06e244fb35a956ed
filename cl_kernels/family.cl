/* SPDX-License-Identifier: MIT */
/* The structural constraint's scalars of each pair (kernels/args.h: pair_terms). The lists of a sample are in rank order at every level, so
 * the children of one parent are adjacent, and families come in the order of their parents: one merge finds them. A team has a list (level,
 * sample) and takes its pairs in turn. A team of one work-item walks along the lists; a larger one searches them by halves. */
#define RANK_OF(q) tree[samples[2u * (q)] * TREE_WORDS + TREE_RANK]
/* Moves `at` on to the first pair before `stop` of that rank or a later one. */
#define SEEK(at, stop, rank)                         \
    if (TEAM > 1u) {                                 \
        u32 seek_stop = stop;                        \
        while (at < seek_stop) {                     \
            u32 middle = at + (seek_stop - at) / 2u; \
            bool before = RANK_OF(middle) < (rank);  \
            at = before ? middle + 1u : at;          \
            seek_stop = before ? seek_stop : middle; \
        }                                            \
    } else {                                         \
        while (at < (stop) && RANK_OF(at) < (rank))  \
            at += 1u;                                \
    }

KERNEL(family)
    u32 team = LANE / TEAM, member = LANE - team * TEAM, list = GROUP * TEAMS + team;
    if (team >= TEAMS || list >= p.levels * p.batch || step_state[STATE_HALT] != 0u)
        return;
    u32 begin = sample_starts[list], end = sample_starts[list + 1u];
    u32 up = list >= p.batch ? sample_starts[list - p.batch] : 0u, up_end = list >= p.batch ? sample_starts[list - p.batch + 1u] : 0u;
    u32 down = 0u, down_end = 0u;
    if (list + p.batch < p.levels * p.batch) {
        down = sample_starts[list + p.batch];
        down_end = sample_starts[list + p.batch + 1u];
    }
    u32 family_parent = NONE, family_first = begin, family_end = begin;
    f32 parent_act = 0.0f;
    for (u32 q = begin + member; q < end; q += TEAM) {
        u32 feature = samples[2u * q], node = feature * TREE_WORDS, at = positions[q] * PAIR_WORDS;
        f32 a = bits_f32(samples[2u * q + 1u]), own = 0.0f, parent_side = 0.0f;
        if (tree[node + TREE_CHILD_COUNT] != 0u) {
            u32 rank = tree[node + TREE_CHILD_FIRST], rank_end = rank + tree[node + TREE_CHILD_COUNT];
            own = a;
            SEEK(down, down_end, rank)
            while (down < down_end && RANK_OF(down) < rank_end) {
                own -= bits_f32(samples[2u * down + 1u]) * dots[samples[2u * down]];
                down += 1u;
            }
        }
        u32 parent = tree[node + TREE_PARENT];
        if (parent != family_parent) {
            family_parent = parent;
            parent_act = 0.0f;
            if (parent != NONE) {
                u32 first = tree[parent * TREE_WORDS + TREE_CHILD_FIRST], after = first + tree[parent * TREE_WORDS + TREE_CHILD_COUNT];
                u32 rank = tree[parent * TREE_WORDS + TREE_RANK];
                family_first = family_end;
                SEEK(family_first, end, first)
                family_end = family_first;
                SEEK(family_end, end, after)
                SEEK(up, up_end, rank)
                if (up < up_end && samples[2u * up] == parent)
                    parent_act = bits_f32(samples[2u * up + 1u]);
            }
        }
        if (parent != NONE)
            parent_side = parent_act * dots[feature] - a;
        pair_terms[at + PAIR_OWN] = bits_u32(own);
        pair_terms[at + PAIR_PARENT] = bits_u32(parent_side);
        pair_terms[at + PAIR_PARENT_ACT] = bits_u32(parent_act);
        pair_terms[at + PAIR_FIRST] = parent != NONE ? family_first : 0u;
        pair_terms[at + PAIR_END] = parent != NONE ? family_end : 0u;
    }
END
