/* SPDX-License-Identifier: MIT */
/* Any bytes as a safetensors file: the header, and all that it says there is. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hsae_tensor_file *file;
    int64_t values[16];
    if (hsae_tensor_file_open(fuzz_context(), fuzz_file(data, size), &file))
        return 0;
    for (size_t i = 0; i < hsae_tensor_file_count(file); i++) {
        const hsae_tensor *tensor = hsae_tensor_file_at(file, i);
        uint64_t count = tensor->count < 16 ? tensor->count : 16;
        (void)hsae_tensor_read(file, tensor, 0, (size_t)count, values);
        (void)hsae_tensor_read(file, tensor, tensor->count - count, (size_t)count, values);
        if (!hsae_tensor_file_find(file, tensor->name))
            abort();
    }
    (void)hsae_tensor_file_metadata(file, "format");
    hsae_tensor_file_close(&file);
    return 0;
}
