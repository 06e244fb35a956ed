/* SPDX-License-Identifier: MIT */
/* encode.cl for CPU devices: a work-item holds COLS features times one panel of 32 samples in registers, a broadcast of E against each
 * vector of the panel. Panels are the fast index: a tile's rows of E stay in the cache while every panel passes, so E streams from memory
 * once. Rows are pointers: with 32-bit or 64-bit indices PoCL's compiler computes addresses in the inner loop, at two thirds of the
 * speed. */
CPU_KERNEL(encode)
    u32 panel = GROUP % p.words, tile = GROUP / p.words * COLS;
    if (tile >= p.count)
        return;
    vf acc[COLS * VECTORS_PER_WORD];
#pragma unroll
    for (u32 f = 0u; f < COLS * VECTORS_PER_WORD; f++)
        acc[f] = splat(0.0f);
    global const f32 *row[COLS];
#pragma unroll
    for (u32 f = 0u; f < COLS; f++)
        row[f] = (global const f32 *)encoder + (p.row + min(tile + f, p.count - 1u)) * p.stride;
    global const vf *x = panels + panel * p.stride * VECTORS_PER_WORD;
    for (u32 k = 0u; k < p.dim; k++) {
        vf value[VECTORS_PER_WORD];
#pragma unroll
        for (u32 v = 0u; v < VECTORS_PER_WORD; v++)
            value[v] = x[k * VECTORS_PER_WORD + v];
#pragma unroll
        for (u32 f = 0u; f < COLS; f++) {
            vf weight = splat(row[f][k]);
#pragma unroll
            for (u32 v = 0u; v < VECTORS_PER_WORD; v++)
                acc[f * VECTORS_PER_WORD + v] = fma_vf(weight, value[v], acc[f * VECTORS_PER_WORD + v]);
        }
    }
    u32 samples = p.batch - panel * 32u;
    u32 valid = samples >= 32u ? 0xffffffffu : (1u << samples) - 1u;
#pragma unroll
    for (u32 f = 0u; f < COLS; f++) {
        u32 r = tile + f;
        if (r < p.count) {
            u32 feature = (p.first + r) * SCALAR_WORDS;
            vf bias = splat(bits_f32(feature_scalars[feature + SCALAR_BIAS]));
            f32 cut = bits_f32(feature_scalars[feature + SCALAR_CUT]);
            u32 word = 0u;
#pragma unroll
            for (u32 v = 0u; v < VECTORS_PER_WORD; v++) {
                acc[f * VECTORS_PER_WORD + v] = acc[f * VECTORS_PER_WORD + v] + bias;
                word |= above_vf(acc[f * VECTORS_PER_WORD + v], cut) << (v * VW);
            }
            word &= valid;
            bits[(p.first + r) * p.words + panel] = word;
            if (word != 0u)
#pragma unroll
                for (u32 v = 0u; v < VECTORS_PER_WORD; v++)
                    scratch[(r * p.words + panel) * VECTORS_PER_WORD + v] = acc[f * VECTORS_PER_WORD + v];
        }
    }
END
