/* SPDX-License-Identifier: MIT */
#include "metrics.h"
#include "base/context.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct level_counts {
    uint32_t features;
    const int32_t *parent; /* NULL at level 0 */
    uint32_t *children;    /* [n], how many */
    uint64_t *fired;       /* [n], samples on which the feature was active */
    uint64_t *joint;       /* [n], samples on which it and its parent were */
    /* The last sample (counted from 1) on which the feature was active, and on which one of its children was. */
    uint64_t *own_stamp, *child_stamp;
    double *lift;        /* [n], room for those of the pairs */
    uint64_t active;     /* sum over samples */
    uint64_t mismatches; /* of this level and the next, sum over samples */
    double residual;     /* sum over samples */
    double legacy;       /* sum of 1 - residual / deviation */
};

enum { FEATURE_BYTES = sizeof(uint32_t) + 4 * sizeof(uint64_t) + sizeof(double) };

struct hsae_metrics {
    const hsae_model *model;
    uint32_t level_count;
    uint64_t samples;
    uint64_t off_mean; /* samples whose deviation is not 0 */
    double deviation;
    struct level_counts levels[HSAE_MAX_LEVELS];
};

hsae_status hsae_metrics_create(hsae_context *context, const hsae_model *model, struct hsae_metrics **out)
{
    *out = NULL;
    struct hsae_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        goto error;
    metrics->model = model;
    metrics->level_count = hsae_model_config(model)->level_count;
    for (uint32_t l = 0; l < metrics->level_count; l++) {
        struct level_counts *level = &metrics->levels[l];
        hsae_level shape = hsae_model_level(model, l);
        level->features = shape.features;
        level->parent = shape.parent;
        level->children = calloc(shape.features, sizeof *level->children);
        level->fired = calloc(shape.features, sizeof *level->fired);
        level->joint = calloc(shape.features, sizeof *level->joint);
        level->own_stamp = calloc(shape.features, sizeof *level->own_stamp);
        level->child_stamp = calloc(shape.features, sizeof *level->child_stamp);
        level->lift = calloc(shape.features, sizeof *level->lift);
        if (!level->children || !level->fired || !level->joint || !level->own_stamp || !level->child_stamp || !level->lift)
            goto error;
        for (uint32_t j = 0; level->parent && j < level->features; j++)
            if (level->parent[j] >= 0)
                level[-1].children[level->parent[j]]++;
    }
    *out = metrics;
    return HSAE_OK;
error:
    hsae_metrics_free(&metrics);
    uint64_t features = 0;
    for (uint32_t l = 0; l < hsae_model_config(model)->level_count; l++)
        features += hsae_model_level(model, l).features;
    return hsae_fail_memory(context, features * FEATURE_BYTES, NULL, "the counts of an evaluation of %" PRIu64 " features", features);
}

void hsae_metrics_free(struct hsae_metrics **metrics)
{
    if (!metrics || !*metrics)
        return;
    for (uint32_t l = 0; l < HSAE_MAX_LEVELS; l++) {
        struct level_counts *level = &(*metrics)->levels[l];
        free(level->children);
        free(level->fired);
        free(level->joint);
        free(level->own_stamp);
        free(level->child_stamp);
        free(level->lift);
    }
    free(*metrics);
    *metrics = NULL;
}

/* One sample at one level; the level above has been counted already. */
static void count_active(struct level_counts *level, uint64_t sample, const uint32_t *indices, uint32_t count)
{
    level->active += count;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t j = indices[k];
        level->fired[j]++;
        level->own_stamp[j] = sample;
        level->mismatches += level->children[j] > 0; /* until a child turns out to be active */
        if (!level->parent || level->parent[j] < 0)
            continue;
        struct level_counts *above = level - 1;
        uint32_t i = (uint32_t)level->parent[j];
        bool together = above->own_stamp[i] == sample;
        level->joint[j] += together;
        if (above->child_stamp[i] != sample) { /* the first active child */
            above->child_stamp[i] = sample;
            if (together)
                above->mismatches--;
            else
                above->mismatches++;
        }
    }
}

void hsae_metrics_add(struct hsae_metrics *metrics, uint32_t rows, const bool *keep, const struct hsae_active *active,
                      const double *const *residual, const double *deviation)
{
    for (uint32_t k = 0; k < rows; k++) {
        if (keep && !keep[k])
            continue;
        metrics->samples++;
        metrics->deviation += deviation[k];
        metrics->off_mean += deviation[k] > 0;
        for (uint32_t l = 0; l < metrics->level_count; l++) {
            struct level_counts *level = &metrics->levels[l];
            const uint32_t *indptr = active[l].indptr;
            count_active(level, metrics->samples, active[l].indices + indptr[k], indptr[k + 1] - indptr[k]);
            level->residual += residual[l][k];
            if (deviation[k] > 0)
                level->legacy += 1 - residual[l][k] / deviation[k];
        }
    }
}

/* NaN where there is nothing to divide by. */
static double ratio(double sum, double count)
{
    return count > 0 ? sum / count : (double)NAN;
}

double hsae_edge_phi(const struct edge_counts *counts)
{
    double samples = (double)counts->samples, child = (double)counts->child, parent = (double)counts->parent;
    double spread = sqrt(parent * (samples - parent)) * sqrt(child * (samples - child));
    return ratio(samples * (double)counts->joint - parent * child, spread);
}

double hsae_edge_cosine(const hsae_model *model, uint32_t level, uint32_t child)
{
    const hsae_level own = hsae_model_level(model, level), above = hsae_model_level(model, level - 1);
    const size_t dim = hsae_model_dim(model), parent = (size_t)own.parent[child];
    const float *a = own.decoder_weight + child * dim, *b = above.decoder_weight + parent * dim;
    double product = 0, a_square = 0, b_square = 0;
    for (size_t k = 0; k < dim; k++) {
        product += (double)a[k] * b[k];
        a_square += (double)a[k] * a[k];
        b_square += (double)b[k] * b[k];
    }
    return ratio(product, sqrt(a_square * b_square));
}

bool hsae_is_duplicate(double cosine, double phi)
{
    return cosine > HSAE_DUPLICATE_COSINE && phi > HSAE_DUPLICATE_PHI;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts them. */
static double median(double *values, size_t count)
{
    if (!count)
        return (double)NAN;
    qsort(values, count, sizeof *values, compare);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static void pair_result(const struct hsae_metrics *metrics, uint32_t l, hsae_pair_metrics *out)
{
    const struct level_counts *below = &metrics->levels[l], *above = below - 1;
    const double samples = (double)metrics->samples;
    double given_child = 0, given_parent = 0;
    uint64_t with_child = 0, with_parent = 0, with_both = 0, duplicates = 0;
    *out = (hsae_pair_metrics){.hamming = ratio((double)above->mismatches, samples)};
    for (uint32_t j = 0; j < below->features; j++) {
        if (below->parent[j] < 0)
            continue;
        const struct edge_counts counts = {metrics->samples, below->fired[j], above->fired[below->parent[j]], below->joint[j]};
        double joint = (double)counts.joint;
        out->assigned++;
        if (counts.child) {
            given_child += joint / (double)counts.child;
            duplicates += hsae_is_duplicate(hsae_edge_cosine(metrics->model, l, j), hsae_edge_phi(&counts));
            with_child++;
        }
        if (counts.parent) {
            given_parent += joint / (double)counts.parent;
            with_parent++;
        }
        if (counts.child && counts.parent)
            below->lift[with_both++] = joint * samples / ((double)counts.child * (double)counts.parent);
    }
    for (uint32_t i = 0; i < above->features; i++)
        out->largest_family = above->children[i] > out->largest_family ? above->children[i] : out->largest_family;
    out->p_parent_given_child = ratio(given_child, (double)with_child);
    out->p_child_given_parent = ratio(given_parent, (double)with_parent);
    out->lift = median(below->lift, with_both);
    out->duplicates = ratio((double)duplicates, (double)with_child);
    out->largest_share = ratio((double)out->largest_family, (double)out->assigned);
}

/* The mean of a figure, a double at `offset` of each of `count` structs of `size` bytes, without NaNs. */
static double mean(const void *structs, size_t size, uint32_t count, size_t offset)
{
    double sum = 0, existing = 0;
    for (uint32_t i = 0; i < count; i++) {
        double figure;
        memcpy(&figure, (const char *)structs + i * size + offset, sizeof figure);
        if (!isnan(figure)) {
            sum += figure;
            existing++;
        }
    }
    return ratio(sum, existing);
}

/* The bin of a feature that is active on `fired` of the samples; a share at the end of a bin is in it whatever the rounding. */
static uint32_t density_bin(uint64_t fired, double samples)
{
    double bin = floor(-4 * log10((double)fired / samples) + 1e-9);
    return bin < HSAE_DENSITY_BINS - 1 ? (uint32_t)bin : HSAE_DENSITY_BINS - 1;
}

void hsae_metrics_result(const struct hsae_metrics *metrics, hsae_evaluation *out)
{
    uint32_t levels = metrics->level_count, pairs = levels - 1;
    double samples = (double)metrics->samples;
    *out = (hsae_evaluation){.tokens = metrics->samples, .level_count = levels};
    for (uint32_t l = 0; l < levels; l++) {
        const struct level_counts *level = &metrics->levels[l];
        uint32_t dead = 0;
        for (uint32_t i = 0; i < level->features; i++) {
            dead += level->fired[i] == 0;
            if (level->fired[i])
                out->density[l][density_bin(level->fired[i], samples)]++;
        }
        out->levels[l] = (hsae_level_metrics){
            .l0 = ratio((double)level->active, samples),
            .dead_fraction = samples > 0 ? ratio(dead, level->features) : (double)NAN,
            .variance_explained = 1 - ratio(level->residual, metrics->deviation),
            .variance_explained_legacy = ratio(level->legacy, (double)metrics->off_mean),
        };
        if (l > 0) {
            pair_result(metrics, l, &out->pairs[l - 1]);
            out->mean_pair.assigned += out->pairs[l - 1].assigned;
            if (out->pairs[l - 1].largest_family > out->mean_pair.largest_family)
                out->mean_pair.largest_family = out->pairs[l - 1].largest_family;
        }
    }
#define LEVEL_MEAN(figure) mean(out->levels, sizeof *out->levels, levels, offsetof(hsae_level_metrics, figure))
#define PAIR_MEAN(figure)  mean(out->pairs, sizeof *out->pairs, pairs, offsetof(hsae_pair_metrics, figure))
    out->mean_level.l0 = LEVEL_MEAN(l0);
    out->mean_level.dead_fraction = LEVEL_MEAN(dead_fraction);
    out->mean_level.variance_explained = LEVEL_MEAN(variance_explained);
    out->mean_level.variance_explained_legacy = LEVEL_MEAN(variance_explained_legacy);
    out->mean_pair.hamming = PAIR_MEAN(hamming);
    out->mean_pair.p_parent_given_child = PAIR_MEAN(p_parent_given_child);
    out->mean_pair.p_child_given_parent = PAIR_MEAN(p_child_given_parent);
    out->mean_pair.lift = PAIR_MEAN(lift);
    out->mean_pair.duplicates = PAIR_MEAN(duplicates);
    out->mean_pair.largest_share = PAIR_MEAN(largest_share);
#undef LEVEL_MEAN
#undef PAIR_MEAN
}
