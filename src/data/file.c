#define _DEFAULT_SOURCE /* realpath, madvise, flock */
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#endif

#include "file.h"
#include <hsae/file.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const char *hsae_errno_advice(int error)
{
    switch (error) {
    case ENOENT:
        return "; check the path";
    case EACCES:
    case EPERM:
        return "; check its permissions and those of its folder (ls -ld), or choose another place";
    case ENOSPC:
    case EDQUOT:
        return "; make room there or choose another place, then try again";
    case EROFS:
        return "; choose a place that can be written to";
    case EFBIG:
        return "; raise the limit of file sizes (ulimit -f) or choose a file system that takes larger files";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files (ulimit -n)";
    case ENOTDIR:
    case EISDIR:
        return "; check the path: what should be a folder is a file, or the other way round";
    case ENAMETOOLONG:
        return "; choose a shorter path";
    case ENOMEM:
        return "; close other programs or raise the limit of memory (ulimit -v)";
    case EIO:
        return "; the disk itself reports a fault: see the system's log, and choose another one";
    default:
        return "";
    }
}

hsae_status hsae_fail_reading(const hsae_context *context, const char *path, int error)
{
    return hsae_fail(context, error == ENOMEM ? HSAE_ERROR_MEMORY : HSAE_ERROR_FILE, "%s: cannot be read: %s%s", path, strerror(error),
                     hsae_errno_advice(error));
}

hsae_status hsae_map_open(const hsae_context *context, const char *path, struct hsae_map *map)
{
    hsae_status status = HSAE_OK;
    struct stat info;
    *map = (struct hsae_map){0};
    /* A pipe without a writer must not hang the open. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &info)) {
        status = hsae_fail_reading(context, path, errno);
        goto end;
    }
    if (!S_ISREG(info.st_mode)) {
        status = hsae_fail(context, HSAE_ERROR_FILE, "%s: cannot be read: it is not a regular file; give a file", path);
        goto end;
    }
    if (info.st_size == 0)
        goto end;
    if ((uint64_t)info.st_size > SIZE_MAX) {
        status = hsae_fail(context, HSAE_ERROR_FILE, "%s: too large for this machine's address space", path);
        goto end;
    }
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (data == MAP_FAILED) {
        status = hsae_fail_reading(context, path, errno);
        goto end;
    }
    map->data = data;
    map->size = (uint64_t)info.st_size;
    map->file = file;
    return HSAE_OK;
end:
    if (file >= 0)
        close(file);
    return status;
}

void hsae_map_close(struct hsae_map *map)
{
    if (map->data) {
        munmap((void *)map->data, (size_t)map->size);
        close(map->file);
    }
    *map = (struct hsae_map){0};
}

/* posix_madvise's DONTNEED does nothing in some C libraries. */
void hsae_map_forget(const void *data, uint64_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data / page * page, end = ((uintptr_t)data + size) / page * page;
    if (end > begin)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

size_t hsae_read_at(int file, uint64_t offset, size_t size, void *out, int *error)
{
    size_t done = 0;
    *error = 0;
    while (done < size) {
        ssize_t more = pread(file, (unsigned char *)out + done, size - done, (off_t)(offset + done));
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
};

static hsae_status output_error(const struct hsae_output *output, int error)
{
    return hsae_fail(output->context, error == ENOMEM ? HSAE_ERROR_MEMORY : HSAE_ERROR_FILE, "%s: cannot be written: %s%s", output->path,
                     strerror(error), hsae_errno_advice(error));
}

/* The path with links resolved; NULL with errno set. */
static char *resolve_target(const char *path)
{
    struct stat info;
    return lstat(path, &info) && errno == ENOENT ? strdup(path) : realpath(path, NULL);
}

static const char temporary_prefix[] = ".hsae-", temporary_suffix[] = ".tmp";

/* Tells hsae_folder_sweep that somebody is at work; where the sweep was faster, the name is gone. File systems without locks are left
 * alone by both. */
static bool hold(int file)
{
    struct stat info;
    return (!flock(file, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK) && !fstat(file, &info) && info.st_nlink;
}

/* An open file beside the target, or -1 with errno set. */
static int open_temporary(struct hsae_output *output)
{
    const char *slash = strrchr(output->target, '/');
    int folder = slash ? (int)(slash - output->target) + 1 : 0;
    size_t size = (size_t)folder + 64;
    char *name = malloc(size);
    int file = -1;
    for (unsigned attempt = 0; name && file < 0 && attempt < 1000; attempt++) {
        snprintf(name, size, "%.*s%s%ld-%u%s", folder, output->target, temporary_prefix, (long)getpid(), attempt, temporary_suffix);
        file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file < 0 && errno != EEXIST)
            break;
        if (file >= 0 && !hold(file)) {
            close(file);
            file = -1;
        }
    }
    if (file >= 0)
        output->temporary = name;
    else
        free(name);
    return file;
}

hsae_status hsae_output_open(const hsae_context *context, const char *path, struct hsae_output **out)
{
    hsae_status status = HSAE_ERROR_MEMORY;
    struct stat info;
    int file = -1;
    *out = NULL;
    /* Renaming over /dev/null would replace the device. */
    if (!stat(path, &info) && !S_ISREG(info.st_mode))
        return hsae_fail(context, HSAE_ERROR_FILE, "%s: cannot be written: it is not a regular file", path);
    struct hsae_output *output = calloc(1, sizeof *output);
    if (!output)
        goto error;
    output->context = context;
    output->path = strdup(path);
    if (!output->path)
        goto error;
    output->target = resolve_target(path);
    if (output->target)
        file = open_temporary(output);
    if (file >= 0)
        output->stream = fdopen(file, "wb");
    if (!output->stream) {
        status = output_error(output, errno);
        goto error;
    }
    *out = output;
    return HSAE_OK;
error:
    if (file >= 0)
        close(file);
    hsae_output_discard(&output);
    return status == HSAE_ERROR_MEMORY ? hsae_fail(context, status, "%s: out of memory", path) : status;
}

hsae_status hsae_output_write(struct hsae_output *output, const void *data, size_t size)
{
    if (size && fwrite(data, 1, size, output->stream) != size)
        return output_error(output, errno);
    return HSAE_OK;
}

/* The folder of the target, opened to be synced; -1: out of memory, or it cannot be opened. */
static int open_folder(const char *target)
{
    const char *slash = strrchr(target, '/');
    char *folder = slash ? strndup(target, slash == target ? 1 : (size_t)(slash - target)) : strdup(".");
    int file = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    return file;
}

/* The rename itself must survive a power cut. File systems that cannot sync folders say so and are left alone. */
static int sync_folder(int folder)
{
    return folder >= 0 && fsync(folder) && errno != EINVAL && errno != ENOTSUP ? errno : 0;
}

void hsae_sync_parent(const char *path)
{
    int folder = open_folder(path);
    (void)sync_folder(folder);
    if (folder >= 0)
        close(folder);
}

hsae_status hsae_output_commit(struct hsae_output **handle)
{
    struct hsae_output *output = *handle;
    hsae_status status = HSAE_OK;
    int error = 0, folder = -1, held = -1;
    if (fflush(output->stream) || fsync(fileno(output->stream)))
        error = errno;
    /* The lock goes with the last descriptor, and is needed until the file has its name. */
    if (!error && (held = fcntl(fileno(output->stream), F_DUPFD_CLOEXEC, 0)) < 0)
        error = errno;
    if (fclose(output->stream) && !error)
        error = errno;
    output->stream = NULL;
    /* A folder that may be written to but not read cannot be synced. */
    if (!error && (folder = open_folder(output->target)) < 0 && errno != EACCES)
        error = errno;
    if (!error && rename(output->temporary, output->target))
        error = errno;
    if (!error) {
        free(output->temporary);
        output->temporary = NULL;
        error = sync_folder(folder);
    }
    if (folder >= 0)
        close(folder);
    if (error)
        status = output_error(output, error);
    hsae_output_discard(handle);
    if (held >= 0)
        close(held);
    return status;
}

void hsae_output_discard(struct hsae_output **handle)
{
    struct hsae_output *output = *handle;
    if (!output)
        return;
    if (output->stream)
        fclose(output->stream);
    if (output->temporary)
        unlink(output->temporary);
    free(output->temporary);
    free(output->target);
    free(output->path);
    free(output);
    *handle = NULL;
}

/* ---- temporary files ---- */

static bool is_temporary(const char *name)
{
    size_t length = strlen(name), prefix = sizeof temporary_prefix - 1, suffix = sizeof temporary_suffix - 1;
    return length > prefix + suffix && !strncmp(name, temporary_prefix, prefix) && !strcmp(name + length - suffix, temporary_suffix);
}

void hsae_folder_sweep(hsae_context *context, const char *folder)
{
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct stat info, named;
        if (!is_temporary(entry->d_name))
            continue;
        int file = openat(dirfd(directory), entry->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (file < 0)
            continue;
        /* A writer at work holds the lock. One that is done may have given the name up, and another have taken it. */
        if (!fstat(file, &info) && S_ISREG(info.st_mode) && !flock(file, LOCK_EX | LOCK_NB) &&
            !fstatat(dirfd(directory), entry->d_name, &named, AT_SYMLINK_NOFOLLOW) && named.st_ino == info.st_ino &&
            !unlinkat(dirfd(directory), entry->d_name, 0))
            hsae_log(context, HSAE_LOG_DEBUG, "%s/%s: removed; whoever wrote it was stopped", folder, entry->d_name);
        close(file);
    }
    if (directory)
        closedir(directory);
}

hsae_status hsae_temporary_make(const hsae_context *context, const char *what, struct hsae_temporary *out)
{
    const char *parent = getenv("TMPDIR");
    snprintf(out->folder, sizeof out->folder, "%.1000s/hsae-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!mkdtemp(out->folder))
        return hsae_fail(context, HSAE_ERROR_FILE, "%s: no folder for %s can be made: %s; set TMPDIR", out->folder, what, strerror(errno));
    snprintf(out->path, sizeof out->path, "%s/data.safetensors", out->folder);
    return HSAE_OK;
}

void hsae_temporary_remove(const struct hsae_temporary *temporary)
{
    unlink(temporary->path);
    rmdir(temporary->folder);
}
