/* SPDX-License-Identifier: MIT */
/* Group 0: starts[first + 1 + k] = starts[first] + counts[first] + .. + counts[first + k]; group 1 likewise the starts by sample. A run of
 * them a work-item. At last, where there is room for segments, group 0 finds which features are long, and the feature of each segment. */
KERNEL(scan)
    bool by_sample = GROUP == 1u;
    u32 count = by_sample ? p.lists : p.count, share = (count + WG - 1u) / WG;
    u32 begin = min(LANE * share, count), stop = min(begin + share, count), sum = 0u;
    u32 at = by_sample || p.first == 0u ? 0u : starts[p.first], halt = by_sample ? 0u : step_state[STATE_HALT];
    for (u32 k = begin; k < stop; k++)
        sum += by_sample ? totals[k] : counts[p.first + k];
    WG_SCAN(sums, sum)
    u32 total = at + sums[WG - 1u];
    at += sums[LANE] - sum;
    if (by_sample) {
        for (u32 k = begin; k < stop; k++) {
            at += totals[k];
            sample_starts[k + 1u] = at;
        }
        if (LANE == 0u)
            sample_starts[0] = 0u;
    } else {
        for (u32 k = begin; k < stop; k++) {
            at += counts[p.first + k];
            starts[p.first + 1u + k] = at;
        }
        if (LANE == 0u && p.first == 0u)
            starts[0] = 0u;
    }
    bool cut = !by_sample && p.room != 0u && halt == 0u && total <= p.capacity;
    BARRIER();
    u32 all = p.first + p.count, segment = p.pairs != 0u ? p.pairs : step_state[STATE_SEGMENT], needed = cut ? p.room + 1u : 0u, place = 0u;
    share = (all + WG - 1u) / WG;
    begin = min(LANE * share, all);
    stop = min(begin + share, all);
    while (needed > p.room) {
        u32 segments = 0u;
        for (u32 i = begin; i < stop; i++)
            segments += SEGMENTS_OF(starts[i + 1u] - starts[i], segment);
        WG_SCAN(sums, segments)
        needed = sums[WG - 1u];
        place = sums[LANE] - segments;
        segment *= needed > p.room ? 2u : 1u;
    }
    if (cut) {
        for (u32 i = begin; i < stop; i++) {
            u32 segments = SEGMENTS_OF(starts[i + 1u] - starts[i], segment);
            if (segments != 0u)
                feature_scalars[i * SCALAR_WORDS + SCALAR_SEGMENT] = place;
            for (u32 s = 0u; s < segments; s++)
                owners[place + s] = i;
            place += segments;
        }
        for (u32 s = needed + LANE; s < p.room; s += WG)
            owners[s] = NONE;
        if (LANE == 0u)
            step_state[STATE_SEGMENT] = segment;
    }
    if (LANE == 0u && !by_sample) {
        /* Behind a halt the largest total is kept: the host makes the lists long enough for it. */
        if (halt == 0u || total > step_state[STATE_PAIRS])
            step_state[STATE_PAIRS] = total;
        if (total > p.capacity)
            step_state[STATE_HALT] = halt | HALT_PAIRS;
    }
END
