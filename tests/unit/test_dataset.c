/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "data/bytes.h"
#include "data/dataset.h"
#include "data/safetensors.h"

#include <math.h>
#include <sys/stat.h>

/* Half precision by its definition, independent of the library. */
static float half_by_definition(uint16_t bits)
{
    int exponent = (bits >> 10) & 31;
    double mantissa = bits & 1023, value = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    if (exponent == 31)
        value = mantissa != 0 ? (double)NAN : (double)INFINITY;
    return (float)(bits & 0x8000 ? -value : value);
}

static void test_halves(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float half = hsae_f16_to_float((uint16_t)bits), expected = half_by_definition((uint16_t)bits);
        float brain = hsae_bf16_to_float((uint16_t)bits);
        uint32_t found;
        if (isnan(expected))
            assert_true(isnan(half));
        else
            assert_memory_equal(&half, &expected, sizeof half);
        memcpy(&found, &brain, sizeof found);
        assert_int_equal(found, bits << 16);
    }
}

static void write_tensors(const char *path, const struct hsae_new_tensor *tensors, size_t count)
{
    assert_ok(hsae_safetensors_write(context, path, NULL, 0, tensors, count));
}

/* rows x dim numbers first, first + 1, ... as "x". */
static void write_counting(const char *path, uint64_t rows, uint64_t dim, float first)
{
    float values[256];
    for (uint64_t i = 0; i < rows * dim; i++)
        values[i] = first + (float)i;
    write_tensors(path, &(struct hsae_new_tensor){.name = "x", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {rows, dim}, .data = values},
                  1);
}

/* Writes an npy file with this header, not padded. */
static void write_npy(const char *path, int version, const char *header, const void *data, size_t size)
{
    unsigned char bytes[1024] = "\x93NUMPY";
    size_t length = strlen(header), start = version == 1 ? 10 : 12;
    bytes[6] = (unsigned char)version;
    for (size_t i = 8; i < start; i++)
        bytes[i] = (unsigned char)(length >> 8 * (i - 8));
    memcpy(bytes + start, header, length);
    memcpy(bytes + start + length, data, size);
    write_file(path, bytes, start + length + size);
}

static hsae_status open_named(const char *path, const char *tensor, hsae_dataset **out)
{
    return hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1, .tensor = tensor}, out);
}

static hsae_status open_one(const char *path, hsae_dataset **out)
{
    return open_named(path, NULL, out);
}

static void assert_rows(hsae_dataset *dataset, const uint64_t *rows, size_t count, const float *expected)
{
    float found[256];
    assert_ok(hsae_dataset_read(dataset, rows, count, found));
    for (size_t i = 0; i < count * hsae_dataset_dim(dataset); i++)
        assert_true(found[i] == expected[i]);
}

static void test_safetensors(void **state)
{
    (void)state;
    static const int64_t ids[6] = {1, 2, 3, 4, 5, 6};
    static const float bias[3] = {7, 8, 9};
    static const uint16_t halves[12] = {0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700, 0x4800, 0x4880, 0x4900, 0x4980, 0x0001};
    static const uint16_t brains[4] = {0x3f80, 0x4000, 0x4040, 0x0001};
    const struct hsae_new_tensor tensors[] = {
        {.name = "ids", .type = HSAE_TENSOR_I64, .rank = 2, .shape = {2, 3}, .data = ids},
        {.name = "bias", .type = HSAE_TENSOR_F32, .rank = 1, .shape = {3}, .data = bias},
        {.name = "acts", .type = HSAE_TENSOR_F16, .rank = 3, .shape = {2, 2, 3}, .data = halves},
        {.name = "later", .type = HSAE_TENSOR_BF16, .rank = 2, .shape = {2, 2}, .data = brains},
    };
    hsae_dataset *dataset;
    uint16_t packed[6];
    write_tensors(scratch("no-extension"), tensors, 4); /* the content tells the format */
    assert_fails(open_one(scratch("no-extension"), &dataset), HSAE_ERROR_FORMAT, "2 of its tensors can hold", "acts (F16 [2, 2, 3])",
                 "later (BF16 [2, 2])", "--tensor", NULL);
    assert_ok(open_named(scratch("no-extension"), "acts", &dataset));
    assert_int_equal(hsae_dataset_rows(dataset), 4);
    assert_int_equal(hsae_dataset_dim(dataset), 3);
    assert_int_equal(hsae_dataset_dtype(dataset), HSAE_DTYPE_F16);
    assert_rows(dataset, (uint64_t[]){3, 0}, 2, (float[]){10, 11, 0x1p-24f, 1, 2, 3});
    assert_ok(hsae_dataset_gather(dataset, (uint64_t[]){3, 0}, 2, HSAE_DTYPE_F16, packed));
    assert_memory_equal(packed, ((uint16_t[]){0x4900, 0x4980, 1, 0x3c00, 0x4000, 0x4200}), sizeof packed);
    assert_fails(hsae_dataset_gather(dataset, (uint64_t[]){0}, 1, HSAE_DTYPE_BF16, packed), HSAE_ERROR_ARGUMENT, NULL);
    assert_fails(hsae_dataset_read(dataset, (uint64_t[]){4}, 1, (float[8]){0}), HSAE_ERROR_ARGUMENT, "row 4", "4 rows", NULL);
    assert_ok(hsae_dataset_read(dataset, (uint64_t[]){0}, 0, (float[1]){0}));
    hsae_dataset_close(&dataset);
    assert_null(dataset);
    assert_ok(open_named(scratch("no-extension"), "later", &dataset));
    assert_int_equal(hsae_dataset_dtype(dataset), HSAE_DTYPE_BF16);
    assert_rows(dataset, (uint64_t[]){0, 1}, 2, (float[]){1, 2, 3, 0x1p-133f});
    hsae_dataset_close(&dataset);
    assert_fails(open_named(scratch("no-extension"), "ids", &dataset), HSAE_ERROR_FORMAT, "\"ids\" is I64 [2, 3]", "F32, F16 or BF16",
                 NULL);
    assert_fails(open_named(scratch("no-extension"), "bias", &dataset), HSAE_ERROR_FORMAT, "\"bias\" is F32 [3]", NULL);
    assert_fails(open_named(scratch("no-extension"), "more", &dataset), HSAE_ERROR_FORMAT, "no tensor \"more\"", "among its 4", NULL);
    write_tensors(scratch("none"), tensors, 2);
    assert_fails(open_one(scratch("none"), &dataset), HSAE_ERROR_FORMAT, "none of its 2 tensors", NULL);
    assert_null(dataset);
    hsae_dataset_close(NULL);
}

static void test_npy(void **state)
{
    (void)state;
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    static const uint16_t halves[6] = {0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600};
    const char *path = scratch("a.npy");
    hsae_dataset *dataset;
    for (int version = 1; version <= 3; version++) {
        write_npy(path, version, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }   \n", values, sizeof values);
        assert_ok(open_one(path, &dataset));
        assert_int_equal(hsae_dataset_rows(dataset), 3);
        assert_rows(dataset, (uint64_t[]){2, 0, 1}, 3, (float[]){5, 6, 1, 2, 3, 4});
        hsae_dataset_close(&dataset);
    }
    write_npy(path, 1, "{\"shape\":(1,3,2),\"descr\":\"<f2\",\"fortran_order\":False}", halves, sizeof halves);
    assert_ok(open_one(path, &dataset));
    assert_int_equal(hsae_dataset_dtype(dataset), HSAE_DTYPE_F16);
    assert_rows(dataset, (uint64_t[]){1}, 1, (float[]){3, 4});
    hsae_dataset_close(&dataset);

    static const struct {
        int version;
        const char *header, *expected;
        size_t size;
    } cases[] = {
        {4, "{}", "version 4", 0},
        {0, "{}", "version 0", 0},
        {1, "[]", "not a dictionary", 0},
        {1, "{ ", "dictionary", 0},
        {1, "{}", "lacks", 0},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)", "dictionary", 24},
        {1, "{'descr': '<f4', 'shape': (3, 2)}", "lacks", 24},
        {1, "{'descr': '<f4', 'descr': '<f4', 'shape': (3, 2)}", "one twice", 24},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), 'x': 1}", "unknown key", 24},
        {1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 2)}", "records", 24},
        {1, "{'descr': '<f4aaaaaaaaaaaaaaaaaaaaaaaaaa', 'fortran_order': False, 'shape': (3, 2)}", "records", 24},
        {1, "{'descr': '>f4', 'fortran_order': False, 'shape': (3, 2)}", "'>f4'", 24},
        {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 1)}", "'<f8'; '<f4' and '<f2'", 24},
        {1, "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2)}", "Fortran order", 24},
        {1, "{'descr': '<f4', 'fortran_order': 0, 'shape': (3, 2)}", "neither True nor False", 24},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", "1 dimensions", 24},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 3, 2)}", "4 dimensions", 24},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "0 dimensions", 24},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 2)}", "not a list of numbers", 24},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3 2)}", "not a list of numbers", 24},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2)}", "not a list of numbers", 24},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "overflows", 24},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2)}", "truncated: 32 bytes of data are announced, 24 follow", 24},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_npy(path, cases[i].version, cases[i].header, values, cases[i].size);
        assert_fails(open_one(path, &dataset), HSAE_ERROR_FORMAT, path, cases[i].expected, NULL);
        assert_null(dataset);
    }
    write_file(path, "\x93NUMPY\x01\x00\xff\xff{}", 12);
    assert_fails(open_one(path, &dataset), HSAE_ERROR_FORMAT, path, "65535 bytes is announced, 2 follow", NULL);
    write_file(path, "\x93NUMPY\x01", 7);
    assert_fails(open_one(path, &dataset), HSAE_ERROR_FORMAT, path, "truncated", NULL);
    messages[HSAE_LOG_WARNING][0] = '\0';
    write_npy(path, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}", values, 24);
    assert_ok(open_one(path, &dataset));
    assert_non_null(strstr(messages[HSAE_LOG_WARNING], "16 bytes after the npy array are not read"));
    hsae_dataset_close(&dataset);
}

/* Folders, several paths, and slices that outlive what they came from. */
static void test_shards(void **state)
{
    (void)state;
    static const float values[2] = {90, 91};
    hsae_dataset *dataset, *slice, *inner, *none;
    assert_int_equal(hsae_os_make_folder(scratch("d")), 0);
    assert_int_equal(hsae_os_make_folder(scratch("d/0-folder")), 0);
    write_counting(scratch("d/b"), 2, 2, 10);
    write_counting(scratch("d/a.safetensors"), 1, 2, 0);
    write_counting(scratch("d/ab.safetensors"), 0, 2, 0);
    write_counting(scratch("d/c.safetensors"), 3, 2, 20);
    write_counting(scratch("d/.hidden"), 1, 5, 0);
    write_file(scratch("d/tokens.jsonl"), "{\"tokens\": []}\n", 15);
    write_file(scratch("d/empty.txt"), "", 0);
    write_npy(scratch("e.npy"), 2, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}", values, sizeof values);
    const char *paths[] = {scratch("e.npy"), scratch("d")};
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = paths, .path_count = 2}, &dataset));
    assert_int_equal(hsae_dataset_rows(dataset), 7);
    assert_rows(dataset, (uint64_t[]){0, 1, 2, 3, 4, 5, 6}, 7, (float[]){90, 91, 0, 1, 10, 11, 12, 13, 20, 21, 22, 23, 24, 25});
    assert_rows(dataset, (uint64_t[]){6, 6, 2, 3, 0}, 5, (float[]){24, 25, 24, 25, 10, 11, 12, 13, 90, 91});
    assert_ok(hsae_dataset_slice(dataset, 2, 4, &slice));
    assert_ok(hsae_dataset_slice(slice, 1, 3, &inner));
    assert_fails(hsae_dataset_slice(slice, 1, 4, &none), HSAE_ERROR_ARGUMENT, "4 rows from row 1 on, of 4", NULL);
    assert_null(none);
    assert_fails(hsae_dataset_slice(slice, 0, 0, &none), HSAE_ERROR_ARGUMENT, NULL);
    assert_fails(hsae_dataset_slice(slice, UINT64_MAX, 2, &none), HSAE_ERROR_ARGUMENT, NULL);
    hsae_dataset_close(&dataset);
    hsae_dataset_close(&slice);
    assert_int_equal(hsae_dataset_rows(inner), 3);
    assert_rows(inner, (uint64_t[]){0, 1, 2}, 3, (float[]){12, 13, 20, 21, 22, 23});
    assert_fails(hsae_dataset_read(inner, (uint64_t[]){3}, 1, (float[8]){0}), HSAE_ERROR_ARGUMENT, "row 3", NULL);
    hsae_dataset_close(&inner);
}

static void test_slice_outlives(void **state)
{
    (void)state;
    hsae_dataset *dataset, *slice;
    write_counting(scratch("s"), 4, 2, 0);
    assert_ok(open_one(scratch("s"), &dataset));
    assert_ok(hsae_dataset_slice(dataset, 3, 1, &slice));
    hsae_dataset_close(&dataset);
    assert_rows(slice, (uint64_t[]){0}, 1, (float[]){6, 7});
    hsae_dataset_close(&slice);
}

static void test_unusable(void **state)
{
    (void)state;
    hsae_dataset *dataset;
    assert_fails(open_one(scratch("missing"), &dataset), HSAE_ERROR_FILE, "missing", "No such file", NULL);
    assert_int_equal(hsae_os_make_folder(scratch("u")), 0);
    assert_fails(open_one(scratch("u"), &dataset), HSAE_ERROR_DATA, scratch("u"), "no safetensors, npy or Arrow file", NULL);
    write_file(scratch("text"), "some text, long enough", 22);
    assert_fails(open_one(scratch("text"), &dataset), HSAE_ERROR_FORMAT, "text", "plain text", NULL);
    write_file(scratch("text"), "\x01\x02\x03\x04", 4);
    assert_fails(open_one(scratch("text"), &dataset), HSAE_ERROR_FORMAT, "text", "neither a safetensors nor an npy nor an Arrow file",
                 NULL);
    write_file(scratch("zero"), "", 0);
    assert_fails(open_one(scratch("zero"), &dataset), HSAE_ERROR_FORMAT, "zero", "an empty file", NULL);
    write_file(scratch("u/x.safetensors"), "", 0); /* has a name of a data file, so it is not left out */
    assert_fails(open_one(scratch("u"), &dataset), HSAE_ERROR_FORMAT, "u/x.safetensors", NULL);
    write_counting(scratch("u/x.safetensors"), 0, 2, 0);
    assert_fails(open_one(scratch("u"), &dataset), HSAE_ERROR_DATA, "u/x.safetensors", "empty", NULL);
    write_counting(scratch("u/x.safetensors"), 1, 0, 0);
    assert_fails(open_one(scratch("u"), &dataset), HSAE_ERROR_DATA, "u/x.safetensors", "have no numbers", NULL);
    write_counting(scratch("u/x.safetensors"), 1, 2, 0);
    write_counting(scratch("u/y.safetensors"), 1, 3, 0);
    assert_fails(open_one(scratch("u"), &dataset), HSAE_ERROR_DATA, "u/y.safetensors: its vectors have 3 numbers", "u/x.safetensors have 2",
                 NULL);
    assert_fails(hsae_dataset_open(context, &(hsae_dataset_params){0}, &dataset), HSAE_ERROR_ARGUMENT, "no paths", NULL);
    assert_null(dataset);
    size_t size;
    unsigned char *bytes = read_file(scratch("u/y.safetensors"), &size);
    write_file(scratch("u/y.safetensors"), bytes, size - 1);
    free(bytes);
    assert_fails(open_one(scratch("u"), &dataset), HSAE_ERROR_FORMAT, "u/y.safetensors", "beyond the end of the file", NULL);
}

static void test_not_finite(void **state)
{
    (void)state;
    static const float bad[6] = {1, 2, 3, 4, 5, NAN}, infinite[2] = {-INFINITY, 1};
    static const uint16_t halves[4] = {0, 0, 0xfc00, 0}, brains[4] = {0, 0, 0, 0x7fc0};
    float out[8];
    hsae_dataset *dataset;
    write_counting(scratch("good"), 2, 2, 0);
    write_tensors(scratch("bad"), &(struct hsae_new_tensor){.name = "x", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {3, 2}, .data = bad},
                  1);
    const char *paths[] = {scratch("good"), scratch("bad")};
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = paths, .path_count = 2}, &dataset));
    assert_ok(hsae_dataset_read(dataset, (uint64_t[]){0, 1, 2, 3}, 4, out));
    assert_fails(hsae_dataset_read(dataset, (uint64_t[]){3, 4}, 2, out), HSAE_ERROR_DATA, "bad: row 2, column 1", "not finite", NULL);
    hsae_dataset_close(&dataset);
    write_tensors(scratch("bad"),
                  &(struct hsae_new_tensor){.name = "x", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {1, 2}, .data = infinite}, 1);
    assert_ok(open_one(scratch("bad"), &dataset));
    assert_fails(hsae_dataset_read(dataset, (uint64_t[]){0}, 1, out), HSAE_ERROR_DATA, "bad: row 0, column 0", NULL);
    hsae_dataset_close(&dataset);
    for (int brain = 0; brain < 2; brain++) {
        write_tensors(scratch("bad"),
                      &(struct hsae_new_tensor){.name = "x",
                                                .type = brain ? HSAE_TENSOR_BF16 : HSAE_TENSOR_F16,
                                                .rank = 2,
                                                .shape = {2, 2},
                                                .data = brain ? brains : halves},
                      1);
        const char *expected = brain ? "row 1, column 1" : "row 1, column 0";
        assert_ok(open_one(scratch("bad"), &dataset));
        assert_fails(hsae_dataset_read(dataset, (uint64_t[]){0, 1}, 2, out), HSAE_ERROR_DATA, expected, NULL);
        assert_fails(hsae_dataset_gather(dataset, (uint64_t[]){0, 1}, 2, hsae_dataset_dtype(dataset), out), HSAE_ERROR_DATA, expected,
                     NULL);
        hsae_dataset_close(&dataset);
    }
}

/* A file that is cut after it was opened is an error, at the row that is missing. */
static void test_cut_file(void **state)
{
    (void)state;
    float out[8];
    hsae_dataset *dataset;
    write_counting(scratch("cut"), 4, 2, 0);
    write_counting(scratch("whole"), 2, 2, 8);
    const char *paths[] = {scratch("whole"), scratch("cut")};
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = paths, .path_count = 2}, &dataset));
    size_t size;
    free(read_file(scratch("cut"), &size));
    assert_int_equal(truncate(scratch("cut"), (off_t)size - 7), 0);
    assert_rows(dataset, (uint64_t[]){4, 1, 3}, 3, (float[]){4, 5, 10, 11, 2, 3});
    assert_fails(hsae_dataset_read(dataset, (uint64_t[]){2, 3, 4, 5}, 4, out), HSAE_ERROR_FILE, "cut: row 3", "ends before it", NULL);
    hsae_dataset_close(&dataset);
}

static void test_golden(void **state)
{
    (void)state;
    hsae_dataset *dataset;
    float row[24];
    assert_ok(open_one(HSAE_GOLDEN "/eval/two-levels/data.safetensors", &dataset));
    assert_int_equal(hsae_dataset_rows(dataset), 200);
    assert_int_equal(hsae_dataset_dim(dataset), 24);
    assert_ok(hsae_dataset_read(dataset, (uint64_t[]){199}, 1, row));
    hsae_dataset_close(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halves),     cmocka_unit_test(test_safetensors),    cmocka_unit_test(test_npy),
        cmocka_unit_test(test_shards),     cmocka_unit_test(test_slice_outlives), cmocka_unit_test(test_unusable),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_cut_file),       cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
