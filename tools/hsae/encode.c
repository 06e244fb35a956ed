/* SPDX-License-Identifier: MIT */
/* hsae encode: activations to the active features of every level, as compressed sparse rows. */
#include "run_folder.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1024 };

/* How many features are active is known at the end only, and the file's header states it. So indices and values are written to unnamed
 * files beside the output first. */
struct spool {
    FILE *file;
    size_t size; /* of an element */
};
struct level_spool {
    struct spool indptr, indices, values;
    uint64_t total;
};

struct encoder {
    hsae_context *context;
    hsae_device *device;
    hsae_model *model;
    hsae_dataset *dataset;
    hsae_session *session;
    struct cli_rows rows;
    const char *out;
    struct level_spool levels[HSAE_MAX_LEVELS];
};

static hsae_status file_error(const char *action, const char *path)
{
    cli_file_error(action, path);
    return HSAE_ERROR_FILE;
}

/* A file without a name in the folder of `path`. */
static hsae_status open_spool(struct spool *spool, const char *path, size_t size)
{
    static const char pattern[] = ".hsae-XXXXXX";
    size_t folder = (size_t)(hsae_os_file_name(path) - path);
    char *name = malloc(folder + sizeof pattern);
    if (!name) {
        cli_out_of_memory();
        return HSAE_ERROR_MEMORY;
    }
    memcpy(name, path, folder);
    memcpy(name + folder, pattern, sizeof pattern);
    int descriptor = hsae_os_open_temporary(name, false);
    if (descriptor >= 0) {
        spool->file = fdopen(descriptor, "w+b");
        if (!spool->file)
            hsae_os_close(descriptor);
    }
    free(name);
    spool->size = size;
    return spool->file ? HSAE_OK : file_error("write", path);
}

static bool put(struct spool *spool, const void *data, size_t count)
{
    return fwrite(data, spool->size, count, spool->file) == count;
}

static hsae_status take(void *user, size_t count, void *out)
{
    struct spool *spool = user;
    if (fread(out, spool->size, count, spool->file) == count)
        return cli_signal() ? HSAE_CANCELLED : HSAE_OK;
    return file_error("read back", "a temporary file beside the output");
}

static bool put_level(struct level_spool *level, const hsae_features *features)
{
    uint64_t count = features->indptr[features->rows];
    bool good = put(&level->indices, features->indices, (size_t)count) && put(&level->values, features->values, (size_t)count);
    for (uint64_t row = 1; row <= features->rows && good; row++) {
        int64_t end = (int64_t)(level->total + features->indptr[row]);
        good = put(&level->indptr, &end, 1);
    }
    level->total += count;
    return good;
}

static hsae_status encode_rows(struct encoder *encoder, uint64_t first, uint64_t count, float *raw)
{
    uint64_t rows[BATCH];
    hsae_features features[HSAE_MAX_LEVELS] = {0};
    uint32_t level_count = hsae_model_config(encoder->model)->level_count;
    for (uint64_t i = 0; i < count; i++)
        rows[i] = first + i;
    hsae_status status = hsae_session_skips_bad_rows(encoder->session) ? hsae_dataset_read_any(encoder->dataset, rows, (size_t)count, raw)
                                                                       : hsae_dataset_read(encoder->dataset, rows, (size_t)count, raw);
    if (status == HSAE_OK) {
        status = hsae_session_encode(encoder->session, raw, count, features);
        if (status == HSAE_ERROR_DATA && first)
            cli_error("its rows are counted from vector %" PRIu64 " of the data on", first);
    }
    for (uint32_t l = 0; l < level_count; l++) {
        if (status == HSAE_OK && !put_level(&encoder->levels[l], &features[l]))
            status = file_error("write", encoder->out);
        hsae_features_free(&features[l]);
    }
    return status;
}

static hsae_status encode_all(struct encoder *encoder)
{
    const int64_t zero = 0;
    uint64_t total = hsae_dataset_rows(encoder->dataset);
    hsae_status status = HSAE_OK;
    for (uint32_t l = 0; l < hsae_model_config(encoder->model)->level_count && status == HSAE_OK; l++) {
        struct level_spool *level = &encoder->levels[l];
        status = open_spool(&level->indptr, encoder->out, sizeof(int64_t));
        if (status == HSAE_OK)
            status = open_spool(&level->indices, encoder->out, sizeof(int32_t));
        if (status == HSAE_OK)
            status = open_spool(&level->values, encoder->out, sizeof(float));
        if (status == HSAE_OK && !put(&level->indptr, &zero, 1))
            status = file_error("write", encoder->out);
    }
    float *raw = malloc(BATCH * sizeof *raw * hsae_dataset_dim(encoder->dataset));
    if (!raw && status == HSAE_OK) {
        cli_out_of_memory();
        status = HSAE_ERROR_MEMORY;
    }
    for (uint64_t first = 0; first < total && status == HSAE_OK; first += BATCH) {
        status = encode_rows(encoder, first, total - first < BATCH ? total - first : BATCH, raw);
        if (!cli_progress("encoding", first, total) && status == HSAE_OK)
            status = HSAE_CANCELLED;
    }
    free(raw);
    return status;
}

static bool rewind_spool(struct spool *spool)
{
    return fflush(spool->file) == 0 && fseek(spool->file, 0, SEEK_SET) == 0;
}

static hsae_status write_features(struct encoder *encoder)
{
    hsae_new_tensor tensors[3 * HSAE_MAX_LEVELS] = {0};
    char names[3 * HSAE_MAX_LEVELS][32];
    uint32_t level_count = hsae_model_config(encoder->model)->level_count;
    for (uint32_t l = 0; l < level_count; l++) {
        struct level_spool *level = &encoder->levels[l];
        struct spool *spools[] = {&level->indptr, &level->indices, &level->values};
        static const char *const stems[] = {"indptr", "indices", "values"};
        static const hsae_tensor_type types[] = {HSAE_TENSOR_I64, HSAE_TENSOR_I32, HSAE_TENSOR_F32};
        for (uint32_t k = 0; k < 3; k++) {
            uint64_t count = k ? level->total : hsae_dataset_rows(encoder->dataset) + 1;
            snprintf(names[3 * l + k], sizeof *names, "levels.%u.%s", l, stems[k]);
            if (!rewind_spool(spools[k]))
                return file_error("write", encoder->out);
            tensors[3 * l + k] =
                (hsae_new_tensor){.name = names[3 * l + k], .type = types[k], .rank = 1, .shape = {count}, .next = take, .user = spools[k]};
        }
    }
    /* Features are no activations: this keeps a data set from taking them for some. */
    const hsae_metadata metadata[] = {{"format", "hsae features"}, {"library_version", hsae_version()}, {"version", "1"}};
    return hsae_tensor_file_write(encoder->context, encoder->out, metadata, sizeof metadata / sizeof *metadata, tensors,
                                  3 * (size_t)level_count);
}

static void print_result(const struct encoder *encoder, bool json)
{
    uint64_t rows = hsae_dataset_rows(encoder->dataset);
    const hsae_config *config = hsae_model_config(encoder->model);
    const hsae_left_out left_out = hsae_session_left_out(encoder->session);
    uint64_t kept = rows - left_out.norm - left_out.bad;
    json_t *levels = json_array();
    for (uint32_t l = 0; l < config->level_count; l++) {
        uint64_t total = encoder->levels[l].total;
        json_array_append_new(levels, json_pack("{s:I, s:I, s:o}", "features", (json_int_t)config->levels[l], "active", (json_int_t)total,
                                                "l0", cli_json_number((double)total / (double)kept)));
        if (cli_says_results(json))
            printf("level %u: %u features, %.2f active per vector\n", l, config->levels[l], (double)total / (double)kept);
    }
    if (json)
        cli_print_json(json_pack("{s:o, s:I, s:I, s:o}", "out", text_json(encoder->out), "tokens", (json_int_t)rows, "left_out",
                                 (json_int_t)(left_out.norm + left_out.bad), "levels", levels));
    else if (cli_says_results(json))
        printf("%" PRIu64 " activation vectors encoded to %s\n", rows, encoder->out);
    if (!json)
        json_decref(levels);
    cli_note_left_out(&left_out, hsae_session_norm_limit(encoder->session), encoder->dataset);
}

static int encode(struct encoder *encoder, const char *model_path, const char *device_id, const struct cli_paths *data,
                  const struct cli_input *input, bool json)
{
    encoder->context = cli_context();
    if (!encoder->context)
        return CLI_FAILED;
    hsae_status status = cli_load_model(encoder->context, model_path, &encoder->model);
    if (status == HSAE_OK)
        status = cli_open_data(encoder->context, data, input, &encoder->dataset);
    if (status == HSAE_OK && hsae_dataset_dim(encoder->dataset) != hsae_model_dim(encoder->model)) {
        cli_error("%s: vectors of %u values; the model takes %u", data->items[0], hsae_dataset_dim(encoder->dataset),
                  hsae_model_dim(encoder->model));
        status = HSAE_ERROR_DATA;
    }
    if (status == HSAE_OK)
        status = cli_open_device(encoder->context, device_id, &encoder->device);
    if (status == HSAE_OK)
        status = hsae_session_create(encoder->device, encoder->model, BATCH, &encoder->session);
    if (status == HSAE_OK)
        status = cli_leave_out(encoder->session, encoder->dataset, &encoder->rows);
    if (status == HSAE_OK)
        status = encode_all(encoder);
    if (status == HSAE_OK)
        status = write_features(encoder);
    if (status == HSAE_OK)
        print_result(encoder, json);
    return cli_exit_status(status);
}

static void release(struct encoder *encoder)
{
    for (uint32_t l = 0; l < HSAE_MAX_LEVELS; l++) {
        FILE *files[] = {encoder->levels[l].indptr.file, encoder->levels[l].indices.file, encoder->levels[l].values.file};
        for (int k = 0; k < 3; k++)
            if (files[k])
                fclose(files[k]);
    }
    hsae_session_destroy(&encoder->session);
    hsae_model_free(&encoder->model);
    hsae_dataset_close(&encoder->dataset);
    hsae_device_close(&encoder->device);
    hsae_context_destroy(&encoder->context);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct encoder encoder = {.rows = CLI_ROWS_DEFAULT};
    const char *model_path = NULL, *device_id = NULL;
    struct cli_input input = {0};
    struct cli_paths data = {0};
    bool json = false;
    const struct cli_option options[] = {OPTIONS_encode(CLI_OPTION){0}};
    int exit_status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (exit_status == CLI_CONTINUE)
        exit_status = cli_need(command, options, "model data out");
    if (exit_status == CLI_CONTINUE)
        exit_status = encode(&encoder, model_path, device_id, &data, &input, json);
    release(&encoder);
    free(data.items);
    return exit_status;
}

const struct cli_command cli_encode = {
    .name = "encode",
    .summary = SUMMARY_encode,
    .synopsis = SYNOPSIS_encode,
    .examples = "  hsae encode --model runs/first/model.safetensors --data held-out/ --out features.safetensors\n\n"
                "The file holds compressed sparse rows for each level l: levels.{l}.indptr (I64 [vectors + 1]),\n"
                "levels.{l}.indices (I32, ascending within a vector) and levels.{l}.values (F32, normalised units). A vector that is\n"
                "left out has no features.\n",
    .run = run,
};
