/* SPDX-License-Identifier: MIT */
/* JSON files, as jansson's values. jansson's own reader aborts or drops characters when memory runs out, so there is another one here. */
#ifndef HSAE_SRC_JSON_H
#define HSAE_SRC_JSON_H

#include "context.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is wrong with a text, and where. no_memory: memory ran out before a fault was found. */
struct hsae_json_error {
    bool no_memory;
    char text[160];
    unsigned line, column; /* from 1 */
};

/* U+FEFF in UTF-8, which some editors put in front of a text. */
#define HSAE_BOM "\xef\xbb\xbf"
enum { HSAE_BOM_BYTES = 3 };

/* Reads one value (RFC 8259) with white space around it, after a byte order mark if there is one. Also refused: an object with a key twice,
 * U+0000, integers beyond 64 bits, numbers of more than 100 characters, more than 32 levels. NULL: *wrong says why. */
json_t *hsae_json_read(const char *text, size_t size, struct hsae_json_error *wrong);

/* `json` (NULL: out of memory) as a text file, in jansson's `flags`; takes the reference. Replaces `path` as hsae_output does. */
hsae_status hsae_json_write(const hsae_context *context, const char *path, json_t *json, size_t flags);

/* Length in bytes of the UTF-8 character (RFC 3629) at the start of a text of `size` >= 1 bytes; 0: there is no valid one. */
size_t hsae_utf8_size(const char *text, size_t size);
/* Writes the bytes of a character up to U+10FFFF and returns their number. */
size_t hsae_utf8_put(uint32_t code, char *out);
/* UTF-8 without U+0000. */
bool hsae_is_utf8(const char *text, size_t size);

#endif
