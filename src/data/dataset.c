#include "dataset.h"
#include "bytes.h"
#include "npy.h"
#include "safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The rows of one file. */
struct part {
    char *path;
    struct hsae_safetensors *file; /* one of these two keeps the data mapped */
    struct hsae_map map;
    const unsigned char *data;
    uint64_t first, rows; /* first: within the data set */
    uint64_t dim;
    hsae_dtype dtype;
};

/* What a data set and all its slices share. */
struct store {
    const hsae_context *context;
    atomic_size_t users;
    size_t part_count, part_capacity;
    struct part *parts;
    uint32_t dim;
    hsae_dtype dtype;
};

struct hsae_dataset {
    struct store *store;
    uint64_t first, rows;
};

size_t hsae_dtype_size(hsae_dtype dtype)
{
    return dtype == HSAE_DTYPE_F32 ? 4 : 2;
}

static void part_free(struct part *part)
{
    hsae_safetensors_close(&part->file);
    hsae_map_close(&part->map);
    free(part->path);
}

static void store_release(struct store *store)
{
    if (!store || atomic_fetch_sub(&store->users, 1) > 1)
        return;
    for (size_t i = 0; i < store->part_count; i++)
        part_free(&store->parts[i]);
    free(store->parts);
    free(store);
}

/* Opening */

static bool readable_type(const struct hsae_tensor *tensor, hsae_dtype *dtype)
{
    *dtype = tensor->type == HSAE_TENSOR_F16 ? HSAE_DTYPE_F16 : tensor->type == HSAE_TENSOR_BF16 ? HSAE_DTYPE_BF16 : HSAE_DTYPE_F32;
    return tensor->type == HSAE_TENSOR_F32 || *dtype != HSAE_DTYPE_F32;
}

/* Two or three dimensions as rows of `dim`. */
static void flatten(struct part *part, uint32_t rank, const uint64_t *shape)
{
    part->dim = shape[rank - 1];
    part->rows = rank == 3 ? shape[0] * shape[1] : shape[0];
}

static hsae_status open_safetensors(const hsae_context *context, const char *name, struct part *part)
{
    char shape[192];
    const struct hsae_tensor *tensor = NULL;
    hsae_status status = hsae_safetensors_open(context, part->path, &part->file);
    if (status)
        return status;
    if (name) {
        tensor = hsae_safetensors_find(part->file, name);
        if (!tensor)
            return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: there is no tensor \"%s\" (it has %zu, the first is \"%s\")", part->path,
                             name, hsae_safetensors_count(part->file),
                             hsae_safetensors_count(part->file) ? hsae_safetensors_at(part->file, 0)->name : "");
        if ((tensor->rank != 2 && tensor->rank != 3) || !readable_type(tensor, &part->dtype))
            return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\" is %s %s; F32, F16 or BF16 of 2 or 3 dimensions is read",
                             part->path, name, tensor->type_name, hsae_shape_text(shape, tensor->rank, tensor->shape));
    }
    for (size_t i = 0; !tensor && i < hsae_safetensors_count(part->file); i++) {
        const struct hsae_tensor *candidate = hsae_safetensors_at(part->file, i);
        if ((candidate->rank == 2 || candidate->rank == 3) && readable_type(candidate, &part->dtype))
            tensor = candidate;
    }
    if (!tensor)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: none of its %zu tensors is F32, F16 or BF16 of 2 or 3 dimensions", part->path,
                         hsae_safetensors_count(part->file));
    part->data = tensor->data;
    flatten(part, tensor->rank, tensor->shape);
    return HSAE_OK;
}

static hsae_status open_npy(const hsae_context *context, struct part *part)
{
    struct hsae_npy npy;
    hsae_status status = hsae_npy_parse(context, part->path, &part->map, &npy);
    if (status)
        return status;
    part->data = npy.data;
    part->dtype = npy.dtype;
    flatten(part, npy.rank, npy.shape);
    return HSAE_OK;
}

static bool named_as_data(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (strcmp(dot, ".safetensors") == 0 || strcmp(dot, ".npy") == 0);
}

/* Fills *part, whose path is set. In a folder, a file that neither holds data nor is named as if it did has no dim. */
static hsae_status open_part(const hsae_context *context, const char *tensor, bool in_folder, struct part *part)
{
    hsae_status status = hsae_map_open(context, part->path, &part->map);
    if (status)
        return status;
    bool npy = hsae_npy_is(&part->map), safetensors = part->map.size > 8 && part->map.data[8] == '{';
    if (npy) {
        status = open_npy(context, part);
    } else {
        hsae_map_close(&part->map);
        if (!safetensors && in_folder && !named_as_data(part->path))
            return HSAE_OK;
        if (!safetensors)
            return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: neither a safetensors nor an npy file", part->path);
        status = open_safetensors(context, tensor, part);
    }
    if (!status && (part->dim == 0 || part->dim > UINT32_MAX))
        return hsae_fail(context, HSAE_ERROR_DATA, "%s: its vectors have %" PRIu64 " numbers", part->path, part->dim);
    return status;
}

/* Opens `folder`/`name`, or `name` where folder is NULL, and appends it. */
static hsae_status add_file(struct store *store, const char *tensor, const char *folder, const char *name)
{
    const hsae_context *context = store->context;
    if (store->part_count == store->part_capacity) {
        size_t capacity = store->part_capacity ? 2 * store->part_capacity : 16;
        struct part *parts = realloc(store->parts, capacity * sizeof *parts);
        if (!parts)
            return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", name);
        store->parts = parts;
        store->part_capacity = capacity;
    }
    struct part part = {0};
    size_t size = (folder ? strlen(folder) + 1 : 0) + strlen(name) + 1;
    part.path = malloc(size);
    if (!part.path)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", name);
    const char *slash = folder && *folder && folder[strlen(folder) - 1] != '/' ? "/" : "";
    snprintf(part.path, size, "%s%s%s", folder ? folder : "", slash, name);
    hsae_status status = open_part(context, tensor, folder != NULL, &part);
    if (status || !part.dim) {
        if (!status)
            hsae_log(context, HSAE_LOG_DEBUG, "%s: not a data file, left out", part.path);
        part_free(&part);
        return status;
    }
    store->parts[store->part_count++] = part;
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

static hsae_status add_folder(struct store *store, const char *tensor, const char *folder)
{
    const hsae_context *context = store->context;
    hsae_status status = HSAE_OK;
    struct dirent **entries = NULL;
    size_t before = store->part_count;
    int count = scandir(folder, &entries, visible, by_name), directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (count < 0 || directory < 0)
        status = hsae_fail(context, HSAE_ERROR_FILE, "%s: cannot be read: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        struct stat info;
        if (!status && !fstatat(directory, entries[i]->d_name, &info, 0) && S_ISREG(info.st_mode))
            status = add_file(store, tensor, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (directory >= 0)
        close(directory);
    if (!status && store->part_count == before)
        status = hsae_fail(context, HSAE_ERROR_DATA, "%s: no safetensors or npy file in this folder", folder);
    return status;
}

static hsae_status add_path(struct store *store, const char *tensor, const char *path)
{
    struct stat info;
    if (stat(path, &info))
        return hsae_fail(store->context, HSAE_ERROR_FILE, "%s: cannot be read: %s", path, strerror(errno));
    return S_ISDIR(info.st_mode) ? add_folder(store, tensor, path) : add_file(store, tensor, NULL, path);
}

/* Checks that the parts fit together and numbers their rows. */
static hsae_status join_parts(struct store *store, uint64_t *rows)
{
    const struct part *first = store->parts;
    store->dim = (uint32_t)first->dim;
    store->dtype = first->dtype;
    *rows = 0;
    for (size_t i = 0; i < store->part_count; i++) {
        struct part *part = &store->parts[i];
        if (part->dim != first->dim)
            return hsae_fail(store->context, HSAE_ERROR_DATA, "%s: its vectors have %" PRIu64 " numbers, those of %s have %" PRIu64,
                             part->path, part->dim, first->path, first->dim);
        if (part->dtype != first->dtype)
            store->dtype = HSAE_DTYPE_F32;
        part->first = *rows;
        *rows += part->rows; /* mapped, so far from overflow */
    }
    if (*rows == 0)
        return hsae_fail(store->context, HSAE_ERROR_DATA, "%s: the data set is empty: it has no activation vector", first->path);
    return HSAE_OK;
}

hsae_status hsae_dataset_open(hsae_context *context, const hsae_dataset_params *params, hsae_dataset **out)
{
    hsae_status status = HSAE_OK;
    *out = NULL;
    if (!params || !params->paths || params->path_count == 0)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "hsae_dataset_open: no paths are given");
    hsae_dataset *dataset = calloc(1, sizeof *dataset);
    struct store *store = calloc(1, sizeof *store);
    if (!dataset || !store) {
        free(store);
        status = hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", params->paths[0]);
        goto error;
    }
    dataset->store = store;
    store->context = context;
    atomic_init(&store->users, 1);
    for (size_t i = 0; i < params->path_count && !status; i++)
        status = add_path(store, params->tensor, params->paths[i]);
    if (!status)
        status = join_parts(store, &dataset->rows);
    if (status)
        goto error;
    *out = dataset;
    return HSAE_OK;
error:
    hsae_dataset_close(&dataset);
    return status;
}

hsae_status hsae_dataset_slice(hsae_dataset *dataset, uint64_t first, uint64_t count, hsae_dataset **out)
{
    struct store *store = dataset->store;
    *out = NULL;
    if (count == 0 || first >= dataset->rows || count > dataset->rows - first)
        return hsae_fail(store->context, HSAE_ERROR_ARGUMENT, "hsae_dataset_slice: %" PRIu64 " rows from row %" PRIu64 " on, of %" PRIu64,
                         count, first, dataset->rows);
    hsae_dataset *slice = malloc(sizeof *slice);
    if (!slice)
        return hsae_fail(store->context, HSAE_ERROR_MEMORY, "hsae_dataset_slice: out of memory");
    *slice = (hsae_dataset){store, dataset->first + first, count};
    atomic_fetch_add(&store->users, 1);
    *out = slice;
    return HSAE_OK;
}

void hsae_dataset_close(hsae_dataset **dataset)
{
    if (!dataset || !*dataset)
        return;
    store_release((*dataset)->store);
    free(*dataset);
    *dataset = NULL;
}

uint64_t hsae_dataset_rows(const hsae_dataset *dataset)
{
    return dataset->rows;
}

uint32_t hsae_dataset_dim(const hsae_dataset *dataset)
{
    return dataset->store->dim;
}

hsae_dtype hsae_dataset_dtype(const hsae_dataset *dataset)
{
    return dataset->store->dtype;
}

/* Reading */

static const struct part *find_part(const struct store *store, uint64_t row)
{
    size_t low = 0, high = store->part_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (store->parts[middle].first <= row)
            low = middle;
        else
            high = middle;
    }
    return &store->parts[low];
}

/* `count` numbers, converted; the index of the first that is not finite, or count. */
static uint32_t copy_floats(const unsigned char *data, hsae_dtype dtype, uint32_t count, float *out)
{
    uint32_t bad = 0;
    if (dtype == HSAE_DTYPE_F32)
        for (uint32_t i = 0; i < count; i++)
            out[i] = hsae_bits_to_float(hsae_load32(data + 4 * (size_t)i));
    else if (dtype == HSAE_DTYPE_F16)
        for (uint32_t i = 0; i < count; i++)
            out[i] = hsae_f16_to_float(hsae_load16(data + 2 * (size_t)i));
    else
        for (uint32_t i = 0; i < count; i++)
            out[i] = hsae_bf16_to_float(hsae_load16(data + 2 * (size_t)i));
    for (uint32_t i = 0; i < count; i++)
        bad |= !(out[i] - out[i] == 0.0f);
    if (!bad)
        return count;
    while (out[bad - 1] - out[bad - 1] == 0.0f)
        bad++;
    return bad - 1;
}

/* The same for halves that stay what they are. */
static uint32_t copy_halves(const unsigned char *data, hsae_dtype dtype, uint32_t count, uint16_t *out)
{
    uint16_t exponent = dtype == HSAE_DTYPE_F16 ? 0x7c00 : 0x7f80;
    uint32_t bad = 0;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = hsae_load16(data + 2 * (size_t)i);
        bad |= (out[i] & exponent) == exponent;
    }
    if (!bad)
        return count;
    while ((out[bad - 1] & exponent) != exponent)
        bad++;
    return bad - 1;
}

/* Has the kernel fetch the rows that are next to be read: all of them at once, each run of neighbours as one piece. */
static void fetch_ahead(const hsae_dataset *dataset, const uint64_t *rows, size_t count)
{
    const struct store *store = dataset->store;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0, next; i < count; i = next) {
        const struct part *part = find_part(store, dataset->first + rows[i]);
        uint64_t row = dataset->first + rows[i] - part->first, size = hsae_dtype_size(part->dtype) * (uint64_t)store->dim;
        for (next = i + 1; next < count && rows[next] == rows[next - 1] + 1 && row + (next - i) < part->rows;)
            next++;
        uintptr_t begin = (uintptr_t)part->data + row * size, end = begin + (next - i) * size;
        begin -= begin % page;
        posix_madvise((void *)begin, end - begin, POSIX_MADV_WILLNEED);
    }
}

hsae_status hsae_dataset_gather(const hsae_dataset *dataset, const uint64_t *rows, size_t count, hsae_dtype dtype, void *out)
{
    const struct store *store = dataset->store;
    if (dtype != HSAE_DTYPE_F32 && dtype != store->dtype)
        return hsae_fail(store->context, HSAE_ERROR_ARGUMENT, "hsae_dataset_gather: the rows do not have this dtype");
    for (size_t i = 0; i < count; i++)
        if (rows[i] >= dataset->rows)
            return hsae_fail(store->context, HSAE_ERROR_ARGUMENT, "row %" PRIu64 " of a data set of %" PRIu64 " rows", rows[i],
                             dataset->rows);
    fetch_ahead(dataset, rows, count);
    for (size_t i = 0; i < count; i++) {
        const struct part *part = find_part(store, dataset->first + rows[i]);
        uint64_t row = dataset->first + rows[i] - part->first;
        const unsigned char *data = part->data + row * store->dim * hsae_dtype_size(part->dtype);
        size_t at = i * store->dim;
        uint32_t finite = dtype == HSAE_DTYPE_F32 ? copy_floats(data, part->dtype, store->dim, (float *)out + at)
                                                  : copy_halves(data, dtype, store->dim, (uint16_t *)out + at);
        if (finite < store->dim)
            return hsae_fail(store->context, HSAE_ERROR_DATA, "%s: row %" PRIu64 ", column %u (from 0): a value that is not finite",
                             part->path, row, finite);
    }
    return HSAE_OK;
}

hsae_status hsae_dataset_read(const hsae_dataset *dataset, const uint64_t *rows, size_t count, float *out)
{
    return hsae_dataset_gather(dataset, rows, count, HSAE_DTYPE_F32, out);
}
