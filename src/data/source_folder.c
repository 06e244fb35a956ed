/* SPDX-License-Identifier: MIT */
#include "source_folder.h"
#include "base/file.h"
#include "dataset.h"
#include "safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const hsae_tensor_type types[] = {
    [HSAE_DTYPE_F32] = HSAE_TENSOR_F32, [HSAE_DTYPE_F16] = HSAE_TENSOR_F16, [HSAE_DTYPE_BF16] = HSAE_TENSOR_BF16};

hsae_status hsae_source_folder_make(const hsae_context *context, const char *folder)
{
    bool made;
    char *path = strdup(folder);
    if (!path)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", folder);
    hsae_status status = HSAE_OK;
    if (hsae_os_make_folders(path, false, &made))
        status = hsae_fail(context, HSAE_ERROR_FILE, "%s: the folder cannot be made: %s%s", path, strerror(errno), hsae_os_advice(errno));
    free(path);
    return status;
}

/* free() */
static char *path_of(const hsae_context *context, const char *folder, uint64_t block)
{
    char name[48];
    snprintf(name, sizeof name, "rows-%08" PRIu64 ".safetensors", block);
    char *path = hsae_path_join(folder, name);
    if (!path)
        hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", folder);
    return path;
}

static bool has_text(const struct hsae_safetensors *file, const char *key, const char *text)
{
    const char *value = hsae_safetensors_metadata(file, key);
    return value && strcmp(value, text) == 0;
}

/* The tensor, where the file is one that hsae_source_folder_write wrote for this source and buffer; else NULL. */
static const struct hsae_tensor *tensor_of(const struct hsae_safetensors *file, const hsae_source_params *params)
{
    char half[24];
    snprintf(half, sizeof half, "%" PRIu64, params->buffer_rows / 2);
    const struct hsae_tensor *tensor = hsae_safetensors_find(file, "activations");
    bool fits = tensor && tensor->type == types[params->dtype] && tensor->rank == 2 && tensor->shape[1] == params->dim &&
                tensor->shape[0] && tensor->shape[0] <= params->buffer_rows / 2 && has_text(file, "source", params->identity) &&
                has_text(file, "block_rows", half);
    return fits ? tensor : NULL;
}

hsae_status hsae_source_folder_read(const hsae_context *context, const hsae_source_params *params, uint64_t block, unsigned char *raw,
                                    uint64_t *count)
{
    *count = 0;
    struct hsae_safetensors *file;
    char *path = path_of(context, params->folder, block);
    if (!path)
        return HSAE_ERROR_MEMORY;
    if (hsae_os_kind(path) == HSAE_OS_NONE && errno == ENOENT) {
        free(path);
        return HSAE_OK;
    }
    hsae_status status = hsae_safetensors_open(context, path, &file);
    const struct hsae_tensor *tensor = status ? NULL : tensor_of(file, params);
    if (!status && !tensor)
        status = hsae_fail(context, HSAE_ERROR_CONFIG,
                           "%s: holds rows of another source, or in blocks of another buffer than %" PRIu64
                           " rows; give another folder, or the same source and buffer",
                           path, params->buffer_rows);
    if (!status)
        status = hsae_file_read(hsae_safetensors_file(file), tensor->offset, (size_t)tensor->bytes, raw);
    if (!status)
        status = hsae_file_check_unchanged(hsae_safetensors_file(file));
    if (!status)
        *count = tensor->shape[0];
    hsae_safetensors_close(&file);
    free(path);
    return status;
}

hsae_status hsae_source_folder_write(const hsae_context *context, const hsae_source_params *params, uint64_t block,
                                     const unsigned char *raw, uint64_t count)
{
    char half[24];
    char *path = path_of(context, params->folder, block);
    if (!path)
        return HSAE_ERROR_MEMORY;
    snprintf(half, sizeof half, "%" PRIu64, params->buffer_rows / 2);
    const struct hsae_metadata metadata[] = {{"block_rows", half}, {"source", params->identity}};
    const struct hsae_new_tensor tensor = {
        .name = "activations", .type = types[params->dtype], .rank = 2, .shape = {count, params->dim}, .data = raw};
    hsae_status status = hsae_safetensors_write(context, path, metadata, sizeof metadata / sizeof *metadata, &tensor, 1);
    free(path);
    return status;
}
