/* SPDX-License-Identifier: MIT */
/* Our reader of JSON against jansson's. */
#include "support.h"

#include "base/json.h"

/* Both take the text and read the same from it, or neither does. */
static void compare(const char *text, size_t size)
{
    struct hsae_json_error wrong;
    json_error_t theirs;
    json_t *ours = hsae_json_read(text, size, &wrong);
    json_t *expected = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &theirs);
    if (!ours != !expected || (ours && !json_equal(ours, expected)))
        fail_msg("%.*s: ours: %s, theirs: %s", (int)size, text, ours ? "taken" : wrong.text, expected ? "taken" : theirs.text);
    assert_true(ours || (*wrong.text && wrong.line && wrong.column && !wrong.no_memory));
    json_decref(ours);
    json_decref(expected);
}

static const char *const texts[] = {
    "",
    " ",
    "{}",
    "[]",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "01",
    "1.",
    ".5",
    "+1",
    "1.5",
    "-1.5e3",
    "1E+2",
    "1e",
    "1e400",
    "1e-400",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "--1",
    "1-1",
    "1.5.5",
    "nul",
    "nullx",
    "\"\"",
    "\"a",
    "\"\\\"",
    "\"\\n\\t\\\\\\/\\b\\f\\r\\\"\"",
    "\"\\x\"",
    "\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"",
    "\"\\u0000\"",
    "\"\\ud83d\"",
    "\"\\ude00\"",
    "\"\\ud83d\\u0041\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
    "\"\xc0\xaf\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xe0\x80\x80\"",
    "\"\xc3\"",
    "\"\xff\"",
    "\"\t\"",
    "[1, 2",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{\"a\": 1, \"a\": 2}",
    "{\"a\" 1}",
    "{\"a\": }",
    "{a: 1}",
    "{\"a\": 1,}",
    "{\"a\": [1, {\"b\": [true, null, \"x\"]}], \"c\": -2.5e-3}",
    "[] []",
    "[]\n",
    "\v[]",
    "{\"format\": \"F32\", \"shape\": [3, 4], \"data_offsets\": [0, 48]}      ",
};

static void test_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        compare(texts[i], strlen(texts[i]));
    compare("[1]\0", 4);
    compare("\"a\0b\"", 5);
}

/* The examples with some characters changed. */
static void test_mutations(void **state)
{
    (void)state;
    static const char alphabet[] = "{}[]:,\"\\ \n0123456789+-.eEutrfalsn\x80\xc3\xe2\xf0\xff\x01";
    uint32_t random = 1;
    for (int round = 0; round < 200000; round++) {
        char text[128];
        const char *from = texts[((random = random * 1664525 + 1013904223) >> 8) % (sizeof texts / sizeof *texts)];
        size_t size = strlen(from);
        memcpy(text, from, size);
        for (int k = 0; k < 3 && size; k++) {
            random = random * 1664525 + 1013904223;
            text[(random >> 8) % size] = alphabet[(random >> 20) % (sizeof alphabet - 1)];
        }
        compare(text, size);
    }
}

static void assert_wrong(const char *text, const char *what, unsigned line, unsigned column)
{
    struct hsae_json_error wrong;
    assert_null(hsae_json_read(text, strlen(text), &wrong));
    assert_string_equal(wrong.text, what);
    assert_int_equal(wrong.line, line);
    assert_int_equal(wrong.column, column);
}

static void test_errors(void **state)
{
    (void)state;
    char deep[128], digits[128];
    assert_wrong("{\"a\": 1,\n \"a\": 2}", "duplicate key \"a\"", 2, 5);
    assert_wrong("{\"a\" 1}", "a colon is missing", 1, 6);
    assert_wrong("[1] x", "something follows the value", 1, 5);
    memset(deep, '[', sizeof deep);
    deep[100] = '\0';
    assert_wrong(deep, "more than 32 levels", 1, 33);
    memset(digits, '1', sizeof digits);
    digits[127] = '\0';
    assert_wrong(digits, "11111111111111111111 is too large an integer", 1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
