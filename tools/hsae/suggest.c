/* SPDX-License-Identifier: MIT */
#include "suggest.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What other programs call an option. */
static const char *const synonyms[][2] = {
    {"batch-size", "batch"},  {"learning-rate", "lr"}, {"k", "target-l0"},          {"l0", "target-l0"},    {"topk", "target-l0"},
    {"width", "levels"},      {"dict-size", "levels"}, {"n-features", "levels"},    {"input", "data"},      {"dataset", "data"},
    {"activations", "data"},  {"output", "out"},       {"output-dir", "out"},       {"dir", "out"},         {"gpu", "device"},
    {"checkpoint", "resume"}, {"checkpoint", "model"}, {"num-steps", "steps"},      {"max-steps", "steps"}, {"iterations", "steps"},
    {"num-epochs", "epochs"}, {"overwrite", "force"},  {"validation", "eval-data"}, {"time", "minutes"},
};

/* Changes of one character that lead from a to b (Levenshtein). */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64], length = strlen(b);
    if (length >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j - 1] + 1 < changed)
                changed = row[j - 1] + 1;
            if (row[j] + 1 < changed)
                changed = row[j] + 1;
            row[j] = changed;
        }
    }
    return row[length];
}

void suggest_begin(struct suggestion *suggestion, const char *word)
{
    *suggestion = (struct suggestion){.word = word, .distance = strlen(word) / 2 + 1}; /* anything further away is no typing error */
}

void suggest_consider(struct suggestion *suggestion, const char *prefix, const char *name)
{
    char dashed[64];
    snprintf(dashed, sizeof dashed, "%s", name);
    for (char *c = dashed; *c; c++)
        if (*c == '_')
            *c = '-';
    size_t distance = edit_distance(suggestion->word, dashed);
    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++)
        if (strcmp(suggestion->word, synonyms[i][0]) == 0 && strcmp(dashed, synonyms[i][1]) == 0)
            distance = 0;
    size_t used = distance == suggestion->distance ? strlen(suggestion->text) : 0;
    if (distance < suggestion->distance || used) {
        suggestion->distance = distance;
        snprintf(suggestion->text + used, sizeof suggestion->text - used, "%s%s%s", used ? " or " : "", prefix, dashed);
    }
}

/* 1000 for k; 0: no such unit. */
static double unit(const char *text)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1}, {"k", 1e3}, {"K", 1e3}, {"m", 1e6}, {"M", 1e6}, {"G", 1e9}, {"B", 1e9}, {"%", 0.01}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(text, units[i].name) == 0)
            return units[i].factor;
    return 0;
}

bool suggest_number(const char *text, enum suggest_kind kind, char out[32])
{
    char plain[64], *end;
    size_t length = 0;
    for (; *text && length + 1 < sizeof plain; text++) /* 10,000 and 10_000 are whole; 0,001 is not */
        if (kind != SUGGEST_WHOLE && *text == ',')
            plain[length++] = '.';
        else if (*text != ',' && *text != '_' && *text != '\'')
            plain[length++] = *text;
    plain[length] = 0;
    double number = strtod(plain, &end);
    number *= unit(end);
    if (*text || end == plain || unit(end) == 0 || !isfinite(number) || number <= 0)
        return false;
    if (kind == SUGGEST_SHARE && number >= 1)
        number /= 100;
    if (kind == SUGGEST_WHOLE ? number != floor(number) || number > 1e15 : kind == SUGGEST_SHARE && number >= 1)
        return false;
    snprintf(out, 32, kind == SUGGEST_WHOLE ? "%.0f" : "%g", number);
    return true;
}
