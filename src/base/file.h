/* SPDX-License-Identifier: MIT */
/* Files: read at offsets, replaced atomically on writing. */
#ifndef HSAE_SRC_FILE_H
#define HSAE_SRC_FILE_H

#include "context.h"
#include <hsae/tensor_file.h>

/* Bytes to be read at offsets: an open file, which other processes may change or cut meanwhile, or memory. Any number of threads may read
 * one. */
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
/* Reads `size` bytes at `offset`, within file->size. ERROR_FILE: they cannot be read, or the file was cut meanwhile. */
hsae_status hsae_file_read(const struct hsae_file *file, uint64_t offset, size_t size, void *out);
/* Reads the first bytes of a file, at most `most`; *size is their number. */
hsae_status hsae_file_head(const struct hsae_file *file, size_t most, unsigned char *out, size_t *size);
/* ERROR_FILE: the file was written since it was opened, so what was read may mix old and new. */
hsae_status hsae_file_check_unchanged(const struct hsae_file *file);
/* All of a small file, with a NUL after it; free(). ERROR_FORMAT where it has more than `most` bytes. */
hsae_status hsae_file_load(const hsae_context *context, const char *path, size_t most, char **text, size_t *size);

/* Reads bytes of an open file and returns their number. If that is below `size`, *error is an errno, or 0 at the file's end. Logs nothing.
 */
size_t hsae_read_at(int descriptor, uint64_t offset, size_t size, void *out, int *error);

/* Writes to an output as file.h describes it; an error is logged. */
hsae_status hsae_output_write(struct hsae_output *output, const void *data, size_t size);

/* "FOLDER/NAME", free(). */
char *hsae_path_join(const char *folder, const char *name);
/* The names in a folder, without those that begin with a dot, in the order of their bytes. */
struct hsae_names {
    char **items;
    size_t count;
};
/* 0 or an errno; free the names after a success. */
int hsae_names_read(const char *folder, struct hsae_names *names);
void hsae_names_free(struct hsae_names *names);

/* A path for a temporary file, in a new folder of its own in $TMPDIR or /tmp. `what` ("a checkpoint") names its use in messages. Remove it
 * after a success. */
struct hsae_temporary {
    char folder[1024], path[1100];
};
hsae_status hsae_temporary_make(const hsae_context *context, const char *what, struct hsae_temporary *out);
/* The folder, and the file if there is one. */
void hsae_temporary_remove(const struct hsae_temporary *temporary);

#endif
