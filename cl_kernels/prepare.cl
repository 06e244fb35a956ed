/* SPDX-License-Identifier: MIT */
/* Starts a step: takes over the step parameters, lists the dead features of each level in ascending order, sets the first L0 penalties. One
 * work-group. */
KERNEL(prepare)
    if (step_state[STATE_HALT] != 0u)
        return;
    f32 sum = 0.0f;
    for (u32 k = LANE; k < p.norms; k += WG)
        sum += norms[k];
    WG_SUM(partial, sum);
    f32 mean_norm = partial[0] / to_f32(p.batch);
    for (u32 l = 0u; l < p.levels; l++) {
        u32 first = level_info[l * LEVEL_WORDS + LEVEL_FIRST], end = level_info[(l + 1u) * LEVEL_WORDS + LEVEL_FIRST];
        u32 segment = (end - first + WG - 1u) / WG;
        u32 begin = min(first + LANE * segment, end), stop = min(begin + segment, end), dead = 0u;
        for (u32 i = begin; i < stop; i++)
            dead += (flags[i] & FLAG_DEAD) != 0u ? 1u : 0u;
        WG_SCAN(counts, dead)
        u32 place = first + counts[LANE] - dead, total = counts[WG - 1u];
        for (u32 i = begin; i < stop; i++)
            if ((flags[i] & FLAG_DEAD) != 0u) {
                step_state[STATE_DEAD_LIST + place] = i;
                place += 1u;
            }
        if (LANE == 0u) {
            u32 at = STATE_LEVELS + l * STATE_LEVEL_WORDS;
            step_state[at + STATE_DEAD] = total;
            if (p.ghosts != 0u && total > level_info[l * LEVEL_WORDS + LEVEL_GHOSTS])
                step_state[STATE_HALT] = HALT_GHOSTS;
            if (bits_f32(step_state[at + STATE_LAMBDA]) == 0.0f && bits_f32(step_state[at + STATE_AVERAGE]) < 0.0f)
                step_state[at + STATE_LAMBDA] = bits_u32(p.lambda_init * mean_norm / bits_f32(level_info[l * LEVEL_WORDS + LEVEL_TARGET]));
        }
    }
    if (LANE == 0u) {
        step_state[STATE_STEP] = step_params[PARAM_STEP];
        step_state[STATE_RATE] = step_params[PARAM_RATE];
        step_state[STATE_CORRECTION] = step_params[PARAM_CORRECTION];
    }
END
