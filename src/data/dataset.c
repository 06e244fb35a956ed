/* SPDX-License-Identifier: MIT */
#include "dataset.h"
#include "bytes.h"
#include "shards.h"
#include "squares.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    BLOCK_BYTES = 1 << 18,     /* read at a time by hsae_dataset_gather, whose caller has no memory for rows of the file's type */
    ANNOUNCED_BYTES = 1 << 17, /* operating systems fetch no more per call than their read-ahead */
};

/* What a data set and all its slices share. */
struct store {
    const hsae_context *context;
    atomic_size_t users;
    struct shards shards;
};

struct hsae_dataset {
    struct store *store;
    uint64_t first, rows;
};

static void store_release(struct store *store)
{
    if (!store || atomic_fetch_sub(&store->users, 1) > 1)
        return;
    hsae_shards_close(&store->shards);
    free(store);
}

/* A data set without rows; NULL: out of memory. */
static hsae_dataset *new_dataset(const hsae_context *context)
{
    hsae_dataset *dataset = calloc(1, sizeof *dataset);
    struct store *store = calloc(1, sizeof *store);
    if (!dataset || !store) {
        free(dataset);
        free(store);
        return NULL;
    }
    dataset->store = store;
    store->context = context;
    atomic_init(&store->users, 1);
    return dataset;
}

hsae_status hsae_dataset_open(hsae_context *context, const hsae_dataset_params *params, hsae_dataset **out)
{
    HSAE_REQUIRE(context, context, params, out);
    *out = NULL;
    if (!params->paths || params->path_count == 0)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "hsae_dataset_open: no paths are given");
    hsae_dataset *dataset = new_dataset(context);
    if (!dataset)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", params->paths[0]);
    hsae_status status = hsae_shards_open(context, params, &dataset->store->shards, &dataset->rows);
    if (status)
        hsae_dataset_close(&dataset);
    *out = dataset;
    return status;
}

hsae_status hsae_dataset_from_memory(hsae_context *context, const void *rows, hsae_dtype dtype, uint64_t count, uint32_t dim,
                                     hsae_dataset **out)
{
    HSAE_REQUIRE(context, context, rows, out);
    return hsae_dataset_named(context, "rows in memory", rows, dtype, count, dim, out);
}

hsae_status hsae_dataset_named(hsae_context *context, const char *name, const void *rows, hsae_dtype dtype, uint64_t count, uint32_t dim,
                               hsae_dataset **out)
{
    *out = NULL;
    if (!hsae_is_dtype(dtype))
        return hsae_fail_dtype(context, "hsae_dataset_from_memory", dtype);
    if (count == 0 || dim == 0 || count > SIZE_MAX / 4 / dim)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "hsae_dataset_from_memory: %" PRIu64 " rows of width %" PRIu32, count, dim);
    hsae_dataset *dataset = new_dataset(context);
    if (!dataset)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory for a data set", name);
    dataset->rows = count;
    hsae_status status = hsae_shards_from_memory(context, name, rows, dtype, count, dim, &dataset->store->shards);
    if (status)
        hsae_dataset_close(&dataset);
    *out = dataset;
    return status;
}

hsae_status hsae_dataset_slice(hsae_dataset *dataset, uint64_t first, uint64_t count, hsae_dataset **out)
{
    HSAE_REQUIRE(dataset ? dataset->store->context : NULL, dataset, out);
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

hsae_dataset *hsae_dataset_share(const hsae_dataset *dataset)
{
    hsae_dataset *other = malloc(sizeof *other);
    if (!other)
        return NULL;
    *other = *dataset;
    atomic_fetch_add(&dataset->store->users, 1);
    return other;
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
    return dataset ? dataset->rows : 0;
}

uint32_t hsae_dataset_dim(const hsae_dataset *dataset)
{
    return dataset ? dataset->store->shards.dim : 0;
}

size_t hsae_dataset_file_count(const hsae_dataset *dataset)
{
    return dataset ? dataset->store->shards.source_count : 0;
}

const hsae_data_file *hsae_dataset_file(const hsae_dataset *dataset, size_t index)
{
    return dataset && index < dataset->store->shards.source_count ? &dataset->store->shards.sources[index].about : NULL;
}

hsae_dtype hsae_dataset_dtype(const hsae_dataset *dataset)
{
    return dataset->store->shards.dtype;
}

const hsae_context *hsae_dataset_context(const hsae_dataset *dataset)
{
    return dataset->store->context;
}

const char *hsae_dataset_path(const hsae_dataset *dataset)
{
    return dataset->store->shards.items[0].path;
}

const hsae_data_file *hsae_dataset_place(const hsae_dataset *dataset, uint64_t row, uint64_t *file_row)
{
    if (!dataset || row >= dataset->rows || !file_row)
        return NULL;
    const struct shards *shards = &dataset->store->shards;
    size_t file = 0;
    for (row += dataset->first; file + 1 < shards->source_count && row >= shards->sources[file].about.rows; file++)
        row -= shards->sources[file].about.rows;
    *file_row = row;
    return &shards->sources[file].about;
}

/* Reading */

static const struct shard *find_shard(const struct shards *shards, uint64_t row)
{
    size_t low = 0, high = shards->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (shards->items[middle].first <= row)
            low = middle;
        else
            high = middle;
    }
    return &shards->items[low];
}

uint32_t hsae_row_floats(const unsigned char *data, hsae_dtype dtype, uint32_t count, float *out)
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

/* The same without converting: 16-bit numbers stay as they are. */
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

static uint64_t row_size(const struct shards *shards, const struct shard *shard)
{
    return hsae_dtype_size(shard->dtype) * (uint64_t)shards->dim;
}

size_t hsae_dataset_row_bytes(const hsae_dataset *dataset)
{
    return hsae_dtype_size(dataset->store->shards.dtype) * dataset->store->shards.dim;
}

double hsae_dataset_squares(const hsae_dataset *dataset, uint64_t row, const unsigned char *raw)
{
    const struct shards *shards = &dataset->store->shards;
    return hsae_row_squares_raw(raw, find_shard(shards, dataset->first + row)->dtype, shards->dim);
}

/* Number of rows from the first one on that are contiguous in `shard`, which holds the first. */
static size_t run_length(const hsae_dataset *dataset, const struct shard *shard, const uint64_t *rows, size_t count)
{
    uint64_t left = shard->first + shard->rows - (dataset->first + rows[0]);
    size_t length = 1;
    while (length < count && length < left && rows[length] == rows[length - 1] + 1)
        length++;
    return length;
}

size_t hsae_dataset_fetch(const hsae_dataset *dataset, const uint64_t *rows, size_t count, unsigned char *raw, int *error)
{
    const struct shards *shards = &dataset->store->shards;
    size_t stride = hsae_dataset_row_bytes(dataset), length;
    for (size_t i = 0; i < count; i += length) {
        const struct shard *shard = find_shard(shards, dataset->first + rows[i]);
        uint64_t size = row_size(shards, shard), offset = shard->offset + (dataset->first + rows[i] - shard->first) * size;
        length = size == stride ? run_length(dataset, shard, rows + i, count - i) : 1;
        if (shard->memory) {
            memcpy(raw + i * stride, shard->memory + offset, length * size);
            continue;
        }
        size_t done = hsae_read_at(shard->descriptor, offset, length * size, raw + i * stride, error);
        if (done < length * size)
            return i + done / size;
    }
    return count;
}

hsae_status hsae_dataset_fetch_failed(const hsae_dataset *dataset, uint64_t row, int error)
{
    const hsae_context *context = dataset->store->context;
    const char *path = hsae_dataset_place(dataset, row, &row)->path;
    if (error)
        return hsae_fail(context, HSAE_ERROR_FILE, "%s: row %" PRIu64 " cannot be read: %s%s", path, row, strerror(error),
                         hsae_os_advice(error));
    return hsae_fail(context, HSAE_ERROR_FILE,
                     "%s: row %" PRIu64 " cannot be read: the file ends before it, so it was cut after it was opened; put it back whole",
                     path, row);
}

static hsae_status fail_not_finite(const hsae_dataset *dataset, uint64_t row, uint32_t column)
{
    const char *path = hsae_dataset_place(dataset, row, &row)->path;
    return hsae_fail(dataset->store->context, HSAE_ERROR_DATA,
                     "%s: row %" PRIu64 ", column %u (from 0): a value that is not finite; drop the row, make it again, or leave such rows "
                     "out with skip_bad_rows",
                     path, row, column);
}

/* `any`: values that are not finite are no error. */
static hsae_status unpack(const hsae_dataset *dataset, const uint64_t *rows, size_t count, const unsigned char *raw, hsae_dtype dtype,
                          bool any, void *out)
{
    const struct store *store = dataset->store;
    uint32_t dim = store->shards.dim;
    size_t stride = hsae_dataset_row_bytes(dataset);
    for (size_t i = 0; i < count; i++) {
        const struct shard *shard = find_shard(&store->shards, dataset->first + rows[i]);
        size_t at = i * dim;
        uint32_t finite = dtype == HSAE_DTYPE_F32 ? hsae_row_floats(raw + i * stride, shard->dtype, dim, (float *)out + at)
                                                  : copy_halves(raw + i * stride, dtype, dim, (uint16_t *)out + at);
        if (finite < dim && !any)
            return fail_not_finite(dataset, rows[i], finite);
    }
    return HSAE_OK;
}

hsae_status hsae_dataset_unpack(const hsae_dataset *dataset, const uint64_t *rows, size_t count, const unsigned char *raw, hsae_dtype dtype,
                                void *out)
{
    return unpack(dataset, rows, count, raw, dtype, false, out);
}

static hsae_status gather(const hsae_dataset *dataset, const uint64_t *rows, size_t count, hsae_dtype dtype, bool any, void *out)
{
    const struct store *store = dataset->store;
    hsae_status status = HSAE_OK;
    size_t stride = hsae_dataset_row_bytes(dataset), row_out = store->shards.dim * hsae_dtype_size(dtype);
    size_t most = BLOCK_BYTES / stride ? BLOCK_BYTES / stride : 1;
    if (dtype != HSAE_DTYPE_F32 && dtype != store->shards.dtype)
        return hsae_fail(store->context, HSAE_ERROR_ARGUMENT, "hsae_dataset_gather: the rows do not have this dtype");
    for (size_t i = 0; i < count; i++)
        if (rows[i] >= dataset->rows)
            return hsae_fail(store->context, HSAE_ERROR_ARGUMENT, "row %" PRIu64 " of a data set of %" PRIu64 " rows", rows[i],
                             dataset->rows);
    unsigned char *raw = malloc((count < most ? count : most) * stride + 1);
    if (!raw)
        return hsae_fail(store->context, HSAE_ERROR_MEMORY, "out of memory for rows of %zu bytes", stride);
    for (size_t i = 0, block; i < count && !status; i += block) {
        int error;
        block = count - i < most ? count - i : most;
        size_t fetched = hsae_dataset_fetch(dataset, rows + i, block, raw, &error);
        status = unpack(dataset, rows + i, fetched, raw, dtype, any, (char *)out + i * row_out);
        if (!status && fetched < block)
            status = hsae_dataset_fetch_failed(dataset, rows[i + fetched], error);
    }
    free(raw);
    return status;
}

hsae_status hsae_dataset_gather(const hsae_dataset *dataset, const uint64_t *rows, size_t count, hsae_dtype dtype, void *out)
{
    return gather(dataset, rows, count, dtype, false, out);
}

/* Reading in order: the next rows will be wanted, so ask the system to read as many ahead. */
static void announce_next(const hsae_dataset *dataset, const uint64_t *rows, size_t count)
{
    const struct shards *shards = &dataset->store->shards;
    if (count < 2 || rows[count - 1] - rows[0] != count - 1 || rows[count - 1] + 1 >= dataset->rows)
        return;
    uint64_t row = dataset->first + rows[count - 1] + 1;
    const struct shard *shard = find_shard(shards, row);
    if (shard->memory)
        return;
    uint64_t size = row_size(shards, shard), begin = shard->offset + (row - shard->first) * size;
    uint64_t left = shard->rows - (row - shard->first), end = begin + (left < count ? left : count) * size;
    for (uint64_t at = begin; at < end; at += ANNOUNCED_BYTES)
        hsae_os_expect(shard->descriptor, at, end - at < ANNOUNCED_BYTES ? end - at : ANNOUNCED_BYTES);
}

hsae_status hsae_dataset_read(const hsae_dataset *dataset, const uint64_t *rows, size_t count, float *out)
{
    HSAE_REQUIRE(dataset ? dataset->store->context : NULL, dataset, rows, out);
    hsae_status status = gather(dataset, rows, count, HSAE_DTYPE_F32, false, out);
    if (!status)
        announce_next(dataset, rows, count);
    return status;
}

hsae_status hsae_dataset_read_any(const hsae_dataset *dataset, const uint64_t *rows, size_t count, float *out)
{
    HSAE_REQUIRE(dataset ? dataset->store->context : NULL, dataset, rows, out);
    hsae_status status = gather(dataset, rows, count, HSAE_DTYPE_F32, true, out);
    if (!status)
        announce_next(dataset, rows, count);
    return status;
}
