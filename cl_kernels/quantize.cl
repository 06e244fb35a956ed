/* SPDX-License-Identifier: MIT */
/* x as whole numbers of 16 bits for screen: panels of 32 samples, [d / 2][32] words, and each sample's unit (kernels/args.h:
 * QUANTIZED_NORM). One work-group a panel. */
#define STORE_PACKED_PAIR(index, low, high) words[at + index * 32u] = pack_i16x2(value.low, value.high);

KERNEL(quantize)
    u32 width = p.stride / VW;
    if (GROUP * 32u >= p.padded)
        return;
    for (u32 s = 0u; s < 32u; s++) {
        idx row = (GROUP * 32u + s) * width;
        vf squares = splat(0.0f);
        for (u32 k = LANE; k < width; k += WG)
            squares = fma_vf(x[row + k], x[row + k], squares);
        WG_SUM(partial, sum_vf(squares));
        f32 unit = quantized_unit(partial[0]), scale = 1.0f / unit;
        if (LANE == 0u)
            units[GROUP * 32u + s] = unit;
        for (u32 k = LANE; k < width; k += WG) {
            vf value = splat(scale) * x[row + k];
            idx at = (GROUP * width + k) * (VW / 2u) * 32u + s;
            EACH_PACKED_PAIR(STORE_PACKED_PAIR)
        }
        BARRIER();
    }
END
