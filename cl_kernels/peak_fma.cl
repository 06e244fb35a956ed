/* SPDX-License-Identifier: MIT */
/* x := x factor + term, `repeats` times for each of `count` floats. A work-item holds COLS vectors in registers, chains that do not wait
 * for each other. */
KERNEL(peak_fma)
    u32 first = (GROUP * WG + LANE) * COLS, vectors = p.count / VW;
    if (first >= vectors)
        return;
    vf x[COLS], factor = splat(p.factor), term = splat(p.term);
#pragma unroll
    for (u32 k = 0u; k < COLS; k++)
        x[k] = from[min(first + k, vectors - 1u)];
    for (u32 i = 0u; i < p.repeats; i++) {
#pragma unroll
        for (u32 k = 0u; k < COLS; k++)
            x[k] = fma_vf(x[k], factor, term);
    }
#pragma unroll
    for (u32 k = 0u; k < COLS; k++)
        if (first + k < vectors)
            to[first + k] = x[k];
END
