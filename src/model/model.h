/* A model and the state of a training run in host memory, and their files (formats: README.md). */
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

/* What a checkpoint holds beside the model. */
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
    struct level_train_tensors levels[HSAE_MAX_LEVELS];
};

enum { HSAE_ACTIVITY_STEPS = 64 };

/* A model with zeroed tensors for config.levels and dim. */
hsae_status hsae_model_alloc(hsae_context *context, const hsae_config *config, uint32_t dim, hsae_model **out);
/* Zeroed state of the shapes of `model`; `activity` only where the similarity is co-activation. */
hsae_status hsae_train_state_alloc(hsae_context *context, const hsae_model *model, struct train_state **out);
void hsae_train_state_free(struct train_state **state);

/* A checkpoint file holds both. Loading checks every tensor's presence, dtype, shape, finiteness, ranges (thresholds > 0, parents in range,
 * 0 <= row_step, last_fired <= step) against the file's own configuration, which comes back unresolved but checked. F16 and BF16 weights
 * are converted. `train.levels.{l}.activity` may be missing (zeros then). */
hsae_status hsae_checkpoint_load(hsae_context *context, const char *path, hsae_model **model, struct train_state **state);
hsae_status hsae_checkpoint_save(hsae_context *context, const hsae_model *model, const struct train_state *state, const char *path);

#endif
