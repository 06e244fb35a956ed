/* SPDX-License-Identifier: MIT */
/* Files of named tensors (safetensors), and outputs that appear whole. For encoded features, reconstructions and anything else that is
 * neither a data set (data.h) nor a model (model.h). */
#ifndef HSAE_TENSOR_FILE_H
#define HSAE_TENSOR_FILE_H

#include <hsae/status.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HSAE_TENSOR_RANK 8

/* The types this library converts have a name of their own; the rest (HSAE_TENSOR_OTHER) are only listed. */
typedef enum hsae_tensor_type {
    HSAE_TENSOR_OTHER,
    HSAE_TENSOR_F32,
    HSAE_TENSOR_F16,
    HSAE_TENSOR_BF16,
    HSAE_TENSOR_I32,
    HSAE_TENSOR_I64
} hsae_tensor_type;

/* One tensor of an open file; pointers live as long as the file is open. */
typedef struct hsae_tensor {
    const char *name;
    const char *type_name; /* as in the file: "F32" */
    hsae_tensor_type type;
    uint32_t rank;
    uint64_t shape[HSAE_TENSOR_RANK];
    uint64_t count; /* elements, product of the shape; 1 for rank 0 */
    uint64_t bytes;
    uint64_t offset; /* of its first byte in the file; numbers are little endian */
} hsae_tensor;

/* An open file. Any number of threads may read it. The header is in memory; hsae_tensor_read reads tensors from the file, and fails if the
 * file was cut meanwhile. */
typedef struct hsae_tensor_file hsae_tensor_file;

/* Checks the whole header: no tensor reaches outside the file, overlaps another or leaves a hole. ERROR_FILE, ERROR_FORMAT. */
HSAE_API hsae_status hsae_tensor_file_open(hsae_context *context, const char *path, hsae_tensor_file **out);
/* Sets *file to NULL; takes NULL. */
HSAE_API void hsae_tensor_file_close(hsae_tensor_file **file);

HSAE_API size_t hsae_tensor_file_count(const hsae_tensor_file *file);
/* index < count, in the order of the file. */
HSAE_API const hsae_tensor *hsae_tensor_file_at(const hsae_tensor_file *file, size_t index);
/* NULL: there is none of that name. */
HSAE_API const hsae_tensor *hsae_tensor_file_find(const hsae_tensor_file *file, const char *name);
/* A value of the file's metadata; NULL: there is no such key. */
HSAE_API const char *hsae_tensor_file_metadata(const hsae_tensor_file *file, const char *key);

/* Elements first .. first + count - 1 of a tensor of `file` to out [count]: F32, F16 and BF16 as float, I32 as int32_t, I64 as int64_t.
 * ERROR_ARGUMENT: they reach beyond the tensor, or its type is OTHER. ERROR_FILE: the file cannot be read or was cut. */
HSAE_API hsae_status hsae_tensor_read(const hsae_tensor_file *file, const hsae_tensor *tensor, uint64_t first, size_t count, void *out);

typedef struct hsae_metadata {
    const char *key, *value;
} hsae_metadata;

/* A tensor to be written, from memory or piece by piece. */
typedef struct hsae_new_tensor {
    const char *name;
    hsae_tensor_type type; /* not OTHER */
    uint32_t rank;
    uint64_t shape[HSAE_TENSOR_RANK];
    const void *data; /* all elements, in the machine's byte order; NULL: ask `next` */
    /* Writes the next `count` elements to `out`; called until the tensor is complete. A status other than OK ends the writing with it. */
    hsae_status (*next)(void *user, size_t count, void *out);
    void *user;
} hsae_new_tensor;

/* Writes a file that appears whole: it is written beside `path`, synced and renamed. The same input gives the same bytes: tensors are
 * ordered by falling size of their type, then by name, and `next` is called in that order. Names must differ. `metadata` may be NULL where
 * its count is 0. ERROR_FILE, or the status of `next`: the old file is as it was. Any thread. */
HSAE_API hsae_status hsae_tensor_file_write(hsae_context *context, const char *path, const hsae_metadata *metadata, size_t metadata_count,
                                            const hsae_new_tensor *tensors, size_t tensor_count);

/* A new file that becomes `path` when it is committed. Until then it is beside `path`, under a name that no other process has, and the old
 * file stays whole. Of two writers at once each leaves a whole file, and the last one's stays. A symbolic link at `path` is followed to its
 * target. One thread at a time writes to an output. */
typedef struct hsae_output hsae_output;

/* ERROR_FILE: the file cannot be made, or what is at `path` is no regular file; errno says why. `context` NULL: nothing is logged. Ends
 * with hsae_output_commit or hsae_output_discard. */
HSAE_API hsae_status hsae_output_open(const hsae_context *context, const char *path, hsae_output **out);
/* The binary stream to write to. It belongs to the output: do not close it. Errors of writing show on commit. */
HSAE_API FILE *hsae_output_stream(hsae_output *output);
/* Flushes, syncs, renames, syncs the folder. *output is NULL afterwards. ERROR_FILE, and errno: this or an earlier write failed; the old
 * file is as it was, the new one is removed. */
HSAE_API hsae_status hsae_output_commit(hsae_output **output);
/* Removes what was written, and sets *output to NULL; takes NULL. */
HSAE_API void hsae_output_discard(hsae_output **output);
/* For a process that is about to end with _Exit while other threads may be writing: removes the temporary files of all open outputs, those
 * of models, checkpoints and tensor files included. Threads that open, commit or discard an output from then on wait until the process
 * ends. Call it once, from any thread, but not from a signal handler. A file system that hangs delays it by one second at most. */
HSAE_API void hsae_outputs_abandon(void);

#ifdef __cplusplus
}
#endif
#endif
