/* SPDX-License-Identifier: MIT */
/* Training: a trainer holds a model and its optimiser on a device, and takes steps.
 *
 *     hsae_trainer_create
 *         -> hsae_trainer_run, from a data set, or hsae_trainer_step or _step_rows, from your own memory
 *         -> hsae_trainer_save_model, hsae_trainer_save_checkpoint, hsae_trainer_model
 *
 * The same library, device, driver, tuning (tune.h), seed and data give the same bits. A run that was stopped and resumed equals one that
 * was not.
 *
 * A checkpoint is a model file (model.h) with these tensors more. "v" is a second moment of Adam, as of the step row_step.
 *
 *     train.step I64 [1]                              steps done
 *     train.left_out I64 [3]                          counts of rows left out; missing where they are 0
 *     train.source I64 [4]                            stream.h: samples drawn from the source, rows of the buffer, rows of the source
 *                                                     (0: all samples are of its first epoch), a hash of its identity; missing where
 *                                                     there was no source
 *     train.lr F32 [2]                                1, and the rate that hsae_trainer_set_lr gave; missing where the schedule holds
 *     sparsity.lambda, sparsity.l0_average F32 [L]    penalty of the next step; running mean of L0, negative before the first step
 *     levels.{l}.log_threshold F32 [n]                the trained parameter: threshold = exp(log_threshold)
 *     levels.{l}.last_fired I64 [n]                   last step in which the feature was active, 0: never
 *     optimizer.levels.{l}.row_step I64 [n]           last step in which the feature's rows were updated, 0: never
 *     optimizer.levels.{l}.{encoder.weight, encoder.bias, log_threshold, decoder.weight, decoder.bias}.v F32, as the parameter;
 *                                                     decoder.bias.v is as of train.step
 *     train.levels.{l}.activity I32 [64, n, words]    similarity "coactivation" only: bits of the samples of the last 64 steps */
#ifndef HSAE_TRAINER_H
#define HSAE_TRAINER_H

#include <hsae/model.h>
#include <hsae/plan.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One thread at a time uses a trainer. The device must outlive it. */
typedef struct hsae_trainer hsae_trainer;

/* A fresh trainer. `config` is resolved first (hsae_config_resolve). The first min(65536, all) rows of `calibration` give mean and scale of
 * the input normalisation, and norm_limit where max_norm asks for it; its first batch gives the first thresholds. It may be closed
 * afterwards. What does not fit (hsae_memory_plan_make) is refused before anything is allocated: ERROR_LIMIT, ERROR_DEVICE_MEMORY,
 * ERROR_MEMORY. ERROR_CONFIG, ERROR_DATA.
 *
 * Rows whose norm is above norm_limit are left out of all of this and of training; with skip_bad_rows, rows that are not finite are, too
 * (config.h). Calibration names them in a warning. */
HSAE_API hsae_status hsae_trainer_create(hsae_device *device, const hsae_config *config, const hsae_dataset *calibration,
                                         hsae_trainer **out);
/* The same, and the plan that it made first: what the run takes at the start and, where that does not fit, what would. *plan is NULL where
 * configuration or data were refused before. Free with hsae_memory_plan_free, also after a failure. */
HSAE_API hsae_status hsae_trainer_create_planned(hsae_device *device, const hsae_config *config, const hsae_dataset *calibration,
                                                 hsae_memory_plan **plan, hsae_trainer **out);
/* hsae_trainer_create from rows in memory: raw [rows, dim], rows >= batch. */
HSAE_API hsae_status hsae_trainer_create_from_memory(hsae_device *device, const hsae_config *config, const float *raw, uint64_t rows,
                                                     uint32_t dim, hsae_trainer **out);
/* Changes keys of a run's configuration: only steps, lr, target_l0, rho, perturb and skip_bad_rows may change; norm_limit 0 stands for the
 * run's. Called once, with a resolved configuration. A status other than OK ends the caller with it. */
typedef hsae_status (*hsae_override_fn)(void *user, hsae_config *config);
/* The configuration of a resumed run: *out is `run`, the configuration that the run began with, with the changes of `overrides` (may be
 * NULL), resolved for activations of width `dim`. Each change is logged (INFO). `out` may be `run`; it is unchanged on an error.
 * ERROR_CONFIG: a key changed that may not, or hsae_config_resolve's reasons. Any thread. */
HSAE_API hsae_status hsae_config_override(hsae_context *context, const hsae_config *run, uint32_t dim, hsae_override_fn overrides,
                                          void *user, hsae_config *out);
/* A trainer that continues from a checkpoint, with its configuration as hsae_config_override changes it. ERROR_FILE, ERROR_FORMAT,
 * ERROR_CONFIG, and those of hsae_trainer_create. */
HSAE_API hsae_status hsae_trainer_resume(hsae_device *device, const char *path, hsae_override_fn overrides, void *user, hsae_trainer **out);
/* Whether hsae_trainer_resume can read the file: checks all of it, with little memory. ERROR_FILE, ERROR_FORMAT. */
HSAE_API hsae_status hsae_checkpoint_check(hsae_context *context, const char *path);
/* Sets *trainer to NULL; takes NULL. */
HSAE_API void hsae_trainer_destroy(hsae_trainer **trainer);

/* Switches the check of steps against the reference on or off; it is on at first, except on the reference device. Checked are the first
 * step after a trainer was made or resumed, and the first with a tree, with ghost gradients, or with larger launches. The host computes a
 * sample of the step's rows and features again, at the run's own sizes, and compares within what rounding may do. So a driver that is right
 * on the small model of hsae_device_test and wrong on large launches is found in that step. The check takes some milliseconds in a small
 * run, less than a second at the paper's size, and changes no bit. A wrong step ends in ERROR_DRIVER, and so do all later calls that would
 * save or copy the model. Call it between steps. */
HSAE_API void hsae_trainer_check(hsae_trainer *trainer, bool on);

/* Where a training stopped being finite. Found in the step that made it: a loss, penalty or constraint that is inf or nan. Found when
 * hsae_trainer_run next gives metrics: a bias or threshold. Found at the next save: any other parameter or second moment. The function that
 * finds it returns ERROR_DIVERGED and logs what, where and what to do. From then on the trainer neither trains nor saves (ERROR_DIVERGED).
 * Make a new one from a checkpoint: all of them are finite. */
typedef struct hsae_divergence {
    uint64_t step;  /* of the figure that is not finite, or the last step before the save that found a parameter */
    uint32_t level; /* HSAE_NO_LEVEL: it belongs to no level */
    /* A row of a file whose norm is more than 1000 times the median of its batch, in this step, the step before, or the step with the
     * largest loss since the last save. NULL: there is none, or the rows came from the caller's memory. `file` lives as long as the
     * trainer; `row` is counted from 0 within the file. */
    const char *file;
    uint64_t row;
    /* The configuration key to change (static string), and whether to raise it (else lower it). NULL: none. */
    const char *key;
    bool raise;
} hsae_divergence;
/* Whether the training has diverged; only then *out is filled. */
HSAE_API bool hsae_trainer_divergence(const hsae_trainer *trainer, hsae_divergence *out);

/* The learning rate of all coming steps, as float32, in place of the configuration's schedule (a linear rise, then half a cosine); a
 * negative one stands for that schedule again. Call it before each step, or in a run's `progress`, to follow a schedule of your own.
 * Checkpoints keep it, so that a run that was resumed goes on with it. ERROR_ARGUMENT: not finite. */
HSAE_API hsae_status hsae_trainer_set_lr(hsae_trainer *trainer, double lr);

/* Figures of one step. */
typedef struct hsae_step_level {
    double reconstruction;                   /* batch mean of |xhat - x|^2, with perturbation, as in the loss */
    double variance_explained;               /* 1 - sum |xhat - x|^2 / sum |x - mean of the batch|^2 */
    double l0;                               /* batch mean of active features */
    double lambda;                           /* L0 penalty used in the step */
    double constraint;                       /* rho times the structural constraint between this level and its children */
    uint64_t dead;                           /* dead features before the step */
    double mean_l0, mean_variance_explained; /* of all steps since the last metrics */
} hsae_step_level;
typedef struct hsae_step_metrics {
    uint64_t step;   /* counted from 1 */
    uint64_t tokens; /* samples seen up to and with this step */
    double lr;
    double seconds;           /* since the trainer was made or resumed */
    double tokens_per_second; /* since the last metrics */
    double data_wait;  /* share of the time since the last metrics in which hsae_trainer_run waited for rows to be read; the device may have
                          worked on earlier steps meanwhile */
    uint64_t left_out; /* rows left out so far: hsae_trainer_left_out */
    uint32_t level_count;
    hsae_step_level levels[HSAE_MAX_LEVELS];
} hsae_step_metrics;

typedef struct hsae_run_params {
    uint64_t until;            /* absolute step to stop after; 0: config.steps */
    uint64_t metrics_every;    /* call `metrics` at multiples of this and at the last step; 0: never */
    uint64_t checkpoint_every; /* call `checkpoint` at multiples of this; 0: never */
    /* Return false to stop after the current step: the run returns CANCELLED, and the trainer can be saved and can continue. Each may be
     * NULL. */
    bool (*progress)(void *user, uint64_t step, uint64_t until);
    bool (*metrics)(void *user, const hsae_step_metrics *metrics);
    bool (*checkpoint)(void *user, hsae_trainer *trainer);
    void *user;
} hsae_run_params;

/* Trains on `dataset` (rows >= batch, same d) from the current step on, in the configured order. Threads read the coming batches ahead, in
 * the type of the files: 2 to 8 batches, within 64 MiB (16 MiB on a CPU) if 2 batches fit into that. They never change what is computed,
 * and end before this returns.
 *
 * A row that is left out is replaced by the next kept row of the data set; row 0 follows the last. ERROR_DATA: none of the next 4096 is
 * kept.
 *
 * A row that cannot be read (ERROR_FILE) or is not finite (ERROR_DATA; unless skip_bad_rows) ends the run before the step that needs it.
 * The trainer is then as after the step before: it can be saved, and can continue. ERROR_DIVERGED: see hsae_divergence.
 *
 * The data set may be closed afterwards; the trainer keeps its files open until the next run or its own end. */
HSAE_API hsae_status hsae_trainer_run(hsae_trainer *trainer, const hsae_dataset *dataset, const hsae_run_params *params);

/* One step on the caller's own batch, raw [batch, d]. A row that is left out is replaced by the next kept row of the batch; row 0 follows
 * the last. `metrics` may be NULL; asking for them waits for the step. ERROR_DATA: no row is kept. ERROR_ARGUMENT: config.steps are done.
 * ERROR_DRIVER: the device computes it wrong (hsae_trainer_check). ERROR_DIVERGED (hsae_divergence) comes from the call that waits for the
 * step: this one if `metrics` are asked for, else one of the next few, or a save. */
HSAE_API hsae_status hsae_trainer_step(hsae_trainer *trainer, const float *raw, hsae_step_metrics *metrics);

/* The caller's rows, raw [count, d] of `dtype`, in any number: they are gathered into batches, across calls, and each full batch is a step
 * as hsae_trainer_step does it. Rows of 16 bits go to the device as they are. The same rows in the same order give the same bits, whatever
 * the calls they come in, and the bits of hsae_trainer_run in sequential order where they are those of its data set.
 *
 * *used (may be NULL): rows that were taken, all of them except after the last of config.steps. `metrics` (may be NULL) are those of the
 * last step of this call; metrics->step is 0 where the rows fill no batch. Rows that wait for their batch are not part of a checkpoint, and
 * are dropped when a call fails. ERROR_ARGUMENT: rows of another dtype wait; all steps are done. Else as hsae_trainer_step. */
HSAE_API hsae_status hsae_trainer_step_rows(hsae_trainer *trainer, const void *raw, hsae_dtype dtype, uint64_t count, uint64_t *used,
                                            hsae_step_metrics *metrics);
/* Rows that wait, fewer than a batch. */
HSAE_API uint32_t hsae_trainer_gathered(const hsae_trainer *trainer);

/* Steps done, resumed ones included; width d. */
HSAE_API uint64_t hsae_trainer_step_count(const hsae_trainer *trainer);
HSAE_API uint32_t hsae_trainer_dim(const hsae_trainer *trainer);
/* Rows of training up to the last step. Rows of hsae_trainer_run count when they are drawn for the first time, so in the first epoch;
 * `rows` is at most the rows of the last run's data set. Rows of hsae_trainer_step and _step_rows count each time, and `first` is numbered
 * over all its batches. Checkpoints keep all counts but `rows`. */
HSAE_API hsae_left_out hsae_trainer_left_out(const hsae_trainer *trainer);
/* Whether the last hsae_trainer_run or _run_source ended with ERROR_DATA because of a row that is not finite, which skip_bad_rows would
 * leave out. */
HSAE_API bool hsae_trainer_met_bad_row(const hsae_trainer *trainer);
/* The tree after the last step: of each feature of a level above 0 its parent, a feature of level - 1, or -1. It lives as long as the
 * trainer and changes with its steps; NULL: there is no such level. */
HSAE_API const int32_t *hsae_trainer_parents(const hsae_trainer *trainer, uint32_t level);
/* The resolved configuration; lives as long as the trainer. */
HSAE_API const hsae_config *hsae_trainer_config(const hsae_trainer *trainer);

/* Writes a checkpoint, a file that appears whole (hsae_model_save). Waits for the steps in flight. ERROR_DIVERGED: hsae_trainer_resume
 * would refuse a value; nothing is written, the old file is as it was. The same holds for the next two functions. */
HSAE_API hsae_status hsae_trainer_save_checkpoint(hsae_trainer *trainer, const char *path);
/* Writes the model as it is now: the bytes that hsae_model_save writes of hsae_trainer_model, without a copy in memory. */
HSAE_API hsae_status hsae_trainer_save_model(hsae_trainer *trainer, const char *path);
/* A copy of the model as it is now, in host memory; free with hsae_model_free. */
HSAE_API hsae_status hsae_trainer_model(hsae_trainer *trainer, hsae_model **out);

#ifdef __cplusplus
}
#endif
#endif
