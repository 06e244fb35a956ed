/* SPDX-License-Identifier: MIT */
#include "labels.h"
#include "../../src/base/os.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool labels_create(struct labels *labels)
{
    for (uint32_t l = 0; l < labels->level_count; l++) {
        struct labels_level *level = &labels->levels[l];
        level->items = calloc(level->features ? level->features : 1, sizeof *level->items);
        if (!level->items)
            return false;
        for (uint32_t i = 0; i < level->features; i++)
            level->items[i].score = level->items[i].edge = (double)NAN;
    }
    return true;
}

void labels_free(struct labels *labels)
{
    for (uint32_t l = 0; l < labels->level_count; l++) {
        struct labels_level *level = &labels->levels[l];
        for (uint32_t i = 0; level->items && i < level->features; i++) {
            free(level->items[i].text);
            free(level->items[i].note);
        }
        free(level->items);
        level->items = NULL;
    }
}

const struct label *labels_of(const struct labels *labels, uint32_t level, uint32_t feature)
{
    return &labels->levels[level].items[feature];
}

HSAE_OS_PRINTF(2, 3) static bool wrong(struct labels_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    /* What is quoted of a file must not steer a terminal. */
    for (char *c = error->text; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            *c = '?';
    return false;
}

static bool no_memory(struct labels_error *error)
{
    error->line = 0;
    return wrong(error, "out of memory");
}

/* Digits to a number; the rest, or NULL where there are none or the number is too large. */
static const char *read_number(const char *text, uint32_t *out)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && number <= UINT32_MAX; at++)
        number = 10 * number + (uint64_t)(*at - '0');
    *out = (uint32_t)number;
    return at == text || number > UINT32_MAX ? NULL : at;
}

/* The feature that a key names, such as "l1/104". */
static bool read_feature(const struct labels *labels, const json_t *object, const char *key, uint32_t *level, uint32_t *feature,
                         struct labels_error *error)
{
    const char *text = json_string_value(json_object_get(object, key)), *at = text;
    if (!text)
        return wrong(error, "\"%s\" must be a string such as \"l1/104\"", key);
    at = read_number(*at == 'l' ? at + 1 : at, level);
    at = at && *at == '/' ? read_number(at + 1, feature) : NULL;
    if (!at || *at)
        return wrong(error, "\"%s\" must be a feature such as \"l1/104\", not \"%.40s\"", key, text);
    if (*level >= labels->level_count)
        return wrong(error, "\"%s\": \"%.40s\" is of no level: the model has levels 0 to %u", key, text, labels->level_count - 1);
    if (*feature >= labels->levels[*level].features)
        return wrong(error, "\"%s\": \"%.40s\" is no feature: level %u has features 0 to %u", key, text, *level,
                     labels->levels[*level].features - 1);
    return true;
}

/* A score from 0 to 1; NaN where there is none. */
static bool read_score(const json_t *object, double *out, struct labels_error *error)
{
    const json_t *value = json_object_get(object, "score");
    *out = json_is_number(value) ? json_number_value(value) : (double)NAN;
    if (value && !json_is_null(value) && !(*out >= 0 && *out <= 1))
        return wrong(error, "\"score\" must be a number from 0 to 1");
    return true;
}

/* Puts a string in the place of *out; a key that is missing or null leaves it alone. */
static bool read_text(const json_t *object, const char *key, size_t most, char **out, struct labels_error *error)
{
    const json_t *value = json_object_get(object, key);
    size_t size = json_string_length(value);
    if (!value || json_is_null(value))
        return true;
    if (!json_is_string(value))
        return wrong(error, "\"%s\" must be a string", key);
    if (size > most)
        return wrong(error, "\"%s\" has %zu bytes, at most %zu are taken", key, size, most);
    char *copy = size ? malloc(size + 1) : NULL;
    if (size && !copy)
        return no_memory(error);
    if (copy)
        memcpy(copy, json_string_value(value), size + 1);
    free(*out);
    *out = copy;
    return true;
}

static bool is_said(const struct label *label)
{
    return label->text || label->note || label->marked || !isnan(label->score);
}

static bool read_label(struct labels *labels, const json_t *object, struct labels_error *error)
{
    uint32_t level, feature;
    const json_t *marked = json_object_get(object, "marked");
    double score;
    if (!read_feature(labels, object, "feature", &level, &feature, error) || !read_score(object, &score, error))
        return false;
    if (marked && !json_is_boolean(marked) && !json_is_null(marked))
        return wrong(error, "\"marked\" must be true or false");
    struct label *label = &labels->levels[level].items[feature];
    bool before = is_said(label);
    bool good = read_text(object, "label", LABELS_LABEL_BYTES, &label->text, error) &&
                read_text(object, "note", LABELS_NOTE_BYTES, &label->note, error);
    if (json_object_get(object, "score"))
        label->score = score;
    if (marked)
        label->marked = json_is_true(marked);
    labels->count = labels->count + is_said(label) - before;
    return good;
}

static void count_score(struct judged *judged, double score, int by)
{
    judged->count = by > 0 ? judged->count + 1 : judged->count - 1;
    judged->sum += by * score;
}

static bool read_edge(struct labels *labels, const json_t *object, struct labels_error *error)
{
    uint32_t level, parent, child_level, child;
    double score;
    if (!read_feature(labels, object, "parent", &level, &parent, error) ||
        !read_feature(labels, object, "child", &child_level, &child, error) || !read_score(object, &score, error))
        return false;
    if (child_level != level + 1)
        return wrong(error, "the child is on level %u, the parent on level %u: one above it is wanted", child_level, level);
    if (isnan(score))
        return true;
    const struct labels_level *below = &labels->levels[child_level];
    if (!below->parent || below->parent[child] != (int32_t)parent) {
        count_score(&labels->other, score, 1);
        return true;
    }
    double *edge = &below->items[child].edge;
    if (!isnan(*edge))
        count_score(&labels->tree, *edge, -1);
    count_score(&labels->tree, score, 1);
    *edge = score;
    return true;
}

static bool read_line(struct labels *labels, const char *bytes, size_t size, struct labels_error *error)
{
    json_error_t found;
    while (size && strchr(" \t\r", bytes[size - 1]) && bytes[size - 1])
        size--;
    if (!size)
        return true;
    if (size > LABELS_LINE_BYTES)
        return wrong(error, "longer than %d bytes", LABELS_LINE_BYTES);
    json_t *object = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &found);
    if (!object)
        return json_error_code(&found) == json_error_out_of_memory ? no_memory(error) : wrong(error, "no JSON: %s", found.text);
    bool good = json_is_object(object);
    if (!good)
        wrong(error, "an object such as {\"feature\": \"l1/104\", \"label\": \"religion\"} is wanted");
    else if (json_object_get(object, "feature"))
        good = read_label(labels, object, error);
    else if (json_object_get(object, "parent") || json_object_get(object, "child"))
        good = read_edge(labels, object, error);
    else
        good = wrong(error, "neither \"feature\" (a label) nor \"parent\" and \"child\" (an edge) is there");
    json_decref(object);
    return good;
}

bool labels_read(struct labels *labels, const char *bytes, size_t size, struct labels_error *error)
{
    *error = (struct labels_error){0};
    for (size_t at = 0, line = 1; at < size; line++) {
        const char *end = memchr(bytes + at, '\n', size - at);
        size_t length = end ? (size_t)(end - (bytes + at)) : size - at;
        error->line = line;
        if (!read_line(labels, bytes + at, length, error))
            return false;
        at += length + 1;
    }
    return true;
}
