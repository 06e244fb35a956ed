/* SPDX-License-Identifier: MIT */
/* What was meant by a word of the command line that is wrong. */
#ifndef HSAE_TOOLS_SUGGEST_H
#define HSAE_TOOLS_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

/* The known names that are nearest to a word. */
struct suggestion {
    const char *word;
    char text[128]; /* "export or explore"; "": none is near enough */
    size_t distance;
};
void suggest_begin(struct suggestion *suggestion, const char *word);
/* Takes prefix + name where it is at least as near as those before. _ becomes -. */
void suggest_consider(struct suggestion *suggestion, const char *prefix, const char *name);

/* How a number is written that the text may stand for: 10000 for 1e4, 10k and 10,000; 0.001 for 0,001; 0.05 for 5%, and for 5 where a
 * share is wanted. False: it stands for none of that kind. */
enum suggest_kind { SUGGEST_WHOLE, SUGGEST_NUMBER, SUGGEST_SHARE };
bool suggest_number(const char *text, enum suggest_kind kind, char out[32]);

#endif
