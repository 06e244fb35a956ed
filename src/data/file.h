/* Whole files: mapped for reading, replaced atomically on writing. */
#ifndef HSAE_SRC_FILE_H
#define HSAE_SRC_FILE_H

#include "../context.h"

/* A file in memory, read only. The file must not change while it is mapped. */
struct hsae_map {
    const unsigned char *data; /* NULL where size is 0 */
    uint64_t size;
    int file; /* where there is data: its descriptor, open as long as it is mapped */
};

/* "PATH: cannot be read: REASON; ADVICE" for an errno. ERROR_FILE, or ERROR_MEMORY where that is the reason. */
hsae_status hsae_fail_reading(const hsae_context *context, const char *path, int error);

/* ERROR_FILE where `path` is not a readable regular file. */
hsae_status hsae_map_open(const hsae_context *context, const char *path, struct hsae_map *map);
/* Takes a zeroed map, and one that is closed already. */
void hsae_map_close(struct hsae_map *map);

/* Bytes of an open file, which may change meanwhile; how many were read. Fewer than `size`: *error is an errno, 0 at the file's end. */
size_t hsae_read_at(int file, uint64_t offset, size_t size, void *out, int *error);

/* A new file that becomes `path` on commit: until then it lies beside it under another name, and whatever was at `path` stays whole.
 * Symbolic links are followed. On an error everything that was written is removed; one message is logged. */
struct hsae_output;
hsae_status hsae_output_open(const hsae_context *context, const char *path, struct hsae_output **out);
hsae_status hsae_output_write(struct hsae_output *output, const void *data, size_t size);
/* Syncs, renames, syncs the folder. *output is NULL afterwards, whatever comes back. */
hsae_status hsae_output_commit(struct hsae_output **output);
/* Sets *output to NULL; takes NULL. */
void hsae_output_discard(struct hsae_output **output);
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
