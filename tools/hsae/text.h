/* SPDX-License-Identifier: MIT */
/* Text of unknown origin (paths, names of devices), written so that it shows as it is and does nothing else. */
#ifndef HSAE_TOOLS_TEXT_H
#define HSAE_TOOLS_TEXT_H

#include <jansson.h>
#include <stdio.h>

/* Reads a line, its newline included, to *line, which grows as it must: free() it after the last one. Its length; 0: there is none, or
 * memory ran out. */
size_t text_read_line(FILE *file, char **line, size_t *capacity);
/* For content and attributes of HTML and XML: markup escaped; bytes that are no UTF-8 and characters that would not show (controls but
 * newline and tab, marks of direction) as U+FFFD. */
void text_html(FILE *file, const char *text);
/* A JSON string; bytes that are no UTF-8 as U+FFFD. NULL: out of memory. */
json_t *text_json(const char *text);
/* One word of a command line that a shell reads back as `text`, byte by byte: word, 'two words' or, with such characters in it, $'\x01'. */
void text_shell(FILE *file, const char *text);

#endif
