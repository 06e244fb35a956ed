/* SPDX-License-Identifier: MIT */
/* Copies `count` floats. A work-group has WG x COLS vectors, its lanes side by side. */
KERNEL(peak_copy)
    u32 first = GROUP * WG * COLS + LANE, vectors = p.count / VW;
    for (u32 k = 0u; k < COLS; k++) {
        u32 at = first + k * WG;
        if (at < vectors)
            to[at] = from[at];
    }
END
