/* SPDX-License-Identifier: MIT */
/* Trained models: load, save, encode, decode, evaluate. */
#ifndef HSAE_MODEL_H
#define HSAE_MODEL_H

#include <hsae/config.h>
#include <hsae/data.h>
#include <hsae/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A model in host memory: all levels, the tree, the input normalisation. Immutable: any number of threads may use it. */
typedef struct hsae_model hsae_model;

/* One level of a model; pointers live as long as the model. n = features, d = width. */
typedef struct hsae_level {
    uint32_t features;
    const float *encoder_weight; /* [n, d], row i is feature i */
    const float *encoder_bias;   /* [n] */
    const float *threshold;      /* [n], > 0; a feature is active where its pre-activation is above it */
    const float *decoder_weight; /* [n, d], unit rows */
    const float *decoder_bias;   /* [d] */
    const int32_t *parent;       /* [n], feature of the level above or -1; NULL at level 0 */
} hsae_level;

/* `path`: model.safetensors or a checkpoint. */
HSAE_API hsae_status hsae_model_load(hsae_context *context, const char *path, hsae_model **out);
/* Writes beside `path`, syncs, renames: an old file stays whole until the new one is. ERROR_DIVERGED: a value is not one that
 * hsae_model_load takes (not finite, a threshold that is not above 0); nothing is written. */
HSAE_API hsae_status hsae_model_save(hsae_context *context, const hsae_model *model, const char *path);
HSAE_API void hsae_model_free(hsae_model **model);

HSAE_API uint32_t hsae_model_dim(const hsae_model *model);
HSAE_API const hsae_config *hsae_model_config(const hsae_model *model);
/* level < config.level_count */
HSAE_API hsae_level hsae_model_level(const hsae_model *model, uint32_t level);
/* Normalised activations are scale * (raw - mean); mean is [d]. */
HSAE_API const float *hsae_model_mean(const hsae_model *model);
HSAE_API float hsae_model_scale(const hsae_model *model);

/* Active features of `rows` samples at one level, compressed sparse rows. */
typedef struct hsae_features {
    uint64_t rows;
    uint64_t *indptr;  /* [rows + 1] */
    uint32_t *indices; /* [indptr[rows]], ascending within a row */
    float *values;     /* [indptr[rows]], activations in normalised units, > 0 for positive thresholds */
} hsae_features;

HSAE_API void hsae_features_free(hsae_features *features);

/* A model on a device, with room for `max_rows` samples at a time. One thread at a time. The model must outlive it. */
typedef struct hsae_session hsae_session;

/* max_rows 0: 1024. Rows are left out as the model's configuration says (norm_limit, skip_bad_rows). */
HSAE_API hsae_status hsae_session_create(hsae_device *device, const hsae_model *model, uint32_t max_rows, hsae_session **out);
/* Another rule from now on: rows with a norm above norm_limit (raw units; 0: none) are left out, and rows that are not finite where
 * skip_bad_rows says so. Everything that a session does with rows follows the one rule. */
HSAE_API void hsae_session_leave_out(hsae_session *session, double norm_limit, bool skip_bad_rows);
/* The rule's norm_limit and skip_bad_rows. */
HSAE_API double hsae_session_norm_limit(const hsae_session *session);
HSAE_API bool hsae_session_skips_bad_rows(const hsae_session *session);
HSAE_API void hsae_session_destroy(hsae_session **session);

/* raw: [rows, d] activations of the language model, any number of rows. `levels`: one struct for each level, filled here; free each with
 * hsae_features_free. JumpReLU: a = p where p = E x + b is above the threshold, else 0 (arXiv 2407.14435, section 3). A
 * row that is left out has no features. ERROR_DATA: a row that is not
 * left out is not finite, or overflows float32 on its way. */
HSAE_API hsae_status hsae_session_encode(hsae_session *session, const float *raw, uint64_t rows, hsae_features *levels);
/* Rows that hsae_session_encode got so far, and those that it left out; `first` is counted over all calls. */
HSAE_API hsae_left_out hsae_session_left_out(const hsae_session *session);
/* The inverse for one level: reconstruction c + sum a_i D_i, in raw units, to out [features->rows, d]. Indices are checked. ERROR_DATA: the
 * reconstruction overflows float32. */
HSAE_API hsae_status hsae_session_decode(hsae_session *session, uint32_t level, const hsae_features *features, float *out);

/* Figures of one level, of one pair of adjacent levels (k = levels k and k + 1), and their means. NaN: does not exist (no such pair). */
typedef struct hsae_level_metrics {
    double l0;                        /* active features per sample */
    double dead_fraction;             /* features never active */
    double variance_explained;        /* 1 - sum |x - xhat|^2 / sum |x - mean x|^2 */
    double variance_explained_legacy; /* mean over samples of 1 - |x - xhat|^2 / |x - mean x|^2 */
} hsae_level_metrics;
typedef struct hsae_pair_metrics {
    double hamming;              /* features that have children and whose activity differs from the OR of them, per sample */
    double p_parent_given_child; /* P(p|c), mean over assigned pairs */
    double p_child_given_parent; /* P(c|p) */
    uint64_t assigned;           /* features that have a parent */
} hsae_pair_metrics;
typedef struct hsae_evaluation {
    uint64_t tokens;        /* rows that all figures are of */
    hsae_left_out left_out; /* rows that they are not of */
    uint32_t level_count;
    hsae_level_metrics levels[HSAE_MAX_LEVELS];
    hsae_pair_metrics pairs[HSAE_MAX_LEVELS - 1];
    hsae_level_metrics mean_level;
    hsae_pair_metrics mean_pair; /* `assigned`: the sum */
} hsae_evaluation;

/* Paper, section 4 and appendix A.3. Reads the data set twice. `progress` may be NULL. ERROR_DATA: all rows are left out, or a row is not
 * finite and such rows are not left out. */
HSAE_API hsae_status hsae_session_evaluate(hsae_session *session, const hsae_dataset *dataset, hsae_progress_fn progress, void *user,
                                           hsae_evaluation *out);

#ifdef __cplusplus
}
#endif
#endif
