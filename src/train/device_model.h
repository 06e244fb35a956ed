/* SPDX-License-Identifier: MIT */
/* The device model: all levels' parameters and the forward pass on a device, shared by the trainer and by sessions over a finished model.
 *
 * Features of all levels are numbered through ("global feature", kernels/args.h), so one E, one D and one bitmap serve them all, and a
 * launch covers all levels. Large tensors are cut into up to four buffers of `range_rows` rows. */
#ifndef HSAE_SRC_DEVICE_MODEL_H
#define HSAE_SRC_DEVICE_MODEL_H

#include "device/shape.h"
#include "model/model.h"
#include "part.h"

enum { HSAE_MAX_PAIRS = UINT32_MAX / 8 }; /* 32-bit indices into PAIR_WORDS words each */

struct ranged {
    struct hsae_buffer *range[HSAE_MAX_RANGES];
};

struct device_model {
    struct hsae_device *device;
    hsae_context *context;
    uint32_t levels;                     /* L */
    uint32_t first[HSAE_MAX_LEVELS + 1]; /* first global feature of each level; [L] = N */
    uint32_t features;                   /* N */
    const struct part *part;             /* where other devices have features of the model, too; NULL: this one has all */
    uint32_t all_features;               /* of the model */
    uint32_t largest_level;              /* features of the model's largest level */
    uint32_t dim, stride;
    uint32_t batch, words, padded; /* B, ceil(B / 32), 32 words */
    uint32_t free_rows;            /* S: of D, for training */
    uint32_t ranges, range_rows;   /* how E, D and their second moments are cut */
    uint32_t chunk;                /* features encoded at a time */
    uint32_t block, blocks;        /* features in a block of the sample lists, number of blocks */
    uint32_t slices;               /* column slices of decode */
    uint32_t screens;              /* hsae_screens: 0: the lists come by encode; 16: by screen; 8: by screen8 */
    uint32_t residual_levels;      /* levels in one buffer, and so in one launch of decode or bias */
    uint32_t capacity;             /* pairs that the lists hold */
    uint32_t shards;               /* V: of the features; each one's part of a reconstruction is summed by itself */
    /* Ranks are sorted by shard: shard s has shard_rank[l][s] .. shard_rank[l][s + 1] - 1 of level l. */
    uint32_t shard_rank[HSAE_MAX_LEVELS][HSAE_MAX_SHARDS + 1];

    struct ranged encoder, decoder; /* [N], [N + S] rows of stride floats */
    struct hsae_buffer *mean, *x, *panels, *norms;
    struct hsae_buffer *units, *rounded, *mixed; /* of screening: of the samples, which are then quantized in `panels`; its own room */
    struct hsae_buffer *level_info, *tree, *feature_scalars, *flags, *decoder_rows, *step_state;
    struct hsae_buffer *bits, *scratch, *counts, *starts, *active_count, *word_starts, *history;
    struct hsae_buffer *pairs, *samples, *positions; /* as long as `capacity` */
    struct hsae_buffer *tally, *totals, *sample_starts;
    struct hsae_buffer *bias;                      /* c: [L][stride] */
    struct hsae_buffer *residual[HSAE_MAX_LEVELS]; /* [levels][padded][stride], of `residual_levels` levels each */
    struct hsae_buffer *loss;                      /* [L][slices][padded] */
    struct hsae_buffer *partials;                  /* [V][padded][stride], where V > 1 */
    struct hsae_buffer
        *unused_binding[HSAE_MAX_RANGES]; /* bound where a range or a binding is not used; no written buffer may be bound twice */
};

struct device_model_params {
    uint32_t batch;          /* B */
    bool training;           /* rows of D will be updated */
    bool history;            /* keep who was active, for co-activation */
    double pairs;            /* first size of the lists; at most HSAE_MAX_PAIRS are made */
    const struct part *part; /* the features that the device has; it outlives the device model. NULL: all */
};

/* Whether kernels can index features, a batch of so many rows, and width, whatever the numbers are: else ERROR_LIMIT. */
hsae_status hsae_device_model_check(const hsae_context *context, const hsae_config *config, uint32_t dim, uint32_t rows);
/* Allocates everything for config.levels and dim, after checking that kernels can index it all (ERROR_LIMIT). *device_model is zeroed by
 * the caller; destroy it also after a failure. */
hsae_status hsae_device_model_create(struct device_model *device_model, struct hsae_device *device, const hsae_config *config, uint32_t dim,
                                     const struct device_model_params *params);
void hsae_device_model_destroy(struct device_model *device_model);
/* New pair lists that hold `pairs` and a quarter more; their content is lost. Sequences that use the old ones must be gone. ERROR_LIMIT
 * above HSAE_MAX_PAIRS. */
hsae_status hsae_device_model_grow(struct device_model *device_model, uint64_t pairs);
/* More free rows of D: `free_rows` in all. Rows stay where they are. Sequences that use D must be gone. ERROR_LIMIT where they do not fit.
 */
hsae_status hsae_device_model_grow_free_rows(struct device_model *device_model, uint32_t free_rows);
/* Room for a chunk's rows in tiles of the screening kernel, whose shape changes in a search for a faster one. Sequences that use it must be
 * gone. */
hsae_status hsae_device_model_fit_screen(struct device_model *device_model);
/* Lets steps continue after a halt whose cause is removed. */
hsae_status hsae_device_model_clear_halt(struct device_model *device_model);

/* Rows of `stride` floats, zero-padded, between host ([count, dim]) and a tensor. */
hsae_status hsae_ranged_create(const struct device_model *device_model, const char *label, uint32_t rows, struct ranged *tensor);
void hsae_ranged_destroy(struct ranged *tensor);
hsae_status hsae_ranged_write(const struct device_model *device_model, const struct ranged *tensor, uint32_t row, uint32_t count,
                              const float *data);
hsae_status hsae_ranged_read(const struct device_model *device_model, const struct ranged *tensor, uint32_t row, uint32_t count,
                             float *data);
/* The same for a plain buffer of rows. */
hsae_status hsae_rows_write(const struct device_model *device_model, struct hsae_buffer *buffer, uint32_t row, uint32_t count,
                            const float *data);
hsae_status hsae_rows_read(const struct device_model *device_model, struct hsae_buffer *buffer, uint32_t row, uint32_t count, float *data);

/* Uploads the model's parameters (not the matrices that it is without, nor to a device that has a part of it) and normalisation, not its
 * tree. `bandwidth` widens the cut (0: list active features only). log_thresholds: per level, or NULL: from the thresholds. */
hsae_status hsae_device_model_upload(struct device_model *device_model, const hsae_model *model, double bandwidth,
                                     float *const *log_thresholds);
/* The tree (kernels/args.h) of parents (per level, as in a model; [0] is NULL), or, with NULL, in index order without families, is uploaded
 * and, unless `out` is NULL, left in *out to be freed. */
hsae_status hsae_device_model_upload_tree(struct device_model *device_model, int32_t *const *parents, u32 **out);

/* Rows are copied between host and device through a padded copy of at most so many bytes. */
enum { HSAE_COPY_BYTES = 1 << 22 };
/* Bytes of the largest buffer that kernels can see. */
uint64_t hsae_binding_limit(const struct hsae_device *device);
/* What a buffer's size is proportional to. */
enum growth { GROWS_NOT, GROWS_WITH_BATCH, GROWS_WITH_FEATURES };
/* A DEVICE buffer that kernels see whole; ERROR_LIMIT says what would fit. */
hsae_status hsae_device_model_buffer(const struct device_model *device_model, const char *label, uint64_t words, enum growth growth,
                                     struct hsae_buffer **out);
/* Where a level's residual is: its buffer, and the row of its first sample in it. */
static inline struct hsae_buffer *hsae_residual(const struct device_model *device_model, uint32_t level)
{
    return device_model->residual[level / device_model->residual_levels];
}
static inline uint32_t hsae_residual_row(const struct device_model *device_model, uint32_t level)
{
    return level % device_model->residual_levels * device_model->padded;
}
/* The number that feature `at`, one of `level`, has in its level of the model. */
static inline uint32_t hsae_number(const struct device_model *device_model, uint32_t level, uint32_t at)
{
    return device_model->part ? device_model->part->number[at] : at - device_model->first[level];
}
/* How many of the levels from `level` on, up to and without `end`, are in its buffer. */
static inline uint32_t hsae_residual_levels(const struct device_model *device_model, uint32_t level, uint32_t end)
{
    uint32_t left = device_model->residual_levels - level % device_model->residual_levels;
    return left < end - level ? left : end - level;
}

#endif
