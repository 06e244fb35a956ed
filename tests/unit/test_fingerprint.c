/* SPDX-License-Identifier: MIT */
/* The fingerprint of a data set: what it takes for the same, and what not. */
#include "support.h"

#include "data/safetensors.h"

/* rows x dim numbers first, first + 1, ... in a file of their own. */
static void write_counting(const char *path, enum hsae_tensor_type type, uint64_t rows, uint64_t dim, int first)
{
    float values[64];
    uint16_t halves[64];
    for (uint64_t i = 0; i < rows * dim; i++) {
        values[i] = (float)(first + (int)i);
        halves[i] = (uint16_t)(first + (int)i);
    }
    assert_ok(hsae_safetensors_write(
        context, path, NULL, 0,
        &(struct hsae_new_tensor){
            .name = "x", .type = type, .rank = 2, .shape = {rows, dim}, .data = type == HSAE_TENSOR_F32 ? (const void *)values : halves},
        1));
}

static uint64_t fingerprint(size_t count, const char *const *paths, uint64_t first, uint64_t rows)
{
    hsae_dataset *dataset, *slice;
    uint64_t found = 0;
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = paths, .path_count = count}, &dataset));
    assert_ok(hsae_dataset_slice(dataset, first, rows ? rows : hsae_dataset_rows(dataset), &slice));
    hsae_dataset_close(&dataset);
    assert_ok(hsae_dataset_fingerprint(slice, &found));
    hsae_dataset_close(&slice);
    return found;
}

static uint64_t of(const char *path)
{
    return fingerprint(1, (const char *const[]){path}, 0, 0);
}

static void test_rows(void **state)
{
    (void)state;
    write_counting(scratch("whole"), HSAE_TENSOR_F32, 3, 2, 0);
    write_counting(scratch("one"), HSAE_TENSOR_F32, 1, 2, 0);
    write_counting(scratch("two"), HSAE_TENSOR_F32, 2, 2, 2);
    write_counting(scratch("more"), HSAE_TENSOR_F32, 4, 2, 0);
    uint64_t whole = of(scratch("whole"));
    assert_true(whole == 0xddb253c6f4b3b549u); /* by the definition, in Python */
    const char *const parts[] = {scratch("one"), scratch("two")}, *const turned[] = {scratch("two"), scratch("one")};
    assert_true(fingerprint(2, parts, 0, 0) == whole);
    assert_true(fingerprint(2, turned, 0, 0) != whole);
    assert_true(of(scratch("more")) != whole);
    assert_true(fingerprint(1, (const char *const[]){scratch("more")}, 0, 3) == whole);
    assert_true(fingerprint(1, (const char *const[]){scratch("more")}, 1, 3) != whole);
    assert_true(fingerprint(1, (const char *const[]){scratch("more")}, 1, 2) == of(scratch("two")));
}

static void test_dtypes(void **state)
{
    (void)state;
    write_counting(scratch("f16"), HSAE_TENSOR_F16, 3, 2, 0);
    write_counting(scratch("bf16"), HSAE_TENSOR_BF16, 3, 2, 0);
    write_counting(scratch("f32"), HSAE_TENSOR_F32, 3, 2, 0);
    assert_true(of(scratch("f16")) != of(scratch("bf16")));
    const char *const mixed[] = {scratch("f32"), scratch("f16")}, *const other[] = {scratch("f32"), scratch("bf16")};
    assert_true(fingerprint(2, mixed, 0, 0) == fingerprint(2, mixed, 0, 0));
    write_counting(scratch("f16"), HSAE_TENSOR_F16, 3, 2, 1);
    assert_true(fingerprint(2, mixed, 0, 0) != fingerprint(2, other, 0, 0));
}

enum { LARGE_ROWS = 5000, LARGE_DIM = 64 };

/* Row r holds r everywhere, but row `changed` holds -1. */
static uint64_t large(size_t changed)
{
    static float values[LARGE_ROWS * LARGE_DIM];
    for (size_t i = 0; i < LARGE_ROWS * LARGE_DIM; i++)
        values[i] = i / LARGE_DIM == changed ? -1 : (float)(i / LARGE_DIM);
    assert_ok(hsae_safetensors_write(
        context, scratch("large"), NULL, 0,
        &(struct hsae_new_tensor){.name = "x", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {LARGE_ROWS, LARGE_DIM}, .data = values}, 1));
    return of(scratch("large"));
}

/* Of more than 1 MiB, 4096 of 5000 rows are read. */
static void test_large(void **state)
{
    (void)state;
    uint64_t whole = large(SIZE_MAX);
    assert_true(whole == 0x136b4d230ad99eccu);
    assert_true(large(0) != whole);
    assert_true(large(LARGE_ROWS - 1) != whole);
    assert_true(large(5) == whole); /* the first that is not read */
}

static void test_cut_file(void **state)
{
    (void)state;
    hsae_dataset *dataset;
    uint64_t found = 7;
    size_t size;
    write_counting(scratch("cut"), HSAE_TENSOR_F32, 3, 2, 0);
    assert_ok(
        hsae_dataset_open(context, &(hsae_dataset_params){.paths = (const char *const[]){scratch("cut")}, .path_count = 1}, &dataset));
    free(read_file(scratch("cut"), &size));
    assert_int_equal(truncate(scratch("cut"), (off_t)size - 1), 0);
    assert_fails(hsae_dataset_fingerprint(dataset, &found), HSAE_ERROR_FILE, "cut: row 2", "ends before it", NULL);
    assert_true(found == 7);
    assert_int_equal(hsae_dataset_fingerprint(NULL, &found), HSAE_ERROR_ARGUMENT);
    assert_int_equal(hsae_dataset_fingerprint(dataset, NULL), HSAE_ERROR_ARGUMENT);
    hsae_dataset_close(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_dtypes), cmocka_unit_test(test_large),
                                       cmocka_unit_test(test_cut_file)};
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
