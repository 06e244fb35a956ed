/* SPDX-License-Identifier: MIT */
/* Line charts as inline SVG. Memory and size of the picture are bounded whatever the number of points: each column of pixels keeps the mean
 * of its points, which the line goes through, and the lowest and the highest, which show as a paler band. Under the pointer the values of
 * all lines stand above the plot. The page sets the colours --fore, --soft and --rule, and .l0 .. .l7, the lines' (stroke and background).
 */
#ifndef HSAE_TOOLS_CHART_H
#define HSAE_TOOLS_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CHART_COLUMNS = 350, CHART_LINES = 8 };

struct chart_point {
    double x, y;
};
struct chart_line {
    bool used, band; /* has a point; has a column of several */
    struct chart_column {
        size_t count;
        bool gap;                          /* it has a point that is not finite */
        struct chart_point sum, low, high; /* of `count` points */
    } columns[CHART_COLUMNS];
};
/* All zero but for what the caller sets before the first point: title, note, length, line_count; later marks, floor. */
struct chart {
    const char *title, *note;
    double length; /* x runs from 0 to here, > 0 */
    size_t line_count;
    bool has_floor; /* what is below `floor` is cut off */
    double floor;
    size_t mark_count; /* dashed horizontal lines, in the lines' colours; one of all lines where they agree */
    double marks[CHART_LINES];
    struct chart_line lines[CHART_LINES];
};

/* Points come with ascending x. A y that is not finite interrupts the line. */
void chart_add(struct chart *chart, size_t line, double x, double y);
/* The rules of a style sheet for the figures and for .charts, which holds them. */
void chart_style(FILE *file);
/* A <figure>. */
void chart_write(FILE *file, const struct chart *chart);

/* "0.05", "1500", "20k", "1.5M", "2e-5" */
void chart_number(double value, char text[24]);

#endif
