/* SPDX-License-Identifier: MIT */
/* Files that are read at offsets while others write to them, and outputs that replace a file in one step. */
#include "support.h"

#include "base/file.h"

static const char *text_file(const char *text)
{
    const char *path = scratch("file");
    write_file(path, text, strlen(text));
    return path;
}

/* In place, and late enough for the file system's clock to have moved on. */
static void overwrite(const char *path, long offset, const char *text)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    hsae_os_sleep(0.05);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void check_reads(const struct hsae_file *file)
{
    char out[5] = "";
    unsigned char head[8];
    size_t size;
    assert_true(file->size == 6);
    assert_ok(hsae_file_read(file, 2, 4, out));
    assert_string_equal(out, "cdef");
    assert_ok(hsae_file_read(file, 6, 0, out));
    assert_ok(hsae_file_head(file, sizeof head, head, &size));
    assert_int_equal(size, 6);
    assert_memory_equal(head, "abcdef", 6);
    assert_ok(hsae_file_head(file, 3, head, &size));
    assert_int_equal(size, 3);
    assert_ok(hsae_file_check_unchanged(file));
}

static void read_at_offsets(void **state)
{
    struct hsae_file file, memory = hsae_file_memory(context, "memory", "abcdef", 6), empty = hsae_file_memory(context, "empty", NULL, 0);
    (void)state;
    assert_ok(hsae_file_open(context, text_file("abcdef"), &file));
    check_reads(&file);
    check_reads(&memory);
    assert_ok(hsae_file_read(&empty, 0, 0, NULL));
    hsae_file_close(&file);
    hsae_file_close(&file);
    hsae_file_close(&memory);
    assert_fails(hsae_file_open(context, scratch("none"), &file), HSAE_ERROR_FILE, "none: cannot be read: ", "; check the path", NULL);
    assert_fails(hsae_file_open(context, folder, &file), HSAE_ERROR_FILE, "it is not a regular file", NULL);
    hsae_file_close(&file);
}

static void cut_while_read(void **state)
{
    struct hsae_file file;
    char out[6];
    const char *path = text_file("abcdef");
    (void)state;
    assert_ok(hsae_file_open(context, path, &file));
    write_file(path, "abc", 3);
    assert_ok(hsae_file_read(&file, 0, 3, out));
    assert_fails(hsae_file_read(&file, 0, 6, out), HSAE_ERROR_FILE, "file: it ends before byte 6 of the 6", "was cut while it was read",
                 NULL);
    assert_fails(hsae_file_read(&file, 4, 1, out), HSAE_ERROR_FILE, "it ends before byte 5 of the 6", NULL);
    assert_fails(hsae_file_check_unchanged(&file), HSAE_ERROR_FILE, "it was written to while it was read", NULL);
    hsae_file_close(&file);
}

static void written_while_read(void **state)
{
    struct hsae_file file;
    const char *path = text_file("abcdef");
    (void)state;
    assert_ok(hsae_file_open(context, path, &file));
    assert_ok(hsae_file_check_unchanged(&file));
    overwrite(path, 1, "B");
    assert_fails(hsae_file_check_unchanged(&file), HSAE_ERROR_FILE, "file: it was written to while it was read", NULL);
    hsae_file_close(&file);
    assert_ok(hsae_file_open(context, path, &file));
    overwrite(path, 6, "g");
    assert_fails(hsae_file_check_unchanged(&file), HSAE_ERROR_FILE, "it was written to while it was read", NULL);
    hsae_file_close(&file);
}

static void load(void **state)
{
    char *text;
    size_t size;
    (void)state;
    assert_ok(hsae_file_load(context, text_file("abcdef"), 6, &text, &size));
    assert_int_equal(size, 6);
    assert_string_equal(text, "abcdef");
    free(text);
    assert_fails(hsae_file_load(context, text_file("abcdef"), 5, &text, &size), HSAE_ERROR_FORMAT, "it has 6 bytes; at most 5 are read",
                 NULL);
    assert_null(text);
    assert_ok(hsae_file_load(context, text_file(""), 5, &text, &size));
    assert_int_equal(size, 0);
    assert_string_equal(text, "");
    free(text);
    assert_fails(hsae_file_load(context, scratch("none"), 5, &text, &size), HSAE_ERROR_FILE, "none: cannot be read", NULL);
    assert_null(text);
}

static void assert_content(const char *path, const char *expected)
{
    size_t size;
    unsigned char *text = read_file(path, &size);
    assert_string_equal((char *)text, expected);
    free(text);
}

/* Two writers of one file at once: each file is whole, and nothing else is in the folder afterwards. */
static void outputs(void **state)
{
    hsae_output *first = NULL, *second = NULL;
    const char *path = text_file("old");
    size_t count = files_in(folder);
    (void)state;
    assert_ok(hsae_output_open(context, path, &first));
    assert_ok(hsae_output_open(context, path, &second));
    assert_int_equal(files_in(folder), count + 2);
    fputs("first", hsae_output_stream(first));
    fputs("second", hsae_output_stream(second));
    assert_content(path, "old");
    assert_ok(hsae_output_commit(&second));
    assert_null(second);
    assert_content(path, "second");
    assert_ok(hsae_output_commit(&first));
    assert_content(path, "first");
    assert_ok(hsae_output_open(context, path, &first));
    fputs("third", hsae_output_stream(first));
    hsae_output_discard(&first);
    assert_null(first);
    hsae_output_discard(&first);
    assert_content(path, "first");
    assert_int_equal(files_in(folder), count);
    assert_fails(hsae_output_open(context, folder, &first), HSAE_ERROR_FILE, "it is not a regular file", NULL);
    assert_null(first);
    assert_int_equal(hsae_output_open(NULL, scratch("none/file"), &first), HSAE_ERROR_FILE);
    assert_null(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(read_at_offsets), cmocka_unit_test(cut_while_read),
                                       cmocka_unit_test(written_while_read), cmocka_unit_test(load), cmocka_unit_test(outputs)};
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
