/* SPDX-License-Identifier: MIT */
/* Rows of E or D scaled to norm 1 (zero rows stay zero), as operands of encode: dot products of them are cosines. One work-group a row. */
#define TO_PANEL(m, name) unit[(panel + k * VW + m) * 32u + (r & 31u)] = value.name;
#define TO_ROW(m, name)   unit[row_at + k * VW + m] = value.name;

KERNEL(relink_rows)
    u32 r = GROUP, width = p.stride / VW;
    if (r >= p.padded)
        return;
    u32 row = p.first + min(r, p.count - 1u);
    if (p.decoder != 0u)
        row = FLAG_ROW(flags[row]);
    u32 range = RANGE_OF(row);
    idx at = IN_RANGE(row, range) * width, panel = (r >> 5) * p.stride, row_at = r * p.stride;
    vf squares = splat(0.0f);
    for (u32 k = LANE; k < width; k += WG) {
        vf value = FETCH(S, range, at + k);
        squares = fma_vf(value, value, squares);
    }
    WG_SUM(partial, sum_vf(squares));
    f32 inverse = r < p.count && partial[0] > 0.0f ? 1.0f / sqrt_f32(partial[0]) : 0.0f;
    /* The loop is the same for all lanes: otherwise PoCL 3.1 runs its body for lanes after the width. */
    for (u32 first = 0u; first < width; first += WG) {
        u32 k = first + LANE;
        if (k < width) {
            vf value = FETCH(S, range, at + k) * splat(inverse);
            if (p.panels != 0u) {
                EACH_ELEMENT(TO_PANEL)
            } else {
                EACH_ELEMENT(TO_ROW)
            }
        }
    }
END
