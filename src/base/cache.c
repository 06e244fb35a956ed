/* SPDX-License-Identifier: MIT */
/* One file a blob: a header, the whole key, the bytes. The file's name is a hash of the key; the key inside settles collisions. Files are
 * replaced by rename, so that any number of processes may share the folder; a torn file fails its checksum. */
#include "context.h"
#include "os.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };
/* Seconds between two tries to get the lock, until the log mentions the wait, and until the wait is given up. Compiling all kernels takes a
 * minute, more on a busy machine. */
static const double LOCK_PAUSE = 0.02, TELL_SECONDS = 5, LOCK_SECONDS = 600;

struct header {
    char magic[8];
    uint64_t key_size, data_size; /* bytes */
    uint64_t checksum;            /* of key and data */
};
static const char magic[8] = "hsae\0\1\r\n";

uint64_t hsae_hash(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static struct header make_header(const void *key, size_t key_size, const void *data, size_t size)
{
    struct header header = {.key_size = key_size, .data_size = size};
    memcpy(header.magic, magic, sizeof magic);
    header.checksum = hsae_hash(hsae_hash(HSAE_HASH_START, key, key_size), data, size);
    return header;
}

static bool blob_path(const hsae_context *context, const char *kind, const void *key, size_t key_size, char path[PATH_BYTES])
{
    if (!context->cache_dir || !hsae_os_is_private(context->cache_dir))
        return false;
    uint64_t hash = hsae_hash(HSAE_HASH_START, key, key_size);
    int length = snprintf(path, PATH_BYTES, "%s/%s-%016llx%016llx", context->cache_dir, kind, (unsigned long long)hash,
                          (unsigned long long)hsae_hash(~hash, key, key_size));
    return length < PATH_BYTES;
}

void hsae_cache_read(const hsae_context *context, const char *kind, const void *key, size_t key_size, void **data, size_t *size)
{
    char path[PATH_BYTES];
    void *stored_key = NULL, *bytes = NULL;
    *data = NULL;
    *size = 0;
    if (!blob_path(context, kind, key, key_size, path))
        return;
    FILE *file = hsae_os_fopen(path, "rb");
    if (!file)
        return;
    struct header header;
    uint64_t file_size = 0;
    if (fread(&header, sizeof header, 1, file) != 1 || hsae_os_describe(fileno(file), &file_size) == HSAE_OS_NONE ||
        memcmp(header.magic, magic, sizeof magic) || header.key_size != key_size ||
        file_size != sizeof header + key_size + header.data_size)
        goto end;
    stored_key = malloc(key_size + 1);
    bytes = malloc(header.data_size + 1);
    if (!stored_key || !bytes || fread(stored_key, 1, key_size, file) != key_size ||
        fread(bytes, 1, header.data_size, file) != header.data_size || memcmp(stored_key, key, key_size))
        goto end;
    struct header expected = make_header(key, key_size, bytes, header.data_size);
    if (memcmp(&header, &expected, sizeof header))
        goto end;
    *data = bytes;
    *size = header.data_size;
    bytes = NULL;
end:
    free(stored_key);
    free(bytes);
    fclose(file);
}

/* One that cannot be made shows when the file is opened. */
void hsae_cache_make_folder(const hsae_context *context)
{
    char path[PATH_BYTES];
    bool made;
    if (context->cache_dir && snprintf(path, sizeof path, "%s", context->cache_dir) < (int)sizeof path)
        (void)hsae_os_make_folders(path, true, &made);
}

void hsae_cache_write(const hsae_context *context, const char *kind, const void *key, size_t key_size, const void *data, size_t size)
{
    char path[PATH_BYTES], temporary[PATH_BYTES];
    if (!blob_path(context, kind, key, key_size, path) ||
        snprintf(temporary, sizeof temporary, "%s/.new-XXXXXX", context->cache_dir) >= (int)sizeof temporary)
        return;
    hsae_cache_make_folder(context);
    int descriptor = hsae_os_open_temporary(temporary, true);
    if (descriptor < 0) {
        hsae_log(context, HSAE_LOG_DEBUG, "compiled kernels are not kept: %s cannot be written", context->cache_dir);
        return;
    }
    FILE *file = fdopen(descriptor, "wb");
    if (!file) {
        hsae_os_close(descriptor);
        hsae_os_remove(temporary);
        return;
    }
    struct header header = make_header(key, key_size, data, size);
    bool whole =
        fwrite(&header, sizeof header, 1, file) == 1 && fwrite(key, 1, key_size, file) == key_size && fwrite(data, 1, size, file) == size;
    whole = !fclose(file) && whole;
    if (!whole || hsae_os_rename(temporary, path))
        hsae_os_remove(temporary);
}

int hsae_cache_lock(const hsae_context *context)
{
    char path[PATH_BYTES];
    if (!context->cache_dir || snprintf(path, sizeof path, "%s/.lock", context->cache_dir) >= (int)sizeof path)
        return -1;
    hsae_cache_make_folder(context);
    int file = hsae_os_open(path, HSAE_OS_LOCK);
    double begun = hsae_os_seconds();
    for (bool told = false; file >= 0 && hsae_os_lock(file) == EWOULDBLOCK; hsae_os_sleep(LOCK_PAUSE)) {
        double waited = hsae_os_seconds() - begun;
        if (waited > LOCK_SECONDS) {
            hsae_log(context, HSAE_LOG_WARNING, "%s: another process has held this lock for %.0f minutes; it is not waited for any longer",
                     path, waited / 60);
            break;
        }
        if (!told && waited > TELL_SECONDS) {
            hsae_log(context, HSAE_LOG_INFO, "waiting for another process that compiles kernels; it holds %s", path);
            told = true;
        }
    }
    return file;
}

void hsae_cache_unlock(int lock)
{
    if (lock >= 0)
        hsae_os_close(lock);
}
