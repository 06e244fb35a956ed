/* What the trainer needs of a data set beyond the public API. */
#ifndef HSAE_SRC_DATASET_H
#define HSAE_SRC_DATASET_H

#include <hsae/data.h>

/* The dtype that all rows have, or HSAE_DTYPE_F32 where shards differ. */
hsae_dtype hsae_dataset_dtype(const hsae_dataset *dataset);
/* rows[i] (i < count) in `dtype` (hsae_dataset_dtype or F32), packed at out + i * d * size. Checks that all values are finite. */
hsae_status hsae_dataset_gather(const hsae_dataset *dataset, const uint64_t *rows, size_t count, hsae_dtype dtype, void *out);
size_t hsae_dtype_size(hsae_dtype dtype);

#endif
