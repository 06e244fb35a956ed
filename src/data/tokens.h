/* tokens.jsonl: the tokens of a data set's rows, in their order; one JSON object a line, {"tokens": ["The", " cat"], ...}, a sequence each.
 * Read as a stream, token by token: memory does not grow with the length of a line, of a file or of the list of files. */
#ifndef HSAE_SRC_TOKENS_H
#define HSAE_SRC_TOKENS_H

#include "../context.h"

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
 * should be. Keys other than "tokens" are checked and left out; blank lines are no sequences; half a surrogate pair becomes U+FFFD. */
hsae_status hsae_tokens_next(struct hsae_tokens *tokens, struct hsae_token *out, bool *more);

/* Reads all of the files and says how many sequences there are; ERROR_DATA where their tokens are not `rows`. */
hsae_status hsae_tokens_check(const hsae_context *context, const char *const *paths, size_t count, uint64_t rows, uint64_t *sequences);

#endif
