/* SPDX-License-Identifier: MIT */
/* For each feature the others whose decoder rows point most nearly the same way, outside its family. */
#include "explore.h"

#include <stdlib.h>

/* One search costs this many multiply-adds at most: some ten seconds. */
#define MAX_WORK 1e10

struct all {
    const hsae_model *model;
    uint32_t dim, levels, count;
    const float **rows; /* [count], decoder rows of all levels */
    uint32_t first[HSAE_MAX_LEVELS + 1];
    uint32_t *level; /* [count] */
    int32_t *parent; /* [count], number of the parent; -1: none */
};

static bool related(const struct all *all, uint32_t a, uint32_t b)
{
    return all->parent[a] == (int32_t)b || all->parent[b] == (int32_t)a || (all->parent[a] >= 0 && all->parent[a] == all->parent[b]);
}

/* Keeps the largest cosines, ties by index. */
static void offer(struct explore_neighbour *list, struct explore_neighbour found)
{
    uint32_t at = EXPLORE_NEIGHBOURS;
    for (; at > 0 && list[at - 1].cosine < found.cosine; at--)
        if (at < EXPLORE_NEIGHBOURS)
            list[at] = list[at - 1];
    if (at < EXPLORE_NEIGHBOURS)
        list[at] = found;
}

/* Eight sums, so that the additions need not wait for each other. */
float explore_product(const float *a, const float *b, uint32_t dim)
{
    float sum[8] = {0};
    uint32_t k = 0;
    for (; k + 8 <= dim; k += 8)
        for (uint32_t i = 0; i < 8; i++)
            sum[i] += a[k + i] * b[k + i];
    for (; k < dim; k++)
        sum[0] += a[k] * b[k];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static bool list_features(struct all *all)
{
    uint32_t at = 0;
    for (uint32_t l = 0; l < all->levels; l++) {
        all->first[l] = all->count;
        all->count += hsae_model_level(all->model, l).features;
    }
    all->first[all->levels] = all->count;
    all->rows = calloc(all->count, sizeof *all->rows);
    all->level = calloc(all->count, sizeof *all->level);
    all->parent = calloc(all->count, sizeof *all->parent);
    if (!all->rows || !all->level || !all->parent)
        return false;
    for (uint32_t l = 0; l < all->levels; l++) {
        hsae_level level = hsae_model_level(all->model, l);
        for (uint32_t i = 0; i < level.features; i++, at++) {
            all->rows[at] = level.decoder_weight + (size_t)i * all->dim;
            all->level[at] = l;
            all->parent[at] = level.parent && level.parent[i] >= 0 ? (int32_t)all->first[l - 1] + level.parent[i] : -1;
        }
    }
    return true;
}

int explore_find_neighbours(const hsae_model *model, struct explore_neighbour **out)
{
    struct all all = {.model = model, .dim = hsae_model_dim(model), .levels = hsae_model_config(model)->level_count};
    struct explore_neighbour *found = NULL;
    *out = NULL;
    bool good = list_features(&all);
    double work = 0.5 * (double)all.count * all.count * all.dim;
    if (good && work <= MAX_WORK) {
        good = (found = calloc((size_t)all.count * EXPLORE_NEIGHBOURS, sizeof *found)) != NULL;
        for (uint32_t a = 0; good && a < all.count; a++)
            for (uint32_t b = a + 1; b < all.count; b++) {
                float cosine = explore_product(all.rows[a], all.rows[b], all.dim);
                if (related(&all, a, b))
                    continue;
                offer(found + (size_t)a * EXPLORE_NEIGHBOURS,
                      (struct explore_neighbour){all.level[b], b - all.first[all.level[b]], cosine});
                offer(found + (size_t)b * EXPLORE_NEIGHBOURS,
                      (struct explore_neighbour){all.level[a], a - all.first[all.level[a]], cosine});
            }
    } else if (good) {
        cli_note("neighbours by decoder are left out: %u features of width %u are too many to compare", all.count, all.dim);
    }
    free(all.rows);
    free(all.level);
    free(all.parent);
    *out = found;
    return good ? CLI_DONE : cli_out_of_memory();
}
