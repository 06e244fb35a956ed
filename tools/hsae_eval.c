/* hsae eval: the figures of a model on a data set. */
#include "cli.h"

#include <stdlib.h>

static hsae_status evaluate(hsae_context *context, const char *model_path, const char *device_id, const struct cli_paths *data,
                            const struct cli_input *input, hsae_model **model, hsae_evaluation *evaluation)
{
    hsae_device *device = NULL;
    hsae_dataset *dataset = NULL;
    hsae_status status = hsae_model_load(context, model_path, model);
    if (status == HSAE_OK)
        status = cli_open_data(context, data, input, &dataset);
    if (status == HSAE_OK)
        status = cli_open_device(context, device_id, &device);
    if (status == HSAE_OK)
        status = cli_evaluate(device, *model, dataset, evaluation);
    hsae_dataset_close(&dataset);
    hsae_device_close(&device);
    return status;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *model_path = NULL, *device_id = NULL;
    struct cli_input input = {0};
    struct cli_paths data = {0};
    bool json = false;
    const struct cli_option options[] = {
        {"model", CLI_TEXT, &model_path, "FILE", "model.safetensors or a checkpoint"},
        {"data", CLI_PATHS, &data, "PATH...", "activations: files or folders"},
        CLI_INPUT_OPTIONS(input),
        {"device", CLI_TEXT, &device_id, "ID", "what computes (hsae devices); default: $HSAE_DEVICE or the best"},
        {"json", CLI_FLAG, &json, NULL, "one JSON object on standard output"},
        {0},
    };
    hsae_context *context = NULL;
    hsae_model *model = NULL;
    hsae_evaluation evaluation;
    int exit_status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (exit_status != CLI_CONTINUE)
        goto end;
    if (!model_path || !data.count) {
        exit_status = cli_usage(command->name, "--model and --data are needed");
        goto end;
    }
    exit_status = CLI_FAILED;
    context = cli_context();
    if (!context)
        goto end;
    exit_status = cli_exit_status(evaluate(context, model_path, device_id, &data, &input, &model, &evaluation));
    if (exit_status == CLI_DONE && json)
        exit_status = cli_print_json(cli_evaluation_json(&evaluation, hsae_model_config(model)));
    else if (exit_status == CLI_DONE)
        cli_print_evaluation(&evaluation, hsae_model_config(model));
end:
    hsae_model_free(&model);
    hsae_context_destroy(&context);
    free(data.items);
    return exit_status;
}

const struct cli_command cli_eval = {
    .name = "eval",
    .summary = "Evaluates a model: L0, variance explained, dead features, figures of the hierarchy.",
    .synopsis = "--model FILE --data PATH... [--device ID] [--json]",
    .examples = "  hsae eval --model runs/first/model.safetensors --data held-out/\n"
                "  hsae eval --model runs/first/checkpoint-5000.safetensors --data a.npy b.npy --device ref\n"
                "  hsae eval --model m.safetensors --data held-out/ --json | jq .mean.variance_explained\n",
    .run = run,
};
