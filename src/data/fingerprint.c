/* SPDX-License-Identifier: MIT */
#include "base/context.h"
#include "dataset.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20, MIN_ROWS = 64, BLOCK_ROWS = 64 };

/* In the order of bytes that files have. */
static uint64_t add_number(uint64_t hash, uint64_t number)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(number >> 8 * i);
    return hsae_hash(hash, bytes, sizeof bytes);
}

/* The row that is sample `i` of `count`: the first and the last row are among them. */
static uint64_t sample_row(uint64_t i, uint64_t count, uint64_t rows)
{
    return count > 1 ? (rows - 1) / (count - 1) * i + (rows - 1) % (count - 1) * i / (count - 1) : 0;
}

hsae_status hsae_dataset_fingerprint(const hsae_dataset *dataset, uint64_t *out)
{
    HSAE_REQUIRE(dataset ? hsae_dataset_context(dataset) : NULL, dataset, out);
    hsae_status status = HSAE_OK;
    size_t stride = hsae_dataset_row_bytes(dataset), block;
    uint64_t all = hsae_dataset_rows(dataset), rows[BLOCK_ROWS], count = MAX_BYTES / stride;
    count = count < MIN_ROWS ? MIN_ROWS : count;
    count = count < all ? count : all;
    unsigned char *raw = malloc(BLOCK_ROWS * stride);
    if (!raw)
        return hsae_fail(hsae_dataset_context(dataset), HSAE_ERROR_MEMORY, "%s: out of memory", hsae_dataset_path(dataset));
    uint64_t hash = add_number(HSAE_HASH_START, all);
    hash = add_number(hash, hsae_dataset_dim(dataset));
    hash = add_number(hash, hsae_dataset_dtype(dataset));
    for (uint64_t i = 0; i < count && !status; i += block) {
        int error = 0;
        block = count - i < BLOCK_ROWS ? (size_t)(count - i) : BLOCK_ROWS;
        for (size_t k = 0; k < block; k++)
            rows[k] = sample_row(i + k, count, all);
        memset(raw, 0, block * stride); /* rows of a narrower dtype than others do not fill their stride */
        size_t fetched = hsae_dataset_fetch(dataset, rows, block, raw, &error);
        hash = hsae_hash(hash, raw, fetched * stride);
        if (fetched < block)
            status = hsae_dataset_fetch_failed(dataset, rows[fetched], error);
    }
    free(raw);
    if (!status)
        *out = hash;
    return status;
}
