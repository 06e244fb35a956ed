/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, shift_thresholds, .features = w->features, .levels = w->size.levels, .bandwidth = w->bandwidth);
    JOB_BIND(job, shift_thresholds, .level_info = &w->level_info, .step_state = &w->step_state, .feature_scalars = &w->feature_scalars);
    job_items(job, w->features);
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    const u32 *expected = job->expected[SLOT(shift_thresholds, feature_scalars)];
    f32 *off = job->tolerance[SLOT(shift_thresholds, feature_scalars)];
    for (size_t t = 0; t < (size_t)w->features * SCALAR_WORDS && !fixture_halted(w); t += SCALAR_WORDS) {
        double log_threshold = bits_f32(expected[t + SCALAR_LOG_THRESHOLD]), threshold = bits_f32(expected[t + SCALAR_THRESHOLD]);
        off[t + SCALAR_THRESHOLD] = (f32)(threshold * bound_exp(log_threshold, 0));
        off[t + SCALAR_CUT] = (f32)(off[t + SCALAR_THRESHOLD] + bound_ulps(2, threshold + w->bandwidth));
    }
}

const struct check_kernel hsae_check_shift_thresholds = {.launches = launches_one, .launch = launch, .bounds = bounds};
