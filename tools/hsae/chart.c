/* SPDX-License-Identifier: MIT */
/* Line charts as inline SVG. */
#include "chart.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The picture, in its own units: about pixels on a screen. */
enum {
    WIDTH = 440,
    HEIGHT = 250,
    LEFT = 46,
    TOP = 26, /* with room for the values under the pointer */
    RIGHT = 44,
    BOTTOM = 30,
    PLOT_WIDTH = CHART_COLUMNS,
    PLOT_HEIGHT = HEIGHT - TOP - BOTTOM
};
_Static_assert(LEFT + PLOT_WIDTH + RIGHT == WIDTH, "the columns fill the plot");
enum { LABEL_DISTANCE = 14, ZONES = 100 /* at most, each with its values */ };
/* Paths count in tenths, so that whole numbers do. */
enum { FINE = 10 };

/* What one chart is drawn with. */
struct frame {
    const struct chart *chart;
    FILE *file;
    bool logarithmic;
    double low, high; /* of y; their decimal logarithms where logarithmic */
    double tick_step; /* of y */
};

static struct chart_point mean_of(const struct chart_column *column)
{
    return (struct chart_point){column->sum.x / (double)column->count, column->sum.y / (double)column->count};
}

static size_t column_of(const struct chart *chart, double x)
{
    double column = x / chart->length * CHART_COLUMNS;
    return column <= 0 ? 0 : column < CHART_COLUMNS - 1 ? (size_t)column : CHART_COLUMNS - 1;
}

void chart_add(struct chart *chart, size_t line, double x, double y)
{
    struct chart_column *column = &chart->lines[line].columns[column_of(chart, x)];
    const struct chart_point point = {x, y};
    if (!isfinite(y)) {
        column->gap = true;
        return;
    }
    if (!column->count || y < column->low.y)
        column->low = point;
    if (!column->count || y > column->high.y)
        column->high = point;
    column->sum.x += x;
    column->sum.y += y;
    chart->lines[line].used = true;
    chart->lines[line].band |= column->count++ > 0;
}

void chart_number(double value, char text[24])
{
    double size = fabs(value);
    if (size >= 1e9 || (size > 0 && size < 1e-3)) {
        /* Without the zeros of an exponent. */
        snprintf(text, 24, "%.3g", value);
        char *exponent = strchr(text, 'e');
        if (exponent)
            snprintf(exponent + 1, (size_t)(text + 24 - exponent - 1), "%d", atoi(exponent + 1));
    } else if (size >= 1e6) {
        snprintf(text, 24, "%.6gM", value / 1e6);
    } else if (size >= 1e4) {
        snprintf(text, 24, "%.6gk", value / 1e3);
    } else {
        snprintf(text, 24, "%.6g", value);
    }
}

/* The smallest of 1, 2, 5 times a power of ten that is not below `value`. */
static double nice_step(double value)
{
    double power = pow(10, floor(log10(value)));
    double rest = value / power * (1 - 1e-9);
    return (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10) * power;
}

static void include(double value, double *low, double *high)
{
    *low = fmin(*low, value);
    *high = fmax(*high, value);
}

/* The range of everything that is to be seen; low > high: nothing. */
static void find_range(const struct chart *chart, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t l = 0; l < chart->line_count; l++)
        for (size_t c = 0; c < CHART_COLUMNS; c++)
            if (chart->lines[l].columns[c].count) {
                include(chart->lines[l].columns[c].low.y, low, high);
                include(chart->lines[l].columns[c].high.y, low, high);
            }
    if (*low > *high)
        return;
    for (size_t k = 0; k < chart->mark_count; k++)
        include(chart->marks[k], low, high);
    if (chart->has_floor && *low < chart->floor) {
        *low = chart->floor;
        *high = fmax(*high, chart->floor);
    }
}

/* Widens the range to whole ticks. */
static void choose_scale(struct frame *frame, double low, double high)
{
    frame->logarithmic = low > 0 && high / low >= 50;
    if (frame->logarithmic) {
        double decades = log10(high / low);
        frame->tick_step = ceil(decades / 6);
        frame->low = floor(log10(low) + 1e-9);
        frame->high = frame->low + frame->tick_step * ceil((log10(high) - frame->low) / frame->tick_step - 1e-9);
        return;
    }
    if (low >= 0 && low < 0.4 * high)
        low = 0;
    if (high - low <= 1e-12 * fmax(fabs(high), fabs(low))) {
        double around = low == 0 ? 1 : 0.5 * fabs(low);
        high += around;
        low = low == 0 ? 0 : low - around;
    }
    frame->tick_step = nice_step((high - low) / 5);
    frame->low = frame->tick_step * floor(low / frame->tick_step + 1e-9);
    frame->high = frame->tick_step * ceil(high / frame->tick_step - 1e-9);
}

static double x_of(const struct frame *frame, double x)
{
    return LEFT + PLOT_WIDTH * x / frame->chart->length;
}

static double y_of(const struct frame *frame, double y)
{
    double value = frame->logarithmic ? log10(y) : y;
    /* Cut off: a little below the plot, where it is clipped. */
    double share = fmax((value - frame->low) / (frame->high - frame->low), -0.1);
    return TOP + PLOT_HEIGHT * (1 - share);
}

static void draw_axes(const struct frame *frame)
{
    char text[24];
    FILE *file = frame->file;
    int count = (int)lround((frame->high - frame->low) / frame->tick_step);
    for (int k = 0; k <= count; k++) {
        double tick = frame->low + k * frame->tick_step;
        if (fabs(tick) < 1e-9 * frame->tick_step)
            tick = 0;
        double value = frame->logarithmic ? pow(10, tick) : tick, y = y_of(frame, value);
        chart_number(value, text);
        fprintf(file, "<path class=\"g\" d=\"M%d %.1fh%d\"/><text class=\"y\" x=\"%d\" y=\"%.1f\">%s</text>\n", LEFT, y, PLOT_WIDTH,
                LEFT - 6, y + 4, text);
    }
    double step = fmax(1, nice_step(frame->chart->length / 5));
    for (double x = 0; x <= frame->chart->length * (1 + 1e-9); x += step) {
        chart_number(x, text);
        fprintf(file, "<path class=\"a\" d=\"M%.1f %dv4\"/><text class=\"x\" x=\"%.1f\" y=\"%d\">%s</text>\n", x_of(frame, x),
                TOP + PLOT_HEIGHT, x_of(frame, x), TOP + PLOT_HEIGHT + 18, text);
    }
    fprintf(file, "<path class=\"a\" d=\"M%d %dh%d\"/>\n", LEFT, TOP + PLOT_HEIGHT, PLOT_WIDTH);
}

static void draw_marks(const struct frame *frame)
{
    const struct chart *chart = frame->chart;
    bool same = true;
    for (size_t k = 1; k < chart->mark_count; k++)
        same &= chart->marks[k] == chart->marks[0];
    size_t count = same && chart->mark_count ? 1 : chart->mark_count;
    for (size_t k = 0; k < count; k++) {
        fputs(same ? "<path class=\"m s\"" : "<path class=\"m l", frame->file);
        if (!same)
            fprintf(frame->file, "%zu\"", k);
        fprintf(frame->file, " d=\"M%d %.1fh%d\"/>\n", LEFT, y_of(frame, chart->marks[k]), PLOT_WIDTH);
    }
}

/* Where the pen of a path is. */
struct pen {
    bool down;
    long x, y;
};

static void move_to(const struct frame *frame, struct pen *pen, const struct chart_point *point)
{
    long x = lround(FINE * x_of(frame, point->x)), y = lround(FINE * y_of(frame, point->y));
    if (!pen->down)
        fprintf(frame->file, "M%ld %ldh0", x, y); /* a point alone shows, too */
    else if (x != pen->x || y != pen->y)
        fprintf(frame->file, "l%ld%s%ld", x - pen->x, y < pen->y ? "" : " ", y - pen->y);
    *pen = (struct pen){true, x, y};
}

/* The means, or what the points reach up and down to. */
static void draw_line(const struct frame *frame, size_t l, bool band)
{
    const struct chart_line *line = &frame->chart->lines[l];
    struct pen pen = {0};
    size_t columns = 0;
    for (size_t c = 0; c < CHART_COLUMNS; c++)
        columns += line->columns[c].count > 0;
    fprintf(frame->file, "<path class=\"%s l%zu%s\" transform=\"scale(.1)\" d=\"", band ? "b" : "l", l, columns == 1 ? " p" : "");
    for (size_t c = 0; c < CHART_COLUMNS; c++) {
        const struct chart_column *column = &line->columns[c];
        if (column->count && band) {
            bool low_first = column->low.x <= column->high.x;
            move_to(frame, &pen, low_first ? &column->low : &column->high);
            move_to(frame, &pen, low_first ? &column->high : &column->low);
        } else if (column->count) {
            const struct chart_point mean = mean_of(column);
            move_to(frame, &pen, &mean);
        }
        pen.down &= !column->gap;
    }
    fputs("\"/>\n", frame->file);
}

static void draw_lines(const struct frame *frame)
{
    const struct chart *chart = frame->chart;
    /* The picture within the axes; a little more, for the width of the lines. */
    fprintf(frame->file, "<svg x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" viewBox=\"%d %d %d %d\">\n", LEFT - 2, TOP - 2, PLOT_WIDTH + 4,
            PLOT_HEIGHT + 4, LEFT - 2, TOP - 2, PLOT_WIDTH + 4, PLOT_HEIGHT + 4);
    for (size_t l = 0; l < chart->line_count; l++)
        if (chart->lines[l].band)
            draw_line(frame, l, true);
    draw_marks(frame);
    for (size_t l = 0; l < chart->line_count; l++)
        if (chart->lines[l].used)
            draw_line(frame, l, false);
    fputs("</svg>\n", frame->file);
}

/* The level at the end of each line, moved apart where lines end close together. */
static void label_lines(const struct frame *frame)
{
    size_t order[CHART_LINES], count = 0;
    double x[CHART_LINES], ends[CHART_LINES], places[CHART_LINES];
    for (size_t l = 0; l < frame->chart->line_count; l++) {
        const struct chart_column *last = &frame->chart->lines[l].columns[CHART_COLUMNS - 1];
        if (!frame->chart->lines[l].used)
            continue;
        while (!last->count)
            last--;
        x[l] = x_of(frame, mean_of(last).x);
        ends[l] = fmin(y_of(frame, mean_of(last).y), TOP + PLOT_HEIGHT);
        size_t at = count++;
        for (; at > 0 && ends[order[at - 1]] > ends[l]; at--)
            order[at] = order[at - 1];
        order[at] = l;
    }
    /* Down from the top, then up from the bottom. */
    for (size_t k = 0; k < count; k++)
        places[k] = k == 0 ? ends[order[0]] : fmax(ends[order[k]], places[k - 1] + LABEL_DISTANCE);
    for (size_t k = count; k-- > 0;)
        places[k] = fmin(places[k], k + 1 == count ? TOP + PLOT_HEIGHT : places[k + 1] - LABEL_DISTANCE);
    for (size_t k = 0; k < count; k++)
        fprintf(frame->file, "<path class=\"d l%zu\" d=\"M%.1f %.1fL%d %.1f\"/><text x=\"%d\" y=\"%.1f\">%zu</text>\n", order[k],
                x[order[k]], ends[order[k]], LEFT + PLOT_WIDTH + 18, places[k], LEFT + PLOT_WIDTH + 22, places[k] + 4, order[k]);
}

/* What columns begin .. end - 1 hold of one line, or of all (l = SIZE_MAX): their mean and number of points. */
static struct chart_point mean_between(const struct chart *chart, size_t l, size_t begin, size_t end, size_t *count)
{
    struct chart_point sum = {0};
    *count = 0;
    for (size_t k = l == SIZE_MAX ? 0 : l; k < (l == SIZE_MAX ? chart->line_count : l + 1); k++)
        for (size_t c = begin; c < end; c++) {
            sum.x += chart->lines[k].columns[c].sum.x;
            sum.y += chart->lines[k].columns[c].sum.y;
            *count += chart->lines[k].columns[c].count;
        }
    return (struct chart_point){sum.x / (double)*count, sum.y / (double)*count};
}

/* A strip of the plot that shows the values of its columns while the pointer is over it; means where there are several points. */
static void write_zone(const struct frame *frame, size_t begin, size_t end, double left, double right)
{
    const struct chart *chart = frame->chart;
    size_t count;
    double x = mean_between(chart, SIZE_MAX, begin, end, &count).x;
    fprintf(frame->file, "<g class=\"h\"><rect x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"%d\"/><path d=\"M%.1f %dv%d\"/>", left,
            right - left, TOP + PLOT_HEIGHT, x_of(frame, x), TOP, PLOT_HEIGHT);
    fprintf(frame->file, "<text x=\"%d\" y=\"13\">step %.0f", LEFT, x);
    for (size_t l = 0; l < chart->line_count; l++) {
        double y = mean_between(chart, l, begin, end, &count).y;
        if (!count)
            continue;
        fprintf(frame->file, " %.*g", chart->line_count > 4 ? 3 : 4, y);
    }
    fputs("</text></g>\n", frame->file);
}

/* Zones that each hold as many columns, and reach to the middle between their points and the next. */
static void write_zones(const struct frame *frame)
{
    size_t used[CHART_COLUMNS], count = 0, points;
    for (size_t c = 0; c < CHART_COLUMNS; c++) {
        mean_between(frame->chart, SIZE_MAX, c, c + 1, &points);
        if (points)
            used[count++] = c;
    }
    size_t each = (count + ZONES - 1) / ZONES;
    double left = LEFT;
    for (size_t k = 0; k < count; k += each) {
        size_t next = k + each < count ? k + each : count, after = next + each < count ? next + each : count;
        double right = LEFT + PLOT_WIDTH;
        if (next < count)
            right = (x_of(frame, mean_between(frame->chart, SIZE_MAX, used[k], used[next], &points).x) +
                     x_of(frame, mean_between(frame->chart, SIZE_MAX, used[next], used[after - 1] + 1, &points).x)) /
                    2;
        write_zone(frame, used[k], used[next - 1] + 1, left, right);
        left = right;
    }
}

void chart_style(FILE *file)
{
    fputs(
        ".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:18px 26px}\n"
        "figure{margin:0;min-width:0}figcaption{font-size:13.5px}figcaption b{color:var(--fore);font-size:15px}\n"
        "figure>svg{display:block;width:100%;height:auto}\n"
        "text{font:12.5px "
        "system-ui,sans-serif;fill:var(--fore)}.y{text-anchor:end;fill:var(--soft)}.x{text-anchor:middle;fill:var(--soft)}\n"
        ".g,.a,.m,.l,.b,.d,.h path{fill:none;background:none}.g{stroke:var(--rule);stroke-width:.7}.a{stroke:var(--soft);stroke-width:.8}\n"
        ".l{stroke-width:1.8px;stroke-linejoin:round;stroke-linecap:round;vector-effect:non-scaling-stroke}\n"
        ".b{opacity:.3;stroke-width:1.2px;stroke-linejoin:round;vector-effect:non-scaling-stroke}\n"
        ".l.p{stroke-width:6px}.m{stroke-width:1.3;stroke-dasharray:5 4}.s{stroke:var(--soft)}.d{stroke-width:1}\n"
        ".alone{max-width:600px;margin-top:18px}.h rect{fill:transparent}.h path{stroke:var(--soft);stroke-width:.8}.h path,.h "
        "text{visibility:hidden;pointer-events:none;"
        "font-variant-numeric:tabular-nums}.h:hover>*{visibility:visible}\n",
        file);
}

void chart_write(FILE *file, const struct chart *chart)
{
    struct frame frame = {.chart = chart, .file = file};
    double low, high;
    find_range(chart, &low, &high);
    fprintf(file, "<figure><figcaption><b>%s</b> %s", chart->title, chart->note);
    if (low > high) {
        fputs("</figcaption><p class=\"none\">No figures.</p></figure>\n", file);
        return;
    }
    choose_scale(&frame, low, high);
    fprintf(file,
            "%s</figcaption>\n<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s over steps\">\n",
            frame.logarithmic ? " (logarithmic)" : "", WIDTH, HEIGHT, chart->title);
    draw_axes(&frame);
    draw_lines(&frame);
    if (chart->line_count > 1)
        label_lines(&frame);
    write_zones(&frame);
    fputs("</svg></figure>\n", file);
}
