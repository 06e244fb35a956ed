/* SPDX-License-Identifier: MIT */
/* The figures of a run for its report and for comparisons: lines of metrics.jsonl, and cells of tables. */
#ifndef HSAE_TOOLS_RUN_FIGURES_H
#define HSAE_TOOLS_RUN_FIGURES_H

#include "run_folder.h"

#include <stdio.h>

/* A member that is a number; NaN: there is none. */
double run_number(const json_t *object, const char *key);
/* Calls `use` with every whole line of the folder's metrics.jsonl, in ascending order of steps; what is torn or out of order is left out.
 * A line is of a training step, or of an evaluation (with the member "evaluation"), which follows the line of its step, if there is one.
 * Without the file there are no lines. CLI_DONE, or CLI_FAILED after a message. */
int run_metrics_read(const char *folder, void (*use)(void *user, json_t *line), void *user);
/* A cell of a table; "–" for a figure that does not exist. */
void run_cell(FILE *file, double value, int digits);

#endif
