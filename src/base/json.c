/* SPDX-License-Identifier: MIT */
#include "json.h"
#include "file.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32, MAX_NUMBER = 100 };

struct reader {
    const char *begin, *at, *end;
    unsigned depth;
    struct hsae_json_error *wrong;
};

HSAE_OS_PRINTF(2, 3) static void *fail(struct reader *reader, const char *format, ...)
{
    struct hsae_json_error *wrong = reader->wrong;
    va_list values;
    va_start(values, format);
    vsnprintf(wrong->text, sizeof wrong->text, format, values);
    va_end(values);
    wrong->line = wrong->column = 1;
    for (const char *c = reader->begin; c < reader->at; c++) {
        wrong->column = *c == '\n' ? 1 : wrong->column + 1;
        wrong->line += *c == '\n';
    }
    return NULL;
}

static void *no_memory(struct reader *reader)
{
    reader->wrong->no_memory = true;
    return NULL;
}

size_t hsae_utf8_size(const char *text, size_t size)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t length = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;
    if (length > size)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    bool good = c[0] == 0xe0 ? c[1] >= 0xa0 : c[0] == 0xed ? c[1] < 0xa0 : c[0] == 0xf0 ? c[1] >= 0x90 : c[0] == 0xf4 ? c[1] < 0x90 : true;
    return good ? length : 0;
}

size_t hsae_utf8_put(uint32_t code, char *out)
{
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(leads[length] | code);
    return length;
}

bool hsae_is_utf8(const char *text, size_t size)
{
    for (size_t at = 0, length; at < size; at += length) {
        length = hsae_utf8_size(text + at, size - at);
        if (!length || !text[at])
            return false;
    }
    return true;
}

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && strchr(" \t\n\r", *reader->at) && *reader->at)
        reader->at++;
}

/* Skips the next character if it is `wanted`; whether it was. */
static bool take(struct reader *reader, char wanted)
{
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != wanted)
        return false;
    reader->at++;
    return true;
}

/* Four hexadecimal digits, or -1. */
static long read_hex(const char *at, const char *end)
{
    long code = 0;
    for (int i = 0; i < 4; i++, at++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *digit = at < end && *at ? strchr(digits, *at) : NULL;
        if (!digit)
            return -1;
        code = 16 * code + (digit - digits) % 16;
    }
    return code;
}

/* The code point of an escape \u, after these two characters; -1: it has none. */
static long read_code_point(struct reader *reader)
{
    long code = read_hex(reader->at, reader->end);
    if (code < 0)
        return -1;
    reader->at += 4;
    if (code < 0xd800 || code > 0xdfff)
        return code;
    if (code > 0xdbff || reader->end - reader->at < 2 || reader->at[0] != '\\' || reader->at[1] != 'u')
        return -1;
    long low = read_hex(reader->at + 2, reader->end);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    reader->at += 6;
    return 0x10000 + (code - 0xd800) * 0x400 + (low - 0xdc00);
}

/* Writes to *out the character of an escape, whose backslash is read; false: there is no such escape. */
static bool read_escape(struct reader *reader, char **out)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char name = reader->at < reader->end ? *reader->at++ : 0;
    const char *found = name ? strchr(names, name) : NULL;
    if (found) {
        *(*out)++ = meanings[found - names];
        return true;
    }
    long code = name == 'u' ? read_code_point(reader) : -1;
    if (code <= 0)
        return false;
    *out += hsae_utf8_put((uint32_t)code, *out);
    return true;
}

/* A string whose first quote is read, ended by a zero; free(). */
static char *read_string(struct reader *reader)
{
    const char *last = reader->at;
    while (last < reader->end && *last != '"')
        last += *last == '\\' && reader->end - last > 1 ? 2 : 1;
    if (last >= reader->end)
        return fail(reader, "a string without an end");
    char *text = malloc((size_t)(last - reader->at) + 1), *out = text; /* a decoded string is never longer */
    if (!text)
        return no_memory(reader);
    while (reader->at < last) {
        unsigned char c = (unsigned char)*reader->at++;
        if (c == '\\' ? read_escape(reader, &out) : c >= 0x20) {
            if (c != '\\')
                *out++ = (char)c;
            continue;
        }
        free(text);
        return fail(reader, c == '\\' ? "an escape in a string that means nothing" : "a control character in a string");
    }
    *out = '\0';
    reader->at++;
    if (hsae_is_utf8(text, (size_t)(out - text)))
        return text;
    free(text);
    return fail(reader, "a string that is not UTF-8");
}

static size_t count_digits(const char *text)
{
    return strspn(text, "0123456789");
}

static json_t *read_number(struct reader *reader)
{
    char text[MAX_NUMBER + 32];
    size_t length = 0, digits, at = 0;
    while (length < MAX_NUMBER && reader->at + length < reader->end && reader->at[length] && strchr("+-.0123456789eE", reader->at[length]))
        length++;
    memcpy(text, reader->at, length);
    text[length] = '\0';
    at += text[at] == '-';
    digits = count_digits(text + at);
    bool good = digits && (text[at] != '0' || digits == 1), real = false;
    at += digits;
    size_t point = at;
    if (good && text[at] == '.') {
        real = true;
        digits = count_digits(text + at + 1);
        good = digits > 0;
        at += 1 + digits;
    }
    if (good && (text[at] == 'e' || text[at] == 'E')) {
        real = true;
        at += 1 + (text[at + 1] == '+' || text[at + 1] == '-');
        digits = count_digits(text + at);
        good = digits > 0;
        at += digits;
    }
    if (!good || text[at])
        return fail(reader, "\"%.20s\" is not a number", text);
    errno = 0;
    json_t *number;
    if (real) {
        const char *local = localeconv()->decimal_point; /* strtod wants it */
        char copy[MAX_NUMBER + 32];
        bool dot = text[point] == '.';
        snprintf(copy, sizeof copy, "%.*s%s%s", (int)point, text, dot ? local : "", text + point + dot);
        double value = strtod(copy, NULL);
        if (!isfinite(value))
            return fail(reader, "%.20s is too large a number", text);
        number = json_real(value);
    } else {
        long long value = strtoll(text, NULL, 10);
        if (errno)
            return fail(reader, "%.20s is too large an integer", text);
        number = json_integer(value);
    }
    reader->at += length;
    return number ? number : no_memory(reader);
}

static json_t *read_value(struct reader *reader);

/* An object whose brace is read. */
static json_t *read_object(struct reader *reader)
{
    json_t *object = json_object();
    if (!object)
        return no_memory(reader);
    if (take(reader, '}'))
        return object;
    do {
        char *key = take(reader, '"') ? read_string(reader) : fail(reader, "a key in quotes is missing");
        json_t *value = NULL;
        if (key && json_object_get(object, key))
            fail(reader, "duplicate key \"%.80s\"", key);
        else if (key)
            value = take(reader, ':') ? read_value(reader) : fail(reader, "a colon is missing");
        if (value && json_object_set_new_nocheck(object, key, value))
            value = no_memory(reader);
        free(key);
        if (!value)
            goto error;
    } while (take(reader, ','));
    if (take(reader, '}'))
        return object;
    fail(reader, "a comma or closing brace is missing");
error:
    json_decref(object);
    return NULL;
}

/* An array whose bracket is read. */
static json_t *read_array(struct reader *reader)
{
    json_t *array = json_array();
    if (!array)
        return no_memory(reader);
    if (take(reader, ']'))
        return array;
    do {
        json_t *value = read_value(reader);
        if (value && json_array_append_new(array, value))
            value = no_memory(reader);
        if (!value)
            goto error;
    } while (take(reader, ','));
    if (take(reader, ']'))
        return array;
    fail(reader, "a comma or closing bracket is missing");
error:
    json_decref(array);
    return NULL;
}

static bool take_word(struct reader *reader, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

static json_t *read_value(struct reader *reader)
{
    json_t *value;
    skip_space(reader);
    if (reader->at == reader->end)
        return fail(reader, "the text ends where a value should be");
    if (reader->depth == MAX_DEPTH)
        return fail(reader, "more than %d levels", MAX_DEPTH);
    reader->depth++;
    if (take(reader, '"')) {
        char *text = read_string(reader);
        value = text ? json_string_nocheck(text) : NULL;
        if (text && !value)
            no_memory(reader);
        free(text);
    } else {
        value = take(reader, '{')                                   ? read_object(reader)
                : take(reader, '[')                                 ? read_array(reader)
                : take_word(reader, "true")                         ? json_true()
                : take_word(reader, "false")                        ? json_false()
                : take_word(reader, "null")                         ? json_null()
                : strchr("-0123456789", *reader->at) && *reader->at ? read_number(reader)
                                                                    : fail(reader, "no value begins with '%c'", *reader->at);
    }
    reader->depth--;
    return value;
}

json_t *hsae_json_read(const char *text, size_t size, struct hsae_json_error *wrong)
{
    struct reader reader = {.begin = text, .at = text, .end = text + size, .wrong = wrong};
    *wrong = (struct hsae_json_error){0};
    if (size >= HSAE_BOM_BYTES && memcmp(text, HSAE_BOM, HSAE_BOM_BYTES) == 0)
        reader.at += HSAE_BOM_BYTES;
    json_t *value = read_value(&reader);
    skip_space(&reader);
    if (!value || reader.at == reader.end)
        return value;
    json_decref(value);
    return fail(&reader, "something follows the value");
}

hsae_status hsae_json_write(const hsae_context *context, const char *path, json_t *json, size_t flags)
{
    struct hsae_output *output = NULL;
    char *text = json ? json_dumps(json, flags) : NULL;
    json_decref(json);
    if (!text)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    hsae_status status = hsae_output_open(context, path, &output);
    if (!status)
        status = hsae_output_write(output, text, strlen(text));
    if (!status)
        status = hsae_output_write(output, "\n", 1);
    if (!status)
        status = hsae_output_commit(&output);
    hsae_output_discard(&output);
    free(text);
    return status;
}
