/* Data sets: activation vectors in files, read by row. */
#ifndef HSAE_DATA_H
#define HSAE_DATA_H

#include <hsae/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hsae_dataset_params {
    const char *const *paths; /* files or folders (a folder: its data files in name order); all of one width d */
    size_t path_count;        /* >= 1 */
    const char *tensor;       /* safetensors: the tensor to read; NULL: the first 2-D or 3-D one by offset */
} hsae_dataset_params;

/* Immutable after opening: any number of threads may read it. Files stay open, each with a descriptor of its own (`ulimit -n`), and must not
 * change meanwhile; a row of a file that was cut is ERROR_FILE once it is to be read. */
typedef struct hsae_dataset hsae_dataset;

/* How the rows lie in the files. */
typedef enum hsae_dtype { HSAE_DTYPE_F32, HSAE_DTYPE_F16, HSAE_DTYPE_BF16 } hsae_dtype;

/* Reads headers only. ERROR_FILE, ERROR_FORMAT, ERROR_DATA (no rows; shards of different widths or dtypes mix freely, widths may not). */
HSAE_API hsae_status hsae_dataset_open(hsae_context *context, const hsae_dataset_params *params, hsae_dataset **out);
/* Rows first .. first + count - 1 of `dataset` as a data set of its own; keeps what it needs of `dataset` alive. count >= 1. */
HSAE_API hsae_status hsae_dataset_slice(hsae_dataset *dataset, uint64_t first, uint64_t count, hsae_dataset **out);
/* Sets *dataset to NULL; takes NULL. */
HSAE_API void hsae_dataset_close(hsae_dataset **dataset);

HSAE_API uint64_t hsae_dataset_rows(const hsae_dataset *dataset);
HSAE_API uint32_t hsae_dataset_dim(const hsae_dataset *dataset);

/* rows[i] (i < count), converted to float, at out + i * d. A value that is not finite: ERROR_DATA with file and row. ERROR_FILE. Where they
 * are neighbours in rising order the disk begins at once with as many behind them, so reading on from there hardly waits. */
HSAE_API hsae_status hsae_dataset_read(const hsae_dataset *dataset, const uint64_t *rows, size_t count, float *out);

#ifdef __cplusplus
}
#endif
#endif
