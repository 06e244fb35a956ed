/* SPDX-License-Identifier: MIT */
/* Runs the two passes; functions to read the result. */
#include "explorer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

static void free_level(struct explore_level *level)
{
    void *const all[] = {level->parent,    level->first_child, level->children,  level->active,        level->joint,    level->sum,
                         level->max,       level->stamp,       level->place,     level->family,        level->together, level->last_row,
                         level->before,    level->last_active, level->pending,   level->touched,       level->top,      level->pool,
                         level->top_count, level->pool_count,  level->excerpts,  level->excerpt_count, level->heads,    level->tails,
                         level->order,     level->cursor,      level->at_most,   level->histogram,     level->peak,     level->sketch,
                         level->mass,      level->words,       level->word_count};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

void hsae_explorer_free(hsae_explorer **pointer)
{
    hsae_explorer *explorer = pointer ? *pointer : NULL;
    if (!explorer)
        return;
    for (uint32_t l = 0; l < explorer->level_count; l++)
        free_level(&explorer->levels[l]);
    hsae_tokens_close(&explorer->tokens);
    void *const all[] = {explorer->spans,     explorer->text,      explorer->runs,        explorer->values,       explorer->frequency,
                         explorer->path_bits, explorer->path_rows, explorer->path_active, explorer->path_features};
    hsae_explore_strings_free(&explorer->strings);
    hsae_explore_strings_free(&explorer->vocabulary);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(explorer);
    *pointer = NULL;
}

/* The progress of one of several passes. */
struct progress {
    hsae_progress_fn report;
    void *user;
    uint64_t before, total;
};

static bool report(void *user, uint64_t done, uint64_t total)
{
    const struct progress *progress = user;
    (void)total;
    return !progress->report || progress->report(progress->user, progress->before + done, progress->total);
}

static hsae_status open_tokens(hsae_explorer *explorer, const hsae_explore_params *params)
{
    hsae_tokens_close(&explorer->tokens);
    return hsae_tokens_open(explorer->context, params->token_paths, params->token_path_count, &explorer->tokens);
}

static hsae_status check_params(hsae_explorer *explorer, const hsae_explore_params *params)
{
    uint32_t before;
    if (params->contexts > 1000 || params->samples > HSAE_EXPLORE_POOL || params->context_length > 1024)
        return hsae_fail(explorer->context, HSAE_ERROR_ARGUMENT,
                         "%" PRIu32 " contexts, %" PRIu32 " samples, windows of %" PRIu32 " tokens: at most 1000, %d and 1024",
                         params->contexts, params->samples, params->context_length, HSAE_EXPLORE_POOL);
    explorer->contexts = params->contexts ? params->contexts : 20;
    explorer->samples = params->samples ? params->samples : 5;
    explorer->slots = explorer->contexts + explorer->samples;
    explorer->length = params->context_length ? params->context_length : 32;
    before = explorer->length * 2 / 3;
    explorer->max_before = before;
    explorer->max_after = explorer->length - before - 1;
    explorer->path_limit = params->feature_tokens ? params->feature_tokens : 131072;
    return HSAE_OK;
}

static hsae_status explore(hsae_session *session, const hsae_dataset *dataset, const hsae_explore_params *params, struct progress *progress,
                           hsae_explorer *explorer)
{
    bool tokens = params->token_path_count > 0;
    hsae_status status = check_params(explorer, params);
    progress->total = (tokens ? 2 : 1) * explorer->rows;
    if (!status && tokens)
        status = hsae_tokens_check(explorer->context, params->token_paths, params->token_path_count, dataset, &explorer->sequences);
    if (!status && tokens)
        status = open_tokens(explorer, params);
    if (!status && tokens && !isinf(params->outlier_norm))
        status = hsae_dataset_norm_limit(dataset, params->outlier_norm > 0 ? params->outlier_norm : 2.5,
                                         hsae_session_skips_bad_rows(session), &explorer->norm_limit);
    if (!status)
        status = hsae_explore_collect_create(explorer, hsae_session_model(session), tokens);
    if (!status)
        status = hsae_session_evaluate_visit(session, dataset, report, progress, hsae_explore_collect, explorer, &explorer->evaluation);
    if (status || !tokens)
        return status;
    hsae_explore_collect_end(explorer);
    status = hsae_explore_choose(explorer);
    if (!status)
        status = hsae_explore_choose_words(explorer);
    if (!status)
        status = open_tokens(explorer, params);
    progress->before = explorer->rows;
    if (!status)
        status = hsae_session_visit(session, dataset, report, progress, hsae_explore_excerpts, explorer);
    hsae_tokens_close(&explorer->tokens);
    if (status)
        return status;
    hsae_explore_excerpts_end(explorer);
    return hsae_explore_whole_words(explorer);
}

hsae_status hsae_explore(hsae_session *session, const hsae_dataset *dataset, const hsae_explore_params *params, hsae_progress_fn progress,
                         void *user, hsae_explorer **out)
{
    HSAE_REQUIRE(session ? hsae_session_context(session) : NULL, session, dataset, out);
    static const hsae_explore_params defaults;
    struct progress share = {progress, user, 0, 0};
    hsae_explorer *explorer = *out = calloc(1, sizeof *explorer);
    if (!explorer)
        return hsae_fail(hsae_session_context(session), HSAE_ERROR_MEMORY, "out of memory for an explorer");
    explorer->context = hsae_session_context(session);
    explorer->level_count = hsae_model_config(hsae_session_model(session))->level_count;
    explorer->rows = hsae_dataset_rows(dataset);
    hsae_status status = explore(session, dataset, params ? params : &defaults, &share, explorer);
    if (status)
        hsae_explorer_free(out);
    return status;
}

/* ---- access ---- */

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
                                 .p_parent_given_child = NAN,
                                 .p_child_given_parent = NAN};
    if (level->children) {
        out->children = level->children + level->first_child[feature];
        out->child_count = level->first_child[feature + 1] - level->first_child[feature];
    }
    if (out->parent >= 0) {
        double joint = (double)level->joint[feature];
        out->p_parent_given_child = ratio(joint, active);
        out->p_child_given_parent = ratio(joint, level[-1].active[out->parent]);
        find_siblings(level, feature, out);
    }
    if (level->excerpts) {
        out->histogram = level->histogram + (uint64_t)feature * HSAE_EXPLORE_BINS;
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
