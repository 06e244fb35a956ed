/* SPDX-License-Identifier: MIT */
/* Files that the real libraries wrote (tests/data/make_inputs.py), read and compared with what was put in. */
#include "support.h"

#include "data/dataset.h"
#include "data/tokens.h"

static const char *input(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", HSAE_INPUTS, name);
    return path;
}

static hsae_status open_input(const char *name, const char *tensor, hsae_dataset **out)
{
    const char *path = input(name);
    return hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1, .tensor = tensor}, out);
}

/* make_inputs.py's value(), `first` rows later, plus `more`. */
static void assert_values(hsae_dataset *dataset, uint64_t first, float more)
{
    assert_int_equal(hsae_dataset_dim(dataset), 3);
    for (uint64_t row = 0; row < hsae_dataset_rows(dataset); row++) {
        float found[3];
        assert_ok(hsae_dataset_read(dataset, &row, 1, found));
        for (uint32_t c = 0; c < 3; c++)
            assert_true(found[c] == (float)((first + row) % 16) * 0.25f - (float)c + more);
    }
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tensor, *format;
        hsae_dtype dtype;
        uint64_t rows, sequences, first;
        float more;
    } cases[] = {
        {"f4.npy", NULL, "npy", HSAE_DTYPE_F32, 24, 0, 0, 0},
        {"f2.npy", NULL, "npy", HSAE_DTYPE_F16, 24, 6, 0, 0},
        {"v2.npy", NULL, "npy", HSAE_DTYPE_F32, 24, 0, 0, 0},
        {"v3.npy", NULL, "npy", HSAE_DTYPE_F32, 24, 0, 0, 0},
        {"f32.safetensors", NULL, "safetensors", HSAE_DTYPE_F32, 24, 0, 0, 0},
        {"f16.safetensors", NULL, "safetensors", HSAE_DTYPE_F16, 24, 6, 0, 0},
        {"bf16.safetensors", "activations", "safetensors", HSAE_DTYPE_BF16, 24, 6, 0, 0},
        {"lists.arrow", "first", "arrow", HSAE_DTYPE_F32, 24, 6, 0, 0},
        {"lists.arrow", "second", "arrow", HSAE_DTYPE_F16, 24, 6, 0, 1},
        {"flat.arrow", NULL, "arrow", HSAE_DTYPE_F32, 24, 0, 0, 0},
        {"large.arrow", NULL, "arrow", HSAE_DTYPE_F32, 24, 0, 0, 0},
        {"file.arrow", NULL, "arrow", HSAE_DTYPE_F32, 24, 6, 0, 0},
        {"sliced.arrow", NULL, "arrow", HSAE_DTYPE_F32, 12, 3, 8, 0},
        {"datasets", "layer.0", "arrow", HSAE_DTYPE_F16, 24, 2, 0, 0},
        {"datasets", "layer.1", "arrow", HSAE_DTYPE_F32, 24, 2, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hsae_dataset *dataset;
        assert_ok(open_input(cases[i].name, cases[i].tensor, &dataset));
        assert_int_equal(hsae_dataset_rows(dataset), cases[i].rows);
        assert_int_equal(hsae_dataset_dtype(dataset), cases[i].dtype);
        assert_string_equal(hsae_dataset_file(dataset, 0)->format, cases[i].format);
        assert_int_equal(hsae_dataset_file(dataset, 0)->sequences, cases[i].sequences);
        assert_values(dataset, cases[i].first, cases[i].more);
        hsae_dataset_close(&dataset);
    }
}

/* SAELens' own cache holds what datasets' reader, saved as npy, finds in it. */
static void test_saelens(void **state)
{
    (void)state;
    static const char *const names[] = {"saelens-float32", "saelens-float16"};
    for (int i = 0; i < 2; i++) {
        char npy[64];
        hsae_dataset *cache, *same;
        float found[8], expected[8];
        snprintf(npy, sizeof npy, "%s.npy", names[i]);
        assert_ok(open_input(names[i], NULL, &cache));
        assert_ok(open_input(npy, NULL, &same));
        assert_int_equal(hsae_dataset_rows(cache), hsae_dataset_rows(same));
        assert_int_equal(hsae_dataset_dim(cache), 8);
        assert_int_equal(hsae_dataset_dtype(cache), i ? HSAE_DTYPE_F16 : HSAE_DTYPE_F32);
        assert_int_equal(hsae_dataset_file_count(cache), i ? 2 : 3);
        assert_string_equal(hsae_dataset_file(cache, 1)->tensor, "transformer.h.0");
        assert_int_equal(hsae_dataset_file(cache, 1)->context, 8);
        for (uint64_t row = 0; row < hsae_dataset_rows(same); row++) {
            assert_ok(hsae_dataset_read(cache, &row, 1, found));
            assert_ok(hsae_dataset_read(same, &row, 1, expected));
            assert_memory_equal(found, expected, sizeof found);
        }
        hsae_dataset_close(&cache);
        hsae_dataset_close(&same);
    }
}

static void test_order_of_files(void **state)
{
    (void)state;
    hsae_dataset *dataset;
    size_t size;
    unsigned char *bytes = read_file(input("sliced.arrow"), &size);
    const char *list = "{\"_data_files\": [{\"filename\": \"b\"}, {\"filename\": \"a\"}]}", *path;
    char kept[256];
    snprintf(kept, sizeof kept, "%s", scratch("saved")); /* longer than eight calls */
    path = kept;
    assert_int_equal(hsae_os_make_folder(path), 0);
    write_file(scratch("saved/b"), bytes, size);
    free(bytes);
    bytes = read_file(input("f4.npy"), &size);
    write_file(scratch("saved/a"), bytes, size);
    write_file(scratch("saved/0.npy"), bytes, size);
    free(bytes);
    write_file(scratch("saved/state.json"), list, strlen(list));
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1}, &dataset));
    assert_int_equal(hsae_dataset_rows(dataset), 12 + 24);
    assert_int_equal(hsae_dataset_file(dataset, 0)->rows, 12);
    hsae_dataset_close(&dataset);
    static const char *const broken[] = {"{\"_data_files\": [{\"filename\": \"../a\"}]}", "{\"_data_files\": [{}]}", "[", "3"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_file(scratch("saved/state.json"), broken[i], strlen(broken[i]));
        assert_fails(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1}, &dataset), HSAE_ERROR_FORMAT,
                     "state.json", "save the data set again", NULL);
    }
}

static void test_raw(void **state)
{
    (void)state;
    static const char *const names[] = {"f32.bin", "f16.bin", "bf16.bin"};
    hsae_dataset *dataset;
    const char *path;
    for (int i = 0; i < 3; i++) {
        hsae_dataset_params params = {.paths = &path, .path_count = 1, .dim = 3, .dtype = (hsae_dtype)i};
        path = input(names[i]);
        assert_ok(hsae_dataset_open(context, &params, &dataset));
        assert_int_equal(hsae_dataset_rows(dataset), 24);
        assert_int_equal(hsae_dataset_dtype(dataset), i);
        assert_values(dataset, 0, 0);
        hsae_dataset_close(&dataset);
        params.dim = 5;
        assert_fails(hsae_dataset_open(context, &params, &dataset), HSAE_ERROR_FORMAT, names[i], i ? "144 bytes" : "288 bytes",
                     i ? "(10 each, 4 left over)" : "(20 each, 8 left over)", "--dim", NULL);
        params.dim = 0;
        assert_fails(hsae_dataset_open(context, &params, &dataset), HSAE_ERROR_FORMAT, names[i], "--dim", NULL);
    }
    path = input("f4.npy"); /* the content tells, whatever is given */
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1, .dim = 3}, &dataset));
    assert_string_equal(hsae_dataset_file(dataset, 0)->format, "npy");
    hsae_dataset_close(&dataset);
    assert_fails(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1, .dim = 4}, &dataset), HSAE_ERROR_DATA,
                 "3 numbers, --dim is 4", NULL);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tensor;
        hsae_status status;
        const char *first, *second;
    } cases[] = {
        {"big-endian.npy", NULL, HSAE_ERROR_FORMAT, "'>f2'", "'<f4' and '<f2' are read"},
        {"double.npy", NULL, HSAE_ERROR_FORMAT, "'<f8'", "astype"},
        {"objects.npy", NULL, HSAE_ERROR_FORMAT, "'|O'", "'<f4' and '<f2' are read"},
        {"fortran.npy", NULL, HSAE_ERROR_FORMAT, "Fortran order", "ascontiguousarray"},
        {"lz4.arrow", NULL, HSAE_ERROR_FORMAT, "compressed (LZ4)", "without compression"},
        {"zstd.arrow", NULL, HSAE_ERROR_FORMAT, "compressed (ZSTD)", "without compression"},
        {"ragged.arrow", NULL, HSAE_ERROR_DATA, "row 2 of column \"first\" has a list of 2 where the others have 4", "pad them"},
        {"null-row.arrow", NULL, HSAE_ERROR_DATA, "row 1 of column \"first\" is null", "drop such rows"},
        {"null-value.arrow", NULL, HSAE_ERROR_DATA, "row 1 of column \"first\" is null or holds a null", "drop such rows"},
        {"dictionary.arrow", NULL, HSAE_ERROR_FORMAT, "\"first\", dictionary of utf8", "cast it"},
        {"tokens.arrow", NULL, HSAE_ERROR_FORMAT, "none of its columns fits; the first is \"ids\", list<int>", "cast it"},
        {"lists.arrow", NULL, HSAE_ERROR_FORMAT, "2 of its columns can hold activation vectors: first (list<list<float>>), second",
         "--tensor"},
        {"lists.arrow", "ids", HSAE_ERROR_FORMAT, "the column is \"ids\", list<int>", "name another"},
        {"lists.arrow", "third", HSAE_ERROR_FORMAT, "no column \"third\" among its 3, of which the first is \"ids\"", "hsae info"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hsae_dataset *dataset;
        assert_fails(open_input(cases[i].name, cases[i].tensor, &dataset), cases[i].status, cases[i].name, cases[i].first, cases[i].second,
                     NULL);
        assert_null(dataset);
    }
}

/* Every file, cut at many places: an error or fewer rows, and no more than that. */
static void test_cut(void **state)
{
    (void)state;
    static const char *const names[] = {"lists.arrow", "file.arrow", "f2.npy", "f16.safetensors"};
    static const char *const tensors[] = {"first", NULL, NULL, NULL};
    const char *path = scratch("cut");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        unsigned char *bytes = read_file(input(names[i]), &size);
        for (size_t length = 0; length < size; length += 4) {
            hsae_dataset *dataset;
            write_file(path, bytes, length);
            if (hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1, .tensor = tensors[i]}, &dataset))
                continue;
            assert_string_equal(names[i], "lists.arrow"); /* only a stream may end after any batch, and says that it has no end mark */
            assert_non_null(length < size - 8 ? strstr(messages[HSAE_LOG_WARNING], "end mark") : "");
            assert_values(dataset, 0, 0);
            hsae_dataset_close(&dataset);
        }
        free(bytes);
    }
}

/* All offsets of a list (int64: 0, 3, 6 ...) moved by as much: the lists keep their length and are outside the numbers. */
static void test_offsets_outside(void **state)
{
    (void)state;
    static const struct {
        int64_t by;
        const char *expected;
    } cases[] = {{1, "an array is shorter than its lists need"},
                 {INT64_MAX - 72, "an array is shorter than its lists need"},
                 {-3, "offsets of a list run backwards"}};
    const char *path = scratch("moved");
    int64_t offsets[25], moved[25];
    size_t size, at = 0;
    unsigned char *bytes = read_file(input("large.arrow"), &size);
    for (int i = 0; i < 25; i++)
        offsets[i] = 3 * i;
    while (at + sizeof offsets <= size && memcmp(bytes + at, offsets, sizeof offsets) != 0)
        at += 8;
    assert_true(at + sizeof offsets <= size);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hsae_dataset *dataset;
        for (int k = 0; k < 25; k++)
            moved[k] = offsets[k] + cases[i].by;
        memcpy(bytes + at, moved, sizeof moved);
        write_file(path, bytes, size);
        assert_fails(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1}, &dataset), HSAE_ERROR_FORMAT, path,
                     cases[i].expected, "again", NULL);
    }
    free(bytes);
}

static void put_byte(FILE *file, size_t at, unsigned char byte)
{
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fputc(byte, file), byte);
    assert_int_equal(fflush(file), 0);
}

/* Any one byte of a file changed: an error that names the file, or rows that can be read. */
static void test_damaged(void **state)
{
    (void)state;
    static const unsigned char changes[] = {0x01, 0x80, 0xff};
    static const char *const names[] = {"lists.arrow", "large.arrow", "datasets/data-00000-of-00003.arrow"};
    static const char *const tensors[] = {"first", NULL, "layer.0"};
    const char *path = scratch("damaged");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        unsigned char *bytes = read_file(input(names[i]), &size);
        write_file(path, bytes, size);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        for (size_t k = 0; k < size * sizeof changes; k++) {
            hsae_dataset *dataset;
            float found[256];
            const size_t at = k / sizeof changes;
            const unsigned char changed = bytes[at] ^ changes[k % sizeof changes];
            put_byte(file, at, changed);
            hsae_status status =
                hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1, .tensor = tensors[i]}, &dataset);
            for (uint64_t row = 0; !status && row < hsae_dataset_rows(dataset); row++) {
                assert_in_range(hsae_dataset_dim(dataset), 1, 256);
                status = hsae_dataset_read(dataset, &row, 1, found);
            }
            assert_true(!status || status == HSAE_ERROR_FORMAT || status == HSAE_ERROR_DATA);
            assert_true(!status || strstr(messages[HSAE_LOG_ERROR], path));
            hsae_dataset_close(&dataset);
            put_byte(file, at, bytes[at]);
        }
        fclose(file);
        free(bytes);
    }
}

/* Escapes, characters and numbers of several bytes where one block of a file ends and the next one begins. */
static void test_tokens_between_blocks(void **state)
{
    (void)state;
    enum { TOKENS = 400 };
    static const char tree[] = "\xf0\x9f\x8c\xb3";
    char name[1100];
    const char *path = name;
    snprintf(name, sizeof name, "%s/tokens.jsonl", folder);
    for (int shift = 0; shift < 48; shift++) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fprintf(file, "%*s{\"tokens\": [", shift, "");
        for (int k = 0; k < TOKENS; k++)
            fprintf(file, "%s\"\\ud83c\\udf33%s\"", k ? ", " : "", tree);
        fprintf(file, "], \"numbers\": [");
        for (int k = 0; k < TOKENS; k++)
            fprintf(file, "-1.25e+07, {\"%s\": false}, ", tree);
        fprintf(file, "null]}\n");
        fclose(file);
        struct hsae_tokens *tokens;
        struct hsae_token token;
        bool more;
        assert_ok(hsae_tokens_open(context, &path, 1, &tokens));
        for (int k = 0; k < TOKENS; k++) {
            assert_ok(hsae_tokens_next(tokens, &token, &more));
            assert_true(more && token.size == 8 && !memcmp(token.text, tree, 4) && !memcmp(token.text + 4, tree, 4));
        }
        assert_ok(hsae_tokens_next(tokens, &token, &more));
        assert_false(more);
        hsae_tokens_close(&tokens);
    }
}

/* A file that is cut while it is read is an error of that file, not of its lines. */
static void test_tokens_cut(void **state)
{
    (void)state;
    char name[1100];
    const char *path = name;
    struct hsae_tokens *tokens;
    struct hsae_token token;
    bool more = true;
    hsae_status status = HSAE_OK;
    snprintf(name, sizeof name, "%s/tokens.jsonl", folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fprintf(file, "{\"tokens\": [");
    for (int k = 0; k < 10000; k++)
        fprintf(file, "%s\"%d\"", k ? ", " : "", k);
    fprintf(file, "]}\n");
    fclose(file);
    assert_ok(hsae_tokens_open(context, &path, 1, &tokens));
    assert_ok(hsae_tokens_next(tokens, &token, &more));
    assert_int_equal(truncate(path, 5000), 0);
    while (!status && more)
        status = hsae_tokens_next(tokens, &token, &more);
    assert_int_equal(status, HSAE_ERROR_FILE);
    assert_non_null(strstr(messages[HSAE_LOG_ERROR], "was cut while it was read"));
    hsae_tokens_close(&tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_saelens),
        cmocka_unit_test(test_order_of_files),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_offsets_outside),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_tokens_between_blocks),
        cmocka_unit_test(test_tokens_cut),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
