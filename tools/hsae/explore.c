/* SPDX-License-Identifier: MIT */
/* hsae explore: what the features of a model respond to, as a page, a figure, or files for other tools. */
#include "explore/explore.h"
#include "run_folder.h"
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES = 3, MIN_WIDTH = 180, MAX_WIDTH = 72 * 200 /* points, of a figure */ };

struct request {
    const char *model_path, *device_id, *out, *figure, *neuronpedia, *title;
    struct cli_input input;
    struct cli_rows rows;
    struct cli_paths data, tokens, labels, unembedding;
    const char *vocab;
    uint64_t contexts, context_length, pairs;
    const char *width;
    uint64_t depth, children, examples;
    struct explore_figure shape;
    bool json;
};

/* cli_find_tokens, which must be there. */
static int find_tokens(const struct cli_command *command, const struct cli_paths *data, struct cli_paths *tokens)
{
    if (!cli_find_tokens(data, tokens))
        return cli_out_of_memory();
    for (size_t i = 0; i < tokens->count; i++)
        if (hsae_os_kind(tokens->items[i]) == HSAE_OS_NONE)
            return cli_usage(command->name,
                             "--tokens FILE... is missing, and there is no %s: the text of the activations, which collect_activations.py "
                             "writes beside them, one line a sequence: {\"tokens\": [\"The\", \" cat\"]}",
                             tokens->items[i]);
    return CLI_CONTINUE;
}

static hsae_status explore(const struct request *request, const struct cli_paths *tokens, hsae_context *context, hsae_device *device,
                           const hsae_model *model, hsae_explorer **explorer)
{
    hsae_dataset *dataset = NULL;
    hsae_session *session = NULL;
    hsae_explore_params params = {.token_paths = tokens->items,
                                  .token_path_count = tokens->count,
                                  .contexts = (uint32_t)request->contexts,
                                  .context_length = (uint32_t)request->context_length};
    hsae_status status = cli_open_data(context, &request->data, &request->input, &dataset);
    if (status == HSAE_OK)
        status = hsae_session_create(device, model, 0, &session);
    if (status == HSAE_OK)
        status = cli_leave_out(session, dataset, &request->rows);
    if (status == HSAE_OK)
        status = hsae_explore(session, dataset, &params, cli_progress, "exploring", explorer);
    cli_clear_status_line();
    if (status == HSAE_OK)
        cli_note_left_out(&hsae_explorer_evaluation(*explorer)->left_out, hsae_session_norm_limit(session), dataset);
    hsae_session_destroy(&session);
    hsae_dataset_close(&dataset);
    return status;
}

/* Adds what one file says of the model's features. */
static int read_label_file(const char *path, struct labels *labels)
{
    struct labels_error error;
    size_t size = 0, capacity = 1 << 16;
    char *bytes = malloc(capacity);
    FILE *file = hsae_os_fopen(path, "rb");
    if (!file || !bytes) {
        int status = file ? cli_out_of_memory() : cli_file_error("read", path);
        if (file)
            fclose(file);
        free(bytes);
        return status;
    }
    for (size_t got = 1; got && size < LABELS_FILE_BYTES; size += got) {
        char *larger = size == capacity ? realloc(bytes, capacity *= 2) : bytes;
        if (!larger) {
            fclose(file);
            free(bytes);
            return cli_out_of_memory();
        }
        bytes = larger;
        got = fread(bytes + size, 1, capacity - size, file);
    }
    int status = CLI_DONE;
    if (ferror(file))
        status = cli_file_error("read", path);
    else if (!feof(file)) {
        cli_error("%s: too large: at most %d MiB of labels are read", path, LABELS_FILE_BYTES >> 20);
        status = CLI_FAILED;
    } else if (!labels_read(labels, bytes, size, &error)) {
        if (error.line)
            cli_error("%s: line %zu: %s", path, error.line, error.text);
        else
            cli_error("%s: %s", path, error.text);
        status = CLI_FAILED;
    }
    fclose(file);
    free(bytes);
    return status;
}

static int read_labels(const struct request *request, const hsae_model *model, struct labels *labels)
{
    int status = CLI_DONE;
    labels->level_count = hsae_model_config(model)->level_count;
    for (uint32_t l = 0; l < labels->level_count; l++) {
        hsae_level level = hsae_model_level(model, l);
        labels->levels[l].features = level.features;
        labels->levels[l].parent = level.parent;
    }
    if (!labels_create(labels))
        return cli_out_of_memory();
    for (size_t i = 0; i < request->labels.count && status == CLI_DONE; i++)
        status = read_label_file(request->labels.items[i], labels);
    return status;
}

/* What --unembedding and --vocab are for; *logits and *vocabulary stay NULL without them. */
static int find_logits(const struct request *request, hsae_context *context, const hsae_model *model, struct explore_logits **logits,
                       json_t **vocabulary)
{
    hsae_dataset *unembedding = NULL;
    json_error_t error;
    const json_t *token;
    size_t k;
    if (!request->vocab)
        return CLI_DONE;
    FILE *file = hsae_os_fopen(request->vocab, "rb");
    if (!file)
        return cli_file_error("read", request->vocab);
    *vocabulary = json_loadf(file, 0, &error);
    fclose(file);
    bool strings = json_is_array(*vocabulary);
    json_array_foreach(*vocabulary, k, token)
    {
        strings &= json_is_string(token);
    }
    if (!strings) {
        cli_error("%s: %s", request->vocab, *vocabulary ? "not a JSON array of strings" : error.text);
        return CLI_FAILED;
    }
    int status = cli_exit_status(cli_open_data(context, &request->unembedding, &(struct cli_input){0}, &unembedding));
    if (status == CLI_DONE && hsae_dataset_rows(unembedding) != json_array_size(*vocabulary)) {
        cli_error("%s has %zu tokens; %s has %" PRIu64 " rows", request->vocab, json_array_size(*vocabulary), request->unembedding.items[0],
                  hsae_dataset_rows(unembedding));
        status = CLI_FAILED;
    }
    if (status == CLI_DONE)
        status = explore_find_logits(model, unembedding, logits);
    hsae_dataset_close(&unembedding);
    return status;
}

static int check_figure(const struct request *request, const hsae_config *config)
{
    const struct explore_figure *shape = &request->shape;
    if (request->figure && shape->level >= config->level_count)
        return cli_usage("explore", "--figure %s: there is no level %u; %s has levels 0 to %u", request->figure, shape->level,
                         request->model_path, config->level_count - 1);
    if (request->figure && shape->feature >= config->levels[shape->level])
        return cli_usage("explore", "--figure %s: level %u has features 0 to %u", request->figure, shape->level,
                         config->levels[shape->level] - 1);
    return CLI_DONE;
}

/* Whether the result can be written: better known before the work than after it. */
static int check_output(const struct request *request)
{
    struct run_output output;
    bool made;
    if (request->neuronpedia)
        return run_make_folders(request->neuronpedia, &made);
    return run_output_open(&output, request->out) ? run_output_discard(&output, CLI_DONE) : CLI_FAILED;
}

static int write_result(const struct request *request, const struct exploration *exploration, uint64_t *bytes)
{
    if (request->figure)
        return explore_write_figure(exploration, &request->shape, request->out, bytes);
    if (request->neuronpedia)
        return explore_write_neuronpedia(exploration, request->neuronpedia, bytes);
    if (request->pairs)
        return explore_write_pairs(exploration, request->pairs, request->out, bytes);
    return explore_write_page(exploration, request->out, bytes);
}

static void print_result(const struct request *request, const struct exploration *exploration, uint64_t bytes, double seconds)
{
    const char *out = request->neuronpedia ? request->neuronpedia : request->out;
    const hsae_evaluation *evaluation = hsae_explorer_evaluation(exploration->explorer);
    uint64_t features = 0;
    for (uint32_t l = 0; l < evaluation->level_count; l++)
        features += hsae_model_config(exploration->model)->levels[l];
    if (request->json)
        cli_print_json(json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:f}", "out", text_json(out), "bytes", (json_int_t)bytes, "features",
                                 (json_int_t)features, "tokens", (json_int_t)evaluation->tokens, "left_out",
                                 (json_int_t)(evaluation->left_out.norm + evaluation->left_out.bad), "sequences",
                                 (json_int_t)hsae_explorer_sequences(exploration->explorer), "seconds", seconds));
    else if (cli_says_results(false))
        printf("%" PRIu64 " features on %" PRIu64 " tokens in %.1f s\n%s: %.1f %s\n", features, evaluation->tokens, seconds, out,
               (double)bytes * (bytes < 1000000 ? 1e-3 : 1e-6), bytes < 1000000 ? "kB" : "MB");
}

static int run_request(const struct request *request, const struct cli_paths *tokens)
{
    struct labels labels = {0};
    struct exploration exploration = {.model_path = request->model_path, .data = request->data, .labels = &labels, .title = request->title};
    hsae_context *context = cli_context();
    hsae_device *device = NULL;
    hsae_model *model = NULL;
    hsae_explorer *explorer = NULL;
    struct explore_logits *logits = NULL;
    json_t *vocabulary = NULL;
    uint64_t bytes = 0;
    double start = hsae_os_seconds();
    if (!context)
        return CLI_FAILED;
    int status = cli_exit_status(cli_load_model(context, request->model_path, &model));
    if (status == CLI_DONE)
        status = check_figure(request, hsae_model_config(model));
    if (status == CLI_DONE)
        status = read_labels(request, model, &labels);
    if (status == CLI_DONE)
        status = check_output(request);
    if (status == CLI_DONE)
        status = find_logits(request, context, model, &logits, &vocabulary);
    if (status == CLI_DONE)
        status = cli_exit_status(cli_open_device(context, request->device_id, &device));
    if (status == CLI_DONE)
        status = cli_exit_status(explore(request, tokens, context, device, model, &explorer));
    hsae_device_close(&device);
    exploration.model = model;
    exploration.explorer = explorer;
    exploration.logits = logits;
    exploration.vocabulary = vocabulary;
    if (status == CLI_DONE)
        status = write_result(request, &exploration, &bytes);
    if (status == CLI_DONE)
        print_result(request, &exploration, bytes, hsae_os_seconds() - start);
    hsae_explorer_free(&explorer);
    labels_free(&labels);
    free(logits);
    json_decref(vocabulary);
    hsae_model_free(&model);
    hsae_context_destroy(&context);
    return status;
}

/* A length such as 5.5in or 14cm in points; 0: it is none. */
static double read_length(const char *text)
{
    static const struct {
        const char *name;
        double points;
    } units[] = {{"in", 72}, {"cm", 72 / 2.54}, {"mm", 72 / 25.4}, {"pt", 1}};
    char *end;
    double number = strtod(text, &end);
    for (size_t k = 0; k < sizeof units / sizeof *units; k++)
        if (strcmp(end, units[k].name) == 0 && end > text && isfinite(number) && number > 0)
            return number * units[k].points;
    return 0;
}

static int check_shape(const struct cli_command *command, struct request *request)
{
    struct explore_figure *shape = &request->shape;
    if (!request->figure && (request->width || request->depth || request->children || request->examples != EXAMPLES))
        return cli_usage(command->name, "--width, --depth, --children and --examples are of a --figure");
    shape->width = request->width ? read_length(request->width) : 0;
    if (request->width && !(shape->width >= MIN_WIDTH && shape->width <= MAX_WIDTH))
        return cli_usage(command->name, "--width takes %g to %g inches, as 5.5in, 14cm, 140mm or 396pt, not '%s'", MIN_WIDTH / 72.0,
                         MAX_WIDTH / 72.0, request->width);
    if (request->children > EXPLORE_FIGURE_CHILDREN || request->examples > 20)
        return cli_usage(command->name, "at most --children %d and --examples 20", EXPLORE_FIGURE_CHILDREN);
    shape->depth = request->depth < HSAE_MAX_LEVELS ? (uint32_t)request->depth : HSAE_MAX_LEVELS;
    shape->children = (uint32_t)request->children;
    shape->examples = (uint32_t)request->examples;
    return CLI_CONTINUE;
}

/* A file is what its name says: pictures are SVG. */
static int check_ending(const struct cli_command *command, const struct request *request)
{
    const char *out = request->out ? request->out : "", *dot = strrchr(out, '.'), *end = dot ? dot + 1 : "";
    bool other = strcmp(end, "pdf") == 0 || strcmp(end, "png") == 0;
    if (request->figure && other)
        return cli_usage(command->name, "--out %s: a figure is an SVG; write %.*s.svg, then: rsvg-convert -f %s -o %s %.*s.svg", out,
                         (int)(dot - out), out, end, out, (int)(dot - out), out);
    if (!request->figure && (other || strcmp(end, "svg") == 0))
        return cli_usage(command->name, "--out %s: this writes %s; --figure L/I writes an SVG", out,
                         request->pairs ? "JSON lines" : "an HTML page");
    return CLI_CONTINUE;
}

static int check_request(const struct cli_command *command, struct request *request)
{
    char rest;
    int kinds = (request->figure != NULL) + (request->neuronpedia != NULL) + (request->pairs != 0);
    if (kinds > 1 || (request->neuronpedia && request->out))
        return cli_usage(command->name, "--figure, --pairs and --neuronpedia exclude each other; --neuronpedia takes the place of --out");
    if ((request->unembedding.count > 0) != (request->vocab != NULL) || (kinds && request->vocab))
        return cli_usage(command->name, "--unembedding and --vocab go together, and are for the page");
    if (request->contexts > 1000 || request->context_length > 1024)
        return cli_usage(command->name, "at most --contexts 1000 and --context-length 1024");
    if (request->figure && sscanf(request->figure, *request->figure == 'l' ? "l%" SCNu32 "/%" SCNu32 "%c" : "%" SCNu32 "/%" SCNu32 "%c",
                                  &request->shape.level, &request->shape.feature, &rest) != 2)
        return cli_usage(command->name, "--figure takes LEVEL/FEATURE such as 0/17, not '%s'", request->figure);
    int status = check_ending(command, request);
    return status == CLI_CONTINUE ? check_shape(command, request) : status;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct request request = {.rows = CLI_ROWS_DEFAULT, .examples = EXAMPLES};
    struct cli_paths beside = {0};
    const struct cli_option options[] = {OPTIONS_explore(CLI_OPTION){0}};
    int status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (status == CLI_CONTINUE)
        status = cli_need(command, options, request.neuronpedia ? "model data" : "model data out");
    if (status == CLI_CONTINUE)
        status = check_request(command, &request);
    if (status == CLI_CONTINUE && !request.tokens.count)
        status = find_tokens(command, &request.data, &beside);
    if (status == CLI_CONTINUE)
        status = run_request(&request, request.tokens.count ? &request.tokens : &beside);
    cli_free_tokens(&beside);
    free(request.data.items);
    free(request.tokens.items);
    free(request.unembedding.items);
    free(request.labels.items);
    return status;
}

const struct cli_command cli_explore = {
    .name = "explore",
    .summary = SUMMARY_explore,
    .synopsis = SYNOPSIS_explore,
    .examples = "  hsae explore --model runs/first/model.safetensors --data held-out/ --out forest.html\n"
                "  hsae explore --model m.safetensors --data held-out/ --figure 0/17 --width 5.5in --depth 3 --out tree.svg\n"
                "  hsae explore --model m.safetensors --data held-out/ --pairs 200 --out pairs.jsonl\n"
                "  hsae explore --model m.safetensors --data held-out/ --neuronpedia dashboards/\n\n"
                "The page is one file that needs no network and no server: open it in a browser. tokens.jsonl has one line a\n"
                "sequence, {\"tokens\": [\"The\", \" cat\"]}; together they are one token for each activation vector.\n",
    .run = run,
};
