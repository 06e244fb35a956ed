/* Sum over the batch of (x - mean x)^2 in each column. A work-item has COLS vectors of columns. */
KERNEL_2(variance, READ(0, vf, x), WRITE(1, vf, squares))
BEGIN(variance)
    u32 width = p.stride / VW, column = (GROUP * WG + LANE) * COLS;
    vf mean[COLS], sum[COLS];
    for (u32 k = 0u; k < COLS; k++) {
        mean[k] = splat(0.0f);
        sum[k] = splat(0.0f);
    }
    for (u32 b = 0u; b < p.rows; b++)
        for (u32 k = 0u; k < COLS; k++)
            if (column + k < width)
                mean[k] += x[b * width + column + k];
    for (u32 k = 0u; k < COLS; k++)
        mean[k] = mean[k] / splat(to_f32(p.rows));
    for (u32 b = 0u; b < p.rows; b++)
        for (u32 k = 0u; k < COLS; k++)
            if (column + k < width) {
                vf off = x[b * width + column + k] - mean[k];
                sum[k] = fma_vf(off, off, sum[k]);
            }
    for (u32 k = 0u; k < COLS; k++)
        if (column + k < width)
            squares[column + k] = sum[k];
END
