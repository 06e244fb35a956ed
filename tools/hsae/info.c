/* SPDX-License-Identifier: MIT */
/* hsae info: what a model, a checkpoint, a file of features or a data set holds. */
#include "cli.h"
#include "run_folder.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static json_t *shape_json(const hsae_tensor *tensor)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]));
    return shape;
}

static json_t *tensors_json(const hsae_tensor_file *file)
{
    json_t *tensors = json_array();
    for (size_t i = 0; i < hsae_tensor_file_count(file); i++) {
        const hsae_tensor *tensor = hsae_tensor_file_at(file, i);
        json_array_append_new(tensors,
                              json_pack("{s:s, s:s, s:o}", "name", tensor->name, "dtype", tensor->type_name, "shape", shape_json(tensor)));
    }
    return tensors;
}

static json_t *levels_json(const hsae_model *model)
{
    json_t *levels = json_array();
    for (uint32_t l = 0; l < hsae_model_config(model)->level_count; l++) {
        hsae_level level = hsae_model_level(model, l);
        json_int_t assigned = 0;
        double threshold = 0;
        for (uint32_t i = 0; i < level.features; i++) {
            threshold += (double)level.threshold[i] / level.features;
            assigned += level.parent && level.parent[i] >= 0;
        }
        json_array_append_new(levels, json_pack("{s:I, s:f, s:I}", "features", (json_int_t)level.features, "mean_threshold", threshold,
                                                "assigned", assigned));
    }
    return levels;
}

/* A model or a checkpoint; `file` is the same file, open. */
static hsae_status model_json(hsae_context *context, const char *path, const hsae_tensor_file *file, json_t **out)
{
    hsae_model *model = NULL;
    int64_t step = 0;
    hsae_status status = hsae_model_load(context, path, &model);
    const hsae_tensor *tensor = hsae_tensor_file_find(file, "train.step");
    if (status == HSAE_OK && tensor && tensor->type == HSAE_TENSOR_I64)
        status = hsae_tensor_read(file, tensor, 0, 1, &step);
    char *config = status == HSAE_OK ? hsae_config_json(hsae_model_config(model)) : NULL;
    if (config)
        *out = json_pack("{s:s, s:I, s:f, s:o, s:o}", "kind", tensor ? "checkpoint" : "model", "dim", (json_int_t)hsae_model_dim(model),
                         "scale", (double)hsae_model_scale(model), "levels", levels_json(model), "config", json_loads(config, 0, NULL));
    if (*out && tensor)
        json_object_set_new(*out, "step", json_integer((json_int_t)step));
    const char *version = hsae_tensor_file_metadata(file, "library_version");
    if (*out && version)
        json_object_set_new(*out, "library_version", json_string(version));
    hsae_free(config);
    hsae_model_free(&model);
    return status;
}

/* What `hsae encode` wrote. */
static json_t *features_json(const hsae_tensor_file *file)
{
    json_t *levels = json_array();
    json_int_t tokens = 0;
    for (uint32_t l = 0; l < HSAE_MAX_LEVELS; l++) {
        char name[48];
        snprintf(name, sizeof name, "levels.%u.indptr", l);
        const hsae_tensor *indptr = hsae_tensor_file_find(file, name);
        snprintf(name, sizeof name, "levels.%u.indices", l);
        const hsae_tensor *indices = hsae_tensor_file_find(file, name);
        if (!indptr || !indices)
            break;
        tokens = (json_int_t)indptr->count - 1;
        json_array_append_new(levels, json_pack("{s:I}", "active", (json_int_t)indices->count));
    }
    return json_pack("{s:s, s:I, s:o}", "kind", "features", "tokens", tokens, "levels", levels);
}

static json_t *data_file_json(const hsae_data_file *file)
{
    json_t *parts = json_array();
    json_t *object = json_pack("{s:o, s:s, s:s, s:I, s:I, s:I}", "path", text_json(file->path), "format", file->format, "dtype",
                               cli_dtype_name(file->dtype), "dim", (json_int_t)file->dim, "tokens", (json_int_t)file->rows, "bytes",
                               (json_int_t)file->bytes);
    if (file->context) {
        json_object_set_new(object, "sequences", json_integer((json_int_t)file->sequences));
        json_object_set_new(object, "context", json_integer((json_int_t)file->context));
    }
    if (file->tensor)
        json_object_set_new(object, "tensor", text_json(file->tensor));
    for (size_t i = 0; i < file->column_count; i++)
        json_array_append_new(parts, json_pack("{s:o, s:s}", "name", text_json(file->columns[i].name), "type", file->columns[i].type));
    json_object_set_new(object, "parts", parts);
    return object;
}

/* A row of the data as {"row", "path", "file_row"}. */
static json_t *place_json(const hsae_dataset *dataset, uint64_t row)
{
    uint64_t file_row;
    const hsae_data_file *file = hsae_dataset_place(dataset, row, &file_row);
    return json_pack("{s:I, s:o, s:I}", "row", (json_int_t)row, "path", text_json(file->path), "file_row", (json_int_t)file_row);
}

/* {"count"}, with {"first"} where there is one. */
static json_t *rows_json(const hsae_dataset *dataset, uint64_t count, uint64_t first)
{
    json_t *object = json_pack("{s:I}", "count", (json_int_t)count);
    if (count)
        json_object_set_new(object, "first", place_json(dataset, first));
    return object;
}

static json_t *check_json(const hsae_dataset *dataset, const hsae_data_check *check)
{
    json_t *columns = json_array(), *duplicates = rows_json(dataset, check->duplicates, check->first_duplicate);
    for (uint32_t k = 0; k < check->constant_columns && k < HSAE_CHECK_LISTED; k++)
        json_array_append_new(columns, json_integer(check->constant[k]));
    if (check->duplicates)
        json_object_set_new(duplicates, "original", place_json(dataset, check->first_original));
    return json_pack("{s:{s:o, s:o, s:o, s:o, s:o}, s:o, s:o, s:o, s:o, s:{s:I, s:o}}", "norm", "min", cli_json_number(check->least),
                     "percent_1", cli_json_number(check->percent_1), "median", cli_json_number(check->median), "percent_99",
                     cli_json_number(check->percent_99), "max", cli_json_number(check->largest), "far_rows",
                     rows_json(dataset, check->far, check->first_far), "bad_rows", rows_json(dataset, check->bad, check->first_bad),
                     "zero_rows", rows_json(dataset, check->zeros, check->first_zero), "duplicates", duplicates, "constant_columns",
                     "count", (json_int_t)check->constant_columns, "first", columns);
}

static hsae_status data_json(hsae_context *context, const struct cli_paths *paths, const struct cli_input *input, bool check, json_t **out)
{
    hsae_dataset *dataset = NULL;
    json_int_t bytes = 0;
    hsae_data_check found;
    hsae_status status = cli_open_data(context, paths, input, &dataset);
    if (status == HSAE_OK && check)
        status = hsae_dataset_check(dataset, cli_progress, "checking", &found);
    cli_clear_status_line();
    if (status == HSAE_OK) {
        json_t *files = json_array();
        for (size_t i = 0; i < hsae_dataset_file_count(dataset); i++) {
            json_array_append_new(files, data_file_json(hsae_dataset_file(dataset, i)));
            bytes += (json_int_t)hsae_dataset_file(dataset, i)->bytes;
        }
        *out = json_pack("{s:s, s:I, s:I, s:I, s:o}", "kind", "data", "tokens", (json_int_t)hsae_dataset_rows(dataset), "dim",
                         (json_int_t)hsae_dataset_dim(dataset), "bytes", bytes, "files", files);
        if (check)
            json_object_set_new(*out, "check", check_json(dataset, &found));
    }
    hsae_dataset_close(&dataset);
    return status;
}

/* Whether this is a safetensors file: by its content, whatever its name. One that is broken is, too. */
static bool is_safetensors(const char *path)
{
    unsigned char start[9];
    FILE *file = hsae_os_fopen(path, "rb");
    bool is = file && fread(start, 1, sizeof start, file) == sizeof start && start[8] == '{';
    if (file)
        fclose(file);
    return is;
}

/* How many of its tensors can hold activation vectors. With several a data set needs --tensor; this command lists them. */
static size_t candidates(const hsae_tensor_file *file)
{
    size_t count = 0;
    for (size_t i = 0; i < hsae_tensor_file_count(file); i++) {
        const hsae_tensor *tensor = hsae_tensor_file_at(file, i);
        count += tensor->count && (tensor->rank == 2 || tensor->rank == 3) &&
                 (tensor->type == HSAE_TENSOR_F32 || tensor->type == HSAE_TENSOR_F16 || tensor->type == HSAE_TENSOR_BF16);
    }
    return count;
}

/* Whether a run's folder has activations of its own. */
static bool holds_data(const struct cli_paths *paths, const struct cli_input *input)
{
    hsae_context *silent = NULL;
    hsae_dataset *dataset = NULL;
    const bool opens = !hsae_context_create(NULL, &silent) && !cli_open_data(silent, paths, input, &dataset);
    hsae_dataset_close(&dataset);
    hsae_context_destroy(&silent);
    return opens;
}

/* *out stays NULL where memory ran out. */
static hsae_status describe(hsae_context *context, const struct cli_paths *paths, const struct cli_input *input, bool check, json_t **out)
{
    char model[RUN_PATH];
    const bool run = paths->count == 1 && cli_run_model(paths->items[0], model) && !holds_data(paths, input);
    const char *path = run ? model : paths->items[0];
    hsae_tensor_file *file = NULL;
    bool single = paths->count == 1 && !input->dim && is_safetensors(path);
    hsae_status status = single ? hsae_tensor_file_open(context, path, &file) : HSAE_OK;
    if (status != HSAE_OK)
        return status;
    const char *format = file ? hsae_tensor_file_metadata(file, "format") : NULL;
    bool data = !(format && strcmp(format, "hsae") == 0) && !(file && hsae_tensor_file_find(file, "levels.0.indptr"));
    if (check && !data) {
        cli_error("%s: --check reads activations, and this is a file that hsae wrote", path);
        status = HSAE_ERROR_ARGUMENT;
    } else if (format && strcmp(format, "hsae") == 0)
        status = model_json(context, path, file, out);
    else if (file && hsae_tensor_file_find(file, "levels.0.indptr"))
        *out = features_json(file);
    else if (file && !input->tensor && candidates(file) > 1)
        *out = json_pack("{s:s, s:I}", "kind", "tensors", "candidates", (json_int_t)candidates(file));
    else
        status = data_json(context, paths, input, check, out);
    if (*out) {
        json_object_set_new(*out, "path", text_json(path));
        if (file)
            json_object_set_new(*out, "tensors", tensors_json(file));
    }
    hsae_tensor_file_close(&file);
    return status;
}

static void print_number(const json_t *object, const char *key, const char *label)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_integer(value))
        printf("  %-22s %lld\n", label, (long long)json_integer_value(value));
    else if (json_is_real(value))
        printf("  %-22s %g\n", label, json_real_value(value));
}

static void print_file(const json_t *file)
{
    size_t index;
    const json_t *part, *read = json_object_get(file, "tensor");
    printf("  file %s: %s, %s\n", json_string_value(json_object_get(file, "path")), json_string_value(json_object_get(file, "format")),
           json_string_value(json_object_get(file, "dtype")));
    print_number(file, "tokens", "  activation vectors");
    print_number(file, "sequences", "  sequences");
    print_number(file, "context", "  of vectors each");
    print_number(file, "bytes", "  bytes");
    json_array_foreach(json_object_get(file, "parts"), index, part)
    {
        const char *name = json_string_value(json_object_get(part, "name"));
        bool chosen = read && strcmp(name, json_string_value(read)) == 0;
        printf("    %c %-40s %s\n", chosen ? '*' : ' ', name, json_string_value(json_object_get(part, "type")));
    }
}

static void print_place(const json_t *place)
{
    printf("%s row %lld", json_string_value(json_object_get(place, "path")),
           (long long)json_integer_value(json_object_get(place, "file_row")));
}

/* "  LABEL   9, the first: FILE row 17" */
static void print_rows(const json_t *check, const char *key, const char *label)
{
    const json_t *rows = json_object_get(check, key), *first = json_object_get(rows, "first"),
                 *original = json_object_get(rows, "original");
    printf("    %-28s %lld", label, (long long)json_integer_value(json_object_get(rows, "count")));
    if (first) {
        fputs(", the first: ", stdout);
        print_place(first);
    }
    if (original) {
        fputs(", equal to ", stdout);
        print_place(original);
    }
    putchar('\n');
}

static void print_check(const json_t *check)
{
    static const char *const figures[][2] = {{"min", "smallest norm"},
                                             {"percent_1", "1st percentile"},
                                             {"median", "median"},
                                             {"percent_99", "99th percentile"},
                                             {"max", "largest"}};
    const json_t *columns = json_object_get(check, "constant_columns"), *column;
    size_t index;
    puts("  all rows were read");
    for (size_t k = 0; k < sizeof figures / sizeof *figures; k++) {
        const json_t *value = json_object_get(json_object_get(check, "norm"), figures[k][0]);
        if (json_is_real(value))
            printf("    %-28s %.6g\n", figures[k][1], json_real_value(value));
        else
            printf("    %-28s -\n", figures[k][1]);
    }
    print_rows(check, "far_rows", "beyond 10 times the median");
    print_rows(check, "bad_rows", "with values not finite");
    print_rows(check, "zero_rows", "of zeros");
    print_rows(check, "duplicates", "equal to an earlier row");
    printf("    %-28s %lld", "constant columns", (long long)json_integer_value(json_object_get(columns, "count")));
    json_array_foreach(json_object_get(columns, "first"), index, column)
        printf("%s %lld", index ? "," : ", the first:", (long long)json_integer_value(column));
    putchar('\n');
}

static void print_text(json_t *object)
{
    size_t index;
    json_t *value;
    const char *key;
    printf("%s: %s\n", json_string_value(json_object_get(object, "path")), json_string_value(json_object_get(object, "kind")));
    print_number(object, "step", "steps done");
    print_number(object, "tokens", "activation vectors");
    print_number(object, "dim", "width d");
    print_number(object, "bytes", "bytes");
    print_number(object, "scale", "scale of the input");
    print_number(object, "candidates", "could be activations");
    json_array_foreach(json_object_get(object, "files"), index, value) print_file(value);
    if (json_object_get(object, "check"))
        print_check(json_object_get(object, "check"));
    json_array_foreach(json_object_get(object, "levels"), index, value)
    {
        printf("  level %zu\n", index);
        print_number(value, "features", "  features");
        print_number(value, "active", "  active features");
        print_number(value, "mean_threshold", "  mean threshold");
        print_number(value, "assigned", "  with a parent");
    }
    if (json_object_get(object, "config"))
        puts("  configuration");
    json_object_foreach(json_object_get(object, "config"), key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        printf("    %-20s %s\n", key, text ? text : "");
        free(text);
    }
    bool listed = json_object_get(object, "files") != NULL;
    if (json_object_get(object, "tensors") && !listed)
        puts("  tensors");
    json_array_foreach(listed ? NULL : json_object_get(object, "tensors"), index, value)
    {
        char *shape = json_dumps(json_object_get(value, "shape"), 0);
        printf("    %-44s %-5s %s\n", json_string_value(json_object_get(value, "name")), json_string_value(json_object_get(value, "dtype")),
               shape ? shape : "");
        free(shape);
    }
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct cli_input input = {0};
    struct cli_paths words = {0};
    bool json = false, check = false;
    const struct cli_option options[] = {OPTIONS_info(CLI_OPTION){0}};
    hsae_context *context = NULL;
    json_t *object = NULL;
    int exit_status = cli_parse(command, argc, argv, options, NULL, &words);
    if (exit_status != CLI_CONTINUE)
        goto end;
    if (!words.count) {
        exit_status = cli_usage(command->name, "a file or folder is needed");
        goto end;
    }
    exit_status = CLI_FAILED;
    context = cli_context();
    if (!context)
        goto end;
    exit_status = cli_exit_status(describe(context, &words, &input, check, &object));
    if (exit_status == CLI_DONE && !object)
        exit_status = cli_out_of_memory();
    else if (exit_status == CLI_DONE && json)
        exit_status = cli_print_json(json_incref(object));
    else if (exit_status == CLI_DONE)
        print_text(object);
end:
    json_decref(object);
    hsae_context_destroy(&context);
    free(words.items);
    return exit_status;
}

const struct cli_command cli_info = {
    .name = "info",
    .summary = SUMMARY_info,
    .synopsis = SYNOPSIS_info,
    .examples = "  hsae info runs/first\n"
                "  hsae info activations/\n"
                "  hsae info --check activations/\n"
                "  hsae info raw.bin --dim 2304 --dtype bf16\n"
                "  hsae info runs/first/checkpoint-5000.safetensors --json | jq .step\n",
    .run = run,
};
