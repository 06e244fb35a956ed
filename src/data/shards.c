/* SPDX-License-Identifier: MIT */
#include "shards.h"
#include "base/json.h"
#include "bytes.h"
#include "dataset.h"
#include "folder.h"
#include "npy.h"
#include "tensor_choice.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes of a state.json; a list of a million files is shorter. */
enum { MAX_STATE = 64 << 20 };

size_t hsae_dtype_size(hsae_dtype dtype)
{
    return dtype == HSAE_DTYPE_F32 ? 4 : 2;
}

bool hsae_is_dtype(hsae_dtype dtype)
{
    return dtype == HSAE_DTYPE_F32 || dtype == HSAE_DTYPE_F16 || dtype == HSAE_DTYPE_BF16;
}

hsae_status hsae_fail_dtype(const hsae_context *context, const char *function, hsae_dtype dtype)
{
    return hsae_fail(context, HSAE_ERROR_ARGUMENT, "%s: dtype %d is none of hsae_dtype", function, (int)dtype);
}

static void source_free(struct source *source)
{
    hsae_safetensors_close(&source->file);
    hsae_arrow_free(&source->arrow);
    hsae_file_close(&source->bytes);
    free(source->columns);
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

/* Adds the rows of a file. They are read in random order, so the system is told not to read ahead. */
static hsae_status add_rows(struct shards *shards, const struct source *source, const struct hsae_file *file, uint64_t offset,
                            uint64_t rows)
{
    void *items = shards->items;
    if (!grow(&items, shards->count, &shards->capacity, sizeof *shards->items))
        return hsae_fail(shards->context, HSAE_ERROR_MEMORY, "%s: out of memory", source->path);
    shards->items = items;
    shards->items[shards->count++] =
        (struct shard){.path = source->path, .descriptor = file->descriptor, .offset = offset, .rows = rows, .dtype = source->about.dtype};
    hsae_os_expect_random(file->descriptor);
    return HSAE_OK;
}

/* Sets rows and width from a shape. An impossible width becomes 0, which the caller reports. */
static void set_shape(struct source *source, uint32_t rank, const uint64_t *shape)
{
    uint64_t dim = shape[rank - 1];
    source->about.dim = dim > UINT32_MAX ? 0 : (uint32_t)dim;
    source->about.rows = rank == 3 ? shape[0] * shape[1] : shape[0];
    source->about.sequences = rank == 3 ? shape[0] : 0;
    source->about.context = rank == 3 ? shape[1] : 0;
}

/* about.columns: all tensors. */
static hsae_status list_tensors(const hsae_context *context, struct source *source)
{
    size_t count = hsae_safetensors_count(source->file);
    source->columns = calloc(count + 1, sizeof *source->columns);
    source->types = calloc(count + 1, sizeof *source->types);
    if (!source->columns || !source->types)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", source->path);
    for (size_t i = 0; i < count; i++) {
        char shape[192];
        const struct hsae_tensor *tensor = hsae_safetensors_at(source->file, i);
        snprintf(source->types[i], sizeof *source->types, "%.16s %.174s", tensor->type_name,
                 hsae_shape_text(shape, tensor->rank, tensor->shape));
        source->columns[i] = (hsae_data_column){tensor->name, source->types[i]};
    }
    source->about.column_count = count;
    return HSAE_OK;
}

/* A file that hsae itself wrote gets no format, but a reason to be left out. */
static hsae_status open_safetensors(struct shards *shards, const char *name, struct source *source)
{
    const hsae_context *context = shards->context;
    const struct hsae_tensor *tensor = NULL;
    hsae_status status = hsae_safetensors_open(context, source->path, &source->file);
    if (status)
        return status;
    source->left_out = hsae_own_file(source->file);
    if (source->left_out)
        return HSAE_OK;
    status = hsae_choose_tensor(context, source->path, source->file, name, &tensor, &source->about.dtype);
    if (status)
        return status;
    const struct hsae_file *file = hsae_safetensors_file(source->file);
    source->about.format = "safetensors";
    source->about.tensor = tensor->name;
    source->about.bytes = file->size;
    set_shape(source, tensor->rank, tensor->shape);
    status = list_tensors(context, source);
    return status ? status : add_rows(shards, source, file, tensor->offset, source->about.rows);
}

static hsae_status open_npy(struct shards *shards, struct source *source)
{
    struct hsae_npy npy;
    hsae_status status = hsae_npy_parse(&source->bytes, &npy);
    if (status)
        return status;
    source->about.format = "npy";
    source->about.dtype = npy.dtype;
    set_shape(source, npy.rank, npy.shape);
    return add_rows(shards, source, &source->bytes, npy.start, source->about.rows);
}

static hsae_status open_arrow(struct shards *shards, const char *column, struct source *source)
{
    struct hsae_arrow *arrow = &source->arrow;
    hsae_status status = hsae_arrow_parse(&source->bytes, column, arrow);
    if (status)
        return status;
    source->about.format = "arrow";
    source->about.dtype = arrow->dtype;
    source->about.tensor = arrow->columns[arrow->chosen].name;
    source->about.dim = arrow->dim > UINT32_MAX ? 0 : (uint32_t)arrow->dim;
    source->about.sequences = arrow->context ? arrow->sequences : 0;
    source->about.context = arrow->context;
    source->columns = calloc(arrow->column_count, sizeof *source->columns);
    if (!source->columns)
        return hsae_fail(shards->context, HSAE_ERROR_MEMORY, "%s: out of memory", source->path);
    for (size_t i = 0; i < arrow->column_count; i++)
        source->columns[i] = (hsae_data_column){arrow->columns[i].name, arrow->columns[i].type};
    source->about.column_count = arrow->column_count;
    for (size_t i = 0; i < arrow->batch_count && !status; i++) {
        source->about.rows += arrow->batches[i].rows;
        status = add_rows(shards, source, &source->bytes, arrow->batches[i].offset, arrow->batches[i].rows);
    }
    return status;
}

static hsae_status open_raw(struct shards *shards, const hsae_dataset_params *params, struct source *source)
{
    uint64_t row = params->dim * (uint64_t)hsae_dtype_size(params->dtype);
    if (source->bytes.size % row)
        return hsae_fail(shards->context, HSAE_ERROR_FORMAT,
                         "%s: raw data of %" PRIu64 " bytes are no whole number of vectors of %u numbers of %zu bytes (%" PRIu64
                         " each, %" PRIu64 " left over); check --dim and --dtype",
                         source->path, source->bytes.size, params->dim, hsae_dtype_size(params->dtype), row, source->bytes.size % row);
    source->about.format = "raw";
    source->about.dtype = params->dtype;
    source->about.dim = params->dim;
    source->about.rows = source->bytes.size / row;
    return add_rows(shards, source, &source->bytes, 0, source->about.rows);
}

/* Whether a file of `size` bytes begins like safetensors: a brace after a possible length of the header. */
static bool is_safetensors(const unsigned char *head, uint64_t size)
{
    if (size <= 8 || head[8] != '{')
        return false;
    uint64_t header = hsae_load64(head);
    return header >= 2 && header <= size - 8;
}

/* A data folder, and the files in it that are not read. */
struct folder {
    const char *path;
    const struct hsae_foreign_file *foreign; /* the first of them */
    struct hsae_name_list own, others, unfinished, runs, splits, inner;
};

/* The error for a file that has none of the formats and is not raw. */
static hsae_status not_data(const hsae_context *context, const struct folder *folder, const struct hsae_foreign_file *foreign, bool raw,
                            struct source *source)
{
    const char *path = source->path;
    if (folder && !hsae_is_data_name(path, raw)) {
        source->foreign = foreign;
        source->left_out = foreign ? foreign->what : "not a data file";
        return HSAE_OK;
    }
    if (foreign)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: not data, but %s; %s", path, foreign->what, foreign->remedy);
    return hsae_fail(context, HSAE_ERROR_FORMAT,
                     "%s: neither a safetensors nor an npy nor an Arrow file; raw numbers are read if --dim is given", path);
}

/* Opens *source, whose path is set, and adds its rows. In a folder, a file that neither holds data nor has a name of a data file gets no
 * format, but a reason to be left out. */
static hsae_status open_source(struct shards *shards, const hsae_dataset_params *params, const struct folder *folder, struct source *source)
{
    const hsae_context *context = shards->context;
    const char *path = source->path;
    bool raw = params->dim && (!folder || hsae_is_raw_name(path));
    const struct hsae_foreign_file *foreign = NULL;
    unsigned char head[HSAE_FOREIGN_BYTES];
    size_t size;
    hsae_status status = hsae_file_open(context, path, &source->bytes);
    if (!status)
        status = hsae_file_head(&source->bytes, sizeof head, head, &size);
    if (status)
        return status;
    source->about.bytes = source->bytes.size;
    bool tensors = is_safetensors(head, source->bytes.size), npy = hsae_npy_is(head, size), arrow = hsae_arrow_is(head, size);
    if (!tensors && !npy && !arrow)
        foreign = hsae_foreign_file(path, head, size, raw);
    if (npy) {
        status = open_npy(shards, source);
    } else if (arrow) {
        status = open_arrow(shards, params->tensor, source);
    } else if (tensors || (!foreign && !raw && size > 8 && head[8] == '{')) {
        hsae_file_close(&source->bytes);
        status = open_safetensors(shards, params->tensor, source);
    } else if (raw && !foreign) {
        status = open_raw(shards, params, source);
    } else {
        status = not_data(context, folder, foreign, raw, source);
    }
    if (!status && source->left_out)
        return folder ? HSAE_OK
                      : hsae_fail(context, HSAE_ERROR_FORMAT, "%s: %s, not activations; give the activations themselves", path,
                                  source->left_out);
    if (!status && source->about.dim == 0 && (source->about.rows || strcmp(source->about.format, "arrow") != 0))
        status = hsae_fail(context, HSAE_ERROR_DATA, "%s: its vectors have no numbers, or more than can be; give another file", path);
    if (!status && params->dim && source->about.dim && source->about.dim != params->dim)
        status = hsae_fail(context, HSAE_ERROR_DATA, "%s: its vectors have %u numbers, --dim is %u; only raw files need --dim", path,
                           source->about.dim, params->dim);
    source->about.path = path;
    source->about.columns = source->columns;
    return status;
}

/* Notes that this file of the folder is left out. */
static void leave_out(const hsae_context *context, struct folder *folder, const char *name, const struct source *source)
{
    hsae_log(context, HSAE_LOG_DEBUG, "%s: %s, left out", source->path, source->left_out);
    if (source->file) {
        hsae_name_list_add(&folder->own, name, source->left_out);
    } else if (hsae_is_unfinished_name(name)) {
        hsae_name_list_add(&folder->unfinished, name, NULL);
    } else if (source->foreign ? source->foreign->vectors : hsae_is_raw_name(name)) {
        hsae_name_list_add(&folder->others, name, source->foreign ? source->left_out : "raw numbers, which --dim reads");
        folder->foreign = folder->foreign ? folder->foreign : source->foreign;
    }
}

/* Opens `folder`/`name`, or `name` where folder is NULL, and appends it. */
static hsae_status add_file(struct shards *shards, const hsae_dataset_params *params, struct folder *folder, const char *name)
{
    const hsae_context *context = shards->context;
    void *sources = shards->sources;
    char *path = folder ? hsae_path_join(folder->path, name) : strdup(name);
    if (!path || !grow(&sources, shards->source_count, &shards->source_capacity, sizeof *shards->sources)) {
        free(path);
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", name);
    }
    shards->sources = sources;
    struct source *source = &shards->sources[shards->source_count];
    *source = (struct source){.path = path};
    hsae_status status = open_source(shards, params, folder, source);
    if (!status && source->about.format) {
        shards->source_count++;
        return HSAE_OK;
    }
    if (!status)
        leave_out(context, folder, name, source);
    source_free(source);
    return status;
}

/* The files that HuggingFace datasets saved to this folder, by its state.json. *found: there is such a list. */
static hsae_status add_saved(struct shards *shards, const hsae_dataset_params *params, struct folder *folder, bool *found)
{
    const hsae_context *context = shards->context;
    hsae_status status = HSAE_OK;
    char *text = NULL;
    size_t index, length;
    json_t *state = NULL, *entry;
    char *path = hsae_path_join(folder->path, "state.json");
    *found = false;
    if (!path)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", folder->path);
    if (hsae_os_kind(path) == HSAE_OS_NONE)
        goto end;
    status = hsae_file_load(context, path, MAX_STATE, &text, &length);
    if (status)
        goto end;
    struct hsae_json_error wrong = {0};
    state = hsae_json_read(text, length, &wrong);
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
    free(text);
    free(path);
    return status;
}

/* One name of a folder: a file of data, or something to be left out. */
static hsae_status add_name(struct shards *shards, const hsae_dataset_params *params, struct folder *folder, const char *name)
{
    const hsae_context *context = shards->context;
    hsae_status status = HSAE_OK;
    char *path = hsae_path_join(folder->path, name);
    if (!path)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", folder->path);
    enum hsae_os_kind kind = hsae_os_kind(path);
    if (kind == HSAE_OS_NONE && (errno == ENOENT || errno == ENOTDIR))
        status = hsae_fail(context, HSAE_ERROR_FILE, "%s: a link to something that is not there; mend the link, or remove it", path);
    else if (kind == HSAE_OS_NONE)
        status = hsae_fail_reading(context, path, errno);
    else if (kind == HSAE_OS_FILE && hsae_is_unfinished_name(name))
        hsae_name_list_add(&folder->unfinished, name, NULL);
    else if (kind == HSAE_OS_FILE)
        status = add_file(shards, params, folder, name);
    else if (kind == HSAE_OS_FOLDER) {
        struct hsae_name_list *const lists[] = {NULL, &folder->runs, &folder->splits, &folder->inner};
        struct hsae_name_list *list = lists[hsae_inner_folder(path, params->dim != 0)];
        if (list)
            hsae_name_list_add(list, name, NULL);
    }
    free(path);
    return status;
}

/* Logs which files of a folder are not read. `any`: other files of it are. */
static hsae_status end_folder(const hsae_context *context, struct folder *folder, bool any)
{
    const char *path = folder->path;
    if (folder->runs.count)
        hsae_log(context, HSAE_LOG_INFO, "%s: left out, as folders of runs: %s", path, hsae_name_list_end(&folder->runs));
    if (any && folder->own.count)
        hsae_log(context, HSAE_LOG_INFO, "%s: left out, as hsae itself wrote them: %s", path, hsae_name_list_end(&folder->own));
    if (folder->unfinished.count)
        hsae_log(context, HSAE_LOG_WARNING, "%s: left out, as their names say that they are not whole yet: %s", path,
                 hsae_name_list_end(&folder->unfinished));
    if (any && folder->others.count)
        hsae_log(context, HSAE_LOG_WARNING, "%s: not read: %s", path, hsae_name_list_end(&folder->others));
    if (any && (folder->inner.count || folder->splits.count))
        hsae_log(context, HSAE_LOG_WARNING, "%s: data in folders within it are not read: %s; give those folders, too, if they are meant",
                 path, hsae_name_list_end(folder->inner.count ? &folder->inner : &folder->splits));
    if (any)
        return HSAE_OK;
    if (folder->splits.count)
        return hsae_fail(
            context, HSAE_ERROR_DATA,
            "%s: no data files, but folders that HuggingFace datasets saved, such as the splits of a DatasetDict: %s; give one "
            "of those folders",
            path, hsae_name_list_end(&folder->splits));
    if (folder->inner.count)
        return hsae_fail(context, HSAE_ERROR_DATA, "%s: no data files, but folders that hold some: %s; give those folders", path,
                         hsae_name_list_end(&folder->inner));
    if (folder->others.count)
        return hsae_fail(context, HSAE_ERROR_DATA, "%s: no safetensors, npy or Arrow file in this folder, but %s; %s", path,
                         hsae_name_list_end(&folder->others), folder->foreign ? folder->foreign->remedy : "give --dim");
    if (folder->own.count)
        return hsae_fail(context, HSAE_ERROR_DATA, "%s: no activations in this folder, but %s; give another folder", path,
                         hsae_name_list_end(&folder->own));
    return hsae_fail(context, HSAE_ERROR_DATA, "%s: no safetensors, npy or Arrow file in this folder; give another folder, or the files",
                     path);
}

static hsae_status add_folder(struct shards *shards, const hsae_dataset_params *params, const char *path)
{
    const hsae_context *context = shards->context;
    struct folder folder = {.path = path};
    bool saved;
    hsae_status status = add_saved(shards, params, &folder, &saved);
    if (status || saved)
        return status;
    struct hsae_names names;
    size_t before = shards->source_count;
    int error = hsae_folder_names(path, &names);
    if (error)
        return hsae_fail_reading(context, path, error);
    status = hsae_folder_check_whole(context, path, &names, params->dim != 0);
    for (size_t i = 0; i < names.count && !status; i++)
        status = add_name(shards, params, &folder, names.items[i]);
    if (!status)
        status = hsae_folder_find_gap(context, path, &names, params->dim != 0);
    hsae_names_free(&names);
    return status ? status : end_folder(context, &folder, shards->source_count > before);
}

static hsae_status add_path(struct shards *shards, const hsae_dataset_params *params, const char *path)
{
    enum hsae_os_kind kind = hsae_os_kind(path);
    if (kind == HSAE_OS_NONE)
        return hsae_fail_reading(shards->context, path, errno);
    return kind == HSAE_OS_FOLDER ? add_folder(shards, params, path) : add_file(shards, params, NULL, path);
}

/* Warns where the vectors have different names in two files: they may come from different places in the language model. */
static void compare_names(const struct shards *shards)
{
    const hsae_data_file *first = NULL;
    for (size_t i = 0; i < shards->source_count; i++) {
        const hsae_data_file *file = &shards->sources[i].about;
        if (!file->tensor)
            continue;
        if (first && strcmp(first->tensor, file->tensor) != 0) {
            hsae_log(shards->context, HSAE_LOG_WARNING,
                     "%s: its vectors are \"%s\", those of %s are \"%s\"; both are read: make sure that they are of the same place in the "
                     "same model",
                     file->path, file->tensor, first->path, first->tensor);
            return;
        }
        first = file;
    }
}

/* Checks that the files fit together and numbers their rows. `path` is for messages. */
static hsae_status join_shards(struct shards *shards, const char *path, uint64_t *rows)
{
    const hsae_data_file *first = NULL;
    *rows = 0;
    for (size_t i = 0; i < shards->source_count; i++) {
        const hsae_data_file *file = &shards->sources[i].about;
        if (!file->dim) /* an Arrow file without rows has no width */
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
        *rows += shards->items[i].rows; /* these rows are in files, so this cannot overflow */
    }
    if (*rows == 0)
        return hsae_fail(shards->context, HSAE_ERROR_DATA,
                         "%s: the data set is empty: it has no activation vector; give files that hold some", first ? first->path : path);
    compare_names(shards);
    return HSAE_OK;
}

/* Shells sort names as text, which puts shard_10 before shard_2. */
static void compare_order(const hsae_context *context, const hsae_dataset_params *params)
{
    for (size_t i = 1; i < params->path_count; i++) {
        const char *before = params->paths[i - 1], *path = params->paths[i];
        if (strcmp(before, path) < 0 && hsae_natural_order(before, path) > 0) {
            hsae_log(context, HSAE_LOG_WARNING,
                     "%s: read after %s, as they were given; where their numbers are the order, give them in it, or their folder", path,
                     before);
            return;
        }
    }
}

static int by_path(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Warns where one file was given twice: its rows count twice. */
static hsae_status compare_files(const struct shards *shards)
{
    size_t count = 0;
    char **paths = calloc(shards->source_count + 1, sizeof *paths);
    bool whole = paths != NULL;
    for (size_t i = 0; i < shards->source_count && whole; i++)
        if ((paths[count] = hsae_os_resolve(shards->sources[i].path)))
            count++;
        else
            whole = errno != ENOMEM;
    if (count)
        qsort(paths, count, sizeof *paths, by_path);
    for (size_t i = 1; i < count && whole; i++)
        if (strcmp(paths[i - 1], paths[i]) == 0) {
            hsae_log(shards->context, HSAE_LOG_WARNING, "%s: given more than once, so its rows count more than once", paths[i]);
            break;
        }
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
    return whole ? HSAE_OK
                 : hsae_fail(shards->context, HSAE_ERROR_MEMORY, "out of memory for the names of %zu files", shards->source_count);
}

hsae_status hsae_shards_open(const hsae_context *context, const hsae_dataset_params *params, struct shards *shards, uint64_t *rows)
{
    hsae_status status = HSAE_OK;
    *shards = (struct shards){.context = context};
    for (size_t i = 0; i < params->path_count && !status; i++)
        status = add_path(shards, params, params->paths[i]);
    if (!status)
        status = join_shards(shards, params->paths[0], rows);
    if (!status)
        status = compare_files(shards);
    if (!status)
        compare_order(context, params);
    if (status)
        hsae_shards_close(shards);
    return status;
}

hsae_status hsae_shards_from_memory(const hsae_context *context, const char *name, const void *rows, hsae_dtype dtype, uint64_t count,
                                    uint32_t dim, struct shards *shards)
{
    *shards = (struct shards){.context = context, .dim = dim, .dtype = dtype};
    struct source *source = shards->sources = calloc(1, sizeof *source);
    struct shard *shard = shards->items = calloc(1, sizeof *shard);
    char *path = strdup(name);
    if (!source || !shard || !path) {
        free(path);
        hsae_shards_close(shards);
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory for a data set", name);
    }
    shards->source_count = shards->count = 1;
    *source = (struct source){.path = path, .about = {.path = path, .format = "memory", .dtype = dtype, .dim = dim, .rows = count}};
    source->about.bytes = count * dim * hsae_dtype_size(dtype);
    *shard = (struct shard){.path = path, .descriptor = -1, .memory = rows, .rows = count, .dtype = dtype};
    return HSAE_OK;
}
