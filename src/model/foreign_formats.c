/* SPDX-License-Identifier: MIT */
#include "base/context.h"
#include "foreign.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *cfg, const char *key)
{
    return json_string_value(json_object_get(cfg, key));
}

/* A boolean that may be left out; false after a message. */
static bool read_flag(const struct foreign *foreign, const char *path, const json_t *cfg, const char *key, bool otherwise, bool *out,
                      hsae_status *status)
{
    const json_t *value = json_object_get(cfg, key);
    *out = value && !json_is_null(value) ? json_is_true(value) : otherwise;
    if (!value || json_is_null(value) || json_is_boolean(value))
        return true;
    *status = hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: %s is neither true nor false", path, key);
    return false;
}

static void set_place(struct foreign *foreign, const char *model, const char *hook)
{
    if (hook)
        snprintf(foreign->place, sizeof foreign->place, "%.200s%s%.200s", model ? model : "", model ? ", " : "", hook);
}

static hsae_status refuse(const struct foreign *foreign, const char *path, const char *key, const char *value, const char *why)
{
    return hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: the %s is \"%s\", which cannot be represented: %s", path, key, value, why);
}

/* ---- SAELens ---- */

static const char not_fixed[] =
    "it keeps the k largest of each vector, which no fixed thresholds do (SAELens saves batchtopk SAEs as jumprelu, with thresholds, by "
    "save_inference_model)";

static const char *why_not(const char *architecture)
{
    static const struct {
        const char *name, *why;
    } known[] = {
        {"topk", not_fixed},
        {"batchtopk", not_fixed},
        {"matryoshka_batchtopk", not_fixed},
        {"gated", "a second encoder decides which features are active"},
        {"temporal", "its features depend on earlier tokens"},
        {"matching_pursuit", "its features are found one after the other"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(architecture, known[i].name) == 0)
            return known[i].why;
    if (strstr(architecture, "transcoder"))
        return "it reconstructs other activations than it reads";
    return "only \"standard\" (ReLU) and \"jumprelu\" can be";
}

/* "none"; or missing, null, false, as older versions have it. */
static bool is_none(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && strcmp(json_string_value(value), "none") == 0);
}

/* "standard" where it is missing, as in files from before SAELens 3; NULL where it is no text. */
static const char *architecture_of(const json_t *cfg)
{
    const json_t *value = json_object_get(cfg, "architecture");
    return !value || json_is_null(value) ? "standard" : json_string_value(value);
}

/* Before version 6 the activation function was a separate key. */
static const char *activation_of(const json_t *cfg)
{
    const char *now = text_of(cfg, "activation_fn"), *before = text_of(cfg, "activation_fn_str");
    return now ? now : before ? before : "relu";
}

static hsae_status check_saelens(const struct foreign *foreign, const char *path, const json_t *cfg)
{
    const char *architecture = architecture_of(cfg), *activation = activation_of(cfg);
    if (!architecture)
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: the architecture is not a text", path);
    if (strcmp(architecture, "standard") != 0 && strcmp(architecture, "jumprelu") != 0)
        return refuse(foreign, path, "architecture", architecture, why_not(architecture));
    if (strcmp(activation, "relu") != 0)
        return refuse(foreign, path, "activation function", activation,
                      strcmp(activation, "topk") == 0 ? not_fixed : "only \"relu\" can be");
    if (!is_none(json_object_get(cfg, "normalize_activations"))) {
        const char *kind = text_of(cfg, "normalize_activations");
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT,
                         "%s: normalize_activations is \"%s\"; expected \"none\": fold it into the weights first (in SAELens "
                         "fold_activation_norm_scaling_factor or fold_activation_whitening; layer_norm cannot be folded) and save again",
                         path, kind ? kind : "true");
    }
    return HSAE_OK;
}

hsae_status hsae_foreign_saelens(struct foreign *foreign, const char *path, const json_t *cfg, bool sparsify)
{
    hsae_status status = HSAE_OK;
    bool scaled;
    const json_t *metadata = json_object_get(cfg, "metadata");
    const json_t *about = text_of(metadata, "hook_name") ? metadata : cfg;
    if (sparsify || (!json_object_get(cfg, "architecture") && !json_object_get(cfg, "d_sae") && json_object_get(cfg, "k")))
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT,
                         "%s: a TopK SAE of sparsify, which cannot be represented: it keeps the k largest of each vector, which no fixed "
                         "thresholds do",
                         path);
    status = check_saelens(foreign, path, cfg);
    if (status)
        return status;
    if (!read_flag(foreign, path, cfg, "apply_b_dec_to_input", true, &foreign->subtracts, &status) ||
        !read_flag(foreign, path, cfg, "finetuning_scaling_factor", false, &scaled, &status))
        return status;
    if (strcmp(architecture_of(cfg), "standard") == 0)
        foreign->names[FOREIGN_THRESHOLD] = NULL;
    if (scaled)
        foreign->names[FOREIGN_SCALING] = "scaling_factor";
    foreign->rectifies = true;
    const char *hook = text_of(about, "hook_name");
    set_place(foreign, text_of(about, "model_name"), hook ? hook : text_of(about, "hook_point"));
    return HSAE_OK;
}

/* ---- Gemma Scope 2 ---- */

hsae_status hsae_foreign_gemma_scope_2(struct foreign *foreign, const char *path, const json_t *cfg)
{
    const char *architecture = text_of(cfg, "architecture"), *type = text_of(cfg, "type");
    const char *in = text_of(cfg, "hf_hook_point_in"), *out = text_of(cfg, "hf_hook_point_out");
    const json_t *connection = json_object_get(cfg, "affine_connection");
    if (!architecture)
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT,
                         "%s: it does not say the architecture; expected \"jump_relu\", as Gemma Scope 2 has it", path);
    if (strcmp(architecture, "jump_relu") != 0)
        return refuse(foreign, path, "architecture", architecture, "only \"jump_relu\" can be");
    if (type && strcmp(type, "sae") != 0)
        return refuse(foreign, path, "type", type, "it reconstructs other activations than it reads; only \"sae\" can be");
    if (connection && !json_is_null(connection) && !json_is_false(connection))
        return refuse(foreign, path, "affine_connection", "true", "a model has no connection beside its features");
    if (in && out && strcmp(in, out) != 0)
        return refuse(foreign, path, "hf_hook_point_out", out, "it differs from hf_hook_point_in, so this is a transcoder");
    set_place(foreign, text_of(cfg, "model_name"), in);
    return HSAE_OK;
}

/* ---- Llama Scope ---- */

/* sqrt(d) over the mean norm of the data set, which the SAE's inputs or outputs are multiplied by. */
static hsae_status read_norm(const struct foreign *foreign, const char *path, const json_t *cfg, const char *side, double dim, double *out)
{
    const json_t *value = json_object_get(json_object_get(cfg, "dataset_average_activation_norm"), side);
    double norm = json_is_number(value) ? json_number_value(value) : 0;
    *out = sqrt(dim) / norm;
    return norm > 0 && isfinite(norm) && *out > 0 && isfinite(*out)
               ? HSAE_OK
               : hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: dataset_average_activation_norm.%s is missing or not a number above 0",
                           path, side);
}

static hsae_status read_activation(struct foreign *foreign, const char *path, const json_t *cfg)
{
    const char *activation = text_of(cfg, "act_fn");
    const json_t *threshold = json_object_get(cfg, "jump_relu_threshold");
    foreign->threshold = json_is_number(threshold) ? json_number_value(threshold) : 0;
    if (!activation)
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: act_fn is missing; expected \"jumprelu\"", path);
    if (strcmp(activation, "relu") == 0) {
        foreign->threshold = 0;
        foreign->rectifies = true;
        return HSAE_OK;
    }
    /* The authors' own code reads a TopK SAE with a threshold as JumpReLU, too. */
    if (strcmp(activation, "jumprelu") != 0 && (strcmp(activation, "topk") != 0 || !(foreign->threshold > 0)))
        return refuse(foreign, path, "activation function", activation,
                      strcmp(activation, "topk") == 0 ? not_fixed : "only \"jumprelu\" can be");
    if (!json_is_number(threshold) || !(foreign->threshold >= 0 && foreign->threshold < 1e30))
        return hsae_fail(foreign->context, HSAE_ERROR_FORMAT, "%s: jump_relu_threshold is missing or not a number of 0 or more", path);
    foreign->rectifies = true;
    return HSAE_OK;
}

hsae_status hsae_foreign_llama_scope(struct foreign *foreign, const char *path, const json_t *cfg)
{
    hsae_status status = HSAE_OK;
    const char *in = text_of(cfg, "hook_point_in"), *out = text_of(cfg, "hook_point_out"), *norm = text_of(cfg, "norm_activation");
    bool biased, gated;
    double dim = json_number_value(json_object_get(cfg, "d_model")), in_factor = 1, out_factor = 1;
    if (in && out && strcmp(in, out) != 0)
        return refuse(foreign, path, "hook_point_out", out, "it differs from hook_point_in, so this is a transcoder");
    if (!read_flag(foreign, path, cfg, "use_decoder_bias", true, &biased, &status) ||
        !read_flag(foreign, path, cfg, "apply_decoder_bias_to_pre_encoder", true, &foreign->subtracts, &status) ||
        !read_flag(foreign, path, cfg, "sparsity_include_decoder_norm", true, &foreign->of_unit_rows, &status) ||
        !read_flag(foreign, path, cfg, "use_glu_encoder", false, &gated, &status))
        return status;
    if (gated)
        return refuse(foreign, path, "use_glu_encoder", "true", "a second encoder scales the activations");
    if (norm && (strcmp(norm, "token-wise") == 0 || strcmp(norm, "batch-wise") == 0))
        return refuse(foreign, path, "norm_activation", norm, "the scale depends on the vectors; \"dataset-wise\" can be");
    if (!norm || (strcmp(norm, "dataset-wise") != 0 && strcmp(norm, "none") != 0 && strcmp(norm, "inference") != 0))
        return refuse(foreign, path, "norm_activation", norm ? norm : "", "\"dataset-wise\", \"none\" and \"inference\" can be");
    if (strcmp(norm, "dataset-wise") == 0) {
        status = read_norm(foreign, path, cfg, "in", dim, &in_factor);
        if (!status)
            status = read_norm(foreign, path, cfg, "out", dim, &out_factor);
    }
    if (!status)
        status = read_activation(foreign, path, cfg);
    if (!biased) {
        foreign->names[FOREIGN_B_DEC] = NULL;
        foreign->subtracts = false;
    }
    foreign->names[FOREIGN_THRESHOLD] = NULL;
    /* For raw x: f (W x + b / f) where the SAE has W (f x) + b; its activations are divided by f, as its outputs are. */
    foreign->b_enc_factor = 1 / in_factor;
    foreign->b_dec_factor = 1 / out_factor;
    foreign->w_dec_factor = in_factor / out_factor;
    set_place(foreign, NULL, in);
    return status;
}
