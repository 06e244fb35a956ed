/* SPDX-License-Identifier: MIT */
/* Any bytes as an .npz file: its directory, then every array as far as it goes. */
#include "data/npz.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hsae_npz *npz;
    if (hsae_npz_open(fuzz_context(), fuzz_file(data, size), &npz))
        return 0;
    for (size_t i = 0; i < hsae_npz_count(npz) && i < 8; i++) {
        struct hsae_npz_stream *stream;
        float values[512];
        if (hsae_npz_stream_open(npz, hsae_npz_at(npz, i), &stream))
            continue;
        uint64_t left = 1;
        for (uint32_t k = 0; k < hsae_npz_stream_rank(stream); k++)
            left *= hsae_npz_stream_shape(stream)[k];
        if (left / 300 > size) /* deflate makes at most 1032 bytes of one */
            abort();
        for (size_t count; left; left -= count) {
            count = left < 512 ? (size_t)left : 512;
            if (hsae_npz_stream_next(stream, count, values))
                break;
        }
        hsae_npz_stream_close(&stream);
    }
    hsae_npz_close(&npz);
    return 0;
}
