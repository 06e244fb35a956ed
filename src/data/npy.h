/* SPDX-License-Identifier: MIT */
/* NumPy's .npy files, versions 1.0 to 3.0. */
#ifndef HSAE_SRC_NPY_H
#define HSAE_SRC_NPY_H

#include "base/context.h"
#include "base/file.h"
#include <hsae/data.h>
#include <stdbool.h>

enum { HSAE_NPY_MOST_HEADER = 1 << 16 /* bytes; NumPy itself reads no more than 10,000 */ };

struct hsae_npy {
    hsae_dtype dtype; /* F32 or F16 */
    uint32_t rank;    /* 2 or 3; a header alone: 0 to 3 */
    uint64_t shape[3];
    uint64_t start; /* of the data, in the file */
};

/* The header alone: the first `size` bytes of a file that may be longer. Rank 0 to 3; *bytes of data follow it. ERROR_FORMAT. */
hsae_status hsae_npy_parse_header(const hsae_context *context, const char *path, const unsigned char *data, uint64_t size,
                                  struct hsae_npy *npy, uint64_t *bytes);

/* Whether a file that begins with these bytes is one. */
bool hsae_npy_is(const unsigned char *head, size_t size);
/* ERROR_FORMAT, ERROR_FILE. */
hsae_status hsae_npy_parse(const struct hsae_file *file, struct hsae_npy *npy);

#endif
