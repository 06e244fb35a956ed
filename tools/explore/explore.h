/* SPDX-License-Identifier: MIT */
/* What `hsae explore` has found, and the forms it is written in. Functions that return int give CLI_DONE, or another exit status after a
 * message; *bytes: what was written. */
#ifndef HSAE_TOOLS_EXPLORE_H
#define HSAE_TOOLS_EXPLORE_H

#include "hsae/cli.h"
#include "labels.h"

/* Tokens of the language model, by what one unit of a feature's activation adds to their logits, beside the mean over all tokens. */
enum { EXPLORE_LOGITS = 8 };
struct explore_logit {
    uint32_t token; /* UINT32_MAX: there are no more */
    float value;
};
struct explore_logits {
    struct explore_logit up[EXPLORE_LOGITS], down[EXPLORE_LOGITS]; /* by falling and by rising value */
};

struct exploration {
    const char *model_path;
    struct cli_paths data;
    const hsae_model *model;
    const hsae_explorer *explorer;
    const struct labels *labels;
    const char *title;                   /* NULL: the model's path */
    const struct explore_logits *logits; /* of all levels' features, one after the other; NULL: without */
    const json_t *vocabulary;            /* array of strings: their tokens */
};

/* page.c: the page, one HTML file. */
int explore_write_page(const struct exploration *exploration, const char *path, uint64_t *bytes);
/* figure.c: the tree under one feature as SVG. 0: a width for 58 characters a box, four levels, 4, 3 and 2 children. */
enum { EXPLORE_FIGURE_CHILDREN = 64 /* at most */ };
struct explore_figure {
    uint32_t level, feature;
    double width; /* points */
    uint32_t depth, children;
    uint32_t examples; /* contexts of a box */
};
int explore_write_figure(const struct exploration *exploration, const struct explore_figure *shape, const char *path, uint64_t *bytes);
/* neighbours.c: of all levels' features, one after the other, [features, EXPLORE_NEIGHBOURS], by falling cosine; cosine 0: none. NULL after
 * a note where there are too many features to compare; free it. */
enum { EXPLORE_NEIGHBOURS = 5 };
struct explore_neighbour {
    uint32_t level, feature;
    float cosine;
};
int explore_find_neighbours(const hsae_model *model, struct explore_neighbour **out);
/* a . b */
float explore_product(const float *a, const float *b, uint32_t dim);
/* lens.c: from the unembedding, a row a token. NULL after a warning where it is too much work; free it. */
int explore_find_logits(const hsae_model *model, const hsae_dataset *unembedding, struct explore_logits **out);
/* export.c: DIR/level-L/batch-K.json as SAEDashboard writes them for Neuronpedia, with the keys parent and children added. */
int explore_write_neuronpedia(const struct exploration *exploration, const char *folder, uint64_t *bytes);
/* `count` pairs of parent and child and as many random ones, for a judge. */
int explore_write_pairs(const struct exploration *exploration, uint64_t count, const char *path, uint64_t *bytes);

/* explore_page_text.c, made at build time: the page before and after the data. */
extern const char explore_page_head[], explore_page_tail[];

#endif
