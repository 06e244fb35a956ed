/* SPDX-License-Identifier: MIT */
/* DIR/run.json: how a run came to be, one session for each `hsae train` that worked on it, in the array "parts". Functions that return int
 * give CLI_DONE, or CLI_FAILED after a message. */
#ifndef HSAE_TOOLS_RUN_RECORD_H
#define HSAE_TOOLS_RUN_RECORD_H

#include "run_folder.h"

/* What one `hsae train` works with. */
struct run_session {
    int argc; /* the words after `hsae train` */
    char **argv;
    const hsae_device_info *device;
    json_t *data;        /* run_data_json's, which the record may change */
    json_t *differences; /* of the data from those of the run, which are recorded; NULL: none */
    const char *earlier; /* the folder whose run.json has the earlier sessions; NULL: there are none */
    const char *from;    /* the full path of a checkpoint outside the folder from which it continues; NULL: there is none */
    const char *explore; /* the command that shows the model's features; NULL: there is none */
    uint64_t first_step; /* 0: from the beginning */
};

/* Adds a session that has begun; removes sessions after the step from which it continues. */
int run_record_begin(const char *folder, const struct run_session *session);
/* The session of the folder's run.json with which the run came to `step` (0: the newest session), its lists of files complete; release it.
 * NULL: there is none. */
json_t *run_record_session(const char *folder, uint64_t step);
/* Records how the newest session ended ("finished", "stopped", "interrupted", "diverged" or "failed"), at which step, after how long, and
 * with which warnings (run_warnings.h; NULL: none). */
int run_record_end(const char *folder, const char *end, uint64_t step, double seconds, json_t *warnings);

/* run.json or evaluation.json as an object to be released; NULL where there is none or it cannot be read, after a message if so. */
json_t *run_read_json(const char *folder, const char *name);
/* Replaces a file of the folder by the object, which it releases. */
int run_write_json(const char *folder, const char *name, json_t *object);

#endif
