/* SPDX-License-Identifier: MIT */
/* safetensors files: 8 bytes of header length, a JSON header, tensors back to back (little endian, row-major). */
#ifndef HSAE_SRC_SAFETENSORS_H
#define HSAE_SRC_SAFETENSORS_H

#include "base/context.h"
#include "base/file.h"
#include <hsae/tensor_file.h> /* hsae_tensor and the other types */

/* "F32"; "other". */
const char *hsae_tensor_type_name(enum hsae_tensor_type type);
/* Bytes of one element; 0 for OTHER. */
size_t hsae_tensor_type_size(enum hsae_tensor_type type);
/* "[2048, 576]" */
const char *hsae_shape_text(char text[static 192], uint32_t rank, const uint64_t *shape);

/* Reading. Opening checks the whole header: no tensor reaches outside the file, overlaps another or leaves a hole. */

struct hsae_safetensors;
/* ERROR_FILE, ERROR_FORMAT. The header is kept; what is in the tensors is read from the file when it is asked for. */
hsae_status hsae_safetensors_open(const hsae_context *context, const char *path, struct hsae_safetensors **out);
/* Sets *file to NULL; takes NULL. */
void hsae_safetensors_close(struct hsae_safetensors **file);

size_t hsae_safetensors_count(const struct hsae_safetensors *file);
/* index < count, in the order of the file. */
const struct hsae_tensor *hsae_safetensors_at(const struct hsae_safetensors *file, size_t index);
/* NULL: there is none of that name. */
const struct hsae_tensor *hsae_safetensors_find(const struct hsae_safetensors *file, const char *name);
/* The open file. */
const struct hsae_file *hsae_safetensors_file(const struct hsae_safetensors *file);
/* A value of __metadata__; NULL: there is no such key. */
const char *hsae_safetensors_metadata(const struct hsae_safetensors *file, const char *key);

/* Elements first .. first + count - 1 (within the tensor), converted; F32, F16 and BF16 to float, I32 and I64 to the same. ERROR_FILE. */
hsae_status hsae_tensor_floats(const struct hsae_safetensors *file, const struct hsae_tensor *tensor, uint64_t first, size_t count,
                               float *out);
hsae_status hsae_tensor_int32s(const struct hsae_safetensors *file, const struct hsae_tensor *tensor, uint64_t first, size_t count,
                               int32_t *out);
hsae_status hsae_tensor_int64s(const struct hsae_safetensors *file, const struct hsae_tensor *tensor, uint64_t first, size_t count,
                               int64_t *out);

/* Writing. Same input, same bytes: metadata as given, tensors by falling size of their type, then by name. */

/* Replaces `path` as hsae_output does. Names must differ, and not be "__metadata__". */
hsae_status hsae_safetensors_write(const hsae_context *context, const char *path, const struct hsae_metadata *metadata,
                                   size_t metadata_count, const struct hsae_new_tensor *tensors, size_t tensor_count);

#endif
