/* SPDX-License-Identifier: MIT */
/* Training that is no longer finite: noticed in the figures of a step or in a value to be saved, explained, and ended. */
#include "base/context.h"
#include "data/rows.h"
#include "order.h"
#include "trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row whose norm is so many times the median of its batch's can do what no learning rate would undo. The largest rows of real data (first
 * tokens, attention sinks) are at some tens of the median. */
static const double STANDS_OUT = 1000;

/* Rows that are looked at at a time. */
enum { BLOCK_ROWS = 64 };

/* The row of one or several batches whose norm is the most times the median of its batch's. */
struct suspect {
    uint64_t row; /* of the data set */
    double norm, ratio;
};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Norms of the rows of a step's batch after normalisation; 0 where a row is left out. `block` has room for BLOCK_ROWS
 * rows. */
static hsae_status batch_norms(const hsae_trainer *trainer, uint64_t step, float *block, uint64_t *rows, double *norms)
{
    const struct device_model *device_model = &trainer->device_model;
    const uint64_t first = (step - 1) * device_model->batch, all = hsae_dataset_rows(trainer->data);
    const struct row_rule rule = hsae_row_rule(&trainer->config);
    enum row_verdict verdicts[BLOCK_ROWS];
    hsae_status status = HSAE_OK;
    for (uint32_t k = 0; k < device_model->batch; k++)
        rows[k] = hsae_order_row(trainer->config.order, trainer->config.seed, first + k, all);
    for (uint32_t at = 0, count; at < device_model->batch && !status; at += count) {
        count = device_model->batch - at < BLOCK_ROWS ? device_model->batch - at : BLOCK_ROWS;
        status = hsae_dataset_read_any(trainer->data, rows + at, count, block);
        if (!status)
            hsae_rows_judge(&rule, block, count, device_model->dim, verdicts);
        for (uint32_t r = 0; r < count && !status; r++) {
            double squares = 0;
            for (uint32_t k = 0; k < device_model->dim; k++) {
                double off = (double)block[(size_t)r * device_model->dim + k] - trainer->mean[k];
                squares += off * off;
            }
            norms[at + r] = hsae_row_left_out(verdicts[r]) ? 0 : trainer->scale * sqrt(squares);
        }
    }
    return status;
}

static void look_at_batch(const hsae_trainer *trainer, uint64_t step, float *block, uint64_t *rows, double *norms, struct suspect *suspect)
{
    const uint32_t count = trainer->device_model.batch;
    uint32_t largest = 0;
    if (batch_norms(trainer, step, block, rows, norms))
        return;
    for (uint32_t k = 1; k < count; k++)
        if (norms[k] > norms[largest])
            largest = k;
    struct suspect found = {rows[largest], norms[largest], 0};
    qsort(norms, count, sizeof *norms, compare_doubles);
    double median = norms[count / 2];
    found.ratio = found.norm > 0 ? found.norm / median : 0;
    if (found.ratio > suspect->ratio)
        *suspect = found;
}

/* Looks at the batches of `step`, of the step before, whose update the figures of `step` show, and of the step with the largest loss. */
static struct suspect find_suspect(const hsae_trainer *trainer, uint64_t step)
{
    const uint64_t steps[] = {step, step - 1, trainer->worst.step};
    struct suspect suspect = {0};
    float *block = malloc((size_t)BLOCK_ROWS * trainer->device_model.dim * sizeof *block);
    uint64_t *rows = malloc(trainer->device_model.batch * sizeof *rows);
    double *norms = malloc(trainer->device_model.batch * sizeof *norms);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && block && rows && norms; i++)
        if (steps[i] >= 1)
            look_at_batch(trainer, steps[i], block, rows, norms, &suspect);
    free(block);
    free(rows);
    free(norms);
    return suspect;
}

/* Keys that explain a divergence better than the learning rate, where their values are far from the usual ones. */
static void choose_key(const hsae_config *config, hsae_divergence *divergence)
{
    divergence->key = "lr";
    if (config->lr > 1)
        return;
    if (config->rho > 1) {
        divergence->key = "rho";
    } else if (config->bandwidth < 1e-4) {
        divergence->key = "bandwidth";
        divergence->raise = true;
    } else if (config->adam_eps < 1e-12) {
        divergence->key = "adam_eps";
        divergence->raise = true;
    }
}

bool hsae_may_overflow(const hsae_trainer *trainer, uint64_t step)
{
    const hsae_config *config = &trainer->config;
    hsae_divergence divergence = {0};
    double target = config->target_l0[0];
    for (uint32_t l = 1; l < config->level_count; l++)
        target = fmin(target, config->target_l0[l]);
    choose_key(config, &divergence);
    return config->lr > 1 || config->lambda_init * trainer->device_model.dim / target > 1e6 || strcmp(divergence.key, "lr") != 0 ||
           (trainer->data && find_suspect(trainer, step).ratio > STANDS_OUT);
}

hsae_status hsae_diverge(hsae_trainer *trainer, uint64_t step, uint32_t level, const char *what, const char *key)
{
    hsae_divergence *divergence = &trainer->divergence;
    struct suspect suspect = {0};
    char where[48] = "";
    hsae_device_wait(trainer->device_model.device, 0);
    for (int f = 0; f < HSAE_IN_FLIGHT; f++)
        trainer->frame[f].ticket = 0;
    trainer->step = step;
    *divergence = (hsae_divergence){.step = step, .level = level, .key = key};
    if (level != HSAE_NO_LEVEL)
        snprintf(where, sizeof where, ", level %" PRIu32, level);
    if (trainer->data)
        suspect = find_suspect(trainer, step);
    if (suspect.ratio > STANDS_OUT) {
        divergence->raise = trainer->config.max_norm == 0;
        divergence->key = divergence->raise ? "max_norm" : NULL;
        divergence->file = hsae_dataset_place(trainer->data, suspect.row, &divergence->row)->path;
        return hsae_fail(trainer->context, HSAE_ERROR_DIVERGED,
                         "the training diverged at step %" PRIu64 "%s: %s; %s: row %" PRIu64
                         " did it, with %.3g times the norm of the rows around it: leave the row out%s",
                         step, where, what, divergence->file, divergence->row, suspect.ratio,
                         divergence->raise ? ", as max_norm 10 does" : "");
    }
    if (!key)
        choose_key(&trainer->config, divergence);
    return hsae_fail(trainer->context, HSAE_ERROR_DIVERGED, "the training diverged at step %" PRIu64 "%s: %s; %s %s", step, where, what,
                     divergence->raise ? "raise" : "lower", divergence->key);
}

hsae_status hsae_refuse_diverged(const hsae_trainer *trainer)
{
    return hsae_fail(trainer->context, HSAE_ERROR_DIVERGED,
                     "the training diverged at step %" PRIu64 ": this trainer neither trains nor saves any more; go on from a checkpoint",
                     trainer->divergence.step);
}

/* A figure that each level has in the status words. */
static const struct {
    uint32_t word;
    const char *name;
} figures[] = {
    {REPORT_RECONSTRUCTION, "reconstruction loss"},
    {REPORT_L0, "L0"},
    {REPORT_CONSTRAINT, "structural constraint"},
    {REPORT_LAMBDA, "L0 penalty (lambda)"},
};

hsae_status hsae_step_check(hsae_trainer *trainer, const u32 words[REPORT_WORDS])
{
    const uint64_t step = words[REPORT_STEP];
    const double variance = bits_f32(words[REPORT_VARIANCE]);
    double loss = 0;
    char what[96];
    if (trainer->unchecked)
        return HSAE_OK;
    for (uint32_t l = 0; l < trainer->device_model.levels; l++)
        for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
            double value = bits_f32(words[REPORT_LEVELS + l * REPORT_LEVEL_WORDS + figures[i].word]);
            loss += figures[i].word == REPORT_RECONSTRUCTION ? value : 0;
            if (isfinite(value))
                continue;
            snprintf(what, sizeof what, "the %s is %g", figures[i].name, isnan(value) ? fabs(value) : value);
            bool penalty = figures[i].word == REPORT_LAMBDA;
            return hsae_diverge(trainer, step, l, what, !penalty ? NULL : step == 1 ? "lambda_init" : "sparsity_kappa");
        }
    if (!isfinite(variance)) {
        snprintf(what, sizeof what, "the variance of the batch is %g", isnan(variance) ? fabs(variance) : variance);
        return hsae_diverge(trainer, step, HSAE_NO_LEVEL, what, NULL);
    }
    if (!trainer->worst.step || loss > trainer->worst.loss) {
        trainer->worst.step = step;
        trainer->worst.loss = loss;
    }
    return HSAE_OK;
}

/* Words of feature_scalars that are numbers, which go wrong together with the feature's rows. */
static const struct {
    uint32_t word;
    const char *name;
} scalars[] = {
    {SCALAR_BIAS, "encoder bias"},
    {SCALAR_THRESHOLD, "threshold"},
    {SCALAR_LOG_THRESHOLD, "log threshold"},
    {SCALAR_BIAS_V, "second moment of the encoder bias"},
    {SCALAR_LOG_THRESHOLD_V, "second moment of the log threshold"},
};

hsae_status hsae_scalars_check(hsae_trainer *trainer, uint64_t step)
{
    const uint32_t features = trainer->device_model.all_features;
    const uint64_t bytes = (uint64_t)features * SCALAR_WORDS * sizeof(u32);
    u32 *feature_scalars = malloc(bytes);
    char what[96];
    hsae_status status = feature_scalars
                             ? hsae_trainer_read_features(trainer, FEATURE_SCALARS, feature_scalars)
                             : hsae_fail_memory(trainer->context, bytes, "smaller levels", "the scalars of %" PRIu32 " features", features);
    for (uint32_t l = 0, at = 0; l < trainer->config.level_count && !status; l++)
        for (uint32_t number = 0; number < trainer->config.levels[l] && !status; number++, at++)
            for (size_t i = 0; i < sizeof scalars / sizeof *scalars && !status; i++) {
                double value = bits_f32(feature_scalars[(size_t)at * SCALAR_WORDS + scalars[i].word]);
                if (isfinite(value) && (value > 0 || scalars[i].word != SCALAR_THRESHOLD))
                    continue;
                snprintf(what, sizeof what, "the %s of feature %" PRIu32 " is %g", scalars[i].name, number,
                         isnan(value) ? fabs(value) : value);
                status = hsae_diverge(trainer, step, l, what, NULL);
            }
    free(feature_scalars);
    return status;
}

bool hsae_trainer_divergence(const hsae_trainer *trainer, hsae_divergence *out)
{
    if (!trainer || !out)
        return false;
    *out = trainer->divergence;
    return trainer->divergence.step > 0;
}
