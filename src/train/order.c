/* SPDX-License-Identifier: MIT */
#include "order.h"

#include <string.h>

void hsae_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4])
{
    uint32_t c[4], low = (uint32_t)key, high = (uint32_t)(key >> 32);
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t even = (uint64_t)0xD2511F53u * c[0], odd = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = {(uint32_t)(odd >> 32) ^ c[1] ^ low, (uint32_t)odd, (uint32_t)(even >> 32) ^ c[3] ^ high, (uint32_t)even};
        memcpy(c, next, sizeof c);
        low += 0x9E3779B9u;
        high += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

/* A Feistel network on 2 * half bits, keyed by seed and epoch. */
static uint64_t feistel(uint64_t value, unsigned half, uint64_t seed, uint64_t epoch)
{
    uint64_t mask = (UINT64_C(1) << half) - 1, left = value >> half, right = value & mask;
    for (uint32_t round = 0; round < 6; round++) {
        uint32_t out[4], counter[4] = {(uint32_t)right, 0x53485546u + round, (uint32_t)epoch, (uint32_t)(epoch >> 32)};
        hsae_philox(seed, counter, out);
        uint64_t next = (left ^ out[0]) & mask;
        left = right;
        right = next;
    }
    return left << half | right;
}

uint64_t hsae_order_row(hsae_order order, uint64_t seed, uint64_t sample, uint64_t rows)
{
    uint64_t epoch = sample / rows, row = sample % rows;
    unsigned half = 1;
    if (order == HSAE_ORDER_SEQUENTIAL)
        return row;
    while (half < 32 && rows > UINT64_C(1) << 2 * half)
        half++;
    do /* walk the cycle until it is back among the rows: still a permutation of them */
        row = feistel(row, half, seed, epoch);
    while (row >= rows);
    return row;
}
