/* Any bytes as an Arrow file: the vectors that it promises must be there. */
#include "data/arrow.h"
#include "data/dataset.h"
#include "fuzz.h"

static void parse(const struct hsae_map *map, const char *column)
{
    struct hsae_arrow arrow;
    if (hsae_arrow_parse(fuzz_context(), "fuzz", map, column, &arrow))
        return;
    uint64_t width = hsae_dtype_size(arrow.dtype);
    for (size_t i = 0; i < arrow.batch_count; i++) {
        uint64_t bytes;
        if (__builtin_mul_overflow(arrow.dim, width, &bytes) || __builtin_mul_overflow(bytes, arrow.batches[i].rows, &bytes))
            abort();
        if (!bytes || arrow.batches[i].offset > map->size || bytes > map->size - arrow.batches[i].offset)
            abort();
    }
    hsae_arrow_free(&arrow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hsae_map map = {.data = size ? data : NULL, .size = size};
    if (!hsae_arrow_is(&map))
        return 0;
    parse(&map, NULL);
    parse(&map, "first"); /* of lists.arrow, where several columns fit */
    return 0;
}
