/* SPDX-License-Identifier: MIT */
/* The configuration of a training run: hyper-parameters, sizes, ablations. One flat set of keys serves JSON files, the command line, models
 * and checkpoints. Start from hsae_config_defaults, set `steps` and what else differs. src/README.md and arXiv 2602.11881 describe the
 * method. */
#ifndef HSAE_CONFIG_H
#define HSAE_CONFIG_H

#include <hsae/status.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HSAE_MAX_LEVELS 8
#define HSAE_NO_LEVEL   UINT32_MAX /* in place of a level's number */

typedef enum hsae_similarity { HSAE_SIMILARITY_ENCODER, HSAE_SIMILARITY_DECODER, HSAE_SIMILARITY_COACTIVATION } hsae_similarity;
typedef enum hsae_tree { HSAE_TREE_FOREST, HSAE_TREE_FIXED, HSAE_TREE_FULL, HSAE_TREE_BINARY, HSAE_TREE_POSTHOC } hsae_tree;
typedef enum hsae_center { HSAE_CENTER_MEAN, HSAE_CENTER_NONE } hsae_center;
typedef enum hsae_order { HSAE_ORDER_SHUFFLE, HSAE_ORDER_SEQUENTIAL } hsae_order;

/* A value type: copy it freely. Always start from hsae_config_defaults; 0 is "automatic" only where said. */
typedef struct hsae_config {
    uint32_t level_count;              /* L, 1 to HSAE_MAX_LEVELS */
    uint32_t levels[HSAE_MAX_LEVELS];  /* features of each level, strictly increasing */
    uint32_t batch;                    /* samples in a step, B */
    uint64_t steps;                    /* steps of the whole run, T; must be set for training */
    double lr;                         /* peak learning rate; 0: 0.096 / sqrt(d) */
    double warmup;                     /* share of the steps in which the learning rate rises, 0 to 1 */
    double beta2;                      /* Adam's decay of second moments, 0 to below 1 */
    double adam_eps;                   /* Adam's epsilon, > 0 */
    double target_l0[HSAE_MAX_LEVELS]; /* active features per sample to aim at, > 0, at most the level's features */
    double lambda_init;                /* first L0 penalty, relative to mean squared norm / target */
    double init_l0[HSAE_MAX_LEVELS];   /* active features at the start; 0: n / 32 within 1.5 to 4 times the target */
    double sparsity_momentum;          /* of the running mean of L0, 0 to below 1 */
    double sparsity_eta;               /* share of the distance to the target to be closed in a step */
    double sparsity_kappa;             /* relative change of the L0 penalty in a step, 0 to below 1 */
    double bandwidth;                  /* of the straight-through estimator, > 0 */
    uint64_t hierarchy_period;         /* steps between updates of the tree; 0: min(5000, max(1, steps / 20)) */
    double exclude;                    /* share of features left without a parent, 0 to below 1 */
    hsae_similarity similarity;        /* what makes a parent */
    hsae_tree tree;                    /* shape of the tree */
    bool ghost;                        /* ghost gradients for dead features */
    uint64_t dead_steps;               /* steps without activity after which a feature is dead; 0: min(1000, max(1, steps / 10)) */
    bool project_gradient;             /* take the radial part out of the decoder's gradient */
    hsae_center center;                /* what is subtracted from the activations */
    hsae_order order;                  /* order of the data */
    uint64_t seed;                     /* of every random number, below 2^63 */
    double rho;                        /* weight of the structural constraint, >= 0 */
    double perturb;                    /* probability that a feature is replaced by its children, 0 to 1 */
    double max_norm;                   /* rows are left out whose norm is above this many times the median of calibration; 0: none */
    double norm_limit;                 /* the largest norm of a row, raw units; 0: max_norm times the median, which a trainer puts here */
    bool skip_bad_rows;                /* rows with a value that is not finite are left out; false: such a row is ERROR_DATA */
} hsae_config;

HSAE_API void hsae_config_defaults(hsae_config *config);
/* The defaults for a configuration that was stored with a model, a checkpoint or a run. A key that the file lacks is newer than the file
 * and gets the value that the file was made with: max_norm is 0. */
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

/* X(key): every key in its documented order; `#key` is its name. */
/* clang-format off */
#define HSAE_CONFIG_KEYS(X)                                                                                                   \
    X(levels) X(batch) X(steps) X(lr) X(warmup) X(beta2) X(adam_eps) X(target_l0) X(lambda_init) X(init_l0)                   \
    X(sparsity_momentum) X(sparsity_eta) X(sparsity_kappa) X(bandwidth) X(hierarchy_period) X(exclude) X(similarity) X(tree)  \
    X(ghost) X(dead_steps) X(project_gradient) X(center) X(order) X(seed) X(rho) X(perturb)  \
    X(max_norm) X(norm_limit) X(skip_bad_rows)
/* clang-format on */

#ifdef __cplusplus
}
#endif
#endif
