#include "shards.h"
#include "../json.h"
#include "bytes.h"
#include "dataset.h"
#include "npy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A list of a million files is shorter. */
enum { MOST_STATE = 64 << 20 };

size_t hsae_dtype_size(hsae_dtype dtype)
{
    return dtype == HSAE_DTYPE_F32 ? 4 : 2;
}

static void source_free(struct source *source)
{
    hsae_safetensors_close(&source->file);
    hsae_arrow_free(&source->arrow);
    hsae_map_close(&source->map);
    free(source->parts);
    free(source->types);
    free(source->path);
}

void hsae_shards_close(struct shards *shards)
{
    for (size_t i = 0; i < shards->source_count; i++)
        source_free(&shards->sources[i]);
    free(shards->sources);
    free(shards->items);
    *shards = (struct shards){0};
}

/* Room for one more element of `size` bytes. */
static bool grow(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t larger = *capacity ? 2 * *capacity : 16;
    void *moved = realloc(*items, larger * size);
    if (!moved)
        return false;
    *items = moved;
    *capacity = larger;
    return true;
}

/* Rows are read from the file, not from the mapping: a file that was cut after opening is an error then and not a SIGBUS. They are read
 * here and there, so the kernel is not to read on behind them. */
static hsae_status add_rows(struct shards *shards, const struct source *source, const struct hsae_map *map, uint64_t offset, uint64_t rows)
{
    void *items = shards->items;
    if (!grow(&items, shards->count, &shards->capacity, sizeof *shards->items))
        return hsae_fail(shards->context, HSAE_ERROR_MEMORY, "%s: out of memory", source->path);
    shards->items = items;
    shards->items[shards->count++] =
        (struct shard){.path = source->path, .descriptor = map->file, .offset = offset, .rows = rows, .dtype = source->about.dtype};
    if (map->data)
        hsae_os_expect_random(map->file);
    return HSAE_OK;
}

static bool readable_type(const struct hsae_tensor *tensor, hsae_dtype *dtype)
{
    *dtype = tensor->type == HSAE_TENSOR_F16 ? HSAE_DTYPE_F16 : tensor->type == HSAE_TENSOR_BF16 ? HSAE_DTYPE_BF16 : HSAE_DTYPE_F32;
    return tensor->type == HSAE_TENSOR_F32 || *dtype != HSAE_DTYPE_F32;
}

/* A width that no vector has is 0 afterwards; whoever opened the file hears of it. */
static void set_shape(struct source *source, uint32_t rank, const uint64_t *shape)
{
    uint64_t dim = shape[rank - 1];
    source->about.dim = dim > UINT32_MAX ? 0 : (uint32_t)dim;
    source->about.rows = rank == 3 ? shape[0] * shape[1] : shape[0];
    source->about.sequences = rank == 3 ? shape[0] : 0;
    source->about.context = rank == 3 ? shape[1] : 0;
}

/* about.parts: all tensors. */
static hsae_status list_tensors(const hsae_context *context, struct source *source)
{
    size_t count = hsae_safetensors_count(source->file);
    source->parts = calloc(count + 1, sizeof *source->parts);
    source->types = calloc(count + 1, sizeof *source->types);
    if (!source->parts || !source->types)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", source->path);
    for (size_t i = 0; i < count; i++) {
        char shape[192];
        const struct hsae_tensor *tensor = hsae_safetensors_at(source->file, i);
        snprintf(source->types[i], sizeof *source->types, "%.16s %.174s", tensor->type_name,
                 hsae_shape_text(shape, tensor->rank, tensor->shape));
        source->parts[i] = (hsae_data_part){tensor->name, source->types[i]};
    }
    source->about.part_count = count;
    return HSAE_OK;
}

static hsae_status open_safetensors(struct shards *shards, const char *name, struct source *source)
{
    const hsae_context *context = shards->context;
    char shape[192];
    const struct hsae_tensor *tensor = NULL;
    hsae_status status = hsae_safetensors_open(context, source->path, &source->file);
    if (status)
        return status;
    if (name) {
        tensor = hsae_safetensors_find(source->file, name);
        if (!tensor)
            return hsae_fail(context, HSAE_ERROR_FORMAT,
                             "%s: there is no tensor \"%s\" among its %zu, of which the first is \"%s\"; \"hsae info\" lists them",
                             source->path, name, hsae_safetensors_count(source->file),
                             hsae_safetensors_count(source->file) ? hsae_safetensors_at(source->file, 0)->name : "");
        if ((tensor->rank != 2 && tensor->rank != 3) || !readable_type(tensor, &source->about.dtype))
            return hsae_fail(context, HSAE_ERROR_FORMAT,
                             "%s: tensor \"%s\" is %s %s; F32, F16 or BF16 of 2 or 3 dimensions is read: convert it, or name another",
                             source->path, name, tensor->type_name, hsae_shape_text(shape, tensor->rank, tensor->shape));
    }
    for (size_t i = 0; !tensor && i < hsae_safetensors_count(source->file); i++) {
        const struct hsae_tensor *candidate = hsae_safetensors_at(source->file, i);
        if ((candidate->rank == 2 || candidate->rank == 3) && readable_type(candidate, &source->about.dtype))
            tensor = candidate;
    }
    if (!tensor)
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: none of its %zu tensors is F32, F16 or BF16 of 2 or 3 dimensions, as activations must be; convert one",
                         source->path, hsae_safetensors_count(source->file));
    const struct hsae_map *map = hsae_safetensors_map(source->file);
    source->about.format = "safetensors";
    source->about.tensor = tensor->name;
    source->about.bytes = map->size;
    set_shape(source, tensor->rank, tensor->shape);
    status = list_tensors(context, source);
    return status ? status : add_rows(shards, source, map, tensor->data ? (uint64_t)(tensor->data - map->data) : 0, source->about.rows);
}

static hsae_status open_npy(struct shards *shards, struct source *source)
{
    struct hsae_npy npy;
    hsae_status status = hsae_npy_parse(shards->context, source->path, &source->map, &npy);
    if (status)
        return status;
    source->about.format = "npy";
    source->about.dtype = npy.dtype;
    set_shape(source, npy.rank, npy.shape);
    return add_rows(shards, source, &source->map, (uint64_t)(npy.data - source->map.data), source->about.rows);
}

static hsae_status open_arrow(struct shards *shards, const char *column, struct source *source)
{
    struct hsae_arrow *arrow = &source->arrow;
    hsae_status status = hsae_arrow_parse(shards->context, source->path, &source->map, column, arrow);
    if (status)
        return status;
    source->about.format = "arrow";
    source->about.dtype = arrow->dtype;
    source->about.tensor = arrow->columns[arrow->chosen].name;
    source->about.dim = arrow->dim > UINT32_MAX ? 0 : (uint32_t)arrow->dim;
    source->about.sequences = arrow->context ? arrow->sequences : 0;
    source->about.context = arrow->context;
    source->parts = calloc(arrow->column_count, sizeof *source->parts);
    if (!source->parts)
        return hsae_fail(shards->context, HSAE_ERROR_MEMORY, "%s: out of memory", source->path);
    for (size_t i = 0; i < arrow->column_count; i++)
        source->parts[i] = (hsae_data_part){arrow->columns[i].name, arrow->columns[i].type};
    source->about.part_count = arrow->column_count;
    for (size_t i = 0; i < arrow->batch_count && !status; i++) {
        source->about.rows += arrow->batches[i].rows;
        status = add_rows(shards, source, &source->map, arrow->batches[i].offset, arrow->batches[i].rows);
    }
    return status;
}

static hsae_status open_raw(struct shards *shards, const hsae_dataset_params *params, struct source *source)
{
    uint64_t row = params->dim * (uint64_t)hsae_dtype_size(params->dtype);
    if (source->map.size % row)
        return hsae_fail(shards->context, HSAE_ERROR_FORMAT,
                         "%s: raw data of %" PRIu64 " bytes are no whole number of vectors of %u numbers of %zu bytes (%" PRIu64
                         " each, %" PRIu64 " left over); check --dim and --dtype",
                         source->path, source->map.size, params->dim, hsae_dtype_size(params->dtype), row, source->map.size % row);
    source->about.format = "raw";
    source->about.dtype = params->dtype;
    source->about.dim = params->dim;
    source->about.rows = source->map.size / row;
    return add_rows(shards, source, &source->map, 0, source->about.rows);
}

static bool ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), end_length = strlen(end);
    return length >= end_length && strcmp(path + length - end_length, end) == 0;
}

/* Where raw data may be meant, one byte does not tell: then the length of the header must be possible, too. */
static bool is_safetensors(const struct hsae_map *map, bool strict)
{
    if (map->size <= 8 || map->data[8] != '{')
        return false;
    uint64_t header = hsae_load64(map->data);
    return !strict || (header >= 2 && header <= map->size - 8);
}

/* Opens *source, whose path is set, and adds its rows. In a folder, a file that neither holds data nor is named as if it did has no format.
 */
static hsae_status open_source(struct shards *shards, const hsae_dataset_params *params, bool in_folder, struct source *source)
{
    const hsae_context *context = shards->context;
    const char *path = source->path;
    hsae_status status = hsae_map_open(context, path, &source->map);
    if (status)
        return status;
    source->about.bytes = source->map.size;
    if (hsae_npy_is(&source->map)) {
        status = open_npy(shards, source);
    } else if (hsae_arrow_is(&source->map)) {
        status = open_arrow(shards, params->tensor, source);
    } else if (is_safetensors(&source->map, params->dim != 0)) {
        hsae_map_close(&source->map);
        status = open_safetensors(shards, params->tensor, source);
    } else if (params->dim && (!in_folder || ends_with(path, ".bin") || ends_with(path, ".raw"))) {
        status = open_raw(shards, params, source);
    } else if (in_folder && !ends_with(path, ".safetensors") && !ends_with(path, ".npy") && !ends_with(path, ".arrow")) {
        return HSAE_OK;
    } else {
        status = hsae_fail(context, HSAE_ERROR_FORMAT,
                           "%s: neither a safetensors nor an npy nor an Arrow file; raw numbers are read if --dim is given", path);
    }
    if (!status && source->about.dim == 0 && (source->about.rows || strcmp(source->about.format, "arrow") != 0))
        status = hsae_fail(context, HSAE_ERROR_DATA, "%s: its vectors have no numbers, or more than can be; give another file", path);
    if (!status && params->dim && source->about.dim && source->about.dim != params->dim)
        status = hsae_fail(context, HSAE_ERROR_DATA, "%s: its vectors have %u numbers, --dim is %u; only raw files need --dim", path,
                           source->about.dim, params->dim);
    source->about.path = path;
    source->about.parts = source->parts;
    return status;
}

/* Opens `folder`/`name`, or `name` where folder is NULL, and appends it. */
static hsae_status add_file(struct shards *shards, const hsae_dataset_params *params, const char *folder, const char *name)
{
    const hsae_context *context = shards->context;
    void *sources = shards->sources;
    char *path = folder ? hsae_path_join(folder, name) : strdup(name);
    if (!path || !grow(&sources, shards->source_count, &shards->source_capacity, sizeof *shards->sources)) {
        free(path);
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", name);
    }
    shards->sources = sources;
    struct source *source = &shards->sources[shards->source_count];
    *source = (struct source){.path = path};
    hsae_status status = open_source(shards, params, folder != NULL, source);
    if (!status && source->about.format) {
        shards->source_count++;
        return HSAE_OK;
    }
    if (!status)
        hsae_log(context, HSAE_LOG_DEBUG, "%s: not a data file, left out", path);
    source_free(source);
    return status;
}

/* The files that HuggingFace datasets saved to this folder, by its state.json. *found: there is such a list. */
static hsae_status add_saved(struct shards *shards, const hsae_dataset_params *params, const char *folder, bool *found)
{
    const hsae_context *context = shards->context;
    hsae_status status = HSAE_OK;
    struct hsae_map map = {0};
    size_t size = strlen(folder) + sizeof "/state.json", index;
    json_t *state = NULL, *entry;
    char *path = malloc(size);
    *found = false;
    if (!path)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", folder);
    snprintf(path, size, "%s/state.json", folder);
    if (hsae_os_kind(path) == HSAE_OS_NONE)
        goto end;
    status = hsae_map_open(context, path, &map);
    if (status)
        goto end;
    struct hsae_json_error wrong = {0};
    if (map.size <= MOST_STATE)
        state = hsae_json_read((const char *)map.data, (size_t)map.size, &wrong);
    if (wrong.no_memory) {
        status = hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
        goto end;
    }
    if (!json_is_object(state)) {
        status = hsae_fail(context, HSAE_ERROR_FORMAT, "%s: not the list of files that HuggingFace datasets write; save the data set again",
                           path);
        goto end;
    }
    *found = json_is_array(json_object_get(state, "_data_files"));
    json_array_foreach(json_object_get(state, "_data_files"), index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "filename"));
        if (!name || !*name || *hsae_os_file_name(name) == 0 || hsae_os_file_name(name) != name) {
            status = hsae_fail(context, HSAE_ERROR_FORMAT, "%s: its data file %zu has no name within the folder; save the data set again",
                               path, index);
            goto end;
        }
        status = add_file(shards, params, folder, name);
        if (status)
            goto end;
    }
end:
    json_decref(state);
    hsae_map_close(&map);
    free(path);
    return status;
}

static hsae_status add_folder(struct shards *shards, const hsae_dataset_params *params, const char *folder)
{
    const hsae_context *context = shards->context;
    bool saved;
    hsae_status status = add_saved(shards, params, folder, &saved);
    if (status || saved)
        return status;
    struct hsae_names names;
    size_t before = shards->source_count;
    int error = hsae_names_read(folder, &names);
    if (error)
        return hsae_fail_reading(context, folder, error);
    for (size_t i = 0; i < names.count && !status; i++) {
        char *path = hsae_path_join(folder, names.items[i]);
        if (!path)
            status = hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", folder);
        else if (hsae_os_kind(path) == HSAE_OS_FILE)
            status = add_file(shards, params, folder, names.items[i]);
        free(path);
    }
    hsae_names_free(&names);
    if (!status && shards->source_count == before)
        status = hsae_fail(context, HSAE_ERROR_DATA,
                           "%s: no safetensors, npy or Arrow file in this folder; give another folder, or the files", folder);
    return status;
}

static hsae_status add_path(struct shards *shards, const hsae_dataset_params *params, const char *path)
{
    enum hsae_os_kind kind = hsae_os_kind(path);
    if (kind == HSAE_OS_NONE)
        return hsae_fail_reading(shards->context, path, errno);
    return kind == HSAE_OS_FOLDER ? add_folder(shards, params, path) : add_file(shards, params, NULL, path);
}

/* Checks that the files fit together and numbers their rows. `path` is for messages. */
static hsae_status join_shards(struct shards *shards, const char *path, uint64_t *rows)
{
    const hsae_data_file *first = NULL;
    *rows = 0;
    for (size_t i = 0; i < shards->source_count; i++) {
        const hsae_data_file *file = &shards->sources[i].about;
        if (!file->dim) /* an Arrow file without rows does not tell */
            continue;
        if (!first)
            first = file;
        if (file->dim != first->dim)
            return hsae_fail(shards->context, HSAE_ERROR_DATA,
                             "%s: its vectors have %u numbers, those of %s have %u; give files of one width, of the same place in the same "
                             "model",
                             file->path, file->dim, first->path, first->dim);
        shards->dim = file->dim;
        shards->dtype = file->dtype == first->dtype && (file == first || shards->dtype == first->dtype) ? first->dtype : HSAE_DTYPE_F32;
    }
    for (size_t i = 0; i < shards->count; i++) {
        shards->items[i].first = *rows;
        *rows += shards->items[i].rows; /* mapped, so far from overflow */
    }
    if (*rows == 0)
        return hsae_fail(shards->context, HSAE_ERROR_DATA,
                         "%s: the data set is empty: it has no activation vector; give files that hold some", first ? first->path : path);
    return HSAE_OK;
}

hsae_status hsae_shards_open(const hsae_context *context, const hsae_dataset_params *params, struct shards *shards, uint64_t *rows)
{
    hsae_status status = HSAE_OK;
    *shards = (struct shards){.context = context};
    for (size_t i = 0; i < params->path_count && !status; i++)
        status = add_path(shards, params, params->paths[i]);
    if (!status)
        status = join_shards(shards, params->paths[0], rows);
    if (status)
        hsae_shards_close(shards);
    return status;
}
