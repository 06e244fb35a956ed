/* SPDX-License-Identifier: MIT */
/* Tokens as they are read, and the table of distinct token strings. */
#include "explorer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void *hsae_explore_zeros(bool *good, uint64_t count, size_t size)
{
    void *memory = count <= SIZE_MAX / size ? calloc(count ? (size_t)count : 1, size) : NULL;
    *good = *good && memory;
    return memory;
}

hsae_status hsae_explore_read_token(hsae_explorer *explorer, uint64_t row, struct hsae_token *token)
{
    bool more;
    hsae_status status = hsae_tokens_next(explorer->tokens, token, &more);
    if (!status && !more)
        return hsae_fail(explorer->context, HSAE_ERROR_DATA, "the tokens end before row %" PRIu64 ": a file changed while it was read",
                         row);
    return status;
}

/* FNV-1a. */
static uint32_t hash(const char *text, uint32_t size)
{
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < size; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

/* The bucket of a string, or the empty one where it belongs. */
static uint32_t *find_bucket(const struct string_table *table, const char *text, uint32_t size)
{
    for (uint32_t at = hash(text, size) & (table->bucket_count - 1);; at = (at + 1) & (table->bucket_count - 1)) {
        uint32_t id = table->buckets[at];
        if (!id || (table->starts[id] - table->starts[id - 1] == size && !memcmp(table->bytes + table->starts[id - 1], text, size)))
            return &table->buckets[at];
    }
}

static bool grow_table(struct string_table *table)
{
    bool good = true;
    uint32_t capacity = table->capacity ? 2 * table->capacity : 1024;
    uint64_t *starts = realloc(table->starts, (capacity + (size_t)1) * sizeof *starts);
    table->starts = starts ? starts : table->starts;
    uint32_t *buckets = hsae_explore_zeros(&good, 2 * (uint64_t)capacity, sizeof *buckets);
    if (!starts || !good || capacity >= 1u << 30) {
        free(buckets);
        return false;
    }
    free(table->buckets);
    starts[0] = 0;
    table->buckets = buckets;
    table->bucket_count = 2 * capacity;
    table->capacity = capacity;
    for (uint32_t id = 0; id < table->count; id++)
        *find_bucket(table, table->bytes + starts[id], (uint32_t)(starts[id + 1] - starts[id])) = id + 1;
    return true;
}

static bool grow_bytes(struct string_table *table, uint32_t size)
{
    if (table->size + size <= table->bytes_capacity && table->bytes)
        return true;
    uint64_t capacity = 2 * (table->size + size) + 4096;
    char *bytes = realloc(table->bytes, (size_t)capacity);
    table->bytes = bytes ? bytes : table->bytes;
    table->bytes_capacity = bytes ? capacity : table->bytes_capacity;
    return bytes;
}

hsae_status hsae_explore_intern(const hsae_context *context, struct string_table *table, const char *text, uint32_t size, uint32_t *id)
{
    if ((table->count == table->capacity && !grow_table(table)) || !grow_bytes(table, size))
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for %" PRIu32 " token strings", table->count + 1);
    uint32_t *bucket = find_bucket(table, text, size);
    if (!*bucket) {
        memcpy(table->bytes + table->size, text, size);
        table->size += size;
        *bucket = ++table->count;
        table->starts[table->count] = table->size;
    }
    *id = *bucket - 1;
    return HSAE_OK;
}

void hsae_explore_strings_free(struct string_table *table)
{
    free(table->bytes);
    free(table->starts);
    free(table->buckets);
    *table = (struct string_table){0};
}
