/* SPDX-License-Identifier: MIT */
/* Several runs on one page: their figures, curves and what differs in their configurations. */
#include "run_compare.h"

#include "chart.h"
#include "run_figures.h"
#include "run_record.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum chart_name { VARIANCE, L0, DEAD, LOSS, HELD_VARIANCE, HELD_L0, HELD_DEAD, P_PARENT, CHART_COUNT };

struct comparison {
    FILE *file;
    const char *const *folders;
    size_t count;
    json_t *config[CHART_LINES], *evaluation[CHART_LINES]; /* evaluation: NULL where there is none */
    double steps[CHART_LINES];                             /* that metrics.jsonl has */
    struct chart *charts;
    bool evaluated; /* held-out figures during training, of any run */
};

/* ---- curves ---- */

/* One run of the page, as its lines are read. */
struct reading {
    struct comparison *page;
    size_t run;
};

static void note_step(void *user, json_t *line)
{
    const struct reading *reading = user;
    reading->page->steps[reading->run] = run_number(line, "step");
}

static void add_evaluation(struct comparison *page, size_t run, double step, const json_t *evaluation)
{
    const json_t *mean = json_object_get(evaluation, "mean");
    if (!mean)
        return;
    page->evaluated = true;
    chart_add(&page->charts[HELD_VARIANCE], run, step, run_number(mean, "variance_explained"));
    chart_add(&page->charts[HELD_L0], run, step, run_number(mean, "l0"));
    chart_add(&page->charts[HELD_DEAD], run, step, 100 * run_number(mean, "dead_fraction"));
    chart_add(&page->charts[P_PARENT], run, step, run_number(mean, "p_parent_given_child"));
}

static void add_line(void *user, json_t *line)
{
    const struct reading *reading = user;
    struct comparison *page = reading->page;
    const size_t run = reading->run;
    const json_t *levels = json_object_get(line, "levels"), *features = json_object_get(page->config[run], "levels"), *level;
    double step = run_number(line, "step"), variance = 0, l0 = 0, dead = 0, loss = 0, count = (double)json_array_size(levels);
    size_t l;
    add_evaluation(page, run, step, json_object_get(line, "evaluation"));
    if (!json_array_size(levels))
        return;
    json_array_foreach(levels, l, level)
    {
        variance += run_number(level, "variance_explained") / count;
        l0 += run_number(level, "l0") / count;
        dead += 100 * run_number(level, "dead") / json_number_value(json_array_get(features, l)) / count;
        loss +=
            run_number(level, "reconstruction") + run_number(level, "lambda") * run_number(level, "l0") + run_number(level, "constraint");
    }
    chart_add(&page->charts[VARIANCE], run, step, variance);
    chart_add(&page->charts[L0], run, step, l0);
    chart_add(&page->charts[DEAD], run, step, dead);
    chart_add(&page->charts[LOSS], run, step, loss);
}

static int make_charts(struct comparison *page)
{
    static const char *const titles[CHART_COUNT][2] = {
        [VARIANCE] = {"Variance explained", "of the batch, mean over levels"},
        [L0] = {"L0", "active features per token, mean over levels"},
        [DEAD] = {"Dead features", "% of a level, mean over levels"},
        [LOSS] = {"Loss", "all levels: reconstruction + λ L0 + constraint"},
        [HELD_VARIANCE] = {"Variance explained, held out", "mean over levels"},
        [HELD_L0] = {"L0, held out", "active features per token, mean over levels"},
        [HELD_DEAD] = {"Dead features, held out", "% of a level, mean over levels"},
        [P_PARENT] = {"P(p|c), held out", "mean over pairs of levels"},
    };
    double length = 1;
    int status = CLI_DONE;
    page->charts = calloc(CHART_COUNT, sizeof *page->charts);
    if (!page->charts)
        return cli_out_of_memory();
    for (size_t run = 0; run < page->count && status == CLI_DONE; run++) {
        status = run_metrics_read(page->folders[run], note_step, &(struct reading){page, run});
        length = page->steps[run] > length ? page->steps[run] : length;
    }
    for (int k = 0; k < CHART_COUNT; k++) {
        page->charts[k].title = titles[k][0];
        page->charts[k].note = titles[k][1];
        page->charts[k].line_count = page->count;
        page->charts[k].length = length;
    }
    page->charts[VARIANCE].has_floor = page->charts[HELD_VARIANCE].has_floor = true;
    for (size_t run = 0; run < page->count && status == CLI_DONE; run++)
        status = run_metrics_read(page->folders[run], add_line, &(struct reading){page, run});
    return status;
}

/* ---- the page ---- */

static void write_head(const struct comparison *page)
{
    static const char *const colours[CHART_LINES] = {"#1f6b4a", "#c2571a", "#2a659c", "#a5406f",
                                                     "#7a6a10", "#7450a6", "#1a7f8a", "#7d4a3a"};
    FILE *file = page->file;
    fprintf(file,
            "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta "
            "name=\"viewport\" content=\"width=device-width\"/>\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
            "<title>%zu runs of hsae</title>\n<style>\n:root{color-scheme:light "
            "dark;--back:#fff;--fore:#1b1d21;--soft:#5b616b;--rule:#dfe2e7}\n"
            "@media (prefers-color-scheme:dark){:root{--back:#131519;--fore:#e7e9ec;--soft:#a0a7b2;--rule:#32363e}}\n",
            page->count);
    for (size_t run = 0; run < page->count; run++)
        fprintf(file, ".l%zu{stroke:%s;background:%s}", run, colours[run], colours[run]);
    fputs(
        "\n*{box-sizing:border-box}body{margin:0 auto;max-width:1400px;padding:24px;background:var(--back);color:var(--fore);"
        "font:15px/1.5 system-ui,sans-serif}h1{font-size:26px;margin:0 0 8px}h2{font-size:19px;margin:32px 0 8px}.soft,figcaption{"
        "color:var(--soft)}\ni{display:inline-block;width:22px;height:4px;border-radius:2px;margin-right:7px;vertical-align:middle}"
        ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{text-align:right;padding:4px 14px "
        "4px 0;border-bottom:1px solid var(--rule);overflow-wrap:anywhere}th:first-child{text-align:left}thead th{color:var(--soft)}tbody "
        "th{font-weight:400}\n",
        file);
    chart_style(file);
    fputs("</style>\n</head>\n<body>\n", file);
    fprintf(file, "<h1>%zu runs</h1>\n", page->count);
}

static void write_name(const struct comparison *page, size_t run)
{
    fprintf(page->file, "<th scope=\"row\"><i class=\"l%zu\"></i>", run);
    text_html(page->file, page->folders[run]);
    fputs("</th>", page->file);
}

static void begin_table(FILE *file, const char *id, const char *title, const char *head)
{
    fprintf(file, "<h2>%s</h2>\n<div class=\"wide\"><table id=\"%s\"><thead><tr>%s</tr></thead><tbody>\n", title, id, head);
}

/* The figures of one object of evaluation.json: a level, or the mean. */
static void write_figures(FILE *file, const json_t *level)
{
    run_cell(file, run_number(level, "l0"), 2);
    run_cell(file, run_number(level, "variance_explained"), 4);
    run_cell(file, 100 * run_number(level, "dead_fraction"), 2);
}

static void write_means(const struct comparison *page)
{
    begin_table(
        page->file, "means", "Evaluation, means over levels",
        "<th>run</th><th>steps</th><th>L0</th><th>variance explained</th><th>dead, %</th><th>Hamming</th><th>P(p|c)</th><th>P(c|p)</th>"
        "<th>lift</th><th>duplicates, %</th>");
    for (size_t run = 0; run < page->count; run++) {
        const json_t *mean = json_object_get(page->evaluation[run], "mean");
        fputs("<tr>", page->file);
        write_name(page, run);
        run_cell(page->file, page->steps[run] > 0 ? page->steps[run] : (double)NAN, 0);
        write_figures(page->file, mean);
        run_cell(page->file, run_number(mean, "hamming"), 2);
        run_cell(page->file, run_number(mean, "p_parent_given_child"), 4);
        run_cell(page->file, run_number(mean, "p_child_given_parent"), 4);
        run_cell(page->file, run_number(mean, "lift"), 2);
        run_cell(page->file, 100 * run_number(mean, "duplicates"), 2);
        fputs("</tr>\n", page->file);
    }
    fputs("</tbody></table></div>\n", page->file);
}

static void write_levels(const struct comparison *page)
{
    size_t most = 0;
    for (size_t run = 0; run < page->count; run++) {
        size_t levels = json_array_size(json_object_get(page->evaluation[run], "levels"));
        most = levels > most ? levels : most;
    }
    for (size_t l = 0; l < most; l++) {
        char id[32], title[32];
        snprintf(id, sizeof id, "level-%zu", l);
        snprintf(title, sizeof title, "Level %zu", l);
        begin_table(page->file, id, title, "<th>run</th><th>features</th><th>L0</th><th>variance explained</th><th>dead, %</th>");
        for (size_t run = 0; run < page->count; run++) {
            const json_t *level = json_array_get(json_object_get(page->evaluation[run], "levels"), l);
            fputs("<tr>", page->file);
            write_name(page, run);
            run_cell(page->file, run_number(level, "features"), 0);
            write_figures(page->file, level);
            fputs("</tr>\n", page->file);
        }
        fputs("</tbody></table></div>\n", page->file);
    }
}

static int write_value(FILE *file, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL;
    if (value && !text)
        return cli_out_of_memory();
    fputs("<td>", file);
    text_html(file, text ? text : "–");
    fputs("</td>", file);
    free(text);
    return CLI_DONE;
}

/* Keys whose values are not the same in all runs. */
static int write_differences(const struct comparison *page)
{
    const char *key;
    json_t *value;
    int status = CLI_DONE;
    begin_table(page->file, "differences", "What differs in their configurations", "<th>key</th>");
    fputs("<tr><th></th>", page->file);
    for (size_t run = 0; run < page->count; run++)
        write_name(page, run);
    fputs("</tr>\n", page->file);
    json_object_foreach(page->config[0], key, value)
    {
        bool same = true;
        for (size_t run = 1; run < page->count; run++)
            same &= json_equal(value, json_object_get(page->config[run], key)) != 0;
        if (same)
            continue;
        fputs("<tr><th scope=\"row\">", page->file);
        text_html(page->file, key);
        fputs("</th>", page->file);
        for (size_t run = 0; run < page->count && status == CLI_DONE; run++)
            status = write_value(page->file, json_object_get(page->config[run], key));
        fputs("</tr>\n", page->file);
    }
    fputs("</tbody></table></div>\n", page->file);
    return status;
}

static int write_page(struct comparison *page)
{
    write_head(page);
    write_means(page);
    fputs("<h2>Curves</h2>\n<div class=\"charts\">\n", page->file);
    for (int k = 0; k < (page->evaluated ? CHART_COUNT : HELD_VARIANCE); k++)
        chart_write(page->file, &page->charts[k]);
    fputs("</div>\n<p class=\"soft\">Under the pointer: the values, in the order of the runs.</p>\n", page->file);
    write_levels(page);
    int status = write_differences(page);
    fputs("</body>\n</html>\n", page->file);
    return status;
}

static int load(struct comparison *page)
{
    for (size_t run = 0; run < page->count; run++) {
        if (strlen(page->folders[run]) > RUN_PATH - 64) {
            cli_error("the path of the folder is too long");
            return CLI_FAILED;
        }
        page->config[run] = run_read_json(page->folders[run], "config.json");
        if (!json_is_object(page->config[run])) {
            cli_error("%s is not the folder of a run: it has no config.json", page->folders[run]);
            return CLI_FAILED;
        }
        page->evaluation[run] = run_read_json(page->folders[run], "evaluation.json");
    }
    return make_charts(page);
}

int run_compare_write(const char *const *folders, size_t count, const char *out)
{
    struct comparison page = {.folders = folders, .count = count};
    struct hsae_os_text text;
    char *whole = NULL;
    int status = load(&page);
    if (status == CLI_DONE && !(page.file = hsae_os_text_open(&text)))
        status = cli_out_of_memory();
    if (status == CLI_DONE) {
        status = write_page(&page);
        whole = hsae_os_text_close(&text);
        if (!whole && status == CLI_DONE)
            status = cli_out_of_memory();
    }
    if (status == CLI_DONE)
        status = run_write_text(out, whole);
    free(whole);
    free(page.charts);
    for (size_t run = 0; run < count; run++) {
        json_decref(page.config[run]);
        json_decref(page.evaluation[run]);
    }
    return status;
}
