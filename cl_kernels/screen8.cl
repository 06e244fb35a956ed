/* SPDX-License-Identifier: MIT */
/* screen by products of 8-bit numbers. Their error is too large for one bound that holds for all rows. Let e' and x' be the rows as
 * rounded, in their units: |e x - e' x'| <= |e - e'| |x| + |e'| |x - x'|, from norms that quantize8 and this kernel compute of each row.
 * To these add the roundings of floats: d of the exact dot in any order, and 64 of units, mixing, limits and comparisons. A norm that is no
 * number excludes no pair.
 *
 * A work-item owns a tile of COLS features and all samples. The tile's rounded rows are in `rounded`, [d / 4][COLS] words. */
#include "bytes.h"
#define AT_ONCE 2u /* vectors of a panel: more would not fit in the registers of some GPUs */
#define STORE_FEATURE(index, word) rounded[to + (k * (VW / 4u) + index) * COLS + f] = word;

KERNEL(screen8)
    u32 tile = (GROUP * WG + LANE) * COLS;
    if (tile >= p.count)
        return;
    idx width = p.stride / VW, quads = p.stride / 4u, own = (GROUP * WG + LANE) * width, to = tile * quads;
    f32 limit[COLS], norms[COLS], losses[COLS];
    i32 start[COLS];
    for (u32 f = 0u; f < COLS; f++) {
        u32 r = min(tile + f, p.count - 1u), feature = (p.first + r) * SCALAR_WORDS;
        idx row = (p.row + r) * width;
        ROUND_ROW(encoder, row, STORE_FEATURE)
        start[f] = -128 * to_i32(sum_vf(sums));
        norms[f] = norm + lost;
        losses[f] = lost + (to_f32(p.stride) + 64.0f) * 5.9604645e-8f * norm;
        f32 bias = bits_f32(feature_scalars[feature + SCALAR_BIAS]), cut = bits_f32(feature_scalars[feature + SCALAR_CUT]);
        limit[f] = (cut - bias - (abs_f32(cut) + abs_f32(bias)) * 2.4e-7f) * scale; /* p and the difference are rounded */
    }
    for (u32 panel = 0u; panel < p.words; panel++) {
        u32 below[COLS], left = p.batch - panel * 32u, valid = left >= 32u ? 0xffffffffu : (1u << left) - 1u;
        UNROLL for (u32 f = 0u; f < COLS; f++) below[f] = 0u;
        for (u32 first = 0u; first < VECTORS_PER_WORD; first += AT_ONCE) {
            vi acc[COLS * AT_ONCE], value[AT_ONCE];
            UNROLL for (u32 f = 0u; f < COLS * AT_ONCE; f++) acc[f] = splat_i(start[f / AT_ONCE]);
            idx from = panel * quads * VECTORS_PER_WORD + first, unit = panel * UNIT_WORDS * VECTORS_PER_WORD + first;
            for (idx k = 0u; k < quads; k++) {
                UNROLL for (u32 v = 0u; v < AT_ONCE; v++) value[v] = panels[from + k * VECTORS_PER_WORD + v];
                UNROLL for (u32 f = 0u; f < COLS; f++) {
                    vi weight = splat_i(rounded[to + k * COLS + f]);
                    UNROLL for (u32 v = 0u; v < AT_ONCE; v++) acc[f * AT_ONCE + v] = dot4_vi(value[v], weight, acc[f * AT_ONCE + v]);
                }
            }
            UNROLL for (u32 f = 0u; f < COLS; f++)
                UNROLL for (u32 v = 0u; v < AT_ONCE; v++) {
                    vf margin = splat(losses[f]) * units[unit + v + UNIT_NORM * VECTORS_PER_WORD] +
                                splat(norms[f]) * units[unit + v + UNIT_LOST * VECTORS_PER_WORD];
                    vf most = (to_vf(acc[f * AT_ONCE + v]) + margin) * units[unit + v];
                    below[f] |= above_vf(-most, -limit[f]) << ((first + v) * VW);
                }
        }
        UNROLL for (u32 f = 0u; f < COLS; f++)
            if (tile + f < p.count)
                bits[(p.first + tile + f) * p.words + panel] = valid & ~below[f];
    }
#include "refine.h"
END
