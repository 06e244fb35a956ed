/* SPDX-License-Identifier: MIT */
/* What is seen of a run in progress: the status line, and metrics.jsonl. */
#include "train.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* "L0 20.1 20.4  VE 0.611 0.671" of the levels from `first` on, means of the steps since the figures before. */
static void figures_text(const hsae_step_metrics *figures, uint32_t first, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "L0");
    for (uint32_t l = first; l < figures->level_count && used < size; l++)
        used += (size_t)snprintf(text + used, size - used, " %.1f", figures->levels[l].mean_l0);
    if (used < size)
        used += (size_t)snprintf(text + used, size - used, "  VE");
    for (uint32_t l = first; l < figures->level_count && used < size; l++)
        used += (size_t)snprintf(text + used, size - used, " %.3f", figures->levels[l].mean_variance_explained);
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

/* Steps a second over the last 5 to 10 seconds, or since the first step. */
static double recent_rate(struct train *train, uint64_t step)
{
    static const double INTERVAL = 5;
    struct train_mark *marks = train->marks;
    double now = hsae_os_seconds();
    if (marks[0].seconds == 0)
        marks[0] = marks[1] = (struct train_mark){train->began, train->first_step};
    double rate = now > marks[0].seconds ? (double)(step - marks[0].step) / (now - marks[0].seconds) : 0;
    if (now - marks[1].seconds >= INTERVAL) {
        marks[0] = marks[1];
        marks[1] = (struct train_mark){now, step};
    }
    return rate;
}

/* The state of the run in one line, as a status line or as a line of its own. */
static void show_progress(struct train *train, uint64_t step, bool as_line)
{
    char figures[256] = "", finest[64] = "", duration[32] = "?", what[64], speed[64], left[48];
    uint64_t until = train->until;
    double rate = recent_rate(train, step);
    if (rate > 0)
        duration_text((double)(until - step) / rate, duration, sizeof duration);
    if (train->figures.step) {
        figures_text(&train->figures, 0, figures, sizeof figures);
        figures_text(&train->figures, train->figures.level_count - 1, finest, sizeof finest);
    }
    snprintf(what, sizeof what, "step %" PRIu64 "/%" PRIu64, step, until);
    snprintf(speed, sizeof speed, "%.0f tokens/s", rate * hsae_trainer_config(train->trainer)->batch);
    snprintf(left, sizeof left, "%s left", duration);
    if (as_line)
        cli_note("%s  %s  %s  %s", what, speed, left, figures);
    else
        cli_bar(step == until, what, step, until,
                (const struct cli_bar_part[CLI_BAR_PARTS]){{left, NULL}, {speed, NULL}, {figures, finest}});
}

bool train_on_progress(void *user, uint64_t step, uint64_t until)
{
    struct train *train = user;
    (void)until;
    if (cli_has_status_line())
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
