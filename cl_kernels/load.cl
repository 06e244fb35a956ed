/* SPDX-License-Identifier: MIT */
/* x = scale (raw - mean): rows for the sparse kernels, panels of 32 samples (sample fastest) where p.panels asks for them, and squared
 * norms. A work-group has a panel and a block of columns, so that no other writes to its cache lines. Rows after the batch and columns
 * after d are zero. */
KERNEL(load)
    u32 blocks = LOAD_BLOCKS(p.stride), panel = GROUP / blocks, first = (GROUP - panel * blocks) * LOAD_COLUMNS;
    if (panel * 32u >= p.padded)
        return;
    u32 end = min(first + LOAD_COLUMNS, p.stride);
    f32 sum = 0.0f;
    for (u32 s = 0u; s < 32u; s++) {
        u32 b = panel * 32u + s;
        for (u32 k = first + LANE; k < end; k += WG) {
            f32 value = 0.0f;
            if (b < p.batch && k < p.dim) {
                u32 e = b * p.dim + k;
                if (p.format == FORMAT_F32)
                    value = bits_f32(raw[e]);
                else if (p.format == FORMAT_F16)
                    value = unpack_f16(raw[e >> 1], (e & 1u) != 0u);
                else
                    value = bits_f32((e & 1u) != 0u ? raw[e >> 1] & 0xffff0000u : raw[e >> 1] << 16);
                value = (value - mean[k]) * p.scale;
            }
            x[b * p.stride + k] = value;
            if (p.panels != 0u)
                panels[(panel * p.stride + k) * 32u + s] = value;
            sum = fma_f32(value, value, sum);
        }
    }
    WG_SUM(partial, sum);
    if (LANE == 0u)
        norms[GROUP] = partial[0];
END
