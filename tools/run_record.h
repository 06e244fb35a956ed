/* DIR/run.json: how a run came to be, one part for each `hsae train` that worked on it. Functions that return int give CLI_DONE, or
 * CLI_FAILED after a message. */
#ifndef HSAE_TOOLS_RUN_RECORD_H
#define HSAE_TOOLS_RUN_RECORD_H

#include "run_folder.h"

/* What one `hsae train` works with. */
struct run_part {
    int argc; /* the words after `hsae train` */
    char **argv;
    const hsae_device_info *device;
    const struct cli_paths *data_paths, *eval_paths; /* eval_paths without a path: held out of data_paths */
    const hsae_dataset *data, *held_out;             /* held_out NULL: no evaluation */
    uint64_t first_step;                             /* 0: a fresh run, which has no earlier parts */
};

/* Adds a part that is going on; parts of a course now left go. */
int run_record_begin(const char *folder, const struct run_part *part);
/* Says of the newest part how it ended ("finished", "stopped", "interrupted", "diverged" or "failed"), at which step, after how long, and
 * with which warnings (run_warnings.h; NULL: none). */
int run_record_end(const char *folder, const char *end, uint64_t step, double seconds, json_t *warnings);

/* run.json or evaluation.json as an object to be released; NULL where there is none or it cannot be read, after a message if so. */
json_t *run_read_json(const char *folder, const char *name);
/* Replaces a file of the folder by the object, which it releases. */
int run_write_json(const char *folder, const char *name, json_t *object);

#endif
