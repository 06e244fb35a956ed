/* SPDX-License-Identifier: MIT */
#include "json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_text_clear(struct json_text *text)
{
    text->size = 0;
}

void json_text_bytes(struct json_text *text, const char *bytes, size_t size)
{
    if (text->failed)
        return;
    if (size > text->capacity - text->size) {
        size_t capacity = 2 * (text->size + size) + 4096;
        char *data = realloc(text->data, capacity);
        if (!data) {
            text->failed = true;
            return;
        }
        text->data = data;
        text->capacity = capacity;
    }
    memcpy(text->data + text->size, bytes, size);
    text->size += size;
}

void json_text_put(struct json_text *text, const char *piece)
{
    json_text_bytes(text, piece, strlen(piece));
}

void json_text_count(struct json_text *text, uint64_t number)
{
    char digits[20], *begin = digits + sizeof digits;
    do
        *--begin = (char)('0' + number % 10);
    while (number /= 10);
    json_text_bytes(text, begin, (size_t)(digits + sizeof digits - begin));
}

void json_text_number(struct json_text *text, double number, int digits)
{
    char out[40];
    if (isfinite(number))
        json_text_bytes(text, out, (size_t)snprintf(out, sizeof out, "%.*g", digits, number));
    else
        json_text_put(text, "null");
}

void json_text_string(struct json_text *text, const char *bytes, size_t size)
{
    json_text_put(text, "\"");
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        char escape[8];
        if (c == '"' || c == '\\')
            json_text_bytes(text, (char[]){'\\', (char)c}, 2);
        else if (c < ' ' || c == '<' || c == 0x7f)
            json_text_bytes(text, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
        else
            json_text_bytes(text, &bytes[i], 1);
    }
    json_text_put(text, "\"");
}

void json_text_next(struct json_text *text)
{
    char last = text->size && !text->failed ? text->data[text->size - 1] : '[';
    if (last != '[' && last != '{')
        json_text_put(text, ",");
}
