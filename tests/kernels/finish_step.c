/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

/* Which of both controllers a case tests. */
static bool by_thresholds(const struct fixture *w)
{
    return w->size.batch % 2 == 0;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, finish_step, .levels = w->size.levels, .batch = w->size.batch, .padded = w->padded, .slices = w->size.slices,
             .features = w->features, .stride = w->stride, .rho = w->rho, .one_minus_momentum = 0.02f, .eta = 0.01f, .kappa = 0.003f,
             .gain = by_thresholds(w) ? 0.1f : 0, .penalty = 2, .bandwidth = w->bandwidth);
    JOB_BIND(job, finish_step, .level_info = &w->level_info, .loss = &w->loss, .feature_sums = &w->feature_sums,
             .active_count = &w->active_count, .squares = &w->squares, .starts = &w->starts, .last_fired = &w->last_fired,
             .step_state = &w->step_state, .step_report = &w->step_report, .feature_scalars = &w->feature_scalars);
    job_groups_exact(job, w->size.levels);
}

/* rho / B (sum of FEATURE_SUM_OWN over the level - sum of FEATURE_SUM_PARENT over the next). */
static double bound_constraint(const struct fixture *w, u32 level)
{
    struct sum sum = {0};
    for (u32 i = w->first[level]; i < w->first[level + 1]; i++)
        sum_add(&sum, words_f32(&w->feature_sums, (size_t)i * FEATURE_SUM_WORDS + FEATURE_SUM_OWN), 0);
    for (u32 i = w->first[level + 1]; level + 1 < w->size.levels && i < w->first[level + 2]; i++)
        sum_add(&sum, -words_f32(&w->feature_sums, (size_t)i * FEATURE_SUM_WORDS + FEATURE_SUM_PARENT), 0);
    double share = (double)w->rho / w->size.batch;
    return share * sum_estimate(&sum).off + bound_ulps(4, share * sum.value);
}

/* Of a level whose shift is off by so much. */
static void bound_thresholds(const struct fixture *w, const struct check_job *job, u32 level, double shift_off)
{
    const u32 *expected = job->expected[SLOT(finish_step, feature_scalars)];
    f32 *off = job->tolerance[SLOT(finish_step, feature_scalars)];
    for (size_t t = w->first[level] * SCALAR_WORDS; t < w->first[level + 1] * SCALAR_WORDS; t += SCALAR_WORDS) {
        double log_threshold = bits_f32(expected[t + SCALAR_LOG_THRESHOLD]), threshold = bits_f32(expected[t + SCALAR_THRESHOLD]);
        off[t + SCALAR_LOG_THRESHOLD] = (f32)(shift_off + bound_ulps(1, log_threshold));
        off[t + SCALAR_THRESHOLD] = (f32)(threshold * bound_exp(log_threshold, off[t + SCALAR_LOG_THRESHOLD]));
        off[t + SCALAR_CUT] = (f32)(off[t + SCALAR_THRESHOLD] + bound_ulps(2, threshold + w->bandwidth));
    }
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    if (fixture_halted(w))
        return;
    f32 *step_state = job->tolerance[SLOT(finish_step, step_state)], *status = job->tolerance[SLOT(finish_step, step_report)];
    status[REPORT_VARIANCE] = (f32)bound_sum(w->stride, bits_f32(job->expected[SLOT(finish_step, step_report)][REPORT_VARIANCE]));
    for (u32 l = 0; l < w->size.levels; l++) {
        u32 at = STATE_LEVELS + l * STATE_LEVEL_WORDS, figures = REPORT_LEVELS + l * REPORT_LEVEL_WORDS;
        const u32 *expected = job->expected[SLOT(finish_step, step_report)] + figures;
        f32 reconstruction = bits_f32(expected[REPORT_RECONSTRUCTION]), l0 = bits_f32(expected[REPORT_L0]);
        f32 average = words_f32(&w->step_state, at + STATE_AVERAGE),
            lambda = bits_f32(job->expected[SLOT(finish_step, step_state)][at + STATE_LAMBDA]);
        status[figures + REPORT_RECONSTRUCTION] =
            (f32)(bound_sum(w->size.batch * w->size.slices, reconstruction) + bound_ulps(4, reconstruction));
        status[figures + REPORT_L0] = (f32)bound_ulps(4, l0);
        status[figures + REPORT_CONSTRAINT] = (f32)bound_constraint(w, l);
        step_state[at + STATE_AVERAGE] = (f32)bound_ulps(6, fabs(average) + l0);
        step_state[at + STATE_LAMBDA] = (f32)bound_ulps(2, lambda);
        if (by_thresholds(w)) { /* the shift's relative L0 is off by what L0 is, and by its own division */
            double shift = bits_f32(job->expected[SLOT(finish_step, step_state)][at + STATE_SHIFT]), off = 0.2 * bound_ulps(16, 1);
            step_state[at + STATE_SHIFT] = (f32)off;
            bound_thresholds(w, job, l, off);
            step_state[at + STATE_LAMBDA] = (f32)(lambda * bound_exp(shift, off) + bound_ulps(8, lambda));
        }
    }
}

const struct check_kernel hsae_check_finish_step = {.launches = launches_one, .launch = launch, .bounds = bounds};
