/* SPDX-License-Identifier: MIT */
/* Writing. Members are not deflated, and always have zip64 fields, so that there is one code path. */
#include "base/file.h"
#include "bytes.h"
#include "npz.h"
#include "safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum { CHUNK = 1 << 14, MOST = 16, NAME = 64 };

struct member {
    char name[NAME], header[256]; /* of the zip, of npy */
    size_t header_size;
    uint64_t offset, size;
    uint32_t crc;
};

/* A record being put together. */
struct record {
    unsigned char bytes[512];
    size_t size;
};

static void put(struct record *record, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        record->bytes[record->size++] = (unsigned char)(value >> 8 * i);
}

static void put_text(struct record *record, const char *text)
{
    memcpy(record->bytes + record->size, text, strlen(text));
    record->size += strlen(text);
}

static uint64_t elements(const struct hsae_new_tensor *tensor)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++)
        count *= tensor->shape[i];
    return count;
}

/* Version 1.0: padded with spaces to a multiple of 64 bytes, a newline at the end. */
static void make_header(const struct hsae_new_tensor *tensor, struct member *member)
{
    char text[192];
    int used = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (uint32_t i = 0; i < tensor->rank; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%" PRIu64 "%s", i ? " " : "", tensor->shape[i],
                         i + 1 < tensor->rank || tensor->rank == 1 ? "," : "");
    used += snprintf(text + used, sizeof text - (size_t)used, "), }");
    size_t length = (size_t)(10 + used + 1 + 63) / 64 * 64;
    memset(member->header, ' ', length);
    memcpy(member->header, "\x93NUMPY\x01\x00", 8);
    member->header[8] = (char)((length - 10) & 0xff);
    member->header[9] = (char)((length - 10) >> 8);
    memcpy(member->header + 10, text, (size_t)used);
    member->header[length - 1] = '\n';
    member->header_size = length;
    member->size = length + elements(tensor) * 4;
    snprintf(member->name, sizeof member->name, "%s.npy", tensor->name);
}

/* The elements in the file's byte order to the checksum and, unless NULL, to the output. */
static hsae_status pass(const struct hsae_new_tensor *tensor, struct member *member, struct hsae_output *output)
{
    float values[CHUNK];
    uint64_t left = elements(tensor), done = 0;
    while (left) {
        size_t count = left < CHUNK ? (size_t)left : CHUNK;
        hsae_status status = HSAE_OK;
        if (tensor->data)
            memcpy(values, (const float *)tensor->data + done, count * sizeof *values);
        else
            status = tensor->next(tensor->user, count, values);
        for (size_t i = 0; i < count && !status; i++) {
            uint32_t bits;
            memcpy(&bits, &values[i], sizeof bits);
            bits = HSAE_LITTLE(32, bits);
            memcpy(&values[i], &bits, sizeof bits);
        }
        if (!status && output)
            status = hsae_output_write(output, values, count * sizeof *values);
        else if (!status)
            member->crc = (uint32_t)crc32(member->crc, (const unsigned char *)values, (uInt)(count * sizeof *values));
        if (status)
            return status;
        done += count;
        left -= count;
    }
    return HSAE_OK;
}

/* What local and central headers share: version 4.5, no flags, stored, the first day of zip. */
static void put_common(struct record *record, const struct member *member, size_t extra)
{
    put(record, 45, 2);
    put(record, 0, 2);
    put(record, 0, 2);
    put(record, 0, 2);
    put(record, 0x21, 2);
    put(record, member->crc, 4);
    put(record, UINT32_MAX, 4);
    put(record, UINT32_MAX, 4);
    put(record, strlen(member->name), 2);
    put(record, extra, 2);
}

static hsae_status write_member(struct hsae_output *output, const struct hsae_new_tensor *tensor, struct member *member, uint64_t *offset)
{
    struct record record = {.size = 0};
    make_header(tensor, member);
    member->offset = *offset;
    member->crc = (uint32_t)crc32(0, (const unsigned char *)member->header, (uInt)member->header_size);
    hsae_status status = pass(tensor, member, NULL);
    put(&record, 0x04034b50, 4);
    put_common(&record, member, 20);
    put_text(&record, member->name);
    put(&record, 1, 2);
    put(&record, 16, 2);
    put(&record, member->size, 8);
    put(&record, member->size, 8);
    if (!status)
        status = hsae_output_write(output, record.bytes, record.size);
    if (!status)
        status = hsae_output_write(output, member->header, member->header_size);
    if (!status)
        status = pass(tensor, member, output);
    *offset += record.size + member->size;
    return status;
}

static hsae_status write_directory(struct hsae_output *output, const struct member *members, size_t count, uint64_t offset)
{
    uint64_t size = 0;
    struct record end = {.size = 0};
    hsae_status status = HSAE_OK;
    for (size_t i = 0; i < count && !status; i++) {
        struct record record = {.size = 0};
        put(&record, 0x02014b50, 4);
        put(&record, 45, 2);
        put_common(&record, &members[i], 28);
        put(&record, 0, 6); /* no comment, first disk, no attributes */
        put(&record, 0, 4);
        put(&record, UINT32_MAX, 4);
        put_text(&record, members[i].name);
        put(&record, 1, 2);
        put(&record, 24, 2);
        put(&record, members[i].size, 8);
        put(&record, members[i].size, 8);
        put(&record, members[i].offset, 8);
        status = hsae_output_write(output, record.bytes, record.size);
        size += record.size;
    }
    put(&end, 0x06064b50, 4); /* zip64 end of the directory, where it is, and the old end */
    put(&end, 44, 8);
    put(&end, 45, 2);
    put(&end, 45, 2);
    put(&end, 0, 8);
    put(&end, count, 8);
    put(&end, count, 8);
    put(&end, size, 8);
    put(&end, offset, 8);
    put(&end, 0x07064b50, 4);
    put(&end, 0, 4);
    put(&end, offset + size, 8);
    put(&end, 1, 4);
    put(&end, 0x06054b50, 4);
    put(&end, 0, 4);
    put(&end, count, 2);
    put(&end, count, 2);
    put(&end, UINT32_MAX, 4);
    put(&end, UINT32_MAX, 4);
    put(&end, 0, 2);
    return status ? status : hsae_output_write(output, end.bytes, end.size);
}

hsae_status hsae_npz_write(const hsae_context *context, const char *path, const struct hsae_new_tensor *tensors, size_t count)
{
    struct member members[MOST] = {0};
    struct hsae_output *output = NULL;
    uint64_t offset = 0;
    for (size_t i = 0; i < count; i++)
        if (count > MOST || tensors[i].type != HSAE_TENSOR_F32 || tensors[i].rank > 3 || strlen(tensors[i].name) + 5 > NAME)
            return hsae_fail(context, HSAE_ERROR_ARGUMENT, "%s: more than %d arrays, or one that is not F32", path, MOST);
    hsae_status status = hsae_output_open(context, path, &output);
    for (size_t i = 0; i < count && !status; i++)
        status = write_member(output, &tensors[i], &members[i], &offset);
    if (!status)
        status = write_directory(output, members, count, offset);
    if (!status)
        status = hsae_output_commit(&output);
    hsae_output_discard(&output);
    return status;
}
