/* Residual R = c + sum a_i D_i - x of one level, with perturbation: swapped features are left out and their children stand in. One work-group a
 * sample and column slice; the slice is slow, so that its part of D stays in cache. loss: f32 [L][slices][padded], the slice's |R|^2. */
KERNEL_9(decode, READ(0, vf, x), READ(1, vf, bias), READ4(2, vf, D), READ(6, u32, flags), READ(7, u32, sample_starts), READ(8, u32, samples),
          READ(9, u32, control), WRITE(10, vf, residual), WRITE(11, f32, loss))
LOCALS_1(LOCAL(f32, part, WG))
BEGIN(decode)
    u32 slice = GROUP / p.rows, b = GROUP - slice * p.rows;
    if (slice >= p.slices || control[CONTROL_HALT] != 0u)
        return;
    u32 width = p.stride / VW, share = (p.stride / 16u + p.slices - 1u) / p.slices * (16u / VW);
    u32 first = slice * share, end = min(first + share, width);
    vf squares = splat(0.0f);
    idx line = b * width, center = p.level * width;
    for (idx column = first; column < end; column += WG * COLS) {
        vf acc[COLS];
        EACH_COLUMN(column, end, acc[k] = bias[center + c] - x[line + c])
        for (u32 l = p.level; l < min(p.level + 2u, p.levels); l++) {
            u32 list = l * p.rows + b, stop = sample_starts[list + 1u];
            for (u32 q = sample_starts[list]; q < stop; q++) {
                u32 feature = samples[2u * q], flag = flags[feature];
                f32 a = bits_f32(samples[2u * q + 1u]);
                if (a == 0.0f || (l == p.level ? (flag & FLAG_SWAPPED) != 0u : (flag & FLAG_PARENT_SWAPPED) == 0u))
                    continue;
                u32 row = FLAG_ROW(flag), range = RANGE_OF(row);
                idx at = IN_RANGE(row, range) * width;
                EACH_COLUMN(column, end, acc[k] = fma_vf(splat(a), FETCH(D, range, at + c), acc[k]))
            }
        }
        EACH_COLUMN(column, end, residual[line + c] = acc[k]; squares = fma_vf(acc[k], acc[k], squares))
    }
    WG_SUM(part, sum_vf(squares));
    if (LANE == 0u)
        loss[(p.level * p.slices + slice) * p.padded + b] = part[0];
END
