/* SPDX-License-Identifier: MIT */
/* Command lines of `hsae train` as a shell reads them. */
#ifndef HSAE_TOOLS_RUN_COMMAND_H
#define HSAE_TOOLS_RUN_COMMAND_H

#include "cli.h"

#include <hsae/status.h>
#include <stdbool.h>
#include <stdint.h>

/* `hsae explore` with the model of the run in `folder`, its page beside the report. NULL: there are not the tokens of the data, or out of
 * memory. free() */
char *run_explore_text(const struct cli_paths *data, const struct cli_input *input, const char *folder);

/* What does the same again, the library's variables (HSAE_...) included; argv: the words after `hsae train`. free(). NULL: out of memory.
 */
char *run_command_text(int argc, char **argv);

/* A command that works on a run again. */
struct run_command {
    const hsae_context *context;
    int argc; /* the words after `hsae train` that began the run */
    char **argv;
    const char *folder; /* the run's */
    uint64_t step;      /* that the run has reached; a --stop-after that is not above it is left out */
    bool anew;          /* from the start, with --force where the folder holds a run; else with --resume auto */
    const char *key;    /* of the configuration ("adam_eps"), that gets `value` in place of its own; NULL: none */
    double value;
};
/* Prints it as a line on standard error. --device names the device that the setting DEVICE does. */
void run_print_command(const struct run_command *command);

#endif
