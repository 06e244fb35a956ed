/* SPDX-License-Identifier: MIT */
/* One `hsae train`: what the parts of that command share. */
#ifndef HSAE_TOOLS_TRAIN_H
#define HSAE_TOOLS_TRAIN_H

#include "lm.h"
#include "processes.h"
#include "run_data.h"
#include "run_record.h"
#include "run_report.h"
#include "run_start.h"
#include "run_warnings.h"

enum { TRAIN_REPORT_SECONDS = 5 /* between two pages of a run in progress, at least */ };
/* A step that was done at a time of hsae_os_seconds. */
struct train_mark {
    double seconds;
    uint64_t step;
};

struct train {
    /* As given. */
    struct cli_paths data_paths, eval_paths;
    struct cli_input input;
    const char *out, *config_path, *resume, *device_id;
    uint64_t stop_after, log_every, checkpoint_every, eval_every, keep;
    double holdout, epochs;
    bool json, force, check, dry_run, other_data;
    struct cli_keys keys;
    int argc;    /* all of that as words */
    char **argv; /* with room for one more */

    hsae_context *context;
    char *config_json; /* what config_path holds; NULL: it was not given */
    hsae_device *device;
    struct cli_devices others;  /* that train with it */
    struct processes processes; /* of processes that do, too */
    struct lm_options lm;
    struct train_stream stream;
    hsae_dataset *data, *held_out; /* what is trained on, NULL: the stream; what the end is evaluated on, or NULL */

    /* One run. */
    const char *folder;
    struct run_lock lock;
    struct run_start start;
    json_t *data_json, *differences; /* run_data_json; in which the data differ from those of the run, or NULL */
    hsae_trainer *trainer;
    FILE *metrics;
    hsae_step_metrics figures;  /* the newest; step 0: none yet */
    struct train_mark marks[2]; /* of its speed, the older first */
    struct run_newest newest;
    char *explore;              /* the command that shows the features; NULL: the data have no tokens */
    json_t *warnings;           /* about settings, and what came out */
    uint64_t first_step, until; /* where this run begins and ends */
    uint64_t save_every;        /* steps between checkpoints; 0: none before the end */
    uint64_t saved_step;        /* of the newest checkpoint; UINT64_MAX: none yet */
    uint64_t last_step;         /* done in the end */
    uint64_t left_out;          /* rows, in the end */
    double opened, began;       /* the run, its first step */
    double next_report;         /* when the page is due again */
    bool complete;              /* all steps of the configuration are done */
    bool failed;                /* a file could not be written */
    bool diverged;
};

/* Puts what the command line says into the configuration; `user` is a struct train. Also the hsae_override_fn of a resumed run. */
hsae_status train_apply_options(void *user, hsae_config *config);
/* Width of the rows. */
uint32_t train_dim(const struct train *train);
/* The configuration of a run from the beginning, not resolved. Levels that are not given are chosen, and said, for the data and the device,
 * if that is open. */
hsae_status train_new_config(struct train *train, hsae_config *config);

/* The callbacks of hsae_run_params, with a struct train (train_progress.c): the status line; a line of metrics.jsonl. */
bool train_on_progress(void *user, uint64_t step, uint64_t until);
bool train_on_metrics(void *user, const hsae_step_metrics *metrics);
/* Adds a line to metrics.jsonl and releases the object. False: it could not, and train->failed. */
bool train_write_line(struct train *train, json_t *object);

/* Evaluates on the held-out vectors between two steps, and writes the line {"step", "evaluation"} (train_evaluate.c). Without a bit's
 * effect on training. Where it fails, the run goes on without further ones. False: stop. */
bool train_evaluate(struct train *train);

/* After a run that did not fit, by its plan: what would (train_plan.c). */
void train_say_what_fits(const struct train *train, const hsae_memory_plan *plan);
/* --dry-run: the exit status. */
int train_show_plan(struct train *train);

#endif
