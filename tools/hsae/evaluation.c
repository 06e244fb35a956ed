/* SPDX-License-Identifier: MIT */
/* Evaluating a model and showing the figures. */
#include "cli.h"

#include <math.h>

hsae_status cli_leave_out(hsae_session *session, const hsae_dataset *dataset, const struct cli_rows *rows)
{
    double limit = hsae_session_norm_limit(session);
    bool skip_bad = rows->skip_bad || hsae_session_skips_bad_rows(session);
    hsae_status status = HSAE_OK;
    if (rows->max_norm >= 0)
        status = hsae_dataset_norm_limit(dataset, rows->max_norm, skip_bad, &limit);
    hsae_session_leave_out(session, limit, skip_bad);
    return status;
}

void cli_note_left_out(const hsae_left_out *left_out, double norm_limit, const hsae_dataset *dataset)
{
    char text[1024];
    hsae_left_out_text(left_out, norm_limit, dataset, text, sizeof text);
    if (left_out->norm + left_out->bad)
        cli_note("%s", text);
}

hsae_status cli_evaluate(hsae_device *device, const hsae_model *model, const hsae_dataset *dataset, const struct cli_rows *rows,
                         hsae_evaluation *out)
{
    hsae_session *session = NULL;
    hsae_status status = hsae_session_create(device, model, 0, &session);
    if (status == HSAE_OK && rows)
        status = cli_leave_out(session, dataset, rows);
    if (status == HSAE_OK)
        status = hsae_session_evaluate(session, dataset, cli_progress, "evaluating", out);
    cli_clear_status_line();
    if (status == HSAE_OK)
        cli_note_left_out(&out->left_out, hsae_session_norm_limit(session), dataset);
    hsae_session_destroy(&session);
    return status;
}

/* A figure in a column of 12, "-" where it does not exist. */
static void print_figure(double value, int digits)
{
    if (isfinite(value))
        printf("%12.*f", digits, value);
    else
        printf("%12s", "-");
}

static void print_level(const hsae_level_metrics *level)
{
    print_figure(level->l0, 2);
    print_figure(level->variance_explained, 4);
    print_figure(100 * level->dead_fraction, 2);
    puts(" %");
}

static void print_pair(const hsae_pair_metrics *pair)
{
    print_figure(pair->hamming, 2);
    print_figure(pair->p_parent_given_child, 4);
    print_figure(pair->p_child_given_parent, 4);
    print_figure(pair->lift, 2);
    print_figure(100 * pair->duplicates, 2);
    printf(" %%%10llu%12llu\n", (unsigned long long)pair->largest_family, (unsigned long long)pair->assigned);
}

void cli_print_evaluation(const hsae_evaluation *evaluation, const hsae_config *config)
{
    unsigned long long left_out = evaluation->left_out.norm + evaluation->left_out.bad;
    printf("%llu activation vectors", (unsigned long long)evaluation->tokens);
    if (left_out)
        printf("; %llu of %llu rows left out", left_out, (unsigned long long)evaluation->left_out.rows);
    puts("\n");
    printf("%-8s%12s%12s%12s%12s\n", "level", "features", "L0", "var. expl.", "dead");
    for (uint32_t l = 0; l < evaluation->level_count; l++) {
        printf("%-8u%12u", l, config->levels[l]);
        print_level(&evaluation->levels[l]);
    }
    printf("%-8s%12s", "mean", "");
    print_level(&evaluation->mean_level);
    if (evaluation->level_count < 2)
        return;
    printf("\n%-8s%12s%12s%12s%12s%14s%10s%12s\n", "pair", "Hamming", "P(p|c)", "P(c|p)", "lift", "duplicates", "largest", "assigned");
    for (uint32_t k = 0; k + 1 < evaluation->level_count; k++) {
        printf("%u-%-6u", k, k + 1);
        print_pair(&evaluation->pairs[k]);
    }
    printf("%-8s", "mean");
    print_pair(&evaluation->mean_pair);
}

static json_t *level_json(const hsae_level_metrics *level)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "l0", cli_json_number(level->l0), "dead_fraction", cli_json_number(level->dead_fraction),
                     "variance_explained", cli_json_number(level->variance_explained), "variance_explained_legacy",
                     cli_json_number(level->variance_explained_legacy));
}

static json_t *pair_json(const hsae_pair_metrics *pair)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "hamming", cli_json_number(pair->hamming), "p_parent_given_child",
                     cli_json_number(pair->p_parent_given_child), "p_child_given_parent", cli_json_number(pair->p_child_given_parent),
                     "lift", cli_json_number(pair->lift), "duplicates", cli_json_number(pair->duplicates), "largest_share",
                     cli_json_number(pair->largest_share));
}

json_t *cli_evaluation_json(const hsae_evaluation *evaluation, const hsae_config *config)
{
    json_t *levels = json_array(), *pairs = json_array(), *mean = level_json(&evaluation->mean_level);
    for (uint32_t l = 0; l < evaluation->level_count; l++) {
        json_t *level = level_json(&evaluation->levels[l]);
        json_t *density = json_array();
        for (int bin = 0; bin < HSAE_DENSITY_BINS; bin++)
            json_array_append_new(density, json_integer(evaluation->density[l][bin]));
        json_object_set_new(level, "features", json_integer(config->levels[l]));
        json_object_set_new(level, "density", density);
        json_array_append_new(levels, level);
    }
    for (uint32_t k = 0; k + 1 < evaluation->level_count; k++) {
        json_t *pair = pair_json(&evaluation->pairs[k]);
        json_object_set_new(pair, "largest_family", json_integer((json_int_t)evaluation->pairs[k].largest_family));
        json_object_set_new(pair, "assigned", json_integer((json_int_t)evaluation->pairs[k].assigned));
        json_array_append_new(pairs, pair);
    }
    json_t *mean_pair = pair_json(&evaluation->mean_pair);
    json_object_update(mean, mean_pair);
    json_decref(mean_pair);
    return json_pack("{s:I, s:I, s:o, s:o, s:o}", "tokens", (json_int_t)evaluation->tokens, "left_out",
                     (json_int_t)(evaluation->left_out.norm + evaluation->left_out.bad), "levels", levels, "pairs", pairs, "mean", mean);
}
