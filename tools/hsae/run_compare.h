/* SPDX-License-Identifier: MIT */
/* A page that compares runs: evaluations, curves, differences of configurations. Made from config.json, metrics.jsonl and evaluation.json
 * of each folder; all but the first may be missing. */
#ifndef HSAE_TOOLS_RUN_COMPARE_H
#define HSAE_TOOLS_RUN_COMPARE_H

#include "run_folder.h"

/* Replaces the file `out`. count: 2 to CHART_LINES. CLI_DONE, or CLI_FAILED after a message. */
int run_compare_write(const char *const *folders, size_t count, const char *out);

#endif
