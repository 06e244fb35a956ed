/* SPDX-License-Identifier: MIT */
/* The tree under one feature as a drawing for print: boxes, in each the strongest contexts, tokens shaded by activation. Lengths are
 * points.
 *
 * Boxes stand side by side, parents left of their children; where the width has no room for that, below each other, children indented. All
 * text is set in columns of one width, each word at its own place: nothing need be measured, and no renderer's idea of spaces matters. */
#include "explore.h"
#include "hsae/run_folder.h"
#include "hsae/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MARGIN = 8, GAP = 7, BETWEEN = 30, INDENT = 14, TOKEN_BYTES = 256, FEWEST_COLUMNS = 30 };
#define SIZE    7.5            /* of the text */
#define ADVANCE (0.602 * SIZE) /* of a character: DejaVu Sans Mono's and Menlo's */
#define LINE    10.0
#define PAD     5.0
static const uint32_t usual_children[] = {4, 3, 2, 1};

struct box {
    uint32_t level, feature, depth;
    size_t parent; /* box; SIZE_MAX: none */
    uint32_t left_out;
    double x, y, width, height; /* y: of its middle */
    uint32_t columns;           /* characters of a line */
    hsae_feature_report report;
    const struct label *label;
};

struct figure {
    const struct exploration *exploration;
    const hsae_explorer *explorer;
    struct explore_figure shape;
    FILE *file;
    struct box *boxes;
    size_t count, capacity;
    bool failed, outline; /* outline: below each other */
    double bottom;
    float *values;
    uint32_t *children; /* room for a box's children, by depth */
};

/* ---- layout ---- */

/* The children to be shown, by falling P(child | parent), ties by index, to out [most]. */
static uint32_t best_children(const struct figure *figure, uint32_t level, const hsae_feature_report *report, uint32_t most, uint32_t *out)
{
    double share[EXPLORE_FIGURE_CHILDREN + 1];
    uint32_t count = 0;
    for (uint32_t k = 0; k < report->child_count && most; k++) {
        hsae_feature_report child;
        hsae_explorer_feature(figure->explorer, level + 1, report->children[k], &child);
        double p = isfinite(child.p_child_given_parent) ? child.p_child_given_parent : -1;
        uint32_t at = count < most ? count++ : most;
        for (; at > 0 && share[at - 1] < p; at--)
            if (at < most) {
                share[at] = share[at - 1];
                out[at] = out[at - 1];
            }
        if (at < most) {
            share[at] = p;
            out[at] = report->children[k];
        }
    }
    return count;
}

static uint32_t line_count(const struct figure *figure, const struct box *box)
{
    uint32_t lines = 0;
    while (lines < figure->shape.examples && lines < box->report.excerpt_count && !box->report.excerpts[lines].sampled)
        lines++;
    return lines || !figure->shape.examples ? lines : 1;
}

/* Children of a box at this depth. */
static uint32_t max_children(const struct figure *figure, uint32_t depth)
{
    if (depth + 1 >= figure->shape.depth)
        return 0;
    return figure->shape.children ? figure->shape.children : usual_children[depth < 3 ? depth : 3];
}

static struct box *add_box(struct figure *figure)
{
    if (figure->count == figure->capacity) {
        size_t capacity = figure->capacity ? 2 * figure->capacity : 64;
        struct box *boxes = realloc(figure->boxes, capacity * sizeof *boxes);
        if (!boxes) {
            figure->failed = true;
            return NULL;
        }
        figure->boxes = boxes;
        figure->capacity = capacity;
    }
    return &figure->boxes[figure->count++];
}

static void set_size(struct figure *figure, struct box *box)
{
    double column = (figure->shape.width - 2 * MARGIN + BETWEEN) / figure->shape.depth;
    box->x = MARGIN + box->depth * (figure->outline ? INDENT : column);
    box->width = figure->outline ? figure->shape.width - MARGIN - box->x : column - BETWEEN;
    box->columns = (uint32_t)((box->width - 2 * PAD) / ADVANCE);
    box->height = 2 * PAD + (line_count(figure, box) + (box->columns < 70 ? 2 : 1)) * LINE;
}

/* Adds a box and those under it; side by side, each parent stands beside the middle of its children. */
static void place(struct figure *figure, uint32_t level, uint32_t feature, uint32_t depth, size_t parent)
{
    struct box *box = add_box(figure);
    uint32_t *children = figure->children + (size_t)depth * EXPLORE_FIGURE_CHILDREN;
    if (!box)
        return;
    size_t self = figure->count - 1, first = figure->count, last = 0;
    *box = (struct box){.level = level, .feature = feature, .depth = depth, .parent = parent};
    box->label = labels_of(figure->exploration->labels, level, feature);
    hsae_explorer_feature(figure->explorer, level, feature, &box->report);
    set_size(figure, box);
    uint32_t count = best_children(figure, level, &box->report, max_children(figure, depth), children);
    double top = figure->bottom, height = box->height;
    box->left_out = box->report.child_count - count;
    box->y = top + height / 2;
    if (figure->outline)
        figure->bottom = top + height + GAP;
    for (uint32_t k = 0; k < count && !figure->failed; k++) {
        last = figure->count;
        place(figure, level + 1, children[k], depth + 1, self);
    }
    if (figure->failed || figure->outline)
        return;
    double middle = count ? (figure->boxes[first].y + figure->boxes[last].y) / 2 : top + height / 2;
    figure->boxes[self].y = middle - height / 2 < top ? top + height / 2 : middle;
    if (figure->boxes[self].y + height / 2 + GAP > figure->bottom)
        figure->bottom = figure->boxes[self].y + height / 2 + GAP;
}

/* ---- text ---- */

/* The UTF-8 character that `text` begins with: its bytes, and how many columns it takes. */
static uint32_t character(const char *text, uint32_t *columns)
{
    static const uint32_t wide[][2] = {{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},  {0xf900, 0xfaff},
                                       {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0x1f300, 0x1faff}};
    static const uint32_t none[][2] = {{0x300, 0x36f}, {0x200b, 0x200d}, {0xfe00, 0xfe0f}};
    unsigned char lead = (unsigned char)*text;
    uint32_t bytes = 1, code = lead < 0x80 ? lead : lead & (lead >= 0xf0 ? 7 : lead >= 0xe0 ? 15 : 31);
    while (((unsigned char)text[bytes] & 0xc0) == 0x80)
        code = code << 6 | ((unsigned char)text[bytes++] & 0x3f);
    *columns = 1;
    for (size_t k = 0; k < sizeof wide / sizeof *wide; k++)
        *columns += code >= wide[k][0] && code <= wide[k][1];
    for (size_t k = 0; k < sizeof none / sizeof *none; k++)
        *columns = code >= none[k][0] && code <= none[k][1] ? 0 : *columns;
    return bytes;
}

static uint32_t columns_of(const char *text)
{
    uint32_t columns = 0, each;
    for (; *text; columns += each)
        text += character(text, &each);
    return columns;
}

/* Text as one line: controls as the pictures that Unicode has for them. */
static void clean(const char *text, uint32_t size, char out[TOKEN_BYTES])
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < size && (used < TOKEN_BYTES - 8 || ((unsigned char)text[i] & 0xc0) == 0x80); i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            used += (uint32_t)sprintf(out + used, "\xe2\x86\xb5");
        else if (c < ' ' || c == 0x7f)
            used += (uint32_t)sprintf(out + used, "\xe2\x90%c", c == 0x7f ? 0xa1 : 0x80 + c);
        else
            out[used++] = text[i];
    }
    out[used] = 0;
}

static uint32_t clean_token(const struct figure *figure, uint32_t token, char out[TOKEN_BYTES])
{
    uint32_t size;
    const char *text = hsae_explorer_token(figure->explorer, token, &size);
    clean(text, size, out);
    return columns_of(out);
}

/* Writes text word by word, each at its place; at most so many columns. Where the next text begins. */
static double put_words(struct figure *figure, const char *text, uint32_t most, double x, double y, const char *attributes)
{
    char word[TOKEN_BYTES];
    while (*text && most) {
        uint32_t bytes = 0, columns = 0, each;
        for (; *text == ' ' && most; text++, most--)
            x += ADVANCE;
        while (text[bytes] && text[bytes] != ' ') {
            uint32_t next = character(text + bytes, &each);
            if (columns + each > most)
                break;
            bytes += next;
            columns += each;
        }
        if (!bytes)
            break;
        memcpy(word, text, bytes);
        word[bytes] = 0;
        if (columns) {
            fprintf(figure->file, "<text x=\"%.2f\" y=\"%.2f\" textLength=\"%.2f\" lengthAdjust=\"spacingAndGlyphs\"%s>", x, y,
                    columns * ADVANCE, attributes);
            text_html(figure->file, word);
            fputs("</text>", figure->file);
        }
        x += columns * ADVANCE;
        most -= columns;
        text += bytes;
    }
    return x;
}

/* ---- drawing ---- */

/* The tokens around the peak that fit one line: more of those before it. */
static void fit(const struct figure *figure, const hsae_excerpt *excerpt, const uint32_t *tokens, uint32_t room, uint32_t *begin,
                uint32_t *end)
{
    char text[TOKEN_BYTES];
    uint32_t used = clean_token(figure, tokens[excerpt->peak], text);
    bool left = true, right = true;
    *begin = excerpt->peak;
    *end = excerpt->peak + 1;
    for (uint32_t turn = 0; left || right; turn++) {
        bool before = turn % 3 < 2;
        if (!(before ? left : right))
            continue;
        bool there = before ? *begin > 0 : *end < excerpt->length;
        uint32_t columns = there ? clean_token(figure, tokens[before ? *begin - 1 : *end], text) : 0;
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
    uint32_t begin, end, left = box->columns;
    double full = isfinite(box->report.high) ? box->report.high : box->report.max;
    fit(figure, excerpt, tokens, box->columns, &begin, &end);
    hsae_explorer_values(figure->explorer, box->level, box->feature, index, figure->values);
    for (uint32_t k = begin; k < end; k++) {
        char text[TOKEN_BYTES];
        uint32_t columns = clean_token(figure, tokens[k], text);
        columns = columns < left ? columns : left;
        if (figure->values[k] > 0) {
            double share = (double)figure->values[k] / full;
            fprintf(figure->file, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"#f5a623\" fill-opacity=\"%.2f\"/>", x,
                    y - 0.78 * LINE, columns * ADVANCE, LINE - 0.5, 0.15 + 0.75 * (share < 1 ? share : 1));
        }
        put_words(figure, text, columns, x, y, k == excerpt->peak ? " font-weight=\"bold\"" : "");
        x += columns * ADVANCE;
        left -= columns;
    }
    fputc('\n', figure->file);
}

/* Name, label and figures, on one line or two. */
static void draw_head(struct figure *figure, const struct box *box, double x, double y)
{
    char name[TOKEN_BYTES], text[TOKEN_BYTES];
    int used = snprintf(text, sizeof text, "%.3g %%", 100 * box->report.density);
    if (isfinite(box->report.p_parent_given_child))
        used += snprintf(text + used, sizeof text - (size_t)used, "  P(p|c) %.2f  P(c|p) %.2f", box->report.p_parent_given_child,
                         box->report.p_child_given_parent);
    if (box->left_out)
        snprintf(text + used, sizeof text - (size_t)used, "  +%u %s", box->left_out, box->left_out == 1 ? "child" : "children");
    snprintf(name, sizeof name, "l%u/%u", box->level, box->feature);
    bool two_lines = box->columns < 70;
    uint32_t left = box->columns - (two_lines ? 0 : columns_of(text) + 2);
    fputs("<g class=\"head\">", figure->file);
    double next = put_words(figure, name, left, x, y, " font-weight=\"bold\"") + ADVANCE;
    uint32_t taken = (uint32_t)strlen(name) + 1;
    if (box->label->text && taken + 1 < left) {
        char label[TOKEN_BYTES];
        clean(box->label->text, (uint32_t)strlen(box->label->text), label);
        bool whole = columns_of(label) <= left - taken;
        next = put_words(figure, label, left - taken - !whole, next, y, " font-weight=\"bold\"");
        if (!whole)
            next = put_words(figure, "\xe2\x80\xa6", 1, next, y, " font-weight=\"bold\"");
        next += ADVANCE;
    }
    fputs("</g><g fill=\"#555\">", figure->file);
    put_words(figure, text, box->columns, two_lines ? x : next + ADVANCE, two_lines ? y + LINE : y, "");
    fputs("</g>\n", figure->file);
}

static void draw_box(struct figure *figure, const struct box *box)
{
    double x = box->x + PAD, top = box->y - box->height / 2, y = top + PAD + 0.75 * LINE;
    fprintf(figure->file,
            "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" rx=\"3\" fill=\"%s\" stroke=\"#444\" stroke-width=\"0.6\"/>\n",
            box->x, top, box->width, box->height, box->depth ? "#fff" : "#f4f4f0");
    draw_head(figure, box, x, y);
    y += (box->columns < 70 ? 2 : 1) * LINE;
    if (!box->report.active)
        put_words(figure, "never active on these data", box->columns, x, y, " fill=\"#555\"");
    for (uint32_t k = 0; box->report.active && box->report.excerpt_count && k < line_count(figure, box); k++, y += LINE)
        draw_context(figure, box, k, x, y);
}

static void draw_branch(struct figure *figure, const struct box *box)
{
    const struct box *parent = &figure->boxes[box->parent];
    double x = box->x, from = parent->x + parent->width, middle = (from + x) / 2;
    if (figure->outline)
        fprintf(figure->file, "<path d=\"M%.2f %.2fV%.2fH%.2f\" fill=\"none\" stroke=\"#444\" stroke-width=\"0.6\"/>\n",
                parent->x + INDENT / 2.0, parent->y + parent->height / 2, box->y, x);
    else
        fprintf(figure->file, "<path d=\"M%.2f %.2fC%.2f %.2f %.2f %.2f %.2f %.2f\" fill=\"none\" stroke=\"#444\" stroke-width=\"0.6\"/>\n",
                from, parent->y, middle, parent->y, middle, box->y, x, box->y);
}

static void draw(struct figure *figure)
{
    const struct box *root = &figure->boxes[0];
    double width = figure->shape.width, height = figure->bottom - GAP + MARGIN;
    fprintf(figure->file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.2f %.2f\" width=\"%.2fpt\" height=\"%.2fpt\" role=\"img\" "
            "font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"%.2f\">\n"
            "<title>The tree under feature %u of level %u: share of tokens, P(parent | child), P(child | parent), strongest "
            "contexts</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            width, height, width, height, SIZE, root->feature, root->level);
    for (size_t i = 1; i < figure->count; i++)
        draw_branch(figure, &figure->boxes[i]);
    for (size_t i = 0; i < figure->count; i++)
        draw_box(figure, &figure->boxes[i]);
    fputs("</svg>\n", figure->file);
}

/* Levels that the tree has, and the layout for the width. */
static void set_layout(struct figure *figure, uint32_t level)
{
    struct explore_figure *shape = &figure->shape;
    uint32_t levels = hsae_model_config(figure->exploration->model)->level_count - level;
    shape->depth = shape->depth && shape->depth < levels ? shape->depth : levels < 4 ? levels : shape->depth ? levels : 4;
    if (shape->width == 0)
        shape->width = shape->depth * (58 * ADVANCE + 2 * PAD + BETWEEN) - BETWEEN + 2 * MARGIN;
    double column = (shape->width - 2 * MARGIN + BETWEEN) / shape->depth - BETWEEN;
    figure->outline = column < FEWEST_COLUMNS * ADVANCE + 2 * PAD;
}

int explore_write_figure(const struct exploration *exploration, const struct explore_figure *shape, const char *path, uint64_t *bytes)
{
    struct run_output output;
    struct figure figure = {.exploration = exploration, .explorer = exploration->explorer, .shape = *shape, .bottom = MARGIN};
    int status = CLI_FAILED;
    set_layout(&figure, shape->level);
    figure.values = malloc(hsae_explorer_context_length(figure.explorer) * sizeof *figure.values);
    figure.children = calloc((size_t)figure.shape.depth * EXPLORE_FIGURE_CHILDREN, sizeof *figure.children);
    if (figure.values && figure.children)
        place(&figure, shape->level, shape->feature, 0, SIZE_MAX);
    if (!figure.values || !figure.children || figure.failed)
        status = cli_out_of_memory();
    else if ((figure.file = run_output_open(&output, path)) != NULL) {
        draw(&figure);
        *bytes = (uint64_t)ftello(figure.file);
        status = run_output_commit(&output);
    }
    free(figure.values);
    free(figure.children);
    free(figure.boxes);
    return status;
}
