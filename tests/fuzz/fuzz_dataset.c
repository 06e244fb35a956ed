/* SPDX-License-Identifier: MIT */
/* Any bytes as a data set, whatever the format; the first and the last rows are read. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    hsae_dataset *dataset;
    if (hsae_dataset_open(fuzz_context(), &(hsae_dataset_params){.paths = &path, .path_count = 1}, &dataset))
        return 0;
    uint64_t rows = hsae_dataset_rows(dataset);
    float *row = malloc((size_t)hsae_dataset_dim(dataset) * sizeof *row);
    for (uint64_t i = 0; row && i < rows && i < 8; i++) {
        uint64_t last = rows - 1 - i;
        (void)hsae_dataset_read(dataset, &i, 1, row);
        (void)hsae_dataset_read(dataset, &last, 1, row);
    }
    free(row);
    hsae_dataset_close(&dataset);
    return 0;
}
