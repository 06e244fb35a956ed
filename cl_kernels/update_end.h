/* SPDX-License-Identifier: MIT */
/* How update.cl and update_cpu.cl end: Adam of b and log theta, the new row of D takes the old one's place, and the sums for parents and the
 * constraint. */
if (LANE == 0u) {
    u32 t = i * TABLE_WORDS;
    f32 g = share * bias_gradient;
    f32 v = decay * bits_f32(table[t + TABLE_BIAS_V]) + p.one_minus_beta2 * g * g;
    table[t + TABLE_BIAS_V] = bits_u32(v);
    table[t + TABLE_BIAS] = bits_u32(bits_f32(table[t + TABLE_BIAS]) - rate * g / (sqrt_f32(v * correction) + p.epsilon));
    g = share * threshold * threshold_gradient / p.bandwidth;
    v = decay * bits_f32(table[t + TABLE_LOG_THRESHOLD_V]) + p.one_minus_beta2 * g * g;
    table[t + TABLE_LOG_THRESHOLD_V] = bits_u32(v);
    f32 log_threshold = bits_f32(table[t + TABLE_LOG_THRESHOLD]) - rate * g / (sqrt_f32(v * correction) + p.epsilon);
    threshold = exp_f32(log_threshold);
    table[t + TABLE_LOG_THRESHOLD] = bits_u32(log_threshold);
    table[t + TABLE_THRESHOLD] = bits_u32(threshold);
    table[t + TABLE_CUT] = bits_u32(threshold - 0.5f * p.bandwidth);
    table[t + TABLE_ROW_STEP] = control[CONTROL_STEP];
    places[i] = next_row;
    places[spare] = row;
    terms[i * TERM_WORDS + TERM_OWN] = own_term;
    terms[i * TERM_WORDS + TERM_PARENT] = parent_term;
    terms[i * TERM_WORDS + TERM_PRODUCT] = product;
}
