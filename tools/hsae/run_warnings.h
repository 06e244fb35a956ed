/* SPDX-License-Identifier: MIT */
/* What is wrong with a run that ended well: figures that no one wants, and the option that would change them. */
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

/* An array of sentences, empty where all is well; NULL: out of memory. `config`: resolved, of width `dim`; `complete`: all of its steps are
 * done; `evaluation`: at the end, or NULL. */
json_t *run_warnings(hsae_context *context, const struct run_newest *newest, const hsae_config *config, uint32_t dim, bool complete,
                     const hsae_evaluation *evaluation);

/* What to give the key that made the training diverge: its default if it was beyond that, else a tenth or ten times of what it was. */
double run_better_value(hsae_context *context, const hsae_config *config, uint32_t dim, const hsae_divergence *divergence);

#endif
