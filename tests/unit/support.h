/* SPDX-License-Identifier: MIT */
/* Shared by unit tests: cmocka, a context that keeps its last messages, a folder for scratch files. */
#ifndef HSAE_TESTS_SUPPORT_H
#define HSAE_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/os.h"

#include <hsae/hsae.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static hsae_context *context;
static char messages[2][1024]; /* the last error and the last warning */
static char folder[200];

static void keep_message(void *user, hsae_log_level level, const char *message)
{
    (void)user;
    if (level <= HSAE_LOG_WARNING)
        snprintf(messages[level], sizeof messages[level], "%s", message);
}

static inline int support_setup(void **state)
{
    (void)state;
    const hsae_context_params params = {.log = keep_message, .cache_dir = ""};
    return hsae_os_temporary_folder(folder, sizeof folder) || hsae_context_create(&params, &context);
}

/* The same context anew, with other settings. */
static inline void support_settings(hsae_context_params settings)
{
    settings.log = keep_message;
    settings.cache_dir = "";
    hsae_context_destroy(&context);
    if (hsae_context_create(&settings, &context))
        abort();
}

static inline void remove_files(const char *path)
{
    struct hsae_os_folder *entries = hsae_os_folder_open(path);
    for (const char *entry; entries && (entry = hsae_os_folder_next(entries));) {
        char name[2048];
        snprintf(name, sizeof name, "%.1024s/%.1000s", path, entry);
        if (hsae_os_remove(name) && hsae_os_remove_folder(name)) {
            remove_files(name);
            hsae_os_remove_folder(name);
        }
    }
    hsae_os_folder_close(entries);
}

static inline int support_teardown(void **state)
{
    (void)state;
    hsae_context_destroy(&context);
    remove_files(folder);
    return hsae_os_remove_folder(folder);
}

/* A path in the scratch folder; valid for the next eight calls. */
static inline const char *scratch(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* The whole file; free(). */
static inline unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    unsigned char *data = malloc(*size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *size, file), *size);
    data[*size] = '\0';
    fclose(file);
    return data;
}

static inline size_t files_in(const char *path)
{
    size_t count = 0;
    struct hsae_os_folder *entries = hsae_os_folder_open(path);
    assert_non_null(entries);
    while (hsae_os_folder_next(entries))
        count++;
    hsae_os_folder_close(entries);
    return count;
}

/* `expected` is the status; the error's message must hold all of the texts up to the NULL. */
static inline void assert_fails(hsae_status status, hsae_status expected, ...)
{
    va_list texts;
    if (status != expected)
        fail_msg("%s instead of %s: %s", hsae_status_name(status), hsae_status_name(expected), messages[HSAE_LOG_ERROR]);
    va_start(texts, expected);
    for (const char *text; (text = va_arg(texts, const char *));)
        if (!strstr(messages[HSAE_LOG_ERROR], text))
            fail_msg("\"%s\" lacks \"%s\"", messages[HSAE_LOG_ERROR], text);
    va_end(texts);
    messages[HSAE_LOG_ERROR][0] = '\0';
}

static inline void assert_ok(hsae_status status)
{
    if (status)
        fail_msg("%s: %s", hsae_status_name(status), messages[HSAE_LOG_ERROR]);
}

#endif
