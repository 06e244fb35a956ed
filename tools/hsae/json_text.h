/* SPDX-License-Identifier: MIT */
/* JSON written piece by piece into memory: for blocks of many numbers, where building objects would cost too much. */
#ifndef HSAE_TOOLS_JSON_TEXT_H
#define HSAE_TOOLS_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise; free(data). After `failed` (out of memory) everything is dropped. */
struct json_text {
    char *data;
    size_t size, capacity;
    bool failed;
};

/* Forgets the text, keeps the memory. */
void json_text_clear(struct json_text *text);
void json_text_bytes(struct json_text *text, const char *bytes, size_t size);
/* As it is: brackets, keys. */
void json_text_put(struct json_text *text, const char *piece);
void json_text_count(struct json_text *text, uint64_t number);
/* `digits` significant ones; what is not finite becomes null. */
void json_text_number(struct json_text *text, double number, int digits);
/* A string of valid UTF-8, U+0000 allowed; control characters and < are escaped. */
void json_text_string(struct json_text *text, const char *bytes, size_t size);
/* A comma, unless what comes next is the first of a list. */
void json_text_next(struct json_text *text);

#endif
