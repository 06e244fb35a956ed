/* SPDX-License-Identifier: MIT */
/* Training.
 *
 *     hsae_trainer_create -> hsae_trainer_run (from a data set)  or  hsae_trainer_step, again and again (from your own memory)
 *                         -> hsae_trainer_save_model, hsae_trainer_save_checkpoint
 *
 * Same library, device, driver, tuning (tune.h), seed and data give the same bits, and a run that was stopped and resumed equals one that
 * was not. */
#ifndef HSAE_TRAINER_H
#define HSAE_TRAINER_H

#include <hsae/model.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One thread at a time. The device must outlive it. */
typedef struct hsae_trainer hsae_trainer;

/* A fresh trainer. `config` is resolved first (hsae_config_resolve). What hsae_memory_plan_make would refuse is refused as fast:
 * ERROR_LIMIT, ERROR_DEVICE_MEMORY, ERROR_MEMORY, before anything is allocated. The first min(65536, count) rows of `calibration` give mean
 * and scale of the input normalisation and, where max_norm asks for it, norm_limit; the first batch of it the thresholds' start. It may be
 * closed afterwards.
 *
 * Rows whose norm is above norm_limit are left out of all of this and of training, as are rows that are not finite where skip_bad_rows says
 * so (config.h). Calibration names them in a warning. */
HSAE_API hsae_status hsae_trainer_create(hsae_device *device, const hsae_config *config, const hsae_dataset *calibration,
                                         hsae_trainer **out);
/* The same with rows in memory: raw [rows, dim], rows >= batch. */
HSAE_API hsae_status hsae_trainer_create_from_memory(hsae_device *device, const hsae_config *config, const float *raw, uint64_t rows,
                                                     uint32_t dim, hsae_trainer **out);
/* Changes keys of a run's configuration: only steps, lr, target_l0, rho, perturb and skip_bad_rows may change; norm_limit 0 stands for the
 * run's. Called once, with a resolved configuration; what it returns besides OK is passed on. */
typedef hsae_status (*hsae_override_fn)(void *user, hsae_config *config);
/* The configuration with which a run goes on that began with `run`, for activations of width `dim`: *out is `run` with the changes of
 * `overrides` (may be NULL), resolved. Each change is logged (INFO). `out` may be `run`, and is left alone on an error. ERROR_CONFIG: a key
 * changed that may not, or hsae_config_resolve's reasons. Any thread. */
HSAE_API hsae_status hsae_config_override(hsae_context *context, const hsae_config *run, uint32_t dim, hsae_override_fn overrides,
                                          void *user, hsae_config *out);
/* Goes on from a checkpoint, with its configuration as hsae_config_override changes it. ERROR_FILE, ERROR_FORMAT, ERROR_CONFIG. */
HSAE_API hsae_status hsae_trainer_resume(hsae_device *device, const char *path, hsae_override_fn overrides, void *user, hsae_trainer **out);
/* Whether hsae_trainer_resume can read the file: checks all of it, with little memory. ERROR_FILE, ERROR_FORMAT. */
HSAE_API hsae_status hsae_checkpoint_check(hsae_context *context, const char *path);
HSAE_API void hsae_trainer_destroy(hsae_trainer **trainer);

/* Whether steps are checked against the reference device; on unless said otherwise, except on the reference device itself. The first step
 * after a trainer was made or resumed is checked, and the first one that a tree, ghost gradients or larger launches bring something new to.
 * The host computes a sample of the step's own rows and features anew, at the run's own sizes, and compares within what rounding may do: a
 * driver that is right on the small model of hsae_device_test and wrong on large launches is found in that step. It takes some
 * milliseconds of a small run and less than a second at the paper's size, and changes no bit of the run. A step that is wrong ends in
 * ERROR_DRIVER, and so does everything that would save or copy the trainer's model from then on. Call it between steps. */
HSAE_API void hsae_trainer_check(hsae_trainer *trainer, bool on);

/* Where a training stopped being finite. A loss, penalty or constraint that is inf or nan ends the training in the step that made it; a
 * bias or threshold, when hsae_trainer_run next gives metrics; any parameter or second moment that no file may hold, when the next
 * checkpoint or model is to be saved. The function that notices it returns ERROR_DIVERGED and says what, where and what to do. From then on
 * the trainer neither trains nor saves (ERROR_DIVERGED): go on from a checkpoint, all of which are finite, with a new one. */
typedef struct hsae_divergence {
    uint64_t step;  /* the step whose figure, or the last step before the file whose parameter was not finite */
    uint32_t level; /* HSAE_NO_LEVEL: it belongs to no level */
    /* The row of a file whose norm is more than 1000 times the median of its batch's, where there is one in this step, the step before or
     * the one with the largest loss since the last save. NULL: no row stands out, or the rows came from the caller's memory. `file` lives
     * as long as the trainer; row from 0 within the file. */
    const char *file;
    uint64_t row;
    /* The configuration key that most likely did it (static string), and whether it should be higher (else lower). NULL: none. */
    const char *key;
    bool raise;
} hsae_divergence;
/* Whether the training has diverged; then *out is filled. */
HSAE_API bool hsae_trainer_divergence(const hsae_trainer *trainer, hsae_divergence *out);

/* Figures of one step. */
typedef struct hsae_step_level {
    double reconstruction;     /* batch mean of |xhat - x|^2, perturbed, as in the loss */
    double variance_explained; /* of this batch, against its mean */
    double l0;                 /* batch mean of active features */
    double lambda;             /* L0 penalty used in the step */
    double constraint;         /* structural constraint with the children of this level, rho included */
    uint64_t dead;             /* dead features before the step */
} hsae_step_level;
typedef struct hsae_step_metrics {
    uint64_t step;   /* counted from 1 */
    uint64_t tokens; /* samples seen up to and with this step */
    double lr;
    double seconds;           /* since the trainer was made or resumed */
    double tokens_per_second; /* since the last metrics */
    double data_wait; /* share of the time since the last metrics in which hsae_trainer_run waited for rows that were not read yet; steps in
                         flight went on meanwhile, so the device waited no longer than that */
    uint64_t left_out; /* rows left out so far: hsae_trainer_left_out */
    uint32_t level_count;
    hsae_step_level levels[HSAE_MAX_LEVELS];
} hsae_step_metrics;

typedef struct hsae_run_params {
    uint64_t until;            /* absolute step to stop after; 0: config.steps */
    uint64_t metrics_every;    /* call `metrics` at multiples of this and at the last step; 0: never */
    uint64_t checkpoint_every; /* call `checkpoint` at multiples of this; 0: never */
    /* Return false to stop after the step that is being done: the run returns CANCELLED with everything consistent. Each may be NULL. */
    bool (*progress)(void *user, uint64_t step, uint64_t until);
    bool (*metrics)(void *user, const hsae_step_metrics *metrics);
    bool (*checkpoint)(void *user, hsae_trainer *trainer);
    void *user;
} hsae_run_params;

/* Trains on `dataset` (batch <= rows, same d) from the current step on, in the configured order. Threads read the coming batches ahead,
 * into memory of at most 64 MiB (16 on a CPU) or 8 batches as they lie in the files, but 2 batches in any case, whatever the size of the
 * data set; they never change what is computed, and are gone when this returns. 16-bit activations go to the device as they are.
 *
 * A row that is left out is replaced by the next row of the data set that is not, from the last one on to the first. ERROR_DATA where 4096
 * rows do not hold one.
 *
 * A row that cannot be read (ERROR_FILE) or is not finite (ERROR_DATA; unless skip_bad_rows) ends the run before the step that needs it.
 * The trainer is then as after the step before: it can be saved, and go on. ERROR_DIVERGED: hsae_divergence.
 *
 * The data set may be closed after this; the trainer keeps its files open until the next run or its own end. */
HSAE_API hsae_status hsae_trainer_run(hsae_trainer *trainer, const hsae_dataset *dataset, const hsae_run_params *params);

/* One step on the caller's own batch, raw [batch, d]. A row that is left out is replaced by the next row of the batch that is not;
 * ERROR_DATA where there is none. `metrics` may be NULL; asking for them waits for the step. ERROR_ARGUMENT after the last of config.steps,
 * ERROR_DRIVER where the device computes it wrong (hsae_trainer_check). ERROR_DIVERGED (hsae_divergence)
 * comes from the call that waits for the step: this one with `metrics`, else one of the next few, or saving. */
HSAE_API hsae_status hsae_trainer_step(hsae_trainer *trainer, const float *raw, hsae_step_metrics *metrics);

HSAE_API uint64_t hsae_trainer_step_count(const hsae_trainer *trainer);
HSAE_API uint32_t hsae_trainer_dim(const hsae_trainer *trainer);
/* Rows of training up to and with the last step: those of hsae_trainer_run count when they are drawn for the first time, so in the first
 * epoch; those of hsae_trainer_step each time, and `first` is counted over all its batches. `rows` is at most those of the data set of the
 * last run. The other counts are kept in checkpoints. */
HSAE_API hsae_left_out hsae_trainer_left_out(const hsae_trainer *trainer);
/* Whether the last hsae_trainer_run ended with ERROR_DATA because of a row that is not finite: skip_bad_rows would leave it out. */
HSAE_API bool hsae_trainer_met_bad_row(const hsae_trainer *trainer);
/* The resolved configuration. */
HSAE_API const hsae_config *hsae_trainer_config(const hsae_trainer *trainer);

/* Writes a checkpoint (include/hsae/model.h says how files are replaced). ERROR_DIVERGED: some value is not one that hsae_trainer_resume
 * takes; nothing was written, an old file of that name is untouched. So do the two functions below. */
HSAE_API hsae_status hsae_trainer_save_checkpoint(hsae_trainer *trainer, const char *path);
/* Writes the model as it is now: the file that hsae_model_save would write of hsae_trainer_model's copy, without one in memory. */
HSAE_API hsae_status hsae_trainer_save_model(hsae_trainer *trainer, const char *path);
/* A copy of the model as it is now, in host memory. */
HSAE_API hsae_status hsae_trainer_model(hsae_trainer *trainer, hsae_model **out);

#ifdef __cplusplus
}
#endif
#endif
