/* Gradient 2 mean R and Adam of one level's decoder bias c. A work-item has COLS vectors of columns. */
KERNEL_4(bias, READ(0, u32, control), READ(1, vf, residual), MODIFY(2, vf, bias), MODIFY(3, vf, bias_v))
BEGIN(bias)
    if (control[CONTROL_HALT] != 0u)
        return;
    u32 width = p.stride / VW, column = (GROUP * WG + LANE) * COLS;
    vf sum[COLS];
    for (u32 k = 0u; k < COLS; k++)
        sum[k] = splat(0.0f);
    for (u32 b = 0u; b < p.rows; b++)
        for (u32 k = 0u; k < COLS; k++)
            if (column + k < width)
                sum[k] += residual[b * width + column + k];
    f32 rate = bits_f32(control[CONTROL_RATE]), correction = bits_f32(control[CONTROL_CORRECTION]);
    for (u32 k = 0u; k < COLS; k++)
        if (column + k < width) {
            u32 c = p.level * width + column + k;
            vf g = splat(2.0f / to_f32(p.rows)) * sum[k];
            vf v = splat(p.beta2) * bias_v[c] + splat(p.one_minus_beta2) * g * g;
            bias_v[c] = v;
            bias[c] = bias[c] - splat(rate) * g / (sqrt_vf(v * splat(correction)) + splat(p.epsilon));
        }
END
