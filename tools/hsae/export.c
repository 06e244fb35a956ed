/* SPDX-License-Identifier: MIT */
/* hsae export: a model in the files of other tools, or with its weights in half precision. */
#include "run_folder.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

struct request {
    const char *model, *format, *dtype, *out;
    struct cli_paths meta;
    bool json;
};

/* "key=value" words, split in copies that `store` owns. */
static bool split_metadata(const struct cli_paths *words, hsae_metadata *metadata, char **store)
{
    for (size_t i = 0; i < words->count; i++) {
        char *copy = store[i] = strdup(words->items[i]);
        char *equals = copy ? strchr(copy, '=') : NULL;
        if (!equals || equals == copy)
            return false;
        *equals = '\0';
        metadata[i] = (hsae_metadata){copy, equals + 1};
    }
    return true;
}

static bool find_dtype(const char *name, hsae_dtype *out)
{
    static const char *const names[] = {[HSAE_DTYPE_F32] = "f32", [HSAE_DTYPE_F16] = "f16", [HSAE_DTYPE_BF16] = "bf16"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (strcmp(name, names[k]) == 0) {
            *out = (hsae_dtype)k;
            return true;
        }
    return false;
}

static hsae_status export(hsae_context *context, const struct request *request, hsae_dtype dtype, const hsae_metadata *metadata,
                          hsae_model **model)
{
    hsae_status status = cli_load_model(context, request->model, model);
    if (status != HSAE_OK)
        return status;
    if (strcmp(request->format, "hsae") == 0)
        return hsae_model_save_as(context, *model, dtype, request->out);
    hsae_export_format format = strcmp(request->format, "saelens") == 0 ? HSAE_EXPORT_SAELENS : HSAE_EXPORT_GEMMA_SCOPE;
    return hsae_model_export(context, *model, format, request->out, metadata, request->meta.count);
}

static int print(const struct request *request, const hsae_config *config)
{
    if (request->json) {
        json_t *levels = json_array();
        for (uint32_t l = 0; l < config->level_count; l++)
            json_array_append_new(levels, json_integer(config->levels[l]));
        return cli_print_json(json_pack("{s:o, s:s, s:o}", "out", text_json(request->out), "format", request->format, "levels", levels));
    }
    if (!cli_says_results(false))
        return CLI_DONE;
    if (strcmp(request->format, "hsae") == 0)
        printf("%s: model with %s weights\n", request->out, request->dtype);
    for (uint32_t l = 0; l < config->level_count && strcmp(request->format, "hsae") != 0; l++)
        printf("%s/level-%u: %u features\n", request->out, l, config->levels[l]);
    return CLI_DONE;
}

/* What is wrong with the words, said; CLI_CONTINUE: nothing. */
static int check(const struct cli_command *command, const struct request *request, const struct cli_paths *words, hsae_dtype *dtype)
{
    if (!request->out)
        return cli_usage(command->name, "--out PATH is missing: what to write%s",
                         request->meta.count ? " (--meta takes all words that follow it)" : "");
    if (words->count && request->out != words->items[0])
        return cli_usage(command->name, "'%s' and --out %s both name what is written", words->items[0], request->out);
    if (words->count > 1)
        return cli_usage(command->name, "'%s' and '%s' both name what is written", words->items[0], words->items[1]);
    bool own = strcmp(request->format, "hsae") == 0;
    if (!own && strcmp(request->format, "saelens") != 0 && strcmp(request->format, "gemma-scope") != 0)
        return cli_usage(command->name, "--format %s: it can be saelens, gemma-scope or hsae", request->format);
    if (!find_dtype(request->dtype, dtype))
        return cli_usage(command->name, "--dtype %s: it can be f32, f16 or bf16", request->dtype);
    if (!own && *dtype != HSAE_DTYPE_F32)
        return cli_usage(command->name, "--dtype %s: with --format hsae only", request->dtype);
    if (request->meta.count && strcmp(request->format, "saelens") != 0)
        return cli_usage(command->name, "--meta: with --format saelens only");
    return CLI_CONTINUE;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct request request = {.format = "saelens", .dtype = "f32"};
    struct cli_paths words = {0};
    hsae_dtype dtype = HSAE_DTYPE_F32;
    const struct cli_option options[] = {OPTIONS_export(CLI_OPTION){0}};
    hsae_context *context = NULL;
    hsae_model *model = NULL;
    int exit_status = cli_parse(command, argc, argv, options, NULL, &words);
    hsae_metadata *metadata = calloc(request.meta.count + 1, sizeof *metadata);
    char **store = calloc(request.meta.count + 1, sizeof *store);
    if (!request.out && words.count)
        request.out = words.items[0];
    if (exit_status == CLI_CONTINUE)
        exit_status = cli_need(command, options, "model");
    if (exit_status == CLI_CONTINUE)
        exit_status = check(command, &request, &words, &dtype);
    if (exit_status != CLI_CONTINUE)
        goto end;
    if (!metadata || !store) {
        exit_status = cli_out_of_memory();
        goto end;
    }
    if (!split_metadata(&request.meta, metadata, store)) {
        exit_status = cli_usage(command->name, "--meta takes KEY=VALUE (and all words that follow it)");
        goto end;
    }
    exit_status = CLI_FAILED;
    context = cli_context();
    if (!context)
        goto end;
    exit_status = cli_exit_status(export(context, &request, dtype, metadata, &model));
    if (exit_status == CLI_DONE)
        exit_status = print(&request, hsae_model_config(model));
end:
    hsae_model_free(&model);
    hsae_context_destroy(&context);
    for (size_t i = 0; store && i < request.meta.count; i++)
        free(store[i]);
    free(store);
    free(metadata);
    free(request.meta.items);
    free(words.items);
    return exit_status;
}

const struct cli_command cli_export = {
    .name = "export",
    .summary = SUMMARY_export,
    .synopsis = SYNOPSIS_export,
    .examples =
        "  hsae export --model runs/first/model.safetensors exported --meta model_name=gemma-2-2b hook_name=blocks.13.hook_resid_post\n"
        "  hsae export --model m.safetensors --format gemma-scope exported\n"
        "  hsae export --model m.safetensors --format hsae --dtype bf16 half.safetensors\n\n"
        "OUT gets one folder for each level (level-0 is the coarsest), tree.safetensors and tree.json. The normalisation of the\n"
        "input is folded into the weights, so what is exported takes raw activations; decoder rows keep unit norm. In Python:\n"
        "SAE.load_from_disk(\"exported/level-0\"). A value of --meta that is JSON (128, true, null) keeps its type.\n",
    .run = run,
};
