/* SPDX-License-Identifier: MIT */
/* Any bytes as an Arrow file: the vectors that it promises must be there. */
#include "data/arrow.h"
#include "data/dataset.h"
#include "fuzz.h"

static void parse(const struct hsae_file *file, const char *column)
{
    struct hsae_arrow arrow;
    if (hsae_arrow_parse(file, column, &arrow))
        return;
    uint64_t width = hsae_dtype_size(arrow.dtype);
    for (size_t i = 0; i < arrow.batch_count; i++) {
        uint64_t bytes;
        if (__builtin_mul_overflow(arrow.dim, width, &bytes) || __builtin_mul_overflow(bytes, arrow.batches[i].rows, &bytes))
            abort();
        if (!bytes || arrow.batches[i].offset > file->size || bytes > file->size - arrow.batches[i].offset)
            abort();
    }
    hsae_arrow_free(&arrow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "fuzz";
    struct hsae_file file = hsae_file_memory(fuzz_context(), path, data, size);
    if (!hsae_arrow_is(data, size))
        return 0;
    parse(&file, NULL);
    parse(&file, "first"); /* of lists.arrow, where several columns fit */
    return 0;
}
