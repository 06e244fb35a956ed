/* SPDX-License-Identifier: MIT */
/* The public functions over safetensors.h: they check arguments and call it. */
#include "safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct hsae_tensor_file {
    const hsae_context *context;
    struct hsae_safetensors *file;
};

hsae_status hsae_tensor_file_open(hsae_context *context, const char *path, hsae_tensor_file **out)
{
    HSAE_REQUIRE(context, context, path, out);
    *out = NULL;
    hsae_tensor_file *file = calloc(1, sizeof *file);
    if (!file)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    file->context = context;
    hsae_status status = hsae_safetensors_open(context, path, &file->file);
    if (status)
        free(file);
    else
        *out = file;
    return status;
}

void hsae_tensor_file_close(hsae_tensor_file **file)
{
    if (!file)
        return;
    if (!*file)
        return;
    hsae_safetensors_close(&(*file)->file);
    free(*file);
    *file = NULL;
}

size_t hsae_tensor_file_count(const hsae_tensor_file *file)
{
    return file ? hsae_safetensors_count(file->file) : 0;
}

const hsae_tensor *hsae_tensor_file_at(const hsae_tensor_file *file, size_t index)
{
    return file && index < hsae_safetensors_count(file->file) ? hsae_safetensors_at(file->file, index) : NULL;
}

const hsae_tensor *hsae_tensor_file_find(const hsae_tensor_file *file, const char *name)
{
    return file && name ? hsae_safetensors_find(file->file, name) : NULL;
}

const char *hsae_tensor_file_metadata(const hsae_tensor_file *file, const char *key)
{
    return file && key ? hsae_safetensors_metadata(file->file, key) : NULL;
}

hsae_status hsae_tensor_read(const hsae_tensor_file *file, const hsae_tensor *tensor, uint64_t first, size_t count, void *out)
{
    HSAE_REQUIRE(file ? file->context : NULL, file, tensor, out);
    if (tensor->type == HSAE_TENSOR_OTHER)
        return hsae_fail(file->context, HSAE_ERROR_ARGUMENT, "tensor \"%s\": elements of type %s are not converted", tensor->name,
                         tensor->type_name);
    if (first > tensor->count || count > tensor->count - first)
        return hsae_fail(file->context, HSAE_ERROR_ARGUMENT,
                         "tensor \"%s\": %zu elements from %" PRIu64 " on are asked for, it has %" PRIu64, tensor->name, count, first,
                         tensor->count);
    if (!count)
        return HSAE_OK;
    if (tensor->type == HSAE_TENSOR_I32)
        return hsae_tensor_int32s(file->file, tensor, first, count, out);
    if (tensor->type == HSAE_TENSOR_I64)
        return hsae_tensor_int64s(file->file, tensor, first, count, out);
    return hsae_tensor_floats(file->file, tensor, first, count, out);
}

hsae_status hsae_tensor_file_write(hsae_context *context, const char *path, const hsae_metadata *metadata, size_t metadata_count,
                                   const hsae_new_tensor *tensors, size_t tensor_count)
{
    HSAE_REQUIRE(context, context, path);
    for (size_t i = 0; i < tensor_count; i++)
        if (tensors[i].type == HSAE_TENSOR_OTHER || tensors[i].rank > HSAE_TENSOR_RANK || !(tensors[i].data || tensors[i].next))
            return hsae_fail(context, HSAE_ERROR_ARGUMENT, "%s: tensor \"%s\" has no type, no data, or more than %d dimensions", path,
                             tensors[i].name, HSAE_TENSOR_RANK);
    return hsae_safetensors_write(context, path, metadata, metadata_count, tensors, tensor_count);
}
