/* SPDX-License-Identifier: MIT */
/* The files of a data folder: their order, what their names tell, and which are not read. */
#ifndef HSAE_SRC_FOLDER_H
#define HSAE_SRC_FOLDER_H

#include "base/file.h"
#include <stdbool.h>

/* As strcmp, but runs of digits count as numbers: "shard_2" comes before "shard_10". */
int hsae_natural_order(const char *left, const char *right);
/* The names of a folder that do not begin with a point, in natural order. 0 or an errno; free the names after a success. */
int hsae_folder_names(const char *folder, struct hsae_names *names);

bool hsae_ends_with(const char *name, const char *end);
/* .bin, .raw */
bool hsae_is_raw_name(const char *name);
/* Whether a file of this name must hold data. `raw`: .bin and .raw count, too. */
bool hsae_is_data_name(const char *name, bool raw);
/* Whether a name is that of an unfinished download or copy. */
bool hsae_is_unfinished_name(const char *name);

/* ERROR_DATA where one of the files NAME-00003-of-00004.EXTENSION is missing. */
hsae_status hsae_folder_check_whole(const hsae_context *context, const char *folder, const struct hsae_names *names, bool raw);

/* Warns where one number of a series is missing, as in shard_1.npy, shard_2.npy, shard_4.npy. `names`: in natural order. ERROR_MEMORY. */
hsae_status hsae_folder_find_gap(const hsae_context *context, const char *folder, const struct hsae_names *names, bool raw);

/* A list of files for a message: "a.pt (a PyTorch file), b.pt (a PyTorch file) and 3 more". */
struct hsae_name_list {
    char text[768];
    size_t used, count, shown;
};
/* `what` may be NULL. */
void hsae_name_list_add(struct hsae_name_list *list, const char *name, const char *what);
/* The text. No names may be added afterwards. */
const char *hsae_name_list_end(struct hsae_name_list *list);

/* What a folder within a data folder is. */
enum hsae_inner_folder {
    HSAE_INNER_OTHER,
    HSAE_INNER_RUN,   /* of `hsae train` */
    HSAE_INNER_SPLIT, /* what HuggingFace datasets saved */
    HSAE_INNER_DATA   /* it has files with names of data files */
};
enum hsae_inner_folder hsae_inner_folder(const char *path, bool raw);

#endif
