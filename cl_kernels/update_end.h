/* SPDX-License-Identifier: MIT */
/* How update.cl and update_cpu.cl end: Adam of b and log theta, the new row of D takes the old one's place, and the sums for parents and
 * the constraint. */
if (LANE == 0u) {
    u32 t = i * SCALAR_WORDS;
    f32 g = share * bias_gradient;
    f32 v = decay * bits_f32(feature_scalars[t + SCALAR_BIAS_V]) + p.one_minus_beta2 * g * g;
    feature_scalars[t + SCALAR_BIAS_V] = bits_u32(v);
    feature_scalars[t + SCALAR_BIAS] =
        bits_u32(bits_f32(feature_scalars[t + SCALAR_BIAS]) - rate * g / (sqrt_f32(v * correction) + p.epsilon));
    g = share * threshold * threshold_gradient / p.bandwidth;
    v = decay * bits_f32(feature_scalars[t + SCALAR_LOG_THRESHOLD_V]) + p.one_minus_beta2 * g * g;
    feature_scalars[t + SCALAR_LOG_THRESHOLD_V] = bits_u32(v);
    f32 log_threshold = bits_f32(feature_scalars[t + SCALAR_LOG_THRESHOLD]) - rate * g / (sqrt_f32(v * correction) + p.epsilon);
    threshold = exp_f32(log_threshold);
    feature_scalars[t + SCALAR_LOG_THRESHOLD] = bits_u32(log_threshold);
    feature_scalars[t + SCALAR_THRESHOLD] = bits_u32(threshold);
    feature_scalars[t + SCALAR_CUT] = bits_u32(threshold - 0.5f * p.bandwidth);
    feature_scalars[t + SCALAR_ROW_STEP] = step_state[STATE_STEP];
    decoder_rows[i] = next_row;
    decoder_rows[free_row] = FLAG_ROW(flags[i]); /* read again: `row` would take a register throughout */
    feature_sums[i * FEATURE_SUM_WORDS + FEATURE_SUM_OWN] = own_term;
    feature_sums[i * FEATURE_SUM_WORDS + FEATURE_SUM_PARENT] = parent_term;
    feature_sums[i * FEATURE_SUM_WORDS + FEATURE_SUM_PRODUCT] = product;
}
