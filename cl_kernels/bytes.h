/* SPDX-License-Identifier: MIT */
/* How quantize8.cl and screen8.cl round a row to whole numbers of 8 bits, -127 to 127. The row is mixed first, so that no few columns are
 * so large that the others lose their digits: of 16 vectors of 16 columns each, sums with all patterns of signs (a Hadamard matrix, each
 * column for itself), which change no product of two rows. Where there is no multiple of 16 vectors the last 16 are mixed after the
 * others, some for the second time: before that vectors change signs in a pattern (a bent function), as the matrix is its own inverse. Rows
 * of fewer than 256 columns are left as they are.
 *
 * ROUND_ROW(source, row, store): of the row at source[row], `width` vectors, by way of mixed[own ..]. store(index, word) gets the words of
 * the vector k. It leaves scale (1 / unit), and in units norm and lost, bounds from above of the norms of the row and of what rounding
 * changed, and sums, whose elements add up to the exact sum of the whole numbers. Sums of squares are rounded by less than 1 in 1000. */
#define MIX_STRIDE (16u / VW)
#define MIX_WIDTH (16u * MIX_STRIDE)
#define MIX_SECOND(k) ((((k & (k >> 1u)) ^ ((k >> 2u) & (k >> 3u))) & 1u) != 0u ? -0.25f : 0.25f)
#define MIX_FIRST(k) 0.25f
#define MIX_ONCE(k) 1.0f
/* Four vectors, the numbers k, k + d, k + 2 d and k + 3 d of 16, which would take 64 registers at once. */
#define MIX_FOUR(factor, source, at, to, k, d)                                                                         \
    {                                                                                                                  \
        vf v0 = splat(factor((k))) * source[at], v1 = splat(factor((k + d))) * source[(at) + d * MIX_STRIDE];          \
        vf v2 = splat(factor((k + 2u * d))) * source[(at) + 2u * d * MIX_STRIDE];                                      \
        vf v3 = splat(factor((k + 3u * d))) * source[(at) + 3u * d * MIX_STRIDE];                                      \
        vf s01 = v0 + v1, d01 = v0 - v1, s23 = v2 + v3, d23 = v2 - v3;                                                 \
        mixed[to] = s01 + s23;                                                                                         \
        mixed[(to) + d * MIX_STRIDE] = d01 + d23;                                                                      \
        mixed[(to) + 2u * d * MIX_STRIDE] = s01 - s23;                                                                 \
        mixed[(to) + 3u * d * MIX_STRIDE] = d01 - d23;                                                                 \
    }
#define MIX_BLOCK(factor, source, at, start)                                                   \
    {                                                                                          \
        for (u32 n = 0u; n < 4u * MIX_STRIDE; n++) {                                           \
            u32 g = n / MIX_STRIDE * 4u, place = g * MIX_STRIDE + n % MIX_STRIDE;              \
            MIX_FOUR(factor, source, (at) + place, own + (start) + place, g, 1u)               \
        }                                                                                      \
        for (u32 n = 0u; n < 4u * MIX_STRIDE; n++)                                             \
            MIX_FOUR(MIX_ONCE, mixed, own + (start) + n, own + (start) + n, 0u, 4u)            \
    }
#define LARGER(index, name) largest = max_f32(largest, top.name);
#define ROUND_ROW(source, row, store)                                                          \
    idx whole_blocks = width / MIX_WIDTH * MIX_WIDTH;                                          \
    for (idx from = 0u; from < whole_blocks; from += MIX_WIDTH)                                \
        MIX_BLOCK(MIX_FIRST, source, row + from, from)                                                    \
    for (idx k = whole_blocks; k < width; k++)                                                 \
        mixed[own + k] = source[row + k];                                                      \
    if (whole_blocks != 0u && whole_blocks != width)                                           \
        MIX_BLOCK(MIX_SECOND, mixed, own + width - MIX_WIDTH, width - MIX_WIDTH)                           \
    vf top = splat(0.0f), squares = top, rests = top, sums = top;                              \
    for (idx k = 0u; k < width; k++)                                                           \
        top = max_vf(top, abs_vf(mixed[own + k]));                                             \
    f32 largest = 1e-30f;                                                                      \
    EACH_ELEMENT(LARGER)                                                                       \
    f32 scale = 127.0f / largest;                                                              \
    for (idx k = 0u; k < width; k++) {                                                         \
        vf exact = splat(scale) * mixed[own + k], nearest = round_vf(exact), rest = exact - nearest; \
        squares = fma_vf(exact, exact, squares);                                               \
        rests = fma_vf(rest, rest, rests);                                                     \
        sums = sums + nearest;                                                                 \
        EACH_PACKED_BYTES(store, nearest)                                                      \
    }                                                                                          \
    f32 norm = 1.001f * sqrt_f32(sum_vf(squares)), lost = 1.001f * sqrt_f32(sum_vf(rests));
