/* SPDX-License-Identifier: MIT */
/* What an explorer found, read piece by piece. */
#include "explorer.h"

#include "eval/metrics.h"

#include <math.h>
#include <string.h>

const hsae_evaluation *hsae_explorer_evaluation(const hsae_explorer *explorer)
{
    return explorer ? &explorer->evaluation : NULL;
}

uint64_t hsae_explorer_sequences(const hsae_explorer *explorer)
{
    return explorer ? explorer->sequences : 0;
}

uint64_t hsae_explorer_outliers(const hsae_explorer *explorer)
{
    return explorer ? explorer->outliers : 0;
}

uint32_t hsae_explorer_context_length(const hsae_explorer *explorer)
{
    return explorer ? explorer->length : 0;
}

static double ratio(double part, uint64_t whole)
{
    return whole ? part / (double)whole : (double)NAN;
}

/* Tokens on which two siblings were active together. */
static uint32_t together(const struct explore_level *level, uint32_t parent, uint32_t a, uint32_t b)
{
    uint64_t low = level->place[a] < level->place[b] ? level->place[a] : level->place[b];
    uint64_t high = level->place[a] < level->place[b] ? level->place[b] : level->place[a];
    return level->together[level->family[parent] + high * (high - 1) / 2 + low];
}

static void find_siblings(const struct explore_level *level, uint32_t feature, hsae_feature_report *out)
{
    const struct explore_level *above = level - 1;
    uint32_t parent = (uint32_t)level->parent[feature], begin = above->first_child[parent], end = above->first_child[parent + 1];
    for (uint32_t k = begin; end - begin <= HSAE_EXPLORE_FAMILY && k < end; k++) {
        uint32_t sibling = above->children[k], joint = sibling == feature ? 0 : together(level, parent, feature, sibling);
        double probability = ratio(joint, level->active[feature]);
        uint32_t at = out->sibling_count < HSAE_EXPLORE_SIBLINGS ? out->sibling_count : HSAE_EXPLORE_SIBLINGS;
        if (!joint)
            continue;
        for (; at > 0 && out->siblings[at - 1].probability < probability; at--)
            if (at < HSAE_EXPLORE_SIBLINGS)
                out->siblings[at] = out->siblings[at - 1];
        if (at < HSAE_EXPLORE_SIBLINGS)
            out->siblings[at] = (hsae_sibling){sibling, probability};
        out->sibling_count += out->sibling_count < HSAE_EXPLORE_SIBLINGS;
    }
}

/* The upper end of the bin that 99 % of a histogram's activations reach up to. */
static double high_quantile(const uint64_t *histogram, double peak)
{
    uint64_t total = 0, below = 0;
    for (uint32_t bin = 0; bin < HSAE_EXPLORE_BINS; bin++)
        total += histogram[bin];
    for (uint32_t bin = 0; bin < HSAE_EXPLORE_BINS && total; bin++) {
        below += histogram[bin];
        if ((double)below >= 0.99 * (double)total)
            return peak * (bin + 1) / HSAE_EXPLORE_BINS;
    }
    return NAN;
}

void hsae_explorer_feature(const hsae_explorer *explorer, uint32_t l, uint32_t feature, hsae_feature_report *out)
{
    if (!explorer || !out)
        return;
    const struct explore_level *level = &explorer->levels[l];
    uint64_t active = level->active[feature];
    *out = (hsae_feature_report){.parent = level->parent ? level->parent[feature] : -1,
                                 .active = active,
                                 .density = ratio((double)active, explorer->evaluation.tokens),
                                 .mean = ratio(level->sum[feature], active),
                                 .max = active ? (double)level->max[feature] : (double)NAN,
                                 .peak = level->peak[feature] > 0 ? (double)level->peak[feature] : (double)NAN,
                                 .high = NAN,
                                 .p_parent_given_child = NAN,
                                 .p_child_given_parent = NAN,
                                 .decoder_cosine = NAN,
                                 .phi = NAN};
    if (level->children) {
        out->children = level->children + level->first_child[feature];
        out->child_count = level->first_child[feature + 1] - level->first_child[feature];
    }
    if (out->parent >= 0) {
        double joint = (double)level->joint[feature];
        out->p_parent_given_child = ratio(joint, active);
        out->p_child_given_parent = ratio(joint, level[-1].active[out->parent]);
        out->decoder_cosine = level->cosine[feature];
        out->phi =
            hsae_edge_phi(&(struct edge_counts){explorer->evaluation.tokens, active, level[-1].active[out->parent], level->joint[feature]});
        out->duplicate = hsae_is_duplicate(out->decoder_cosine, out->phi);
        find_siblings(level, feature, out);
    }
    if (level->excerpts) {
        out->histogram = level->histogram + (uint64_t)feature * HSAE_EXPLORE_BINS;
        out->high = high_quantile(out->histogram, out->peak);
        out->excerpts = level->excerpts + (uint64_t)feature * explorer->slots;
        out->excerpt_count = level->excerpt_count[feature];
        out->words = level->words + (uint64_t)feature * HSAE_EXPLORE_WORDS;
        out->word_count = level->word_count[feature];
    }
}

void hsae_explorer_values(const hsae_explorer *explorer, uint32_t l, uint32_t feature, uint32_t index, float *out)
{
    if (!explorer || !out)
        return;
    const struct explore_level *level = &explorer->levels[l];
    uint64_t slot = (uint64_t)feature * explorer->slots + index;
    memset(out, 0, level->excerpts[slot].length * sizeof *out);
    for (uint32_t at = level->heads[slot]; at; at = explorer->values[at - 1].next)
        out[explorer->values[at - 1].offset] = explorer->values[at - 1].value;
}

uint32_t hsae_explorer_token_count(const hsae_explorer *explorer)
{
    return explorer ? explorer->strings.count : 0;
}

const char *hsae_explorer_token(const hsae_explorer *explorer, uint32_t token, uint32_t *size)
{
    if (!explorer || !size)
        return NULL;
    return string_at(&explorer->strings, token, size);
}

uint64_t hsae_explorer_span_count(const hsae_explorer *explorer)
{
    return explorer ? explorer->run_count : 0;
}

hsae_token_span hsae_explorer_span(const hsae_explorer *explorer, uint64_t index)
{
    if (!explorer)
        return (hsae_token_span){0};
    const struct kept_run *run = &explorer->runs[index];
    return (hsae_token_span){run->start, run->sequence, run->length, explorer->text + run->first};
}

const uint32_t *hsae_explorer_tokens(const hsae_explorer *explorer, const hsae_excerpt *excerpt, uint64_t *sequence)
{
    if (!explorer || !excerpt)
        return NULL;
    uint64_t low = 0, high = explorer->run_count;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (explorer->runs[middle].start <= excerpt->start)
            low = middle;
        else
            high = middle;
    }
    const struct kept_run *run = &explorer->runs[low];
    if (sequence)
        *sequence = run->sequence;
    return explorer->text + run->first + (excerpt->start - run->start);
}

uint64_t hsae_explorer_token_features_count(const hsae_explorer *explorer)
{
    return explorer ? explorer->path_count : 0;
}

void hsae_explorer_token_features(const hsae_explorer *explorer, uint64_t index, hsae_token_features *out)
{
    if (!explorer || !out)
        return;
    *out = (hsae_token_features){.row = explorer->path_rows[index]};
    for (uint32_t l = 0; l < explorer->level_count; l++) {
        uint64_t list = index * explorer->level_count + l;
        uint32_t active = explorer->path_active[list];
        out->count[l] = active < HSAE_EXPLORE_STRONGEST ? active : HSAE_EXPLORE_STRONGEST;
        out->left_out[l] = active - out->count[l];
        out->features[l] = explorer->path_features + list * HSAE_EXPLORE_STRONGEST;
    }
}
