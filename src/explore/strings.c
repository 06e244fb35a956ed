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
static uint32_t *find_bucket(const hsae_explorer *e, const char *text, uint32_t size)
{
    for (uint32_t at = hash(text, size) & (e->bucket_count - 1);; at = (at + 1) & (e->bucket_count - 1)) {
        uint32_t id = e->buckets[at];
        if (!id || (e->string_starts[id] - e->string_starts[id - 1] == size && !memcmp(e->strings + e->string_starts[id - 1], text, size)))
            return &e->buckets[at];
    }
}

static bool grow_table(hsae_explorer *e)
{
    bool good = true;
    uint32_t capacity = e->string_capacity ? 2 * e->string_capacity : 1024;
    uint64_t *starts = realloc(e->string_starts, (capacity + (size_t)1) * sizeof *starts);
    e->string_starts = starts ? starts : e->string_starts;
    uint32_t *buckets = hsae_explore_zeros(&good, 2 * (uint64_t)capacity, sizeof *buckets);
    if (!starts || !good || capacity >= 1u << 30) {
        free(buckets);
        return false;
    }
    free(e->buckets);
    starts[0] = 0;
    e->buckets = buckets;
    e->bucket_count = 2 * capacity;
    e->string_capacity = capacity;
    for (uint32_t id = 0; id < e->string_count; id++)
        *find_bucket(e, e->strings + starts[id], (uint32_t)(starts[id + 1] - starts[id])) = id + 1;
    return true;
}

static bool grow_strings(hsae_explorer *e, uint32_t size)
{
    if (e->strings_size + size <= e->strings_capacity && e->strings)
        return true;
    uint64_t capacity = 2 * (e->strings_size + size) + 4096;
    char *strings = realloc(e->strings, (size_t)capacity);
    e->strings = strings ? strings : e->strings;
    e->strings_capacity = strings ? capacity : e->strings_capacity;
    return strings;
}

hsae_status hsae_explore_intern(hsae_explorer *e, const struct hsae_token *token, uint32_t *id)
{
    if ((e->string_count == e->string_capacity && !grow_table(e)) || !grow_strings(e, token->size))
        return hsae_fail(e->context, HSAE_ERROR_MEMORY, "out of memory for %" PRIu32 " token strings", e->string_count + 1);
    uint32_t *bucket = find_bucket(e, token->text, token->size);
    if (!*bucket) {
        memcpy(e->strings + e->strings_size, token->text, token->size);
        e->strings_size += token->size;
        *bucket = ++e->string_count;
        e->string_starts[e->string_count] = e->strings_size;
    }
    *id = *bucket - 1;
    return HSAE_OK;
}
