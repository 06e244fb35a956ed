/* Any bytes as an .npy file: what the header promises must be there. */
#include "data/dataset.h"
#include "data/npy.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hsae_npy npy;
    struct hsae_map map = {.data = size ? data : NULL, .size = size};
    if (!hsae_npy_is(&map) || hsae_npy_parse(fuzz_context(), "fuzz", &map, &npy))
        return 0;
    uint64_t bytes = hsae_dtype_size(npy.dtype);
    for (uint32_t i = 0; i < npy.rank; i++)
        bytes *= npy.shape[i];
    if (npy.data < data || bytes > (uint64_t)(data + size - npy.data))
        abort();
    return 0;
}
