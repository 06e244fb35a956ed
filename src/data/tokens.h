/* SPDX-License-Identifier: MIT */
/* tokens.jsonl: the tokens of a data set's rows, in their order; one JSON object a line, {"tokens": ["The", " cat"], ...}, a sequence each.
 * Read as a stream, token by token: memory does not grow with the length of a line, of a file or of the list of files. */
#ifndef HSAE_SRC_TOKENS_H
#define HSAE_SRC_TOKENS_H

#include "base/context.h"
#include <hsae/data.h>

#include <stdbool.h>

enum { HSAE_TOKEN_BYTES = 65536 /* of the longest token that is read */ };

struct hsae_token {
    const char *text; /* UTF-8, not terminated, may hold U+0000; valid until the next call */
    uint32_t size;
    uint64_t sequence; /* counted from 0 over all files */
    bool first;        /* of its sequence */
};

/* One thread at a time. */
struct hsae_tokens;

/* The files are read one after the other; `paths` must outlive it. */
hsae_status hsae_tokens_open(const hsae_context *context, const char *const *paths, size_t count, struct hsae_tokens **out);
/* Sets *tokens to NULL; takes NULL. */
void hsae_tokens_close(struct hsae_tokens **tokens);

/* The next token; *more is false after the last one. ERROR_FORMAT with file, line, expectation and finding where a file is not what it
 * should be. Keys other than "tokens" and "rows_crc32" are checked and left out; blank lines are no sequences; half a surrogate pair
 * becomes U+FFFD. */
hsae_status hsae_tokens_next(struct hsae_tokens *tokens, struct hsae_token *out, bool *more);

/* A sequence that has ended. */
struct hsae_sequence {
    const char *path; /* its line in this file */
    uint64_t line, tokens;
    bool has_fingerprint;
    uint32_t fingerprint; /* the key "rows_crc32": CRC-32 (as zlib's) of the sequence's rows, as float32 in little endian */
};
/* From now on `ended` is called for each sequence, in order. If it returns another status than OK, hsae_tokens_next returns that. */
typedef hsae_status (*hsae_sequence_fn)(void *user, const struct hsae_sequence *sequence);
void hsae_tokens_watch(struct hsae_tokens *tokens, hsae_sequence_fn ended, void *user);
/* The file and line that are being read, for messages. */
const char *hsae_tokens_path(const struct hsae_tokens *tokens);
uint64_t hsae_tokens_line(const struct hsae_tokens *tokens);

/* token_check.c: reads all of the files and says how many sequences there are. ERROR_DATA where their tokens are not as many as the rows,
 * where a file of the data has sequences of another length, and where a fingerprint is not that of the rows (all of the first 4096
 * sequences are compared, then one in 16). */
hsae_status hsae_tokens_check(const hsae_context *context, const char *const *paths, size_t count, const hsae_dataset *dataset,
                              uint64_t *sequences);

#endif
