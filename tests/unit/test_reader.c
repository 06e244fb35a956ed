/* SPDX-License-Identifier: MIT */
/* Reading ahead: the right rows in the right order whatever the batch, the dtypes and the slice; errors when their batch is wanted and not
 * before; ending at any time. */
#include "support.h"

#include "data/reader.h"
#include "train/order.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

enum { DIM = 5, SHARD_ROWS = 100, SHARDS = 3, ROWS = SHARDS * SHARD_ROWS };

/* Column k of row r: a whole number that all three dtypes hold. */
static float number(uint64_t r, uint64_t k)
{
    return (float)((7 * r + k) % 251) - 100;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint16_t half_of(float value)
{
    uint32_t bits = bits_of(value);
    return value == 0     ? 0
           : isinf(value) ? 0x7c00
                          : (uint16_t)((bits >> 16 & 0x8000) | ((bits >> 23 & 0xff) - 112) << 10 | (bits >> 13 & 0x3ff));
}

/* `bad`: the row of the data set whose column 2 is infinite; ROWS: none. */
static void write_shard(const char *path, uint64_t first, hsae_tensor_type type, uint64_t bad)
{
    float floats[SHARD_ROWS][DIM];
    uint16_t halves[SHARD_ROWS][DIM];
    for (uint64_t r = 0; r < SHARD_ROWS; r++)
        for (uint64_t k = 0; k < DIM; k++) {
            floats[r][k] = first + r == bad && k == 2 ? INFINITY : number(first + r, k);
            halves[r][k] = type == HSAE_TENSOR_F16 ? half_of(floats[r][k]) : (uint16_t)(bits_of(floats[r][k]) >> 16);
        }
    const hsae_new_tensor tensor = {
        .name = "x", .type = type, .rank = 2, .shape = {SHARD_ROWS, DIM}, .data = type == HSAE_TENSOR_F32 ? (const void *)floats : halves};
    assert_ok(hsae_tensor_file_write(context, path, NULL, 0, &tensor, 1));
}

static const hsae_tensor_type all_halves[] = {HSAE_TENSOR_F16, HSAE_TENSOR_F16, HSAE_TENSOR_F16},
                              all_brains[] = {HSAE_TENSOR_BF16, HSAE_TENSOR_BF16, HSAE_TENSOR_BF16},
                              all_floats[] = {HSAE_TENSOR_F32, HSAE_TENSOR_F32, HSAE_TENSOR_F32},
                              mixed[] = {HSAE_TENSOR_F16, HSAE_TENSOR_F32, HSAE_TENSOR_BF16};

static hsae_dataset *make_data(const hsae_tensor_type *types, uint64_t bad)
{
    const char *paths[SHARDS];
    hsae_dataset *dataset;
    for (int s = 0; s < SHARDS; s++) {
        paths[s] = scratch((const char *[]){"a.safetensors", "b.safetensors", "c.safetensors"}[s]);
        write_shard(paths[s], (uint64_t)s * SHARD_ROWS, types[s], bad);
    }
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = paths, .path_count = SHARDS}, &dataset));
    return dataset;
}

struct order {
    hsae_order order;
    uint64_t rows;
};

static uint64_t row_of(const void *user, uint64_t sample)
{
    const struct order *order = user;
    return hsae_order_row(order->order, 3, sample, order->rows);
}

static struct hsae_reader *open_reader(const hsae_dataset *dataset, uint32_t batch, uint64_t batches, const struct order *order)
{
    struct hsae_reader *reader;
    const struct hsae_reader_params params = {.dataset = dataset, .batch = batch, .batches = batches, .row = row_of, .user = order};
    assert_ok(hsae_reader_create(context, &params, &reader));
    return reader;
}

/* Several epochs in batches of `batch`; `first`: row of the data set that is row 0 of the slice. */
static void check_order(const hsae_dataset *dataset, uint64_t first, uint32_t batch, hsae_order how)
{
    float *out = malloc(batch * DIM * sizeof *out);
    uint64_t batches = 3 * hsae_dataset_rows(dataset) / batch;
    const struct order order = {how, hsae_dataset_rows(dataset)};
    struct hsae_reader *reader = open_reader(dataset, batch, batches, &order);
    assert_non_null(out);
    for (uint64_t b = 0; b < batches; b++) {
        double waited = -1;
        assert_ok(hsae_reader_next(reader, HSAE_DTYPE_F32, out, &waited));
        assert_true(waited >= 0);
        for (uint64_t r = 0; r < batch; r++)
            for (uint64_t k = 0; k < DIM; k++)
                assert_true(out[r * DIM + k] == number(first + row_of(&order, b * batch + r), k));
    }
    hsae_reader_destroy(&reader);
    assert_null(reader);
    free(out);
}

static void test_order(void **state)
{
    (void)state;
    const hsae_tensor_type *types[] = {all_halves, all_brains, all_floats, mixed};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        hsae_dataset *dataset = make_data(types[t], ROWS), *slice, *inner;
        assert_ok(hsae_dataset_slice(dataset, 50, 220, &slice));
        assert_ok(hsae_dataset_slice(slice, 49, 3, &inner)); /* over the edge of two shards */
        for (uint32_t batch = 1; batch <= 128; batch += batch < 31 ? 5 : 32) {
            check_order(dataset, 0, batch, HSAE_ORDER_SHUFFLE);
            check_order(dataset, 0, batch, HSAE_ORDER_SEQUENTIAL);
            check_order(slice, 50, batch, HSAE_ORDER_SHUFFLE);
            check_order(slice, 50, batch, HSAE_ORDER_SEQUENTIAL);
        }
        check_order(inner, 99, 2, HSAE_ORDER_SHUFFLE);
        hsae_dataset_close(&inner);
        hsae_dataset_close(&slice);
        hsae_dataset_close(&dataset);
    }
}

/* Halves that stay halves come as they are in the file. */
static void test_packed(void **state)
{
    (void)state;
    uint16_t out[7 * DIM];
    double waited;
    hsae_dataset *dataset = make_data(all_halves, ROWS);
    const struct order order = {HSAE_ORDER_SHUFFLE, ROWS};
    struct hsae_reader *reader = open_reader(dataset, 7, 2, &order);
    for (uint64_t b = 0; b < 2; b++) {
        assert_ok(hsae_reader_next(reader, HSAE_DTYPE_F16, out, &waited));
        for (uint64_t i = 0; i < 7 * DIM; i++)
            assert_int_equal(out[i], half_of(number(row_of(&order, 7 * b + i / DIM), i % DIM)));
    }
    hsae_reader_destroy(&reader);
    hsae_reader_destroy(NULL);
    hsae_dataset_close(&dataset);
}

/* The batch of a reader that fails first, and how; those after it work. */
static uint64_t first_failure(const hsae_dataset *dataset, uint32_t batch, const struct order *order, hsae_status expected,
                              const char *text)
{
    float *out = malloc(batch * DIM * sizeof *out);
    uint64_t batches = (ROWS + batch - 1) / batch, failed = UINT64_MAX;
    struct hsae_reader *reader = open_reader(dataset, batch, batches, order);
    assert_non_null(out);
    for (uint64_t b = 0; b < batches; b++) {
        double waited;
        hsae_status status = hsae_reader_next(reader, HSAE_DTYPE_F32, out, &waited);
        if (status && failed == UINT64_MAX) {
            failed = b;
            assert_fails(status, expected, text, NULL);
        }
    }
    hsae_reader_destroy(&reader);
    free(out);
    return failed;
}

static uint64_t batch_of(const struct order *order, uint64_t row, uint32_t batch)
{
    for (uint64_t s = 0; s < ROWS; s++)
        if (row_of(order, s) == row)
            return s / batch;
    return UINT64_MAX;
}

/* A value that is not finite is met when its batch is wanted, however early it was read. */
static void test_not_finite(void **state)
{
    (void)state;
    const struct order order = {HSAE_ORDER_SHUFFLE, ROWS};
    const uint64_t bad[] = {0, 101, 299};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        hsae_dataset *dataset = make_data(i == 1 ? mixed : all_halves, bad[i]);
        snprintf(text, sizeof text, "%c.safetensors: row %d, column 2", "abc"[bad[i] / SHARD_ROWS], (int)(bad[i] % SHARD_ROWS));
        for (uint32_t batch = 1; batch <= 50; batch += 7)
            assert_int_equal(first_failure(dataset, batch, &order, HSAE_ERROR_DATA, text), batch_of(&order, bad[i], batch));
        hsae_dataset_close(&dataset);
    }
}

/* Of several rows that are gone the first one of the earliest batch is named, every time. */
static void test_cut_file(void **state)
{
    (void)state;
    enum { LOST = 40 }; /* rows at the end of the second shard */
    const struct order order = {HSAE_ORDER_SHUFFLE, ROWS};
    hsae_dataset *dataset = make_data(all_halves, ROWS);
    size_t size;
    free(read_file(scratch("b.safetensors"), &size));
    assert_int_equal(truncate(scratch("b.safetensors"), (off_t)(size - LOST * DIM * sizeof(uint16_t))), 0);
    for (uint32_t batch = 1; batch <= 50; batch += 7) {
        char text[64];
        uint64_t sample = 0, row;
        while (row = row_of(&order, sample), row < 2 * SHARD_ROWS - LOST || row >= 2 * SHARD_ROWS)
            sample++;
        snprintf(text, sizeof text, "b.safetensors: row %d cannot be read: the file ends before it", (int)(row - SHARD_ROWS));
        for (int again = 0; again < 5; again++)
            assert_int_equal(first_failure(dataset, batch, &order, HSAE_ERROR_FILE, text), sample / batch);
    }
    hsae_dataset_close(&dataset);
}

/* Every row is asked for once; none after the last batch. */
struct count {
    struct order order;
    pthread_mutex_t lock;
    unsigned asked[2 * ROWS];
};

static uint64_t counted_row(const void *user, uint64_t sample)
{
    struct count *count = (struct count *)user;
    assert_true(sample < 2 * ROWS);
    pthread_mutex_lock(&count->lock);
    count->asked[sample]++;
    pthread_mutex_unlock(&count->lock);
    return row_of(&count->order, sample);
}

static void test_ahead(void **state)
{
    (void)state;
    enum { BATCH = 20, BATCHES = 13, MAX_AHEAD = 8 };
    static struct count count;
    float out[BATCH * DIM];
    struct hsae_reader *reader;
    hsae_dataset *dataset = make_data(all_floats, ROWS);
    count.order = (struct order){HSAE_ORDER_SHUFFLE, ROWS};
    pthread_mutex_init(&count.lock, NULL);
    const struct hsae_reader_params params = {.dataset = dataset, .batch = BATCH, .batches = BATCHES, .row = counted_row, .user = &count};
    assert_ok(hsae_reader_create(context, &params, &reader));
    for (unsigned b = 0; b < BATCHES; b++) {
        double waited;
        unsigned ahead = 0;
        assert_ok(hsae_reader_next(reader, HSAE_DTYPE_F32, out, &waited));
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); /* threads that read too far get the time for it */
        pthread_mutex_lock(&count.lock);
        while (ahead < 2 * ROWS && count.asked[ahead])
            ahead++;
        pthread_mutex_unlock(&count.lock);
        assert_true(ahead >= (b + 1) * BATCH && ahead <= (b + 1 + MAX_AHEAD) * BATCH);
    }
    hsae_reader_destroy(&reader);
    for (unsigned s = 0; s < 2 * ROWS; s++)
        assert_int_equal(count.asked[s], s < BATCH * BATCHES);
    pthread_mutex_destroy(&count.lock);
    hsae_dataset_close(&dataset);
}

/* Ending while threads read, at every stage. */
static void test_end_early(void **state)
{
    (void)state;
    enum { BATCH = 64 };
    float out[BATCH * DIM];
    const struct order order = {HSAE_ORDER_SHUFFLE, ROWS};
    hsae_dataset *dataset = make_data(mixed, ROWS);
    for (unsigned wanted = 0; wanted < 200; wanted++) {
        struct hsae_reader *reader = open_reader(dataset, BATCH, UINT64_C(1) << 50, &order);
        for (unsigned b = 0; b < wanted % 11; b++) {
            double waited;
            assert_ok(hsae_reader_next(reader, HSAE_DTYPE_F32, out, &waited));
        }
        hsae_reader_destroy(&reader);
    }
    struct hsae_reader *none = open_reader(dataset, BATCH, 0, &order);
    hsae_reader_destroy(&none);
    hsae_dataset_close(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),    cmocka_unit_test(test_packed), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_cut_file), cmocka_unit_test(test_ahead),  cmocka_unit_test(test_end_early),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
