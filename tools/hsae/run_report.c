/* SPDX-License-Identifier: MIT */
/* report.html of a run. */
#include "run_report.h"

#include "chart.h"
#include "density.h"
#include "run_figures.h"
#include "run_record.h"
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum chart_name { LOSS, RECONSTRUCTION, VARIANCE, L0, LAMBDA, DEAD, CONSTRAINT, RATE, SPEED, DATA_WAIT, TRAINING_COUNT };
/* Of the held-out vectors; the last three of pairs of levels. */
enum evaluation_chart { HELD_VARIANCE = TRAINING_COUNT, HELD_L0, HELD_DEAD, P_PARENT, P_CHILD, HAMMING, CHART_COUNT };

struct report {
    FILE *file;
    const char *folder;
    hsae_config config;
    json_t *record, *evaluation; /* run.json, evaluation.json, or NULL */
    const json_t *session;       /* the newest of run.json, or NULL */
    json_t *newest;              /* the last whole line of a step in metrics.jsonl, or NULL */
    double evaluated;            /* step of the last evaluation in metrics.jsonl; 0: there is none */
    struct chart *charts;
};

/* --- what the files hold --- */

/* "" where there is no string. */
static const char *string(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static const json_t *level_of(const json_t *object, uint32_t l)
{
    return json_array_get(json_object_get(object, "levels"), l);
}

static void keep_newest(void *user, json_t *line)
{
    struct report *report = user;
    if (json_object_get(line, "evaluation")) {
        report->evaluated = run_number(line, "step");
        return;
    }
    json_decref(report->newest);
    report->newest = json_incref(line);
}

static void add_evaluation(struct report *report, double step, const json_t *evaluation)
{
    const json_t *pairs = json_object_get(evaluation, "pairs");
    for (uint32_t l = 0; l < report->config.level_count; l++) {
        const json_t *level = level_of(evaluation, l), *pair = json_array_get(pairs, l);
        chart_add(&report->charts[HELD_VARIANCE], l, step, run_number(level, "variance_explained"));
        chart_add(&report->charts[HELD_L0], l, step, run_number(level, "l0"));
        chart_add(&report->charts[HELD_DEAD], l, step, 100 * run_number(level, "dead_fraction"));
        if (l + 1 == report->config.level_count)
            return;
        chart_add(&report->charts[P_PARENT], l, step, run_number(pair, "p_parent_given_child"));
        chart_add(&report->charts[P_CHILD], l, step, run_number(pair, "p_child_given_parent"));
        chart_add(&report->charts[HAMMING], l, step, run_number(pair, "hamming"));
    }
}

static void add_to_charts(void *user, json_t *line)
{
    static const struct {
        enum chart_name chart;
        const char *key;
    } curves[] = {{RECONSTRUCTION, "reconstruction"}, {VARIANCE, "variance_explained"}, {L0, "l0"}, {LAMBDA, "lambda"}};
    struct report *report = user;
    const json_t *evaluation = json_object_get(line, "evaluation");
    double step = run_number(line, "step"), loss = 0;
    if (evaluation) {
        add_evaluation(report, step, evaluation);
        return;
    }
    for (uint32_t l = 0; l < report->config.level_count; l++) {
        const json_t *level = level_of(line, l);
        for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
            chart_add(&report->charts[curves[i].chart], l, step, run_number(level, curves[i].key));
        chart_add(&report->charts[DEAD], l, step, 100 * run_number(level, "dead") / report->config.levels[l]);
        if (l + 1 < report->config.level_count) /* the last has no children */
            chart_add(&report->charts[CONSTRAINT], l, step, run_number(level, "constraint"));
        loss +=
            run_number(level, "reconstruction") + run_number(level, "lambda") * run_number(level, "l0") + run_number(level, "constraint");
    }
    chart_add(&report->charts[LOSS], 0, step, loss);
    chart_add(&report->charts[RATE], 0, step, run_number(line, "lr"));
    chart_add(&report->charts[SPEED], 0, step, run_number(line, "tokens_per_second"));
    chart_add(&report->charts[DATA_WAIT], 0, step, 100 * run_number(line, "data_wait"));
}

static int make_charts(struct report *report)
{
    static const struct {
        const char *title, *note;
        bool by_level;
    } kinds[CHART_COUNT] = {
        [LOSS] = {"Loss", "all levels: reconstruction + λ L0 + constraint", false},
        [RECONSTRUCTION] = {"Reconstruction error", "squared, perturbed, normalised units", true},
        [VARIANCE] = {"Variance explained", "of the batch, perturbed", true},
        [L0] = {"L0", "active features per token; dashed: target", true},
        [LAMBDA] = {"λ", "penalty of an active feature", true},
        [DEAD] = {"Dead features", "% of the level", true},
        [CONSTRAINT] = {"Constraint", "with the children of the level, ρ included", true},
        [RATE] = {"Learning rate", "of the step", false},
        [SPEED] = {"Speed", "tokens per second", false},
        [DATA_WAIT] = {"Waiting for data", "% of the time", false},
        [HELD_VARIANCE] = {"Variance explained, held out", "not perturbed", true},
        [HELD_L0] = {"L0, held out", "active features per token; dashed: target", true},
        [HELD_DEAD] = {"Dead features, held out", "% of the level, never active on these vectors", true},
        [P_PARENT] = {"P(p|c)", "parent active where the child is; level of the parent", true},
        [P_CHILD] = {"P(c|p)", "child active where the parent is", true},
        [HAMMING] = {"Hamming", "parents that differ from the OR of their children, per token", true},
    };
    report->charts = calloc(CHART_COUNT, sizeof *report->charts);
    if (!report->charts)
        return cli_out_of_memory();
    for (int k = 0; k < CHART_COUNT; k++) {
        struct chart *chart = &report->charts[k];
        chart->title = kinds[k].title;
        chart->note = kinds[k].note;
        chart->line_count = kinds[k].by_level ? report->config.level_count : 1;
        chart->length = fmax(report->newest ? run_number(report->newest, "step") : 1, report->evaluated);
    }
    report->charts[VARIANCE].has_floor = true; /* the first steps explain less than nothing, by far */
    report->charts[HELD_VARIANCE].has_floor = true;
    for (int k = L0; k <= HELD_L0; k += HELD_L0 - L0) {
        report->charts[k].mark_count = report->config.level_count;
        memcpy(report->charts[k].marks, report->config.target_l0, report->config.level_count * sizeof *report->config.target_l0);
    }
    return run_metrics_read(report->folder, add_to_charts, report);
}

/* --- how figures are shown --- */

static void short_cell(FILE *file, double value)
{
    if (isfinite(value))
        fprintf(file, "<td>%.5g</td>", value);
    else
        fputs("<td>–</td>", file);
}

/* "98,304" */
static void grouped(double value, char text[32])
{
    char digits[32];
    size_t used = 0;
    if (!isfinite(value) || value < 0 || value > 1e15) {
        strcpy(text, "–");
        return;
    }
    size_t count = (size_t)snprintf(digits, sizeof digits, "%.0f", value);
    for (size_t i = 0; i < count; i++) {
        if (i && (count - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = 0;
}

static void duration(double seconds, char text[48])
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e9)
        strcpy(text, "–");
    else if (seconds < 60)
        snprintf(text, 48, "%.1f s", seconds);
    else if (seconds < 3600)
        snprintf(text, 48, "%d min %d s", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(text, 48, "%d h %d min", (int)(seconds / 3600), (int)seconds / 60 % 60);
}

/* --- the page --- */

/* Plasma (matplotlib) from dark to bright: an order that colour-blind eyes see, too. */
static void write_colour(FILE *file, double share)
{
    static const unsigned char stops[][3] = {{13, 8, 135},   {65, 4, 157},   {106, 0, 168},  {143, 13, 164}, {177, 42, 144}, {204, 71, 120},
                                             {225, 100, 98}, {242, 132, 75}, {252, 166, 54}, {252, 206, 37}, {240, 249, 33}};
    double at = share * 10;
    size_t below = at < 9 ? (size_t)at : 9;
    fputc('#', file);
    for (int i = 0; i < 3; i++)
        fprintf(file, "%02x", (unsigned)lround(stops[below][i] + (at - (double)below) * (stops[below + 1][i] - stops[below][i])));
}

/* The part of the ramp that stands out from the theme's background. */
static void write_ramp(const struct report *report, double first, double last)
{
    uint32_t count = report->config.level_count;
    for (uint32_t l = 0; l < count; l++) {
        fprintf(report->file, "--c%u:", l);
        write_colour(report->file, count < 2 ? (first + last) / 2 : first + (last - first) * l / (count - 1));
        fputc(';', report->file);
    }
}

static void write_style(const struct report *report)
{
    FILE *file = report->file;
    fputs("<style>\n:root{color-scheme:light dark;--back:#fff;--fore:#1b1d21;--soft:#5b616b;--rule:#dfe2e7;--panel:#f5f6f8;", file);
    write_ramp(report, 0, 0.62);
    fputs("}\n@media (prefers-color-scheme:dark){:root{--back:#131519;--fore:#e7e9ec;--soft:#a0a7b2;--rule:#32363e;--panel:#1c1f25;", file);
    write_ramp(report, 0.42, 1);
    fputs("}}\n", file);
    for (uint32_t l = 0; l < report->config.level_count; l++)
        fprintf(file, ".l%u{stroke:var(--c%u);background:var(--c%u)}", l, l, l);
    fputs("\n*{box-sizing:border-box}\n"
          "body{margin:0 auto;max-width:1400px;padding:24px;background:var(--back);color:var(--fore);font:15px/1.5 system-ui,sans-serif}\n"
          "h1{font-size:26px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:19px;margin:36px 0 10px}\n"
          "p{margin:6px 0;max-width:75ch}.soft,figcaption,dt,.none{color:var(--soft)}\n"
          "code,pre{font:13px/1.5 ui-monospace,monospace;unicode-bidi:isolate;overflow-wrap:anywhere}\n"
          "pre{background:var(--panel);padding:10px 12px;border-radius:6px;white-space:pre-wrap;margin:8px 0}\n"
          ".tiles{display:flex;flex-wrap:wrap;gap:10px;margin:18px 0 0;padding:0}\n"
          ".tiles div{background:var(--panel);border-radius:6px;padding:8px 14px;min-width:130px;flex:1}\n"
          ".tiles dt{font-size:13px}.tiles dd{margin:0;font-size:20px;font-variant-numeric:tabular-nums}\n"
          ".legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 10px;padding:0;list-style:none}\n"
          ".legend i{display:inline-block;width:22px;height:4px;border-radius:2px;margin-right:7px;vertical-align:middle}\n",
          file);
    chart_style(file);
    fputs(".tables{display:flex;flex-wrap:wrap;gap:14px 48px;margin:12px 0}.wide{overflow-x:auto;min-width:0;max-width:100%}\n"
          "table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
          "th,td{text-align:right;padding:4px 14px 4px 0;border-bottom:1px solid var(--rule);white-space:nowrap}\n"
          "th:first-child{text-align:left}thead th{font-weight:600;color:var(--soft);white-space:normal;vertical-align:bottom}tbody "
          "th{font-weight:400}.mean *{font-weight:600}\n"
          ".keys{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,260px),1fr));gap:0 28px;margin:0}\n"
          ".keys div{display:flex;justify-content:space-between;gap:12px;border-bottom:1px solid var(--rule);padding:3px 0}\n"
          ".keys dd{margin:0;text-align:right;overflow-wrap:anywhere}.facts{display:grid;grid-template-columns:max-content 1fr;gap:4px "
          "18px;margin:0}\n"
          ".facts dd{margin:0;min-width:0}footer{margin-top:36px;border-top:1px solid var(--rule);padding-top:10px}\n"
          "@media (max-width:520px){body{padding:14px}.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:8px}"
          "table{font-size:13.5px}th,td{padding-right:9px}.tiles "
          "dd{font-size:17px}}\n"
          "</style>\n",
          file);
}

/* What became of the run, as a sentence without its end. */
static void state_text(const struct report *report, char text[160])
{
    static const char *const ends[][2] = {{"finished", "Finished"},       {"stopped", "Stopped as asked, to be gone on with,"},
                                          {"interrupted", "Interrupted"}, {"failed", "Failed"},
                                          {"diverged", "Diverged"},       {"running", "Still running, or killed, after the last figures"}};
    const char *end = string(report->session, "end"), *sentence = "No record of its end; last figures";
    double step = run_number(report->session, "step");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(end, ends[i][0]) == 0)
            sentence = ends[i][1];
    if (!isfinite(step))
        step = report->newest ? run_number(report->newest, "step") : 0;
    snprintf(text, 160, "%s at step %.0f of %" PRIu64, sentence, step, report->config.steps);
}

static bool is_running(const struct report *report)
{
    return strcmp(string(report->session, "end"), "running") == 0;
}

static double total_seconds(const struct report *report)
{
    const json_t *sessions = json_object_get(report->record, "parts");
    double sum = json_array_size(sessions) ? 0 : NAN;
    for (size_t i = 0; i < json_array_size(sessions); i++)
        sum += run_number(json_array_get(sessions, i), "seconds");
    return sum;
}

static void write_tile(FILE *file, const char *name, const char *value)
{
    fprintf(file, "<div><dt>%s</dt><dd>%s</dd></div>\n", name, value);
}

static void write_head(const struct report *report)
{
    FILE *file = report->file;
    char text[160], tokens[32], left_out[32], seconds[48], speed[32], explained[24] = "–", l0[24] = "–";
    const json_t *mean = json_object_get(report->evaluation, "mean");
    const char *name = hsae_os_file_name(report->folder);
    if (!*name)
        name = report->folder;
    fputs("<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n",
          file);
    fputs(is_running(report) ? "<meta http-equiv=\"refresh\" content=\"10\"/>\n<title>" : "<title>", file);
    text_html(file, name);
    fputs(" – HSAE run</title>\n", file);
    write_style(report);
    fputs("</head><body><header><h1>", file);
    text_html(file, name);
    state_text(report, text);
    fprintf(file, "</h1>\n<p class=\"soft\">Hierarchical sparse autoencoder. %s.%s</p>\n<dl class=\"tiles\">\n", text,
            is_running(report) ? " A browser loads this page again every 10 seconds." : "");
    grouped(run_number(report->newest, "tokens"), tokens);
    grouped(run_number(report->newest, "tokens_per_second"), speed);
    grouped(run_number(report->newest, "left_out"), left_out);
    duration(total_seconds(report), seconds);
    if (isfinite(run_number(mean, "variance_explained")))
        snprintf(explained, sizeof explained, "%.4f", run_number(mean, "variance_explained"));
    if (isfinite(run_number(mean, "l0")))
        snprintf(l0, sizeof l0, "%.2f", run_number(mean, "l0"));
    if (report->evaluation) {
        write_tile(file, "Variance explained, mean", explained);
        write_tile(file, "L0, mean", l0);
    }
    write_tile(file, "Tokens trained on", tokens);
    if (run_number(report->newest, "left_out") > 0)
        write_tile(file, "Rows left out", left_out);
    write_tile(file, "Time, evaluation included", seconds);
    write_tile(file, "Tokens per second, at last", speed);
    fputs("</dl></header>\n<main>\n", file);
}

/* What was wrong with how it came out. */
static void write_warnings(const struct report *report)
{
    const json_t *warnings = json_object_get(report->session, "warnings");
    FILE *file = report->file;
    if (!json_array_size(warnings))
        return;
    fputs("<h2>Warnings</h2>\n<ul id=\"warnings\">\n", file);
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        const char *text = json_string_value(json_array_get(warnings, i));
        fputs("<li>", file);
        text_html(file, text ? text : "");
        fputs("</li>\n", file);
    }
    fputs("</ul>\n", file);
}

static void write_curves(const struct report *report)
{
    FILE *file = report->file;
    fputs("<h2>Curves</h2>\n", file);
    if (!report->newest) {
        fputs("<p class=\"none\">No figures were logged.</p>\n", file);
        return;
    }
    fputs("<ul class=\"legend\">\n", file);
    for (uint32_t l = 0; l < report->config.level_count; l++) {
        char features[32];
        grouped(report->config.levels[l], features);
        fprintf(file, "<li><i class=\"l%u\"></i>level %u: %s features</li>\n", l, l, features);
    }
    fputs("</ul>\n<div class=\"charts\">\n", file);
    for (int k = 0; k < TRAINING_COUNT; k++)
        chart_write(file, &report->charts[k]);
    fputs("</div>\n<p class=\"soft\">Over steps; as logged during training, each figure of one batch. Where a pixel holds several, the "
          "line is their mean and the "
          "band reaches from the lowest to the highest. Under the pointer: the values, level by level.</p>\n",
          file);
    if (report->evaluated <= 0)
        return;
    fputs("<h2>Held-out figures during training</h2>\n<div class=\"charts\">\n", file);
    for (int k = TRAINING_COUNT; k < CHART_COUNT; k++)
        chart_write(file, &report->charts[k]);
    fputs("</div>\n", file);
}

/* Where to see what the features respond to. */
static void write_explore(const struct report *report)
{
    const char *command = string(report->session, "explore");
    FILE *file = report->file;
    if (!*command || is_running(report))
        return;
    fputs("<h2>Features</h2>\n<p>This command writes <a href=\"forest.html\">forest.html</a> beside this page: what each feature responds "
          "to, as a "
          "tree to browse.</p>\n<pre id=\"explore\">",
          file);
    text_html(file, command);
    fputs("</pre>\n", file);
}

static void write_level(FILE *file, const json_t *level)
{
    run_cell(file, run_number(level, "l0"), 2);
    run_cell(file, run_number(level, "variance_explained"), 4);
    run_cell(file, run_number(level, "variance_explained_legacy"), 4);
    run_cell(file, 100 * run_number(level, "dead_fraction"), 2);
    fputs("</tr>\n", file);
}

static void write_pair(FILE *file, const json_t *pair)
{
    run_cell(file, run_number(pair, "hamming"), 2);
    run_cell(file, run_number(pair, "p_parent_given_child"), 4);
    run_cell(file, run_number(pair, "p_child_given_parent"), 4);
    run_cell(file, run_number(pair, "lift"), 2);
    run_cell(file, 100 * run_number(pair, "duplicates"), 2);
    run_cell(file, 100 * run_number(pair, "largest_share"), 2);
}

static void write_evaluation(const struct report *report)
{
    FILE *file = report->file;
    const json_t *mean = json_object_get(report->evaluation, "mean"), *pairs = json_object_get(report->evaluation, "pairs");
    char tokens[32], rows[32], left_out[64] = "";
    fputs("<h2>Evaluation</h2>\n", file);
    if (!report->evaluation) {
        fputs("<p class=\"none\">None: it is made at the end of a run with <code>--holdout</code> or <code>--eval-data</code>.</p>\n",
              file);
        return;
    }
    grouped(run_number(report->evaluation, "tokens"), tokens);
    grouped(run_number(report->evaluation, "left_out"), rows);
    if (run_number(report->evaluation, "left_out") > 0)
        snprintf(left_out, sizeof left_out, "; %s rows left out", rows);
    fprintf(file,
            "<p>Of <code>model.safetensors</code>, on %s activation vectors%s.</p>\n<div class=\"tables\"><div class=\"wide\"><table "
            "id=\"levels\"><thead><tr>"
            "<th>level</th><th>features</th><th>L0</th><th>variance explained</th><th>by token</th><th>dead, %%</th></tr></thead><tbody>\n",
            tokens, left_out);
    for (uint32_t l = 0; l < report->config.level_count; l++) {
        fprintf(file, "<tr><th>%u</th>", l);
        run_cell(file, run_number(level_of(report->evaluation, l), "features"), 0);
        write_level(file, level_of(report->evaluation, l));
    }
    fputs("<tr class=\"mean\"><th>mean</th><td></td>", file);
    write_level(file, mean);
    fputs("</tbody></table></div>\n", file);
    if (json_array_size(pairs) == 0) {
        fputs("</div>\n", file);
        return;
    }
    fputs("<div class=\"wide\"><table id=\"pairs\"><thead><tr><th>pair</th><th>Hamming</th><th>P(p|c)</th>"
          "<th>P(c|p)</th><th>lift</th><th>duplicates, %</th><th>largest family, %</th><th>assigned</th></tr></thead><tbody>\n",
          file);
    for (size_t k = 0; k < json_array_size(pairs); k++) {
        const json_t *pair = json_array_get(pairs, k);
        fprintf(file, "<tr><th>%zu–%zu</th>", k, k + 1);
        write_pair(file, pair);
        run_cell(file, run_number(pair, "assigned"), 0);
        fputs("</tr>\n", file);
    }
    fputs("<tr class=\"mean\"><th>mean</th>", file);
    write_pair(file, mean);
    fputs(
        "<td></td></tr>\n</tbody></table></div></div>\n"
        "<p class=\"soft\">By token: the mean over tokens of each one's variance explained. Hamming: features with children whose activity "
        "differs from the OR of the children's, per token. P(p|c), P(c|p): of the parent given the child and the other way round, means "
        "over the pairs of the tree. Lift: P(p|c) over the share of tokens on which the parent is active, median over the pairs. "
        "Duplicates: "
        "children that hardly differ from their parent (cosine of decoder rows and correlation of being active above 0.7). Largest family: "
        "of all children, the share that one parent has. Assigned: features with a parent.</p>\n",
        file);
}

static void write_newest(const struct report *report)
{
    static const char *const keys[] = {"reconstruction", "variance_explained", "l0", "lambda", "dead", "constraint"};
    FILE *file = report->file;
    if (!report->newest)
        return;
    fprintf(file,
            "<h2>Last figures of training</h2>\n<p>Step %.0f.</p>\n<div class=\"wide\"><table id=\"newest\"><thead><tr>"
            "<th>level</th><th>reconstruction error</th><th>variance explained</th><th>L0</th><th>target</th><th>λ</th><th>dead</th>"
            "<th>constraint</th></tr></thead><tbody>\n",
            run_number(report->newest, "step"));
    for (uint32_t l = 0; l < report->config.level_count; l++) {
        fprintf(file, "<tr><th>%u</th>", l);
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            if (strcmp(keys[i], "lambda") == 0)
                short_cell(file, report->config.target_l0[l]);
            short_cell(file, run_number(level_of(report->newest, l), keys[i]));
        }
        fputs("</tr>\n", file);
    }
    fputs("</tbody></table></div>\n", file);
}

static void write_fact(FILE *file, const char *name, const char *value)
{
    fprintf(file, "<dt>%s</dt><dd>", name);
    text_html(file, *value ? value : "–");
    fputs("</dd>\n", file);
}

/* "98,304 vectors of 576 values" and the paths. */
static void write_data(FILE *file, const char *name, const json_t *data)
{
    const json_t *paths = json_object_get(data, "paths");
    char rows[32], dim[32];
    grouped(run_number(data, "rows"), rows);
    grouped(run_number(data, "dim"), dim);
    if (json_object_get(data, "source"))
        fprintf(file, "<dt>%s</dt><dd>rows of %s values that were made while it trained,", name, dim);
    else
        fprintf(file, "<dt>%s</dt><dd>%s vectors of %s values", name, rows, dim);
    for (size_t i = 0; i < json_array_size(paths); i++) {
        const char *path = json_string_value(json_array_get(paths, i));
        fputs(i ? ", <code>" : " from <code>", file);
        text_html(file, path ? path : "");
        fputs("</code>", file);
    }
    fputs("</dd>\n", file);
}

/* How the data of a session differ from those of earlier sessions. */
static void write_other_data(FILE *file, const json_t *differences)
{
    for (size_t i = 0; i < json_array_size(differences); i++) {
        const char *line = json_string_value(json_array_get(differences, i));
        write_fact(file, "Other data than before", line ? line : "");
    }
}

static void write_session(FILE *file, const json_t *session)
{
    const json_t *device = json_object_get(session, "device"), *evaluation = json_object_get(session, "evaluation_data");
    char text[48];
    double first = run_number(session, "first_step"), last = run_number(session, "step");
    if (last > first)
        fprintf(file, "<h3>Steps %.0f to %.0f</h3>\n", first + 1, last);
    else if (isfinite(first))
        fprintf(file, "<h3>From step %.0f on</h3>\n", first + 1);
    fputs("<dl class=\"facts\">\n", file);
    write_fact(file, "Began (UTC)", string(session, "began"));
    duration(run_number(session, "seconds"), text);
    write_fact(file, "Took", text);
    fputs("<dt>Device</dt><dd><code>", file);
    text_html(file, string(device, "id"));
    fputs("</code>, ", file);
    text_html(file, string(device, "name"));
    fputs("</dd>\n", file);
    write_fact(file, "Driver", string(device, "driver"));
    write_fact(file, "Library", string(session, "library_version"));
    write_data(file, "Trained on", json_object_get(session, "data"));
    if (json_is_object(evaluation))
        write_data(file, "Evaluated on", evaluation);
    write_other_data(file, json_object_get(session, "other_data"));
    if (*string(session, "from"))
        write_fact(file, "Went on from", string(session, "from"));
    fputs("<dt>Working directory</dt><dd><code>", file);
    text_html(file, string(session, "directory"));
    fputs("</code></dd>\n</dl>\n<pre>", file);
    text_html(file, string(session, "command"));
    fputs("</pre>\n", file);
}

static void write_repeat(const struct report *report)
{
    FILE *file = report->file;
    const json_t *sessions = json_object_get(report->record, "parts");
    fputs("<h2>How to repeat it</h2>\n", file);
    if (json_array_size(sessions) == 0)
        fputs("<p class=\"none\">Device, data and command were not recorded: there is no <code>run.json</code>.</p>\n", file);
    else
        fputs(
            "<p>The same library, device, driver, tuning, data and configuration give the same bytes, whatever the number of parts.</p>\n",
            file);
    for (size_t i = 0; i < json_array_size(sessions); i++)
        write_session(file, json_array_get(sessions, i));
}

/* A value of the configuration; numbers with as many digits as they need. */
static void write_value(FILE *file, const json_t *value)
{
    char text[32];
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            fputs(i ? ", " : "", file);
            write_value(file, json_array_get(value, i));
        }
    } else if (json_is_real(value)) {
        for (int digits = 6; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, json_real_value(value));
            if (strtod(text, NULL) == json_real_value(value))
                break;
        }
        fputs(text, file);
    } else if (json_is_integer(value)) {
        fprintf(file, "%lld", (long long)json_integer_value(value));
    } else {
        text_html(file, json_is_string(value) ? json_string_value(value) : json_is_true(value) ? "true" : "false");
    }
}

static int write_config(const struct report *report)
{
    FILE *file = report->file;
    const char *key;
    json_t *value;
    char *text = hsae_config_json(&report->config);
    json_t *object = text ? json_loads(text, 0, NULL) : NULL;
    hsae_free(text);
    if (!object)
        return cli_out_of_memory();
    fputs("<h2>Configuration</h2>\n<dl class=\"keys\" id=\"configuration\">\n", file);
    json_object_foreach(object, key, value)
    {
        fprintf(file, "<div><dt>%s</dt><dd>", key);
        write_value(file, value);
        fputs("</dd></div>\n", file);
    }
    fputs("</dl>\n", file);
    json_decref(object);
    return CLI_DONE;
}

static int write_page(struct report *report)
{
    write_head(report);
    write_warnings(report);
    write_explore(report);
    write_curves(report);
    write_evaluation(report);
    density_write(report->file, report->evaluation);
    write_newest(report);
    write_repeat(report);
    int status = write_config(report);
    fputs("</main>\n<footer class=\"soft\">Written by hsae ", report->file);
    text_html(report->file, hsae_version());
    fputs(" from <code>", report->file);
    text_html(report->file, report->folder);
    fputs("</code>; <code>hsae report</code> makes it again.</footer>\n</body></html>\n", report->file);
    return status;
}

static int load(hsae_context *context, struct report *report)
{
    char path[RUN_PATH];
    run_path(path, report->folder, "config.json");
    if (!run_has_config(report->folder)) {
        cli_error("%s is not the folder of a run: it has no config.json", report->folder);
        return CLI_FAILED;
    }
    hsae_config_stored_defaults(&report->config);
    if (hsae_config_load(context, &report->config, path) != HSAE_OK)
        return CLI_FAILED;
    report->evaluation = run_read_json(report->folder, "evaluation.json");
    report->record = run_read_json(report->folder, "run.json");
    const json_t *sessions = json_object_get(report->record, "parts");
    if (json_array_size(sessions))
        report->session = json_array_get(sessions, json_array_size(sessions) - 1);
    int status = run_metrics_read(report->folder, keep_newest, report);
    return status == CLI_DONE ? make_charts(report) : status;
}

int run_report_write(hsae_context *context, const char *folder, const char *out)
{
    struct report report = {.folder = folder};
    struct hsae_os_text text;
    char path[RUN_PATH], *page = NULL;
    if (strlen(folder) > RUN_PATH - 64) {
        cli_error("the path of the folder is too long");
        return CLI_FAILED;
    }
    int status = load(context, &report);
    if (status == CLI_DONE && !(report.file = hsae_os_text_open(&text)))
        status = cli_out_of_memory();
    if (status == CLI_DONE) {
        status = write_page(&report);
        page = hsae_os_text_close(&text);
        if (!page && status == CLI_DONE)
            status = cli_out_of_memory();
    }
    run_path(path, folder, "report.html");
    if (status == CLI_DONE)
        status = run_write_text(out ? out : path, page);
    free(page);
    free(report.charts);
    json_decref(report.newest);
    json_decref(report.evaluation);
    json_decref(report.record);
    return status;
}
