/* SPDX-License-Identifier: MIT */
/* Files: read at offsets, replaced atomically on writing. */
#ifndef HSAE_SRC_FILE_H
#define HSAE_SRC_FILE_H

#include "context.h"
#include <hsae/tensor_file.h>

/* Bytes that are read at an offset: an open file, which others may change or cut meanwhile, or memory. Any number of threads may read one.
 */
struct hsae_file {
    const hsae_context *context;
    char *path;                  /* for messages; NULL: it is closed */
    const unsigned char *memory; /* NULL: it is an open file */
    int descriptor;
    uint64_t size;     /* when it was opened */
    uint64_t modified; /* when it was opened: hsae_os_modified */
};

/* "PATH: cannot be read: REASON; ADVICE" for an errno. ERROR_FILE, or ERROR_MEMORY where that is the reason. */
hsae_status hsae_fail_reading(const hsae_context *context, const char *path, int error);

/* ERROR_FILE where `path` is not a readable regular file. */
hsae_status hsae_file_open(const hsae_context *context, const char *path, struct hsae_file *file);
/* Memory as a file; both must outlive it, and it need not be closed. */
struct hsae_file hsae_file_memory(const hsae_context *context, char *path, const void *memory, uint64_t size);
/* Takes a zeroed file, and one that is closed already. */
void hsae_file_close(struct hsae_file *file);
/* `size` bytes from `offset` on, which must lie within file->size. ERROR_FILE: they cannot be read, or the file was cut meanwhile. */
hsae_status hsae_file_read(const struct hsae_file *file, uint64_t offset, size_t size, void *out);
/* The first bytes of a file, at most `most`; *size: how many they are. */
hsae_status hsae_file_head(const struct hsae_file *file, size_t most, unsigned char *out, size_t *size);
/* ERROR_FILE where somebody has written into the file since it was opened: what was read may be old in part. */
hsae_status hsae_file_check_unchanged(const struct hsae_file *file);
/* All of a small file, with a NUL after it; free(). ERROR_FORMAT where it has more than `most` bytes. */
hsae_status hsae_file_load(const hsae_context *context, const char *path, size_t most, char **text, size_t *size);

/* Bytes of an open file; how many were read. Fewer than `size`: *error is an errno, 0 at the file's end. Says nothing. */
size_t hsae_read_at(int descriptor, uint64_t offset, size_t size, void *out, int *error);

/* Writes to an output as file.h describes it; an error is logged. */
hsae_status hsae_output_write(struct hsae_output *output, const void *data, size_t size);
/* Makes the rename of a folder to `path` survive a power cut, where the file system can. */
void hsae_sync_parent(const char *path);

/* "FOLDER/NAME", free(). */
char *hsae_path_join(const char *folder, const char *name);
/* The names in a folder that do not begin with a point, in the order of their bytes. */
struct hsae_names {
    char **items;
    size_t count;
};
/* 0 or an errno; free the names after a success. */
int hsae_names_read(const char *folder, struct hsae_names *names);
void hsae_names_free(struct hsae_names *names);

/* A path that nobody else uses, in a new folder in $TMPDIR or /tmp. `what` (such as "a checkpoint") is what it is for. Remove it after a
 * success. */
struct hsae_temporary {
    char folder[1024], path[1100];
};
hsae_status hsae_temporary_make(const hsae_context *context, const char *what, struct hsae_temporary *out);
/* The folder, and the file if there is one. */
void hsae_temporary_remove(const struct hsae_temporary *temporary);

#endif
