/* SPDX-License-Identifier: MIT */
/* NumPy's .npz files: a zip of .npy arrays, stored or deflated. */
#ifndef HSAE_SRC_NPZ_H
#define HSAE_SRC_NPZ_H

#include "base/context.h"
#include <hsae/tensor_file.h>
#include <stdbool.h>

/* One array. What its own header says is checked when a stream is opened. */
struct hsae_npz_array {
    char name[64]; /* without ".npy" */
    bool deflated;
    uint32_t crc;
    uint64_t offset; /* of the local header */
    uint64_t packed, size;
};

struct hsae_npz;
/* Reads the directory; arrays are read from the file when they are asked for. ERROR_FILE, ERROR_FORMAT. */
hsae_status hsae_npz_open(const hsae_context *context, const char *path, struct hsae_npz **out);
/* Sets *npz to NULL; takes NULL. */
void hsae_npz_close(struct hsae_npz **npz);
size_t hsae_npz_count(const struct hsae_npz *npz);
const struct hsae_npz_array *hsae_npz_at(const struct hsae_npz *npz, size_t index);
/* hsae_file_check_unchanged for this file. */
hsae_status hsae_npz_check_unchanged(const struct hsae_npz *npz);
/* NULL: there is none of that name. */
const struct hsae_npz_array *hsae_npz_find(const struct hsae_npz *npz, const char *name);

/* The elements of one array in order, as floats. Its size is bounded by what its packed bytes can hold before anything is allocated for it.
 */
struct hsae_npz_stream;
hsae_status hsae_npz_stream_open(const struct hsae_npz *npz, const struct hsae_npz_array *array, struct hsae_npz_stream **out);
void hsae_npz_stream_close(struct hsae_npz_stream **stream);
uint32_t hsae_npz_stream_rank(const struct hsae_npz_stream *stream); /* 0 to 3 */
const uint64_t *hsae_npz_stream_shape(const struct hsae_npz_stream *stream);
/* The next `count` elements. The checksum is compared after the last one. */
hsae_status hsae_npz_stream_next(struct hsae_npz_stream *stream, size_t count, float *out);

/* Writes F32 tensors as arrays "NAME.npy", not deflated; replaces `path` as hsae_output does. A tensor's `next` gives all of it twice: for
 * the checksum, then for the file. */
hsae_status hsae_npz_write(const hsae_context *context, const char *path, const struct hsae_new_tensor *tensors, size_t count);

#endif
