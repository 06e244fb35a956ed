/* SPDX-License-Identifier: MIT */
/* hsae report: the page of a run, made again. */
#include "chart.h"
#include "run_compare.h"
#include "run_report.h"

#include <stdlib.h>

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *out = NULL;
    struct cli_paths words = {0};
    const struct cli_option options[] = {OPTIONS_report(CLI_OPTION){0}};
    int exit_status = cli_parse(command, argc, argv, options, NULL, &words);
    if (exit_status == CLI_CONTINUE && (words.count < 1 || words.count > CHART_LINES))
        exit_status = cli_usage(command->name, "one folder of a run is needed, or 2 to %d to compare", CHART_LINES);
    if (exit_status == CLI_CONTINUE && words.count > 1 && !out)
        exit_status = cli_usage(command->name, "to compare runs, --out FILE is needed");
    if (exit_status == CLI_CONTINUE && words.count > 1) {
        exit_status = run_compare_write(words.items, words.count, out);
        if (exit_status == CLI_DONE)
            printf("Comparison: %s\n", out);
    }
    if (exit_status == CLI_CONTINUE) {
        hsae_context *context = cli_context();
        exit_status = context ? run_report_write(context, words.items[0], out) : CLI_FAILED;
        if (exit_status == CLI_DONE && out)
            printf("Report: %s\n", out);
        else if (exit_status == CLI_DONE)
            printf("Report: %s/report.html\n", words.items[0]);
        hsae_context_destroy(&context);
    }
    free(words.items);
    return exit_status;
}

const struct cli_command cli_report = {
    .name = "report",
    .summary = SUMMARY_report,
    .synopsis = SYNOPSIS_report,
    .examples = "  hsae report runs/first\n"
                "  hsae report runs/first --out first.html\n"
                "  hsae report runs/first runs/second --out both.html\n\n"
                "`hsae train` writes the page by itself, every few seconds and when it ends; this makes it again.\n",
    .run = run,
};
