/* SPDX-License-Identifier: MIT */
#include "npy.h"
#include "bytes.h"

#include <inttypes.h>
#include <stdlib.h>

static const char magic[6] = "\x93NUMPY";

bool hsae_npy_is(const unsigned char *head, size_t size)
{
    return size >= sizeof magic && memcmp(head, magic, sizeof magic) == 0;
}

/* The header's text: a Python dictionary of three entries. */
struct cursor {
    const char *at, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->at < c->end && strchr(" \t\n\r", *c->at) && *c->at)
        c->at++;
}

/* Skips white space, then takes `text` if it is next. */
static bool take(struct cursor *c, const char *text)
{
    size_t length = strlen(text);
    skip_space(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, text, length) != 0)
        return false;
    c->at += length;
    return true;
}

/* A Python string of fewer than `size` characters without escapes. */
static bool take_string(struct cursor *c, char *out, size_t size)
{
    char quote = take(c, "'") ? '\'' : '"';
    if (quote == '"' && !take(c, "\""))
        return false;
    size_t length = 0;
    while (c->at < c->end && *c->at != quote && *c->at != '\\' && length + 1 < size)
        out[length++] = *c->at++;
    out[length] = '\0';
    return c->at < c->end && *c->at++ == quote;
}

static bool take_number(struct cursor *c, uint64_t *out)
{
    skip_space(c);
    const char *start = c->at;
    for (*out = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, (uint64_t)(*c->at - '0'), out))
            return false;
    return c->at > start;
}

/* "(3, 4)", of any length up to 8; shape keeps the first three. */
static bool take_shape(struct cursor *c, uint32_t *rank, uint64_t shape[3])
{
    if (!take(c, "("))
        return false;
    for (*rank = 0; !take(c, ")"); ++*rank) {
        uint64_t length;
        if (*rank == 8 || (*rank && !take(c, ",")))
            return false;
        if (take(c, ")"))
            return true;
        if (!take_number(c, &length))
            return false;
        if (*rank < 3)
            shape[*rank] = length;
    }
    return true;
}

/* What is wrong with the header, or NULL. */
static const char *parse_dictionary(struct cursor *c, char descr[16], bool *fortran, struct hsae_npy *npy)
{
    enum { DESCR = 1, FORTRAN = 2, SHAPE = 4 };
    unsigned seen = 0;
    if (!take(c, "{"))
        return "its header is not a dictionary";
    while (!take(c, "}")) {
        char key[16];
        if (!take_string(c, key, sizeof key) || !take(c, ":"))
            return "its header is not a dictionary with quoted keys";
        unsigned entry = strcmp(key, "descr") == 0           ? DESCR
                         : strcmp(key, "fortran_order") == 0 ? FORTRAN
                         : strcmp(key, "shape") == 0         ? SHAPE
                                                             : 0;
        if (!entry || (seen & entry))
            return "its header has an unknown key, or one twice";
        seen |= entry;
        if (entry == DESCR && !take_string(c, descr, 16))
            return "it holds records; plain numbers ('<f4' or '<f2') are read";
        if (entry == FORTRAN && !(*fortran = take(c, "True")) && !take(c, "False"))
            return "fortran_order is neither True nor False";
        if (entry == SHAPE && !take_shape(c, &npy->rank, npy->shape))
            return "its shape is not a list of numbers";
        take(c, ",");
    }
    return seen == (DESCR | FORTRAN | SHAPE) ? NULL : "its header lacks descr, fortran_order or shape";
}

hsae_status hsae_npy_parse_header(const hsae_context *context, const char *path, const unsigned char *data, uint64_t size,
                                  struct hsae_npy *npy, uint64_t *bytes)
{
    *npy = (struct hsae_npy){0};
    unsigned version = size >= 12 && hsae_npy_is(data, (size_t)size) ? data[6] : 0;
    uint64_t begin = version == 1 ? 10 : 12;
    if (version < 1 || version > 3)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: an npy file of version %u, or truncated; versions 1 to 3 are read", path,
                         version);
    uint64_t header = version == 1 ? hsae_load16(data + 8) : hsae_load32(data + 8);
    if (header > size - begin)
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: truncated: an npy header of %" PRIu64 " bytes is announced, %" PRIu64 " follow; fetch or write it again",
                         path, header, size - begin);
    char descr[16] = "";
    bool fortran = false;
    struct cursor cursor = {(const char *)data + begin, (const char *)data + begin + header};
    const char *wrong = parse_dictionary(&cursor, descr, &fortran, npy);
    if (wrong)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: a damaged or unusual npy file: %s", path, wrong);
    if (strcmp(descr, "<f4") != 0 && strcmp(descr, "<f2") != 0)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: npy data of type '%s'; '<f4' and '<f2' are read (numpy's astype)", path, descr);
    if (fortran)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: npy data in Fortran order; C order is read (numpy.ascontiguousarray)", path);
    if (npy->rank > 3)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: an npy array of %u dimensions; 2 or 3 are read", path, npy->rank);
    npy->dtype = descr[2] == '4' ? HSAE_DTYPE_F32 : HSAE_DTYPE_F16;
    *bytes = descr[2] == '4' ? 4 : 2;
    for (uint32_t i = 0; i < npy->rank; i++)
        if (__builtin_mul_overflow(*bytes, npy->shape[i], bytes))
            return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: the product of the npy array's shape overflows", path);
    npy->start = begin + header;
    return HSAE_OK;
}

hsae_status hsae_npy_parse(const struct hsae_file *file, struct hsae_npy *npy)
{
    const hsae_context *context = file->context;
    const char *path = file->path;
    uint64_t bytes;
    size_t size;
    unsigned char *head = malloc(HSAE_NPY_MOST_HEADER);
    if (!head)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    hsae_status status = hsae_file_head(file, HSAE_NPY_MOST_HEADER, head, &size);
    if (!status)
        status = hsae_npy_parse_header(context, path, head, size, npy, &bytes);
    free(head);
    if (status)
        return status;
    if (npy->rank != 2 && npy->rank != 3)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: an npy array of %u dimensions; 2 or 3 are read", path, npy->rank);
    uint64_t found = file->size - npy->start;
    if (bytes > found)
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: truncated: %" PRIu64 " bytes of data are announced, %" PRIu64 " follow; fetch or write it again", path, bytes,
                         found);
    if (bytes < found)
        hsae_log(context, HSAE_LOG_WARNING, "%s: %" PRIu64 " bytes after the npy array are not read", path, found - bytes);
    return HSAE_OK;
}
