/* Reading JSON to jansson's values. Its own reader aborts or drops characters where memory runs out. */
#ifndef HSAE_SRC_JSON_H
#define HSAE_SRC_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What is wrong with a text, and where; no_memory: nothing is known to be. */
struct hsae_json_error {
    bool no_memory;
    char text[160];
    unsigned line, column; /* from 1 */
};

/* One value (RFC 8259), nothing but white space around it. Refused beyond that: an object with a key twice, U+0000, integers beyond 64
 * bits, numbers of more than 100 characters, more than 32 levels. NULL: *wrong says why. */
json_t *hsae_json_read(const char *text, size_t size, struct hsae_json_error *wrong);

/* Well-formed UTF-8 (RFC 3629) without U+0000. */
bool hsae_is_utf8(const char *text, size_t size);

#endif
