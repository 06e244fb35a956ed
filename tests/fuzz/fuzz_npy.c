/* SPDX-License-Identifier: MIT */
/* Any bytes as an .npy file: what the header promises must be there. */
#include "data/dataset.h"
#include "data/npy.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hsae_npy npy;
    char path[] = "fuzz";
    struct hsae_file file = hsae_file_memory(fuzz_context(), path, data, size);
    if (!hsae_npy_is(data, size) || hsae_npy_parse(&file, &npy))
        return 0;
    uint64_t bytes = hsae_dtype_size(npy.dtype);
    for (uint32_t i = 0; i < npy.rank; i++)
        bytes *= npy.shape[i];
    if (npy.start > size || bytes > size - npy.start)
        abort();
    return 0;
}
