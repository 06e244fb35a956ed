/* Rows of E or D scaled to norm 1 (zero rows stay zero), as operands of encode: dot products of them are cosines. One work-group a row. */
KERNEL_3(relink_rows, READ4(0, f32, S), READ(4, u32, flags), WRITE(5, f32, unit))
LOCALS_1(LOCAL(f32, part, WG))
BEGIN(relink_rows)
    u32 r = GROUP;
    if (r >= p.padded)
        return;
    u32 row = p.first + min(r, p.count - 1u);
    if (p.decoder != 0u)
        row = FLAG_ROW(flags[row]);
    u32 range = RANGE_OF(row), at = IN_RANGE(row, range) * p.stride;
    f32 sum = 0.0f;
    for (u32 k = LANE; k < p.stride; k += WG)
        sum = fma_f32(FETCH(S, range, at + k), FETCH(S, range, at + k), sum);
    WG_SUM(part, sum);
    f32 inverse = r < p.count && part[0] > 0.0f ? 1.0f / sqrt_f32(part[0]) : 0.0f;
    for (u32 k = LANE; k < p.stride; k += WG) {
        f32 value = FETCH(S, range, at + k) * inverse;
        if (p.panels != 0u)
            unit[((r >> 5) * p.stride + k) * 32u + (r & 31u)] = value;
        else
            unit[r * p.stride + k] = value;
    }
END
