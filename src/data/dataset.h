/* SPDX-License-Identifier: MIT */
/* Functions of data sets for the trainer and the reader; not public. */
#ifndef HSAE_SRC_DATASET_H
#define HSAE_SRC_DATASET_H

#include <hsae/data.h>

/* The dtype that all rows have, or HSAE_DTYPE_F32 where shards differ. */
hsae_dtype hsae_dataset_dtype(const hsae_dataset *dataset);
/* Reads rows[i] (i < count) as `dtype` (hsae_dataset_dtype or F32) to out + i * d * size. Checks that all values are finite. */
hsae_status hsae_dataset_gather(const hsae_dataset *dataset, const uint64_t *rows, size_t count, hsae_dtype dtype, void *out);
/* Path of its first file, for messages. */
const char *hsae_dataset_path(const hsae_dataset *dataset);
/* hsae_dataset_from_memory, whose one file has this name. */
hsae_status hsae_dataset_named(hsae_context *context, const char *name, const void *rows, hsae_dtype dtype, uint64_t count, uint32_t dim,
                               hsae_dataset **out);
/* `count` numbers, converted; the index of the first that is not finite, or count. */
uint32_t hsae_row_floats(const unsigned char *data, hsae_dtype dtype, uint32_t count, float *out);
size_t hsae_dtype_size(hsae_dtype dtype);
/* Whether a caller's value is one of the enum; ERROR_ARGUMENT with a message for one that is not. */
bool hsae_is_dtype(hsae_dtype dtype);
hsae_status hsae_fail_dtype(const hsae_context *context, const char *function, hsae_dtype dtype);
/* Another handle on the same rows, to be closed like any; NULL: out of memory. */
hsae_dataset *hsae_dataset_share(const hsae_dataset *dataset);

/* The same in two parts, both with rows below hsae_dataset_rows. The first may wait for a disk and fails quietly: rows as they are in their
 * files, hsae_dataset_row_bytes apart, to `raw`. Returns how many were read; where those are not all, *error is the errno, or 0 for a file
 * that ends too early. */
size_t hsae_dataset_fetch(const hsae_dataset *dataset, const uint64_t *rows, size_t count, unsigned char *raw, int *error);
hsae_status hsae_dataset_unpack(const hsae_dataset *dataset, const uint64_t *rows, size_t count, const unsigned char *raw, hsae_dtype dtype,
                                void *out);
size_t hsae_dataset_row_bytes(const hsae_dataset *dataset);
/* Logs that this row could not be fetched. ERROR_FILE. */
hsae_status hsae_dataset_fetch_failed(const hsae_dataset *dataset, uint64_t row, int error);
/* hsae_row_squares_raw (squares.h) of a row as hsae_dataset_fetch gives it. */
double hsae_dataset_squares(const hsae_dataset *dataset, uint64_t row, const unsigned char *raw);
const hsae_context *hsae_dataset_context(const hsae_dataset *dataset);

#endif
