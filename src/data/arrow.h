/* SPDX-License-Identifier: MIT */
/* Arrow's IPC stream ("batch after batch"), and its file format, which is such a stream between two marks: what HuggingFace datasets write.
 * https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
 *
 * One column of vectors is read: list<float> (a vector a row) or list<list<float>> (a sequence a row), lists of 32-bit or 64-bit offsets or
 * of fixed size, halffloat or float. Vectors must be of one length, sequences too, and nothing null. */
#ifndef HSAE_SRC_ARROW_H
#define HSAE_SRC_ARROW_H

#include "base/file.h"
#include <hsae/data.h>
#include <stdbool.h>

struct hsae_arrow_column {
    char *name;
    char type[96]; /* "list<list<halffloat>>" */
};

/* Vectors that are contiguous in the file. */
struct hsae_arrow_batch {
    uint64_t offset, rows; /* offset: in the file */
};

struct hsae_arrow {
    size_t column_count, chosen, batch_count, capacity;
    struct hsae_arrow_column *columns; /* all of the schema */
    struct hsae_arrow_batch *batches;  /* of the chosen one, none empty */
    uint64_t sequences, context, dim;  /* context 0: the column holds vectors, not sequences */
    hsae_dtype dtype;                  /* F32 or F16 */
};

/* Whether a file that begins with these bytes is one. */
bool hsae_arrow_is(const unsigned char *head, size_t size);
/* `column` NULL: the only one that fits. ERROR_FORMAT, ERROR_DATA, ERROR_FILE. Free *arrow unless it fails. */
hsae_status hsae_arrow_parse(const struct hsae_file *file, const char *column, struct hsae_arrow *arrow);
void hsae_arrow_free(struct hsae_arrow *arrow);

#endif
