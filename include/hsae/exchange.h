/* SPDX-License-Identifier: MIT */
/* Models in the files of other tools, and trees over models that were trained without one.
 *
 * Other tools take raw activations and know no normalisation, so it is folded on export: with x = s (raw - mean), the encoder's and the
 * decoder's rows stay as they are (decoder rows of unit norm), bias' = bias / s - E mean, threshold' = threshold / s, decoder bias' =
 * c / s + mean. Activations then are a / s, reconstructions are in raw units. */
#ifndef HSAE_EXCHANGE_H
#define HSAE_EXCHANGE_H

#include <hsae/model.h>
#include <hsae/tensor_file.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hsae_export_format {
    HSAE_EXPORT_SAELENS,    /* level-{l}/sae_weights.safetensors and cfg.json: SAE.load_from_disk of SAELens 6 */
    HSAE_EXPORT_GEMMA_SCOPE /* level-{l}/params.npz */
} hsae_export_format;

/* Writes a new folder: one folder inside for each level, level 0 the coarsest, and the tree beside them: tree.safetensors
 * (levels.{l}.parent, as in a model) and tree.json (parents and children as lists). The folder appears when all of it is written; `path`
 * must not exist, or be an empty folder. `metadata` becomes part of cfg.json's metadata (model_name, hook_name, context_size, prepend_bos,
 * dataset_path ...; SAELens only): a value that is JSON keeps its type (128, true, null), all others are text. ERROR_ARGUMENT for keys that
 * are written anyway. */
HSAE_API hsae_status hsae_model_export(hsae_context *context, const hsae_model *model, hsae_export_format format, const char *path,
                                       const hsae_metadata *metadata, size_t metadata_count);

/* One model of SAEs that were trained elsewhere on the same activations, as levels from the fewest features to the most (sizes must
 * differ). A path is one of these, or a folder of such folders:
 *   SAELens        a folder with cfg.json and sae_weights.safetensors; architecture jumprelu or standard, of any version
 *   Gemma Scope    a params.npz or its folder
 *   Gemma Scope 2  a params.safetensors or its folder, with config.json
 *   Llama Scope    a folder with hyperparams.json and checkpoints/final.safetensors
 * Where all lie in one folder with a tree.safetensors of these levels, that becomes the tree; else no feature has a parent.
 *
 * The model has mean 0 and scale 1 and takes raw activations. Decoder rows get unit norm: the norm |D_i| goes to encoder, bias and
 * threshold of the feature, so that reconstructions are the same and activations become |D_i| a_i. A decoder bias that is taken from the
 * input goes to the encoder's bias, scaling factors of SAELens to the decoder, norms of Llama Scope to biases and decoder (its thresholds
 * are for raw activations and unit rows, as in its authors' code). Thresholds of 0, as ReLU has them, become the smallest normal float,
 * 1.2e-38: only activations below that are lost. What cannot be represented is refused by name: TopK (sparsify, SAELens), gated SAEs,
 * transcoders, normalised activations, activations below 0, tensors of unknown use; SAEs of different models or hooks by their
 * configurations (ERROR_DATA). */
HSAE_API hsae_status hsae_model_import(hsae_context *context, const char *const *paths, size_t path_count, hsae_model **out);

/* hsae_model_save with the encoder's and the decoder's rows in `dtype`, rounded to nearest, ties to even; all else stays F32. ERROR_DATA
 * where a weight is beyond F16. */
HSAE_API hsae_status hsae_model_save_as(hsae_context *context, const hsae_model *model, hsae_dtype dtype, const char *path);

/* How features find their parents: section 3 of the paper. */
typedef struct hsae_link_params {
    hsae_tree tree;             /* FULL: every feature has a parent; BINARY: at most two children a parent; others: the best parent each */
    hsae_similarity similarity; /* of encoder rows, of decoder rows, or co-activation on `data` */
    double exclude;             /* share of features left without a parent, those least similar to any; 0 to below 1; FULL: not used */
    const hsae_dataset *data;   /* COACTIVATION only: the first 64 batches count (whole ones; a batch has config.batch rows, or all) */
} hsae_link_params;

/* A copy of the model with a new tree, by the rules that training with tree = "posthoc" has: on the same device, the very same tree. The
 * copy's configuration has these parameters. ERROR_ARGUMENT: one level only, or co-activation without data. */
HSAE_API hsae_status hsae_model_link(hsae_device *device, const hsae_model *model, const hsae_link_params *params, hsae_model **out);

#ifdef __cplusplus
}
#endif
#endif
