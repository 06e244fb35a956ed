/* SPDX-License-Identifier: MIT */
/* Files as POSIX has them and Windows does not: pipes, links, limits, permissions. */
#include "support.h"

#include "base/file.h"
#include "data/safetensors.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Must not hang until somebody writes to it. */
static void test_pipe(void **state)
{
    struct hsae_safetensors *file;
    (void)state;
    assert_int_equal(mkfifo(scratch("pipe"), 0600), 0);
    assert_fails(hsae_safetensors_open(context, scratch("pipe"), &file), HSAE_ERROR_FILE, "pipe", "not a regular file", NULL);
}

/* A disk that is full, played by a limit on the size of files. */
static void test_full_disk(void **state)
{
    (void)state;
    static float values[100000];
    const struct hsae_new_tensor small = {.name = "s", .type = HSAE_TENSOR_F32, .rank = 1, .shape = {1}, .data = values};
    const struct hsae_new_tensor large = {.name = "s", .type = HSAE_TENSOR_F32, .rank = 1, .shape = {100000}, .data = values};
    assert_ok(hsae_safetensors_write(context, scratch("out"), NULL, 0, &small, 1));
    size_t before = files_in(folder), size, size_after;
    unsigned char *old = read_file(scratch("out"), &size);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit low = {.rlim_cur = 200000, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    hsae_status status = hsae_safetensors_write(context, scratch("out"), NULL, 0, &large, 1);
    low.rlim_cur = 40; /* fits no buffer: found at the end only */
    setrlimit(RLIMIT_FSIZE, &low);
    hsae_status status_end = hsae_safetensors_write(context, scratch("out"), NULL, 0, &small, 1);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_fails(status, HSAE_ERROR_FILE, scratch("out"), "cannot be written: File too large", NULL);
    assert_int_equal(status_end, HSAE_ERROR_FILE);
    assert_int_equal(files_in(folder), before);
    unsigned char *kept = read_file(scratch("out"), &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(old, kept, size);
    free(old);
    free(kept);
}

static void test_targets(void **state)
{
    (void)state;
    static const float value = 1;
    struct stat info;
    const struct hsae_new_tensor tensor = {.name = "s", .type = HSAE_TENSOR_F32, .rank = 1, .shape = {1}, .data = &value};
    assert_fails(hsae_safetensors_write(context, scratch("no/such"), NULL, 0, &tensor, 1), HSAE_ERROR_FILE, "no/such", "No such file",
                 NULL);
    assert_fails(hsae_safetensors_write(context, folder, NULL, 0, &tensor, 1), HSAE_ERROR_FILE, folder, "not a regular file", NULL);
    assert_fails(hsae_safetensors_write(context, "/dev/null", NULL, 0, &tensor, 1), HSAE_ERROR_FILE, "/dev/null", "not a regular file",
                 NULL);
    assert_fails(hsae_safetensors_write(context, "", NULL, 0, &tensor, 1), HSAE_ERROR_FILE, "cannot be written", NULL);
    assert_int_equal(symlink("real", scratch("link")), 0);
    assert_fails(hsae_safetensors_write(context, scratch("link"), NULL, 0, &tensor, 1), HSAE_ERROR_FILE, "link", NULL); /* leads nowhere */
    assert_ok(hsae_safetensors_write(context, scratch("real"), NULL, 0, &tensor, 1));
    assert_ok(hsae_safetensors_write(context, scratch("link"), NULL, 0, &tensor, 1));
    assert_int_equal(lstat(scratch("link"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(scratch("real"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666 & ~mask);
    /* A path without a folder. */
    int here = open(".", O_RDONLY | O_DIRECTORY);
    assert_int_equal(chdir(folder), 0);
    hsae_status status = hsae_safetensors_write(context, "plain", NULL, 0, &tensor, 1);
    assert_int_equal(fchdir(here), 0);
    close(here);
    assert_ok(status);
    assert_int_equal(hsae_os_kind(scratch("plain")), HSAE_OS_FILE);
}

/* A file that takes the name of one that is open is another file. */
static void test_name_taken(void **state)
{
    struct hsae_file file;
    char out[3];
    (void)state;
    write_file(scratch("one"), "one", 3);
    write_file(scratch("two"), "two", 3);
    assert_ok(hsae_file_open(context, scratch("one"), &file));
    assert_int_equal(rename(scratch("two"), scratch("one")), 0);
    assert_ok(hsae_file_read(&file, 0, 3, out));
    assert_memory_equal(out, "one", 3);
    assert_ok(hsae_file_check_unchanged(&file));
    hsae_file_close(&file);
}

/* The last test: no output can be opened or closed after it. */
static void test_abandon(void **state)
{
    hsae_output *first = NULL, *second = NULL;
    size_t count = files_in(folder);
    (void)state;
    assert_ok(hsae_output_open(context, scratch("first"), &first));
    assert_ok(hsae_output_open(context, scratch("second"), &second));
    assert_int_equal(files_in(folder), count + 2);
    hsae_outputs_abandon();
    assert_int_equal(files_in(folder), count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe),       cmocka_unit_test(test_full_disk), cmocka_unit_test(test_targets),
        cmocka_unit_test(test_name_taken), cmocka_unit_test(test_abandon),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
