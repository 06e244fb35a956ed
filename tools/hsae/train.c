/* SPDX-License-Identifier: MIT */
/* hsae train: a run from activations to a model, in a folder of its own. */
#include "train.h"
#include "run_command.h"
#include "run_figures.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps after which a divergence has nothing to do with the checkpoint that the run was resumed from. */
enum { SOON = 20 };

static uint64_t or_default(uint64_t value, uint64_t automatic)
{
    return value != UINT64_MAX ? value : automatic ? automatic : 1;
}

hsae_status train_apply_options(void *user, hsae_config *config)
{
    const struct train *train = user;
    hsae_status status = train->config_json ? hsae_config_parse(train->context, config, train->config_json, train->config_path) : HSAE_OK;
    for (size_t i = 0; i < train->keys.count && status == HSAE_OK; i++)
        status = hsae_config_set(train->context, config, train->keys.items[i].name, train->keys.items[i].text);
    if (status == HSAE_OK && train->epochs > 0 && train->data)
        config->steps = (uint64_t)fmax(1, round(train->epochs * (double)hsae_dataset_rows(train->data) / config->batch));
    return status;
}

/* Whether the options or the configuration file say which levels there are. */
static bool gives_levels(const struct train *train)
{
    json_t *file = train->config_json ? json_loads(train->config_json, 0, NULL) : NULL;
    bool given = json_object_get(file, "levels") != NULL;
    json_decref(file);
    for (size_t i = 0; i < train->keys.count; i++)
        given |= strcmp(train->keys.items[i].name, "levels") == 0;
    return given;
}

uint32_t train_dim(const struct train *train)
{
    return train->stream.source ? train->stream.params.dim : hsae_dataset_dim(train->data);
}

/* Those of a source are not known: as many as the run takes. */
static uint64_t train_rows(const struct train *train, const hsae_config *config)
{
    return train->stream.source ? config->steps * config->batch : hsae_dataset_rows(train->data);
}

hsae_status train_new_config(struct train *train, hsae_config *config)
{
    const uint32_t dim = train_dim(train);
    char levels[128] = "";
    hsae_config_defaults(config);
    hsae_status status = train_apply_options(train, config);
    if (status != HSAE_OK || gives_levels(train))
        return status;
    const uint64_t rows = train_rows(train, config);
    hsae_levels_choose(train->device, config, dim, rows);
    for (size_t l = 0, end = 0; l < config->level_count; l++)
        end += (size_t)snprintf(levels + end, sizeof levels - end, "%s%" PRIu32, l ? "," : "", config->levels[l]);
    if (train->device) /* else they are not final yet */
        cli_note("--levels %s, chosen for %" PRIu64 " vectors of %" PRIu32 " values on %s", levels, rows, dim,
                 hsae_device_get_info(train->device)->id);
    return HSAE_OK;
}

static bool save_checkpoint(struct train *train)
{
    char path[RUN_PATH];
    uint64_t step = hsae_trainer_step_count(train->trainer);
    if (train->saved_step == step)
        return true;
    /* A checkpoint is not to outlive the lines before it. */
    if (hsae_os_sync(fileno(train->metrics)) && errno != EINVAL) {
        run_path(path, train->folder, "metrics.jsonl");
        cli_file_error("write", path);
        train->failed = true;
        return false;
    }
    run_checkpoint_path(path, train->folder, step);
    uint64_t before = train->saved_step != UINT64_MAX ? train->saved_step : train->first_step;
    if (hsae_trainer_save_checkpoint(train->trainer, path) != HSAE_OK || run_prune(train->folder, before, step, train->keep) != CLI_DONE) {
        train->failed = true;
        return false;
    }
    train->saved_step = step;
    return true;
}

static bool due(uint64_t every, uint64_t step)
{
    return every && step % every == 0;
}

/* Between two steps: the evaluation first, as a checkpoint is not to outlive the lines before it. */
static bool on_pause(void *user, hsae_trainer *trainer)
{
    struct train *train = user;
    uint64_t step = hsae_trainer_step_count(trainer);
    if (due(train->eval_every, step) && !train_evaluate(train))
        return false;
    return !due(train->save_every, step) || save_checkpoint(train);
}

/* The largest number of steps after which both are due; 0 stands for never. */
static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    return b ? common_divisor(b, a % b) : a;
}

/* The trainer, fresh or from a checkpoint, as train->start says. */
static hsae_status make_trainer(struct train *train)
{
    const struct run_start *start = &train->start;
    hsae_memory_plan *plan = NULL;
    hsae_config config;
    hsae_status status;
    uint32_t dim = train_dim(train);
    if (*start->checkpoint)
        return hsae_trainer_resume(train->device, start->checkpoint, train_apply_options, train, &train->trainer);
    if (start->own_config) {
        status = run_start_config(train->context, train->folder, dim, &config);
        if (status == HSAE_OK)
            status = hsae_config_override(train->context, &config, dim, train_apply_options, train, &config);
    } else {
        status = train_new_config(train, &config);
    }
    if (status == HSAE_OK && train->stream.source)
        return hsae_trainer_create_from_source(train->device, &config, train->stream.source, &train->trainer);
    if (status == HSAE_OK)
        status = hsae_trainer_create_planned(train->device, &config, train->data, &plan, &train->trainer);
    if (plan && (status == HSAE_ERROR_DEVICE_MEMORY || status == HSAE_ERROR_LIMIT))
        train_say_what_fits(train, plan);
    hsae_memory_plan_free(&plan);
    return status;
}

/* Everything the folder needs before the first step. */
static int prepare_folder(struct train *train)
{
    const struct run_start *start = &train->start;
    char path[RUN_PATH];
    int status = start->replace ? run_remove(train->folder) : run_cut_metrics(train->folder, train->first_step);
    if (status == CLI_DONE)
        status = run_metrics_read(train->folder, run_newest_add_line, &train->newest);
    char *config = status == CLI_DONE ? hsae_config_json(hsae_trainer_config(train->trainer)) : NULL;
    if (!config)
        return status == CLI_DONE ? cli_out_of_memory() : status;
    run_path(path, train->folder, "config.json");
    status = run_write_text(path, config);
    hsae_free(config);
    char *from = *start->checkpoint && start->outside ? hsae_os_resolve(start->checkpoint) : NULL;
    train->explore = train->data ? run_explore_text(&train->data_paths, &train->input, train->folder) : NULL;
    const struct run_session session = {
        .argc = train->argc,
        .argv = train->argv,
        .device = hsae_device_get_info(train->device),
        .data = train->data_json,
        .differences = train->differences,
        .earlier = *start->earlier ? start->earlier : NULL,
        .from = from,
        .explore = train->explore,
        .first_step = train->first_step,
    };
    if (status == CLI_DONE)
        status = run_record_begin(train->folder, &session);
    free(from);
    if (status != CLI_DONE)
        return status;
    run_path(path, train->folder, "metrics.jsonl");
    train->metrics = hsae_os_fopen(path, "a");
    return train->metrics ? CLI_DONE : cli_file_error("write", path);
}

static hsae_status run_steps(struct train *train)
{
    uint64_t steps = hsae_trainer_config(train->trainer)->steps;
    train->until = train->stop_after < steps ? train->stop_after : steps;
    train->save_every = or_default(train->checkpoint_every, steps / 10);
    const hsae_run_params params = {
        .until = train->until,
        .metrics_every = or_default(train->log_every, steps / 100),
        .checkpoint_every = common_divisor(train->save_every, train->eval_every),
        .progress = train_on_progress,
        .metrics = train_on_metrics,
        .checkpoint = on_pause,
        .user = train,
    };
    train->began = hsae_os_seconds();
    train->next_report = train->began + TRAIN_REPORT_SECONDS;
    if (cli_signal())
        return HSAE_CANCELLED;
    if (train->first_step >= train->until)
        return HSAE_OK;
    if (run_remove_file(train->folder, "evaluation.json") != CLI_DONE) { /* of the model as it was */
        train->failed = true;
        return HSAE_ERROR_FILE;
    }
    hsae_trainer_check(train->trainer, cli_checks_devices(train->context));
    hsae_status status = train->stream.source ? hsae_trainer_run_source(train->trainer, train->stream.source, &params)
                                              : hsae_trainer_run(train->trainer, train->data, &params);
    cli_clear_status_line();
    if (status == HSAE_ERROR_DRIVER && cli_checks_devices(train->context))
        cli_say_unchecked();
    return status;
}

/* Says what is wrong, from number `first` of the warnings on. */
static void say_warnings(const struct train *train, size_t first)
{
    for (size_t k = first; k < json_array_size(train->warnings); k++)
        cli_warning("%s", json_string_value(json_array_get(train->warnings, k)));
}

static json_t *result_json(const struct train *train, const char *checkpoint, const char *model, json_t *evaluation)
{
    return json_pack("{s:o, s:I, s:o, s:o, s:I, s:o, s:O}", "out", text_json(train->folder), "step", (json_int_t)train->saved_step,
                     "checkpoint", text_json(checkpoint), "model", text_json(model), "left_out", (json_int_t)train->left_out, "evaluation",
                     evaluation ? evaluation : json_null(), "warnings", train->warnings);
}

/* Writes the model, evaluates it and says what came out. */
static int finish(struct train *train)
{
    char checkpoint[RUN_PATH], path[RUN_PATH];
    hsae_model *model = NULL;
    json_t *evaluation_json = NULL;
    hsae_evaluation evaluation;
    const hsae_config config = *hsae_trainer_config(train->trainer);
    const uint32_t dim = hsae_trainer_dim(train->trainer);
    run_checkpoint_path(checkpoint, train->folder, train->saved_step);
    run_path(path, train->folder, "model.safetensors");
    const size_t before = json_array_size(train->warnings);
    hsae_status status = hsae_trainer_save_model(train->trainer, path);
    run_warnings_of_tree(train->warnings, train->trainer);
    if (status == HSAE_OK && train->held_out) {
        hsae_trainer_destroy(&train->trainer); /* its memory first */
        status = hsae_model_load(train->context, path, &model);
        if (status == HSAE_OK)
            status = cli_evaluate(train->device, model, train->held_out, NULL, &evaluation);
        if (status == HSAE_OK) {
            evaluation_json = cli_evaluation_json(&evaluation, hsae_model_config(model));
            train->failed = run_write_json(train->folder, "evaluation.json", json_incref(evaluation_json)) != CLI_DONE;
        }
        if (status == HSAE_OK && cli_says_results(train->json))
            cli_print_evaluation(&evaluation, hsae_model_config(model));
    }
    hsae_model_free(&model);
    if (status == HSAE_OK && !train->failed) {
        run_warnings_after(train->warnings, train->context, &train->newest, &config, dim, train->complete,
                           train->held_out ? &evaluation : NULL);
        say_warnings(train, before);
    }
    if (status == HSAE_OK && !train->failed && train->json)
        return cli_print_json(result_json(train, checkpoint, path, evaluation_json));
    json_decref(evaluation_json);
    if (status != HSAE_OK || train->failed)
        return status != HSAE_OK ? cli_exit_status(status) : CLI_FAILED;
    if (cli_says_results(train->json))
        printf("%sModel: %s\n", train->held_out ? "\n" : "", path);
    return CLI_DONE;
}

static void print_go_on(const struct train *train, uint64_t step)
{
    run_print_command(
        &(struct run_command){.context = train->context, .argc = train->argc, .argv = train->argv, .folder = train->folder, .step = step});
}

static bool may_change_on_resume(const char *key)
{
    return strcmp(key, "lr") == 0 || strcmp(key, "rho") == 0;
}

/* What to do about training that diverged. `newest`: step of the newest checkpoint in the folder, UINT64_MAX: there is none. */
static void say_how_to_mend(const struct train *train, const hsae_divergence *divergence, uint64_t newest)
{
    if (newest != UINT64_MAX)
        cli_error("the run ended; nothing was saved after the checkpoint of step %" PRIu64 ", which is finite", newest);
    else
        cli_error("the run ended before its first checkpoint; nothing was saved");
    if (!divergence->key) {
        cli_error("start again without that row");
        return;
    }
    double value = run_better_value(train->context, hsae_trainer_config(train->trainer), hsae_trainer_dim(train->trainer), divergence);
    bool go_on = newest != UINT64_MAX && may_change_on_resume(divergence->key);
    if (go_on && train->first_step && divergence->step < train->first_step + SOON)
        cli_error("it diverged within %" PRIu64 " steps of where it was resumed: if it does so again, the checkpoint is spoilt already; "
                  "then resume an older one, or start again with --force",
                  divergence->step - train->first_step);
    cli_error("%s with another %s:",
              go_on                  ? "go on from there"
              : newest != UINT64_MAX ? "start again, which removes the checkpoints,"
                                     : "start again",
              divergence->key);
    run_print_command(&(struct run_command){.context = train->context,
                                            .argc = train->argc,
                                            .argv = train->argv,
                                            .folder = train->folder,
                                            .step = go_on ? newest : 0,
                                            .anew = !go_on,
                                            .key = divergence->key,
                                            .value = value});
}

/* What is left of a run that broke off after its first step, and how to continue it. */
static void say_how_to_go_on(struct train *train, hsae_status status)
{
    uint64_t *steps;
    size_t count;
    bool bad_row = hsae_trainer_met_bad_row(train->trainer);
    hsae_divergence divergence;
    if (train->check || run_checkpoints(train->folder, &steps, &count) != CLI_DONE)
        return;
    const char *first =
        status == HSAE_ERROR_DEVICE_LOST     ? "the device was lost; "
        : status == HSAE_ERROR_DRIVER        ? "choose another --device (hsae devices lists them); then "
        : status == HSAE_ERROR_DEVICE_MEMORY ? "close what else uses the device's memory or choose another --device; then "
        : status == HSAE_ERROR_MEMORY        ? "close other programs; then "
        : train->failed                      ? "once the files can be written "
        : status == HSAE_ERROR_FILE          ? "once the data can be read again "
        : bad_row                            ? "to leave out rows that are not finite (else repair the data, and drop --skip-bad-rows) "
        : train->stream.source && status == HSAE_ERROR_DATA
            ? train->lm.gguf ? "with a whole --text, "
                             : "where standard input gives these rows again and more after them (else start again with --cache DIR, or a "
                               "--buffer of twice as many rows), "
            : "";
    if (bad_row)
        train->argv[train->argc++] = "--skip-bad-rows";
    if (hsae_trainer_divergence(train->trainer, &divergence)) {
        say_how_to_mend(train, &divergence, count ? steps[count - 1] : UINT64_MAX);
    } else if (count && status == HSAE_ERROR_DRIVER) {
        cli_error("the run broke off; its checkpoint of step %" PRIu64 " is whole: --resume auto on another --device", steps[count - 1]);
    } else if (count) {
        cli_error("the run broke off; its checkpoint of step %" PRIu64 " is whole: %sgo on with", steps[count - 1], first);
        print_go_on(train, steps[count - 1]);
    } else if (bad_row) {
        cli_error("the run broke off before its first step: %sstart again with", first);
        print_go_on(train, 0);
    } else {
        cli_error("the run broke off before its first checkpoint: %sstart again (--checkpoint-every N saves more often)", first);
    }
    free(steps);
}

/* How many rows the rule left out so far. */
static void show_left_out(struct train *train)
{
    const hsae_left_out left_out = hsae_trainer_left_out(train->trainer);
    train->left_out = left_out.norm + left_out.bad;
    cli_note_left_out(&left_out, hsae_trainer_config(train->trainer)->norm_limit, train->data);
}

/* Trains, saves and evaluates. */
static int work(struct train *train)
{
    hsae_status status = run_steps(train);
    uint64_t step = hsae_trainer_step_count(train->trainer);
    /* Data that cannot be read leave the last whole step as it was. What a device broke is not worth keeping, and where a line of metrics
     * is missing an older checkpoint brings it back. */
    bool whole = status == HSAE_OK || status == HSAE_CANCELLED || ((status == HSAE_ERROR_DATA || status == HSAE_ERROR_FILE) && step > 0);
    show_left_out(train);
    if (whole && !train->failed && save_checkpoint(train) && status == HSAE_CANCELLED) {
        cli_note("checkpoint of step %" PRIu64 " in %s; %sgo on with", train->saved_step, train->folder,
                 train->stream.source && !train->lm.gguf ? "where standard input gives its rows again, from the first on, " : "");
        if (cli_verbose != CLI_QUIET)
            print_go_on(train, train->saved_step);
    }
    train->diverged = hsae_trainer_divergence(train->trainer, &(hsae_divergence){0});
    train->last_step = step;
    train->complete = !train->diverged && train->last_step == hsae_trainer_config(train->trainer)->steps;
    if (train->failed || (status != HSAE_OK && status != HSAE_CANCELLED))
        say_how_to_go_on(train, status);
    if (train->failed)
        return CLI_FAILED;
    return status == HSAE_OK ? finish(train) : cli_exit_status(status);
}

/* Writes down how the run ended, and the report, whatever came of it. */
static int conclude(struct train *train, int exit_status)
{
    const char *end = exit_status > 128 ? "interrupted"
                      : train->diverged ? "diverged"
                      : exit_status     ? "failed"
                      : train->complete ? "finished"
                                        : "stopped";
    int written = run_record_end(train->folder, end, train->last_step, hsae_os_seconds() - train->opened, train->warnings);
    if (written == CLI_DONE)
        written = run_report_write(train->context, train->folder, NULL);
    if (written == CLI_DONE && exit_status == CLI_DONE && cli_says_results(train->json))
        printf("Report: %s/report.html\n", train->folder);
    if (written == CLI_DONE && exit_status == CLI_DONE && cli_says_results(train->json) && train->explore)
        printf("Its features: %s\n", train->explore);
    return exit_status == CLI_DONE ? written : exit_status;
}

/* Whether this run may go into its folder. */
static int check_start(struct train *train)
{
    const struct run_start *start = &train->start;
    const struct run_data data = {train->lm.gguf ? &train->lm.text : &train->data_paths,
                                  &train->eval_paths,
                                  train->data,
                                  &train->stream,
                                  train->held_out,
                                  train->holdout};
    train->data_json = run_data_json(&data);
    if (!train->data_json)
        return CLI_FAILED;
    int status = run_start_compare(start, train->folder, train->first_step, train->data_json, train->other_data, &train->differences);
    if (status == CLI_DONE && start->again)
        status =
            run_start_check_again(train->context, train->folder, hsae_trainer_config(train->trainer), train_dim(train), train->data_json);
    if (status == CLI_DONE && *start->checkpoint && !start->outside)
        run_start_say_dropped(train->folder, train->first_step);
    return status;
}

/* One run into train->folder. */
static int run_once(struct train *train)
{
    struct run_start *start = &train->start;
    train->opened = hsae_os_seconds();
    int exit_status = run_lock(train->folder, &train->lock);
    if (exit_status == CLI_DONE)
        exit_status = run_start_choose(train->context, train->folder, train->resume, train->force, start);
    if (exit_status == CLI_DONE)
        exit_status = cli_exit_status(make_trainer(train));
    if (exit_status != CLI_DONE)
        return exit_status;
    train->first_step = hsae_trainer_step_count(train->trainer);
    train->saved_step = UINT64_MAX;
    train->figures = (hsae_step_metrics){0};
    memset(train->marks, 0, sizeof train->marks);
    train->newest.count = 0;
    if (train->stop_after < train->first_step) {
        cli_usage("train", "--stop-after %" PRIu64 ": %s is at step %" PRIu64 " already", train->stop_after, start->checkpoint,
                  train->first_step);
        return CLI_USAGE;
    }
    exit_status = check_start(train);
    if (exit_status == CLI_DONE)
        exit_status = prepare_folder(train);
    if (exit_status == CLI_DONE && !(train->warnings = json_array()))
        exit_status = cli_out_of_memory();
    if (exit_status != CLI_DONE)
        return exit_status;
    run_warnings_before(train->warnings, hsae_trainer_config(train->trainer), train_rows(train, hsae_trainer_config(train->trainer)));
    say_warnings(train, 0);
    cli_must_save(true);
    exit_status = conclude(train, work(train));
    cli_must_save(false);
    return exit_status;
}

static int close_run(struct train *train, int exit_status)
{
    char path[RUN_PATH];
    hsae_trainer_destroy(&train->trainer);
    json_decref(train->warnings);
    train->warnings = NULL;
    free(train->explore);
    train->explore = NULL;
    json_decref(train->data_json);
    json_decref(train->differences);
    train->data_json = train->differences = NULL;
    if (train->metrics && fclose(train->metrics) && exit_status == CLI_DONE) {
        run_path(path, train->folder, "metrics.jsonl");
        exit_status = cli_file_error("write", path);
    }
    train->metrics = NULL;
    run_unlock(train->folder, &train->lock);
    return exit_status;
}

/* The same run twice, into two folders, and their files compared. */
static int run_twice(struct train *train)
{
    char folders[2][RUN_PATH], paths[2][RUN_PATH];
    int status = CLI_DONE;
    for (int i = 0; i < 2 && status == CLI_DONE; i++) {
        run_path(folders[i], train->out, i ? "second" : "first");
        train->folder = folders[i];
        status = close_run(train, run_once(train));
    }
    for (int i = 0; i < 2 && status == CLI_DONE; i++) {
        for (int k = 0; k < 2; k++)
            if (i == 0)
                run_path(paths[k], folders[k], "model.safetensors");
            else
                run_checkpoint_path(paths[k], folders[k], train->saved_step);
        status = run_compare(paths[0], paths[1]);
    }
    if (status == CLI_DONE && cli_says_results(train->json))
        printf("Deterministic: %s and %s hold the same bytes\n", folders[0], folders[1]);
    return status;
}

/* Whether rows are made while it runs. */
static bool is_stream(const struct train *train)
{
    for (size_t i = 0; i < train->data_paths.count; i++)
        if (strcmp(train->data_paths.items[i], "-") == 0)
            return true;
    return train->lm.gguf;
}

/* The last share of the rows becomes train->held_out. */
static hsae_status hold_out(struct train *train)
{
    hsae_dataset *all = train->data;
    uint64_t rows = hsae_dataset_rows(all), kept = rows - (uint64_t)floor(train->holdout * (double)rows);
    if (kept == rows || kept == 0) {
        cli_error("--holdout %g of %" PRIu64 " vectors leaves nothing to %s", train->holdout, rows, kept ? "evaluate on" : "train on");
        return HSAE_ERROR_DATA;
    }
    train->data = NULL;
    hsae_status status = hsae_dataset_slice(all, 0, kept, &train->data);
    if (status == HSAE_OK)
        status = hsae_dataset_slice(all, kept, rows - kept, &train->held_out);
    hsae_dataset_close(&all);
    return status;
}

static hsae_status open_stream(struct train *train)
{
    hsae_status status =
        train->lm.gguf ? lm_stream_open(&train->lm, train->input.dtype, &train->stream) : train_input_open(&train->input, &train->stream);
    if (status == HSAE_OK)
        status = train_stream_open(train->context, &train->stream);
    if (status == HSAE_OK)
        train_stream_note(&train->stream);
    return status;
}

/* Data, held-out share, and what can be known to be wrong before a device is opened. */
static hsae_status open_inputs(struct train *train)
{
    struct cli_input files = train->input;
    hsae_status status = is_stream(train) ? open_stream(train) : cli_open_data(train->context, &train->data_paths, &files, &train->data);
    if (is_stream(train)) /* --dtype is of the rows that are made */
        files.dtype = NULL;
    if (status == HSAE_OK && train->eval_paths.count)
        status = cli_open_data(train->context, &train->eval_paths, &files, &train->held_out);
    if (status == HSAE_OK && train->holdout > 0)
        status = hold_out(train);
    if (status != HSAE_OK)
        return status;
    if (train->data)
        cli_note_data(train->data);
    uint32_t dim = train_dim(train);
    if (train->held_out && hsae_dataset_dim(train->held_out) != dim) {
        cli_error("%s: vectors of %u values; those of --data have %u", train->eval_paths.items[0], hsae_dataset_dim(train->held_out), dim);
        return HSAE_ERROR_DATA;
    }
    if (train->resume)
        return HSAE_OK;
    hsae_config config;
    status = train_new_config(train, &config);
    if (status == HSAE_OK && !config.steps && train->data) {
        cli_usage("train", "--steps N is missing, or --epochs X: at --batch %u an epoch of these %" PRIu64 " vectors has %.4g steps",
                  config.batch, hsae_dataset_rows(train->data), (double)hsae_dataset_rows(train->data) / config.batch);
        return HSAE_ERROR_CONFIG;
    }
    if (status == HSAE_OK && !config.steps) {
        cli_usage("train", "--steps N is missing; a step takes %u rows", config.batch);
        return HSAE_ERROR_CONFIG;
    }
    return status == HSAE_OK ? hsae_config_resolve(train->context, &config, dim) : status;
}

/* What cannot be done with rows that are made while it runs; NULL: nothing of that is wanted. */
static const char *against_stream(const struct train *train)
{
    return train->lm.gguf && train->data_paths.count          ? "--data and --gguf exclude each other"
           : train->lm.gguf && train->input.dim               ? "--dim is of --data; the model's width is known"
           : train->lm.gguf && lm_options_problem(&train->lm) ? lm_options_problem(&train->lm)
           : train->data_paths.count > 1                      ? "--data - stands alone: no other path goes with it"
           : train->holdout > 0                               ? "--holdout needs data whose rows are known: give --eval-data PATH"
           : train->epochs > 0                                ? "--epochs needs data whose rows are known: give --steps N"
           : train->check                                     ? "--deterministic-check reads the rows twice: give files"
           : train->dry_run                                   ? "--dry-run needs data in files"
           : train->stream.buffer == 1                        ? "--buffer takes 2 or more"
                                                              : NULL;
}

/* Process 0's devices: those that --device names, or its own, with those of the other processes. */
static hsae_status open_devices(struct train *train)
{
    const hsae_network *network = &train->processes.network;
    char *own = processes_device(&train->processes, train->device_id);
    hsae_status status = cli_open_devices(train->context, own, &train->device, &train->others);
    free(own);
    if (status == HSAE_OK && network->ranks) {
        cli_note("%u processes train together, each on a device of its own", (unsigned)network->ranks);
        status = hsae_device_join_network(train->device, network);
    }
    return status;
}

/* Another process: the device that is its own serves process 0. */
static int serve(struct train *train)
{
    char *own = processes_device(&train->processes, train->device_id);
    train->context = cli_context();
    hsae_status status = train->context ? cli_open_devices(train->context, own, &train->device, &train->others) : HSAE_ERROR_MEMORY;
    free(own);
    if (train->context)
        hsae_network_serve(train->context, status == HSAE_OK ? train->device : NULL, &train->processes.network);
    return CLI_DONE; /* process 0 says how it ended */
}

static int train(struct train *train, const struct cli_command *command)
{
    if (train->processes.network.ranks && (train->dry_run || train->check))
        return cli_usage(command->name, "--%s is of one process", train->dry_run ? "dry-run" : "deterministic-check");
    if (train->dry_run && train->device_id && strchr(train->device_id, ','))
        return cli_usage(command->name, "--dry-run plans for one device");
    if (train->dry_run && train->resume)
        return cli_usage(command->name, "--dry-run plans a new run: without --resume");
    if (train->eval_paths.count && train->holdout > 0)
        return cli_usage(command->name, "--eval-data and --holdout exclude each other");
    if (train->other_data && !train->resume)
        return cli_usage(command->name, "--other-data goes with --resume");
    for (size_t i = 0; train->epochs > 0 && i < train->keys.count; i++)
        if (strcmp(train->keys.items[i].name, "steps") == 0)
            return cli_usage(command->name, "--epochs takes the place of --steps: give one of them");
    if (is_stream(train) && against_stream(train))
        return cli_usage(command->name, "%s", against_stream(train));
    if (!is_stream(train) && (train->stream.cache || train->stream.buffer))
        return cli_usage(command->name, "--%s goes with --data - or --gguf", train->stream.cache ? "cache" : "buffer");
    if (!train->lm.gguf && (train->lm.text.count || train->lm.layer != UINT64_MAX || train->lm.activation))
        return cli_usage(command->name, "--%s goes with --gguf FILE",
                         train->lm.text.count   ? "text"
                         : train->lm.activation ? "activation"
                                                : "layer");
    if (train->keep == 0)
        return cli_usage(command->name, "--keep takes 1 or more");
    if (train->eval_every && !train->eval_paths.count && train->holdout == 0)
        return cli_usage(command->name, "--eval-every needs vectors to evaluate on: --holdout SHARE or --eval-data PATH");
    train->context = cli_context();
    if (!train->context)
        return CLI_FAILED;
    hsae_status status = train->config_path ? hsae_config_read(train->context, train->config_path, &train->config_json) : HSAE_OK;
    if (status == HSAE_OK)
        status = open_inputs(train);
    if (status == HSAE_OK)
        status = open_devices(train);
    if (status != HSAE_OK)
        return cli_exit_status(status);
    if (train->dry_run)
        return train_show_plan(train);
    if (train->check)
        return run_twice(train);
    train->folder = train->out;
    return close_run(train, run_once(train));
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct train all = {.stop_after = UINT64_MAX,
                        .keep = 2,
                        .log_every = UINT64_MAX,
                        .checkpoint_every = UINT64_MAX,
                        .argc = argc,
                        .lm = LM_OPTIONS_DEFAULT};
    all.argv = malloc((size_t)(argc + 1) * sizeof *all.argv);
    if (!all.argv)
        return cli_out_of_memory();
    memcpy(all.argv, argv, (size_t)argc * sizeof *argv);
    const struct cli_option options[] = {OPTIONS_train(CLI_OPTION){0}};
    if (!processes_open(&all.processes))
        return CLI_FAILED;
    if (all.processes.network.rank)
        cli_serve(all.processes.network.rank);
    int exit_status = cli_parse(command, argc, argv, options, &all.keys, NULL);
    if (exit_status == CLI_CONTINUE)
        exit_status = cli_need(command, options, all.lm.gguf ? "out" : all.dry_run ? "data" : "data out");
    if (all.processes.network.rank)
        exit_status = serve(&all);
    else if (exit_status == CLI_CONTINUE)
        exit_status = train(&all, command);
    processes_close(&all.processes);
    train_stream_close(&all.stream);
    hsae_dataset_close(&all.data);
    hsae_dataset_close(&all.held_out);
    hsae_device_close(&all.device);
    cli_close_devices(&all.others);
    hsae_free(all.config_json);
    hsae_context_destroy(&all.context);
    free(all.data_paths.items);
    free(all.eval_paths.items);
    free(all.lm.text.items);
    free(all.argv);
    return exit_status;
}

const struct cli_command cli_train = {
    .name = "train",
    .summary = SUMMARY_train,
    .synopsis = SYNOPSIS_train,
    .examples =
        "  hsae train --data activations/ --out runs/first --levels 2048,4096,8192 --steps 20000 --holdout 0.05\n"
        "  hsae train --data activations/ --out runs/first --resume auto\n"
        "  mpirun -n 4 hsae train --data activations/ --out runs/fourth --steps 20000 --shards 8\n"
        "  make-rows | hsae train --data - --dim 2304 --dtype f16 --out runs/third --steps 20000\n"
        "  hsae train --data a.npy b.npy --out runs/second --config runs/first/config.json --seed 7 --device opencl:0\n\n"
        "Ctrl-C once: finish the step, write a checkpoint, exit; twice: stop now. TERM, HUP, USR1, USR2 and XCPU do what Ctrl-C\n"
        "does once, so that a batch system may send one before its time limit. With --resume the configuration comes from the\n"
        "checkpoint; steps, lr, target-l0, rho, perturb and skip-bad-rows may be changed. The data, --holdout and --eval-data\n"
        "are to be as before. Standard input is to give the same rows, from the first on: those before the checkpoint are dropped.\n",
    .brief = (const char *const[]){BRIEF_train, NULL},
    .run = run,
};
