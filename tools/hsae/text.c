/* SPDX-License-Identifier: MIT */
/* Text of unknown origin, for HTML, JSON and shells. */
#include "text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* The bytes of the UTF-8 character that `text` begins with, and its code point; 0: it begins with none. */
static size_t read_character(const char *text, uint32_t *code)
{
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xc0 ? 0 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : bytes[0] < 0xf8 ? 4 : 0;
    if (length == 0)
        return 0;
    *code = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (bytes[i] & 0x3f);
    }
    bool good = *code >= lowest[length] && *code <= 0x10ffff && (*code < 0xd800 || *code > 0xdfff);
    return good ? length : 0;
}

/* Characters that are not shown: controls, newline and tab among them, marks that change the direction of text, and characters that XML
 * forbids. */
static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0xfffe || code == 0xffff;
}

size_t text_read_line(FILE *file, char **line, size_t *capacity)
{
    size_t length = 0;
    for (int c = 0; c != '\n' && (c = getc(file)) != EOF;) {
        if (length + 1 >= *capacity) {
            size_t larger = *capacity ? 2 * *capacity : 256;
            char *moved = realloc(*line, larger);
            if (!moved)
                return 0;
            *line = moved;
            *capacity = larger;
        }
        (*line)[length++] = (char)c;
    }
    if (length)
        (*line)[length] = '\0';
    return length;
}

void text_html(FILE *file, const char *text)
{
    while (*text) {
        uint32_t code = 0;
        size_t length = read_character(text, &code);
        if (length == 0 || (is_control(code) && code != '\n' && code != '\t'))
            fputs(replacement, file);
        else if (strchr("&<>\"'", *text))
            fprintf(file, "&#%u;", (unsigned)code);
        else
            fwrite(text, 1, length, file);
        text += length ? length : 1;
    }
}

json_t *text_json(const char *text)
{
    char *out = malloc(3 * strlen(text) + 1);
    size_t used = 0;
    if (!out)
        return NULL;
    while (*text) {
        uint32_t code;
        size_t length = read_character(text, &code);
        memcpy(out + used, length ? text : replacement, length ? length : 3);
        used += length ? length : 3;
        text += length ? length : 1;
    }
    json_t *string = json_stringn(out, used);
    free(out);
    return string;
}

void text_shell(FILE *file, const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:@%+";
    bool strange = false;
    uint32_t code = 0;
    if (*text && strspn(text, safe) == strlen(text)) {
        fputs(text, file);
        return;
    }
    for (const char *c = text; *c && !strange; c++) {
        size_t length = read_character(c, &code);
        strange = length == 0 || is_control(code);
        c += length > 1 ? length - 1 : 0;
    }
    fputs(strange ? "$'" : "'", file);
    for (; *text; text++)
        if (!strange && *text == '\'')
            fputs("'\\''", file);
        else if (strange && (*text == '\'' || *text == '\\'))
            fprintf(file, "\\%c", *text);
        else if (strange && (*text < 0x20 || *text > 0x7e))
            fprintf(file, "\\x%02x", (unsigned char)*text);
        else
            fputc(*text, file);
    fputc('\'', file);
}
