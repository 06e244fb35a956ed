/* SPDX-License-Identifier: MIT */
/* Well-known files that are not read as data: what they are, and how to convert them. */
#ifndef HSAE_SRC_FOREIGN_FILES_H
#define HSAE_SRC_FOREIGN_FILES_H

#include "base/file.h"
#include <stdbool.h>
#include <stddef.h>

enum { HSAE_FOREIGN_BYTES = 512 /* bytes of a file's start that are enough to recognise it */ };

struct hsae_foreign_file {
    const char *what;   /* "a Parquet file" */
    const char *remedy; /* what to do, as the end of a sentence */
    bool vectors;       /* such files may hold activation vectors */
};

/* Recognises a file by its first `size` bytes (HSAE_FOREIGN_BYTES, or all of a shorter file), with the extension of `name` as a hint. NULL:
 * unknown. `may_be_raw`: only kinds that raw numbers cannot look like by chance. Any thread; the result is static. */
const struct hsae_foreign_file *hsae_foreign_file(const char *name, const unsigned char *start, size_t size, bool may_be_raw);

/* ERROR_FORMAT where a file that should be `expected` ("a safetensors file") is another well-known one; the message names it and a remedy.
 */
hsae_status hsae_refuse_foreign(const struct hsae_file *file, const char *expected);

#endif
