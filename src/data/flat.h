/* SPDX-License-Identifier: MIT */
/* Reads FlatBuffers that may be hostile. A position outside of the buffer or an impossible count marks the buffer as broken, and from then
 * on everything reads as its default. So a reader can continue and ask once, at the end, whether the buffer is broken. */
#ifndef HSAE_SRC_FLAT_H
#define HSAE_SRC_FLAT_H

#include "bytes.h"

#include <stddef.h>

struct hsae_flat {
    const unsigned char *data;
    uint64_t size;
    bool broken;
};

/* Position of a table and of its vtable; all zero: there is none. */
struct hsae_flat_table {
    uint64_t at, vtable;
    uint32_t size, vtable_size;
};

struct hsae_flat_vector {
    uint64_t at, count; /* position of the first element */
};

static inline bool hsae_flat_holds(struct hsae_flat *flat, uint64_t at, uint64_t size)
{
    if (at > flat->size || size > flat->size - at)
        flat->broken = true;
    return !flat->broken;
}

static inline struct hsae_flat_table hsae_flat_table_at(struct hsae_flat *flat, uint64_t at)
{
    struct hsae_flat_table table = {.at = at};
    if (!hsae_flat_holds(flat, at, 4))
        return (struct hsae_flat_table){0};
    table.vtable = at - (uint64_t)(int64_t)(int32_t)hsae_load32(flat->data + at); /* below 0 wraps to a number that no buffer holds */
    if (!hsae_flat_holds(flat, table.vtable, 4))
        return (struct hsae_flat_table){0};
    table.vtable_size = hsae_load16(flat->data + table.vtable);
    table.size = hsae_load16(flat->data + table.vtable + 2);
    if (table.vtable_size < 4 || table.size < 4)
        flat->broken = true;
    if (!hsae_flat_holds(flat, table.vtable, table.vtable_size) || !hsae_flat_holds(flat, at, table.size))
        return (struct hsae_flat_table){0};
    return table;
}

/* Position of a field of `width` bytes; 0: it has its default. */
static inline uint64_t hsae_flat_field(struct hsae_flat *flat, const struct hsae_flat_table *table, uint32_t index, uint32_t width)
{
    uint32_t slot = 4 + 2 * index;
    if (flat->broken || slot + 2 > table->vtable_size)
        return 0;
    uint32_t offset = hsae_load16(flat->data + table->vtable + slot);
    if (offset && (offset < 4 || offset + width > table->size))
        flat->broken = true;
    return offset && !flat->broken ? table->at + offset : 0;
}

static inline int64_t hsae_flat_int(struct hsae_flat *flat, const struct hsae_flat_table *table, uint32_t index, uint32_t width)
{
    uint64_t at = hsae_flat_field(flat, table, index, width);
    const unsigned char *bytes = flat->data + at;
    return !at          ? 0
           : width == 1 ? (int64_t)*bytes
           : width == 2 ? (int64_t)(int16_t)hsae_load16(bytes)
           : width == 4 ? (int64_t)(int32_t)hsae_load32(bytes)
                        : (int64_t)hsae_load64(bytes);
}

/* The position to which the offset at this position points. */
static inline uint64_t hsae_flat_follow(struct hsae_flat *flat, uint64_t at)
{
    return hsae_flat_holds(flat, at, 4) ? at + hsae_load32(flat->data + at) : 0;
}

/* False: there is none. */
static inline bool hsae_flat_child(struct hsae_flat *flat, const struct hsae_flat_table *table, uint32_t index, struct hsae_flat_table *out)
{
    uint64_t at = hsae_flat_field(flat, table, index, 4);
    *out = at ? hsae_flat_table_at(flat, hsae_flat_follow(flat, at)) : (struct hsae_flat_table){0};
    return at && !flat->broken;
}

/* Elements of `size` bytes each. */
static inline struct hsae_flat_vector hsae_flat_vector(struct hsae_flat *flat, const struct hsae_flat_table *table, uint32_t index,
                                                       uint32_t size)
{
    struct hsae_flat_vector vector = {0};
    uint64_t at = hsae_flat_field(flat, table, index, 4);
    if (at)
        at = hsae_flat_follow(flat, at);
    if (!at || !hsae_flat_holds(flat, at, 4))
        return vector;
    vector.count = hsae_load32(flat->data + at);
    vector.at = at + 4;
    return hsae_flat_holds(flat, vector.at, vector.count * size) ? vector : (struct hsae_flat_vector){0};
}

#endif
