/* SPDX-License-Identifier: MIT */
/* starts[first + 1 + k] = starts[first] + counts[first] + .. + counts[first + k]. One work-group, a segment a work-item. */
KERNEL(scan)
    u32 segment = (p.count + WG - 1u) / WG;
    u32 begin = min(LANE * segment, p.count), stop = min(begin + segment, p.count), sum = 0u;
    for (u32 k = begin; k < stop; k++)
        sum += counts[p.first + k];
    u32 at = p.first == 0u ? 0u : starts[p.first];
    WG_SCAN(sums, sum)
    at += sums[LANE] - sum;
    for (u32 k = begin; k < stop; k++) {
        at += counts[p.first + k];
        starts[p.first + 1u + k] = at;
    }
    if (LANE == 0u && p.first == 0u)
        starts[0] = 0u;
    if (LANE == WG - 1u && p.capacity != 0u) {
        /* Behind a halt the largest total is kept: the host makes the lists long enough for it. */
        if (step_state[STATE_HALT] == 0u || at > step_state[STATE_PAIRS])
            step_state[STATE_PAIRS] = at;
        if (at > p.capacity)
            step_state[STATE_HALT] = step_state[STATE_HALT] | HALT_PAIRS;
    }
END
