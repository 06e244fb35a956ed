/* SPDX-License-Identifier: MIT */
/* How often the features of each level are active: a histogram as inline SVG. */
#ifndef HSAE_TOOLS_DENSITY_H
#define HSAE_TOOLS_DENSITY_H

#include <jansson.h>
#include <stdio.h>

/* A <figure> of an evaluation (cli_evaluation_json), in the style of chart.h; nothing where it has no densities. */
void density_write(FILE *file, const json_t *evaluation);

#endif
