/* SPDX-License-Identifier: MIT */
/* Starts a step: takes over the clock, lists the dead features of each level in ascending order, sets the first L0 penalties. One work-group. */
KERNEL(prepare)
    if (control[CONTROL_HALT] != 0u)
        return;
    f32 sum = 0.0f;
    for (u32 k = LANE; k < p.norms; k += WG)
        sum += norms[k];
    WG_SUM(part, sum);
    f32 mean_norm = part[0] / to_f32(p.rows);
    for (u32 l = 0u; l < p.levels; l++) {
        u32 first = levels[l * LEVEL_WORDS + LEVEL_FIRST], end = levels[(l + 1u) * LEVEL_WORDS + LEVEL_FIRST];
        u32 segment = (end - first + WG - 1u) / WG;
        u32 begin = min(first + LANE * segment, end), stop = min(begin + segment, end), dead = 0u;
        for (u32 i = begin; i < stop; i++)
            dead += (flags[i] & FLAG_DEAD) != 0u ? 1u : 0u;
        WG_SCAN(counts, dead)
        u32 place = first + counts[LANE] - dead, total = counts[WG - 1u];
        for (u32 i = begin; i < stop; i++)
            if ((flags[i] & FLAG_DEAD) != 0u) {
                control[CONTROL_DEAD_LIST + place] = i;
                place += 1u;
            }
        if (LANE == 0u) {
            u32 at = CONTROL_LEVELS + l * CONTROL_LEVEL_WORDS;
            control[at + CONTROL_DEAD] = total;
            if (p.ghosts != 0u && total > levels[l * LEVEL_WORDS + LEVEL_GHOSTS])
                control[CONTROL_HALT] = HALT_GHOSTS;
            if (bits_f32(control[at + CONTROL_LAMBDA]) == 0.0f && bits_f32(control[at + CONTROL_AVERAGE]) < 0.0f)
                control[at + CONTROL_LAMBDA] = bits_u32(p.lambda_init * mean_norm / bits_f32(levels[l * LEVEL_WORDS + LEVEL_TARGET]));
        }
    }
    if (LANE == 0u) {
        control[CONTROL_STEP] = clock[CLOCK_STEP];
        control[CONTROL_RATE] = clock[CLOCK_RATE];
        control[CONTROL_CORRECTION] = clock[CLOCK_CORRECTION];
    }
END
