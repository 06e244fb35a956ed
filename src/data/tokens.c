/* SPDX-License-Identifier: MIT */
#include "tokens.h"
#include "base/file.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEEPEST = 64,
    FIRST_BYTES = 256,
    BLOCK_BYTES = 4096,
    AHEAD = 16, /* bytes to look ahead: a surrogate pair of two escapes has 12 */
};

struct hsae_tokens {
    const hsae_context *context;
    const char *const *paths;
    size_t path_count, path; /* path: of the file that is read */
    struct hsae_file file;
    uint64_t offset;                      /* in the file, of `end` */
    hsae_status failed;                   /* reading the file did, and said why: it ends at `end` */
    const unsigned char *next, *end;      /* in the block */
    uint64_t line, sequence;              /* sequence: of the next line */
    bool open, whole, in_array, in_first; /* whole: the block ends where the file does */
    struct hsae_sequence current;
    hsae_sequence_fn ended; /* NULL: not wanted */
    void *user;
    char *text;
    size_t size, capacity;
    unsigned char block[BLOCK_BYTES];
};

/* ---- errors ---- */

/* Describes what is at the cursor, for messages. */
static const char *found(const struct hsae_tokens *t, char text[32])
{
    if (t->next == t->end)
        return "the end of the file";
    if (*t->next == '\n')
        return "the end of the line";
    snprintf(text, 32, *t->next > ' ' && *t->next < 0x7f ? "'%c'" : "byte 0x%02x", *t->next);
    return text;
}

static hsae_status unexpected(const struct hsae_tokens *t, const char *expected)
{
    char text[32];
    if (t->failed && t->next == t->end)
        return t->failed;
    return hsae_fail(t->context, HSAE_ERROR_FORMAT, "%s: line %" PRIu64 ": expected %s, found %s", t->paths[t->path], t->line, expected,
                     found(t, text));
}

static hsae_status wrong(const struct hsae_tokens *t, const char *what)
{
    return hsae_fail(t->context, HSAE_ERROR_FORMAT, "%s: line %" PRIu64 ": %s", t->paths[t->path], t->line, what);
}

/* ---- pieces of JSON ---- */

/* Makes AHEAD bytes available from the cursor on, or all that the file has. */
static void look_ahead(struct hsae_tokens *t)
{
    size_t left = (size_t)(t->end - t->next);
    if (left >= AHEAD || t->whole)
        return;
    memmove(t->block, t->next, left);
    size_t wanted = BLOCK_BYTES - left, more = t->file.size - t->offset < wanted ? (size_t)(t->file.size - t->offset) : wanted;
    t->failed = hsae_file_read(&t->file, t->offset, more, t->block + left);
    if (t->failed)
        more = 0;
    t->next = t->block;
    t->end = t->block + left + more;
    t->offset += more;
    t->whole = more < wanted;
}

static void skip_space(struct hsae_tokens *t)
{
    for (look_ahead(t); t->next < t->end && (*t->next == ' ' || *t->next == '\t' || *t->next == '\r'); look_ahead(t))
        t->next++;
}

static bool take(struct hsae_tokens *t, char wanted)
{
    skip_space(t);
    if (t->next == t->end || *t->next != (unsigned char)wanted)
        return false;
    t->next++;
    return true;
}

static hsae_status put(struct hsae_tokens *t, const void *bytes, size_t size)
{
    if (t->size + size > HSAE_TOKEN_BYTES)
        return hsae_fail(t->context, HSAE_ERROR_FORMAT, "%s: line %" PRIu64 ": a token or key of more than %d bytes", t->paths[t->path],
                         t->line, HSAE_TOKEN_BYTES);
    if (t->size + size > t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : FIRST_BYTES;
        char *text = realloc(t->text, capacity);
        if (!text)
            return hsae_fail(t->context, HSAE_ERROR_MEMORY, "%s: out of memory", t->paths[t->path]);
        t->text = text;
        t->capacity = capacity;
    }
    memcpy(t->text + t->size, bytes, size);
    t->size += size;
    return HSAE_OK;
}

/* Four hexadecimal digits at the cursor; false: they are not there. */
static bool hex(struct hsae_tokens *t, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, t->next++) {
        unsigned char c = t->next < t->end ? *t->next : 0;
        uint32_t digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
        if (digit > 15)
            return false;
        *out = *out << 4 | digit;
    }
    return true;
}

/* What follows \u: a character, or two halves of one. */
static hsae_status read_hex_escape(struct hsae_tokens *t, uint32_t *out)
{
    uint32_t low;
    if (!hex(t, out))
        return unexpected(t, "four hexadecimal digits after \\u");
    bool high = *out >= 0xd800 && *out < 0xdc00;
    if (high && t->end - t->next >= 6 && t->next[0] == '\\' && t->next[1] == 'u') {
        const unsigned char *before = t->next;
        t->next += 2;
        if (!hex(t, &low))
            return unexpected(t, "four hexadecimal digits after \\u");
        if (low >= 0xdc00 && low < 0xe000) {
            *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
            return HSAE_OK;
        }
        t->next = before;
    }
    if (*out >= 0xd800 && *out < 0xe000)
        *out = 0xfffd;
    return HSAE_OK;
}

static hsae_status read_escape(struct hsae_tokens *t, uint32_t *out)
{
    static const char names[] = "\"\\/bfnrt", characters[] = "\"\\/\b\f\n\r\t";
    const char *name = t->next < t->end && *t->next ? strchr(names, *t->next) : NULL;
    if (name) {
        t->next++;
        *out = (unsigned char)characters[name - names];
        return HSAE_OK;
    }
    if (t->next == t->end || *t->next != 'u')
        return unexpected(t, "one of \" \\ / b f n r t u after a backslash");
    t->next++;
    return read_hex_escape(t, out);
}

/* A string whose opening quote is read; to t->text where `keep`. */
static hsae_status read_string(struct hsae_tokens *t, bool keep)
{
    hsae_status status = HSAE_OK;
    t->size = 0;
    while (!status) {
        uint32_t c = 0;
        char bytes[4];
        look_ahead(t);
        if (t->next == t->end || *t->next == '\n')
            return unexpected(t, "the end of a string");
        if (*t->next == '"') {
            t->next++;
            return HSAE_OK;
        }
        if (*t->next < ' ')
            return unexpected(t, "no control character in a string (they are written as \\u0000)");
        if (*t->next == '\\') {
            t->next++;
            status = read_escape(t, &c);
            if (!status && keep)
                status = put(t, bytes, hsae_utf8_put(c, bytes));
            continue;
        }
        size_t size = hsae_utf8_size((const char *)t->next, (size_t)(t->end - t->next));
        if (!size)
            return unexpected(t, "UTF-8");
        if (keep)
            status = put(t, t->next, size);
        t->next += size;
    }
    return status;
}

static size_t digits(struct hsae_tokens *t)
{
    size_t count = 0;
    for (look_ahead(t); t->next < t->end && *t->next >= '0' && *t->next <= '9'; look_ahead(t), count++)
        t->next++;
    return count;
}

static hsae_status skip_number(struct hsae_tokens *t)
{
    if (*t->next == '-')
        t->next++;
    bool zero = t->next < t->end && *t->next == '0';
    size_t whole = digits(t);
    if (whole == 0 || (zero && whole > 1))
        return unexpected(t, "a value");
    if (t->next < t->end && *t->next == '.') {
        t->next++;
        if (!digits(t))
            return unexpected(t, "a digit");
    }
    if (t->next < t->end && (*t->next == 'e' || *t->next == 'E')) {
        t->next++;
        if (t->next < t->end && (*t->next == '+' || *t->next == '-'))
            t->next++;
        if (!digits(t))
            return unexpected(t, "a digit");
    }
    return HSAE_OK;
}

static hsae_status skip_value(struct hsae_tokens *t, int depth);

/* The members of an object or the elements of an array whose opening bracket is read. */
static hsae_status skip_members(struct hsae_tokens *t, bool object, int depth)
{
    hsae_status status = HSAE_OK;
    char close = object ? '}' : ']';
    if (depth > DEEPEST)
        return wrong(t, "values are nested deeper than 64");
    if (take(t, close))
        return HSAE_OK;
    do {
        if (object && !take(t, '"'))
            return unexpected(t, "a key");
        if (object)
            status = read_string(t, false);
        if (!status && object && !take(t, ':'))
            return unexpected(t, "':'");
        if (!status)
            status = skip_value(t, depth);
    } while (!status && take(t, ','));
    if (!status && !take(t, close))
        return unexpected(t, object ? "',' or '}'" : "',' or ']'");
    return status;
}

static hsae_status skip_value(struct hsae_tokens *t, int depth)
{
    static const char *const words[] = {"true", "false", "null"};
    skip_space(t);
    if (take(t, '"'))
        return read_string(t, false);
    if (take(t, '{'))
        return skip_members(t, true, depth + 1);
    if (take(t, '['))
        return skip_members(t, false, depth + 1);
    for (size_t i = 0; i < 3; i++) {
        size_t size = strlen(words[i]);
        if ((size_t)(t->end - t->next) >= size && memcmp(t->next, words[i], size) == 0) {
            t->next += size;
            return HSAE_OK;
        }
    }
    return t->next < t->end ? skip_number(t) : unexpected(t, "a value");
}

/* ---- lines ---- */

static bool is_key(const struct hsae_tokens *t, const char *key)
{
    return t->size == strlen(key) && memcmp(t->text, key, t->size) == 0;
}

static hsae_status read_fingerprint(struct hsae_tokens *t)
{
    uint64_t value = 0;
    size_t count = 0;
    for (skip_space(t); t->next < t->end && *t->next >= '0' && *t->next <= '9' && count < 11; look_ahead(t), count++)
        value = 10 * value + (uint64_t)(*t->next++ - '0');
    if (count == 0 || value > UINT32_MAX)
        return wrong(t, "rows_crc32 is not a whole number of 32 bits, as collect_activations.py writes it");
    t->current.has_fingerprint = true;
    t->current.fingerprint = (uint32_t)value;
    return HSAE_OK;
}

/* A key and its colon. A key too long to be stored is none of the known ones. */
static hsae_status read_key(struct hsae_tokens *t)
{
    if (!take(t, '"'))
        return unexpected(t, "a key");
    hsae_status status = read_string(t, true);
    if (!status && !take(t, ':'))
        return unexpected(t, "':'");
    return status;
}

/* Reads the keys of a line's object up to the list of tokens (sets t->in_array), or, after that list, to the end of the line. */
static hsae_status read_members(struct hsae_tokens *t, bool had_tokens)
{
    bool more = had_tokens ? take(t, ',') : !take(t, '}'), closed = !had_tokens && !more;
    while (more) {
        hsae_status status = read_key(t);
        if (status)
            return status;
        if (is_key(t, "tokens")) {
            if (had_tokens)
                return wrong(t, "expected one key \"tokens\", found a second one");
            if (!take(t, '['))
                return unexpected(t, "a list of tokens after \"tokens\"");
            t->in_array = t->in_first = true;
            return HSAE_OK;
        }
        status = is_key(t, "rows_crc32") ? read_fingerprint(t) : skip_value(t, 1);
        if (status)
            return status;
        more = take(t, ',');
    }
    if (!closed && !take(t, '}'))
        return unexpected(t, "',' or '}'");
    if (!had_tokens)
        return wrong(t, "expected a key \"tokens\", found none");
    skip_space(t);
    return t->next == t->end || *t->next == '\n' ? HSAE_OK : unexpected(t, "the end of the line");
}

/* Opens the file at t->path. */
static hsae_status open_file(struct hsae_tokens *t)
{
    hsae_status status = hsae_file_open(t->context, t->paths[t->path], &t->file);
    if (status)
        return status;
    t->open = true;
    t->line = 1;
    t->next = t->end = t->block;
    t->offset = 0;
    t->failed = HSAE_OK;
    t->whole = t->file.size == 0;
    look_ahead(t);
    if (t->end - t->next >= HSAE_BOM_BYTES && memcmp(t->next, HSAE_BOM, HSAE_BOM_BYTES) == 0)
        t->next += HSAE_BOM_BYTES;
    return HSAE_OK;
}

static void close_file(struct hsae_tokens *t)
{
    hsae_file_close(&t->file);
    t->open = false;
}

/* To the first character of the next line that has any, opening files as needed; false: there is none. */
static hsae_status find_line(struct hsae_tokens *t, bool *found_one)
{
    *found_one = false;
    for (;;) {
        if (!t->open) {
            if (t->path == t->path_count)
                return HSAE_OK;
            hsae_status status = open_file(t);
            if (status)
                return status;
        }
        for (skip_space(t); t->next < t->end && *t->next == '\n'; skip_space(t)) {
            t->next++;
            t->line++;
        }
        if (t->next < t->end) {
            *found_one = true;
            return HSAE_OK;
        }
        if (t->failed)
            return t->failed;
        close_file(t);
        t->path++;
    }
}

hsae_status hsae_tokens_next(struct hsae_tokens *t, struct hsae_token *out, bool *more)
{
    *more = false;
    for (;;) {
        hsae_status status = HSAE_OK;
        if (!t->in_array) {
            bool line;
            status = find_line(t, &line);
            if (status || !line)
                return status;
            if (!take(t, '{'))
                return unexpected(t, "an object such as {\"tokens\": [\"The\", \" cat\"]}");
            t->current = (struct hsae_sequence){.path = t->paths[t->path], .line = t->line};
            status = read_members(t, false);
            if (status)
                return status;
        }
        bool closed = take(t, ']');
        if (closed || (!t->in_first && !take(t, ','))) {
            if (!closed)
                return unexpected(t, "',' or ']' after a token");
            t->in_array = false;
            t->sequence++;
            status = read_members(t, true);
            if (!status && t->ended)
                status = t->ended(t->user, &t->current);
            if (status)
                return status;
            continue;
        }
        if (!take(t, '"'))
            return unexpected(t, "a token, which is a string");
        status = read_string(t, true);
        *out = (struct hsae_token){t->text ? t->text : "", (uint32_t)t->size, t->sequence, t->in_first};
        t->in_first = false;
        t->current.tokens++;
        *more = !status;
        return status;
    }
}

hsae_status hsae_tokens_open(const hsae_context *context, const char *const *paths, size_t count, struct hsae_tokens **out)
{
    struct hsae_tokens *tokens = calloc(1, sizeof *tokens);
    *out = tokens;
    if (!tokens)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for tokens");
    tokens->context = context;
    tokens->paths = paths;
    tokens->path_count = count;
    return HSAE_OK;
}

void hsae_tokens_close(struct hsae_tokens **tokens)
{
    if (!*tokens)
        return;
    close_file(*tokens);
    free((*tokens)->text);
    free(*tokens);
    *tokens = NULL;
}

void hsae_tokens_watch(struct hsae_tokens *tokens, hsae_sequence_fn ended, void *user)
{
    tokens->ended = ended;
    tokens->user = user;
}

const char *hsae_tokens_path(const struct hsae_tokens *tokens)
{
    return tokens->paths[tokens->path < tokens->path_count ? tokens->path : tokens->path_count - 1];
}

uint64_t hsae_tokens_line(const struct hsae_tokens *tokens)
{
    return tokens->line;
}
