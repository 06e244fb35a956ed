/* SPDX-License-Identifier: MIT */
/* The files of a run: DIR/config.json, metrics.jsonl, checkpoint-{step}.safetensors, model.safetensors, evaluation.json, run.json
 * (run_record.h), report.html (run_report.h). Functions that return int give CLI_DONE, or CLI_FAILED after a message. */
#ifndef HSAE_TOOLS_RUN_FOLDER_H
#define HSAE_TOOLS_RUN_FOLDER_H

#include "cli.h"

/* Room for every path of a run folder; run_lock refuses longer ones. */
enum { RUN_PATH = 4096 };

void run_path(char path[RUN_PATH], const char *folder, const char *name);
void run_checkpoint_path(char path[RUN_PATH], const char *folder, uint64_t step);

/* A run folder that no other process trains into, until run_unlock or the end of this process. */
struct run_lock {
    int lock;  /* -1: none */
    bool made; /* the folder was not there before */
};
/* Makes the folder and those above it, refuses one that another process holds, and removes what killed processes left half written. */
int run_lock(const char *folder, struct run_lock *lock);
/* A folder that run_lock made and nothing was put into is removed, too. Takes one that holds nothing. */
void run_unlock(const char *folder, struct run_lock *lock);
/* Whether it holds a model or a checkpoint. */
bool run_exists(const char *folder);
/* Whether it holds the configuration of a run; whether one with that configuration has begun. */
bool run_has_config(const char *folder);
bool run_began(const char *folder);
/* Removes the files of a run, and nothing else. */
int run_remove(const char *folder);
/* Removes one file of the folder, which may be missing. */
int run_remove_file(const char *folder, const char *name);

/* The steps of the checkpoints, ascending; free(*steps). A folder that does not exist has none. */
int run_checkpoints(const char *folder, uint64_t **steps, size_t *count);
/* After checkpoint-{step} is whole, the first since step `before`: keeps it and those up to `before`, `keep` in all. Those of other steps,
 * between the two or later, are of a run that was continued from an earlier step, and are deleted first. */
int run_prune(const char *folder, uint64_t before, uint64_t step, uint64_t keep);

/* A new file that becomes `path` when it is committed: an hsae_output whose errors are messages of the program. */
struct run_output {
    FILE *file;
    const char *path;
    hsae_output *output;
};
/* NULL after a message. */
FILE *run_output_open(struct run_output *output, const char *path);
int run_output_commit(struct run_output *output);
/* Removes what was written; gives `status`. */
int run_output_discard(struct run_output *output, int status);
/* Makes the folder and those above it; *made: it was not there. */
int run_make_folders(const char *folder, bool *made);
/* Replaces a file by `text`. */
int run_write_text(const char *path, const char *text);
/* Drops the lines of metrics.jsonl whose step is above `step` or that are not whole. */
int run_cut_metrics(const char *folder, uint64_t step);

/* What --model stands for (model_choice.c): a file, or the folder of a run, whose model or newest checkpoint it is. */
hsae_status cli_load_model(hsae_context *context, const char *path, hsae_model **out);
/* False: that is no such folder. A note says what was found. */
bool cli_run_model(const char *folder, char path[RUN_PATH]);

/* Whether two files hold the same bytes; CLI_FAILED after a message where they do not. */
int run_compare(const char *path, const char *other);

#endif
