/* SPDX-License-Identifier: MIT */
/* How screen.cl and screen8.cl end: of the pairs in the bitmap those above the cut by the dot of floats stay, and their p are adjacent in
 * scratch. `tile` is the first of the work-item's COLS features. */
for (u32 f = 0u; f < COLS && tile + f < p.count; f++) {
    u32 r = tile + f, feature = (p.first + r) * SCALAR_WORDS, panel = 0u;
    idx row = (p.row + r) * width, words = (p.first + r) * p.words;
    f32 bias = bits_f32(feature_scalars[feature + SCALAR_BIAS]), cut = bits_f32(feature_scalars[feature + SCALAR_CUT]);
    u32 left = bits[words], listed = r * p.words * 32u;
    for (;;) {
        /* The next samples that may be active; after the last one the first fills up. */
        u32 count = 0u, member[PAIRS_PER_PASS];
        member[0] = 0u;
        EACH_PAIR(for (; left == 0u && panel + 1u < p.words; left = bits[words + panel]) panel++;
                  member[j] = left != 0u ? panel * 32u + low_bit(left) : member[0];
                  count += left != 0u ? 1u : 0u;
                  left &= left - 1u)
        if (count == 0u)
            break;
        idx line[PAIRS_PER_PASS];
        vf sum[PAIRS_PER_PASS];
        EACH_PAIR(line[j] = member[j] * width; sum[j] = splat(0.0f))
        for (idx k = 0u; k < width; k++)
            EACH_PAIR(sum[j] = fma_vf(encoder[row + k], x[line[j] + k], sum[j]))
        EACH_PAIR(f32 value = sum_vf(sum[j]) + bias;
                  if (j < count && value > cut) scratch[listed++] = value;
                  else if (j < count) bits[words + member[j] / 32u] &= ~(1u << (member[j] & 31u)))
    }
}
