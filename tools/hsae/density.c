/* SPDX-License-Identifier: MIT */
#include "density.h"

#include <hsae/model.h>
#include <math.h>

/* The picture, in its own units. Bins go from the rare features on the left to those that are always active. */
enum { BIN = 22, LEFT = 58, TOP = 26, HEIGHT = 160, WIDTH = HSAE_DENSITY_BINS * BIN, BINS_A_DECADE = 4 };

static double count_of(const json_t *level, int bin)
{
    const json_t *count = json_array_get(json_object_get(level, "density"), (size_t)bin);
    return json_is_number(count) ? json_number_value(count) : 0;
}

/* Of a level's features, the share in a bin; NaN: there is no histogram. */
static double share_of(const json_t *level, int bin)
{
    return count_of(level, bin) / json_number_value(json_object_get(level, "features"));
}

static double largest(const json_t *levels)
{
    double most = 0;
    for (size_t l = 0; l < json_array_size(levels); l++)
        for (int bin = 0; bin < HSAE_DENSITY_BINS; bin++)
            most = fmax(most, share_of(json_array_get(levels, l), bin));
    return isfinite(most) ? most : 0;
}

static double x_of(int bin)
{
    return LEFT + (HSAE_DENSITY_BINS - 1 - bin) * BIN;
}

static void draw_level(FILE *file, const json_t *level, size_t l, double most)
{
    fprintf(file, "<path class=\"l l%zu\" d=\"M%d %d", l, LEFT, TOP + HEIGHT);
    for (int bin = HSAE_DENSITY_BINS - 1; bin >= 0; bin--)
        fprintf(file, "V%.1fh%d", TOP + HEIGHT * (1 - share_of(level, bin) / most), BIN);
    fprintf(file, "V%d\"/>\n", TOP + HEIGHT);
}

/* What a bin holds, while the pointer is over it. */
static void write_zone(FILE *file, const json_t *levels, int bin)
{
    double high = pow(10, -bin / (double)BINS_A_DECADE), low = pow(10, -(bin + 1) / (double)BINS_A_DECADE);
    fprintf(file, "<g class=\"h\"><rect x=\"%.0f\" y=\"0\" width=\"%d\" height=\"%d\"/><path d=\"M%.0f %dv%d\"/><text x=\"%d\" y=\"13\">",
            x_of(bin), BIN, TOP + HEIGHT, x_of(bin) + BIN / 2.0, TOP, HEIGHT, LEFT);
    if (bin + 1 < HSAE_DENSITY_BINS)
        fprintf(file, "%.3g to %.3g %% of tokens:", 100 * low, 100 * high);
    else
        fprintf(file, "up to %.3g %% of tokens:", 100 * high);
    for (size_t l = 0; l < json_array_size(levels); l++)
        fprintf(file, " %.0f", count_of(json_array_get(levels, l), bin));
    fputs(" features</text></g>\n", file);
}

void density_write(FILE *file, const json_t *evaluation)
{
    const json_t *levels = json_object_get(evaluation, "levels");
    double most = largest(levels);
    if (most <= 0)
        return;
    fprintf(file,
            "<figure id=\"density\" class=\"alone\"><figcaption><b>Density of features</b> by the share of tokens on which they are "
            "active; each level's "
            "features are 100 %%</figcaption>\n<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
            "aria-label=\"Histogram of the densities of features\">\n",
            LEFT + WIDTH + 20, TOP + HEIGHT + 30);
    for (int half = 0; half <= 2; half++)
        fprintf(file, "<path class=\"g\" d=\"M%d %dh%d\"/><text class=\"y\" x=\"%d\" y=\"%d\">%.3g %%</text>\n", LEFT,
                TOP + HEIGHT - half * HEIGHT / 2, WIDTH, LEFT - 6, TOP + HEIGHT - half * HEIGHT / 2 + 4, 50 * half * most);
    for (int bin = -1; bin < HSAE_DENSITY_BINS; bin += BINS_A_DECADE)
        fprintf(file, "<text class=\"x\" x=\"%.0f\" y=\"%d\">%g %%</text>\n", x_of(bin), TOP + HEIGHT + 18,
                pow(10, 2 - (bin + 1) / (double)BINS_A_DECADE));
    for (size_t l = 0; l < json_array_size(levels); l++)
        draw_level(file, json_array_get(levels, l), l, most);
    for (int bin = 0; bin < HSAE_DENSITY_BINS; bin++)
        write_zone(file, levels, bin);
    fputs("</svg></figure>\n", file);
}
