/* SPDX-License-Identifier: MIT */
/* Ends a step: figures for the host, sparsity control of each level, last_fired. One work-group a level. squares: the columns' sums of
 * `bias`. The level's shift is added to the log thresholds of its features. A threshold at or below half the bandwidth goes no lower: there
 * L0 is bounded by the sign of the pre-activation, and lower thresholds would only have to come back. */
KERNEL(finish_step)
    u32 l = GROUP, at = STATE_LEVELS + l * STATE_LEVEL_WORDS, figures = REPORT_LEVELS + l * REPORT_LEVEL_WORDS;
    if (l >= p.levels)
        return;
    if (LANE == 0u)
        step_report[figures + REPORT_DEAD] = step_state[at + STATE_DEAD];
    if (LANE == 0u && l == 0u) {
        step_report[REPORT_STEP] = step_state[STATE_STEP];
        step_report[REPORT_HALT] = step_state[STATE_HALT];
        step_report[REPORT_PAIRS] = step_state[STATE_HALT] != 0u ? step_state[STATE_PAIRS] : starts[p.features];
    }
    if (step_state[STATE_HALT] != 0u)
        return;
    if (l == 0u) {
        f32 sum = 0.0f;
        for (u32 c = LANE; c < p.stride; c += WG)
            sum += squares[c];
        WG_SUM(partial, sum);
        if (LANE == 0u)
            step_report[REPORT_VARIANCE] = bits_u32(partial[0]);
    }
    u32 step = step_state[STATE_STEP];
    f32 share = 1.0f / to_f32(p.batch);
    u32 first = level_info[l * LEVEL_WORDS + LEVEL_FIRST], end = level_info[(l + 1u) * LEVEL_WORDS + LEVEL_FIRST], fired = 0u;
    u32 below = l + 1u < p.levels ? level_info[(l + 2u) * LEVEL_WORDS + LEVEL_FIRST] : end;
    f32 constraint = 0.0f, reconstruction = 0.0f;
    for (u32 i = first + LANE; i < end; i += WG) {
        fired += active_count[i];
        constraint += feature_sums[i * FEATURE_SUM_WORDS + FEATURE_SUM_OWN];
        if (active_count[i] != 0u)
            last_fired[i] = step;
    }
    for (u32 i = end + LANE; i < below; i += WG)
        constraint -= feature_sums[i * FEATURE_SUM_WORDS + FEATURE_SUM_PARENT];
    for (u32 s = 0u; s < p.slices; s++)
        for (u32 b = LANE; b < p.batch; b += WG)
            reconstruction += loss[(l * p.slices + s) * p.padded + b];
    WG_SUM(partial, constraint);
    constraint = partial[0];
    WG_SUM(partial, reconstruction);
    WG_SUM(counts, fired);
    if (LANE == 0u) {
        f32 l0 = to_f32(counts[0] + step_state[at + STATE_OTHERS]) * share, average = bits_f32(step_state[at + STATE_AVERAGE]);
        f32 lambda = bits_f32(step_state[at + STATE_LAMBDA]);
        if (average < 0.0f)
            average = l0;
        f32 target = bits_f32(level_info[l * LEVEL_WORDS + LEVEL_TARGET]);
        f32 change = p.one_minus_momentum * (l0 - average), wanted = -p.eta * (average - target), shift = 0.0f;
        f32 next = change < wanted ? lambda * (1.0f - p.kappa) : lambda * (1.0f + p.kappa);
        if (p.gain > 0.0f) {
            f32 middle = p.penalty / target;
            shift = p.gain * 2.0f * (l0 - target) / (l0 + target);
            next = max_f32(min_f32(lambda * exp_f32(shift), middle * PENALTY_RANGE), middle / PENALTY_RANGE);
        }
        step_state[at + STATE_AVERAGE] = bits_u32(average + change);
        step_state[at + STATE_LAMBDA] = bits_u32(next);
        step_state[at + STATE_SHIFT] = bits_u32(shift);
        step_report[figures + REPORT_RECONSTRUCTION] = bits_u32(partial[0] * share);
        step_report[figures + REPORT_L0] = bits_u32(l0);
        step_report[figures + REPORT_LAMBDA] = bits_u32(lambda);
        step_report[figures + REPORT_CONSTRAINT] = bits_u32(p.rho * constraint * share);
        partial[0] = shift;
    }
    LOCAL_BARRIER();
    f32 shift = partial[0];
    for (u32 i = first + LANE; shift != 0.0f && i < end; i += WG) {
        u32 t = i * SCALAR_WORDS;
        if (shift < 0.0f && bits_f32(feature_scalars[t + SCALAR_THRESHOLD]) <= 0.5f * p.bandwidth)
            continue;
        f32 log_threshold = bits_f32(feature_scalars[t + SCALAR_LOG_THRESHOLD]) + shift;
        f32 threshold = exp_f32(log_threshold);
        feature_scalars[t + SCALAR_LOG_THRESHOLD] = bits_u32(log_threshold);
        feature_scalars[t + SCALAR_THRESHOLD] = bits_u32(threshold);
        feature_scalars[t + SCALAR_CUT] = bits_u32(threshold - 0.5f * p.bandwidth);
    }
END
