/* SPDX-License-Identifier: MIT */
/* What a run trains on and is evaluated on, as run.json records it, and whether that is still the same. */
#ifndef HSAE_TOOLS_RUN_DATA_H
#define HSAE_TOOLS_RUN_DATA_H

#include "train_stream.h"

struct run_data {
    const struct cli_paths *paths, *eval_paths; /* eval_paths without a path: held out of `paths` */
    const hsae_dataset *data;                   /* NULL: the stream */
    const struct train_stream *stream;
    const hsae_dataset *held_out; /* NULL: no evaluation */
    double holdout;               /* the share of --holdout; 0: not given */
};

/* {"data": ..., "evaluation_data": ... or null, "holdout": share or null}: of each data set the paths as given, rows, width, where the rows
 * are among all rows of its files, the files in their order with their full paths, and a fingerprint. NULL after a message. */
json_t *run_data_json(const struct run_data *data);

/* Adds a line to the array `differences` for everything in which `now` (run_data_json) is not what `before` was, a session of run.json;
 * that may be of an older version and say less. Files that are only elsewhere are told in a note. An evaluation where there was none is no
 * difference. */
void run_data_compare(const json_t *before, const json_t *now, json_t *differences);

#endif
