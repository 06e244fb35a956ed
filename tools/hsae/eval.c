/* SPDX-License-Identifier: MIT */
/* hsae eval: the figures of a model on a data set. */
#include "cli.h"
#include "run_folder.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* A figure and a comma; an empty cell where it does not exist. */
static void put_figure(FILE *file, double value)
{
    if (isfinite(value))
        fprintf(file, "%.9g", value);
    fputc(',', file);
}

/* One line a feature; children are separated by spaces. */
static int write_features(const hsae_explorer *explorer, const hsae_config *config, const char *path)
{
    struct run_output output;
    FILE *file = run_output_open(&output, path);
    if (!file)
        return CLI_FAILED;
    fputs("level,index,parent,density,mean,max,p_parent_given_child,p_child_given_parent,children,decoder_cosine,phi,duplicate\n", file);
    for (uint32_t l = 0; l < config->level_count; l++)
        for (uint32_t i = 0; i < config->levels[l]; i++) {
            hsae_feature_report report;
            hsae_explorer_feature(explorer, l, i, &report);
            fprintf(file, "%" PRIu32 ",%" PRIu32 ",", l, i);
            put_figure(file, report.parent >= 0 ? (double)report.parent : (double)NAN);
            put_figure(file, report.density);
            put_figure(file, report.mean);
            put_figure(file, report.max);
            put_figure(file, report.p_parent_given_child);
            put_figure(file, report.p_child_given_parent);
            for (uint32_t k = 0; k < report.child_count; k++)
                fprintf(file, "%s%" PRIu32, k ? " " : "", report.children[k]);
            fputc(',', file);
            put_figure(file, report.decoder_cosine);
            put_figure(file, report.phi);
            fprintf(file, "%d\n", report.duplicate);
        }
    return run_output_commit(&output);
}

/* cli_evaluate that also counts feature by feature. */
static hsae_status evaluate_features(hsae_device *device, const hsae_model *model, const hsae_dataset *dataset, const struct cli_rows *rows,
                                     hsae_explorer **explorer)
{
    hsae_session *session = NULL;
    hsae_status status = hsae_session_create(device, model, 0, &session);
    if (status == HSAE_OK)
        status = cli_leave_out(session, dataset, rows);
    if (status == HSAE_OK)
        status = hsae_explore(session, dataset, NULL, cli_progress, "evaluating", explorer);
    cli_clear_status_line();
    if (status == HSAE_OK)
        cli_note_left_out(&hsae_explorer_evaluation(*explorer)->left_out, hsae_session_norm_limit(session), dataset);
    hsae_session_destroy(&session);
    return status;
}

/* `explorer` NULL: the figures of the model only. */
static hsae_status evaluate(hsae_context *context, const char *model_path, const char *device_id, const struct cli_paths *data,
                            const struct cli_input *input, const struct cli_rows *rows, hsae_model **model, hsae_evaluation *evaluation,
                            hsae_explorer **explorer)
{
    hsae_device *device = NULL;
    hsae_dataset *dataset = NULL;
    hsae_status status = cli_load_model(context, model_path, model);
    if (status == HSAE_OK)
        status = cli_open_data(context, data, input, &dataset);
    if (status == HSAE_OK)
        status = cli_open_device(context, device_id, &device);
    if (status == HSAE_OK)
        status =
            explorer ? evaluate_features(device, *model, dataset, rows, explorer) : cli_evaluate(device, *model, dataset, rows, evaluation);
    if (status == HSAE_OK && explorer)
        *evaluation = *hsae_explorer_evaluation(*explorer);
    hsae_dataset_close(&dataset);
    hsae_device_close(&device);
    return status;
}

/* Of a tree in which one feature has too many children. */
static void warn_of_families(const hsae_model *model)
{
    char text[256];
    for (uint32_t l = 1; l < hsae_model_config(model)->level_count; l++)
        if (hsae_large_family(hsae_model_config(model), l, hsae_model_level(model, l).parent, text, sizeof text))
            cli_warning("%s", text);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *model_path = NULL, *device_id = NULL, *per_feature = NULL;
    struct cli_input input = {0};
    struct cli_paths data = {0};
    struct cli_rows rows = CLI_ROWS_DEFAULT;
    bool json = false;
    const struct cli_option options[] = {OPTIONS_eval(CLI_OPTION){0}};
    hsae_context *context = NULL;
    hsae_model *model = NULL;
    hsae_explorer *explorer = NULL;
    hsae_evaluation evaluation;
    int exit_status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (exit_status == CLI_CONTINUE)
        exit_status = cli_need(command, options, "model data");
    if (exit_status != CLI_CONTINUE)
        goto end;
    exit_status = CLI_FAILED;
    context = cli_context();
    if (!context)
        goto end;
    exit_status = cli_exit_status(
        evaluate(context, model_path, device_id, &data, &input, &rows, &model, &evaluation, per_feature ? &explorer : NULL));
    if (exit_status == CLI_DONE && per_feature)
        exit_status = write_features(explorer, hsae_model_config(model), per_feature);
    if (exit_status == CLI_DONE && json)
        exit_status = cli_print_json(cli_evaluation_json(&evaluation, hsae_model_config(model)));
    else if (exit_status == CLI_DONE)
        cli_print_evaluation(&evaluation, hsae_model_config(model));
    if (exit_status == CLI_DONE)
        warn_of_families(model);
end:
    hsae_explorer_free(&explorer);
    hsae_model_free(&model);
    hsae_context_destroy(&context);
    free(data.items);
    return exit_status;
}

const struct cli_command cli_eval = {
    .name = "eval",
    .summary = SUMMARY_eval,
    .synopsis = SYNOPSIS_eval,
    .examples = "  hsae eval --model runs/first/model.safetensors --data held-out/\n"
                "  hsae eval --model runs/first/checkpoint-5000.safetensors --data a.npy b.npy --device ref\n"
                "  hsae eval --model m.safetensors --data held-out/ --json | jq .mean.variance_explained\n",
    .run = run,
};
