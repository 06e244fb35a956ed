/* SPDX-License-Identifier: MIT */
/* Evaluation: the figures of a model on a data set, or on rows as they come. */
#include "base/context.h"
#include "data/dataset.h"
#include "metrics.h"
#include "session_state.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Host buffers of an evaluation. */
struct evaluation {
    hsae_left_out left_out;
    struct hsae_metrics *metrics;
    double *mean;      /* of the set, raw */
    double *deviation; /* [B] */
    double *residual;  /* [L][B] */
    uint32_t *indices; /* of a batch, all levels */
    float *loss;
};

static hsae_status check_width(const struct hsae_session *session, const hsae_dataset *dataset)
{
    return hsae_dataset_dim(dataset) == session->device_model.dim
               ? HSAE_OK
               : hsae_fail(session->context, HSAE_ERROR_DATA, "the data has vectors of width %" PRIu32 ", the model of width %" PRIu32,
                           hsae_dataset_dim(dataset), session->device_model.dim);
}

/* Shows the lists of the batch that was run last. */
static hsae_status show_batch(const struct hsae_session *session, uint64_t first, uint32_t rows, hsae_visit_fn visit, void *user)
{
    const struct device_model *device_model = &session->fitted;
    struct hsae_batch batch = {
        first, rows, device_model->levels, {NULL}, device_model->first, session->samples, session->batch, device_model->dim};
    for (uint32_t l = 0; l < device_model->levels; l++)
        batch.starts[l] = session->starts + (size_t)l * device_model->batch;
    return visit(user, &batch);
}

static hsae_status mean_of_set(struct hsae_session *session, const hsae_dataset *dataset, struct evaluation *evaluation)
{
    const struct device_model *device_model = &session->device_model;
    uint64_t total = hsae_dataset_rows(dataset);
    hsae_status status = HSAE_OK;
    for (uint64_t first = 0; first < total && !status; first += device_model->batch) {
        uint32_t count = total - first < device_model->batch ? (uint32_t)(total - first) : device_model->batch;
        status = hsae_batch_read(session, dataset, first, count, &evaluation->left_out);
        for (size_t k = 0; k < (size_t)count * device_model->dim && !status; k++)
            if (session->keep[k / device_model->dim])
                evaluation->mean[k % device_model->dim] += session->batch[k];
    }
    const hsae_left_out *left_out = &evaluation->left_out;
    uint64_t kept = left_out->rows - left_out->norm - left_out->bad;
    for (uint32_t k = 0; k < device_model->dim; k++)
        evaluation->mean[k] /= (double)kept;
    if (!status && kept == 0)
        status = hsae_fail(session->context, HSAE_ERROR_DATA,
                           "%s: all %" PRIu64 " rows are left out (norm_limit %g): not the activations that the model was trained on? "
                           "max_norm 0 keeps rows of any norm",
                           hsae_dataset_path(dataset), total, session->rule.norm_limit);
    return status;
}

/* Squared deviations in normalised units, from the batch on the host. */
static void deviations(const struct hsae_session *session, struct evaluation *evaluation, uint32_t count)
{
    uint32_t dim = session->device_model.dim;
    double scale = session->model->scale;
    for (uint32_t r = 0; r < count; r++) {
        double sum = 0;
        for (uint32_t k = 0; k < dim; k++) {
            double off = session->batch[(size_t)r * dim + k] - evaluation->mean[k];
            sum += off * off;
        }
        evaluation->deviation[r] = scale * scale * sum;
    }
}

static hsae_status evaluate_batch(struct hsae_session *session, struct evaluation *evaluation, uint64_t first, uint32_t count)
{
    const struct device_model *device_model = &session->device_model;
    const double *residual[HSAE_MAX_LEVELS];
    struct hsae_active lists[HSAE_MAX_LEVELS];
    deviations(session, evaluation, count);
    hsae_status status = hsae_batch_run(session, count, true);
    uint64_t losses = (uint64_t)device_model->levels * device_model->slices * device_model->padded;
    if (!status)
        status = hsae_buffer_read(device_model->loss, 0, losses * sizeof(float), evaluation->loss);
    uint32_t *indices = status ? NULL : realloc(evaluation->indices, ((size_t)device_model->capacity + 1) * sizeof *indices);
    if (status || !indices)
        return status ? status
                      : hsae_fail_memory(session->context, ((uint64_t)device_model->capacity + 1) * sizeof *indices, FEWER_ROWS,
                                         "lists of %" PRIu32 " active features", device_model->capacity);
    evaluation->indices = indices;
    for (uint32_t l = 0; l < device_model->levels; l++) {
        const u32 *starts = session->starts + (size_t)l * device_model->batch;
        double *squares = evaluation->residual + (size_t)l * device_model->batch;
        for (uint32_t r = 0; r < count; r++) {
            squares[r] = 0;
            for (uint32_t s = 0; s < device_model->slices; s++)
                squares[r] += evaluation->loss[((size_t)l * device_model->slices + s) * device_model->padded + r];
            if (!isfinite(squares[r]))
                return hsae_fail(session->context, HSAE_ERROR_DATA,
                                 "row %" PRIu64 ": its reconstruction at level %" PRIu32 " overflows float32: leave the row out", first + r,
                                 l);
        }
        for (u32 k = starts[0]; k < starts[count]; k++)
            indices[k] = session->samples[2 * (size_t)k] - device_model->first[l];
        lists[l] = (struct hsae_active){starts, indices};
        residual[l] = squares;
    }
    const struct batch_check check = hsae_batch_check(session, count);
    if (session->fresh)
        status = hsae_check_squares(&check, session->keep, evaluation->residual);
    session->fresh = false;
    if (!status)
        hsae_metrics_add(evaluation->metrics, count, session->keep, lists, residual, evaluation->deviation);
    return status;
}

/* Free it also after a failure. */
static hsae_status create(const hsae_session *session, struct evaluation *evaluation)
{
    const struct device_model *device_model = &session->device_model;
    uint64_t losses = (uint64_t)device_model->levels * device_model->slices * device_model->padded;
    hsae_status status = hsae_metrics_create(session->context, session->model, &evaluation->metrics);
    evaluation->mean = calloc(device_model->dim, sizeof *evaluation->mean);
    evaluation->deviation = calloc(device_model->batch, sizeof *evaluation->deviation);
    evaluation->residual = calloc((size_t)device_model->levels * device_model->batch, sizeof *evaluation->residual);
    evaluation->loss = malloc(losses * sizeof *evaluation->loss);
    if (!status && (!evaluation->mean || !evaluation->deviation || !evaluation->residual || !evaluation->loss))
        status = hsae_fail_memory(session->context,
                                  losses * sizeof(float) +
                                      (device_model->dim + (device_model->levels + 1) * (uint64_t)device_model->batch) * sizeof(double),
                                  FEWER_ROWS, "the figures of %" PRIu32 " samples", device_model->batch);
    return status;
}

static void release(struct evaluation *evaluation)
{
    hsae_metrics_free(&evaluation->metrics);
    free(evaluation->mean);
    free(evaluation->deviation);
    free(evaluation->residual);
    free(evaluation->indices);
    free(evaluation->loss);
}

hsae_status hsae_session_evaluate_visit(hsae_session *session, const hsae_dataset *dataset, hsae_progress_fn progress, void *user,
                                        hsae_visit_fn visit, void *visit_user, hsae_evaluation *out)
{
    const struct device_model *device_model = &session->device_model;
    struct evaluation evaluation = {0};
    hsae_left_out again = {0};
    uint64_t total = hsae_dataset_rows(dataset);
    hsae_status status = check_width(session, dataset);
    if (status)
        return status;
    status = create(session, &evaluation);
    if (!status)
        status = mean_of_set(session, dataset, &evaluation);
    for (uint64_t first = 0; first < total && !status; first += device_model->batch) {
        uint32_t count = total - first < device_model->batch ? (uint32_t)(total - first) : device_model->batch;
        status = hsae_batch_read(session, dataset, first, count, &again);
        if (!status)
            status = evaluate_batch(session, &evaluation, first, count);
        if (!status && visit)
            status = show_batch(session, first, count, visit, visit_user);
        if (!status && progress && !progress(user, first + count, total))
            status = HSAE_CANCELLED;
    }
    if (!status)
        hsae_metrics_result(evaluation.metrics, out);
    if (!status)
        out->left_out = evaluation.left_out;
    release(&evaluation);
    return status;
}

hsae_status hsae_session_evaluate(hsae_session *session, const hsae_dataset *dataset, hsae_progress_fn progress, void *user,
                                  hsae_evaluation *out)
{
    HSAE_REQUIRE(session ? session->context : NULL, session, dataset, out);
    return hsae_session_evaluate_visit(session, dataset, progress, user, NULL, NULL, out);
}

hsae_status hsae_session_visit(hsae_session *session, const hsae_dataset *dataset, hsae_progress_fn progress, void *user,
                               hsae_visit_fn visit, void *visit_user)
{
    const struct device_model *device_model = &session->device_model;
    uint64_t total = hsae_dataset_rows(dataset);
    hsae_left_out left_out = {0};
    hsae_status status = check_width(session, dataset);
    for (uint64_t first = 0; first < total && !status; first += device_model->batch) {
        uint32_t count = total - first < device_model->batch ? (uint32_t)(total - first) : device_model->batch;
        status = hsae_batch_read(session, dataset, first, count, &left_out);
        if (!status)
            status = hsae_batch_run(session, count, false);
        if (!status)
            status = show_batch(session, first, count, visit, visit_user);
        if (!status && progress && !progress(user, first + count, total))
            status = HSAE_CANCELLED;
    }
    return status;
}

/* ---- rows as they come ---- */

/* Deviations are taken from the model's mean, as that of the rows is known at the end only: there the sum of the squared deviations from
 * the rows' own mean is less by n |mean of the rows - model's mean|^2. */
struct hsae_evaluator {
    hsae_context *context;
    hsae_session *session;
    struct evaluation evaluation;
    double *sum;      /* [d] of the kept rows' deviations, raw */
    double deviation; /* sum of the squared ones, normalised units */
};

hsae_status hsae_evaluator_create(hsae_session *session, hsae_evaluator **out)
{
    HSAE_REQUIRE(session ? session->context : NULL, session, out);
    const uint32_t dim = session->device_model.dim;
    hsae_evaluator *evaluator = calloc(1, sizeof *evaluator);
    *out = NULL;
    if (!evaluator)
        return hsae_fail(session->context, HSAE_ERROR_MEMORY, "out of memory for an evaluation");
    evaluator->context = session->context;
    evaluator->session = session;
    evaluator->sum = calloc(dim, sizeof *evaluator->sum);
    hsae_status status = create(session, &evaluator->evaluation);
    if (!status && !evaluator->sum)
        status = hsae_fail_memory(session->context, dim * sizeof *evaluator->sum, NULL, "a mean of width %" PRIu32, dim);
    for (uint32_t k = 0; k < dim && !status; k++)
        evaluator->evaluation.mean[k] = session->model->mean[k];
    if (status)
        hsae_evaluator_destroy(&evaluator);
    *out = evaluator;
    return status;
}

void hsae_evaluator_destroy(hsae_evaluator **evaluator)
{
    if (!evaluator || !*evaluator)
        return;
    release(&(*evaluator)->evaluation);
    free((*evaluator)->sum);
    free(*evaluator);
    *evaluator = NULL;
}

hsae_status hsae_evaluator_add(hsae_evaluator *evaluator, const void *raw, hsae_dtype dtype, uint64_t rows)
{
    HSAE_REQUIRE(evaluator ? evaluator->context : NULL, evaluator, raw);
    hsae_session *session = evaluator->session;
    struct evaluation *evaluation = &evaluator->evaluation;
    const uint32_t dim = session->device_model.dim, batch = session->device_model.batch;
    hsae_status status = HSAE_OK;
    if (!hsae_is_dtype(dtype))
        return hsae_fail_dtype(session->context, "hsae_evaluator_add", dtype);
    for (uint64_t first = 0; first < rows && !status; first += batch) {
        uint32_t count = rows - first < batch ? (uint32_t)(rows - first) : batch;
        status = hsae_batch_copy(session, raw, dtype, first, count, &evaluation->left_out);
        if (!status)
            status = evaluate_batch(session, evaluation, first, count);
        for (uint32_t r = 0; r < count && !status; r++) {
            if (!session->keep[r])
                continue;
            evaluator->deviation += evaluation->deviation[r];
            for (uint32_t k = 0; k < dim; k++)
                evaluator->sum[k] += session->batch[(size_t)r * dim + k] - evaluation->mean[k];
        }
    }
    return status;
}

hsae_status hsae_evaluator_result(const hsae_evaluator *evaluator, hsae_evaluation *out)
{
    HSAE_REQUIRE(evaluator ? evaluator->context : NULL, evaluator, out);
    const hsae_session *session = evaluator->session;
    hsae_metrics_result(evaluator->evaluation.metrics, out);
    out->left_out = evaluator->evaluation.left_out;
    if (out->tokens == 0)
        return hsae_fail(session->context, HSAE_ERROR_DATA, "no row was given, or all %" PRIu64 " are left out (norm_limit %g)",
                         out->left_out.rows, session->rule.norm_limit);
    double away = 0, n = (double)out->tokens, scale = session->model->scale;
    for (uint32_t k = 0; k < session->device_model.dim; k++)
        away += evaluator->sum[k] / n * (evaluator->sum[k] / n);
    double own = evaluator->deviation - n * scale * scale * away, factor = own > 0 ? evaluator->deviation / own : (double)NAN;
    for (uint32_t l = 0; l < out->level_count; l++) {
        out->levels[l].variance_explained = 1 - (1 - out->levels[l].variance_explained) * factor;
        out->levels[l].variance_explained_legacy = NAN;
    }
    out->mean_level.variance_explained = 1 - (1 - out->mean_level.variance_explained) * factor;
    out->mean_level.variance_explained_legacy = NAN;
    return HSAE_OK;
}
