#include "foreign.h"
#include "../data/file.h"
#include "../data/npz.h"
#include "../data/safetensors.h"
#include "../json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JSON = 1 << 20, BLOCK_ROWS = 16 };

static const char *const names[] = {"W_enc", "b_enc", "W_dec", "b_dec", "threshold"};

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
    return hsae_fail(
        foreign->context, HSAE_ERROR_FORMAT,
        "%s: tensor \"%s\" is missing; a jumprelu SAE has W_enc, b_enc, W_dec, b_dec and threshold (a training state of SAELens "
        "before 6.40 is without one: save_inference_model writes it)",
        foreign->path, name);
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
        hsae_tensor_floats(source->tensor, source->at, count, out);
        hsae_tensor_forget(source->tensor, source->at, count);
    }
    for (size_t i = 0; i < count && !status; i++)
        if (!isfinite(out[i]))
            status = hsae_fail(source->foreign->context, HSAE_ERROR_FORMAT,
                               "%s: tensor \"%s\": element %" PRIu64 " is %g; expected a finite number", source->foreign->path,
                               source->name, source->at + i, (double)out[i]);
    source->at += count;
    return status;
}

hsae_status hsae_foreign_read(const struct foreign *foreign, enum foreign_tensor which, hsae_foreign_fn take, void *user)
{
    struct source source;
    hsae_status status = open_source(foreign, names[which], &source);
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
    return status;
}

/* ---- shapes ---- */

static hsae_status check_shape(const struct foreign *foreign, const char *name, uint32_t rank, uint64_t first, uint64_t second)
{
    char wanted[192], found[192];
    const uint64_t shape[] = {first, second};
    struct source source;
    hsae_status status = open_source(foreign, name, &source);
    if (!status && (source.rank != rank || memcmp(source.shape, shape, rank * sizeof *shape) != 0))
        status = hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\" has shape %s; W_dec wants %s", foreign->path, name,
                           hsae_shape_text(found, source.rank < 3 ? source.rank : 3, source.shape), hsae_shape_text(wanted, rank, shape));
    close_source(&source);
    return status;
}

/* n and d from W_dec [n, d], which the others must agree with. */
static hsae_status check_shapes(struct foreign *foreign)
{
    struct source source;
    uint64_t n = 0, d = 0;
    hsae_status status = open_source(foreign, "W_dec", &source);
    if (!status && source.rank == 2) {
        n = source.shape[0];
        d = source.shape[1];
    }
    if (!status && (n == 0 || d == 0 || n > UINT32_MAX || d > UINT32_MAX))
        status = hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: tensor \"W_dec\" is not a matrix [features, width]", foreign->path);
    close_source(&source);
    if (!status)
        status = check_shape(foreign, "W_enc", 2, d, n);
    if (!status)
        status = check_shape(foreign, "b_enc", 1, n, 0);
    if (!status)
        status = check_shape(foreign, "b_dec", 1, d, 0);
    if (!status)
        status = check_shape(foreign, "threshold", 1, n, 0);
    foreign->features = (uint32_t)n;
    foreign->dim = (uint32_t)d;
    return status;
}

/* ---- SAELens ---- */

static hsae_status read_json(const hsae_context *context, const char *path, json_t **out)
{
    struct hsae_map map;
    struct hsae_json_error wrong = {0};
    *out = NULL;
    hsae_status status = hsae_map_open(context, path, &map);
    if (status)
        return status;
    if (map.size <= MAX_JSON)
        *out = hsae_json_read(map.size ? (const char *)map.data : "", (size_t)map.size, &wrong);
    if (wrong.no_memory)
        status = hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    else if (!json_is_object(*out))
        status = hsae_fail(context, HSAE_ERROR_FORMAT, "%s: not the configuration of an SAE: %s", path,
                           map.size > MAX_JSON ? "it has more than 1 MiB"
                           : *out              ? "it is not a JSON object"
                                               : wrong.text);
    hsae_map_close(&map);
    if (status) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

/* "none"; or missing, null, false, as older versions have it. */
static bool is_none(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && strcmp(json_string_value(value), "none") == 0);
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

static hsae_status check_configuration(struct foreign *foreign, const char *path, const json_t *cfg)
{
    const char *architecture = json_string_value(json_object_get(cfg, "architecture"));
    const json_t *subtracts = json_object_get(cfg, "apply_b_dec_to_input");
    if (!architecture || strcmp(architecture, "jumprelu") != 0)
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT,
                         "%s: the architecture is \"%s\"; only \"jumprelu\" can be represented (batchtopk SAEs are saved as such by "
                         "save_inference_model of SAELens)",
                         path, architecture ? architecture : "unknown");
    if (!is_none(json_object_get(cfg, "normalize_activations"))) {
        const char *kind = json_string_value(json_object_get(cfg, "normalize_activations"));
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT,
                         "%s: normalize_activations is \"%s\"; expected \"none\": fold it into the weights first (in SAELens "
                         "fold_activation_norm_scaling_factor or fold_activation_whitening; layer_norm cannot be folded) and save again",
                         path, kind ? kind : "true");
    }
    if (subtracts && !json_is_boolean(subtracts))
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: apply_b_dec_to_input is neither true nor false", path);
    foreign->subtracts = !subtracts || json_is_true(subtracts);
    return HSAE_OK;
}

/* SAELens loads strictly; a scaling factor of ones was left behind by versions before 6. */
static hsae_status check_others(const struct foreign *foreign)
{
    for (size_t i = 0; i < hsae_safetensors_count(foreign->tensors); i++) {
        const struct hsae_tensor *tensor = hsae_safetensors_at(foreign->tensors, i);
        bool good = strcmp(tensor->name, "scaling_factor") == 0 && tensor->type == HSAE_TENSOR_F32;
        for (uint64_t k = 0; k < tensor->count && good; k++) {
            float value;
            hsae_tensor_floats(tensor, k, 1, &value);
            good = value == 1;
        }
        for (int k = 0; k < FOREIGN_TENSORS; k++)
            good |= strcmp(tensor->name, names[k]) == 0;
        if (!good)
            return hsae_fail(foreign->context, HSAE_ERROR_FORMAT,
                             "%s: tensor \"%s\" has no place in a jumprelu SAE: what it does would be lost", foreign->path, tensor->name);
    }
    return HSAE_OK;
}

static hsae_status open_saelens(const char *folder, struct foreign *foreign)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/cfg.json", folder);
    snprintf(foreign->path, sizeof foreign->path, "%s/sae_weights.safetensors", folder);
    json_t *cfg;
    hsae_status status = read_json(foreign->context, path, &cfg);
    if (!status)
        status = check_configuration(foreign, path, cfg);
    if (!status)
        status = hsae_safetensors_open(foreign->context, foreign->path, &foreign->tensors);
    if (!status)
        status = check_others(foreign);
    if (!status)
        status = check_shapes(foreign);
    if (!status)
        status = check_size(foreign, path, cfg, "d_in", foreign->dim);
    if (!status)
        status = check_size(foreign, path, cfg, "d_sae", foreign->features);
    json_decref(cfg);
    foreign->rectifies = true;
    return status;
}

/* ---- either ---- */

static bool has(const char *folder, const char *name)
{
    char path[4096];
    return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path && hsae_os_kind(path) != HSAE_OS_NONE;
}

static bool is_npz(const char *path)
{
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".npz") == 0;
}

bool hsae_foreign_is(const char *path)
{
    return is_npz(path) || has(path, "cfg.json") || has(path, "params.npz");
}

/* The folder in which the folder of the weights lies; "" where that has no answer. */
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
    out->context = context;
    if (strlen(path) > sizeof out->path - 64)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "%s: the path is too long", path);
    if (has(path, "cfg.json")) {
        status = open_saelens(path, out);
    } else if (is_npz(path) || has(path, "params.npz")) {
        snprintf(out->path, sizeof out->path, is_npz(path) ? "%s" : "%s/params.npz", path);
        status = hsae_npz_open(context, out->path, &out->arrays);
        if (!status)
            status = check_shapes(out);
    } else {
        return hsae_fail(
            context, HSAE_ERROR_FILE,
            "%s: no SAE there: expected a folder with cfg.json and sae_weights.safetensors (SAELens), or a params.npz (Gemma Scope)", path);
    }
    if (!status)
        find_parent(out);
    return status;
}

void hsae_foreign_close(struct foreign *foreign)
{
    hsae_safetensors_close(&foreign->tensors);
    hsae_npz_close(&foreign->arrays);
}
