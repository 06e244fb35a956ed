/* SPDX-License-Identifier: MIT */
/* load.cl for CPU devices: a row's columns a vector at a time. */

/* Element e of the raw rows, and a vector of them from there on. */
static inline f32 raw_element(global const u32 *raw, u32 format, idx e)
{
    if (format == FORMAT_F32)
        return bits_f32(raw[e]);
    if (format == FORMAT_F16)
        return unpack_f16(raw[e >> 1], (e & 1u) != 0u);
    return bits_f32((e & 1u) != 0u ? raw[e >> 1] & 0xffff0000u : raw[e >> 1] << 16);
}
static inline vf raw_vector(global const u32 *raw, u32 format, idx e)
{
    if (format == FORMAT_F32)
        return HSAE_PASTE(vload, VW)(0, (global const f32 *)raw + e);
    if (format == FORMAT_F16)
        return HSAE_PASTE(vload_half, VW)(0, (global const half *)raw + e);
    return HSAE_PASTE(as_float, VW)(HSAE_PASTE(convert_uint, VW)(HSAE_PASTE(vload, VW)(0, (global const ushort *)raw + e)) << 16);
}

CPU_KERNEL(load)
    u32 blocks = LOAD_BLOCKS(p.stride), panel = GROUP / blocks, first = (GROUP - panel * blocks) * LOAD_COLUMNS;
    if (panel * 32u >= p.padded)
        return;
    u32 end = min(first + LOAD_COLUMNS, p.stride);
    vf squares = splat(0.0f);
    for (u32 s = 0u; s < 32u; s++) {
        u32 b = panel * 32u + s;
        for (u32 k = first; k < end; k += VW) {
            idx e = (idx)b * p.dim + k;
            f32 element[VW];
            vf value = splat(0.0f);
            if (b < p.batch && k + VW <= p.dim) {
                value = (raw_vector(raw, p.format, e) - HSAE_PASTE(vload, VW)(0, mean + k)) * splat(p.scale);
            } else if (b < p.batch) {
                for (u32 c = 0u; c < VW; c++)
                    element[c] = k + c < p.dim ? (raw_element(raw, p.format, e + c) - mean[k + c]) * p.scale : 0.0f;
                value = HSAE_PASTE(vload, VW)(0, element);
            }
            ((global vf *)x)[((idx)b * p.stride + k) / VW] = value;
            squares = fma_vf(value, value, squares);
#define TO_PANEL(c, name) panels[((idx)panel * p.stride + k + c) * 32u + s] = value.name;
            if (p.panels != 0u) {
                EACH_ELEMENT(TO_PANEL)
            }
        }
    }
    norms[GROUP] = sum_vf(squares);
END
