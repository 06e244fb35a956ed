/* SPDX-License-Identifier: MIT */
/* Models in the files of other tools, and trees over models that were trained without one.
 *
 * Other tools take raw activations, so export folds the normalisation x = s (raw - mean) into the parameters:
 *
 *     E' = E        b' = b / s - E mean        theta' = theta / s
 *     D' = D        c' = c / s + mean
 *
 * Activations are then a' = a / s, reconstructions are in raw units, and decoder rows keep unit norm. */
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

/* Writes a new folder with one folder for each level, level-0 the coarsest, and the tree beside them: tree.safetensors (levels.{l}.parent,
 * as in a model) and tree.json (lists of parents and children). The folder appears when all of it is written; `path` must not exist, or be
 * an empty folder. `metadata` [metadata_count], SAELens only, becomes part of cfg.json's metadata (model_name, hook_name, context_size,
 * prepend_bos, dataset_path ...): a value that is JSON keeps its type (128, true, null), others are text. ERROR_ARGUMENT: a key is one that
 * is always written. ERROR_FILE. Any thread. */
HSAE_API hsae_status hsae_model_export(hsae_context *context, const hsae_model *model, hsae_export_format format, const char *path,
                                       const hsae_metadata *metadata, size_t metadata_count);

/* One model of SAEs that were trained elsewhere on the same activations, as levels from the fewest features to the most (sizes must
 * differ). A path is one of these, or a folder of such folders:
 *   SAELens        a folder with cfg.json and sae_weights.safetensors; architecture jumprelu or standard, of any version
 *   Gemma Scope    a params.npz or its folder
 *   Gemma Scope 2  a params.safetensors or its folder, with config.json
 *   Llama Scope    a folder with hyperparams.json and checkpoints/final.safetensors
 * If all are in one folder with a tree.safetensors of these levels, that is the tree; else no feature has a parent.
 *
 * The model has mean 0 and scale 1: it takes raw activations. Folded into its parameters:
 *   norms of decoder rows        into encoder, bias and threshold: rows get unit norm, a' = |D_i| a, reconstructions are the same
 *   a decoder bias taken off     into the encoder's bias
 *   SAELens' scaling factors     into the decoder
 *   Llama Scope's norms          into biases and decoder; its thresholds are for raw activations and unit rows, as in its authors' code
 *   thresholds of 0 (ReLU)       become the smallest normal float, 1.2e-38
 *
 * ERROR_DATA names what cannot be represented: TopK (sparsify, SAELens), gated SAEs, transcoders, normalised activations, activations below
 * 0, tensors of unknown use, SAEs whose configurations name different models or hooks. ERROR_FILE, ERROR_FORMAT. Free with
 * hsae_model_free. Any thread. */
HSAE_API hsae_status hsae_model_import(hsae_context *context, const char *const *paths, size_t path_count, hsae_model **out);

/* hsae_model_save with encoder and decoder rows in `dtype`, rounded to nearest, ties to even; all else stays F32. ERROR_DATA: a weight is
 * beyond F16. */
HSAE_API hsae_status hsae_model_save_as(hsae_context *context, const hsae_model *model, hsae_dtype dtype, const char *path);

/* How features find their parents: section 3 of the paper. */
typedef struct hsae_link_params {
    hsae_tree tree;             /* FULL: every feature has a parent; BINARY: a parent has at most two children; others: the best parent */
    hsae_similarity similarity; /* of encoder rows, of decoder rows, or co-activation on `data` */
    double exclude;             /* share of features without a parent: those least similar to any; 0 to below 1; FULL: not used */
    const hsae_dataset *data;   /* COACTIVATION, INCLUSION, PART: its first 64 whole batches count; a batch has config.batch rows, or all */
    double norm_limit;          /* rows of `data` with a larger norm, raw units, do not count; 0: the model's limit; INFINITY: none */
    bool skip_bad_rows;         /* nor do rows that are not finite; false: as the model's configuration has it */
} hsae_link_params;

/* A copy of the model with a new tree, by the rules of training with tree "posthoc", and with these parameters in its configuration; free
 * with hsae_model_free. On the device of the training, the tree is the same. ERROR_ARGUMENT: one level only, or co-activation without data.
 * One thread at a time uses the device. */
HSAE_API hsae_status hsae_model_link(hsae_device *device, const hsae_model *model, const hsae_link_params *params, hsae_model **out);

#ifdef __cplusplus
}
#endif
#endif
