/* SPDX-License-Identifier: MIT */
#include "safetensors.h"
#include "base/json.h"
#include "bytes.h"
#include "foreign_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A parsed header takes some 20 times its size in memory, so a header is not as large as its file likes. */
enum { MAX_HEADER = 16 << 20, CHUNK = 1 << 16 };

static const struct {
    const char *name;
    enum hsae_tensor_type type;
    uint32_t size;
} types[] = {
    {"F32", HSAE_TENSOR_F32, 4},       {"F16", HSAE_TENSOR_F16, 2},   {"BF16", HSAE_TENSOR_BF16, 2},     {"I32", HSAE_TENSOR_I32, 4},
    {"I64", HSAE_TENSOR_I64, 8},       {"F64", HSAE_TENSOR_OTHER, 8}, {"U64", HSAE_TENSOR_OTHER, 8},     {"U32", HSAE_TENSOR_OTHER, 4},
    {"I16", HSAE_TENSOR_OTHER, 2},     {"U16", HSAE_TENSOR_OTHER, 2}, {"I8", HSAE_TENSOR_OTHER, 1},      {"U8", HSAE_TENSOR_OTHER, 1},
    {"BOOL", HSAE_TENSOR_OTHER, 1},    {"C64", HSAE_TENSOR_OTHER, 8}, {"F8_E4M3", HSAE_TENSOR_OTHER, 1}, {"F8_E5M2", HSAE_TENSOR_OTHER, 1},
    {"F8_E8M0", HSAE_TENSOR_OTHER, 1},
};
enum { TYPE_COUNT = sizeof types / sizeof *types };

const char *hsae_tensor_type_name(enum hsae_tensor_type type)
{
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (types[i].type == type && type != HSAE_TENSOR_OTHER)
            return types[i].name;
    return "other";
}

size_t hsae_tensor_type_size(enum hsae_tensor_type type)
{
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (types[i].type == type && type != HSAE_TENSOR_OTHER)
            return types[i].size;
    return 0;
}

const char *hsae_shape_text(char text[static 192], uint32_t rank, const uint64_t *shape)
{
    int used = snprintf(text, 192, "[");
    for (uint32_t i = 0; i < rank; i++)
        used += snprintf(text + used, 192 - (size_t)used, "%s%" PRIu64, i ? ", " : "", shape[i]);
    snprintf(text + used, 192 - (size_t)used, "]");
    return text;
}

struct hsae_safetensors {
    struct hsae_file file;
    json_t *header; /* owns all names */
    size_t count;
    struct hsae_tensor *tensors;
};

/* What is wrong with one tensor of the header, or NULL; fills all of *tensor. The data are `size` bytes of the file from `begin` on. */
static const char *parse_tensor(const json_t *entry, uint64_t begin, uint64_t size, struct hsae_tensor *tensor)
{
    const json_t *type = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_string(type))
        return "dtype is missing or not a string";
    if (!json_is_array(shape) || json_array_size(shape) > HSAE_TENSOR_RANK)
        return "shape is missing or not a list of at most 8 numbers";
    tensor->type_name = json_string_value(type);
    tensor->rank = (uint32_t)json_array_size(shape);
    tensor->count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        const json_t *length = json_array_get(shape, i);
        if (!json_is_integer(length) || json_integer_value(length) < 0)
            return "shape holds something else than non-negative integers";
        tensor->shape[i] = (uint64_t)json_integer_value(length);
        if (__builtin_mul_overflow(tensor->count, tensor->shape[i], &tensor->count))
            return "the product of its shape overflows";
    }
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return "data_offsets is missing or not two integers";
    json_int_t from = json_integer_value(first), to = json_integer_value(last);
    if (from < 0 || to < from)
        return "data_offsets run backwards";
    if ((uint64_t)to > size)
        return "its data reach beyond the end of the file; the file is truncated: fetch or write it again";
    tensor->bytes = (uint64_t)(to - from);
    tensor->offset = begin + (uint64_t)from;
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        uint64_t bytes;
        if (strcmp(types[i].name, tensor->type_name) != 0)
            continue;
        tensor->type = types[i].type;
        if (__builtin_mul_overflow(tensor->count, (uint64_t)types[i].size, &bytes) || bytes != tensor->bytes)
            return "data_offsets do not fit its shape and dtype";
    }
    return NULL;
}

static int by_offset(const void *left, const void *right)
{
    const struct hsae_tensor *a = left, *b = right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

static hsae_status parse_metadata(const hsae_context *context, const char *path, json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: __metadata__ is not an object", path);
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return hsae_fail(
        context, HSAE_ERROR_FORMAT, "%s: __metadata__: the value of \"%s\" is not a string", path, key);
    return HSAE_OK;
}

/* The header in file->header to file->tensors, sorted by offset. The data are `size` bytes of the file from `begin` on. */
static hsae_status parse_header(const hsae_context *context, const char *path, struct hsae_safetensors *file, uint64_t begin, uint64_t size)
{
    const char *name;
    json_t *entry;
    file->tensors = calloc(json_object_size(file->header) + 1, sizeof *file->tensors);
    if (!file->tensors)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) {
            hsae_status status = parse_metadata(context, path, entry);
            if (status)
                return status;
            continue;
        }
        struct hsae_tensor *tensor = &file->tensors[file->count++];
        tensor->name = name;
        const char *wrong = parse_tensor(entry, begin, size, tensor);
        if (wrong)
            return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\": %s", path, name, wrong);
    }
    if (size)
        qsort(file->tensors, file->count, sizeof *file->tensors, by_offset);
    uint64_t end = begin;
    for (size_t i = 0; i < file->count; i++) {
        const struct hsae_tensor *tensor = &file->tensors[i];
        if (tensor->offset != end)
            return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\" %s; the file is damaged: fetch or write it again", path,
                             tensor->name, tensor->offset < end ? "overlaps the one before it" : "has a hole before it");
        end += tensor->bytes;
    }
    if (end != begin + size)
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: %" PRIu64 " bytes after the last tensor belong to none; the file is damaged: fetch or write it again", path,
                         begin + size - end);
    return HSAE_OK;
}

/* The JSON of the header; *size: its bytes. */
static hsae_status read_header(struct hsae_safetensors *file, uint64_t *size)
{
    const hsae_context *context = file->file.context;
    const char *path = file->file.path;
    struct hsae_json_error wrong;
    unsigned char announced[8];
    if (file->file.size < 8)
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: not a safetensors file: it has %" PRIu64 " bytes, at least 8 are needed; fetch or write it again", path,
                         file->file.size);
    hsae_status status = hsae_file_read(&file->file, 0, sizeof announced, announced);
    if (status)
        return status;
    *size = hsae_load64(announced);
    if (*size > file->file.size - 8) {
        status = hsae_refuse_foreign(&file->file, "a safetensors file");
        if (status)
            return status;
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: not a safetensors file, or truncated: a header of %" PRIu64 " bytes is announced, %" PRIu64
                         " follow; fetch or write it again",
                         path, *size, file->file.size - 8);
    }
    if (*size > MAX_HEADER)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: a header of %" PRIu64 " bytes; at most %d are read", path, *size, MAX_HEADER);
    char *text = malloc((size_t)*size + 1);
    if (!text)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    status = hsae_file_read(&file->file, 8, (size_t)*size, text);
    if (!status) {
        file->header = hsae_json_read(text, (size_t)*size, &wrong);
        if (!file->header && wrong.no_memory)
            status = hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
        else if (!json_is_object(file->header))
            status = hsae_fail(context, HSAE_ERROR_FORMAT, "%s: not a safetensors file: its header is not a JSON object%s%s", path,
                               file->header ? "" : ": ", file->header ? "" : wrong.text);
    }
    free(text);
    return status;
}

hsae_status hsae_safetensors_open(const hsae_context *context, const char *path, struct hsae_safetensors **out)
{
    uint64_t header = 0;
    *out = NULL;
    struct hsae_safetensors *file = calloc(1, sizeof *file);
    if (!file)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    hsae_status status = hsae_file_open(context, path, &file->file);
    if (!status)
        status = read_header(file, &header);
    if (!status)
        status = parse_header(context, path, file, 8 + header, file->file.size - 8 - header);
    if (status)
        hsae_safetensors_close(&file);
    *out = file;
    return status;
}

void hsae_safetensors_close(struct hsae_safetensors **handle)
{
    struct hsae_safetensors *file = *handle;
    if (!file)
        return;
    free(file->tensors);
    json_decref(file->header);
    hsae_file_close(&file->file);
    free(file);
    *handle = NULL;
}

const struct hsae_file *hsae_safetensors_file(const struct hsae_safetensors *file)
{
    return &file->file;
}

size_t hsae_safetensors_count(const struct hsae_safetensors *file)
{
    return file->count;
}

const struct hsae_tensor *hsae_safetensors_at(const struct hsae_safetensors *file, size_t index)
{
    return &file->tensors[index];
}

const struct hsae_tensor *hsae_safetensors_find(const struct hsae_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *hsae_safetensors_metadata(const struct hsae_safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

/* In place between the machine's byte order and the file's. */
static void swap_bytes(void *data, size_t count, size_t size)
{
    if (HSAE_LITTLE(16, (uint16_t)1) == 1)
        return;
    for (unsigned char *bytes = data; count; count--, bytes += size)
        for (size_t i = 0; i < size / 2; i++) {
            unsigned char byte = bytes[i];
            bytes[i] = bytes[size - 1 - i];
            bytes[size - 1 - i] = byte;
        }
}

/* Elements of `size` bytes. */
static hsae_status read_elements(const struct hsae_safetensors *file, const struct hsae_tensor *tensor, uint64_t first, size_t count,
                                 size_t size, void *out)
{
    hsae_status status = hsae_file_read(&file->file, tensor->offset + first * size, count * size, out);
    swap_bytes(out, count, size);
    return status;
}

/* 16-bit numbers are read to the second half of `out` and converted from front to back: each is fetched before a float overwrites it. */
hsae_status hsae_tensor_floats(const struct hsae_safetensors *file, const struct hsae_tensor *tensor, uint64_t first, size_t count,
                               float *out)
{
    if (tensor->type == HSAE_TENSOR_F32)
        return read_elements(file, tensor, first, count, 4, out);
    const unsigned char *halves = (const unsigned char *)out + 2 * count;
    hsae_status status = hsae_file_read(&file->file, tensor->offset + first * 2, 2 * count, (unsigned char *)out + 2 * count);
    for (size_t i = 0; i < count && !status; i++) {
        uint16_t half = hsae_load16(halves + 2 * i);
        out[i] = tensor->type == HSAE_TENSOR_F16 ? hsae_f16_to_float(half) : hsae_bf16_to_float(half);
    }
    return status;
}

hsae_status hsae_tensor_int32s(const struct hsae_safetensors *file, const struct hsae_tensor *tensor, uint64_t first, size_t count,
                               int32_t *out)
{
    return read_elements(file, tensor, first, count, 4, out);
}

hsae_status hsae_tensor_int64s(const struct hsae_safetensors *file, const struct hsae_tensor *tensor, uint64_t first, size_t count,
                               int64_t *out)
{
    return read_elements(file, tensor, first, count, 8, out);
}

static int by_type_and_name(const void *left, const void *right)
{
    const struct hsae_new_tensor *a = *(const struct hsae_new_tensor *const *)left, *b = *(const struct hsae_new_tensor *const *)right;
    size_t size_a = hsae_tensor_type_size(a->type), size_b = hsae_tensor_type_size(b->type);
    return size_a != size_b ? (size_a > size_b ? -1 : 1) : strcmp(a->name, b->name);
}

/* Elements of the tensor; false: they cannot be counted, or no file could hold them. */
static bool count_elements(const struct hsae_new_tensor *tensor, uint64_t *count)
{
    uint64_t bytes = hsae_tensor_type_size(tensor->type);
    *count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (__builtin_mul_overflow(bytes, tensor->shape[i], &bytes) || __builtin_mul_overflow(*count, tensor->shape[i], count))
            return false;
    return bytes <= INT64_MAX;
}

/* Adds one tensor to the header. ERROR_ARGUMENT: its name is not unique or not UTF-8, or its shape is beyond all sizes. */
static hsae_status add_tensor(json_t *header, const struct hsae_new_tensor *tensor, json_int_t *offset)
{
    uint64_t count;
    int bad = 0;
    if (!hsae_is_utf8(tensor->name, strlen(tensor->name)) || json_object_get(header, tensor->name) || !count_elements(tensor, &count))
        return HSAE_ERROR_ARGUMENT;
    json_t *shape = json_array();
    for (uint32_t k = 0; k < tensor->rank; k++)
        bad |= json_array_append_new(shape, json_integer((json_int_t)tensor->shape[k]));
    json_int_t end = *offset + (json_int_t)(count * hsae_tensor_type_size(tensor->type));
    bad |= json_object_set_new(header, tensor->name, json_object());
    json_t *entry = json_object_get(header, tensor->name), *offsets = json_array();
    bad |= json_object_set_new(entry, "dtype", json_string(hsae_tensor_type_name(tensor->type)));
    bad |= json_object_set_new(entry, "shape", shape);
    bad |= json_array_append_new(offsets, json_integer(*offset));
    bad |= json_array_append_new(offsets, json_integer(end));
    bad |= json_object_set_new(entry, "data_offsets", offsets);
    *offset = end;
    return bad ? HSAE_ERROR_MEMORY : HSAE_OK;
}

/* Length and text of the header, in one piece. ERROR_ARGUMENT, ERROR_MEMORY. */
static hsae_status make_header(const struct hsae_metadata *metadata, size_t metadata_count, const struct hsae_new_tensor *const *tensors,
                               size_t tensor_count, char **out, size_t *size)
{
    hsae_status status = HSAE_OK;
    json_int_t offset = 0;
    json_t *header = json_object(), *values = metadata_count ? json_object() : NULL;
    if ((metadata_count && json_object_set_new(header, "__metadata__", values)) || !header)
        status = HSAE_ERROR_MEMORY;
    for (size_t i = 0; i < metadata_count && !status; i++)
        if (!hsae_is_utf8(metadata[i].key, strlen(metadata[i].key)) || !hsae_is_utf8(metadata[i].value, strlen(metadata[i].value)))
            status = HSAE_ERROR_ARGUMENT;
        else if (json_object_set_new(values, metadata[i].key, json_string(metadata[i].value)))
            status = HSAE_ERROR_MEMORY;
    for (size_t i = 0; i < tensor_count && !status; i++)
        status = add_tensor(header, tensors[i], &offset);
    size_t length = status ? 0 : json_dumpb(header, NULL, 0, JSON_COMPACT), padded = (length + 7) / 8 * 8;
    char *text = length ? malloc(8 + padded) : NULL;
    /* Writing takes memory, too. */
    if (text && json_dumpb(header, text + 8, length, JSON_COMPACT) == length) {
        uint64_t announced = HSAE_LITTLE(64, (uint64_t)padded);
        memcpy(text, &announced, 8);
        memset(text + 8 + length, ' ', padded - length);
        *size = 8 + padded;
        *out = text;
    } else {
        free(text);
        status = status ? status : HSAE_ERROR_MEMORY;
    }
    json_decref(header);
    return status;
}

static hsae_status write_tensor(struct hsae_output *output, const struct hsae_new_tensor *tensor, unsigned char *chunk)
{
    size_t size = hsae_tensor_type_size(tensor->type);
    uint64_t left = 0;
    const unsigned char *data = tensor->data;
    count_elements(tensor, &left);
    while (left) {
        size_t count = left < CHUNK / size ? (size_t)left : CHUNK / size;
        hsae_status status = HSAE_OK;
        if (data) {
            memcpy(chunk, data, count * size);
            data += count * size;
        } else {
            status = tensor->next(tensor->user, count, chunk);
        }
        swap_bytes(chunk, count, size);
        if (!status)
            status = hsae_output_write(output, chunk, count * size);
        if (status)
            return status;
        left -= count;
    }
    return HSAE_OK;
}

hsae_status hsae_safetensors_write(const hsae_context *context, const char *path, const struct hsae_metadata *metadata,
                                   size_t metadata_count, const struct hsae_new_tensor *tensors, size_t tensor_count)
{
    hsae_status status = HSAE_ERROR_MEMORY;
    struct hsae_output *output = NULL;
    char *header = NULL;
    size_t header_size = 0;
    unsigned char *chunk = malloc(CHUNK);
    const struct hsae_new_tensor **sorted = malloc((tensor_count + 1) * sizeof *sorted);
    if (!chunk || !sorted) {
        hsae_fail(context, status, "%s: out of memory", path);
        goto end;
    }
    for (size_t i = 0; i < tensor_count; i++)
        sorted[i] = &tensors[i];
    qsort(sorted, tensor_count, sizeof *sorted, by_type_and_name);
    status = make_header(metadata, metadata_count, sorted, tensor_count, &header, &header_size);
    if (status) {
        hsae_fail(context, status, "%s: its header cannot be made: %s", path,
                  status == HSAE_ERROR_MEMORY ? "out of memory" : "names or shapes of tensors are not valid");
        goto end;
    }
    status = hsae_output_open(context, path, &output);
    if (!status)
        status = hsae_output_write(output, header, header_size);
    for (size_t i = 0; i < tensor_count && !status; i++)
        status = write_tensor(output, sorted[i], chunk);
    if (!status)
        status = hsae_output_commit(&output);
end:
    hsae_output_discard(&output);
    free(header);
    free(sorted);
    free(chunk);
    return status;
}
