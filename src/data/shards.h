/* The files of a data set: found, told apart by their content, opened and mapped. */
#ifndef HSAE_SRC_SHARDS_H
#define HSAE_SRC_SHARDS_H

#include "file.h"
#include "safetensors.h"
#include <hsae/data.h>

/* Rows that lie one after the other in one file. */
struct shard {
    char *path;
    struct hsae_safetensors *file; /* one of these two keeps the file open */
    struct hsae_map map;
    int descriptor;       /* the rows lie in this file */
    uint64_t offset;      /* from here on, one behind the other; 0 where there is none */
    uint64_t first, rows; /* first: within the data set */
    uint64_t dim;
    hsae_dtype dtype;
};

struct shards {
    const hsae_context *context;
    size_t count, capacity;
    struct shard *items; /* by their first row */
    uint32_t dim;
    hsae_dtype dtype; /* F32 where they differ */
};

/* What hsae_dataset_open says; `rows`: of all. Close it unless it fails. */
hsae_status hsae_shards_open(const hsae_context *context, const hsae_dataset_params *params, struct shards *shards, uint64_t *rows);
void hsae_shards_close(struct shards *shards);

#endif
