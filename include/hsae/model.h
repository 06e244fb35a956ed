/* SPDX-License-Identifier: MIT */
/* Trained models: load, save, encode, decode, evaluate. A model is data in host memory; a session puts it on a device and computes with it.
 *
 * A model file is a safetensors file for all levels l = 0 .. L - 1, with metadata format "hsae", version "1", config (JSON) and
 * library_version. Encoder and decoder rows are also read as F16 and BF16.
 *
 *     input.mean F32 [d], input.scale F32 [1]
 *     levels.{l}.encoder.weight F32 [n, d]    row i is feature i
 *     levels.{l}.encoder.bias   F32 [n]
 *     levels.{l}.threshold      F32 [n]       > 0
 *     levels.{l}.decoder.weight F32 [n, d]    unit rows
 *     levels.{l}.decoder.bias   F32 [d]
 *     levels.{l}.parent         I32 [n]       l >= 1 only: feature of level l - 1, or -1 */
#ifndef HSAE_MODEL_H
#define HSAE_MODEL_H

#include <hsae/config.h>
#include <hsae/data.h>
#include <hsae/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A model in host memory: all levels, the tree, the input normalisation. It does not change; any number of threads may use it. */
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

/* Loads model.safetensors or a checkpoint; free with hsae_model_free. ERROR_FILE, ERROR_FORMAT, ERROR_MEMORY. */
HSAE_API hsae_status hsae_model_load(hsae_context *context, const char *path, hsae_model **out);
/* A model from arrays, which are copied: those of each level (`parent` NULL: no feature has one), config->level_count of them, and the
 * input normalisation. The levels' `features` stand for config->levels. ERROR_CONFIG, ERROR_ARGUMENT: an array is missing; ERROR_DATA: a
 * value is not one that hsae_model_load takes. */
HSAE_API hsae_status hsae_model_create(hsae_context *context, const hsae_config *config, uint32_t dim, const float *mean, float scale,
                                       const hsae_level *levels, hsae_model **out);
/* Writes a file that appears whole: it is written beside `path`, synced and renamed. ERROR_DIVERGED: hsae_model_load would refuse a value
 * (not finite, or a threshold that is not above 0); nothing is written. ERROR_FILE: the old file is as it was. */
HSAE_API hsae_status hsae_model_save(hsae_context *context, const hsae_model *model, const char *path);
/* Sets *model to NULL; takes NULL. */
HSAE_API void hsae_model_free(hsae_model **model);

/* Width d of the activations; the resolved configuration. */
HSAE_API uint32_t hsae_model_dim(const hsae_model *model);
HSAE_API const hsae_config *hsae_model_config(const hsae_model *model);
/* level < config.level_count; the struct is a view, there is nothing to free. */
HSAE_API hsae_level hsae_model_level(const hsae_model *model, uint32_t level);
/* Normalised activations are scale * (raw - mean); mean is [d]. */
HSAE_API const float *hsae_model_mean(const hsae_model *model);
HSAE_API float hsae_model_scale(const hsae_model *model);

/* The tree downwards: the children of feature i of a level are features children[starts[i]] .. children[starts[i + 1] - 1] of the level
 * below it, ascending. */
typedef struct hsae_children {
    uint32_t *starts;   /* [features of the level + 1] */
    uint32_t *children; /* [starts[features of the level]] */
} hsae_children;
/* Fills *out; free with hsae_children_free. The last level has no children. ERROR_ARGUMENT: there is no such level. ERROR_MEMORY. */
HSAE_API hsae_status hsae_model_children(hsae_context *context, const hsae_model *model, uint32_t level, hsae_children *out);
/* Frees what is in the struct, and zeroes it; takes NULL. */
HSAE_API void hsae_children_free(hsae_children *children);

/* Active features of `rows` samples at one level, as compressed sparse rows: those of sample r are entries indptr[r] .. indptr[r + 1] - 1.
 */
typedef struct hsae_features {
    uint64_t rows;
    uint64_t *indptr;  /* [rows + 1] */
    uint32_t *indices; /* [indptr[rows]], ascending within a row */
    float *values;     /* [indptr[rows]], activations a, > 0, in normalised units */
} hsae_features;

/* Frees what hsae_session_encode put into the struct, and zeroes it; takes NULL. */
HSAE_API void hsae_features_free(hsae_features *features);

/* A model on a device, with room for `max_rows` samples at a time; fewer rows take less time. One thread at a time. The model must outlive
 * it. */
typedef struct hsae_session hsae_session;

/* max_rows 0: 1024. Rows are left out as the model's configuration says (norm_limit, skip_bad_rows). ERROR_LIMIT, ERROR_DEVICE_MEMORY. */
HSAE_API hsae_status hsae_session_create(hsae_device *device, const hsae_model *model, uint32_t max_rows, hsae_session **out);
/* Sets another rule for all later calls: rows with a norm above norm_limit (raw units; 0: no limit) are left out, and with skip_bad_rows
 * rows that are not finite. */
HSAE_API void hsae_session_leave_out(hsae_session *session, double norm_limit, bool skip_bad_rows);
/* Whether the first batch of each size, and the first in larger launches, is compared with the reference on a sample of its rows and
 * features: as the setting `self_test` says until this is called, and never on the reference. A call whose device is wrong ends with
 * ERROR_DRIVER. */
HSAE_API void hsae_session_check(hsae_session *session, bool on);
/* The present rule. */
HSAE_API double hsae_session_norm_limit(const hsae_session *session);
HSAE_API bool hsae_session_skips_bad_rows(const hsae_session *session);
/* Sets *session to NULL; takes NULL. */
HSAE_API void hsae_session_destroy(hsae_session **session);

/* Encodes raw [rows, d], activations of the language model, any number of rows:
 *
 *     a_i = p_i where p_i > theta_i, else 0;  p = E x + b;  x = scale (raw - mean)
 *
 * `levels` [level_count]: one struct for each level, filled here; free each with hsae_features_free. A row that is left out has no
 * features. ERROR_DATA: a row that is not left out is not finite, or overflows float32 in between. */
HSAE_API hsae_status hsae_session_encode(hsae_session *session, const float *raw, uint64_t rows, hsae_features *levels);
/* The same into memory of the caller, which is filled, not made: for one row at a time, and for rows of 16 bits. */
typedef struct hsae_feature_room {
    uint64_t *indptr;  /* [rows + 1] */
    uint32_t *indices; /* [capacity] */
    float *values;     /* [capacity] */
    uint64_t capacity; /* rows * features is always enough */
    uint64_t needed;   /* filled here: indptr[rows] */
} hsae_feature_room;
/* `raw` [rows, d] of `dtype`; `levels` [level_count]. ERROR_ARGUMENT: an array is missing, or a level needs more room; then `needed` and
 * indptr are right all the same, and the first `capacity` entries are there. Else as hsae_session_encode. */
HSAE_API hsae_status hsae_session_encode_into(hsae_session *session, const void *raw, hsae_dtype dtype, uint64_t rows,
                                              hsae_feature_room *levels);
/* Rows that all calls of hsae_session_encode and _encode_into got, and those that it left out; `first` is numbered over all calls. */
HSAE_API hsae_left_out hsae_session_left_out(const hsae_session *session);
/* The reconstruction from one level, in raw units, to out [features->rows, d]:
 *
 *     out = (c + sum over i of a_i D_i) / scale + mean
 *
 * ERROR_ARGUMENT: indptr does not rise from 0, an index is not below the level's features, a value is not finite. ERROR_DATA: the
 * reconstruction overflows float32. */
HSAE_API hsae_status hsae_session_decode(hsae_session *session, uint32_t level, const hsae_features *features, float *out);

/* Figures of a level, and of pair k: levels k and k + 1. NaN: does not exist. Sums and means are over the samples that were not left out;
 * |.| is the Euclidean norm, "mean x" the mean of these samples. */
typedef struct hsae_level_metrics {
    double l0;                        /* active features per sample */
    double dead_fraction;             /* share of the features that are never active */
    double variance_explained;        /* 1 - sum |x - xhat|^2 / sum |x - mean x|^2 */
    double variance_explained_legacy; /* mean over samples of 1 - |x - xhat|^2 / |x - mean x|^2 */
} hsae_level_metrics;
typedef struct hsae_pair_metrics {
    double hamming;              /* per sample: features with children whose activity differs from the OR of their children's */
    double p_parent_given_child; /* P(parent active | child active), mean over pairs of child and parent whose child is ever active */
    double p_child_given_parent; /* P(child active | parent active), mean over pairs whose parent is ever active */
    double lift;                 /* P(parent active | child active) / P(parent active), median over pairs whose two are ever active */
    double duplicates;           /* share of duplicates (below), of the pairs whose child is ever active */
    double largest_share;        /* largest_family / assigned */
    uint64_t largest_family;     /* children of the feature that has the most */
    uint64_t assigned;           /* features that have a parent */
} hsae_pair_metrics;
#define HSAE_DENSITY_BINS 24
typedef struct hsae_evaluation {
    uint64_t tokens;        /* samples that count in the figures */
    hsae_left_out left_out; /* samples that do not */
    uint32_t level_count;
    hsae_level_metrics levels[HSAE_MAX_LEVELS];
    /* Of each level, features by the share of samples on which they are active: bin k holds 10^-((k + 1) / 4) < share <= 10^-(k / 4), the
     * last one all smaller shares, too. Features that are never active are in none. */
    uint32_t density[HSAE_MAX_LEVELS][HSAE_DENSITY_BINS];
    hsae_pair_metrics pairs[HSAE_MAX_LEVELS - 1];
    hsae_level_metrics mean_level; /* means over the levels */
    hsae_pair_metrics mean_pair;   /* means over the pairs whose figure exists; largest_family: the largest; assigned: the sum */
} hsae_evaluation;

/* A child is a duplicate of its parent where the cosine of their decoder rows is above HSAE_DUPLICATE_COSINE, and the correlation phi of
 * being active is above HSAE_DUPLICATE_PHI. Of N samples the parent is active on n_p, the child on n_c, both on n_pc:
 *
 *     phi = (N n_pc - n_p n_c) / sqrt(n_p (N - n_p) n_c (N - n_c))
 *
 * A tree of duplicates has a high P(parent active | child active) and says nothing about parts and wholes. tests/README.md says what the
 * limits find on known forests. */
#define HSAE_DUPLICATE_COSINE 0.7
#define HSAE_DUPLICATE_PHI    0.7

/* A tree says little where one feature has most of the children. Whether one has more than a share of HSAE_LARGE_FAMILY of those of
 * `level`, which is above 0, and more than four times an even share: parent [config->levels[level]], features of level - 1 or -1. Then
 * `text` (`size` bytes, 256 are enough) says which one, and what to do about it; else it is "". Training and hsae_model_link log the text
 * as a warning, a trainer once. Any thread. */
#define HSAE_LARGE_FAMILY 0.25
HSAE_API bool hsae_large_family(const hsae_config *config, uint32_t level, const int32_t *parent, char *text, size_t size);

/* Evaluates the model on a data set of its width (arXiv 2602.11881, section 4 and appendix A.3), which is read twice. `progress` may be
 * NULL; CANCELLED where it returns false. ERROR_DATA: all rows are left out, or a row that is not left out is not finite. */
HSAE_API hsae_status hsae_session_evaluate(hsae_session *session, const hsae_dataset *dataset, hsae_progress_fn progress, void *user,
                                           hsae_evaluation *out);

/* The same of rows as they come, in any number, which are read once. The session must outlive it, and may be used for other things between
 * the calls; each call works on whole batches of the session, so give many rows at once. The figures are those of hsae_session_evaluate on
 * the same rows, variance_explained within rounding; variance_explained_legacy needs the mean of all rows first and is NaN. */
typedef struct hsae_evaluator hsae_evaluator;
HSAE_API hsae_status hsae_evaluator_create(hsae_session *session, hsae_evaluator **out);
/* Sets *evaluator to NULL; takes NULL. */
HSAE_API void hsae_evaluator_destroy(hsae_evaluator **evaluator);
/* Adds raw [rows, d] of `dtype`. ERROR_DATA: a row that is not left out is not finite; of the call's rows, those of the batches before its
 * own were added. */
HSAE_API hsae_status hsae_evaluator_add(hsae_evaluator *evaluator, const void *raw, hsae_dtype dtype, uint64_t rows);
/* The figures of all rows so far; more may follow. ERROR_DATA: there are none, or all are left out. */
HSAE_API hsae_status hsae_evaluator_result(const hsae_evaluator *evaluator, hsae_evaluation *out);

#ifdef __cplusplus
}
#endif
#endif
