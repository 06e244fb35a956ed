/* SPDX-License-Identifier: MIT */
/* A model and the state of a training run in host memory, and their files (tensors: include/hsae/model.h, include/hsae/trainer.h). */
#ifndef HSAE_SRC_MODEL_H
#define HSAE_SRC_MODEL_H

#include <hsae/model.h>

struct level_tensors {
    uint32_t features;
    float *encoder_weight; /* [n, d] */
    float *encoder_bias;   /* [n] */
    float *threshold;      /* [n] */
    float *decoder_weight; /* [n, d] */
    float *decoder_bias;   /* [d] */
    int32_t *parent;       /* [n]; NULL at level 0 */
};

struct hsae_model {
    hsae_config config; /* resolved */
    uint32_t dim;
    float *mean; /* [d] */
    float scale;
    struct level_tensors levels[HSAE_MAX_LEVELS];
};

/* The tensors of a checkpoint that are not in a model. */
struct level_train_tensors {
    float *log_threshold;    /* [n] */
    float *encoder_weight_v; /* [n, d] second moments, as of row_step */
    float *encoder_bias_v;   /* [n] */
    float *log_threshold_v;  /* [n] */
    float *decoder_weight_v; /* [n, d] */
    float *decoder_bias_v;   /* [d], always current */
    int64_t *row_step;       /* [n] */
    int64_t *last_fired;     /* [n] */
    uint32_t *activity;      /* [64, n, ceil(batch / 32)] bits (slot (step - 1) mod 64): who was active in the last 64 steps; NULL unless
                                similarity is co-activation. In the file: train.levels.{l}.activity, I32 */
};
struct train_state {
    int64_t step;
    float lambda[HSAE_MAX_LEVELS];
    float l0_average[HSAE_MAX_LEVELS];
    /* The file lacks these where they are zero. */
    int64_t left_out[3]; /* train.left_out: norm, bad and first of hsae_left_out */
    float rate[2];       /* train.lr: 1 and the learning rate that was set */
    int64_t source[4];   /* train.source: samples drawn, rows of the buffer, rows of the source, hsae_source_hash */
    struct level_train_tensors levels[HSAE_MAX_LEVELS];
};

enum { HSAE_ACTIVITY_STEPS = 64 };

/* Access to the rows of matrices (tensors of two dimensions and more) that are on a device: of a model and state whose own pointers are
 * NULL. */
struct slot;
struct matrix_rows {
    /* Copies rows row .. row + count - 1 of slot->matrix of slot->level to `values` or, on reading a file, from there. */
    hsae_status (*copy)(void *user, const struct slot *slot, uint64_t row, uint64_t count, void *values);
    void *user;
    /* Says why a value cannot be written, and returns the status to end with; NULL: the file's writer says it. `level` may be
     * HSAE_NO_LEVEL. */
    hsae_status (*refuse)(void *user, uint32_t level, const char *what);
};

/* A model with zeroed tensors for config.levels and dim. */
hsae_status hsae_model_alloc(hsae_context *context, const hsae_config *config, uint32_t dim, hsae_model **out);
/* The same without the matrices. */
hsae_status hsae_model_alloc_vectors(hsae_context *context, const hsae_config *config, uint32_t dim, hsae_model **out);
/* Zeroed state of the shapes of `model`; `activity` only where the similarity is co-activation. */
hsae_status hsae_train_state_alloc(hsae_context *context, const hsae_model *model, struct train_state **out);
hsae_status hsae_train_state_alloc_vectors(hsae_context *context, const hsae_model *model, struct train_state **out);
void hsae_train_state_free(struct train_state **state);

/* hsae_model_save of a model whose matrices are in `rows`. */
hsae_status hsae_model_save_rows(hsae_context *context, const hsae_model *model, const struct matrix_rows *rows, const char *path);

/* A checkpoint file holds both. Loading checks every tensor's presence, dtype, shape, finiteness, ranges (thresholds > 0, parents in range,
 * 0 <= row_step, last_fired <= step) against the file's own configuration, which comes back unresolved but checked. F16 and BF16 weights
 * are converted. `train.levels.{l}.activity` may be missing (zeros then). */
hsae_status hsae_checkpoint_load(hsae_context *context, const char *path, hsae_model **model, struct train_state **state);
hsae_status hsae_checkpoint_save(hsae_context *context, const hsae_model *model, const struct train_state *state, const char *path);
/* The same with the matrices in `rows` (NULL: in memory). */
hsae_status hsae_checkpoint_save_rows(hsae_context *context, const hsae_model *model, const struct train_state *state,
                                      const struct matrix_rows *rows, const char *path);

/* A checkpoint whose tensors are all there and have the right shapes. */
struct checkpoint {
    const char *path; /* the caller's */
    struct hsae_safetensors *file;
    hsae_config config;
    uint32_t dim;
    int64_t step;
};
/* *out is zeroed after a failure. */
hsae_status hsae_checkpoint_open(hsae_context *context, const char *path, struct checkpoint *out);
/* Takes a zeroed one. */
void hsae_checkpoint_close(struct checkpoint *checkpoint);
/* The rest of hsae_checkpoint_load: `rows` gets the file's matrices, a few rows at a time and checked; NULL: they are
 * read into memory. */
hsae_status hsae_checkpoint_read(hsae_context *context, const struct checkpoint *checkpoint, const struct matrix_rows *rows,
                                 hsae_model **model, struct train_state **state);

#endif
