/* SPDX-License-Identifier: MIT */
#include "forward.h"

#include "base/file.h"
#include "match.h"
#include <hsae/hsae.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 67, WHAT = 64 };

/* Rounding, as in match.c but without Adam and one pass long: 1.2e-7 * sqrt(61) * 10. A pre-activation that is ten times as far from its
 * threshold is on the same side of it everywhere. */
static const double TOLERANCE = 1e-5, MARGIN = 1e-4;

/* What both devices are given. */
struct inputs {
    const hsae_model *model;
    uint32_t levels, dim, count;
    float *rows; /* [count, dim] */
    hsae_dataset *dataset;
};

struct results {
    hsae_features features[HSAE_MAX_LEVELS];
    float *decoded; /* [levels][count, dim] */
    hsae_evaluation evaluation;
};

/* ---- rows ---- */

/* Whether every feature of a level is clearly active or clearly not. */
static bool clear_of_thresholds(const hsae_model *model, uint32_t level, const float *row)
{
    const hsae_level features = hsae_model_level(model, level);
    const float *mean = hsae_model_mean(model);
    const uint32_t dim = hsae_model_dim(model);
    for (uint32_t i = 0; i < features.features; i++) {
        double p = features.encoder_bias[i];
        for (uint32_t k = 0; k < dim; k++)
            p += (double)hsae_model_scale(model) * ((double)row[k] - mean[k]) * features.encoder_weight[(size_t)i * dim + k];
        if (fabs(p - features.threshold[i]) < MARGIN)
            return false;
    }
    return true;
}

static void choose_rows(struct inputs *inputs, const float *rows, uint32_t count)
{
    for (uint32_t r = 0; r < count; r++) {
        const float *row = rows + (size_t)r * inputs->dim;
        bool clear = true;
        for (uint32_t l = 0; l < inputs->levels && clear; l++)
            clear = clear_of_thresholds(inputs->model, l, row);
        if (clear)
            memcpy(inputs->rows + (size_t)inputs->count++ * inputs->dim, row, inputs->dim * sizeof *row);
    }
}

/* The rows as a data set, which is what an evaluation takes. It holds its file open. */
static hsae_status open_dataset(hsae_context *context, struct inputs *inputs)
{
    struct hsae_temporary temporary;
    struct hsae_output *output = NULL;
    hsae_status status = hsae_temporary_make(context, "the rows of a self-test", &temporary);
    if (status)
        return status;
    status = hsae_output_open(context, temporary.path, &output);
    if (!status)
        status = hsae_output_write(output, inputs->rows, (size_t)inputs->count * inputs->dim * sizeof *inputs->rows);
    if (!status)
        status = hsae_output_commit(&output);
    hsae_output_discard(&output);
    const char *path = temporary.path;
    const hsae_dataset_params params = {.paths = &path, .path_count = 1, .dim = inputs->dim, .dtype = HSAE_DTYPE_F32};
    if (!status)
        status = hsae_dataset_open(context, &params, &inputs->dataset);
    hsae_temporary_remove(&temporary);
    return status;
}

/* ---- sessions ---- */

/* Encodes, decodes and evaluates. Decodes `lists`, or its own where that is NULL. */
static hsae_status run(struct hsae_device *device, const struct inputs *inputs, const hsae_features *lists, struct results *out)
{
    const size_t size = (size_t)inputs->count * inputs->dim;
    hsae_session *session = NULL;
    out->decoded = malloc(inputs->levels * size * sizeof *out->decoded);
    hsae_status status = out->decoded ? hsae_session_create(device, inputs->model, BATCH, &session)
                                      : hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for the rows of a self-test");
    hsae_session_check(session, false); /* all of it is compared */
    if (!status)
        status = hsae_session_encode(session, inputs->rows, inputs->count, out->features);
    for (uint32_t l = 0; l < inputs->levels && !status; l++)
        status = hsae_session_decode(session, l, lists ? &lists[l] : &out->features[l], out->decoded + l * size);
    if (!status)
        status = hsae_session_evaluate(session, inputs->dataset, NULL, NULL, &out->evaluation);
    hsae_session_destroy(&session);
    return status;
}

static void free_results(struct results *results)
{
    for (size_t l = 0; l < HSAE_MAX_LEVELS; l++)
        hsae_features_free(&results->features[l]);
    free(results->decoded);
}

/* ---- comparing ---- */

static void note(double found, double *off, char *what, const char *name, uint32_t level)
{
    if (!(found <= *off)) {
        *off = found;
        snprintf(what, WHAT, "%s of level %u", name, (unsigned)level);
    }
}

static double features_off(const hsae_features *expected, const hsae_features *found)
{
    const uint64_t pairs = expected->indptr[expected->rows];
    if (memcmp(expected->indptr, found->indptr, (expected->rows + 1) * sizeof *expected->indptr) ||
        memcmp(expected->indices, found->indices, pairs * sizeof *expected->indices))
        return INFINITY;
    return hsae_floats_off(expected->values, found->values, pairs, TOLERANCE);
}

/* Of figures, which are of the size of 1. */
static double figure_off(double expected, double found)
{
    if (isnan(expected) && isnan(found))
        return 0;
    double off = fabs(expected - found) / (TOLERANCE * fmax(1, fabs(expected)));
    return isnan(off) ? INFINITY : off;
}

static double level_off(const hsae_level_metrics *expected, const hsae_level_metrics *found)
{
    return fmax(fmax(figure_off(expected->l0, found->l0), figure_off(expected->dead_fraction, found->dead_fraction)),
                fmax(figure_off(expected->variance_explained, found->variance_explained),
                     figure_off(expected->variance_explained_legacy, found->variance_explained_legacy)));
}

static double pair_off(const hsae_pair_metrics *expected, const hsae_pair_metrics *found)
{
    return fmax(figure_off(expected->hamming, found->hamming),
                fmax(figure_off(expected->p_parent_given_child, found->p_parent_given_child),
                     figure_off(expected->p_child_given_parent, found->p_child_given_parent)));
}

static double results_off(const struct inputs *inputs, const struct results *expected, const struct results *found, char *what)
{
    const size_t size = (size_t)inputs->count * inputs->dim;
    double off = 0;
    for (uint32_t l = 0; l < inputs->levels; l++) {
        note(features_off(&expected->features[l], &found->features[l]), &off, what, "activations", l);
        note(hsae_floats_off(expected->decoded + l * size, found->decoded + l * size, size, TOLERANCE), &off, what, "reconstructions", l);
        note(level_off(&expected->evaluation.levels[l], &found->evaluation.levels[l]), &off, what, "evaluation", l);
        if (l)
            note(pair_off(&expected->evaluation.pairs[l - 1], &found->evaluation.pairs[l - 1]), &off, what, "hierarchy's evaluation", l);
    }
    return off;
}

hsae_status hsae_forward_agreement(struct hsae_device *device, const hsae_model *model, const float *rows, uint32_t count, double *off,
                                   char *what)
{
    struct inputs inputs = {.model = model, .levels = hsae_model_config(model)->level_count, .dim = hsae_model_dim(model)};
    struct results expected = {0}, found = {0};
    hsae_device *reference = NULL;
    *off = 0;
    inputs.rows = malloc((size_t)count * inputs.dim * sizeof *inputs.rows);
    if (!inputs.rows)
        return hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for the rows of a self-test");
    choose_rows(&inputs, rows, count);
    hsae_status status = open_dataset(device->context, &inputs);
    if (!status)
        status = hsae_device_open(device->context, "ref", &reference);
    if (!status)
        status = run(reference, &inputs, NULL, &expected);
    if (!status)
        status = run(device, &inputs, expected.features, &found);
    if (!status)
        *off = results_off(&inputs, &expected, &found, what);
    hsae_device_close(&reference);
    hsae_dataset_close(&inputs.dataset);
    free_results(&expected);
    free_results(&found);
    free(inputs.rows);
    return status;
}
