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
    bool *has_children;    /* [n] */
    uint64_t *fired;       /* [n], samples on which the feature was active */
    uint64_t *joint;       /* [n], samples on which it and its parent were */
    /* The last sample (counted from 1) on which the feature was active, and on which one of its children was. */
    uint64_t *own_stamp, *child_stamp;
    uint64_t active;     /* sum over samples */
    uint64_t mismatches; /* of this level and the next, sum over samples */
    double residual;     /* sum over samples */
    double legacy;       /* sum of 1 - residual / deviation */
};

enum { FEATURE_BYTES = sizeof(bool) + 4 * sizeof(uint64_t) };

struct hsae_metrics {
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
    metrics->level_count = hsae_model_config(model)->level_count;
    for (uint32_t l = 0; l < metrics->level_count; l++) {
        struct level_counts *level = &metrics->levels[l];
        hsae_level shape = hsae_model_level(model, l);
        level->features = shape.features;
        level->parent = shape.parent;
        level->has_children = calloc(shape.features, sizeof *level->has_children);
        level->fired = calloc(shape.features, sizeof *level->fired);
        level->joint = calloc(shape.features, sizeof *level->joint);
        level->own_stamp = calloc(shape.features, sizeof *level->own_stamp);
        level->child_stamp = calloc(shape.features, sizeof *level->child_stamp);
        if (!level->has_children || !level->fired || !level->joint || !level->own_stamp || !level->child_stamp)
            goto error;
        for (uint32_t j = 0; level->parent && j < level->features; j++)
            if (level->parent[j] >= 0)
                level[-1].has_children[level->parent[j]] = true;
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
        free(level->has_children);
        free(level->fired);
        free(level->joint);
        free(level->own_stamp);
        free(level->child_stamp);
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
        level->mismatches += level->has_children[j]; /* until a child turns out to be active */
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

static void pair_result(const struct level_counts *below, uint64_t samples, hsae_pair_metrics *out)
{
    const struct level_counts *above = below - 1;
    double given_child = 0, given_parent = 0;
    uint64_t with_child = 0, with_parent = 0;
    *out = (hsae_pair_metrics){.hamming = ratio((double)above->mismatches, (double)samples)};
    for (uint32_t j = 0; j < below->features; j++) {
        if (below->parent[j] < 0)
            continue;
        uint64_t child = below->fired[j], parent = above->fired[below->parent[j]];
        double joint = (double)below->joint[j];
        out->assigned++;
        if (child) {
            given_child += joint / (double)child;
            with_child++;
        }
        if (parent) {
            given_parent += joint / (double)parent;
            with_parent++;
        }
    }
    out->p_parent_given_child = ratio(given_child, (double)with_child);
    out->p_child_given_parent = ratio(given_parent, (double)with_parent);
}

/* The mean of those that exist of one figure (a double at `offset`) of `count` structs of `size` bytes. */
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

void hsae_metrics_result(const struct hsae_metrics *metrics, hsae_evaluation *out)
{
    uint32_t levels = metrics->level_count, pairs = levels - 1;
    double samples = (double)metrics->samples;
    *out = (hsae_evaluation){.tokens = metrics->samples, .level_count = levels};
    for (uint32_t l = 0; l < levels; l++) {
        const struct level_counts *level = &metrics->levels[l];
        uint32_t dead = 0;
        for (uint32_t i = 0; i < level->features; i++)
            dead += level->fired[i] == 0;
        out->levels[l] = (hsae_level_metrics){
            .l0 = ratio((double)level->active, samples),
            .dead_fraction = samples > 0 ? ratio(dead, level->features) : (double)NAN,
            .variance_explained = 1 - ratio(level->residual, metrics->deviation),
            .variance_explained_legacy = ratio(level->legacy, (double)metrics->off_mean),
        };
        if (l > 0) {
            pair_result(level, metrics->samples, &out->pairs[l - 1]);
            out->mean_pair.assigned += out->pairs[l - 1].assigned;
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
#undef LEVEL_MEAN
#undef PAIR_MEAN
}
