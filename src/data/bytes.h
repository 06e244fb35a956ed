/* SPDX-License-Identifier: MIT */
/* Numbers in files: little endian, at any alignment, half precisions included. */
#ifndef HSAE_SRC_BYTES_H
#define HSAE_SRC_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define HSAE_LITTLE(bits, value) __builtin_bswap##bits(value)
#else
#define HSAE_LITTLE(bits, value) (value)
#endif

static inline uint16_t hsae_load16(const void *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return HSAE_LITTLE(16, value);
}

static inline uint32_t hsae_load32(const void *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return HSAE_LITTLE(32, value);
}

static inline uint64_t hsae_load64(const void *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return HSAE_LITTLE(64, value);
}

static inline float hsae_bits_to_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float hsae_bf16_to_float(uint16_t bits)
{
    return hsae_bits_to_float((uint32_t)bits << 16);
}

static inline float hsae_f16_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = (bits >> 10) & 0x1fu, mantissa = bits & 0x3ffu;
    if (exponent == 0) { /* zero or subnormal: mantissa * 2^-24 is exact in float */
        float value = (float)mantissa * 0x1p-24f;
        return sign ? -value : value;
    }
    return hsae_bits_to_float(sign | (exponent == 31 ? 0xffu : exponent + 112) << 23 | mantissa << 13);
}

/* To nearest, ties to even; what is beyond the range becomes infinite. Not for NaN. */

static inline uint16_t hsae_float_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline uint16_t hsae_float_to_f16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    bits &= 0x7fffffffu;
    if (bits >= 0x47800000u) /* 65536 */
        return sign | 0x7c00u;
    if (bits < 0x38800000u) { /* below the smallest normal, 2^-14: a sum that float rounds to multiples of 2^-24 */
        float sum = hsae_bits_to_float(bits) + 0.5f;
        memcpy(&bits, &sum, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3f000000u));
    }
    return (uint16_t)(sign | ((bits - 0x38000000u + 0xfffu + (bits >> 13 & 1u)) >> 13));
}

#endif
