/* SPDX-License-Identifier: MIT */
/* The files of a data set: found, told apart by their content, and opened. */
#ifndef HSAE_SRC_SHARDS_H
#define HSAE_SRC_SHARDS_H

#include "arrow.h"
#include "base/file.h"
#include "foreign_files.h"
#include "safetensors.h"
#include <hsae/data.h>

/* An open file. */
struct source {
    char *path;
    struct hsae_safetensors *file; /* one of these two keeps it open */
    struct hsae_file bytes;
    struct hsae_arrow arrow;
    char (*types)[192]; /* of about.columns, where they are tensors */
    hsae_data_column *columns;
    const char *left_out;                    /* why it holds no data; NULL: it does */
    const struct hsae_foreign_file *foreign; /* what it is, where that is known and no data */
    hsae_data_file about;
};

/* Rows that are contiguous in one file. */
struct shard {
    const char *path; /* the source's */
    int descriptor;   /* of the file that holds the rows; -1: they are in memory */
    const unsigned char *memory;
    uint64_t offset;      /* of the first row; 0 where there is none */
    uint64_t first, rows; /* first: within the data set */
    hsae_dtype dtype;
};

struct shards {
    const hsae_context *context;
    size_t count, capacity;
    struct shard *items; /* by their first row */
    size_t source_count, source_capacity;
    struct source *sources;
    uint32_t dim;
    hsae_dtype dtype; /* F32 where they differ */
};

/* What hsae_dataset_open says; `rows`: of all. Close it unless it fails. */
hsae_status hsae_shards_open(const hsae_context *context, const hsae_dataset_params *params, struct shards *shards, uint64_t *rows);
/* One shard of rows that are in the caller's memory, which is not copied. `name`: its path in messages. */
hsae_status hsae_shards_from_memory(const hsae_context *context, const char *name, const void *rows, hsae_dtype dtype, uint64_t count,
                                    uint32_t dim, struct shards *shards);
void hsae_shards_close(struct shards *shards);

#endif
