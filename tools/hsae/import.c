/* SPDX-License-Identifier: MIT */
/* hsae import: SAEs of other tools as one model. */
#include "cli.h"
#include "text.h"

#include <stdlib.h>

static int print(const char *out, const hsae_model *model, bool json)
{
    json_t *levels = json_array();
    const hsae_config *config = hsae_model_config(model);
    for (uint32_t l = 0; l < config->level_count; l++) {
        hsae_level level = hsae_model_level(model, l);
        json_int_t assigned = 0;
        for (uint32_t i = 0; i < level.features; i++)
            assigned += level.parent && level.parent[i] >= 0;
        if (cli_says_results(json))
            printf("level %u: %u features, %llu with a parent\n", l, level.features, (unsigned long long)assigned);
        json_array_append_new(levels, json_pack("{s:I, s:I}", "features", (json_int_t)level.features, "assigned", assigned));
    }
    if (json)
        return cli_print_json(
            json_pack("{s:o, s:I, s:o}", "out", text_json(out), "dim", (json_int_t)hsae_model_dim(model), "levels", levels));
    json_decref(levels);
    return CLI_DONE;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *out = NULL;
    struct cli_paths words = {0};
    bool json = false;
    const struct cli_option options[] = {OPTIONS_import(CLI_OPTION){0}};
    hsae_context *context = NULL;
    hsae_model *model = NULL;
    int exit_status = cli_parse(command, argc, argv, options, NULL, &words);
    if (exit_status == CLI_CONTINUE && !words.count)
        exit_status = cli_usage(command->name, "an SAE is missing: hsae import PATH... --out FILE");
    if (exit_status == CLI_CONTINUE)
        exit_status = cli_need(command, options, "out");
    if (exit_status != CLI_CONTINUE)
        goto end;
    exit_status = CLI_FAILED;
    context = cli_context();
    if (!context)
        goto end;
    hsae_status status = hsae_model_import(context, words.items, words.count, &model);
    if (status == HSAE_OK)
        status = hsae_model_save(context, model, out);
    exit_status = cli_exit_status(status);
    if (exit_status == CLI_DONE)
        exit_status = print(out, model, json);
end:
    hsae_model_free(&model);
    hsae_context_destroy(&context);
    free(words.items);
    return exit_status;
}

const struct cli_command cli_import = {
    .name = "import",
    .summary = SUMMARY_import,
    .synopsis = SYNOPSIS_import,
    .examples =
        "  hsae import exported --out back.safetensors\n"
        "  hsae import small-sae large-sae --out both.safetensors\n"
        "  hsae import layer_13/width_16k/average_l0_83/params.npz --out gemma-scope.safetensors\n\n"
        "A PATH is a folder of SAELens (jumprelu or standard), a params.npz of Gemma Scope, a params.safetensors of Gemma Scope 2, a\n"
        "folder of Llama Scope (with hyperparams.json), or a folder of such folders. What cannot be represented (TopK, gated,\n"
        "transcoders) is refused. Levels go from the fewest features to the most. `hsae tree` builds a tree over them.\n",
    .run = run,
};
