/* SPDX-License-Identifier: MIT */
/* Gradient 2 mean R and Adam of some levels' decoder bias c; with p.squares also the sum over the batch of (x - mean x)^2 in each column. A
 * work-group has some columns of a level, or after the last level of x, COLS vectors of them a work-item, and teams of rows
 * (kernels/args.h: COLUMN_LANES). */
KERNEL(bias)
    u32 width = p.stride / VW, share = COLUMN_LANES(WG) * COLS, shares = (width + share - 1u) / share, nth = GROUP / shares;
    if (nth >= p.count + p.squares || step_state[STATE_HALT] != 0u)
        return;
    u32 team = LANE / COLUMN_LANES(WG), lane = LANE - team * COLUMN_LANES(WG);
    u32 column = (GROUP - nth * shares) * share + lane * COLS, first = p.row + nth * p.padded;
    bool of_x = nth == p.count;
    vf sum[COLS];
    for (u32 k = 0u; k < COLS; k++)
        sum[k] = splat(0.0f);
    for (u32 b = team; b < p.batch; b += WG / COLUMN_LANES(WG))
        for (u32 k = 0u; k < COLS; k++)
            if (column + k < width) {
                if (of_x)
                    sum[k] += x[b * width + column + k];
                else
                    sum[k] += residual[(first + b) * width + column + k];
            }
    FOLD_TEAMS()
    f32 rate = bits_f32(step_state[STATE_RATE]), correction = bits_f32(step_state[STATE_CORRECTION]);
    vf mean[COLS];
    for (u32 k = 0u; k < COLS; k++) {
        mean[k] = sum[k] / splat(to_f32(p.batch));
        if (!of_x && team == 0u && column + k < width) {
            u32 c = (p.level + nth) * width + column + k;
            vf g = splat(2.0f / to_f32(p.batch)) * sum[k];
            vf v = splat(p.beta2) * bias_v[c] + splat(p.one_minus_beta2) * g * g;
            bias_v[c] = v;
            bias[c] = bias[c] - splat(rate) * g / (sqrt_vf(v * splat(correction)) + splat(p.epsilon));
        }
        sum[k] = splat(0.0f);
    }
    for (u32 b = team; of_x && b < p.batch; b += WG / COLUMN_LANES(WG))
        for (u32 k = 0u; k < COLS; k++)
            if (column + k < width) {
                vf off = x[b * width + column + k] - mean[k];
                sum[k] = fma_vf(off, off, sum[k]);
            }
    FOLD_TEAMS() /* of x; for all, as PoCL 3.1 miscompiles a barrier that some groups never reach */
    for (u32 k = 0u; k < COLS; k++)
        if (of_x && team == 0u && column + k < width)
            squares[column + k] = sum[k] + splat(0.0f); /* Oclgrind 21.10 takes elements that are stored at once for uninitialised */
END
