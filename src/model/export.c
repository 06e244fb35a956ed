/* SPDX-License-Identifier: MIT */
/* Writes models as folders that other tools load. exchange.h has the formulas. */
#include "base/file.h"
#include "base/json.h"
#include "data/npz.h"
#include "data/safetensors.h"
#include "tree_file.h"
#include <hsae/exchange.h>

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAELENS_VERSION "6.0.0" /* the version of the format; without one SAELens drops the metadata */

static const char *const files_of_a_level[] = {"sae_weights.safetensors", "cfg.json", "params.npz"};

struct export
{
    const hsae_context *context;
    const hsae_model *model;
    const hsae_metadata *metadata;
    size_t metadata_count;
    char folder[3072]; /* being written */
};

/* W_enc [d, n] from rows of E [n, d], a block of its rows at a time. Starts over at the end. */
enum { BLOCK = 16 };
struct transposed {
    const float *rows;
    uint64_t n, d, at; /* element */
    float *block;      /* [BLOCK][n] */
};

static hsae_status next_transposed(void *user, size_t count, void *out)
{
    struct transposed *t = user;
    for (float *to = out; count;) {
        uint64_t row = t->at / t->n, first = row - row % BLOCK, begin = t->at - first * t->n;
        uint64_t height = t->d - first < BLOCK ? t->d - first : BLOCK, now = height * t->n - begin;
        if (begin == 0)
            for (uint64_t i = 0; i < t->n; i++)
                for (uint64_t k = 0; k < height; k++)
                    t->block[k * t->n + i] = t->rows[i * t->d + first + k];
        now = now < count ? now : count;
        memcpy(to, t->block + begin, now * sizeof *to);
        to += now;
        count -= now;
        t->at = (t->at + now) % (t->n * t->d);
    }
    return HSAE_OK;
}

/* One level's tensors in raw units. */
struct folded {
    float *b_enc, *threshold, *b_dec;
    struct transposed w_enc;
};

static void release(struct folded *folded)
{
    free(folded->b_enc);
    free(folded->threshold);
    free(folded->b_dec);
    free(folded->w_enc.block);
}

static hsae_status fold(const struct export *export, uint32_t level, struct folded *folded)
{
    const hsae_model *model = export->model;
    const struct level_tensors *l = &model->levels[level];
    double scale = model->scale;
    uint32_t n = l->features, d = model->dim;
    folded->b_enc = malloc(n * sizeof(float));
    folded->threshold = malloc(n * sizeof(float));
    folded->b_dec = malloc(d * sizeof(float));
    folded->w_enc = (struct transposed){l->encoder_weight, n, d, 0, malloc((size_t)BLOCK * n * sizeof(float))};
    if (!folded->b_enc || !folded->threshold || !folded->b_dec || !folded->w_enc.block)
        return hsae_fail(export->context, HSAE_ERROR_MEMORY, "out of memory for level %" PRIu32 " of %" PRIu32 " features", level, n);
    for (uint32_t i = 0; i < n; i++) {
        const float *row = l->encoder_weight + (size_t)i * d;
        double bias = l->encoder_bias[i] / scale;
        for (uint32_t k = 0; k < d; k++)
            bias -= (double)row[k] * model->mean[k];
        folded->b_enc[i] = (float)bias;
        folded->threshold[i] = (float)(l->threshold[i] / scale);
        if (!isfinite(folded->b_enc[i]) || !isnormal(folded->threshold[i]))
            return hsae_fail(export->context, HSAE_ERROR_DATA,
                             "level %" PRIu32 ", feature %" PRIu32
                             ": with the scale %g folded its bias is %g and its threshold %g, which float32 cannot hold",
                             level, i, scale, bias, l->threshold[i] / scale);
    }
    for (uint32_t k = 0; k < d; k++) {
        folded->b_dec[k] = (float)(l->decoder_bias[k] / scale + model->mean[k]);
        if (!isfinite(folded->b_dec[k]))
            return hsae_fail(export->context, HSAE_ERROR_DATA,
                             "level %" PRIu32 ", column %" PRIu32
                             ": with the scale %g folded the decoder's bias is %g, which float32 cannot hold",
                             level, k, scale, l->decoder_bias[k] / scale + model->mean[k]);
    }
    return HSAE_OK;
}

/* A value that is JSON keeps its type. */
static json_t *typed_value(const char *text)
{
    struct hsae_json_error wrong;
    json_t *value = hsae_json_read(text, strlen(text), &wrong);
    return value || wrong.no_memory ? value : json_string(text);
}

static const char *const fixed_keys[] = {"sae_lens_version", "sae_lens_training_version", "hsae_level", "hsae_levels", "hsae_tree"};

static json_t *metadata_json(const struct export *export, uint32_t level)
{
    json_t *levels = json_array();
    for (uint32_t l = 0; l < export->model->config.level_count; l++)
        json_array_append_new(levels, json_integer(export->model->config.levels[l]));
    json_t *metadata =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:n, s:n, s:[n], s:n, s:I, s:o, s:s}", "sae_lens_version", SAELENS_VERSION,
                  "sae_lens_training_version", "model_name", "hook_name", "hook_head_index", "context_size", "prepend_bos", "seqpos_slice",
                  "dataset_path", "hsae_level", (json_int_t)level, "hsae_levels", levels, "hsae_tree", "../" HSAE_TREE_TENSORS);
    bool good = metadata != NULL;
    for (size_t i = 0; i < export->metadata_count && good; i++)
        good = !json_object_set_new(metadata, export->metadata[i].key, typed_value(export->metadata[i].value));
    if (good)
        return metadata;
    json_decref(metadata);
    return NULL;
}

static hsae_status write_saelens(const struct export *export, const char *folder, uint32_t level, const struct hsae_new_tensor *tensors,
                                 size_t count)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/sae_weights.safetensors", folder);
    hsae_status status = hsae_safetensors_write(export->context, path, NULL, 0, tensors, count);
    if (status)
        return status;
    json_t *cfg =
        json_pack("{s:s, s:I, s:I, s:s, s:s, s:b, s:s, s:s, s:o}", "architecture", "jumprelu", "d_in", (json_int_t) export->model->dim,
                  "d_sae", (json_int_t) export->model->levels[level].features, "dtype", "float32", "device", "cpu", "apply_b_dec_to_input",
                  0, "normalize_activations", "none", "reshape_activations", "none", "metadata", metadata_json(export, level));
    snprintf(path, sizeof path, "%s/cfg.json", folder);
    return hsae_json_write(export->context, path, cfg, JSON_REAL_PRECISION(17));
}

static hsae_status export_level(const struct export *export, hsae_export_format format, uint32_t level)
{
    const struct level_tensors *l = &export->model->levels[level];
    struct folded folded = {0};
    char folder[3500], path[4096];
    uint64_t n = l->features, d = export->model->dim;
    snprintf(folder, sizeof folder, "%s/level-%" PRIu32, export->folder, level);
    if (hsae_os_make_folder(folder))
        return hsae_fail(export->context, HSAE_ERROR_FILE, "%s: cannot be made: %s%s", folder, strerror(errno), hsae_os_advice(errno));
    hsae_status status = fold(export, level, &folded);
    const struct hsae_new_tensor tensors[] = {
        {.name = "W_enc", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {d, n}, .next = next_transposed, .user = &folded.w_enc},
        {.name = "b_enc", .type = HSAE_TENSOR_F32, .rank = 1, .shape = {n}, .data = folded.b_enc},
        {.name = "W_dec", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {n, d}, .data = l->decoder_weight},
        {.name = "b_dec", .type = HSAE_TENSOR_F32, .rank = 1, .shape = {d}, .data = folded.b_dec},
        {.name = "threshold", .type = HSAE_TENSOR_F32, .rank = 1, .shape = {n}, .data = folded.threshold},
    };
    size_t count = sizeof tensors / sizeof *tensors;
    snprintf(path, sizeof path, "%s/params.npz", folder);
    if (!status)
        status = format == HSAE_EXPORT_SAELENS ? write_saelens(export, folder, level, tensors, count)
                                               : hsae_npz_write(export->context, path, tensors, count);
    release(&folded);
    return status;
}

/* Removes what a failed export has written. */
static void remove_folder(const struct export *export)
{
    char path[4096];
    for (uint32_t l = 0; l < export->model->config.level_count; l++) {
        for (size_t k = 0; k < sizeof files_of_a_level / sizeof *files_of_a_level; k++) {
            snprintf(path, sizeof path, "%s/level-%" PRIu32 "/%s", export->folder, l, files_of_a_level[k]);
            hsae_os_remove(path);
        }
        snprintf(path, sizeof path, "%s/level-%" PRIu32, export->folder, l);
        hsae_os_remove_folder(path);
    }
    snprintf(path, sizeof path, "%s/" HSAE_TREE_TENSORS, export->folder);
    hsae_os_remove(path);
    snprintf(path, sizeof path, "%s/" HSAE_TREE_JSON, export->folder);
    hsae_os_remove(path);
    hsae_os_remove_folder(export->folder);
}

static hsae_status check_metadata(const struct export *export)
{
    for (size_t i = 0; i < export->metadata_count; i++) {
        const char *key = export->metadata[i].key;
        json_t *text = json_string(key);
        bool good = text && *key;
        json_decref(text);
        for (size_t k = 0; k < sizeof fixed_keys / sizeof *fixed_keys; k++)
            good &= strcmp(key, fixed_keys[k]) != 0;
        if (!good)
            return hsae_fail(export->context, HSAE_ERROR_ARGUMENT,
                             "metadata \"%s\": not a key that can be given; give model_name, hook_name, context_size, prepend_bos, "
                             "dataset_path or names of your own",
                             key);
        text = typed_value(export->metadata[i].value);
        json_decref(text);
        if (!text)
            return hsae_fail(export->context, HSAE_ERROR_ARGUMENT, "metadata \"%s\": its value is not UTF-8 text", key);
    }
    return HSAE_OK;
}

hsae_status hsae_model_export(hsae_context *context, const hsae_model *model, hsae_export_format format, const char *path,
                              const hsae_metadata *metadata, size_t metadata_count)
{
    HSAE_REQUIRE(context, context, model, path);
    struct export export = {.context = context, .model = model, .metadata = metadata, .metadata_count = metadata_count};
    size_t length = strlen(path);
    while (length > 1 && hsae_os_is_separator(path[length - 1]))
        length--;
    if (length > 2999)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "%s: the path is too long", path);
    hsae_status status = check_metadata(&export);
    if (status)
        return status;
    /* rename would fail, too, but only after all the work. */
    char target[3000];
    snprintf(target, sizeof target, "%.*s", (int)length, path);
    if (hsae_os_remove_folder(target) && errno != ENOENT)
        return hsae_fail(context, HSAE_ERROR_FILE, "%s: exists already and is not an empty folder; name another or remove it", target);
    snprintf(export.folder, sizeof export.folder, "%s.hsae-%ld.tmp", target, hsae_os_process());
    if (hsae_os_make_folder(export.folder))
        return hsae_fail(context, HSAE_ERROR_FILE, "%s: cannot be made: %s%s", export.folder, strerror(errno), hsae_os_advice(errno));
    for (uint32_t l = 0; l < model->config.level_count && !status; l++)
        status = export_level(&export, format, l);
    if (!status)
        status = hsae_tree_write(context, model, export.folder);
    if (!status && hsae_os_rename(export.folder, target))
        status = hsae_fail(context, HSAE_ERROR_FILE, "%s: cannot be made: %s%s", target, strerror(errno), hsae_os_advice(errno));
    if (status)
        remove_folder(&export);
    else
        hsae_os_sync_parent(target);
    return status;
}
