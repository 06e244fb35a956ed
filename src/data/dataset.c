#include "dataset.h"
#include "bytes.h"
#include "shards.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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
    status = hsae_shards_open(context, params, &store->shards, &dataset->rows);
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
    return dataset->store->shards.dim;
}

hsae_dtype hsae_dataset_dtype(const hsae_dataset *dataset)
{
    return dataset->store->shards.dtype;
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
        const struct shard *shard = find_shard(&store->shards, dataset->first + rows[i]);
        uint64_t row = dataset->first + rows[i] - shard->first, size = hsae_dtype_size(shard->dtype) * (uint64_t)store->shards.dim;
        for (next = i + 1; next < count && rows[next] == rows[next - 1] + 1 && row + (next - i) < shard->rows;)
            next++;
        uintptr_t begin = (uintptr_t)shard->data + row * size, end = begin + (next - i) * size;
        begin -= begin % page;
        posix_madvise((void *)begin, end - begin, POSIX_MADV_WILLNEED);
    }
}

hsae_status hsae_dataset_gather(const hsae_dataset *dataset, const uint64_t *rows, size_t count, hsae_dtype dtype, void *out)
{
    const struct store *store = dataset->store;
    if (dtype != HSAE_DTYPE_F32 && dtype != store->shards.dtype)
        return hsae_fail(store->context, HSAE_ERROR_ARGUMENT, "hsae_dataset_gather: the rows do not have this dtype");
    for (size_t i = 0; i < count; i++)
        if (rows[i] >= dataset->rows)
            return hsae_fail(store->context, HSAE_ERROR_ARGUMENT, "row %" PRIu64 " of a data set of %" PRIu64 " rows", rows[i],
                             dataset->rows);
    fetch_ahead(dataset, rows, count);
    for (size_t i = 0; i < count; i++) {
        const struct shard *shard = find_shard(&store->shards, dataset->first + rows[i]);
        uint64_t row = dataset->first + rows[i] - shard->first;
        const unsigned char *data = shard->data + row * store->shards.dim * hsae_dtype_size(shard->dtype);
        size_t at = i * store->shards.dim;
        uint32_t finite = dtype == HSAE_DTYPE_F32 ? copy_floats(data, shard->dtype, store->shards.dim, (float *)out + at)
                                                  : copy_halves(data, dtype, store->shards.dim, (uint16_t *)out + at);
        if (finite < store->shards.dim)
            return hsae_fail(store->context, HSAE_ERROR_DATA, "%s: row %" PRIu64 ", column %u (from 0): a value that is not finite",
                             shard->path, row, finite);
    }
    return HSAE_OK;
}

hsae_status hsae_dataset_read(const hsae_dataset *dataset, const uint64_t *rows, size_t count, float *out)
{
    return hsae_dataset_gather(dataset, rows, count, HSAE_DTYPE_F32, out);
}
