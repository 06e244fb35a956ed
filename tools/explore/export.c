/* SPDX-License-Identifier: MIT */
/* What the features respond to, for other tools. */
#include "explore.h"
#include "hsae/json_text.h"
#include "hsae/run_folder.h"
#include "hsae/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 128 /* features in a file */, EXACT = 9, SHOWN = 6 };

struct export
{
    const hsae_explorer *explorer;
    const hsae_config *config;
    struct json_text text;
    float *values; /* [context length] */
};

static int start(struct export *export, const struct exploration *exploration)
{
    *export = (struct export){.explorer = exploration->explorer, .config = hsae_model_config(exploration->model)};
    export->values = malloc(hsae_explorer_context_length(export->explorer) * sizeof *export->values);
    return export->values ? CLI_DONE : cli_out_of_memory();
}

static void finish(struct export *export)
{
    free(export->text.data);
    free(export->values);
}

/* Writes the text to a file of its own and forgets it. */
static int write_file(struct export *export, const char *path, uint64_t *bytes)
{
    struct run_output output;
    if (export->text.failed)
        return cli_out_of_memory();
    if (cli_signal())
        return 128 + cli_signal();
    if (!run_output_open(&output, path))
        return CLI_FAILED;
    fwrite(export->text.data, 1, export->text.size, output.file);
    *bytes += export->text.size;
    json_text_clear(&export->text);
    return run_output_commit(&output);
}

/* ,"name": */
static void put_key(struct json_text *text, const char *name)
{
    json_text_next(text);
    json_text_put(text, "\"");
    json_text_put(text, name);
    json_text_put(text, "\":");
}

static void put_token_list(struct export *export, const hsae_excerpt *excerpt)
{
    const uint32_t *tokens = hsae_explorer_tokens(export->explorer, excerpt, NULL);
    json_text_put(&export->text, "[");
    for (uint32_t k = 0; k < excerpt->length; k++) {
        uint32_t size;
        const char *token = hsae_explorer_token(export->explorer, tokens[k], &size);
        json_text_next(&export->text);
        json_text_string(&export->text, token, size);
    }
    json_text_put(&export->text, "]");
}

static void put_value_list(struct export *export, uint32_t level, uint32_t feature, const hsae_excerpt *excerpt, uint32_t index)
{
    hsae_explorer_values(export->explorer, level, feature, index, export->values);
    json_text_put(&export->text, "[");
    for (uint32_t k = 0; k < excerpt->length; k++) {
        json_text_next(&export->text);
        json_text_number(&export->text, (double)export->values[k], EXACT);
    }
    json_text_put(&export->text, "]");
}

/* ---- Neuronpedia ---- */

/* The interval of a context, as SAEDashboard states it: -1, max, -1 for the strongest; else the histogram's bin that the peak lies in, and
 * the share of the activations in it. */
static void put_interval(struct json_text *text, const hsae_feature_report *report, const hsae_excerpt *excerpt)
{
    double width = report->peak / HSAE_EXPLORE_BINS, low = -1, high = report->max, share = -1;
    if (excerpt->sampled) {
        uint32_t bin = (uint32_t)((double)excerpt->activation / width);
        bin = bin < HSAE_EXPLORE_BINS ? bin : HSAE_EXPLORE_BINS - 1;
        low = bin * width;
        high = (bin + 1) * width;
        share = (double)report->histogram[bin] / (double)report->active;
    }
    put_key(text, "bin_min");
    json_text_number(text, low, SHOWN);
    put_key(text, "bin_max");
    json_text_number(text, high, SHOWN);
    put_key(text, "bin_contains");
    json_text_number(text, share, SHOWN);
}

static void put_histogram(struct json_text *text, const hsae_feature_report *report)
{
    put_key(text, "freq_hist_data_bar_values");
    json_text_put(text, "[");
    for (int k = 0; k < HSAE_EXPLORE_BINS && report->active; k++) {
        json_text_next(text);
        json_text_number(text, (k + 0.5) * report->peak / HSAE_EXPLORE_BINS, SHOWN);
    }
    json_text_put(text, "]");
    put_key(text, "freq_hist_data_bar_heights");
    json_text_put(text, "[");
    for (int k = 0; k < HSAE_EXPLORE_BINS && report->active; k++) {
        json_text_next(text);
        json_text_count(text, report->histogram[k]);
    }
    json_text_put(text, "]");
}

static void put_relatives(struct json_text *text, const hsae_feature_report *report)
{
    put_key(text, "parent");
    if (report->parent >= 0)
        json_text_count(text, (uint64_t)report->parent);
    else
        json_text_put(text, "null");
    put_key(text, "children");
    json_text_put(text, "[");
    for (uint32_t k = 0; k < report->child_count; k++) {
        json_text_next(text);
        json_text_count(text, report->children[k]);
    }
    json_text_put(text, "]");
}

/* NeuronpediaDashboardFeature of SAEDashboard; what needs the language model's own weights is empty. */
static void put_dashboard_feature(struct export *export, uint32_t level, uint32_t feature, const char *dataset)
{
    static const char *const empty[] = {"neuron_alignment_indices",
                                        "neuron_alignment_values",
                                        "neuron_alignment_l1",
                                        "correlated_neurons_indices",
                                        "correlated_neurons_l1",
                                        "correlated_neurons_pearson",
                                        "correlated_features_indices",
                                        "correlated_features_l1",
                                        "correlated_features_pearson",
                                        "neg_str",
                                        "neg_values",
                                        "pos_str",
                                        "pos_values",
                                        "logits_hist_data_bar_heights",
                                        "logits_hist_data_bar_values",
                                        "decoder_weights_dist"};
    struct json_text *text = &export->text;
    uint64_t tokens = hsae_explorer_evaluation(export->explorer)->tokens, sequences = hsae_explorer_sequences(export->explorer);
    hsae_feature_report report;
    hsae_explorer_feature(export->explorer, level, feature, &report);
    json_text_next(text);
    json_text_put(text, "{\"feature_index\":");
    json_text_count(text, feature);
    put_relatives(text, &report);
    for (size_t k = 0; k < sizeof empty / sizeof *empty; k++) {
        put_key(text, empty[k]);
        json_text_put(text, "[]");
    }
    put_key(text, "frac_nonzero");
    json_text_number(text, report.density, EXACT);
    put_histogram(text, &report);
    put_key(text, "n_prompts_total");
    json_text_count(text, sequences);
    put_key(text, "n_tokens_in_prompt");
    json_text_count(text, sequences ? (tokens + sequences / 2) / sequences : 0);
    put_key(text, "dataset");
    json_text_put(text, dataset);
    put_key(text, "activations");
    json_text_put(text, "[");
    for (uint32_t k = 0; k < report.excerpt_count; k++) {
        json_text_next(text);
        json_text_put(text, "{");
        put_interval(text, &report, &report.excerpts[k]);
        put_key(text, "tokens");
        put_token_list(export, &report.excerpts[k]);
        put_key(text, "values");
        put_value_list(export, level, feature, &report.excerpts[k], k);
        json_text_put(text, "}");
    }
    json_text_put(text, "]}");
}

static int write_level(struct export *export, const char *folder, uint32_t level, const char *dataset, uint64_t *bytes)
{
    uint32_t features = export->config->levels[level];
    char path[RUN_PATH + 64];
    bool made;
    snprintf(path, sizeof path, "%s/level-%u", folder, level);
    int status = run_make_folders(path, &made);
    for (uint32_t first = 0; first < features && status == CLI_DONE; first += BATCH) {
        json_text_put(&export->text, "{\"model_id\":\"\",\"layer\":0,\"sae_set\":\"hsae-level-");
        json_text_count(&export->text, level);
        json_text_put(&export->text, "\",\"features\":[");
        for (uint32_t i = first; i < features && i < first + BATCH; i++)
            put_dashboard_feature(export, level, i, dataset);
        json_text_put(&export->text, "]}");
        snprintf(path, sizeof path, "%s/level-%u/batch-%u.json", folder, level, first / BATCH);
        status = write_file(export, path, bytes);
    }
    return status;
}

int explore_write_neuronpedia(const struct exploration *exploration, const char *folder, uint64_t *bytes)
{
    struct export export;
    json_t *name = text_json(exploration->data.items[0]);
    char *dataset = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    int status = start(&export, exploration);
    if (status == CLI_DONE && !dataset)
        status = cli_out_of_memory();
    if (status == CLI_DONE && strlen(folder) >= RUN_PATH - 64) {
        cli_error("%s: the path is too long", folder);
        status = CLI_FAILED;
    }
    for (uint32_t l = 0; l < export.config->level_count && status == CLI_DONE; l++)
        status = write_level(&export, folder, l, dataset, bytes);
    finish(&export);
    free(dataset);
    json_decref(name);
    return status;
}

/* ---- pairs ---- */

struct pair {
    uint64_t rank; /* looks drawn by chance, and orders the pairs */
    uint32_t level, child;
};

static uint64_t hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static int by_rank(const void *left, const void *right)
{
    const struct pair *a = left, *b = right;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

static bool is_live(const struct export *export, uint32_t level, uint32_t feature)
{
    hsae_feature_report report;
    hsae_explorer_feature(export->explorer, level, feature, &report);
    return report.active > 0;
}

/* All pairs whose both features are active somewhere, in an order that looks drawn by chance. */
static size_t find_pairs(const struct export *export, struct pair *out)
{
    size_t count = 0;
    for (uint32_t l = 1; l < export->config->level_count; l++)
        for (uint32_t i = 0; i < export->config->levels[l]; i++) {
            hsae_feature_report report;
            hsae_explorer_feature(export->explorer, l, i, &report);
            if (report.active && report.parent >= 0 && is_live(export, l - 1, (uint32_t)report.parent))
                out[count++] = (struct pair){hash((uint64_t)l << 32 | i), l, i};
        }
    qsort(out, count, sizeof *out, by_rank);
    return count;
}

/* A live feature of the level above that is not the child's parent; the parent where there is none. */
static uint32_t stranger(const struct export *export, const struct pair *pair, uint32_t parent)
{
    uint32_t features = export->config->levels[pair->level - 1], at = (uint32_t)(hash(pair->rank) % features);
    for (uint32_t k = 0; k < features; k++, at = (at + 1) % features)
        if (at != parent && is_live(export, pair->level - 1, at))
            return at;
    return parent;
}

static void put_side(struct export *export, const char *name, uint32_t level, uint32_t feature)
{
    struct json_text *text = &export->text;
    hsae_feature_report report;
    hsae_explorer_feature(export->explorer, level, feature, &report);
    put_key(text, name);
    json_text_put(text, "{\"level\":");
    json_text_count(text, level);
    put_key(text, "feature");
    json_text_count(text, feature);
    put_key(text, "density");
    json_text_number(text, report.density, EXACT);
    put_key(text, "contexts");
    json_text_put(text, "[");
    for (uint32_t k = 0; k < report.excerpt_count && !report.excerpts[k].sampled; k++) {
        json_text_next(text);
        json_text_put(text, "{\"peak\":");
        json_text_count(text, report.excerpts[k].peak);
        put_key(text, "tokens");
        put_token_list(export, &report.excerpts[k]);
        put_key(text, "activations");
        put_value_list(export, level, feature, &report.excerpts[k], k);
        json_text_put(text, "}");
    }
    json_text_put(text, "]}");
}

/* One line: a child with its parent, or with a feature of the parent's level that is none of its kin. */
static void put_pair(struct export *export, const struct pair *pair, bool random)
{
    struct json_text *text = &export->text;
    hsae_feature_report child;
    hsae_explorer_feature(export->explorer, pair->level, pair->child, &child);
    uint32_t parent = (uint32_t)child.parent, other = random ? stranger(export, pair, parent) : parent;
    if (random && other == parent)
        return;
    json_text_put(text, random ? "{\"random\":true" : "{\"random\":false");
    put_key(text, "p_parent_given_child");
    json_text_number(text, random ? (double)NAN : child.p_parent_given_child, EXACT);
    put_key(text, "p_child_given_parent");
    json_text_number(text, random ? (double)NAN : child.p_child_given_parent, EXACT);
    put_side(export, "parent", pair->level - 1, other);
    put_side(export, "child", pair->level, pair->child);
    json_text_put(text, "}\n");
}

int explore_write_pairs(const struct exploration *exploration, uint64_t count, const char *path, uint64_t *bytes)
{
    struct export export;
    size_t features = 1, found = 0;
    int status = start(&export, exploration);
    for (uint32_t l = 1; l < export.config->level_count; l++)
        features += export.config->levels[l];
    struct pair *pairs = calloc(features, sizeof *pairs);
    if (status == CLI_DONE && !pairs)
        status = cli_out_of_memory();
    if (status == CLI_DONE)
        found = find_pairs(&export, pairs);
    if (found < count && status == CLI_DONE)
        cli_note("there are %zu pairs of features that are both active on these data", found);
    for (size_t k = 0; k < found && k < count && status == CLI_DONE; k++) {
        put_pair(&export, &pairs[k], false);
        put_pair(&export, &pairs[k], true);
    }
    if (status == CLI_DONE)
        status = write_file(&export, path, bytes);
    free(pairs);
    finish(&export);
    return status;
}
