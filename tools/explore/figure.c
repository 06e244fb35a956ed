/* SPDX-License-Identifier: MIT */
/* The tree under one feature as a drawing that can be printed: boxes from left to right, in each the strongest contexts, tokens shaded by
 * activation. All text is set in columns of one width, so that nothing need be measured. */
#include "explore.h"
#include "hsae/run_folder.h"
#include "hsae/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pixels, but COLUMNS (characters of a context) and LINES (contexts of a box). */
enum { COLUMNS = 58, LINES = 3, LINE = 15, PAD = 8, GAP = 14, BETWEEN = 56, MARGIN = 16, TOKEN_BYTES = 256 };
#define ADVANCE 6.6 /* of a character at 11 px */
enum { DEPTH = 4, MOST_CHILDREN = 4, BOXES = 1 + 4 + 4 * 3 + 4 * 3 * 2 };
static const uint32_t shown_children[DEPTH] = {4, 3, 2, 0};

struct box {
    uint32_t level, feature, depth;
    int parent; /* box; -1: none */
    uint32_t left_out;
    double y, height; /* y: of its middle */
    hsae_feature_report report;
};

struct figure {
    const hsae_explorer *explorer;
    FILE *file;
    struct box boxes[BOXES];
    int count;
    double bottom;
    float *values;
};

/* ---- layout ---- */

/* The children to be shown, by falling P(child | parent), ties by index. */
static uint32_t best_children(const struct figure *figure, const struct box *box, uint32_t most, uint32_t *out)
{
    double share[MOST_CHILDREN + 1];
    uint32_t count = 0;
    for (uint32_t k = 0; k < box->report.child_count && most; k++) {
        hsae_feature_report child;
        hsae_explorer_feature(figure->explorer, box->level + 1, box->report.children[k], &child);
        double p = isfinite(child.p_child_given_parent) ? child.p_child_given_parent : -1;
        uint32_t at = count < most ? count++ : most;
        for (; at > 0 && share[at - 1] < p; at--)
            if (at < most) {
                share[at] = share[at - 1];
                out[at] = out[at - 1];
            }
        if (at < most) {
            share[at] = p;
            out[at] = box->report.children[k];
        }
    }
    return count;
}

static uint32_t line_count(const struct box *box)
{
    uint32_t lines = 0;
    while (lines < LINES && lines < box->report.excerpt_count && !box->report.excerpts[lines].sampled)
        lines++;
    return lines ? lines : 1;
}

/* Adds a box and those under it, each parent beside the middle of its children. */
static void place(struct figure *figure, uint32_t level, uint32_t feature, uint32_t depth, int parent)
{
    uint32_t children[MOST_CHILDREN] = {0};
    struct box *box = &figure->boxes[figure->count++];
    *box = (struct box){.level = level, .feature = feature, .depth = depth, .parent = parent};
    hsae_explorer_feature(figure->explorer, level, feature, &box->report);
    box->height = 2 * PAD + (line_count(box) + 1) * LINE + 2;
    uint32_t count = best_children(figure, box, shown_children[depth], children);
    box->left_out = box->report.child_count - count;
    double top = figure->bottom;
    int self = figure->count - 1, first = figure->count, last = 0;
    for (uint32_t k = 0; k < count; k++) {
        last = figure->count;
        place(figure, level + 1, children[k], depth + 1, self);
    }
    box->y = count ? (figure->boxes[first].y + figure->boxes[last].y) / 2 : top + box->height / 2;
    if (box->y - box->height / 2 < top)
        box->y = top + box->height / 2;
    if (box->y + box->height / 2 + GAP > figure->bottom)
        figure->bottom = box->y + box->height / 2 + GAP;
}

/* ---- drawing ---- */

/* A token as one line of text: controls as the pictures that Unicode has for them; *columns: its characters. */
static void clean_token(const struct figure *figure, uint32_t token, char out[TOKEN_BYTES], uint32_t *columns)
{
    uint32_t size, used = 0;
    const char *text = hsae_explorer_token(figure->explorer, token, &size);
    *columns = 0;
    for (uint32_t i = 0; i < size && (used < TOKEN_BYTES - 8 || ((unsigned char)text[i] & 0xc0) == 0x80); i++) {
        unsigned char c = (unsigned char)text[i];
        *columns += (c & 0xc0) != 0x80;
        if (c == '\n')
            used += (uint32_t)sprintf(out + used, "\xe2\x86\xb5");
        else if (c < ' ' || c == 0x7f)
            used += (uint32_t)sprintf(out + used, "\xe2\x90%c", c == 0x7f ? 0xa1 : 0x80 + c);
        else
            out[used++] = text[i];
    }
    out[used] = 0;
}

static uint32_t columns_of(const struct figure *figure, uint32_t token)
{
    char text[TOKEN_BYTES];
    uint32_t columns;
    clean_token(figure, token, text, &columns);
    return columns;
}

/* The tokens around the peak that fit one line: more of those before it. */
static void fit(const struct figure *figure, const hsae_excerpt *excerpt, const uint32_t *tokens, uint32_t *begin, uint32_t *end)
{
    uint32_t room = COLUMNS - 2, used = columns_of(figure, tokens[excerpt->peak]);
    bool left = true, right = true;
    *begin = excerpt->peak;
    *end = excerpt->peak + 1;
    for (uint32_t turn = 0; left || right; turn++) {
        bool before = turn % 3 < 2;
        if (!(before ? left : right))
            continue;
        bool there = before ? *begin > 0 : *end < excerpt->length;
        uint32_t columns = there ? columns_of(figure, tokens[before ? *begin - 1 : *end]) : 0;
        bool fits = there && used + columns <= room;
        used += fits ? columns : 0;
        *begin -= fits && before;
        *end += fits && !before;
        if (!fits && before)
            left = false;
        else if (!fits)
            right = false;
    }
}

static void draw_context(struct figure *figure, const struct box *box, uint32_t index, double x, double y)
{
    const hsae_excerpt *excerpt = &box->report.excerpts[index];
    const uint32_t *tokens = hsae_explorer_tokens(figure->explorer, excerpt, NULL);
    uint32_t begin, end;
    fit(figure, excerpt, tokens, &begin, &end);
    hsae_explorer_values(figure->explorer, box->level, box->feature, index, figure->values);
    for (uint32_t k = begin; k < end; k++) {
        char text[TOKEN_BYTES];
        uint32_t columns;
        clean_token(figure, tokens[k], text, &columns);
        if (columns > COLUMNS)
            columns = COLUMNS;
        if (figure->values[k] > 0)
            fprintf(figure->file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"#f5a623\" fill-opacity=\"%.2f\"/>", x,
                    y - 11, columns * ADVANCE, LINE - 1, 0.15 + 0.75 * (double)figure->values[k] / box->report.max);
        if (columns) {
            fprintf(figure->file, "<text x=\"%.1f\" y=\"%.1f\" textLength=\"%.1f\" lengthAdjust=\"spacingAndGlyphs\"%s>", x, y,
                    columns * ADVANCE, k == excerpt->peak ? " font-weight=\"bold\"" : "");
            text_html(figure->file, text);
            fputs("</text>", figure->file);
        }
        x += columns * ADVANCE;
    }
    fputc('\n', figure->file);
}

static double left_of(const struct box *box)
{
    return MARGIN + box->depth * (COLUMNS * ADVANCE + 2 * PAD + BETWEEN);
}

static void draw_box(struct figure *figure, const struct box *box)
{
    double x = left_of(box), y = box->y - box->height / 2, width = COLUMNS * ADVANCE + 2 * PAD;
    FILE *file = figure->file;
    fprintf(file,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"5\" fill=\"%s\" stroke=\"#444\"/>\n"
            "<text x=\"%.1f\" y=\"%.1f\" class=\"head\">l%u/%u<tspan class=\"more\">  %.3g %%",
            x, y, width, box->height, box->depth ? "#fff" : "#f4f4f0", x + PAD, y + PAD + 11, box->level, box->feature,
            100 * box->report.density);
    if (isfinite(box->report.p_parent_given_child))
        fprintf(file, "  P(p|c) %.2f  P(c|p) %.2f", box->report.p_parent_given_child, box->report.p_child_given_parent);
    if (box->left_out)
        fprintf(file, "  +%u children", box->left_out);
    fputs("</tspan></text>\n", file);
    if (!box->report.active)
        fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" class=\"more\">never active on these data</text>\n", x + PAD, y + PAD + LINE + 13);
    for (uint32_t k = 0; box->report.active && k < line_count(box); k++)
        draw_context(figure, box, k, x + PAD, y + PAD + (k + 1) * LINE + 13);
}

static void draw_branch(struct figure *figure, const struct box *box)
{
    const struct box *parent = &figure->boxes[box->parent];
    double x = left_of(box), from = x - BETWEEN, middle = x - BETWEEN / 2.0;
    fprintf(figure->file, "<path d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f\" fill=\"none\" stroke=\"#444\"/>\n", from, parent->y, middle,
            parent->y, middle, box->y, x, box->y);
}

static void draw(struct figure *figure)
{
    uint32_t depth = 0;
    for (int i = 0; i < figure->count; i++)
        depth = figure->boxes[i].depth > depth ? figure->boxes[i].depth : depth;
    double width = left_of(&(struct box){.depth = depth}) + COLUMNS * ADVANCE + 2 * PAD + MARGIN, height = figure->bottom - GAP + MARGIN;
    const struct box *root = &figure->boxes[0];
    fprintf(
        figure->file,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\">\n"
        "<title>The tree under feature %u of level %u: share of tokens, P(parent | child), P(child | parent), strongest contexts</title>\n"
        "<style>text{font:11px \"DejaVu Sans Mono\",Menlo,Consolas,monospace;white-space:pre}"
        ".head{font-weight:bold}.more{font-weight:normal;fill:#555}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        width, height, width, height, root->feature, root->level);
    for (int i = 1; i < figure->count; i++)
        draw_branch(figure, &figure->boxes[i]);
    for (int i = 0; i < figure->count; i++)
        draw_box(figure, &figure->boxes[i]);
    fputs("</svg>\n", figure->file);
}

int explore_write_figure(const struct exploration *exploration, uint32_t level, uint32_t feature, const char *path, uint64_t *bytes)
{
    struct run_output output;
    struct figure *figure = calloc(1, sizeof *figure);
    int status = CLI_FAILED;
    if (figure)
        figure->values = malloc(hsae_explorer_context_length(exploration->explorer) * sizeof *figure->values);
    if (!figure || !figure->values) {
        free(figure);
        return cli_out_of_memory();
    }
    figure->explorer = exploration->explorer;
    figure->bottom = MARGIN;
    place(figure, level, feature, 0, -1);
    figure->file = run_output_open(&output, path);
    if (figure->file) {
        draw(figure);
        *bytes = (uint64_t)ftello(figure->file);
        status = run_output_commit(&output);
    }
    free(figure->values);
    free(figure);
    return status;
}
