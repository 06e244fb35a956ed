/* SPDX-License-Identifier: MIT */
/* Where `hsae train` starts: from the beginning or from a checkpoint, in a folder that is new, holds its run already, or holds another one.
 * Functions that return int give CLI_DONE, or CLI_FAILED after a message. */
#ifndef HSAE_TOOLS_RUN_START_H
#define HSAE_TOOLS_RUN_START_H

#include "run_folder.h"

struct run_start {
    char checkpoint[RUN_PATH]; /* to continue from; "": from the beginning */
    char earlier[RUN_PATH];    /* the folder whose run.json says how the run came to the checkpoint; "": none does */
    bool outside;              /* the checkpoint is not in the run's folder */
    bool own_config;           /* from the beginning, with the configuration that the folder's config.json has */
    bool again;                /* the folder holds a run without a checkpoint, which must have been the same: run_start_check_again */
    bool replace;              /* all that the folder holds of a run is deleted first */
};

/* Decides for a locked folder. `resume`: NULL, "auto" or a checkpoint. A folder that holds another run is refused without `force`. */
int run_start_choose(hsae_context *context, const char *folder, const char *resume, bool force, struct run_start *start);

/* The configuration of the folder's config.json, resolved for vectors of width `dim`. */
hsae_status run_start_config(hsae_context *context, const char *folder, uint32_t dim, hsae_config *config);

/* Whether the folder's run had this configuration and these data (run_data_json): beginning it again then loses nothing. */
int run_start_check_again(hsae_context *context, const char *folder, const hsae_config *config, uint32_t dim, const json_t *data);

/* Compares the data with those of the run (run.json). Where they differ: an error, or with `other_data` a warning. *differences: the array
 * of their lines, to be released; NULL: none. */
int run_start_compare(const struct run_start *start, const char *folder, uint64_t step, const json_t *data, bool other_data,
                      json_t **differences);

/* Says which checkpoints of later steps than `step` the run leaves. */
void run_start_say_dropped(const char *folder, uint64_t step);

#endif
