/* SPDX-License-Identifier: MIT */
/* What is wrong with a run that starts or ends well: settings that lead nowhere, figures that no one wants, and the option that would
 * change them. */
#ifndef HSAE_TOOLS_RUN_WARNINGS_H
#define HSAE_TOOLS_RUN_WARNINGS_H

#include "cli.h"

/* The newest figures of a run; zeroed at its beginning. Those of one batch say little, so the mean of several counts. */
enum { RUN_NEWEST = 10 };
struct run_newest {
    hsae_step_metrics figures[RUN_NEWEST]; /* the last is at (count - 1) % RUN_NEWEST */
    uint64_t count;
};
void run_newest_add(struct run_newest *newest, const hsae_step_metrics *figures);
/* The same of a line of metrics.jsonl, for run_metrics_read: a resumed run goes on with the figures of the sessions before. */
void run_newest_add_line(void *newest, json_t *line);

/* Warnings are sentences in an array. What can be said before the first step: `rows` are those that are trained on. `config`: resolved. */
void run_warnings_before(json_t *list, const hsae_config *config, uint64_t rows);
/* Of the tree that the trainer holds. */
void run_warnings_of_tree(json_t *list, const hsae_trainer *trainer);
/* Of what came out. `config`: resolved, of width `dim`; `complete`: all of its steps are done; `evaluation`: at the end, or NULL. */
void run_warnings_after(json_t *list, hsae_context *context, const struct run_newest *newest, const hsae_config *config, uint32_t dim,
                        bool complete, const hsae_evaluation *evaluation);

/* What to give the key that made the training diverge: its default if it was beyond that, else a tenth or ten times of what it was. */
double run_better_value(hsae_context *context, const hsae_config *config, uint32_t dim, const hsae_divergence *divergence);

#endif
