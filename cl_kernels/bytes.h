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
#define MIX_VECTORS 16u
#define MIX_STRIDE (16u / VW)
#define MIX_WIDTH (MIX_VECTORS * MIX_STRIDE)
#define BUTTERFLIES(distance)                             \
    UNROLL for (u32 k = 0u; k < MIX_VECTORS; k++)         \
        if ((k & distance) == 0u) {                       \
            vf low = block[k], high = block[k + distance]; \
            block[k] = low + high;                        \
            block[k + distance] = low - high;             \
        }
#define LARGER(index, name) largest = max_f32(largest, top.name);
#define MIX_SECOND(k) ((((k & (k >> 1u)) ^ ((k >> 2u) & (k >> 3u))) & 1u) != 0u ? -0.25f : 0.25f)
#define MIX_FIRST(k) 0.25f
#define MIX_BLOCK(factor, source, at, start)                                                        \
    for (u32 lane = 0u; lane < MIX_STRIDE; lane++) {                                           \
        vf block[MIX_VECTORS];                                                                 \
        UNROLL for (u32 k = 0u; k < MIX_VECTORS; k++)                                          \
            block[k] = splat(factor(k)) * source[(at) + k * MIX_STRIDE + lane];                    \
        BUTTERFLIES(1u) BUTTERFLIES(2u) BUTTERFLIES(4u) BUTTERFLIES(8u)                        \
        UNROLL for (u32 k = 0u; k < MIX_VECTORS; k++)                                          \
            mixed[own + (start) + k * MIX_STRIDE + lane] = block[k];                           \
    }
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
