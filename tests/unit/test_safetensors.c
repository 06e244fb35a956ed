/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "data/safetensors.h"

/* A file of this header and `size` bytes of data (0, 1, 2, ...). */
static const char *make(const char *header, size_t size)
{
    size_t length = strlen(header);
    unsigned char *bytes = malloc(8 + length + size);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < size; i++)
        bytes[8 + length + i] = (unsigned char)i;
    write_file(scratch("file"), bytes, 8 + length + size);
    free(bytes);
    return scratch("file");
}

static void test_read(void **state)
{
    (void)state;
    struct hsae_safetensors *file;
    char text[192];
    assert_ok(hsae_safetensors_open(context,
                                    make("{\"b\": {\"dtype\": \"I32\", \"shape\": [1], \"data_offsets\": [9, 13]},"
                                         "\"\\u00e9\\\"\": {\"dtype\": \"U8\", \"shape\": [1, 1], \"data_offsets\": [0, 1], \"more\": []},"
                                         "\"none\": {\"dtype\": \"F32\", \"shape\": [3, 0], \"data_offsets\": [9, 9]},"
                                         "\"scalar\": {\"dtype\": \"I64\", \"shape\": [], \"data_offsets\": [1, 9]},"
                                         "\"__metadata__\": {\"k\": \"v\"}}   ",
                                         13),
                                    &file));
    assert_int_equal(hsae_safetensors_count(file), 4);
    assert_string_equal(hsae_safetensors_at(file, 0)->name, "\xc3\xa9\"");
    assert_string_equal(hsae_safetensors_at(file, 0)->type_name, "U8");
    assert_int_equal(hsae_safetensors_at(file, 0)->type, HSAE_TENSOR_OTHER);
    assert_string_equal(hsae_safetensors_at(file, 1)->name, "scalar");
    assert_string_equal(hsae_safetensors_at(file, 2)->name, "none");
    assert_int_equal(hsae_safetensors_at(file, 2)->count, 0);
    assert_string_equal(hsae_shape_text(text, 2, hsae_safetensors_at(file, 2)->shape), "[3, 0]");
    assert_string_equal(hsae_safetensors_metadata(file, "k"), "v");
    assert_null(hsae_safetensors_metadata(file, "b"));
    assert_null(hsae_safetensors_find(file, "__metadata__"));
    int32_t narrow;
    int64_t wide; /* both at odd addresses */
    assert_ok(hsae_tensor_int32s(file, hsae_safetensors_find(file, "b"), 0, 1, &narrow));
    assert_ok(hsae_tensor_int64s(file, hsae_safetensors_find(file, "scalar"), 0, 1, &wide));
    assert_int_equal(narrow, 0x0c0b0a09);
    assert_int_equal(wide, 0x0807060504030201);
    hsae_safetensors_close(&file);
    assert_null(file);
    hsae_safetensors_close(&file);

    assert_ok(hsae_safetensors_open(context, make("{}", 0), &file));
    assert_int_equal(hsae_safetensors_count(file), 0);
    assert_null(hsae_safetensors_metadata(file, "k"));
    hsae_safetensors_close(&file);
}

static hsae_status refuse(const char *path)
{
    struct hsae_safetensors *file;
    hsae_status status = hsae_safetensors_open(context, path, &file);
    assert_null(file);
    return status;
}

#define TENSOR(dtype, shape, offsets) "{\"t\": {\"dtype\": \"" dtype "\", \"shape\": " shape ", \"data_offsets\": " offsets "}}"

static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t size;
        const char *expected;
    } cases[] = {
        {"", 8, "not a JSON object"},
        {"[]", 0, "not a JSON object"},
        {"{", 0, "not a JSON object"},
        {"{} x", 0, "not a JSON object"},
        {"{\"t\": {}, \"t\": {}}", 0, "duplicate"},
        {"{\"t\\u0000\": {}}", 0, "not a JSON object"},
        {"{\"t\": 1}", 0, "\"t\": dtype is missing"},
        {"{\"t\": {}}", 0, "\"t\": dtype is missing"},
        {"{\"__metadata__\": 1}", 0, "__metadata__ is not an object"},
        {"{\"__metadata__\": {\"a\": 1}}", 0, "the value of \"a\" is not a string"},
        {TENSOR("F32", "4", "[0, 4]"), 4, "shape is missing"},
        {TENSOR("F32", "[1,1,1,1,1,1,1,1,1]", "[0, 4]"), 4, "at most 8"},
        {TENSOR("F32", "[-1]", "[0, 4]"), 4, "non-negative integers"},
        {TENSOR("F32", "[1.0]", "[0, 4]"), 4, "non-negative integers"},
        {TENSOR("F32", "[4294967296, 4294967296]", "[0, 0]"), 0, "overflows"},
        {TENSOR("F32", "[4611686018427387904]", "[0, 0]"), 0, "do not fit its shape"},
        {TENSOR("F32", "[1]", "[0]"), 4, "data_offsets is missing"},
        {TENSOR("F32", "[1]", "[0, 4, 8]"), 4, "data_offsets is missing"},
        {TENSOR("F32", "[1]", "[0, 4.0]"), 4, "data_offsets is missing"},
        {TENSOR("F32", "[1]", "[4, 0]"), 4, "run backwards"},
        {TENSOR("F32", "[1]", "[-4, 0]"), 4, "run backwards"},
        {TENSOR("F32", "[1]", "[0, 4]"), 3, "beyond the end of the file"},
        {TENSOR("F32", "[1]", "[0, 9223372036854775807]"), 4, "beyond the end of the file"},
        {TENSOR("F32", "[1]", "[0, 9223372036854775808]"), 4, "not a JSON object"},
        {TENSOR("F32", "[1]", "[0, 8]"), 8, "do not fit its shape"},
        {TENSOR("F32", "[1]", "[4, 8]"), 8, "has a hole before it"},
        {TENSOR("F32", "[1]", "[0, 4]"), 6, "2 bytes after the last tensor"},
        {"{}", 1, "1 bytes after the last tensor"},
        {"{\"a\": {\"dtype\": \"F16\", \"shape\": [2], \"data_offsets\": [0, 4]}, "
         "\"b\": {\"dtype\": \"F16\", \"shape\": [2], \"data_offsets\": [2, 6]}}",
         6, "\"b\" overlaps"},
        {"{\"a\": {\"dtype\": \"F16\", \"shape\": [2], \"data_offsets\": [0, 4]}, "
         "\"b\": {\"dtype\": \"F16\", \"shape\": [1], \"data_offsets\": [6, 8]}}",
         8, "\"b\" has a hole"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(refuse(make(cases[i].header, cases[i].size)), HSAE_ERROR_FORMAT, scratch("file"), cases[i].expected, NULL);
}

static void test_hostile_length(void **state)
{
    (void)state;
    const char *path = scratch("file");
    static const unsigned char huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    static const unsigned char longer[16] = {9, 0, 0, 0, 0, 0, 0, 0, '{', '}', ' ', ' '};
    write_file(path, huge, sizeof huge);
    assert_fails(refuse(path), HSAE_ERROR_FORMAT, path, "18446744073709551615 bytes is announced, 8 follow", NULL);
    write_file(path, longer, sizeof longer);
    assert_fails(refuse(path), HSAE_ERROR_FORMAT, path, "9 bytes is announced", NULL);
    write_file(path, "short", 5);
    assert_fails(refuse(path), HSAE_ERROR_FORMAT, path, "5 bytes", NULL);
    write_file(path, "", 0);
    assert_fails(refuse(path), HSAE_ERROR_FORMAT, path, "0 bytes", NULL);
    /* A header longer than any sensible one, in a file that has it (sparse). */
    static const unsigned char sparse[8] = {0, 0, 0, 2};
    write_file(path, sparse, sizeof sparse);
    assert_int_equal(truncate(path, (2 << 24) + 8), 0);
    assert_fails(refuse(path), HSAE_ERROR_FORMAT, path, "33554432 bytes; at most", NULL);
    enum { DEPTH = 1 << 20 };
    char *deep = malloc(DEPTH + 1);
    assert_non_null(deep);
    memset(deep, '[', DEPTH);
    deep[0] = '{';
    memcpy(deep + 1, "\"a\":", 4);
    deep[DEPTH] = '\0';
    assert_fails(refuse(make(deep, 0)), HSAE_ERROR_FORMAT, "not a JSON object", NULL);
    free(deep);
    assert_fails(refuse(scratch("no such file")), HSAE_ERROR_FILE, "no such file", "No such file", NULL);
    assert_fails(refuse(folder), HSAE_ERROR_FILE, folder, "not a regular file", NULL);
}

static void test_write(void **state)
{
    (void)state;
    static const float a[2] = {1, -2};
    static const int64_t b = 5;
    static const int32_t c = 6;
    static const uint16_t d[1] = {0x3c00};
    const struct hsae_metadata metadata[] = {{"x", "1"}, {"\"", "\n"}};
    const struct hsae_new_tensor tensors[] = {
        {.name = "d", .type = HSAE_TENSOR_F16, .rank = 1, .shape = {1}, .data = d},
        {.name = "z", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {1, 2}, .data = a},
        {.name = "c", .type = HSAE_TENSOR_I32, .rank = 1, .shape = {1}, .data = &c},
        {.name = "zz", .type = HSAE_TENSOR_I64, .rank = 0, .data = &b},
        {.name = "e", .type = HSAE_TENSOR_BF16, .rank = 2, .shape = {7, 0}},
    };
    static const char header[] = "{\"__metadata__\":{\"x\":\"1\",\"\\\"\":\"\\n\"},"
                                 "\"zz\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
                                 "\"c\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[8,12]},"
                                 "\"z\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[12,20]},"
                                 "\"d\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[20,22]},"
                                 "\"e\":{\"dtype\":\"BF16\",\"shape\":[7,0],\"data_offsets\":[22,22]}}";
    static const unsigned char data[22] = {5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0x3c};
    size_t size;
    assert_ok(hsae_safetensors_write(context, scratch("out"), metadata, 2, tensors, 5));
    unsigned char *bytes = read_file(scratch("out"), &size);
    size_t padded = (sizeof header - 1 + 7) / 8 * 8;
    assert_int_equal(size, 8 + padded + sizeof data);
    assert_int_equal(bytes[0] | bytes[1] << 8, padded);
    assert_memory_equal(bytes + 8, header, sizeof header - 1);
    for (size_t i = sizeof header - 1; i < padded; i++)
        assert_int_equal(bytes[8 + i], ' ');
    assert_memory_equal(bytes + 8 + padded, data, sizeof data);
    free(bytes);
    struct hsae_safetensors *file;
    assert_ok(hsae_safetensors_open(context, scratch("out"), &file));
    assert_string_equal(hsae_safetensors_metadata(file, "\""), "\n");
    float back[2];
    assert_ok(hsae_tensor_floats(file, hsae_safetensors_find(file, "z"), 0, 2, back));
    assert_memory_equal(back, a, sizeof a);
    hsae_safetensors_close(&file);

    const struct hsae_new_tensor twice[] = {tensors[0], tensors[0]};
    assert_fails(hsae_safetensors_write(context, scratch("twice"), NULL, 0, twice, 2), HSAE_ERROR_ARGUMENT, "twice", NULL);
    const struct hsae_new_tensor vast = {.name = "v", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {UINT64_C(1) << 31, UINT64_C(1) << 31}};
    assert_fails(hsae_safetensors_write(context, scratch("vast"), NULL, 0, &vast, 1), HSAE_ERROR_ARGUMENT, "vast", NULL);
    assert_int_equal(hsae_os_kind(scratch("twice")), HSAE_OS_NONE);
    assert_int_equal(hsae_os_kind(scratch("vast")), HSAE_OS_NONE);
}

static hsae_status count_up(void *user, size_t count, void *out)
{
    int32_t *next = user, *values = out;
    for (size_t i = 0; i < count; i++)
        values[i] = (*next)++;
    return *next > 90000 ? HSAE_CANCELLED : HSAE_OK;
}

static void test_produced(void **state)
{
    (void)state;
    int32_t next = 0, value;
    struct hsae_safetensors *file;
    struct hsae_new_tensor tensor = {.name = "n", .type = HSAE_TENSOR_I32, .rank = 1, .shape = {50000}, .next = count_up, .user = &next};
    assert_ok(hsae_safetensors_write(context, scratch("out"), NULL, 0, &tensor, 1));
    assert_int_equal(next, 50000);
    size_t before = files_in(folder);
    assert_int_equal(hsae_safetensors_write(context, scratch("out"), NULL, 0, &tensor, 1), HSAE_CANCELLED);
    assert_int_equal(files_in(folder), before);
    assert_ok(hsae_safetensors_open(context, scratch("out"), &file)); /* the first one is still there */
    assert_ok(hsae_tensor_int32s(file, hsae_safetensors_find(file, "n"), 49999, 1, &value));
    assert_int_equal(value, 49999);
    hsae_safetensors_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),  cmocka_unit_test(test_hostile),  cmocka_unit_test(test_hostile_length),
        cmocka_unit_test(test_write), cmocka_unit_test(test_produced),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
