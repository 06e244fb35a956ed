/* SPDX-License-Identifier: MIT */
/* hsae report: the page of a run, made again. */
#include "chart.h"
#include "run_compare.h"
#include "run_report.h"
#include "text.h"

#include <stdlib.h>

static int print(const struct cli_paths *folders, const char *out, bool json)
{
    if (json)
        return cli_print_json(json_pack("{s:o, s:I}", "out", text_json(out), "runs", (json_int_t)folders->count));
    if (cli_says_results(json))
        printf("%s: %s\n", folders->count > 1 ? "Comparison" : "Report", out);
    return CLI_DONE;
}

/* `out` NULL: in the folder of the run. */
static int write_page(const struct cli_paths *folders, const char *out, bool json)
{
    char path[RUN_PATH];
    int status;
    if (folders->count > 1) {
        status = run_compare_write(folders->items, folders->count, out);
    } else {
        hsae_context *context = cli_context();
        status = context ? run_report_write(context, folders->items[0], out) : CLI_FAILED;
        hsae_context_destroy(&context);
    }
    run_path(path, folders->items[0], "report.html");
    return status == CLI_DONE ? print(folders, out ? out : path, json) : status;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *out = NULL;
    struct cli_paths words = {0};
    bool json = false;
    const struct cli_option options[] = {OPTIONS_report(CLI_OPTION){0}};
    int status = cli_parse(command, argc, argv, options, NULL, &words);
    if (status == CLI_CONTINUE && (words.count < 1 || words.count > CHART_LINES))
        status = cli_usage(command->name, "the folder of a run is missing, or 2 to %d to compare: hsae report DIR...", CHART_LINES);
    if (status == CLI_CONTINUE && words.count > 1)
        status = cli_need(command, options, "out");
    if (status == CLI_CONTINUE)
        status = write_page(&words, out, json);
    free(words.items);
    return status;
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
