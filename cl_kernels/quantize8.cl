/* SPDX-License-Identifier: MIT */
/* x as whole numbers of 8 bits for screen8, by bytes.h, 128 added to each: panels of 32 samples, [d / 4][32] words, and of each sample its
 * unit, and in that unit bounds of its norm and of what rounding changed. A work-item a panel. */
#include "bytes.h"
#define STORE_SAMPLE(index, word) words[(quads + k * (VW / 4u) + index) * 32u + s] = (word) ^ 0x80808080u;

KERNEL(quantize8)
    u32 panel = GROUP * WG + LANE, first = panel * 32u;
    idx width = p.stride / VW, own = panel * width, quads = panel * (p.stride / 4u);
    if (first >= p.padded)
        return;
    for (u32 s = 0u; s < 32u; s++) {
        idx row = (first + s) * width;
        ROUND_ROW(x, row, STORE_SAMPLE)
        units[UNIT_WORDS * first + s] = 1.0f / scale;
        units[UNIT_WORDS * first + UNIT_NORM * 32u + s] = norm;
        units[UNIT_WORDS * first + UNIT_LOST * 32u + s] = lost;
    }
END
