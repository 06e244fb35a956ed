/* SPDX-License-Identifier: MIT */
/* Runs the two passes. */
#include "explorer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void free_level(struct explore_level *level)
{
    void *const all[] = {level->parent,    level->first_child, level->children,   level->active,        level->joint,    level->sum,
                         level->max,       level->stamp,       level->place,      level->family,        level->together, level->last_row,
                         level->before,    level->last_active, level->pending,    level->touched,       level->top,      level->pool,
                         level->top_count, level->pool_count,  level->excerpts,   level->excerpt_count, level->heads,    level->tails,
                         level->order,     level->cursor,      level->at_most,    level->histogram,     level->peak,     level->sketch,
                         level->mass,      level->words,       level->word_count, level->cosine};
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
