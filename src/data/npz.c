/* SPDX-License-Identifier: MIT */
#include "npz.h"
#include "base/file.h"
#include "bytes.h"
#include "foreign_files.h"
#include "npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum { MAX_ARRAYS = 1024, LOCAL = 30, CENTRAL = 46, END = 22, LOCATOR = 20, END64 = 56, MAX_NPY_HEADER = 1 << 14 };
enum { MAX_DIRECTORY = 16 << 20, INPUT = 1 << 16 };
/* Deflate makes at most 1032 bytes of one. */
static const uint64_t MAX_RATIO = 1032;

struct hsae_npz {
    const hsae_context *context;
    char *path;
    struct hsae_file file;
    size_t count;
    struct hsae_npz_array *arrays;
};

static hsae_status damaged(const struct hsae_npz *npz, const char *what)
{
    return hsae_fail(npz->context, HSAE_ERROR_FORMAT, "%s: not an npz file, or a damaged one: %s; fetch or write it again", npz->path,
                     what);
}

/* Whether `size` bytes at `offset` are in the file. */
static bool holds(const struct hsae_npz *npz, uint64_t offset, uint64_t size)
{
    return offset <= npz->file.size && size <= npz->file.size - offset;
}

struct directory {
    uint64_t count, size, offset;
};

/* The directory's 64-bit end, to which the locator before its usual end points. */
static hsae_status find_directory64(const struct hsae_npz *npz, const unsigned char *locator, struct directory *directory)
{
    unsigned char end[END64];
    uint64_t at = hsae_load64(locator + 8);
    if (hsae_load32(locator) != 0x07064b50)
        return damaged(npz, "the place of its 64-bit directory is missing");
    if (!holds(npz, at, END64))
        return damaged(npz, "its 64-bit directory is not where it should be");
    hsae_status status = hsae_file_read(&npz->file, at, END64, end);
    if (status)
        return status;
    if (hsae_load32(end) != 0x06064b50)
        return damaged(npz, "its 64-bit directory is not where it should be");
    *directory = (struct directory){hsae_load64(end + 32), hsae_load64(end + 40), hsae_load64(end + 48)};
    return HSAE_OK;
}

/* The end of the directory, which a comment may follow. */
static hsae_status find_directory(const struct hsae_npz *npz, struct directory *directory)
{
    const uint64_t longest = LOCATOR + END + UINT16_MAX;
    size_t size = (size_t)(npz->file.size < longest ? npz->file.size : longest), back = END;
    unsigned char *tail = malloc(size + 1);
    if (!tail)
        return hsae_fail(npz->context, HSAE_ERROR_MEMORY, "%s: out of memory", npz->path);
    hsae_status status = hsae_file_read(&npz->file, npz->file.size - size, size, tail);
    while (!status && back <= size && back <= END + UINT16_MAX && hsae_load32(tail + size - back) != 0x06054b50)
        back++;
    if (!status && (back > size || back > END + UINT16_MAX))
        status = damaged(npz, "its end is missing (is the file truncated?)");
    if (!status) {
        const unsigned char *end = tail + size - back;
        *directory = (struct directory){hsae_load16(end + 10), hsae_load32(end + 12), hsae_load32(end + 16)};
        if (directory->count == UINT16_MAX || directory->size == UINT32_MAX || directory->offset == UINT32_MAX)
            status = size - back < LOCATOR ? damaged(npz, "the place of its 64-bit directory is missing")
                                           : find_directory64(npz, end - LOCATOR, directory);
    }
    free(tail);
    return status;
}

/* Takes the 64-bit value of a field that is full, from the zip64 extra field. */
static bool take64(const unsigned char **at, const unsigned char *end, uint64_t *value)
{
    if (*value != UINT32_MAX)
        return true;
    if (end - *at < 8)
        return false;
    *value = hsae_load64(*at);
    *at += 8;
    return true;
}

static bool widen(const unsigned char *extra, const unsigned char *end, struct hsae_npz_array *array)
{
    while (end - extra >= 4) {
        uint32_t kind = hsae_load16(extra), size = hsae_load16(extra + 2);
        const unsigned char *at = extra + 4;
        if (size > end - at)
            return false;
        if (kind == 1)
            return take64(&at, at + size, &array->size) && take64(&at, extra + 4 + size, &array->packed) &&
                   take64(&at, extra + 4 + size, &array->offset);
        extra = at + size;
    }
    return true;
}

/* One entry of the directory; its length to *length. */
static const char *parse_entry(const unsigned char *entry, uint64_t left, struct hsae_npz_array *array, uint64_t *length)
{
    if (left < CENTRAL || hsae_load32(entry) != 0x02014b50)
        return "its directory is cut off";
    uint32_t flags = hsae_load16(entry + 8), method = hsae_load16(entry + 10), name = hsae_load16(entry + 28);
    uint32_t extra = hsae_load16(entry + 30);
    *length = CENTRAL + (uint64_t)name + extra + hsae_load16(entry + 32);
    if (*length > left)
        return "its directory is cut off";
    const unsigned char *text = entry + CENTRAL;
    if (flags & 1)
        return "it is encrypted";
    if (method != 0 && method != 8)
        return "an array is neither stored nor deflated";
    if (name < 5 || name - 4 >= sizeof array->name || memcmp(text + name - 4, ".npy", 4) != 0 || memchr(text, 0, name))
        return "a member is not named NAME.npy, or has a very long name";
    memcpy(array->name, text, name - 4);
    array->deflated = method == 8;
    array->crc = hsae_load32(entry + 16);
    array->packed = hsae_load32(entry + 20);
    array->size = hsae_load32(entry + 24);
    array->offset = hsae_load32(entry + 42);
    if (!widen(text + name, text + name + extra, array))
        return "an extra field of its directory is cut off";
    if (array->deflated ? array->size / MAX_RATIO > array->packed : array->size != array->packed)
        return "an array is announced to be larger than its bytes can hold";
    return NULL;
}

/* What is wrong with the directory, whose text this is, or NULL. */
static const char *parse_directory(struct hsae_npz *npz, const struct directory *directory, const unsigned char *entry)
{
    for (uint64_t left = directory->size, length; npz->count < directory->count; entry += length, left -= length) {
        struct hsae_npz_array *array = &npz->arrays[npz->count];
        const char *wrong = parse_entry(entry, left, array, &length);
        if (wrong)
            return wrong;
        if (hsae_npz_find(npz, array->name))
            return "two of its arrays have the same name";
        npz->count++;
    }
    return NULL;
}

static hsae_status read_directory(struct hsae_npz *npz)
{
    struct directory directory = {0};
    hsae_status status = find_directory(npz, &directory);
    if (status)
        return status;
    if (!holds(npz, directory.offset, directory.size))
        return damaged(npz, "its directory reaches beyond its end");
    if (directory.count > MAX_ARRAYS || directory.size > MAX_DIRECTORY)
        return damaged(npz, "it has more than 1024 members, or a directory of more than 16 MiB");
    unsigned char *text = malloc((size_t)directory.size + 1);
    npz->arrays = calloc((size_t)directory.count + 1, sizeof *npz->arrays);
    if (!text || !npz->arrays)
        status = hsae_fail(npz->context, HSAE_ERROR_MEMORY, "%s: out of memory", npz->path);
    if (!status)
        status = hsae_file_read(&npz->file, directory.offset, (size_t)directory.size, text);
    const char *wrong = status ? NULL : parse_directory(npz, &directory, text);
    free(text);
    return wrong ? damaged(npz, wrong) : status;
}

hsae_status hsae_npz_open(const hsae_context *context, const char *path, struct hsae_npz **out)
{
    *out = NULL;
    struct hsae_npz *npz = calloc(1, sizeof *npz);
    if (!npz || !(npz->path = strdup(path))) {
        free(npz);
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    }
    npz->context = context;
    unsigned char head[2];
    size_t size = 0;
    hsae_status status = hsae_file_open(context, path, &npz->file);
    if (!status)
        status = hsae_file_head(&npz->file, sizeof head, head, &size);
    if (!status && size == sizeof head && memcmp(head, "PK", sizeof head) != 0)
        status = hsae_refuse_foreign(&npz->file, "an archive of NumPy");
    if (!status)
        status = read_directory(npz);
    if (status)
        hsae_npz_close(&npz);
    *out = npz;
    return status;
}

void hsae_npz_close(struct hsae_npz **handle)
{
    struct hsae_npz *npz = *handle;
    if (!npz)
        return;
    hsae_file_close(&npz->file);
    free(npz->arrays);
    free(npz->path);
    free(npz);
    *handle = NULL;
}

size_t hsae_npz_count(const struct hsae_npz *npz)
{
    return npz->count;
}

const struct hsae_npz_array *hsae_npz_at(const struct hsae_npz *npz, size_t index)
{
    return &npz->arrays[index];
}

const struct hsae_npz_array *hsae_npz_find(const struct hsae_npz *npz, const char *name)
{
    for (size_t i = 0; i < npz->count; i++)
        if (strcmp(npz->arrays[i].name, name) == 0)
            return &npz->arrays[i];
    return NULL;
}

/* ---- streams ---- */

struct hsae_npz_stream {
    const struct hsae_npz *npz;
    const struct hsae_npz_array *array;
    z_stream zip;
    uint64_t input, input_left; /* in the file: the packed bytes that were not read yet */
    bool inflating;
    uint32_t crc;
    uint64_t elements_left;
    struct hsae_npy npy;
    unsigned char block[INPUT]; /* deflated: what zip reads from */
};

static hsae_status stream_error(const struct hsae_npz_stream *stream, const char *what)
{
    return hsae_fail(stream->npz->context, HSAE_ERROR_FORMAT, "%s: array \"%s\" is damaged: %s; fetch or write it again", stream->npz->path,
                     stream->array->name, what);
}

/* The next packed bytes; there are that many. */
static hsae_status read_packed(struct hsae_npz_stream *stream, uint32_t size, unsigned char *out)
{
    hsae_status status = hsae_file_read(&stream->npz->file, stream->input, size, out);
    stream->input += size;
    stream->input_left -= size;
    return status;
}

/* Runs zlib until `size` bytes are there or the array is at its end. */
static hsae_status take_inflated(struct hsae_npz_stream *stream, unsigned char *out, uint32_t size, uint32_t *got)
{
    int result = Z_OK;
    stream->zip.next_out = out;
    stream->zip.avail_out = size;
    while (stream->zip.avail_out && result == Z_OK) {
        if (stream->zip.avail_in == 0) {
            uint32_t now = stream->input_left < INPUT ? (uint32_t)stream->input_left : INPUT;
            hsae_status status = read_packed(stream, now, stream->block);
            if (status)
                return status;
            stream->zip.next_in = stream->block;
            stream->zip.avail_in = now;
        }
        result = inflate(&stream->zip, Z_NO_FLUSH);
    }
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return stream_error(stream, "it cannot be inflated");
    *got = size - stream->zip.avail_out;
    return HSAE_OK;
}

/* Up to `size` bytes; *got is less at the end of the array only. */
static hsae_status take(struct hsae_npz_stream *stream, unsigned char *out, uint32_t size, uint32_t *got)
{
    hsae_status status;
    if (stream->array->deflated) {
        status = take_inflated(stream, out, size, got);
    } else {
        *got = stream->input_left < size ? (uint32_t)stream->input_left : size;
        status = read_packed(stream, *got, out);
    }
    if (!status)
        stream->crc = (uint32_t)crc32(stream->crc, out, *got);
    return status;
}

/* The npy header is read byte by byte as long as it says that it is. */
static hsae_status read_header(struct hsae_npz_stream *stream)
{
    unsigned char header[MAX_NPY_HEADER];
    char name[1200];
    uint32_t size = 12, got = 0;
    uint64_t bytes;
    hsae_status status = take(stream, header, size, &got);
    if (status)
        return status;
    uint64_t announced = got < 12 ? 0 : header[6] == 1 ? 10 + (uint64_t)hsae_load16(header + 8) : 12 + (uint64_t)hsae_load32(header + 8);
    if (announced < 12 || announced > sizeof header)
        return stream_error(stream, "its npy header is too short, or longer than 16 KiB");
    status = take(stream, header + size, (uint32_t)announced - size, &got);
    if (status)
        return status;
    size += got;
    snprintf(name, sizeof name, "%.1000s: array \"%s\"", stream->npz->path, stream->array->name);
    status = hsae_npy_parse_header(stream->npz->context, name, header, size, &stream->npy, &bytes);
    if (status)
        return status;
    if (stream->npy.start != size || stream->array->size < size || bytes != stream->array->size - size)
        return stream_error(stream, "its shape does not fit its size");
    stream->elements_left = bytes / (stream->npy.dtype == HSAE_DTYPE_F32 ? 4 : 2);
    return HSAE_OK;
}

hsae_status hsae_npz_stream_open(const struct hsae_npz *npz, const struct hsae_npz_array *array, struct hsae_npz_stream **out)
{
    hsae_status status = HSAE_OK;
    *out = NULL;
    unsigned char local[LOCAL];
    if (!holds(npz, array->offset, LOCAL))
        return damaged(npz, "an array is not where its directory says");
    status = hsae_file_read(&npz->file, array->offset, LOCAL, local);
    if (status)
        return status;
    if (hsae_load32(local) != 0x04034b50)
        return damaged(npz, "an array is not where its directory says");
    uint64_t begin = array->offset + LOCAL + hsae_load16(local + 26) + hsae_load16(local + 28);
    if (!holds(npz, begin, array->packed))
        return damaged(npz, "an array reaches beyond the end of the file (is the file truncated?)");
    struct hsae_npz_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return hsae_fail(npz->context, HSAE_ERROR_MEMORY, "%s: out of memory", npz->path);
    stream->npz = npz;
    stream->array = array;
    stream->input = begin;
    stream->input_left = array->packed;
    stream->inflating = array->deflated && inflateInit2(&stream->zip, -15) == Z_OK;
    if (array->deflated && !stream->inflating)
        status = hsae_fail(npz->context, HSAE_ERROR_MEMORY, "%s: out of memory", npz->path);
    if (!status)
        status = read_header(stream);
    if (status)
        hsae_npz_stream_close(&stream);
    *out = stream;
    return status;
}

void hsae_npz_stream_close(struct hsae_npz_stream **stream)
{
    if (!*stream)
        return;
    if ((*stream)->inflating)
        inflateEnd(&(*stream)->zip);
    free(*stream);
    *stream = NULL;
}

hsae_status hsae_npz_check_unchanged(const struct hsae_npz *npz)
{
    return hsae_file_check_unchanged(&npz->file);
}

uint32_t hsae_npz_stream_rank(const struct hsae_npz_stream *stream)
{
    return stream->npy.rank;
}

const uint64_t *hsae_npz_stream_shape(const struct hsae_npz_stream *stream)
{
    return stream->npy.shape;
}

hsae_status hsae_npz_stream_next(struct hsae_npz_stream *stream, size_t count, float *out)
{
    unsigned char bytes[1 << 14];
    uint32_t size = stream->npy.dtype == HSAE_DTYPE_F32 ? 4 : 2, got;
    if (count > stream->elements_left)
        return stream_error(stream, "it ends too early");
    while (count) {
        uint32_t now = count < sizeof bytes / size ? (uint32_t)count : (uint32_t)(sizeof bytes / size);
        hsae_status status = take(stream, bytes, now * size, &got);
        if (status)
            return status;
        if (got < now * size)
            return stream_error(stream, "it ends too early");
        for (uint32_t i = 0; i < now; i++)
            out[i] = size == 4 ? hsae_bits_to_float(hsae_load32(bytes + 4 * i)) : hsae_f16_to_float(hsae_load16(bytes + 2 * i));
        out += now;
        count -= now;
        stream->elements_left -= now;
    }
    return stream->elements_left == 0 && stream->crc != stream->array->crc ? stream_error(stream, "its checksum is wrong") : HSAE_OK;
}
