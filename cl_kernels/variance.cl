/* SPDX-License-Identifier: MIT */
/* Sum over the batch of (x - mean x)^2 in each column. A work-group has some columns, COLS vectors of them a work-item, and teams of rows
 * (kernels/args.h: COLUMN_LANES). */
KERNEL(variance)
    u32 team = LANE / COLUMN_LANES(WG), lane = LANE - team * COLUMN_LANES(WG);
    u32 width = p.stride / VW, column = (GROUP * COLUMN_LANES(WG) + lane) * COLS;
    vf mean[COLS], sum[COLS];
    for (u32 k = 0u; k < COLS; k++)
        sum[k] = splat(0.0f);
    for (u32 b = team; b < p.batch; b += WG / COLUMN_LANES(WG))
        for (u32 k = 0u; k < COLS; k++)
            if (column + k < width)
                sum[k] += x[b * width + column + k];
    FOLD_TEAMS()
    for (u32 k = 0u; k < COLS; k++) {
        mean[k] = sum[k] / splat(to_f32(p.batch));
        sum[k] = splat(0.0f);
    }
    for (u32 b = team; b < p.batch; b += WG / COLUMN_LANES(WG))
        for (u32 k = 0u; k < COLS; k++)
            if (column + k < width) {
                vf off = x[b * width + column + k] - mean[k];
                sum[k] = fma_vf(off, off, sum[k]);
            }
    FOLD_TEAMS()
    for (u32 k = 0u; k < COLS; k++)
        if (team == 0u && column + k < width)
            squares[column + k] = sum[k] + splat(0.0f); /* Oclgrind 21.10 takes elements that are stored at once for uninitialised */
END
