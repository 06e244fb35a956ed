/* safetensors files: 8 bytes of header length, a JSON header, tensors back to back (little endian, row-major). */
#ifndef HSAE_SRC_SAFETENSORS_H
#define HSAE_SRC_SAFETENSORS_H

#include "../context.h"

enum { HSAE_TENSOR_RANK = 8 };

/* The types this library converts have a name of their own; the rest are only listed. */
enum hsae_tensor_type { HSAE_TENSOR_OTHER, HSAE_TENSOR_F32, HSAE_TENSOR_F16, HSAE_TENSOR_BF16, HSAE_TENSOR_I32, HSAE_TENSOR_I64 };

/* "F32"; "other". */
const char *hsae_tensor_type_name(enum hsae_tensor_type type);
/* Bytes of one element; 0 for OTHER. */
size_t hsae_tensor_type_size(enum hsae_tensor_type type);
/* "[2048, 576]" */
const char *hsae_shape_text(char text[static 192], uint32_t rank, const uint64_t *shape);

/* Reading. Everything in the header is checked on opening: no tensor reaches outside the file, overlaps another or leaves a hole. */

struct hsae_tensor {
    const char *name;
    const char *type_name; /* as in the file */
    enum hsae_tensor_type type;
    uint32_t rank;
    uint64_t shape[HSAE_TENSOR_RANK];
    uint64_t count; /* elements, product of the shape */
    uint64_t bytes;
    const unsigned char *data; /* in the mapped file, at any alignment; NULL where bytes is 0 */
};

struct hsae_safetensors;
/* ERROR_FILE, ERROR_FORMAT. The file must not change while it is open. */
hsae_status hsae_safetensors_open(const hsae_context *context, const char *path, struct hsae_safetensors **out);
/* Sets *file to NULL; takes NULL. */
void hsae_safetensors_close(struct hsae_safetensors **file);

size_t hsae_safetensors_count(const struct hsae_safetensors *file);
/* In the order in which they lie in the file. */
const struct hsae_tensor *hsae_safetensors_at(const struct hsae_safetensors *file, size_t index);
/* NULL: there is none of that name. */
const struct hsae_tensor *hsae_safetensors_find(const struct hsae_safetensors *file, const char *name);
/* A value of __metadata__; NULL: there is no such key. */
const char *hsae_safetensors_metadata(const struct hsae_safetensors *file, const char *key);

/* Elements first .. first + count - 1 (within the tensor), converted; F32, F16 and BF16 to float, I32 and I64 to the same. */
void hsae_tensor_floats(const struct hsae_tensor *tensor, uint64_t first, size_t count, float *out);
void hsae_tensor_int32s(const struct hsae_tensor *tensor, uint64_t first, size_t count, int32_t *out);
void hsae_tensor_int64s(const struct hsae_tensor *tensor, uint64_t first, size_t count, int64_t *out);

/* Writing. Same input, same bytes: metadata as given, tensors by falling size of their type, then by name. */

struct hsae_metadata {
    const char *key, *value;
};

struct hsae_new_tensor {
    const char *name;
    enum hsae_tensor_type type; /* not OTHER */
    uint32_t rank;
    uint64_t shape[HSAE_TENSOR_RANK];
    const void *data; /* in the machine's byte order; NULL: ask `next` */
    /* The next `count` elements, to `out`; called until the tensor is complete. A status other than OK ends the writing. */
    hsae_status (*next)(void *user, size_t count, void *out);
    void *user;
};

/* Replaces `path` as hsae_output does. Names must differ, and not be "__metadata__". */
hsae_status hsae_safetensors_write(const hsae_context *context, const char *path, const struct hsae_metadata *metadata,
                                   size_t metadata_count, const struct hsae_new_tensor *tensors, size_t tensor_count);

#endif
