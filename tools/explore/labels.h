/* SPDX-License-Identifier: MIT */
/* What people and judges say of features: labels, scores, notes, bookmarks; and scores of edges. One JSON object a line:
 *
 *     {"feature": "l1/104", "label": "religion", "score": 0.9, "note": "not in poems", "marked": true}
 *     {"parent": "l0/17", "child": "l1/104", "score": 0.75}
 *
 * A label's score says how well it fits, an edge's how well the child refines the parent: 0 to 1. All keys but those that name features may
 * be left out, other keys are ignored. Blank lines are none. A later line of the same feature or edge takes the place of an earlier one. */
#ifndef HSAE_TOOLS_LABELS_H
#define HSAE_TOOLS_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LABELS_LEVELS = 64,          /* at most */
    LABELS_LABEL_BYTES = 512,    /* of a label, at most */
    LABELS_NOTE_BYTES = 8192,    /* of a note */
    LABELS_LINE_BYTES = 65536,   /* of a line */
    LABELS_FILE_BYTES = 1 << 28, /* of a file */
};

/* Strings are UTF-8 without U+0000. NULL, NaN, false: not said. */
struct label {
    char *text, *note;
    double score; /* of the label */
    double edge;  /* of the edge to the parent in the tree */
    bool marked;
};

/* Scores of edges that are in the tree, and of other pairs of features. */
struct judged {
    size_t count;
    double sum;
};

struct labels_level {
    uint32_t features;
    const int32_t *parent; /* [features]; NULL at level 0 */
    struct label *items;   /* [features] */
};

struct labels {
    uint32_t level_count;
    struct labels_level levels[LABELS_LEVELS];
    size_t count; /* features of which something is said */
    struct judged tree, other;
};

struct labels_error {
    size_t line; /* from 1; 0: memory ran out */
    char text[256];
};

/* Room for labels of these levels: zero-initialise, set level_count and each level's features and parent. False: memory ran out. */
bool labels_create(struct labels *labels);
void labels_free(struct labels *labels);
/* Adds the lines of a file that holds these bytes. False: *error says what is wrong; what was read before it is kept. */
bool labels_read(struct labels *labels, const char *bytes, size_t size, struct labels_error *error);
const struct label *labels_of(const struct labels *labels, uint32_t level, uint32_t feature);

#endif
