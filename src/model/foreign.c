/* SPDX-License-Identifier: MIT */
#include "foreign.h"
#include "base/file.h"
#include "base/json.h"
#include "data/npz.h"
#include "data/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JSON = 1 << 20, BLOCK_ROWS = 16, MAX_FOLDER = 4000 };

/* Names of the tensors in SAELens and Gemma Scope; in Gemma Scope 2; in Llama Scope. */
static const char *const usual_names[FOREIGN_TENSORS] = {"W_enc", "b_enc", "W_dec", "b_dec", "threshold"};
static const char *const lower_names[FOREIGN_TENSORS] = {"w_enc", "b_enc", "w_dec", "b_dec", "threshold"};
static const char *const layer_names[FOREIGN_TENSORS] = {"encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"};

/* ---- one tensor, in order ---- */

struct source {
    const struct foreign *foreign;
    const char *name;
    const struct hsae_tensor *tensor; /* of either kind of file: */
    struct hsae_npz_stream *stream;
    uint32_t rank;
    const uint64_t *shape;
    uint64_t at;
};

static hsae_status missing(const struct foreign *foreign, const char *name)
{
    return hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\" is missing%s", foreign->path, name,
                     strcmp(name, "threshold") == 0
                         ? "; a jumprelu SAE has W_enc, b_enc, W_dec, b_dec and threshold (a training state of SAELens before 6.40 is "
                           "without one: save_inference_model writes it)"
                         : "; this SAE needs it: fetch the file again");
}

static hsae_status open_source(const struct foreign *foreign, const char *name, struct source *source)
{
    *source = (struct source){.foreign = foreign, .name = name};
    if (foreign->arrays) {
        const struct hsae_npz_array *array = hsae_npz_find(foreign->arrays, name);
        hsae_status status = array ? hsae_npz_stream_open(foreign->arrays, array, &source->stream) : missing(foreign, name);
        if (status)
            return status;
        source->rank = hsae_npz_stream_rank(source->stream);
        source->shape = hsae_npz_stream_shape(source->stream);
        return HSAE_OK;
    }
    source->tensor = hsae_safetensors_find(foreign->tensors, name);
    if (!source->tensor)
        return missing(foreign, name);
    enum hsae_tensor_type type = source->tensor->type;
    if (type != HSAE_TENSOR_F32 && type != HSAE_TENSOR_F16 && type != HSAE_TENSOR_BF16)
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\" is %s; expected F32, F16 or BF16", foreign->path, name,
                         source->tensor->type_name);
    source->rank = source->tensor->rank;
    source->shape = source->tensor->shape;
    return HSAE_OK;
}

static void close_source(struct source *source)
{
    hsae_npz_stream_close(&source->stream);
}

static hsae_status next(struct source *source, size_t count, float *out)
{
    hsae_status status = HSAE_OK;
    if (source->stream) {
        status = hsae_npz_stream_next(source->stream, count, out);
    } else {
        status = hsae_tensor_floats(source->foreign->tensors, source->tensor, source->at, count, out);
    }
    for (size_t i = 0; i < count && !status; i++)
        if (!isfinite(out[i]))
            status = hsae_fail(source->foreign->context, HSAE_ERROR_FORMAT,
                               "%s: tensor \"%s\": element %" PRIu64 " is %g; expected a finite number", source->foreign->path,
                               source->name, source->at + i, (double)out[i]);
    source->at += count;
    return status;
}

static hsae_status check_unchanged(const struct foreign *foreign)
{
    return foreign->arrays ? hsae_npz_check_unchanged(foreign->arrays) : hsae_file_check_unchanged(hsae_safetensors_file(foreign->tensors));
}

hsae_status hsae_foreign_read(const struct foreign *foreign, enum foreign_tensor which, hsae_foreign_fn take, void *user)
{
    struct source source;
    hsae_status status = open_source(foreign, foreign->names[which], &source);
    if (!status) {
        uint64_t length = source.shape[source.rank - 1], rows = source.rank == 2 ? source.shape[0] : 1;
        float *block = malloc(BLOCK_ROWS * length * sizeof *block);
        if (!block)
            status = hsae_fail(foreign->context, HSAE_ERROR_MEMORY, "%s: out of memory", foreign->path);
        for (uint64_t row = 0, count; row < rows && !status; row += count) {
            count = rows - row < BLOCK_ROWS ? rows - row : BLOCK_ROWS;
            status = next(&source, (size_t)(count * length), block);
            if (!status)
                take(user, row, count, block);
        }
        free(block);
    }
    close_source(&source);
    return status ? status : check_unchanged(foreign);
}

/* ---- shapes ---- */

static hsae_status check_shape(const struct foreign *foreign, enum foreign_tensor which, uint32_t rank, uint64_t first, uint64_t second)
{
    char wanted[192], found[192];
    const char *name = foreign->names[which];
    const uint64_t shape[] = {first, second};
    struct source source;
    if (!name)
        return HSAE_OK;
    hsae_status status = open_source(foreign, name, &source);
    if (!status && (source.rank != rank || memcmp(source.shape, shape, rank * sizeof *shape) != 0))
        status = hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\" has shape %s; %s wants %s", foreign->path, name,
                           hsae_shape_text(found, source.rank < 3 ? source.rank : 3, source.shape), foreign->names[FOREIGN_W_DEC],
                           hsae_shape_text(wanted, rank, shape));
    close_source(&source);
    return status;
}

/* Takes n and d from the decoder; the other tensors must agree. */
static hsae_status check_shapes(struct foreign *foreign)
{
    struct source source;
    uint64_t n = 0, d = 0;
    hsae_status status = open_source(foreign, foreign->names[FOREIGN_W_DEC], &source);
    if (!status && source.rank == 2) {
        n = source.shape[foreign->by_feature ? 1 : 0];
        d = source.shape[foreign->by_feature ? 0 : 1];
    }
    if (!status && (n == 0 || d == 0 || n > UINT32_MAX || d > UINT32_MAX))
        status = hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\" is not a matrix [%s]", foreign->path,
                           foreign->names[FOREIGN_W_DEC], foreign->by_feature ? "width, features" : "features, width");
    close_source(&source);
    if (!status)
        status = check_shape(foreign, FOREIGN_W_ENC, 2, foreign->by_feature ? n : d, foreign->by_feature ? d : n);
    if (!status)
        status = check_shape(foreign, FOREIGN_B_ENC, 1, n, 0);
    if (!status)
        status = check_shape(foreign, FOREIGN_B_DEC, 1, d, 0);
    if (!status)
        status = check_shape(foreign, FOREIGN_THRESHOLD, 1, n, 0);
    if (!status)
        status = check_shape(foreign, FOREIGN_SCALING, 1, n, 0);
    foreign->features = (uint32_t)n;
    foreign->dim = (uint32_t)d;
    return status;
}

/* ---- configurations ---- */

static hsae_status read_json(const hsae_context *context, const char *path, json_t **out)
{
    struct hsae_json_error wrong;
    char *text;
    size_t size;
    *out = NULL;
    hsae_status status = hsae_file_load(context, path, MAX_JSON, &text, &size);
    if (status)
        return status;
    *out = hsae_json_read(text, size, &wrong);
    if (!*out && wrong.no_memory)
        status = hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    else if (!json_is_object(*out))
        status = hsae_fail(context, HSAE_ERROR_FORMAT, "%s: not the configuration of an SAE: %s", path,
                           *out ? "it is not a JSON object" : wrong.text);
    free(text);
    if (status) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

static hsae_status check_size(const struct foreign *foreign, const char *path, const json_t *cfg, const char *key, uint32_t found)
{
    const json_t *value = json_object_get(cfg, key);
    if (!json_is_integer(value))
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: %s is missing or not an integer; the weights say %" PRIu32, path, key,
                         found);
    return json_integer_value(value) == found
               ? HSAE_OK
               : hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: %s is %lld, but the weights say %" PRIu32, path, key,
                           (long long)json_integer_value(value), found);
}

/* Whether all of a tensor is 1. */
static hsae_status is_ones(const struct foreign *foreign, const struct hsae_tensor *tensor, bool *ones)
{
    float values[1024];
    *ones = tensor->type == HSAE_TENSOR_F32 || tensor->type == HSAE_TENSOR_F16 || tensor->type == HSAE_TENSOR_BF16;
    for (uint64_t first = 0, count; first < tensor->count && *ones; first += count) {
        count = tensor->count - first < 1024 ? tensor->count - first : 1024;
        hsae_status status = hsae_tensor_floats(foreign->tensors, tensor, first, (size_t)count, values);
        if (status)
            return status;
        for (uint64_t k = 0; k < count; k++)
            *ones &= values[k] == 1;
    }
    return HSAE_OK;
}

/* Refuses tensors of unknown use, which would be lost. Versions of SAELens before 6 left a scaling factor of ones, which is no loss. */
static hsae_status check_others(const struct foreign *foreign)
{
    for (size_t i = 0; i < hsae_safetensors_count(foreign->tensors); i++) {
        const struct hsae_tensor *tensor = hsae_safetensors_at(foreign->tensors, i);
        bool known = false;
        if (strcmp(tensor->name, "scaling_factor") == 0) {
            hsae_status status = is_ones(foreign, tensor, &known);
            if (status)
                return status;
        }
        for (int k = 0; k < FOREIGN_TENSORS; k++)
            known |= foreign->names[k] && strcmp(tensor->name, foreign->names[k]) == 0;
        if (!known)
            return hsae_fail(foreign->context, HSAE_ERROR_FORMAT,
                             "%s: tensor \"%s\" has no place in this kind of SAE: what it does would be lost", foreign->path, tensor->name);
    }
    return HSAE_OK;
}

static hsae_status open_tensors(struct foreign *foreign)
{
    hsae_status status = hsae_safetensors_open(foreign->context, foreign->path, &foreign->tensors);
    if (status)
        return status;
    if (foreign->names[FOREIGN_SCALING] && !hsae_safetensors_find(foreign->tensors, foreign->names[FOREIGN_SCALING]))
        foreign->names[FOREIGN_SCALING] = NULL;
    status = check_others(foreign);
    return status ? status : check_shapes(foreign);
}

/* ---- the kinds of folders ---- */

static bool has(const char *folder, const char *name)
{
    char path[4096];
    return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path && hsae_os_kind(path) == HSAE_OS_FILE;
}

static hsae_status open_saelens(const char *folder, struct foreign *foreign)
{
    char path[4096];
    json_t *cfg;
    snprintf(path, sizeof path, "%s/cfg.json", folder);
    snprintf(foreign->path, sizeof foreign->path, "%s/sae_weights.safetensors", folder);
    hsae_status status = read_json(foreign->context, path, &cfg);
    if (!status)
        status = hsae_foreign_saelens(foreign, path, cfg, has(folder, "sae.safetensors") && !has(folder, "sae_weights.safetensors"));
    if (!status)
        status = open_tensors(foreign);
    if (!status)
        status = check_size(foreign, path, cfg, "d_in", foreign->dim);
    if (!status)
        status = check_size(foreign, path, cfg, "d_sae", foreign->features);
    json_decref(cfg);
    return status;
}

static hsae_status open_gemma_scope_2(const char *folder, struct foreign *foreign)
{
    char path[4096];
    json_t *cfg = NULL;
    hsae_status status = HSAE_OK;
    memcpy(foreign->names, lower_names, sizeof lower_names);
    snprintf(path, sizeof path, "%s/config.json", folder);
    snprintf(foreign->path, sizeof foreign->path, "%s/params.safetensors", folder);
    if (has(folder, "config.json")) {
        status = read_json(foreign->context, path, &cfg);
        if (!status)
            status = hsae_foreign_gemma_scope_2(foreign, path, cfg);
    } else {
        hsae_log(foreign->context, HSAE_LOG_WARNING, "%s: there is no config.json beside it; it is taken for a JumpReLU SAE",
                 foreign->path);
    }
    foreign->rectifies = true;
    if (!status)
        status = open_tensors(foreign);
    if (!status && json_object_get(cfg, "width"))
        status = check_size(foreign, path, cfg, "width", foreign->features);
    json_decref(cfg);
    return status;
}

/* In the order of the authors' own code. */
static const char *const scope_weights[] = {"sae_weights.safetensors", "checkpoints/pruned.safetensors", "checkpoints/final.safetensors"};
enum { SCOPE_WEIGHTS = sizeof scope_weights / sizeof *scope_weights };

static hsae_status open_llama_scope(const char *folder, struct foreign *foreign)
{
    char path[4096];
    json_t *cfg;
    int which = 0;
    memcpy(foreign->names, layer_names, sizeof layer_names);
    foreign->by_feature = true;
    while (which < SCOPE_WEIGHTS - 1 && !has(folder, scope_weights[which]))
        which++;
    snprintf(path, sizeof path, "%s/hyperparams.json", folder);
    snprintf(foreign->path, sizeof foreign->path, "%s/%s", folder, scope_weights[which]);
    hsae_status status = read_json(foreign->context, path, &cfg);
    if (!status)
        status = hsae_foreign_llama_scope(foreign, path, cfg);
    if (!status)
        status = open_tensors(foreign);
    if (!status)
        status = check_size(foreign, path, cfg, "d_model", foreign->dim);
    if (!status && json_object_get(cfg, "d_sae"))
        status = check_size(foreign, path, cfg, "d_sae", foreign->features);
    json_decref(cfg);
    return status;
}

static hsae_status open_archive(const char *path, struct foreign *foreign)
{
    snprintf(foreign->path, sizeof foreign->path, "%s", path);
    if (strstr(path, "transcoder"))
        hsae_log(
            foreign->context, HSAE_LOG_WARNING,
            "%s: by its path a transcoder, which reconstructs other activations than it reads; the file does not tell, and it is read as "
            "an SAE",
            path);
    hsae_status status = hsae_npz_open(foreign->context, foreign->path, &foreign->arrays);
    if (!status && !hsae_npz_find(foreign->arrays, "W_dec") && hsae_npz_find(foreign->arrays, "w_dec"))
        memcpy(foreign->names, lower_names, sizeof lower_names);
    return status ? status : check_shapes(foreign);
}

/* ---- any ---- */

static bool ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), size = strlen(end);
    return length > size && strcmp(path + length - size, end) == 0;
}

/* The folder of a file of weights; of a folder, the path itself. */
static void find_folder(const char *path, char *folder, size_t size)
{
    size_t length = strlen(path);
    snprintf(folder, size, "%s", path);
    const char *name = hsae_os_file_name(path);
    if (strcmp(name, "params.safetensors") != 0 && strcmp(name, "sae_weights.safetensors") != 0)
        return;
    length = (size_t)(name - path);
    snprintf(folder, size, "%.*s", length > 1 ? (int)length - 1 : (int)length, path);
    if (!length)
        snprintf(folder, size, ".");
}

bool hsae_foreign_is(const char *path)
{
    char folder[MAX_FOLDER];
    if (strlen(path) >= sizeof folder)
        return false;
    find_folder(path, folder, sizeof folder);
    return ends_with(path, ".npz") || has(folder, "cfg.json") || has(folder, "params.npz") || has(folder, "params.safetensors") ||
           has(folder, "hyperparams.json");
}

/* The folder that holds the folder of the weights; "": there is none. */
static void find_parent(struct foreign *foreign)
{
    char *whole = hsae_os_resolve(foreign->path);
    for (int up = 0; up < 2 && whole; up++) {
        char *slash = strrchr(whole, '/'); /* hsae_os_resolve gives no other separators */
        if (slash)
            *slash = '\0';
    }
    snprintf(foreign->parent, sizeof foreign->parent, "%s", whole ? whole : "");
    free(whole);
}

hsae_status hsae_foreign_open(const hsae_context *context, const char *path, struct foreign *out)
{
    hsae_status status;
    char folder[MAX_FOLDER], archive[4096];
    out->context = context;
    out->b_enc_factor = out->w_dec_factor = out->b_dec_factor = 1;
    memcpy(out->names, usual_names, sizeof usual_names);
    if (strlen(path) >= sizeof folder)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "%s: the path is too long", path);
    find_folder(path, folder, sizeof folder);
    snprintf(archive, sizeof archive, ends_with(path, ".npz") ? "%s" : "%s/params.npz", path);
    if (has(folder, "cfg.json"))
        status = open_saelens(folder, out);
    else if (ends_with(path, ".npz") || has(folder, "params.npz"))
        status = open_archive(archive, out);
    else if (has(folder, "params.safetensors"))
        status = open_gemma_scope_2(folder, out);
    else if (has(folder, "hyperparams.json"))
        status = open_llama_scope(folder, out);
    else
        return hsae_fail(context, HSAE_ERROR_FILE,
                         "%s: no SAE there: expected a folder with cfg.json and sae_weights.safetensors (SAELens), with params.safetensors "
                         "(Gemma Scope 2) or with hyperparams.json (Llama Scope), or a params.npz (Gemma Scope)",
                         path);
    if (!status)
        find_parent(out);
    return status;
}

void hsae_foreign_close(struct foreign *foreign)
{
    hsae_safetensors_close(&foreign->tensors);
    hsae_npz_close(&foreign->arrays);
}
