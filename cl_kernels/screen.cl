/* SPDX-License-Identifier: MIT */
/* encode for devices whose products of 16-bit numbers are faster than those of floats: x (by quantize) and the rows of E are rounded to
 * 16 bits, exact sums of their products tell which pairs cannot be above the cut, and the others' dots of floats decide. The margin of that
 * (kernels/args.h) is a bound, so bits are those of encode; in scratch, p of a feature's pairs are adjacent.
 *
 * A work-item owns a tile of COLS features and all samples. The tile's rounded rows are in `rounded`, [d / VW][COLS][VW / 2] words,
 * which its cache holds. */
#define PACKED_WORDS (VW / 2u)
#define STORE_PACKED_PAIR(index, low, high) rounded[to + index] = pack_i16x2(value.low, value.high);

KERNEL(screen)
    u32 tile = (GROUP * WG + LANE) * COLS, width = p.stride / VW;
    if (tile >= p.count)
        return;
    idx own = tile * (p.stride / 2u);
    f32 limit[COLS];
    for (u32 f = 0u; f < COLS; f++) {
        idx row = (p.row + min(tile + f, p.count - 1u)) * width;
        vf squares = splat(0.0f);
        for (idx k = 0u; k < width; k++)
            squares = fma_vf(encoder[row + k], encoder[row + k], squares);
        f32 scale = 1.0f / quantized_unit(sum_vf(squares));
        for (idx k = 0u; k < width; k++) {
            vf value = splat(scale) * encoder[row + k];
            idx to = own + (k * COLS + f) * PACKED_WORDS;
            EACH_PACKED_PAIR(STORE_PACKED_PAIR)
        }
        u32 feature = (p.first + min(tile + f, p.count - 1u)) * SCALAR_WORDS;
        f32 bias = bits_f32(feature_scalars[feature + SCALAR_BIAS]), cut = bits_f32(feature_scalars[feature + SCALAR_CUT]);
        limit[f] = (cut - bias - (abs_f32(cut) + abs_f32(bias)) * 2.4e-7f) * scale; /* p and the difference are rounded */
    }
    for (u32 panel = 0u; panel < p.words; panel++) {
        vi acc[COLS * VECTORS_PER_WORD], value[VECTORS_PER_WORD];
        UNROLL for (u32 f = 0u; f < COLS * VECTORS_PER_WORD; f++) acc[f] = splat_i(0u);
        idx from = panel * (p.stride / 2u) * VECTORS_PER_WORD;
        for (idx k = 0u; k < width; k++)
            for (u32 c = 0u; c < PACKED_WORDS; c++) {
                UNROLL for (u32 v = 0u; v < VECTORS_PER_WORD; v++) value[v] = panels[from + (k * PACKED_WORDS + c) * VECTORS_PER_WORD + v];
                UNROLL for (u32 f = 0u; f < COLS; f++) {
                    vi weight = splat_i(rounded[own + (k * COLS + f) * PACKED_WORDS + c]);
                    UNROLL for (u32 v = 0u; v < VECTORS_PER_WORD; v++)
                        acc[f * VECTORS_PER_WORD + v] = madd_vi(weight, value[v], acc[f * VECTORS_PER_WORD + v]);
                }
            }
        u32 left = p.batch - panel * 32u, valid = left >= 32u ? 0xffffffffu : (1u << left) - 1u;
        UNROLL for (u32 f = 0u; f < COLS; f++) {
            u32 word = 0u;
            UNROLL for (u32 v = 0u; v < VECTORS_PER_WORD; v++)
                word |= above_vf((to_vf(acc[f * VECTORS_PER_WORD + v]) + splat(p.margin)) * units[panel * VECTORS_PER_WORD + v], limit[f])
                        << (v * VW);
            if (tile + f < p.count)
                bits[(p.first + tile + f) * p.words + panel] = word & valid;
        }
    }
#include "refine.h"
END
