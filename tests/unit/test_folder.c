/* SPDX-License-Identifier: MIT */
/* Names of files in a data folder: their order, sets with holes, what other tools' files begin with. */
#include "data/folder.h"
#include "data/foreign_files.h"
#include "support.h"

static void test_natural_order(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "0",
                                        "00",
                                        "1",
                                        "01",
                                        "2",
                                        "10",
                                        "A",
                                        "a",
                                        "a0",
                                        "a00",
                                        "a1",
                                        "a01b",
                                        "a1b",
                                        "a01b2",
                                        "a1b2",
                                        "a1b10",
                                        "a2",
                                        "a9",
                                        "a10",
                                        "a99999999999999999999",
                                        "a100000000000000000000",
                                        "a-1",
                                        "b",
                                        "shard_2",
                                        "shard_10"};
    size_t count = sizeof names / sizeof *names;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            int order = hsae_natural_order(names[i], names[k]), back = hsae_natural_order(names[k], names[i]);
            assert_true((order > 0) == (back < 0) && (order == 0) == (i == k));
            for (size_t j = 0; j < count; j++)
                if (order < 0 && hsae_natural_order(names[k], names[j]) < 0)
                    assert_true(hsae_natural_order(names[i], names[j]) < 0);
        }
    assert_true(hsae_natural_order("shard_2.npy", "shard_10.npy") < 0);
    assert_true(hsae_natural_order("a-2-of-10", "a-10-of-10") < 0);
    assert_true(hsae_natural_order("a99999999999999999999", "a100000000000000000000") < 0);
    assert_true(hsae_natural_order("x007", "x7") < 0 && hsae_natural_order("x007b", "x7a") > 0);
}

static hsae_status check_names(const char *const *names, size_t count, bool raw)
{
    struct hsae_names list = {(char **)names, count};
    return hsae_folder_check_whole(context, "d", &list, raw);
}

#define CHECK(raw, ...) check_names((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), raw)

static void test_sets(void **state)
{
    (void)state;
    assert_ok(CHECK(false, "a.npy", "b-1.npy", "c-1-of-x.npy", "d-of-3.npy", "e-3-of-0.npy", "f-1-of-2x.npy"));
    assert_ok(CHECK(false, "a-1-of-2.npy", "a-2-of-2.npy", "b-00000-of-00001.npy", "c-00001-of-00002.txt"));
    assert_ok(CHECK(false, "a-00001-of-00002.bin"));
    assert_fails(CHECK(true, "a-00001-of-00002.bin"), HSAE_ERROR_DATA, "d/a-00002-of-00002.bin: is missing", "1 of the 2 files", NULL);
    assert_fails(CHECK(false, "a-00001-of-00003.npy", "a-00003-of-00003.npy"), HSAE_ERROR_DATA, "d/a-00002-of-00003.npy: is missing", NULL);
    assert_fails(CHECK(false, "a-00000-of-00003.npy", "a-00001-of-00003.npy"), HSAE_ERROR_DATA, "d/a-00002-of-00003.npy: is missing", NULL);
    assert_fails(CHECK(false, "a-00001-of-00002.npy", "a-00002-of-00002.npy", "a-00001-of-00003.npy"), HSAE_ERROR_DATA,
                 "a-00002-of-00003.npy", NULL);
    assert_fails(CHECK(false, "a-00001-of-00002.npy", "a-00002-of-00002.safetensors"), HSAE_ERROR_DATA, "is missing", NULL);
    assert_fails(CHECK(false, "a-0-of-2.npy", "a-1-of-2.npy", "a-2-of-2.npy"), HSAE_ERROR_DATA, "a-2-of-2.npy: more than the 2 files",
                 NULL);
}

static const char *gap(const char *const *names, size_t count)
{
    struct hsae_names list = {(char **)names, count};
    messages[HSAE_LOG_WARNING][0] = '\0';
    hsae_folder_find_gap(context, "d", &list, false);
    return messages[HSAE_LOG_WARNING];
}

#define GAP(...) gap((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void test_gaps(void **state)
{
    (void)state;
    assert_string_equal(GAP("a-0.npy", "a-1.npy", "a-2.npy", "b.npy", "c-1-of-3.npy", "c-3-of-3.npy"), "");
    assert_string_equal(GAP("a-1.npy", "a-3.npy"), "");
    assert_string_equal(GAP("step-100.npy", "step-200.npy", "step-300.npy"), "");
    assert_non_null(strstr(GAP("a-0.npy", "a-1.npy", "a-3.npy"), "follows a-1.npy"));
    assert_non_null(strstr(GAP("a-0.npy", "b_007.npy", "b_008.npy", "b_009.npy", "b_011.npy", "c-1.npy"), "follows b_009.npy"));
    assert_string_equal(GAP("a-0.txt", "a-1.txt", "a-3.txt", "9.npy"), "");
}

static const char *kind(const char *name, const char *bytes, size_t size, bool may_be_raw)
{
    const struct hsae_foreign_file *file = hsae_foreign_file(name, (const unsigned char *)bytes, size, may_be_raw);
    return file ? file->what : "";
}

static void test_foreign(void **state)
{
    (void)state;
    char text[HSAE_FOREIGN_BYTES], zip[64] = "PK\3\4";
    memset(text, 'a', sizeof text);
    assert_non_null(strstr(kind("x", text, sizeof text, true), "plain text"));
    assert_non_null(strstr(kind("x", text, 3, false), "plain text"));
    assert_string_equal(kind("x", text, 3, true), "");
    memcpy(text + sizeof text - 2, "\xe4\xb8", 2); /* a character that is cut */
    assert_non_null(strstr(kind("x.csv", text, sizeof text, true), "a table"));
    text[100] = '\x01';
    assert_string_equal(kind("x", text, sizeof text, false), "");
    assert_non_null(strstr(kind("x", "\xef\xbb\xbf  <HTML>", 11, false), "web page"));
    assert_non_null(strstr(kind("x", " [1]", 4, false), "JSON"));
    assert_non_null(strstr(kind("x", "", 0, true), "empty"));
    assert_string_equal(kind("x", "\x1f\x8b\x08\x00", 4, true), "");
    assert_non_null(strstr(kind("x", "\x1f\x8b\x08\x00", 4, false), "gzip"));
    assert_non_null(strstr(kind("x.pt", zip, 4, false), "PyTorch"));
    assert_non_null(strstr(kind("x.npz", zip, 30, false), "NumPy"));
    zip[26] = zip[27] = '\xff'; /* a name that is longer than the bytes */
    assert_non_null(strstr(kind("x", zip, sizeof zip, false), "zip archive"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_natural_order),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_foreign),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
