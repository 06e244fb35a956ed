/* SPDX-License-Identifier: MIT */
/* The common subset of OpenCL C and GLSL in which every kernel body is written (cl_kernels/NAME.cl).
 *
 * Specialised per device, the same names in both languages (device.h: struct hsae_kernel_shape):
 *   WG      work-items in a work-group; 1 on CPU devices
 *   COLS    kernel-specific tile: vectors (or rows) that one work-item holds in registers, or how many work-items are a team
 *   RANGES  how many buffers a large tensor is cut into (1, 2 or 4)
 *   VW      floats in a `vf`: 4 in GLSL; 4, 8 or 16 in OpenCL
 *   TILE_*  encode's tile (device.h); 0 elsewhere
 * `idx` is the type of an index that walks along rows: u32, but size_t where a CPU runs one work-item a group, whose compiler can't fold
 * indices that may wrap around into addresses.
 *
 * A kernel reads:
 *   KERNEL(rowmax)
 *       ... p.field ... GROUP_X, GROUP_Y, LANE ... return; only before a barrier, and only uniformly
 *   END
 * Its arguments `p`, buffers and local arrays are those that kernels/args.h declares: struct rowmax_args, BINDINGS_rowmax and
 * LOCALS_rowmax. CPU_KERNEL(rowmax) begins a body for one work-item a group, which has no local arrays.
 *
 * START(residual, place), once, has FROM_START(residual, index) mean the buffer's element place + index.
 *
 * Not allowed in a body: pointers, C casts (use to_f32, to_u32, bits_f32, bits_u32), structs, half, double, 64-bit integers,
 * float atomics, subgroups. Helper functions take values only; in OpenCL C they can't see buffers, so what needs
 * a buffer is a macro.
 */
#ifndef HSAE_KERNEL_DIALECT_H
#define HSAE_KERNEL_DIALECT_H

/* clang-format off */

#ifdef HSAE_GLSL

#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_memory_scope_semantics : require

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 0) const uint WG = 1;
layout(constant_id = 1) const uint COLS = 1;
layout(constant_id = 2) const uint RANGES = 1;
layout(constant_id = 3) const uint TILE_VECTORS = 0;
layout(constant_id = 4) const uint TILE_WORDS = 0;
layout(constant_id = 5) const uint TILE_STEP = 0;
layout(constant_id = 6) const uint TILE_PAD = 0;
layout(constant_id = 7) const uint TILE_PREFETCH = 0;

#define u32 uint
#define idx uint
#define i32 int
#define f32 float
#define vf vec4
#define VW 4u

#define READ(slot, type, name) \
    layout(std430, set = 0, binding = slot) readonly buffer name##_block { type name[]; };
#define WRITE(slot, type, name) \
    layout(std430, set = 0, binding = slot) buffer name##_block { type name[]; };
#define MODIFY(slot, type, name) WRITE(slot, type, name)
#define START(name, place) idx name##_start = place;
#define FROM_START(name, index) name[name##_start + (index)]
#define LOCAL(type, name, count) shared type name[count];
#define KERNEL(name)                                             \
    layout(push_constant) uniform push_block { name##_args p; }; \
    BINDINGS_##name(BINDING)                                     \
    LOCALS_##name(LOCAL)                                         \
    void main() {
#define FUNCTION

#define GROUP_X gl_WorkGroupID.x
#define GROUP_Y gl_WorkGroupID.y
#define GROUPS_X gl_NumWorkGroups.x
#define LANE gl_LocalInvocationID.x
/* Both order memory within the work-group alone: a wider fence would write back a cache at every barrier. */
#define BARRIER()                                                                                                                      \
    if (WG > 1u)                                                                                                                       \
        controlBarrier(gl_ScopeWorkgroup, gl_ScopeWorkgroup, gl_StorageSemanticsBuffer | gl_StorageSemanticsShared, gl_SemanticsAcquireRelease)
#define LOCAL_BARRIER()                                                                                         \
    if (WG > 1u)                                                                                                \
        controlBarrier(gl_ScopeWorkgroup, gl_ScopeWorkgroup, gl_StorageSemanticsShared, gl_SemanticsAcquireRelease)
#define UNROLL [[unroll]]

#define to_f32(x) float(x)
#define to_u32(x) uint(x)
#define to_i32(x) int(x)
#define bits_f32(x) uintBitsToFloat(x)
#define bits_u32(x) floatBitsToUint(x)
#define pop_count(x) to_u32(bitCount(x))
#define low_bit(x) to_u32(findLSB(x)) /* index of the lowest set bit; x != 0 */
#define splat(x) vec4(x)
#define fma_vf(a, b, c) fma(a, b, c)
#define fma_f32(a, b, c) fma(a, b, c)
#define min_f32(a, b) min(a, b)
#define max_f32(a, b) max(a, b)
#define abs_f32(x) abs(x)
#define sqrt_f32(x) sqrt(x)
#define sqrt_vf(x) sqrt(x)
#define max_vf(a, b) max(a, b)
#define abs_vf(x) abs(x)
#define round_vf(x) roundEven(x)
#define exp_f32(x) exp(x)
#define exp2_f32(x) exp2(x)
#define log_f32(x) log(x)
#define vi ivec4
#define splat_i(x) ivec4(to_i32(x))
#define to_vf(v) vec4(v)
#define low_16(v) (((v) << 16) >> 16)
#define madd_vi(a, b, c) ((c) + low_16(a) * low_16(b) + ((a) >> 16) * ((b) >> 16))
#define EACH_PACKED_PAIR(m) m(0u, x, y) m(1u, z, w)
uint pack_i8x4(ivec4 v) { return to_u32((v.x & 255) | ((v.y & 255) << 8) | ((v.z & 255) << 16) | (v.w << 24)); }
/* m(index, word) for each four elements of v, whole numbers of -128 to 127, as the bytes of a word */
#define EACH_PACKED_BYTES(m, v) m(0u, pack_i8x4(ivec4(v)))
#define unpack_f16(word, high) ((high) ? unpackHalf2x16(word).y : unpackHalf2x16(word).x)
/* m(index, name) for each element of a vf, which is v.name */
#define EACH_ELEMENT(m) m(0u, x) m(1u, y) m(2u, z) m(3u, w)
float sum_vf(vec4 v) { return (v.x + v.y) + (v.z + v.w); }
uint above_vf(vec4 v, float cut) /* bit k: lane k > cut */
{
    return (v.x > cut ? 1u : 0u) | (v.y > cut ? 2u : 0u) | (v.z > cut ? 4u : 0u) | (v.w > cut ? 8u : 0u);
}
uint mul_hi_u32(uint a, uint b)
{
    uint hi, lo;
    umulExtended(a, b, hi, lo);
    return hi;
}

#else /* OpenCL C 1.2; WG, COLS, RANGES, VW, TILE_* are -D options */

#pragma OPENCL FP_CONTRACT OFF

#define u32 uint
#define i32 int
#define f32 float
#define HSAE_PASTE_(a, b) a##b
#define HSAE_PASTE(a, b) HSAE_PASTE_(a, b)
#define vf HSAE_PASTE(float, VW)
#define vi HSAE_PASTE(int, VW)

#define READ(slot, type, name) , global const type *restrict name
#define WRITE(slot, type, name) , global type *name
#define MODIFY(slot, type, name) WRITE(slot, type, name)
#define START(name, place) size_t name##_start = place; /* for a pointer that has moved clang and ptxas take 16 registers more */
#define FROM_START(name, index) name[name##_start + (index)]
#define LOCAL(type, name, count) local type name[count];
#define CPU_KERNEL(name) \
    kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void name(const struct name##_args p BINDINGS_##name(BINDING)) {
#define KERNEL(name) CPU_KERNEL(name) LOCALS_##name(LOCAL)
#define FUNCTION static inline

/* A launch may be run in parts; a part's first group is not 0. */
#define GROUP_X (to_u32(get_group_id(0) + get_global_offset(0) / WG))
#define GROUP_Y (to_u32(get_group_id(1) + get_global_offset(1)))
#define GROUPS_X (to_u32(get_num_groups(0))) /* of the part; it counts only where there are several rows, and those are not cut */
#if WG == 1
#define idx size_t
#define to_idx(x) ((size_t)(x))
#define LANE 0u
#define BARRIER()
#define LOCAL_BARRIER()
#else
#define idx uint
#define LANE (to_u32(get_local_id(0)))
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define LOCAL_BARRIER() barrier(CLK_LOCAL_MEM_FENCE) /* orders local memory alone */
#endif
#define UNROLL _Pragma("unroll")

#define to_f32(x) convert_float(x)
#define to_u32(x) convert_uint(x)
#define to_i32(x) convert_int(x)
#define bits_f32(x) as_float(x)
#define bits_u32(x) as_uint(x)
#define pop_count(x) popcount(x)
#define low_bit(x) (31u - clz((x) & (0u - (x))))
#define splat(x) ((vf)(x))
#define fma_vf(a, b, c) fma(a, b, c)
#define fma_f32(a, b, c) fma(a, b, c)
#define min_f32(a, b) fmin(a, b)
#define max_f32(a, b) fmax(a, b)
#define abs_f32(x) fabs(x)
#define sqrt_f32(x) sqrt(x)
#define sqrt_vf(x) sqrt(x)
#define max_vf(a, b) fmax(a, b)
#define abs_vf(x) fabs(x)
#define round_vf(x) rint(x)
#define exp_f32(x) exp(x)
#define exp2_f32(x) exp2(x)
#define log_f32(x) log(x)
static inline float unpack_f16(uint word, bool high)
{
    ushort half_bits = (ushort)(high ? word >> 16 : word & 0xffffu);
    return vload_half(0, (const half *)&half_bits);
}
static inline float sum4(float4 v) { return (v.x + v.y) + (v.z + v.w); }
static inline uint above4(float4 v, float cut)
{
    int4 m = (v > (float4)(cut)) & (int4)(1, 2, 4, 8);
    return as_uint((m.x | m.y) | (m.z | m.w));
}
#define splat_i(x) ((vi)(as_int(x)))
#define to_vf(v) HSAE_PASTE(convert_float, VW)(v)
#define low_16(v) (((v) << 16) >> 16)
/* c + the products of the low and of the high 16 bits of a and b: one instruction of x86 (VNNI: the processor has it, though the compiler
 * may not know), or one and an addition, where the compiler's target is x86. */
#define SHORTS __attribute__((vector_size(4 * VW))) short
#if VW == 16 && defined(__AVX512BW__) && defined(VNNI)
static inline int16 madd_vi(int16 a, int16 b, int16 c)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
}
#elif VW == 16 && defined(__AVX512BW__)
#define madd_vi(a, b, c) ((c) + __builtin_astype(__builtin_ia32_pmaddwd512(__builtin_astype(a, SHORTS), __builtin_astype(b, SHORTS)), vi))
#elif VW == 8 && defined(__AVX2__)
#define madd_vi(a, b, c) ((c) + __builtin_astype(__builtin_ia32_pmaddwd256(__builtin_astype(a, SHORTS), __builtin_astype(b, SHORTS)), vi))
#elif VW == 4 && defined(__SSE2__)
#define madd_vi(a, b, c) ((c) + __builtin_astype(__builtin_ia32_pmaddwd128(__builtin_astype(a, SHORTS), __builtin_astype(b, SHORTS)), vi))
#else
#define madd_vi(a, b, c) ((c) + low_16(a) * low_16(b) + ((a) >> 16) * ((b) >> 16))
#endif
#if VW == 16 && defined(__AVX512BW__) && defined(VNNI)
static inline int16 dot4_vnni(int16 a, int16 b, int16 c)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
}
#define dot4_vi(a, b, c) dot4_vnni(a, b, c)
#endif
#define EACH_PACKED_PAIR_4(m) m(0u, s0, s1) m(1u, s2, s3) m(2u, s4, s5) m(3u, s6, s7)
#define EACH_ELEMENT_8(m) m(0u, s0) m(1u, s1) m(2u, s2) m(3u, s3) m(4u, s4) m(5u, s5) m(6u, s6) m(7u, s7)
#if VW == 4
#define EACH_ELEMENT(m) m(0u, x) m(1u, y) m(2u, z) m(3u, w)
#define EACH_PACKED_PAIR(m) m(0u, x, y) m(1u, z, w)
#define EACH_PACKED_BYTES(m, v) m(0u, as_uint(convert_char4(v)))
#define sum_vf(v) sum4(v)
#define above_vf(v, cut) above4(v, cut)
#elif VW == 8
#define EACH_ELEMENT(m) EACH_ELEMENT_8(m)
#define EACH_PACKED_PAIR(m) EACH_PACKED_PAIR_4(m)
#define EACH_PACKED_BYTES(m, v)                \
    {                                          \
        uint2 quads_of_v = as_uint2(convert_char8(v)); \
        m(0u, quads_of_v.x) m(1u, quads_of_v.y)          \
    }
static inline float sum_vf(float8 v) { return sum4(v.lo + v.hi); }
static inline uint above_vf(float8 v, float cut) { return above4(v.lo, cut) | (above4(v.hi, cut) << 4); }
#else
#define EACH_ELEMENT(m)                                                                                      \
    EACH_ELEMENT_8(m) m(8u, s8) m(9u, s9) m(10u, sa) m(11u, sb) m(12u, sc) m(13u, sd) m(14u, se) m(15u, sf)
#define EACH_PACKED_PAIR(m) EACH_PACKED_PAIR_4(m) m(4u, s8, s9) m(5u, sa, sb) m(6u, sc, sd) m(7u, se, sf)
#define EACH_PACKED_BYTES(m, v)                                      \
    {                                                                \
        uint4 quads_of_v = as_uint4(convert_char16(v));                   \
        m(0u, quads_of_v.x) m(1u, quads_of_v.y) m(2u, quads_of_v.z) m(3u, quads_of_v.w)  \
    }
static inline float sum_vf(float16 v) { float8 h = v.lo + v.hi; return sum4(h.lo + h.hi); }
static inline uint above_vf(float16 v, float cut)
{
    int16 bit = (int16)(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
    int16 m = (v > (float16)(cut)) & bit;
    int8 a = m.lo | m.hi;
    int4 b = a.lo | a.hi;
    return as_uint((b.x | b.y) | (b.z | b.w));
}
#endif
static inline uint mul_hi_u32(uint a, uint b) { return mul_hi(a, b); }

#endif

/* c + the products of the four bytes of a, numbers of 0 to 255, and those of b, -128 to 127. */
#ifndef dot4_vi
#define dot4_vi(a, b, c)                                                                                        \
    ((c) + ((a) & 255) * (((b) << 24) >> 24) + (((a) >> 8) & 255) * (((b) << 16) >> 24) +                       \
     (((a) >> 16) & 255) * (((b) << 8) >> 24) + (((a) >> 24) & 255) * ((b) >> 24))
#endif

/* The unit of a row's whole numbers (kernels/args.h: QUANTIZED_NORM). */
FUNCTION f32 quantized_unit(f32 squares)
{
    return max_f32(sqrt_f32(squares), 1e-30f) / 32000.0f;
}
/* Two numbers rounded to 16 bits in one word: 3 * 2^22 leaves the nearest whole number in the low bits of the sum. */
FUNCTION u32 pack_i16x2(f32 low, f32 high)
{
    return (bits_u32(low + 12582912.0f) & 0xffffu) | (bits_u32(high + 12582912.0f) << 16u);
}

/* Leaves in partial[k], k < lanes, the sum of `value` over the work-items k, k + lanes, .. (partial: LOCAL [WG]; lanes: a power of two),
 * always in the same order. */
#define WG_FOLD(partial, value, lanes)                                         \
    BARRIER();                                                                 \
    partial[LANE] = (value);                                                   \
    BARRIER();                                                                 \
    for (u32 wg_stride = WG / 2u; wg_stride > (lanes) - 1u; wg_stride /= 2u) { \
        if (LANE < wg_stride)                                                  \
            partial[LANE] += partial[LANE + wg_stride];                        \
        BARRIER();                                                             \
    }
/* The sum over the work-group in partial[0]. */
#define WG_SUM(partial, value) WG_FOLD(partial, value, 1u)

/* Leaves in partial[LANE] the sum of `value` over the work-items up to and with this one (partial: LOCAL u32 [WG]). */
#define WG_SCAN(partial, value)                                         \
    BARRIER();                                                          \
    partial[LANE] = (value);                                            \
    BARRIER();                                                          \
    for (u32 wg_step = 1u; wg_step < WG; wg_step *= 2u) {               \
        u32 wg_before = LANE >= wg_step ? partial[LANE - wg_step] : 0u; \
        BARRIER();                                                      \
        partial[LANE] += wg_before;                                     \
        BARRIER();                                                      \
    }

/* A work-item's COLS vectors of a row, from `column` on: c is each one's place in the row, k its number. Up to 16 of them are registers:
 * full blocks use a loop without the bounds check. More are memory that the first cache holds. */
#define EACH_REGISTER(column, end, statement)        \
    {                                                \
        if ((column) + WG * COLS <= (end)) {         \
            UNROLL for (u32 k = 0u; k < COLS; k++) { \
                idx c = (column) + k * WG + LANE;    \
                statement;                           \
            }                                        \
        } else {                                     \
            UNROLL for (u32 k = 0u; k < COLS; k++) { \
                idx c = (column) + k * WG + LANE;    \
                if (c < (end)) {                     \
                    statement;                       \
                }                                    \
            }                                        \
        }                                            \
    }
#define EACH_COLUMN(column, end, statement) EACH_REGISTER(column, end, statement)
#define CLEAR_COLUMNS(array, column, end)  \
    UNROLL for (u32 k = 0u; k < COLS; k++) \
        array[k] = splat(0.0f);
#ifndef HSAE_GLSL
#if COLS > 16
#undef EACH_COLUMN
#undef CLEAR_COLUMNS
#define CLEAR_COLUMNS(array, column, end)                   \
    for (idx k = 0u; k < COLS && (column) + k < (end); k++) \
        array[k] = splat(0.0f);
#define EACH_COLUMN(column, end, statement)                                                              \
    {                                                                                                    \
        idx each_count = min(to_idx(COLS), to_idx((end) - (column))), each_whole = each_count / 4u * 4u; \
        for (idx each = 0u; each < each_whole; each += 4u)                                               \
            UNROLL for (u32 each_k = 0u; each_k < 4u; each_k++) {                                        \
                idx k = each + each_k, c = (column) + k;                                                 \
                statement;                                                                               \
            }                                                                                            \
        UNROLL for (u32 each_k = 0u; each_k < 3u; each_k++) {                                            \
            idx k = each_whole + each_k, c = (column) + k;                                               \
            if (k < each_count) {                                                                        \
                statement;                                                                               \
            }                                                                                            \
        }                                                                                                \
    }
#endif
#endif

/* sum = the work-item's part of the sum over c < width of a times b, two expressions in c; four independent accumulators hide the FMA
 * latency. */
#define DOT(sum, width, a, b)                                                       \
    {                                                                               \
        vf chain[4];                                                                \
        chain[0] = chain[1] = chain[2] = chain[3] = splat(0.0f);                    \
        for (idx column = 0u; column < (width); column += WG * COLS)                \
            EACH_COLUMN(column, width, chain[k & 3u] = fma_vf(a, b, chain[k & 3u])) \
        sum = (chain[0] + chain[1]) + (chain[2] + chain[3]);                        \
    }

/* Of kernels whose work-items are teams: how large one is, and how many a work-group has; work-items after the last team are idle. */
#define TEAM TEAM_SIZE(WG, COLS)
#define TEAMS (WG / TEAM)

/* Of kernels whose teams are adjacent, with `inside` and `member`. TEAM_SUM: a team's first member gets the sum of all members'
 * `total` (partial: LOCAL u32 [WG]). TALLY_TILE: to tally[at + b] of each of 32 samples, how many words of the team's `tile` have bit b. */
#define TEAM_SUM(partial, total)                                  \
    if (TEAM > 1u) {                                              \
        partial[LANE] = total;                                    \
        BARRIER();                                                \
        for (u32 k = 1u; inside && member == 0u && k < TEAM; k++) \
            total += partial[LANE + k];                           \
    }
#define TALLY_TILE(at)                                    \
    for (u32 b = member; inside && b < 32u; b += TEAM) {  \
        u32 count = 0u;                                   \
        for (u32 k = 0u; k < TEAM; k++)                   \
            count += (tile[LANE - member + k] >> b) & 1u; \
        tally[(at) + b] += count;                         \
    }

/* bias: sum[COLS] over the teams of rows, to the work-items `lane` of all (partial: LOCAL f32 [WG]). */
#define FOLD_ELEMENT(index, name)                   \
    WG_FOLD(partial, sum[k].name, COLUMN_LANES(WG)) \
    sum[k].name = partial[lane];
#define FOLD_TEAMS()                      \
    if (WG > COLUMN_LANES(WG))            \
        for (u32 k = 0u; k < COLS; k++) { \
            EACH_ELEMENT(FOLD_ELEMENT)    \
        }

/* The loads of PAIRS_PER_PASS pairs are kept in flight; j indexes them. */
#define PAIRS_PER_PASS 4u
#define EACH_PAIR(statement)                         \
    UNROLL for (u32 j = 0u; j < PAIRS_PER_PASS; j++) \
    {                                                \
        statement;                                   \
    }

/* The linear number of the work-group; a launch may have a few more than it needs. */
#define GROUP (GROUP_Y * GROUPS_X + GROUP_X)

/* A line B(use, slot, type, name) of a kernel's bindings. */
#define BINDING(use, slot, type, name) use(slot, type, name)
/* A tensor cut into up to four buffers of rows (RANGES says how many): READ4 of D at slot 2 declares D0 .. D3 at bindings 2 .. 5; row r of
 * it, of `width` elements, is in range r / range_rows. FETCH(D, range, index), STORE(D, range, index, value). */
#define READ4(slot, type, name)                                                                              \
    READ(slot, type, name##0) READ(slot + 1, type, name##1) READ(slot + 2, type, name##2) READ(slot + 3, type, name##3)
#define MODIFY4(slot, type, name)                                                                            \
    MODIFY(slot, type, name##0) MODIFY(slot + 1, type, name##1) MODIFY(slot + 2, type, name##2) MODIFY(slot + 3, type, name##3)
#define RANGE_OF(row) (RANGES == 1u ? 0u : (row) / p.range_rows)
#define IN_RANGE(row, range) ((row) - (range)*p.range_rows)
#define FETCH(name, range, index)                    \
    (RANGES == 1u || (range) == 0u ? name##0 [index] \
                                   : ((range) == 1u ? name##1 [index] : ((range) == 2u ? name##2 [index] : name##3 [index])))
#define STORE(name, range, index, value) \
    if (RANGES == 1u || (range) == 0u)   \
        name##0 [index] = value;         \
    else if ((range) == 1u)              \
        name##1 [index] = value;         \
    else if ((range) == 2u)              \
        name##2 [index] = value;         \
    else                                 \
        name##3 [index] = value

/* Of a kernel with `levels` and p.levels, p.block: the level of a block of features and its ranks begin .. end - 1. Blocks do not cross
 * levels; level = p.levels: there is no such block. Ask with == or !=: Mesa 22.3 takes the loop's own condition for false after it, in
 * spite of the break. */
#define FIND_BLOCK(block, level, begin, end)                        \
    for (u32 blocks_before = 0u; level < p.levels; level += 1u) {   \
        begin = level_info[level * LEVEL_WORDS + LEVEL_FIRST];      \
        end = level_info[(level + 1u) * LEVEL_WORDS + LEVEL_FIRST]; \
        u32 blocks_here = (end - begin + p.block - 1u) / p.block;   \
        if (block < blocks_before + blocks_here) {                  \
            begin += (block - blocks_before) * p.block;             \
            end = min(begin + p.block, end);                        \
            break;                                                  \
        }                                                           \
        blocks_before += blocks_here;                               \
    }

#define END }
/* No array is of 0 elements: of a count that may be 0, and of a count that is 0 where `condition` holds. */
#define AT_LEAST_1(count) ((count) == 0u ? 1u : (count))
#define ONE_IF(condition, count) ((condition) ? 1u : (count))

/* clang-format on */

#endif
