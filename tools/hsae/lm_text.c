/* SPDX-License-Identifier: MIT */
/* Documents of text files. */
#include "lm.h"

#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { BEGINNING = 65536 };

struct lm_text {
    char **files;
    size_t count, next; /* files; the next one to be opened */
    FILE *file;         /* of lines, in progress */
    uint64_t line;
    char *content; /* of a file, or a line */
    size_t capacity;
    json_t *object; /* of a line */
};

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), size = strlen(end);
    return length > size && strcmp(name + length - size, end) == 0;
}

static bool add_file(struct lm_text *text, const char *path)
{
    char **files = realloc(text->files, (text->count + 1) * sizeof *files);
    if (!files)
        return false;
    text->files = files;
    files[text->count] = strdup(path);
    return files[text->count++];
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static hsae_status add_folder(struct lm_text *text, const char *path)
{
    struct hsae_os_folder *folder = hsae_os_folder_open(path);
    hsae_status status = HSAE_OK;
    if (!folder) {
        cli_file_error("read", path);
        return HSAE_ERROR_FILE;
    }
    for (const char *name; !status && (name = hsae_os_folder_next(folder));) {
        size_t size = strlen(path) + strlen(name) + 2;
        char *whole = malloc(size);
        if (whole)
            snprintf(whole, size, "%s/%s", path, name);
        enum hsae_os_kind kind = whole ? hsae_os_kind(whole) : HSAE_OS_NONE;
        if (kind == HSAE_OS_FOLDER)
            status = add_folder(text, whole);
        else if (!whole || (kind == HSAE_OS_FILE && (ends_with(name, ".txt") || ends_with(name, ".jsonl")) && !add_file(text, whole)))
            status = HSAE_ERROR_MEMORY;
        free(whole);
    }
    hsae_os_folder_close(folder);
    return status;
}

static hsae_status add_path(struct lm_text *text, const char *path)
{
    size_t before = text->count;
    enum hsae_os_kind kind = hsae_os_kind(path);
    if (kind == HSAE_OS_NONE) {
        cli_file_error("read", path);
        return HSAE_ERROR_FILE;
    }
    if (kind != HSAE_OS_FOLDER)
        return add_file(text, path) ? HSAE_OK : HSAE_ERROR_MEMORY;
    hsae_status status = add_folder(text, path);
    if (!status && text->count == before) {
        cli_error("%s: no .txt and no .jsonl file in this folder (--text)", path);
        return HSAE_ERROR_DATA;
    }
    if (!status)
        qsort(text->files + before, text->count - before, sizeof *text->files, by_name);
    return status;
}

hsae_status lm_text_open(const struct cli_paths *paths, struct lm_text **out)
{
    struct lm_text *text = *out = calloc(1, sizeof *text);
    hsae_status status = text ? HSAE_OK : HSAE_ERROR_MEMORY;
    for (size_t i = 0; i < paths->count && !status; i++)
        status = add_path(text, paths->items[i]);
    if (status == HSAE_ERROR_MEMORY)
        cli_out_of_memory();
    return status;
}

static void close_file(struct lm_text *text)
{
    if (text->file)
        fclose(text->file);
    text->file = NULL;
    json_decref(text->object);
    text->object = NULL;
}

void lm_text_close(struct lm_text *text)
{
    if (!text)
        return;
    close_file(text);
    for (size_t i = 0; i < text->count; i++)
        free(text->files[i]);
    free(text->files);
    free(text->content);
    free(text);
}

void lm_text_rewind(struct lm_text *text)
{
    close_file(text);
    text->next = 0;
}

const char *lm_text_file(const struct lm_text *text)
{
    return hsae_os_file_name(text->files[text->next - 1]);
}

/* All of a file to text->content. */
static hsae_status read_all(struct lm_text *text, const char *path, size_t *size)
{
    for (*size = 0; !ferror(text->file) && !feof(text->file);) {
        if (text->capacity - *size < 2) {
            char *larger = realloc(text->content, 2 * text->capacity + BEGINNING);
            if (!larger) {
                cli_out_of_memory();
                return HSAE_ERROR_MEMORY;
            }
            text->content = larger;
            text->capacity = 2 * text->capacity + BEGINNING;
        }
        *size += fread(text->content + *size, 1, text->capacity - *size - 1, text->file);
    }
    bool failed = ferror(text->file);
    close_file(text);
    if (failed) {
        cli_file_error("read", path);
        return HSAE_ERROR_FILE;
    }
    json_t *valid = json_stringn(text->content, *size);
    json_decref(valid);
    if (!valid) {
        cli_error("%s: not UTF-8; convert it, with iconv for example", path);
        return HSAE_ERROR_DATA;
    }
    return HSAE_OK;
}

/* The next line's "text"; *document NULL: the file has ended, or the line is empty. */
static hsae_status read_line(struct lm_text *text, const char *path, const char **document, size_t *size)
{
    size_t length = text_read_line(text->file, &text->content, &text->capacity);
    json_decref(text->object);
    text->object = NULL;
    if (length == 0) {
        bool failed = ferror(text->file);
        close_file(text);
        if (failed)
            cli_file_error("read", path);
        return failed ? HSAE_ERROR_FILE : HSAE_OK;
    }
    text->line++;
    if (strspn(text->content, " \t\r\n") == length)
        return HSAE_OK;
    text->object = json_loadb(text->content, length, 0, NULL);
    const json_t *value = json_object_get(text->object, "text");
    if (!json_is_string(value)) {
        cli_error("%s:%" PRIu64 ": expected a JSON object with a string \"text\"", path, text->line);
        return HSAE_ERROR_DATA;
    }
    *document = json_string_value(value);
    *size = json_string_length(value);
    return HSAE_OK;
}

static bool is_blank(const char *document, size_t size)
{
    while (size && strchr(" \t\r\n", document[size - 1]))
        size--;
    return size == 0;
}

hsae_status lm_text_next(struct lm_text *text, const char **document, size_t *size)
{
    hsae_status status = HSAE_OK;
    *document = NULL;
    while (!status && (text->file || text->next < text->count)) {
        const char *path = text->files[text->file ? text->next - 1 : text->next];
        const char *found = NULL;
        if (!text->file) {
            text->next++;
            text->line = 0;
            text->file = hsae_os_fopen(path, "r");
            if (!text->file) {
                cli_file_error("read", path);
                return HSAE_ERROR_FILE;
            }
        }
        if (ends_with(path, ".jsonl")) {
            status = read_line(text, path, &found, size);
        } else {
            status = read_all(text, path, size);
            found = text->content;
        }
        if (!status && found && !is_blank(found, *size)) {
            *document = found;
            break;
        }
    }
    return status;
}

uint32_t lm_text_checksum(const struct lm_text *text)
{
    unsigned char bytes[BEGINNING];
    unsigned long sum = 0;
    for (size_t i = 0; i < text->count; i++) {
        const char *name = hsae_os_file_name(text->files[i]);
        uint64_t size = 0;
        FILE *file = hsae_os_fopen(text->files[i], "r");
        size_t count = file ? fread(bytes, 1, sizeof bytes, file) : 0;
        if (file) {
            hsae_os_describe(fileno(file), &size);
            fclose(file);
        }
        for (int k = 0; k < 8; k++) {
            const unsigned char byte = (unsigned char)(size >> 8 * k);
            sum = crc32(sum, &byte, 1);
        }
        sum = crc32(sum, (const unsigned char *)name, (unsigned)strlen(name));
        sum = crc32(sum, bytes, (unsigned)count);
    }
    return (uint32_t)sum;
}
