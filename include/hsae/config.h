/* SPDX-License-Identifier: MIT */
/* The configuration of a training run: hyper-parameters, sizes, ablations. One flat set of keys serves JSON files, the command line, models
 * and checkpoints; hsae/config_keys.h lists them. Start from hsae_config_defaults, set `steps` and what else differs. src/README.md and
 * arXiv 2602.11881 describe the method. */
#ifndef HSAE_CONFIG_H
#define HSAE_CONFIG_H

#include <hsae/config_keys.h>
#include <hsae/status.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HSAE_MAX_LEVELS 8
#define HSAE_MAX_SHARDS 256        /* a power of two */
#define HSAE_NO_LEVEL   UINT32_MAX /* in place of a level's number */

#define HSAE_CHOICE_ENUM(KEY, NAME, name) HSAE_##KEY##_##NAME,
typedef enum hsae_similarity { HSAE_CHOICES_similarity(HSAE_CHOICE_ENUM) HSAE_SIMILARITY_COUNT } hsae_similarity;
typedef enum hsae_sparsity_control { HSAE_CHOICES_sparsity_control(HSAE_CHOICE_ENUM) HSAE_SPARSITY_CONTROL_COUNT } hsae_sparsity_control;
typedef enum hsae_tree { HSAE_CHOICES_tree(HSAE_CHOICE_ENUM) HSAE_TREE_COUNT } hsae_tree;
typedef enum hsae_center { HSAE_CHOICES_center(HSAE_CHOICE_ENUM) HSAE_CENTER_COUNT } hsae_center;
typedef enum hsae_order { HSAE_CHOICES_order(HSAE_CHOICE_ENUM) HSAE_ORDER_COUNT } hsae_order;
#undef HSAE_CHOICE_ENUM

/* A value type: copy it freely. Always start from hsae_config_defaults; 0 is "automatic" only where config_keys.h says so. Its fields are
 * the keys, in their order: level_count and levels, batch, steps, lr ...; of a LIST and of `levels`, one element a level. */
#define HSAE_FIELD_LEVELS(key) uint32_t level_count /* L, 1 to HSAE_MAX_LEVELS */, key[HSAE_MAX_LEVELS];
#define HSAE_FIELD_U32(key)    uint32_t key;
#define HSAE_FIELD_U64(key)    uint64_t key;
#define HSAE_FIELD_REAL(key)   double key;
#define HSAE_FIELD_LIST(key)   double key[HSAE_MAX_LEVELS];
#define HSAE_FIELD_BOOL(key)   bool key;
#define HSAE_FIELD_CHOICE(key) hsae_##key key;

#define HSAE_FIELD(key, KIND, RANGE, initial, automatic, RESUME, help) HSAE_FIELD_##KIND(key)
typedef struct hsae_config {
    HSAE_CONFIG_KEYS(HSAE_FIELD)
} hsae_config;
#undef HSAE_FIELD

/* Whether a similarity is counted on samples, rather than computed from weights. Any thread. */
HSAE_API bool hsae_similarity_counts(hsae_similarity similarity);

HSAE_API void hsae_config_defaults(hsae_config *config);
/* The defaults for a configuration that was stored with a model, a checkpoint or a run. A key that the file lacks is newer than the file
 * and gets the value that the file was made with: max_norm and decay_steps are 0, sparsity_control is penalty. */
HSAE_API void hsae_config_stored_defaults(hsae_config *config);

/* Sets one key from text, as on the command line: ("target_l0", "20,20,32"). Setting max_norm also sets norm_limit to 0, so that the limit
 * is found anew. Unknown keys suggest the nearest known one. ERROR_CONFIG. */
HSAE_API hsae_status hsae_config_set(hsae_context *context, hsae_config *config, const char *key, const char *text);

/* Sets the keys of a flat JSON object, leaving others as they are. `origin` names the source in messages. On error *config is unchanged. */
HSAE_API hsae_status hsae_config_parse(hsae_context *context, hsae_config *config, const char *json, const char *origin);
/* The text of a file, at most 1 MiB, for hsae_config_parse; free with hsae_free. A pipe can be read once. ERROR_FILE, ERROR_CONFIG. */
HSAE_API hsae_status hsae_config_read(hsae_context *context, const char *path, char **json);
/* hsae_config_read, then hsae_config_parse. */
HSAE_API hsae_status hsae_config_load(hsae_context *context, hsae_config *config, const char *path);

/* All keys as one JSON object (target_l0 and init_l0 as a number where all levels agree). Free with hsae_free; NULL: out of memory. */
HSAE_API char *hsae_config_json(const hsae_config *config);

/* Fills the automatic values for activations of width `dim` and checks everything: what comes out can be trained. ERROR_CONFIG says which
 * key, its value, and what is allowed. */
HSAE_API hsae_status hsae_config_resolve(hsae_context *context, hsae_config *config, uint32_t dim);

#ifdef __cplusplus
}
#endif
#endif
