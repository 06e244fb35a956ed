/* SPDX-License-Identifier: MIT */
/* hsae decode: the features that `hsae encode` wrote back to activations, one reconstruction for each level. */
#include "run_folder.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1024 };

/* One level's reconstruction, made a batch of rows at a time as the file is written. */
struct level_decoder {
    hsae_session *session;
    const hsae_tensor_file *file;
    const char *path; /* of the features, for messages */
    const hsae_tensor *indptr, *indices, *values;
    uint32_t level, features, dim;
    uint64_t rows, next_row;
    float *batch;           /* [BATCH, dim] */
    size_t position, ready; /* floats of `batch` that are taken, that there are */
};

static hsae_status bad(const struct level_decoder *decoder, const char *what, uint64_t row)
{
    cli_error("%s: levels.%u.%s, row %" PRIu64, decoder->path, decoder->level, what, row);
    return HSAE_ERROR_FORMAT;
}

/* The next rows as features; *features is the caller's to free, whatever comes back. */
static hsae_status read_rows(struct level_decoder *decoder, uint64_t count, hsae_features *features)
{
    int64_t ends[BATCH + 1];
    hsae_status status = hsae_tensor_read(decoder->file, decoder->indptr, decoder->next_row, (size_t)count + 1, ends);
    if (status != HSAE_OK)
        return status;
    if (ends[0] < 0 || (decoder->next_row == 0 && ends[0] != 0))
        return bad(decoder, "indptr does not begin with 0", 0);
    for (uint64_t i = 0; i < count; i++)
        if (ends[i + 1] < ends[i] || ends[i + 1] - ends[i] > (int64_t)decoder->features)
            return bad(decoder, "indptr falls, or rises by more than there are features", decoder->next_row + i);
    uint64_t first = (uint64_t)ends[0], total = (uint64_t)(ends[count] - ends[0]);
    if ((uint64_t)ends[count] > decoder->indices->count ||
        (decoder->next_row + count == decoder->rows && (uint64_t)ends[count] != decoder->indices->count))
        return bad(decoder, "indptr does not fit the length of indices", decoder->next_row + count);
    features->rows = count;
    features->indptr = malloc((size_t)(count + 1) * sizeof *features->indptr);
    features->indices = malloc((size_t)(total + 1) * sizeof *features->indices);
    features->values = malloc((size_t)(total + 1) * sizeof *features->values);
    if (!features->indptr || !features->indices || !features->values) {
        cli_out_of_memory();
        return HSAE_ERROR_MEMORY;
    }
    for (uint64_t i = 0; i <= count; i++)
        features->indptr[i] = (uint64_t)(ends[i] - ends[0]);
    /* int32_t and uint32_t may alias; a negative index becomes one that the library refuses. */
    status = hsae_tensor_read(decoder->file, decoder->indices, first, (size_t)total, features->indices);
    return status == HSAE_OK ? hsae_tensor_read(decoder->file, decoder->values, first, (size_t)total, features->values) : status;
}

static hsae_status decode_batch(struct level_decoder *decoder)
{
    hsae_features features = {0};
    uint64_t left = decoder->rows - decoder->next_row, count = left < BATCH ? left : BATCH;
    hsae_status status = read_rows(decoder, count, &features);
    if (status == HSAE_OK)
        status = hsae_session_decode(decoder->session, decoder->level, &features, decoder->batch);
    if (status == HSAE_ERROR_DATA || status == HSAE_ERROR_ARGUMENT) /* the library has said which row of these */
        cli_error("%s: level %u: rows are counted from row %" PRIu64 " on", decoder->path, decoder->level, decoder->next_row);
    free(features.indptr);
    free(features.indices);
    free(features.values);
    decoder->next_row += count;
    decoder->position = 0;
    decoder->ready = (size_t)count * decoder->dim;
    if (status == HSAE_OK && !cli_progress("decoding", decoder->next_row, decoder->rows))
        status = HSAE_CANCELLED;
    return status;
}

static hsae_status next_floats(void *user, size_t count, void *out)
{
    struct level_decoder *decoder = user;
    float *to = out;
    while (count) {
        if (decoder->position == decoder->ready) {
            hsae_status status = decode_batch(decoder);
            if (status != HSAE_OK)
                return status;
        }
        size_t some = decoder->ready - decoder->position < count ? decoder->ready - decoder->position : count;
        memcpy(to, decoder->batch + decoder->position, some * sizeof *to);
        decoder->position += some;
        to += some;
        count -= some;
    }
    return HSAE_OK;
}

static const hsae_tensor *find(const hsae_tensor_file *file, const char *path, uint32_t level, const char *stem, hsae_tensor_type type)
{
    char name[48];
    snprintf(name, sizeof name, "levels.%u.%s", level, stem);
    const hsae_tensor *tensor = hsae_tensor_file_find(file, name);
    if (!tensor)
        cli_error("%s: there is no tensor \"%s\"; features come from `hsae encode`", path, name);
    else if (tensor->rank != 1 || (tensor->type != type))
        cli_error("%s: tensor \"%s\" is not a vector of the right type", path, name);
    else
        return tensor;
    return NULL;
}

struct decoder {
    hsae_context *context;
    hsae_device *device;
    hsae_model *model;
    hsae_session *session;
    hsae_tensor_file *file;
    const char *features, *out;
    float *batch;
};

static hsae_status prepare_level(const struct decoder *decoder, uint32_t level, struct level_decoder *out)
{
    *out = (struct level_decoder){
        .session = decoder->session,
        .file = decoder->file,
        .path = decoder->features,
        .level = level,
        .features = hsae_model_level(decoder->model, level).features,
        .dim = hsae_model_dim(decoder->model),
        .batch = decoder->batch,
    };
    if (!(out->indptr = find(decoder->file, decoder->features, level, "indptr", HSAE_TENSOR_I64)) ||
        !(out->indices = find(decoder->file, decoder->features, level, "indices", HSAE_TENSOR_I32)) ||
        !(out->values = find(decoder->file, decoder->features, level, "values", HSAE_TENSOR_F32)))
        return HSAE_ERROR_FORMAT;
    if (out->indptr->count < 2 || out->values->count != out->indices->count) {
        cli_error("%s: levels.%u: the lengths of indptr, indices and values do not fit", decoder->features, level);
        return HSAE_ERROR_FORMAT;
    }
    out->rows = out->indptr->count - 1;
    return HSAE_OK;
}

/* Levels are decoded one after the other, in the order of their names, so they share one batch. */
static hsae_status decode_levels(struct decoder *decoder, uint64_t *rows)
{
    struct level_decoder levels[HSAE_MAX_LEVELS] = {0};
    hsae_new_tensor tensors[HSAE_MAX_LEVELS] = {0};
    char names[HSAE_MAX_LEVELS][40];
    uint32_t level_count = hsae_model_config(decoder->model)->level_count;
    for (uint32_t l = 0; l < level_count; l++) {
        hsae_status status = prepare_level(decoder, l, &levels[l]);
        if (status != HSAE_OK)
            return status;
        snprintf(names[l], sizeof names[l], "levels.%u.reconstruction", l);
        tensors[l] = (hsae_new_tensor){.name = names[l],
                                       .type = HSAE_TENSOR_F32,
                                       .rank = 2,
                                       .shape = {levels[l].rows, levels[l].dim},
                                       .next = next_floats,
                                       .user = &levels[l]};
        if (levels[l].rows != levels[0].rows) {
            cli_error("%s: the levels have different numbers of vectors", decoder->features);
            return HSAE_ERROR_FORMAT;
        }
    }
    *rows = levels[0].rows;
    return hsae_tensor_file_write(decoder->context, decoder->out, NULL, 0, tensors, level_count);
}

static int decode(struct decoder *decoder, const char *model_path, const char *device_id, bool json)
{
    uint64_t rows = 0;
    decoder->context = cli_context();
    if (!decoder->context)
        return CLI_FAILED;
    hsae_status status = cli_load_model(decoder->context, model_path, &decoder->model);
    if (status == HSAE_OK)
        status = hsae_tensor_file_open(decoder->context, decoder->features, &decoder->file);
    if (status == HSAE_OK)
        status = cli_open_device(decoder->context, device_id, &decoder->device);
    if (status == HSAE_OK)
        status = hsae_session_create(decoder->device, decoder->model, BATCH, &decoder->session);
    if (status == HSAE_OK) {
        decoder->batch = malloc(BATCH * sizeof *decoder->batch * hsae_model_dim(decoder->model));
        status = decoder->batch ? decode_levels(decoder, &rows) : HSAE_ERROR_MEMORY;
    }
    if (status == HSAE_OK && json)
        return cli_print_json(json_pack("{s:o, s:I}", "out", text_json(decoder->out), "tokens", (json_int_t)rows));
    if (status == HSAE_OK && cli_says_results(json))
        printf("%" PRIu64 " activation vectors decoded to %s\n", rows, decoder->out);
    return cli_exit_status(status);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct decoder decoder = {0};
    const char *model_path = NULL, *device_id = NULL;
    bool json = false;
    const struct cli_option options[] = {OPTIONS_decode(CLI_OPTION){0}};
    int exit_status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (exit_status == CLI_CONTINUE)
        exit_status = cli_need(command, options, "model features out");
    if (exit_status == CLI_CONTINUE)
        exit_status = decode(&decoder, model_path, device_id, json);
    free(decoder.batch);
    hsae_session_destroy(&decoder.session);
    hsae_tensor_file_close(&decoder.file);
    hsae_model_free(&decoder.model);
    hsae_device_close(&decoder.device);
    hsae_context_destroy(&decoder.context);
    return exit_status;
}

const struct cli_command cli_decode = {
    .name = "decode",
    .summary = SUMMARY_decode,
    .synopsis = SYNOPSIS_decode,
    .examples = "  hsae decode --model runs/first/model.safetensors --features features.safetensors --out back.safetensors\n\n"
                "The file holds levels.{l}.reconstruction (F32 [vectors, d], raw units) for each level l.\n",
    .run = run,
};
