/* SPDX-License-Identifier: MIT */
#include "base/config.h"
#include "slots.h"
#include <hsae/exchange.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hsae_status alloc_model(hsae_context *context, const hsae_config *config, uint32_t dim, bool matrices, hsae_model **out)
{
    struct slot slots[HSAE_MODEL_SLOTS];
    uint64_t bytes = sizeof(hsae_model);
    *out = NULL;
    hsae_model *model = calloc(1, sizeof *model);
    if (!model)
        goto error;
    model->config = *config;
    model->dim = dim;
    size_t count = hsae_model_slots(model, slots);
    bytes = hsae_slots_bytes(slots, count, matrices);
    if (!hsae_slots_alloc(slots, count, matrices))
        goto error;
    *out = model;
    return HSAE_OK;
error:
    hsae_model_free(&model);
    return hsae_fail_memory(context, bytes, NULL, "a model of %" PRIu32 " levels of width %" PRIu32, config->level_count, dim);
}

hsae_status hsae_model_alloc(hsae_context *context, const hsae_config *config, uint32_t dim, hsae_model **out)
{
    return alloc_model(context, config, dim, true, out);
}

hsae_status hsae_model_alloc_vectors(hsae_context *context, const hsae_config *config, uint32_t dim, hsae_model **out)
{
    return alloc_model(context, config, dim, false, out);
}

void hsae_model_free(hsae_model **model)
{
    struct slot slots[HSAE_MODEL_SLOTS];
    if (!model || !*model)
        return;
    hsae_slots_free(slots, hsae_model_slots(*model, slots));
    free(*model);
    *model = NULL;
}

hsae_status hsae_model_open(const hsae_context *context, const char *path, struct hsae_safetensors **file, hsae_config *config,
                            uint32_t *dim)
{
    char name[64];
    hsae_status status = hsae_safetensors_open(context, path, file);
    if (status)
        return status;
    const char *format = hsae_safetensors_metadata(*file, "format"), *version = hsae_safetensors_metadata(*file, "version");
    const char *json = hsae_safetensors_metadata(*file, "config"), *writer = hsae_safetensors_metadata(*file, "library_version");
    if (!format || strcmp(format, "hsae") != 0)
        return hsae_fail(
            context, HSAE_ERROR_FORMAT,
            "%s: not a model or checkpoint of this library: its metadata lacks format = \"hsae\"; give one that hsae train wrote", path);
    if (!version || strcmp(version, "1") != 0)
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: a model of format version %s, written by version %s of this library; version %s reads format version 1: use "
                         "the one that wrote it, or a newer one",
                         path, version ? version : "unknown", writer ? writer : "unknown", hsae_version());
    if (!json)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: its metadata lacks the configuration; take another copy", path);
    hsae_config_stored_defaults(config);
    status = hsae_config_parse((hsae_context *)context, config, json, path);
    if (!status)
        status = hsae_config_check(context, config, path);
    if (status)
        return status == HSAE_ERROR_MEMORY ? status : HSAE_ERROR_FORMAT;
    const struct hsae_tensor *mean = hsae_safetensors_find(*file, "input.mean");
    if (!mean || mean->rank != 1 || mean->shape[0] < 1 || mean->shape[0] > UINT32_MAX)
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: tensor \"input.mean\" is missing or not a vector; the file is damaged: take another copy", path);
    *dim = (uint32_t)mean->shape[0];
    snprintf(name, sizeof name, "levels.%" PRIu32 ".encoder.weight", config->level_count);
    if (hsae_safetensors_find(*file, name))
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: it has more levels than the %" PRIu32 " of its configuration; it is damaged: take another copy", path,
                         config->level_count);
    return HSAE_OK;
}

hsae_status hsae_model_read(hsae_context *context, const char *path, const struct hsae_safetensors *file, const hsae_config *config,
                            uint32_t dim, const struct matrix_rows *rows, hsae_model **out)
{
    struct slot slots[HSAE_MODEL_SLOTS];
    struct hsae_model shapes = {.config = *config, .dim = dim};
    size_t count = hsae_model_slots(&shapes, slots);
    hsae_status status = hsae_slots_check(context, path, file, slots, count);
    if (status)
        return status;
    status = alloc_model(context, config, dim, !rows, out);
    if (status)
        return status;
    hsae_model_slots(*out, slots);
    status = hsae_slots_read(context, path, file, slots, count, rows);
    if (status)
        hsae_model_free(out);
    return status;
}

hsae_status hsae_model_load(hsae_context *context, const char *path, hsae_model **out)
{
    HSAE_REQUIRE(context, context, path, out);
    struct hsae_safetensors *file = NULL;
    hsae_config config;
    uint32_t dim = 0;
    *out = NULL;
    hsae_status status = hsae_model_open(context, path, &file, &config, &dim);
    if (!status)
        status = hsae_model_read(context, path, file, &config, dim, NULL, out);
    hsae_safetensors_close(&file);
    return status;
}

static hsae_status refuse_array(void *user, uint32_t level, const char *what)
{
    (void)level;
    return hsae_fail(user, HSAE_ERROR_DATA, "hsae_model_create: %s", what);
}

static void copy_level(struct level_tensors *to, const hsae_level *from, uint32_t dim)
{
    size_t n = to->features, matrix = n * dim * sizeof(float);
    memcpy(to->encoder_weight, from->encoder_weight, matrix);
    memcpy(to->encoder_bias, from->encoder_bias, n * sizeof(float));
    memcpy(to->threshold, from->threshold, n * sizeof(float));
    memcpy(to->decoder_weight, from->decoder_weight, matrix);
    memcpy(to->decoder_bias, from->decoder_bias, dim * sizeof(float));
    for (size_t i = 0; i < n && to->parent; i++)
        to->parent[i] = from->parent ? from->parent[i] : -1;
}

hsae_status hsae_model_create(hsae_context *context, const hsae_config *config, uint32_t dim, const float *mean, float scale,
                              const hsae_level *levels, hsae_model **out)
{
    HSAE_REQUIRE(context, context, config, mean, levels, out);
    struct slot slots[HSAE_MODEL_SLOTS];
    const struct matrix_rows refusing = {.user = context, .refuse = refuse_array};
    hsae_config own = *config;
    *out = NULL;
    if (dim == 0)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "hsae_model_create: the width is 0");
    for (uint32_t l = 0; l < own.level_count && l < HSAE_MAX_LEVELS; l++) {
        const hsae_level *level = &levels[l];
        if (!level->encoder_weight || !level->encoder_bias || !level->threshold || !level->decoder_weight || !level->decoder_bias)
            return hsae_fail(context, HSAE_ERROR_ARGUMENT, "hsae_model_create: level %" PRIu32 " lacks an array", l);
        own.levels[l] = level->features;
    }
    hsae_status status = hsae_config_check(context, &own, "hsae_model_create");
    if (!status)
        status = hsae_model_alloc(context, &own, dim, out);
    if (status)
        return status;
    memcpy((*out)->mean, mean, dim * sizeof *mean);
    (*out)->scale = scale;
    for (uint32_t l = 0; l < own.level_count; l++)
        copy_level(&(*out)->levels[l], &levels[l], dim);
    status = hsae_slots_verify(context, "hsae_model_create", slots, hsae_model_slots(*out, slots), &refusing);
    if (status)
        hsae_model_free(out);
    return status;
}

hsae_status hsae_model_save_rows(hsae_context *context, const hsae_model *model, const struct matrix_rows *rows, const char *path)
{
    struct slot slots[HSAE_MODEL_SLOTS];
    struct hsae_model copy = *model;
    return hsae_slots_write(context, path, &model->config, slots, hsae_model_slots(&copy, slots), rows);
}

hsae_status hsae_model_save(hsae_context *context, const hsae_model *model, const char *path)
{
    HSAE_REQUIRE(context, context, model, path);
    return hsae_model_save_rows(context, model, NULL, path);
}

hsae_status hsae_model_save_as(hsae_context *context, const hsae_model *model, hsae_dtype dtype, const char *path)
{
    HSAE_REQUIRE(context, context, model, path);
    struct slot slots[HSAE_MODEL_SLOTS];
    struct hsae_model copy = *model;
    size_t count = hsae_model_slots(&copy, slots);
    for (size_t i = 0; i < count && dtype != HSAE_DTYPE_F32; i++)
        if (slots[i].matrix)
            slots[i].stored = dtype == HSAE_DTYPE_F16 ? HSAE_TENSOR_F16 : HSAE_TENSOR_BF16;
    return hsae_slots_write(context, path, &model->config, slots, count, NULL);
}

uint32_t hsae_model_dim(const hsae_model *model)
{
    return model ? model->dim : 0;
}

const hsae_config *hsae_model_config(const hsae_model *model)
{
    return model ? &model->config : NULL;
}

hsae_level hsae_model_level(const hsae_model *model, uint32_t level)
{
    if (!model || level >= model->config.level_count)
        return (hsae_level){0};
    const struct level_tensors *l = &model->levels[level];
    return (hsae_level){l->features, l->encoder_weight, l->encoder_bias, l->threshold, l->decoder_weight, l->decoder_bias, l->parent};
}

hsae_status hsae_model_children(hsae_context *context, const hsae_model *model, uint32_t level, hsae_children *out)
{
    HSAE_REQUIRE(context, context, model, out);
    *out = (hsae_children){0};
    if (level >= model->config.level_count)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "level %" PRIu32 " of a model of %" PRIu32 " levels", level,
                         model->config.level_count);
    const bool last = level + 1 == model->config.level_count;
    const uint32_t parents = model->levels[level].features, count = last ? 0 : model->levels[level + 1].features;
    const int32_t *parent = last ? NULL : model->levels[level + 1].parent;
    out->starts = calloc((size_t)parents + 1, sizeof *out->starts);
    out->children = malloc(((size_t)count + 1) * sizeof *out->children);
    if (!out->starts || !out->children) {
        hsae_children_free(out);
        return hsae_fail_memory(context, ((uint64_t)parents + count + 2) * sizeof(uint32_t), NULL, "the children of level %" PRIu32, level);
    }
    for (uint32_t i = 0; i < count; i++)
        if (parent[i] >= 0)
            out->starts[parent[i]]++;
    for (uint32_t i = 1; i <= parents; i++) /* each is the end of its list, */
        out->starts[i] += out->starts[i - 1];
    for (uint32_t i = count; i > 0; i--) /* and moves to the start as it is filled from behind */
        if (parent[i - 1] >= 0)
            out->children[--out->starts[parent[i - 1]]] = i - 1;
    return HSAE_OK;
}

void hsae_children_free(hsae_children *children)
{
    if (!children)
        return;
    free(children->starts);
    free(children->children);
    *children = (hsae_children){0};
}

const float *hsae_model_mean(const hsae_model *model)
{
    return model ? model->mean : NULL;
}

float hsae_model_scale(const hsae_model *model)
{
    return model ? model->scale : 0;
}

void hsae_features_free(hsae_features *features)
{
    if (!features)
        return;
    free(features->indptr);
    free(features->indices);
    free(features->values);
    *features = (hsae_features){0};
}
