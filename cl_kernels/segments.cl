/* SPDX-License-Identifier: MIT */
/* Which features are long, and the feature of each of their segments. One work-group, a run of features a work-item. */
KERNEL(segments)
    if (step_state[STATE_HALT] != 0u)
        return;
    u32 run = (p.features + WG - 1u) / WG;
    u32 begin = min(LANE * run, p.features), stop = min(begin + run, p.features);
    u32 segment = p.pairs, total = p.room + 1u, at = 0u;
    while (total > p.room) {
        u32 count = 0u;
        for (u32 i = begin; i < stop; i++)
            count += SEGMENTS_OF(starts[i + 1u] - starts[i], segment);
        WG_SCAN(sums, count)
        total = sums[WG - 1u];
        at = sums[LANE] - count;
        segment *= total > p.room ? 2u : 1u;
    }
    for (u32 i = begin; i < stop; i++) {
        u32 count = SEGMENTS_OF(starts[i + 1u] - starts[i], segment);
        if (count != 0u)
            feature_scalars[i * SCALAR_WORDS + SCALAR_SEGMENT] = at;
        for (u32 s = 0u; s < count; s++)
            owners[at + s] = i;
        at += count;
    }
    for (u32 s = total + LANE; s < p.room; s += WG)
        owners[s] = NONE;
    if (LANE == 0u)
        step_state[STATE_SEGMENT] = segment;
END
