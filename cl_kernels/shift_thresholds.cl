/* SPDX-License-Identifier: MIT */
/* Sparsity control: adds the level's shift to the log threshold of each feature. A threshold at or below half the bandwidth goes no lower:
 * there L0 is bounded by the sign of the pre-activation, and lower thresholds would only have to come back. One work-item a feature. */
KERNEL(shift_thresholds)
    u32 i = GROUP * WG + LANE;
    if (i >= p.features || step_state[STATE_HALT] != 0u)
        return;
    u32 level = 0u;
    while (level + 1u < p.levels && i >= level_info[(level + 1u) * LEVEL_WORDS + LEVEL_FIRST])
        level += 1u;
    f32 shift = bits_f32(step_state[STATE_LEVELS + level * STATE_LEVEL_WORDS + STATE_SHIFT]);
    u32 t = i * SCALAR_WORDS;
    if (shift == 0.0f || (shift < 0.0f && bits_f32(feature_scalars[t + SCALAR_THRESHOLD]) <= 0.5f * p.bandwidth))
        return;
    f32 log_threshold = bits_f32(feature_scalars[t + SCALAR_LOG_THRESHOLD]) + shift;
    f32 threshold = exp_f32(log_threshold);
    feature_scalars[t + SCALAR_LOG_THRESHOLD] = bits_u32(log_threshold);
    feature_scalars[t + SCALAR_THRESHOLD] = bits_u32(threshold);
    feature_scalars[t + SCALAR_CUT] = bits_u32(threshold - 0.5f * p.bandwidth);
END
