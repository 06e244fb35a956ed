/* NumPy's .npy files, versions 1.0 to 3.0. */
#ifndef HSAE_SRC_NPY_H
#define HSAE_SRC_NPY_H

#include "../context.h"
#include "file.h"
#include <hsae/data.h>
#include <stdbool.h>

struct hsae_npy {
    hsae_dtype dtype; /* F32 or F16 */
    uint32_t rank;    /* 2 or 3; a header alone: 0 to 3 */
    uint64_t shape[3];
    const unsigned char *data; /* in the map */
};

/* The header alone: `map` is the beginning of a file that may go on. Rank 0 to 3; the data are *bytes from *start on. ERROR_FORMAT. */
hsae_status hsae_npy_parse_header(const hsae_context *context, const char *path, const struct hsae_map *map, struct hsae_npy *npy,
                                  uint64_t *start, uint64_t *bytes);

bool hsae_npy_is(const struct hsae_map *map);
/* ERROR_FORMAT. `path` is for messages. */
hsae_status hsae_npy_parse(const hsae_context *context, const char *path, const struct hsae_map *map, struct hsae_npy *npy);

#endif
