/* SPDX-License-Identifier: MIT */
/* Makes models of other tools' SAEs. exchange.h says how their parameters change. */
#include "base/config.h"
#include "base/context.h"
#include "base/file.h"
#include "data/folder.h"
#include "foreign.h"
#include "tree_file.h"
#include <hsae/exchange.h>

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows as close as this to norm 1 stay as they are: float32 does not get closer. */
static const double UNIT = 1e-6;

struct import {
    hsae_context *context;
    struct foreign saes[HSAE_MAX_LEVELS];
    uint32_t count;
};

/* ---- what there is ---- */

static hsae_status add(struct import *import, const char *path)
{
    if (import->count == HSAE_MAX_LEVELS)
        return hsae_fail(import->context, HSAE_ERROR_ARGUMENT, "%s: more than %d SAEs, which is the most levels that a model can have",
                         path, HSAE_MAX_LEVELS);
    return hsae_foreign_open(import->context, path, &import->saes[import->count++]);
}

enum { MAX_DEPTH = 4, MAX_ENTRIES = 10000 };

/* What a folder without an SAE holds, for a message. */
struct search {
    struct hsae_name_list saes, foreign;
    size_t entries;
};

/* Whether this file holds weights that only Python can read. */
static bool is_python_only(const char *name)
{
    return hsae_ends_with(name, ".pt") || hsae_ends_with(name, ".pth");
}

/* SAEs in the folders within `path`, and files of PyTorch in it or in those. */
static void search(struct search *found, const char *path, int depth)
{
    struct hsae_names names;
    if (depth > MAX_DEPTH || hsae_folder_names(path, &names))
        return;
    for (size_t i = 0; i < names.count && found->entries < MAX_ENTRIES; i++) {
        char *inner = hsae_path_join(path, names.items[i]);
        found->entries++;
        enum hsae_os_kind kind = inner ? hsae_os_kind(inner) : HSAE_OS_NONE;
        if (kind == HSAE_OS_FOLDER && hsae_foreign_is(inner))
            hsae_name_list_add(&found->saes, inner, NULL);
        else if (kind == HSAE_OS_FOLDER)
            search(found, inner, depth + 1);
        else if (kind == HSAE_OS_FILE && is_python_only(names.items[i]))
            hsae_name_list_add(&found->foreign, inner, NULL);
        free(inner);
    }
    hsae_names_free(&names);
}

static hsae_status nothing_there(struct import *import, const char *path)
{
    struct search found = {0};
    search(&found, path, 1);
    if (found.saes.count)
        return hsae_fail(import->context, HSAE_ERROR_FILE,
                         "%s: no SAE there, but %zu in folders within: %s; give those that are to be levels of one model", path,
                         found.saes.count, hsae_name_list_end(&found.saes));
    if (found.foreign.count || is_python_only(path))
        return hsae_fail(import->context, HSAE_ERROR_FORMAT,
                         "%s: SAEs in files of PyTorch are not read: %s; load them with the tool that wrote them and save them with "
                         "SAELens (save_inference_model)",
                         path, found.foreign.count ? hsae_name_list_end(&found.foreign) : path);
    return add(import, path); /* this fails, with a message that says what is expected */
}

/* A folder of folders. */
static hsae_status add_folder(struct import *import, const char *path)
{
    struct hsae_names names;
    uint32_t before = import->count;
    hsae_status status = HSAE_OK;
    int error = hsae_names_read(path, &names);
    if (error == ENOMEM)
        return hsae_fail_reading(import->context, path, ENOMEM);
    for (size_t i = 0; i < names.count && !status; i++) {
        char inner[4096];
        int length = snprintf(inner, sizeof inner, "%s/%s", path, names.items[i]);
        if (length < (int)sizeof inner && hsae_os_kind(inner) == HSAE_OS_FOLDER && hsae_foreign_is(inner))
            status = add(import, inner);
    }
    hsae_names_free(&names);
    return status || import->count > before ? status : nothing_there(import, path);
}

static int by_features(const void *left, const void *right)
{
    const struct foreign *a = left, *b = right;
    return a->features < b->features ? -1 : a->features > b->features;
}

static hsae_status find(struct import *import, const char *const *paths, size_t path_count)
{
    hsae_status status = HSAE_OK;
    for (size_t i = 0; i < path_count && !status; i++)
        status = hsae_foreign_is(paths[i]) ? add(import, paths[i]) : add_folder(import, paths[i]);
    if (!status && !import->count)
        status = hsae_fail(import->context, HSAE_ERROR_ARGUMENT, "no SAE to import");
    if (status)
        return status;
    qsort(import->saes, import->count, sizeof *import->saes, by_features);
    for (uint32_t l = 1; l < import->count; l++) {
        const struct foreign *above = &import->saes[l - 1], *below = &import->saes[l];
        if (below->dim != above->dim)
            return hsae_fail(import->context, HSAE_ERROR_DATA,
                             "%s: of width %" PRIu32 ", but %s is of width %" PRIu32 "; levels are SAEs of the same activations",
                             below->path, below->dim, above->path, above->dim);
        if (*below->place && *above->place && strcmp(below->place, above->place) != 0)
            return hsae_fail(
                import->context, HSAE_ERROR_DATA,
                "%s: an SAE of \"%s\", but %s is of \"%s\"; levels are SAEs of the same activations: import them into models of "
                "their own",
                below->path, below->place, above->path, above->place);
        if (below->features == above->features)
            return hsae_fail(import->context, HSAE_ERROR_DATA,
                             "%s and %s have %" PRIu32 " features each; levels must differ in size: import them into models of their own",
                             above->path, below->path, below->features);
    }
    return HSAE_OK;
}

/* ---- one level ---- */

struct target {
    float *values;
    uint64_t length; /* of a row, in the target */
    uint64_t columns;
};

static void take_rows(void *user, uint64_t first_row, uint64_t rows, const float *values)
{
    const struct target *target = user;
    memcpy(target->values + first_row * target->length, values, rows * target->length * sizeof *values);
}

/* Rows of W_enc are columns of E. */
static void take_columns(void *user, uint64_t first_row, uint64_t rows, const float *values)
{
    const struct target *target = user;
    for (uint64_t i = 0; i < target->columns; i++)
        for (uint64_t k = 0; k < rows; k++)
            target->values[i * target->length + first_row + k] = values[k * target->columns + i];
}

static void scale(float *values, uint64_t count, double factor)
{
    for (uint64_t i = 0; i < count && factor != 1; i++)
        values[i] = (float)(values[i] * factor);
}

/* Each row of the decoder times a factor of its own. */
static hsae_status scale_rows(const struct foreign *sae, struct level_tensors *level)
{
    float *factors = malloc(level->features * sizeof *factors);
    struct target target = {factors, level->features, 0};
    if (!factors)
        return hsae_fail(sae->context, HSAE_ERROR_MEMORY, "%s: out of memory", sae->path);
    hsae_status status = hsae_foreign_read(sae, FOREIGN_SCALING, take_rows, &target);
    for (uint32_t i = 0; i < level->features && !status; i++)
        scale(level->decoder_weight + (size_t)i * sae->dim, sae->dim, factors[i]);
    free(factors);
    return status;
}

static hsae_status read_level(const struct foreign *sae, struct level_tensors *level)
{
    uint64_t n = sae->features, d = sae->dim;
    struct target encoder = {level->encoder_weight, d, n}, decoder = {level->decoder_weight, d, n}, bias = {level->encoder_bias, n, 0};
    struct target threshold = {level->threshold, n, 0}, offset = {level->decoder_bias, d, 0};
    hsae_status status = hsae_foreign_read(sae, FOREIGN_W_ENC, sae->by_feature ? take_rows : take_columns, &encoder);
    if (!status)
        status = hsae_foreign_read(sae, FOREIGN_W_DEC, sae->by_feature ? take_columns : take_rows, &decoder);
    if (!status)
        status = hsae_foreign_read(sae, FOREIGN_B_ENC, take_rows, &bias);
    for (uint64_t k = 0; k < d; k++)
        level->decoder_bias[k] = 0;
    if (!status && sae->names[FOREIGN_B_DEC])
        status = hsae_foreign_read(sae, FOREIGN_B_DEC, take_rows, &offset);
    for (uint64_t i = 0; i < n; i++)
        level->threshold[i] = (float)sae->threshold;
    if (!status && sae->names[FOREIGN_THRESHOLD])
        status = hsae_foreign_read(sae, FOREIGN_THRESHOLD, take_rows, &threshold);
    if (!status && sae->names[FOREIGN_SCALING])
        status = scale_rows(sae, level);
    if (status)
        return status;
    scale(level->encoder_bias, n, sae->b_enc_factor);
    scale(level->decoder_weight, n * d, sae->w_dec_factor);
    scale(level->decoder_bias, d, sae->b_dec_factor);
    return HSAE_OK;
}

/* Changes to count, for the log. */
struct changes {
    uint64_t raised; /* thresholds of 0 and below */
    uint64_t empty;  /* decoder rows of zeros */
};

/* Thresholds must be above 0. An SAE that rectifies, with a threshold of 0 or below, is active where p > 0; the smallest normal number as
 * threshold does the same. In one that does not rectify, activations below 0 would be lost, so it is refused. */
static hsae_status raise_threshold(const struct foreign *sae, uint32_t i, float *threshold, struct changes *changes)
{
    if (*threshold >= FLT_MIN)
        return HSAE_OK;
    if (*threshold < 0 && !sae->rectifies)
        return hsae_fail(sae->context, HSAE_ERROR_FORMAT,
                         "%s: tensor \"threshold\": element %" PRIu32 " is %g: the feature's activations would be below 0, which cannot be "
                         "represented; expected 0 or more",
                         sae->path, i, (double)*threshold);
    *threshold = FLT_MIN;
    changes->raised++;
    return HSAE_OK;
}

/* Gives the decoder's row unit norm. `of_unit_rows`: the threshold is meant for such a row already. */
static void normalise(struct level_tensors *level, uint32_t i, uint32_t d, bool of_unit_rows, struct changes *changes)
{
    float *encoder = level->encoder_weight + (size_t)i * d, *decoder = level->decoder_weight + (size_t)i * d;
    double squares = 0;
    for (uint32_t k = 0; k < d; k++)
        squares += (double)decoder[k] * decoder[k];
    double norm = sqrt(squares);
    if (fabs(norm - 1) <= UNIT)
        return;
    for (uint32_t k = 0; k < d; k++) {
        encoder[k] = (float)(encoder[k] * norm);
        decoder[k] = norm > 0 ? (float)(decoder[k] / norm) : k == i % d;
    }
    level->encoder_bias[i] = (float)(level->encoder_bias[i] * norm);
    if (norm > 0 && !of_unit_rows)
        level->threshold[i] = (float)(level->threshold[i] * norm);
    else if (!(norm > 0))
        level->threshold[i] = 1; /* never active */
    if (level->threshold[i] < FLT_MIN)
        level->threshold[i] = FLT_MIN;
    changes->empty += norm == 0;
}

static hsae_status fold(const struct foreign *sae, struct level_tensors *level)
{
    struct changes changes = {0};
    uint32_t d = sae->dim;
    for (uint32_t i = 0; i < level->features; i++) {
        const float *encoder = level->encoder_weight + (size_t)i * d;
        hsae_status status = raise_threshold(sae, i, &level->threshold[i], &changes);
        if (status)
            return status;
        double bias = level->encoder_bias[i];
        for (uint32_t k = 0; k < d && sae->subtracts; k++)
            bias -= (double)encoder[k] * level->decoder_bias[k];
        level->encoder_bias[i] = (float)bias;
        normalise(level, i, d, sae->of_unit_rows, &changes);
        bool good = isfinite(level->encoder_bias[i]) && isfinite(level->threshold[i]);
        const float *decoder = level->decoder_weight + (size_t)i * d;
        for (uint32_t k = 0; k < d; k++)
            good &= isfinite(encoder[k]) && isfinite(decoder[k]) && isfinite(level->decoder_bias[k]);
        if (!good)
            return hsae_fail(sae->context, HSAE_ERROR_FORMAT,
                             "%s: feature %" PRIu32 ": with the norm of its decoder row folded, float32 cannot hold its parameters",
                             sae->path, i);
    }
    if (changes.raised)
        hsae_log(sae->context, HSAE_LOG_INFO,
                 "%s: %" PRIu64 " of %" PRIu32
                 " thresholds are not above 0: the features are active where their pre-activations are above 0",
                 sae->path, changes.raised, level->features);
    if (changes.empty)
        hsae_log(sae->context, HSAE_LOG_WARNING,
                 "%s: %" PRIu64 " of %" PRIu32 " decoder rows are zero: the features add nothing and are never active in the model",
                 sae->path, changes.empty, level->features);
    return HSAE_OK;
}

/* ---- all ---- */

static hsae_status make_model(struct import *import, hsae_model **out)
{
    hsae_config config;
    hsae_config_stored_defaults(&config);
    config.level_count = import->count;
    config.center = HSAE_CENTER_NONE;
    config.tree = HSAE_TREE_POSTHOC;
    for (uint32_t l = 0; l < import->count; l++) {
        config.levels[l] = import->saes[l].features;
        config.target_l0[l] = config.target_l0[l] < config.levels[l] ? config.target_l0[l] : config.levels[l];
    }
    if (hsae_config_check(import->context, &config, import->saes[0].path))
        return HSAE_ERROR_DATA;
    hsae_status status = hsae_model_alloc(import->context, &config, import->saes[0].dim, out);
    if (status)
        return status;
    hsae_model *model = *out;
    model->scale = 1;
    for (uint32_t l = 0; l < import->count && !status; l++) {
        status = read_level(&import->saes[l], &model->levels[l]);
        if (!status)
            status = fold(&import->saes[l], &model->levels[l]);
    }
    bool together = import->saes[0].parent[0] != '\0';
    for (uint32_t l = 1; l < import->count; l++)
        together &= strcmp(import->saes[l].parent, import->saes[0].parent) == 0;
    if (!status && together)
        return hsae_tree_read(import->context, model, import->saes[0].parent);
    hsae_tree_clear(model);
    return status;
}

hsae_status hsae_model_import(hsae_context *context, const char *const *paths, size_t path_count, hsae_model **out)
{
    HSAE_REQUIRE(context, context, paths, out);
    struct import *import = calloc(1, sizeof *import);
    *out = NULL;
    if (!import)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for an import");
    import->context = context;
    hsae_status status = find(import, paths, path_count);
    if (!status)
        status = make_model(import, out);
    if (status)
        hsae_model_free(out);
    for (uint32_t l = 0; l < HSAE_MAX_LEVELS; l++)
        hsae_foreign_close(&import->saes[l]);
    free(import);
    return status;
}
