/* SPDX-License-Identifier: MIT */
/* What is seen of a run in progress: the status line, and metrics.jsonl. */
#include "train.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* "L0 20.1 20.4  variance explained 0.611 0.671" */
static void figures_text(const hsae_step_metrics *figures, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "L0");
    for (uint32_t l = 0; l < figures->level_count && used < size; l++)
        used += (size_t)snprintf(text + used, size - used, " %.1f", figures->levels[l].l0);
    if (used < size)
        used += (size_t)snprintf(text + used, size - used, "  VE");
    for (uint32_t l = 0; l < figures->level_count && used < size; l++)
        used += (size_t)snprintf(text + used, size - used, " %.3f", figures->levels[l].variance_explained);
}

/* "1:05" or "2:01:05" */
static void duration_text(double seconds, char *text, size_t size)
{
    uint64_t all = seconds < 1e9 ? (uint64_t)(seconds + 0.5) : 999999999;
    if (all >= 3600)
        snprintf(text, size, "%" PRIu64 ":%02u:%02u", all / 3600, (unsigned)(all / 60 % 60), (unsigned)(all % 60));
    else
        snprintf(text, size, "%u:%02u", (unsigned)(all / 60), (unsigned)(all % 60));
}

/* The state of the run in one line, as a status line or as a line of its own. */
static void show_progress(const struct train *train, uint64_t step, bool as_line)
{
    char figures[256] = "", left[32] = "?";
    uint64_t batch = hsae_trainer_config(train->trainer)->batch, done = step - train->first_step, until = train->until;
    double elapsed = hsae_os_seconds() - train->began, rate = done && elapsed > 0 ? (double)done / elapsed : 0;
    if (rate > 0)
        duration_text((double)(until - step) / rate, left, sizeof left);
    if (train->figures.step)
        figures_text(&train->figures, figures, sizeof figures);
    if (as_line)
        cli_note("step %" PRIu64 "/%" PRIu64 "  %.0f tokens/s  %s left  %s", step, until, rate * (double)batch, left, figures);
    else
        cli_status_line(step == until, "step %" PRIu64 "/%" PRIu64 "  %3.0f %%  %.0f tokens/s  %s left  %s", step, until,
                        100.0 * (double)step / (double)until, rate * (double)batch, left, figures);
}

bool train_on_progress(void *user, uint64_t step, uint64_t until)
{
    const struct train *train = user;
    (void)until;
    show_progress(train, step, false);
    if (!cli_signal())
        return true;
    cli_note("interrupted: finishing the step and writing a checkpoint (once more: stop at once)");
    return false;
}

static json_t *metrics_json(const hsae_step_metrics *metrics)
{
    json_t *levels = json_array();
    for (uint32_t l = 0; l < metrics->level_count; l++) {
        const hsae_step_level *level = &metrics->levels[l];
        json_array_append_new(levels, json_pack("{s:o, s:o, s:o, s:o, s:I, s:o}", "reconstruction", cli_json_number(level->reconstruction),
                                                "variance_explained", cli_json_number(level->variance_explained), "l0",
                                                cli_json_number(level->l0), "lambda", cli_json_number(level->lambda), "dead",
                                                (json_int_t)level->dead, "constraint", cli_json_number(level->constraint)));
    }
    return json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "step", (json_int_t)metrics->step, "tokens", (json_int_t)metrics->tokens,
                     "left_out", (json_int_t)metrics->left_out, "lr", cli_json_number(metrics->lr), "seconds",
                     cli_json_number(metrics->seconds), "tokens_per_second", cli_json_number(metrics->tokens_per_second), "data_wait",
                     cli_json_number(metrics->data_wait), "levels", levels);
}

bool train_write_line(struct train *train, json_t *object)
{
    char path[RUN_PATH];
    char *line = json_dumps(object, JSON_COMPACT); /* json_dumpf passes over some errors of the file */
    json_decref(object);
    if (!line) {
        cli_out_of_memory();
        train->failed = true;
    } else if (fprintf(train->metrics, "%s\n", line) < 0 || fflush(train->metrics)) {
        run_path(path, train->folder, "metrics.jsonl");
        cli_file_error("write", path);
        train->failed = true;
    }
    free(line);
    return !train->failed;
}

/* The page of the run so far, for a browser that loads it again; it takes a fiftieth of the time at most. */
static void refresh_report(struct train *train)
{
    double now = hsae_os_seconds();
    if (now < train->next_report)
        return;
    if (train->next_report == train->began + TRAIN_REPORT_SECONDS)
        cli_note("to watch it: %s/report.html", train->folder);
    bool written = run_report_write(train->context, train->folder, NULL) == CLI_DONE;
    double end = hsae_os_seconds();
    train->next_report = written ? end + fmax(TRAIN_REPORT_SECONDS, 50 * (end - now)) : INFINITY;
}

bool train_on_metrics(void *user, const hsae_step_metrics *metrics)
{
    struct train *train = user;
    train->figures = *metrics;
    run_newest_add(&train->newest, metrics);
    bool written = train_write_line(train, metrics_json(metrics));
    if (!cli_has_status_line())
        show_progress(train, metrics->step, true);
    refresh_report(train);
    return written;
}
