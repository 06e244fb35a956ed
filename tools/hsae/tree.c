/* SPDX-License-Identifier: MIT */
/* hsae tree: a hierarchy over a model that was trained without one, or over SAEs of other tools. */
#include "run_folder.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct request {
    struct cli_paths models, data;
    struct cli_input input;
    struct cli_rows rows;
    const char *out, *device;
    bool json;
    hsae_link_params link;
};

/* One model of this library, or SAEs to be imported. */
static hsae_status load(hsae_context *context, const struct cli_paths *paths, hsae_model **out)
{
    static const char end[] = ".safetensors";
    char found[RUN_PATH];
    size_t length = strlen(paths->items[0]);
    if (paths->count == 1 && cli_run_model(paths->items[0], found))
        return hsae_model_load(context, found, out);
    if (paths->count == 1 && length > strlen(end) && strcmp(paths->items[0] + length - strlen(end), end) == 0)
        return hsae_model_load(context, paths->items[0], out);
    return hsae_model_import(context, paths->items, paths->count, out);
}

/* Rows that are left out do not count, nor are they evaluated. */
static hsae_status leave_out(struct request *request, const hsae_model *model, const hsae_dataset *dataset)
{
    hsae_link_params *link = &request->link;
    link->skip_bad_rows = request->rows.skip_bad || hsae_model_config(model)->skip_bad_rows;
    if (request->rows.max_norm < 0)
        return HSAE_OK;
    hsae_status status = hsae_dataset_norm_limit(dataset, request->rows.max_norm, link->skip_bad_rows, &link->norm_limit);
    if (link->norm_limit == 0)
        link->norm_limit = INFINITY;
    return status;
}

static hsae_status link_model(hsae_context *context, struct request *request, hsae_model **linked, hsae_evaluation *evaluation)
{
    hsae_device *device = NULL;
    hsae_dataset *dataset = NULL;
    hsae_model *model = NULL;
    hsae_status status = load(context, &request->models, &model);
    if (status == HSAE_OK && request->data.count)
        status = cli_open_data(context, &request->data, &request->input, &dataset);
    if (status == HSAE_OK)
        status = cli_open_device(context, request->device, &device);
    request->link.data = dataset;
    if (status == HSAE_OK && dataset)
        status = leave_out(request, model, dataset);
    if (status == HSAE_OK)
        status = hsae_model_link(device, model, &request->link, linked);
    if (status == HSAE_OK)
        status = hsae_model_save(context, *linked, request->out);
    if (status == HSAE_OK && dataset)
        status = cli_evaluate(device, *linked, dataset, &request->rows, evaluation);
    hsae_model_free(&model);
    hsae_dataset_close(&dataset);
    hsae_device_close(&device);
    return status;
}

static int print(const struct request *request, const hsae_model *model, const hsae_evaluation *evaluation)
{
    const hsae_config *config = hsae_model_config(model);
    json_t *pairs = json_array();
    for (uint32_t l = 1; l < config->level_count; l++) {
        hsae_level level = hsae_model_level(model, l);
        json_int_t assigned = 0;
        for (uint32_t i = 0; i < level.features; i++)
            assigned += level.parent[i] >= 0;
        if (cli_says_results(request->json))
            printf("levels %u-%u: %llu of %u features have a parent\n", l - 1, l, (unsigned long long)assigned, level.features);
        json_array_append_new(pairs, json_pack("{s:I, s:I}", "features", (json_int_t)level.features, "assigned", assigned));
    }
    if (request->json)
        return cli_print_json(json_pack("{s:o, s:o, s:o}", "out", text_json(request->out), "pairs", pairs, "evaluation",
                                        request->data.count ? cli_evaluation_json(evaluation, config) : json_null()));
    json_decref(pairs);
    if (!cli_says_results(false))
        return CLI_DONE;
    if (request->data.count) {
        putchar('\n');
        cli_print_evaluation(evaluation, config);
    }
    printf("%sModel: %s\n", request->data.count ? "\n" : "", request->out);
    return CLI_DONE;
}

/* The keys of the configuration, by their own names and rules; CLI_CONTINUE: all are good. */
static int read_keys(hsae_context *context, const struct cli_command *command, const char *const keys[3], hsae_link_params *link)
{
    static const char *const names[] = {"similarity", "exclude", "tree"};
    hsae_config config;
    hsae_config_defaults(&config);
    for (int k = 0; k < 3; k++)
        if (keys[k] && hsae_config_set(context, &config, names[k], keys[k]) != HSAE_OK)
            return CLI_USAGE;
    if (config.tree == HSAE_TREE_FIXED || config.tree == HSAE_TREE_POSTHOC)
        return cli_usage(command->name, "--tree %s: it can be forest, full or binary", keys[2]);
    *link = (hsae_link_params){.tree = config.tree, .similarity = config.similarity, .exclude = config.exclude};
    return CLI_CONTINUE;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct request request = {.rows = CLI_ROWS_DEFAULT};
    const char *keys[3] = {NULL, NULL, NULL};
    const struct cli_option options[] = {OPTIONS_tree(CLI_OPTION){0}};
    hsae_context *context = NULL;
    hsae_model *linked = NULL;
    hsae_evaluation evaluation;
    int exit_status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (exit_status == CLI_CONTINUE)
        exit_status = cli_need(command, options, "model out");
    if (exit_status != CLI_CONTINUE)
        goto end;
    exit_status = CLI_FAILED;
    context = cli_context();
    if (!context)
        goto end;
    exit_status = read_keys(context, command, keys, &request.link);
    if (exit_status == CLI_CONTINUE && hsae_similarity_counts(request.link.similarity) && !request.data.count)
        exit_status =
            cli_usage(command->name, "--similarity coactivation, inclusion and part: --data is needed, on which they are counted");
    if (exit_status == CLI_CONTINUE && (request.rows.max_norm >= 0 || request.rows.skip_bad) && !request.data.count)
        exit_status = cli_usage(command->name, "--max-norm, --skip-bad-rows: --data is needed, whose rows they leave out");
    if (exit_status != CLI_CONTINUE)
        goto end;
    exit_status = cli_exit_status(link_model(context, &request, &linked, &evaluation));
    if (exit_status == CLI_DONE)
        exit_status = print(&request, linked, &evaluation);
end:
    hsae_model_free(&linked);
    hsae_context_destroy(&context);
    free(request.models.items);
    free(request.data.items);
    return exit_status;
}

const struct cli_command cli_tree = {
    .name = "tree",
    .summary = SUMMARY_tree,
    .synopsis = SYNOPSIS_tree,
    .examples =
        "  hsae tree --model runs/flat/model.safetensors --out tree.safetensors --data held-out/\n"
        "  hsae tree --model sae-16k sae-32k sae-65k --out tree.safetensors --similarity decoder --exclude 0.3\n"
        "  hsae tree --model m.safetensors --out tree.safetensors --similarity coactivation --data activations/ --json\n\n"
        "Every feature gets the most similar one of the level above as its parent, then the least similar lose theirs: what training\n"
        "with --tree posthoc does after its last step. Parameters do not change. With --data the tree is evaluated, as hsae eval does.\n",
    .run = run,
};
