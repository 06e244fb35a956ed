#include "shards.h"
#include "bytes.h"
#include "dataset.h"
#include "npy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

size_t hsae_dtype_size(hsae_dtype dtype)
{
    return dtype == HSAE_DTYPE_F32 ? 4 : 2;
}

static void shard_free(struct shard *shard)
{
    hsae_safetensors_close(&shard->file);
    hsae_map_close(&shard->map);
    free(shard->path);
}

void hsae_shards_close(struct shards *shards)
{
    for (size_t i = 0; i < shards->count; i++)
        shard_free(&shards->items[i]);
    free(shards->items);
    *shards = (struct shards){0};
}

static bool readable_type(const struct hsae_tensor *tensor, hsae_dtype *dtype)
{
    *dtype = tensor->type == HSAE_TENSOR_F16 ? HSAE_DTYPE_F16 : tensor->type == HSAE_TENSOR_BF16 ? HSAE_DTYPE_BF16 : HSAE_DTYPE_F32;
    return tensor->type == HSAE_TENSOR_F32 || *dtype != HSAE_DTYPE_F32;
}

/* Two or three dimensions as rows of `dim`. */
static void flatten(struct shard *shard, uint32_t rank, const uint64_t *shape)
{
    shard->dim = shape[rank - 1];
    shard->rows = rank == 3 ? shape[0] * shape[1] : shape[0];
}

/* Rows are read from the file, not from the mapping: a file that was cut after opening is an error then and not a SIGBUS. They are read
 * here and there, so the kernel is not to read on behind them. */
static void locate(struct shard *shard, const struct hsae_map *map, const unsigned char *data)
{
    shard->descriptor = map->file;
    shard->offset = data ? (uint64_t)(data - map->data) : 0;
#ifdef POSIX_FADV_RANDOM
    posix_fadvise(map->file, 0, 0, POSIX_FADV_RANDOM);
#endif
}

static hsae_status open_safetensors(const hsae_context *context, const char *name, struct shard *shard)
{
    char shape[192];
    const struct hsae_tensor *tensor = NULL;
    hsae_status status = hsae_safetensors_open(context, shard->path, &shard->file);
    if (status)
        return status;
    if (name) {
        tensor = hsae_safetensors_find(shard->file, name);
        if (!tensor)
            return hsae_fail(context, HSAE_ERROR_FORMAT,
                             "%s: there is no tensor \"%s\" among its %zu, of which the first is \"%s\"; \"hsae info\" lists them",
                             shard->path, name, hsae_safetensors_count(shard->file),
                             hsae_safetensors_count(shard->file) ? hsae_safetensors_at(shard->file, 0)->name : "");
        if ((tensor->rank != 2 && tensor->rank != 3) || !readable_type(tensor, &shard->dtype))
            return hsae_fail(context, HSAE_ERROR_FORMAT,
                             "%s: tensor \"%s\" is %s %s; F32, F16 or BF16 of 2 or 3 dimensions is read: convert it, or name another",
                             shard->path, name, tensor->type_name, hsae_shape_text(shape, tensor->rank, tensor->shape));
    }
    for (size_t i = 0; !tensor && i < hsae_safetensors_count(shard->file); i++) {
        const struct hsae_tensor *candidate = hsae_safetensors_at(shard->file, i);
        if ((candidate->rank == 2 || candidate->rank == 3) && readable_type(candidate, &shard->dtype))
            tensor = candidate;
    }
    if (!tensor)
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: none of its %zu tensors is F32, F16 or BF16 of 2 or 3 dimensions, as activations must be; convert one",
                         shard->path, hsae_safetensors_count(shard->file));
    locate(shard, hsae_safetensors_map(shard->file), tensor->data);
    flatten(shard, tensor->rank, tensor->shape);
    return HSAE_OK;
}

static hsae_status open_npy(const hsae_context *context, struct shard *shard)
{
    struct hsae_npy npy;
    hsae_status status = hsae_npy_parse(context, shard->path, &shard->map, &npy);
    if (status)
        return status;
    locate(shard, &shard->map, npy.data);
    shard->dtype = npy.dtype;
    flatten(shard, npy.rank, npy.shape);
    return HSAE_OK;
}

static bool named_as_data(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (strcmp(dot, ".safetensors") == 0 || strcmp(dot, ".npy") == 0);
}

/* Fills *shard, whose path is set. In a folder, a file that neither holds data nor is named as if it did has no dim. */
static hsae_status open_shard(const hsae_context *context, const char *tensor, bool in_folder, struct shard *shard)
{
    hsae_status status = hsae_map_open(context, shard->path, &shard->map);
    if (status)
        return status;
    bool npy = hsae_npy_is(&shard->map), safetensors = shard->map.size > 8 && shard->map.data[8] == '{';
    if (npy) {
        status = open_npy(context, shard);
    } else {
        hsae_map_close(&shard->map);
        if (!safetensors && in_folder && !named_as_data(shard->path))
            return HSAE_OK;
        if (!safetensors)
            return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: neither a safetensors nor an npy file", shard->path);
        status = open_safetensors(context, tensor, shard);
    }
    if (!status && (shard->dim == 0 || shard->dim > UINT32_MAX))
        return hsae_fail(context, HSAE_ERROR_DATA, "%s: its vectors have %" PRIu64 " numbers", shard->path, shard->dim);
    return status;
}

/* Opens `folder`/`name`, or `name` where folder is NULL, and appends it. */
static hsae_status add_file(struct shards *shards, const char *tensor, const char *folder, const char *name)
{
    const hsae_context *context = shards->context;
    if (shards->count == shards->capacity) {
        size_t capacity = shards->capacity ? 2 * shards->capacity : 16;
        struct shard *items = realloc(shards->items, capacity * sizeof *items);
        if (!items)
            return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", name);
        shards->items = items;
        shards->capacity = capacity;
    }
    struct shard shard = {0};
    size_t size = (folder ? strlen(folder) + 1 : 0) + strlen(name) + 1;
    shard.path = malloc(size);
    if (!shard.path)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", name);
    const char *slash = folder && *folder && folder[strlen(folder) - 1] != '/' ? "/" : "";
    snprintf(shard.path, size, "%s%s%s", folder ? folder : "", slash, name);
    hsae_status status = open_shard(context, tensor, folder != NULL, &shard);
    if (status || !shard.dim) {
        if (!status)
            hsae_log(context, HSAE_LOG_DEBUG, "%s: not a data file, left out", shard.path);
        shard_free(&shard);
        return status;
    }
    shards->items[shards->count++] = shard;
    return HSAE_OK;
}

static int by_name(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static hsae_status add_folder(struct shards *shards, const char *tensor, const char *folder)
{
    const hsae_context *context = shards->context;
    hsae_status status = HSAE_OK;
    struct dirent **entries = NULL;
    size_t before = shards->count;
    int count = scandir(folder, &entries, visible, by_name), directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (count < 0 || directory < 0)
        status = hsae_fail_reading(context, folder, errno);
    for (int i = 0; i < count; i++) {
        struct stat info;
        if (!status && !fstatat(directory, entries[i]->d_name, &info, 0) && S_ISREG(info.st_mode))
            status = add_file(shards, tensor, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (directory >= 0)
        close(directory);
    if (!status && shards->count == before)
        status =
            hsae_fail(context, HSAE_ERROR_DATA, "%s: no safetensors or npy file in this folder; give another folder, or the files", folder);
    return status;
}

static hsae_status add_path(struct shards *shards, const char *tensor, const char *path)
{
    struct stat info;
    if (stat(path, &info))
        return hsae_fail_reading(shards->context, path, errno);
    return S_ISDIR(info.st_mode) ? add_folder(shards, tensor, path) : add_file(shards, tensor, NULL, path);
}

/* Checks that the shards fit together and numbers their rows. */
static hsae_status join_shards(struct shards *shards, uint64_t *rows)
{
    const struct shard *first = shards->items;
    shards->dim = (uint32_t)first->dim;
    shards->dtype = first->dtype;
    *rows = 0;
    for (size_t i = 0; i < shards->count; i++) {
        struct shard *shard = &shards->items[i];
        if (shard->dim != first->dim)
            return hsae_fail(shards->context, HSAE_ERROR_DATA,
                             "%s: its vectors have %" PRIu64 " numbers, those of %s have %" PRIu64
                             "; give files of one width, of the same place in the same model",
                             shard->path, shard->dim, first->path, first->dim);
        if (shard->dtype != first->dtype)
            shards->dtype = HSAE_DTYPE_F32;
        shard->first = *rows;
        *rows += shard->rows; /* mapped, so far from overflow */
    }
    if (*rows == 0)
        return hsae_fail(shards->context, HSAE_ERROR_DATA,
                         "%s: the data set is empty: it has no activation vector; give files that hold some", first->path);
    return HSAE_OK;
}

hsae_status hsae_shards_open(const hsae_context *context, const hsae_dataset_params *params, struct shards *shards, uint64_t *rows)
{
    hsae_status status = HSAE_OK;
    *shards = (struct shards){.context = context};
    for (size_t i = 0; i < params->path_count && !status; i++)
        status = add_path(shards, params->tensor, params->paths[i]);
    if (!status)
        status = join_shards(shards, rows);
    if (status)
        hsae_shards_close(shards);
    return status;
}
