/* SPDX-License-Identifier: MIT */
/* DIR/report.html: curves, evaluation, device, data, configuration and command of a run, as one page that needs nothing else. Made from
 * config.json, metrics.jsonl, evaluation.json and run.json alone; all but the first may be missing. */
#ifndef HSAE_TOOLS_RUN_REPORT_H
#define HSAE_TOOLS_RUN_REPORT_H

#include "run_folder.h"

/* Replaces the file `out` (NULL: report.html of the folder). CLI_DONE, or CLI_FAILED after a message. */
int run_report_write(hsae_context *context, const char *folder, const char *out);

#endif
