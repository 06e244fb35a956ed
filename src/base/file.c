/* SPDX-License-Identifier: MIT */
#include "file.h"
#include "os.h"
#include <hsae/tensor_file.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hsae_status hsae_fail_reading(const hsae_context *context, const char *path, int error)
{
    return hsae_fail(context, error == ENOMEM ? HSAE_ERROR_MEMORY : HSAE_ERROR_FILE, "%s: cannot be read: %s%s", path, strerror(error),
                     hsae_os_advice(error));
}

hsae_status hsae_file_open(const hsae_context *context, const char *path, struct hsae_file *file)
{
    hsae_status status;
    uint64_t size = 0;
    *file = (struct hsae_file){0};
    int descriptor = hsae_os_open(path, HSAE_OS_READ);
    enum hsae_os_kind kind = descriptor < 0 ? HSAE_OS_NONE : hsae_os_describe(descriptor, &size);
    if (kind == HSAE_OS_NONE)
        status = hsae_fail_reading(context, path, errno);
    else if (kind != HSAE_OS_FILE)
        status = hsae_fail(context, HSAE_ERROR_FILE, "%s: cannot be read: it is not a regular file; give a file", path);
    else
        status = (file->path = strdup(path)) ? HSAE_OK : hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    if (status) {
        if (descriptor >= 0)
            hsae_os_close(descriptor);
        return status;
    }
    file->context = context;
    file->descriptor = descriptor;
    file->size = size;
    file->modified = hsae_os_modified(descriptor);
    return HSAE_OK;
}

struct hsae_file hsae_file_memory(const hsae_context *context, char *path, const void *memory, uint64_t size)
{
    return (struct hsae_file){.context = context, .path = path, .memory = size ? memory : (const void *)"", .size = size};
}

void hsae_file_close(struct hsae_file *file)
{
    if (file->path && !file->memory) {
        hsae_os_close(file->descriptor);
        free(file->path);
    }
    *file = (struct hsae_file){0};
}

hsae_status hsae_file_read(const struct hsae_file *file, uint64_t offset, size_t size, void *out)
{
    int error;
    if (file->memory) {
        memcpy(out, file->memory + offset, size);
        return HSAE_OK;
    }
    size_t done = hsae_read_at(file->descriptor, offset, size, out, &error);
    if (done == size)
        return HSAE_OK;
    if (error)
        return hsae_fail_reading(file->context, file->path, error);
    return hsae_fail(file->context, HSAE_ERROR_FILE,
                     "%s: it ends before byte %" PRIu64 " of the %" PRIu64
                     " that it had when it was opened: it was cut while it was read; put it back whole, then try again",
                     file->path, offset + size, file->size);
}

hsae_status hsae_file_head(const struct hsae_file *file, size_t most, unsigned char *out, size_t *size)
{
    *size = file->size < most ? (size_t)file->size : most;
    return hsae_file_read(file, 0, *size, out);
}

hsae_status hsae_file_check_unchanged(const struct hsae_file *file)
{
    uint64_t size;
    if (file->memory)
        return HSAE_OK;
    if (hsae_os_describe(file->descriptor, &size) == HSAE_OS_NONE)
        return hsae_fail_reading(file->context, file->path, errno);
    if (size == file->size && hsae_os_modified(file->descriptor) == file->modified)
        return HSAE_OK;
    return hsae_fail(file->context, HSAE_ERROR_FILE,
                     "%s: it was written to while it was read, so what was read may be old in part; try again once nobody writes to it",
                     file->path);
}

hsae_status hsae_file_load(const hsae_context *context, const char *path, size_t most, char **text, size_t *size)
{
    struct hsae_file file;
    *text = NULL;
    *size = 0;
    hsae_status status = hsae_file_open(context, path, &file);
    if (status)
        return status;
    if (file.size > most)
        status = hsae_fail(context, HSAE_ERROR_FORMAT, "%s: it has %" PRIu64 " bytes; at most %zu are read", path, file.size, most);
    else if (!(*text = malloc((size_t)file.size + 1)))
        status = hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    else
        status = hsae_file_read(&file, 0, (size_t)file.size, *text);
    if (status) {
        free(*text);
        *text = NULL;
    } else {
        (*text)[file.size] = '\0';
        *size = (size_t)file.size;
    }
    hsae_file_close(&file);
    return status;
}

size_t hsae_read_at(int descriptor, uint64_t offset, size_t size, void *out, int *error)
{
    size_t done = 0;
    *error = 0;
    while (done < size) {
        ptrdiff_t more = hsae_os_read_at(descriptor, (unsigned char *)out + done, size - done, offset + done);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            *error = errno;
        if (more <= 0)
            break;
        done += (size_t)more;
    }
    return done;
}

struct hsae_output {
    const hsae_context *context;
    char *path;      /* as the caller named it, for messages */
    char *target;    /* links resolved */
    char *temporary; /* NULL: there is no such file */
    FILE *stream;
    struct hsae_output *next; /* the next output that has a temporary file */
};

/* Locked while temporary files are made, renamed or removed. */
static pthread_mutex_t outputs_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hsae_output *outputs;

void hsae_outputs_abandon(void)
{
    /* A second: much longer than any thread holds the lock, unless a file system hangs. */
    const double end = hsae_os_seconds() + 1;
    while (pthread_mutex_trylock(&outputs_lock)) {
        if (hsae_os_seconds() > end)
            return;
        hsae_os_sleep(0.01);
    }
    for (const struct hsae_output *output = outputs; output; output = output->next)
        hsae_os_remove(output->temporary);
    /* The lock stays with this thread, so that no other one makes or renames a temporary file now. */
}

static void list_output(struct hsae_output *output)
{
    output->next = outputs;
    outputs = output;
}

static void unlist_output(struct hsae_output *output)
{
    struct hsae_output **at = &outputs;
    while (*at != output)
        at = &(*at)->next;
    *at = output->next;
    free(output->temporary);
    output->temporary = NULL;
}

static hsae_status output_error(const struct hsae_output *output, int error)
{
    hsae_status status = error == ENOMEM ? HSAE_ERROR_MEMORY : HSAE_ERROR_FILE;
    if (output->context)
        hsae_fail(output->context, status, "%s: cannot be written: %s%s", output->path, strerror(error), hsae_os_advice(error));
    return status;
}

/* Locks the file, so that hsae_os_sweep leaves it. False: the sweep came first and removed it. On file systems without locks neither
 * does anything. */
static bool hold(int file, const char *name)
{
    return hsae_os_lock(file) != EWOULDBLOCK && hsae_os_is_named(file, name);
}

/* An open file beside the target, or -1 with errno set. */
static int open_temporary(struct hsae_output *output)
{
    int folder = (int)(hsae_os_file_name(output->target) - output->target);
    size_t size = (size_t)folder + 64;
    char *name = malloc(size);
    int file = -1;
    pthread_mutex_lock(&outputs_lock);
    for (unsigned attempt = 0; name && file < 0 && attempt < 1000; attempt++) {
        snprintf(name, size, "%.*s%s%ld-%u%s", folder, output->target, HSAE_OS_TEMPORARY_PREFIX, hsae_os_process(), attempt,
                 HSAE_OS_TEMPORARY_SUFFIX);
        file = hsae_os_open(name, HSAE_OS_NEW);
        if (file < 0 && errno != EEXIST)
            break;
        if (file >= 0 && !hold(file, name)) {
            hsae_os_close(file);
            file = -1;
        }
    }
    if (file >= 0) {
        output->temporary = name;
        list_output(output);
    }
    pthread_mutex_unlock(&outputs_lock);
    if (file < 0) {
        int error = errno;
        free(name);
        errno = error;
    }
    return file;
}

/* Fills all of *output but its context. 0 or an errno. */
static int make_output(struct hsae_output *output, const char *path)
{
    int file = -1;
    output->path = strdup(path);
    output->target = output->path ? hsae_os_resolve(path) : NULL;
    if (output->target)
        file = open_temporary(output);
    if (file >= 0)
        output->stream = fdopen(file, "wb");
    int error = output->stream ? 0 : errno;
    if (error && file >= 0)
        hsae_os_close(file);
    return error;
}

hsae_status hsae_output_open(const hsae_context *context, const char *path, struct hsae_output **out)
{
    HSAE_REQUIRE(context, path, out);
    *out = NULL;
    enum hsae_os_kind old = hsae_os_kind(path);
    /* Renaming over /dev/null would replace the device. */
    if (old != HSAE_OS_NONE && old != HSAE_OS_FILE) {
        if (context)
            hsae_fail(context, HSAE_ERROR_FILE, "%s: cannot be written: it is not a regular file", path);
        errno = old == HSAE_OS_FOLDER ? EISDIR : EINVAL;
        return HSAE_ERROR_FILE;
    }
    struct hsae_output *output = calloc(1, sizeof *output);
    if (!output) {
        if (context)
            hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
        errno = ENOMEM;
        return HSAE_ERROR_MEMORY;
    }
    output->context = context;
    int error = make_output(output, path);
    if (!error) {
        *out = output;
        return HSAE_OK;
    }
    hsae_status status = HSAE_ERROR_MEMORY;
    if (output->path)
        status = output_error(output, error);
    else if (context)
        hsae_fail(context, status, "%s: out of memory", path);
    hsae_output_discard(&output);
    errno = error;
    return status;
}

FILE *hsae_output_stream(struct hsae_output *output)
{
    return output ? output->stream : NULL;
}

hsae_status hsae_output_write(struct hsae_output *output, const void *data, size_t size)
{
    if (size && fwrite(data, 1, size, output->stream) != size)
        return output_error(output, errno);
    return HSAE_OK;
}

/* Makes the rename survive a power cut. A file system that cannot sync folders is no error. */
static int sync_folder(int folder)
{
    return folder >= 0 && hsae_os_sync(folder) && errno != EINVAL && errno != ENOTSUP ? errno : 0;
}

/* 0 or an errno. */
static int rename_temporary(struct hsae_output *output)
{
    int error = 0;
    pthread_mutex_lock(&outputs_lock);
    if (hsae_os_rename(output->temporary, output->target))
        error = errno;
    else
        unlist_output(output);
    pthread_mutex_unlock(&outputs_lock);
    return error;
}

hsae_status hsae_output_commit(struct hsae_output **handle)
{
    HSAE_REQUIRE(NULL, handle);
    struct hsae_output *output = *handle;
    hsae_status status = HSAE_OK;
    int error = 0, folder = -1, held = -1;
    if (ferror(output->stream) || fflush(output->stream) || hsae_os_sync(fileno(output->stream)))
        error = errno ? errno : EIO;
    /* Closing the last descriptor releases the lock, which is needed until the file has its name. So keep one. */
    if (!error && (held = hsae_os_duplicate(fileno(output->stream))) < 0)
        error = errno;
    if (fclose(output->stream) && !error)
        error = errno;
    output->stream = NULL;
    /* A folder that may be written to but not read cannot be synced. */
    if (!error && (folder = hsae_os_open(output->target, HSAE_OS_PARENT)) < 0 && errno != EACCES)
        error = errno;
    if (!error)
        error = rename_temporary(output);
    if (!error)
        error = sync_folder(folder);
    if (folder >= 0)
        hsae_os_close(folder);
    if (error)
        status = output_error(output, error);
    hsae_output_discard(handle);
    if (held >= 0)
        hsae_os_close(held);
    errno = error;
    return status;
}

void hsae_output_discard(struct hsae_output **handle)
{
    struct hsae_output *output = handle ? *handle : NULL;
    if (!output)
        return;
    if (output->stream)
        fclose(output->stream);
    if (output->temporary) {
        pthread_mutex_lock(&outputs_lock);
        hsae_os_remove(output->temporary);
        unlist_output(output);
        pthread_mutex_unlock(&outputs_lock);
    }
    free(output->target);
    free(output->path);
    free(output);
    *handle = NULL;
}

/* ---- folders ---- */

char *hsae_path_join(const char *folder, const char *name)
{
    size_t length = strlen(folder), size = length + 1 + strlen(name) + 1;
    const char *slash = length && *hsae_os_file_name(folder) ? "/" : "";
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s%s%s", folder, slash, name);
    return path;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

int hsae_names_read(const char *folder, struct hsae_names *names)
{
    struct hsae_os_folder *entries = hsae_os_folder_open(folder);
    int error = entries ? 0 : errno;
    *names = (struct hsae_names){0};
    while (!error) {
        const char *name = hsae_os_folder_next(entries);
        if (!name) {
            error = errno;
            break;
        }
        if (*name == '.')
            continue;
        char **items = realloc(names->items, (names->count + 1) * sizeof *items);
        if (items)
            names->items = items;
        if (items && (items[names->count] = strdup(name)))
            names->count++;
        else
            error = ENOMEM;
    }
    hsae_os_folder_close(entries);
    if (names->count)
        qsort(names->items, names->count, sizeof *names->items, by_text);
    if (error)
        hsae_names_free(names);
    return error;
}

void hsae_names_free(struct hsae_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct hsae_names){0};
}

hsae_status hsae_temporary_make(const hsae_context *context, const char *what, struct hsae_temporary *out)
{
    if (hsae_os_temporary_folder(out->folder, sizeof out->folder))
        return hsae_fail(context, HSAE_ERROR_FILE, "%s: no folder for %s can be made: %s; set TMPDIR", out->folder, what, strerror(errno));
    snprintf(out->path, sizeof out->path, "%s/data.safetensors", out->folder);
    return HSAE_OK;
}

void hsae_temporary_remove(const struct hsae_temporary *temporary)
{
    hsae_os_remove(temporary->path);
    hsae_os_remove_folder(temporary->folder);
}
