/* SPDX-License-Identifier: MIT */
/* Files that hold no data that is read, but are well known: what they are, and what makes data of them. */
#ifndef HSAE_SRC_FOREIGN_FILES_H
#define HSAE_SRC_FOREIGN_FILES_H

#include "base/file.h"
#include <stdbool.h>
#include <stddef.h>

enum { HSAE_FOREIGN_BYTES = 512 /* of a file's start, as far as it has them, are enough to know it */ };

struct hsae_foreign_file {
    const char *what;   /* "a Parquet file" */
    const char *remedy; /* what to do, as the end of a sentence */
    bool vectors;       /* such files may hold activation vectors */
};

/* What the file `name` (its extension is a hint) is, by its first `size` bytes: HSAE_FOREIGN_BYTES of them, or all that it has. NULL: it is
 * not known. `may_be_raw`: only what raw numbers do not look like by chance. Any thread; what is returned lives for ever. */
const struct hsae_foreign_file *hsae_foreign_file(const char *name, const unsigned char *start, size_t size, bool may_be_raw);

/* ERROR_FORMAT, with what it is and what to do, where a file that should be `expected` ("a safetensors file") is another well-known one. */
hsae_status hsae_refuse_foreign(const struct hsae_file *file, const char *expected);

#endif
