/* SPDX-License-Identifier: MIT */
/* Any bytes as tokens.jsonl: every token must be UTF-8 of no more than the longest, sequences must not go back. */
#include "data/tokens.h"
#include "fuzz.h"

/* Whether the bytes are UTF-8 by a decoder that shares nothing with the reader's. */
static bool is_utf8(const unsigned char *text, uint32_t size)
{
    static const uint32_t lowest[] = {0, 0x80, 0x800, 0x10000};
    for (uint32_t i = 0; i < size;) {
        uint32_t lead = text[i++], more = lead < 0x80 ? 0 : lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        uint32_t code = more ? lead & (0x3fu >> more) : lead;
        if ((lead >= 0x80 && lead < 0xc0) || lead >= 0xf8 || more > size - i)
            return false;
        for (uint32_t k = 0; k < more; k++, i++) {
            if (text[i] >> 6 != 2)
                return false;
            code = code << 6 | (text[i] & 0x3f);
        }
        if (code < lowest[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
    }
    return true;
}

enum { MOST = 65536 };

/* As many vectors of one zero. Its file has no name any more. */
static hsae_dataset *zeros(void)
{
    static hsae_dataset *dataset;
    char path[] = "/tmp/hsae-fuzz-XXXXXX";
    const char *paths[] = {path};
    if (dataset)
        return dataset;
    int file = hsae_os_open_temporary(path, true);
    if (file < 0 || ftruncate(file, MOST * 4))
        abort();
    hsae_os_close(file);
    if (hsae_dataset_open(fuzz_context(), &(hsae_dataset_params){.paths = paths, .path_count = 1, .dim = 1}, &dataset))
        abort();
    hsae_os_remove(path);
    return dataset;
}

/* Tokens that cannot be read fit no data. */
static void check(const char *path, uint64_t count, bool good)
{
    hsae_dataset *rows;
    uint64_t sequences;
    if (!count || count > MOST || hsae_dataset_slice(zeros(), 0, count, &rows))
        return;
    if (!hsae_tokens_check(fuzz_context(), &path, 1, rows, &sequences) && !good)
        abort();
    hsae_dataset_close(&rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    struct hsae_tokens *tokens;
    struct hsae_token token;
    uint64_t count = 0, sequence = 0;
    bool more = true;
    if (hsae_tokens_open(fuzz_context(), &path, 1, &tokens))
        abort();
    hsae_status status = HSAE_OK;
    while (!(status = hsae_tokens_next(tokens, &token, &more)) && more) {
        if (token.size > HSAE_TOKEN_BYTES || !is_utf8((const unsigned char *)token.text, token.size))
            abort();
        if (count && (token.sequence < sequence || token.first != (token.sequence > sequence)))
            abort();
        sequence = token.sequence;
        count++;
    }
    hsae_tokens_close(&tokens);
    check(path, count, !status);
    return 0;
}
