/* SPDX-License-Identifier: MIT */
/* Any bytes as labels.jsonl: what is taken is within its limits, and counted right; what is not has a line and a message of plain text. */
#include "../../tools/explore/labels.h"
#include "fuzz.h"

#include <math.h>
#include <string.h>

static bool is_share(double score)
{
    return isnan(score) || (score >= 0 && score <= 1);
}

static void check(const struct labels *labels)
{
    size_t said = 0, edges = 0;
    double sum = 0;
    for (uint32_t l = 0; l < labels->level_count; l++)
        for (uint32_t i = 0; i < labels->levels[l].features; i++) {
            const struct label *label = labels_of(labels, l, i);
            if ((label->text && (!*label->text || strlen(label->text) > LABELS_LABEL_BYTES)) ||
                (label->note && (!*label->note || strlen(label->note) > LABELS_NOTE_BYTES)) || !is_share(label->score) ||
                !is_share(label->edge))
                abort();
            said += label->text || label->note || label->marked || !isnan(label->score);
            edges += !isnan(label->edge);
            sum += isnan(label->edge) ? 0 : label->edge;
        }
    if (said != labels->count || edges != labels->tree.count || fabs(sum - labels->tree.sum) > 1e-6)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t parent[5] = {0, 0, 1, -1, 2};
    struct labels labels = {.level_count = 2, .levels = {{.features = 3}, {.features = 5, .parent = parent}}};
    struct labels_error error;
    if (!labels_create(&labels))
        abort();
    if (!labels_read(&labels, (const char *)data, size, &error)) {
        if (!error.line || !*error.text)
            abort();
        for (const char *c = error.text; *c; c++)
            if (*c < ' ' || *c > '~')
                abort();
    }
    check(&labels);
    labels_free(&labels);
    return 0;
}
