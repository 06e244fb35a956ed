/* SPDX-License-Identifier: MIT */
#include "ref.h"

#include <math.h>

static void report_halt(const u32 *step_state, u32 level_info, u32 *step_report)
{
    step_report[REPORT_STEP] = step_state[STATE_STEP];
    step_report[REPORT_HALT] = step_state[STATE_HALT];
    step_report[REPORT_PAIRS] = step_state[STATE_PAIRS];
    for (u32 l = 0; l < level_info; l++)
        step_report[REPORT_LEVELS + l * REPORT_LEVEL_WORDS + REPORT_DEAD] = ref_dead(step_state, l);
}

static double reconstruction(const struct finish_step_args *p, const f32 *loss, u32 level)
{
    double sum = 0;
    for (u32 slice = 0; slice < p->slices; slice++)
        for (u32 s = 0; s < p->batch; s++)
            sum += loss[((size_t)level * p->slices + slice) * p->padded + s];
    return sum / p->batch;
}

/* |f_i - sum f_j|^2 = f_i . u_i - sum f_j . u_parent(j), summed over the level's parents and the level below. */
static double constraint(const struct finish_step_args *p, const u32 *level_info, const f32 *feature_sums, u32 level)
{
    double sum = 0;
    for (u32 i = ref_first(level_info, level); i < ref_first(level_info, level + 1); i++)
        sum += feature_sums[(size_t)i * FEATURE_SUM_WORDS + FEATURE_SUM_OWN];
    if (level + 1 < p->levels)
        for (u32 i = ref_first(level_info, level + 1); i < ref_first(level_info, level + 2); i++)
            sum -= feature_sums[(size_t)i * FEATURE_SUM_WORDS + FEATURE_SUM_PARENT];
    return p->rho * sum / p->batch;
}

/* Thresholds take up what L0 is off by at once. The penalty follows the sum of their shifts, until the thresholds' own gradients do the
 * same. */
static void control_shift(const struct finish_step_args *p, u32 *step_state, u32 level, f32 l0, f32 target)
{
    u32 *lambda_bits = ref_level(step_state, level, STATE_LAMBDA);
    double shift = p->gain * 2.0 * ((double)l0 - target) / ((double)l0 + target), middle = (double)p->penalty / target;
    double lambda = fmax(fmin(bits_f32(*lambda_bits) * exp(shift), middle * PENALTY_RANGE), middle / PENALTY_RANGE);
    *lambda_bits = bits_u32((f32)lambda);
    *ref_level(step_state, level, STATE_SHIFT) = bits_u32((f32)shift);
}

/* The penalty follows the sign of the L0's change against the wanted one; in float as on every device, since a sign decides. */
static void adapt_sparsity(const struct finish_step_args *p, u32 *step_state, u32 level, f32 l0, f32 target)
{
    u32 *average_bits = ref_level(step_state, level, STATE_AVERAGE), *lambda_bits = ref_level(step_state, level, STATE_LAMBDA);
    f32 average = bits_f32(*average_bits), lambda = bits_f32(*lambda_bits);
    if (average < 0.0f)
        average = l0;
    f32 change = p->one_minus_momentum * (l0 - average), wanted = -p->eta * (average - target);
    *average_bits = bits_u32(average + change);
    *ref_level(step_state, level, STATE_SHIFT) = 0;
    if (p->gain > 0)
        control_shift(p, step_state, level, l0, target);
    else
        *lambda_bits = bits_u32(change < wanted ? lambda * (1.0f - p->kappa) : lambda * (1.0f + p->kappa));
}

static void shift_thresholds(const struct finish_step_args *p, f32 shift, u32 *scalars)
{
    if (shift == 0 || (shift < 0 && bits_f32(scalars[SCALAR_THRESHOLD]) <= 0.5f * p->bandwidth))
        return;
    f32 log_threshold = bits_f32(scalars[SCALAR_LOG_THRESHOLD]) + shift, threshold = (f32)exp(log_threshold);
    scalars[SCALAR_LOG_THRESHOLD] = bits_u32(log_threshold);
    scalars[SCALAR_THRESHOLD] = bits_u32(threshold);
    scalars[SCALAR_CUT] = bits_u32(threshold - 0.5f * p->bandwidth);
}

void hsae_ref_finish_step(const struct hsae_finish_step_memory *m, const struct finish_step_args *p)
{
    const u32 *level_info = m->level_info, *active_count = m->active_count, *starts = m->starts;
    const f32 *loss = m->loss, *feature_sums = m->feature_sums, *squares = m->squares;
    u32 *last_fired = m->last_fired, *step_state = m->step_state, *step_report = m->step_report;
    if (ref_halted(step_state)) {
        report_halt(step_state, p->levels, step_report);
        return;
    }
    double variance = 0;
    for (u32 c = 0; c < p->stride; c++)
        variance += squares[c];
    step_report[REPORT_STEP] = step_state[STATE_STEP];
    step_report[REPORT_HALT] = 0;
    step_report[REPORT_PAIRS] = starts[p->features];
    step_report[REPORT_VARIANCE] = bits_u32((f32)variance);
    for (u32 l = 0; l < p->levels; l++) {
        u32 fired = *ref_level(step_state, l, STATE_OTHERS);
        for (u32 i = ref_first(level_info, l); i < ref_first(level_info, l + 1); i++) {
            fired += active_count[i];
            if (active_count[i])
                last_fired[i] = step_state[STATE_STEP];
        }
        f32 l0 = (f32)((double)fired / p->batch);
        u32 *figures = step_report + REPORT_LEVELS + l * REPORT_LEVEL_WORDS;
        figures[REPORT_RECONSTRUCTION] = bits_u32((f32)reconstruction(p, loss, l));
        figures[REPORT_L0] = bits_u32(l0);
        figures[REPORT_LAMBDA] = *ref_level(step_state, l, STATE_LAMBDA);
        figures[REPORT_CONSTRAINT] = bits_u32((f32)constraint(p, level_info, feature_sums, l));
        figures[REPORT_DEAD] = ref_dead(step_state, l);
        adapt_sparsity(p, step_state, l, l0, bits_f32(level_info[l * LEVEL_WORDS + LEVEL_TARGET]));
        for (u32 i = ref_first(level_info, l); i < ref_first(level_info, l + 1); i++)
            shift_thresholds(p, bits_f32(*ref_level(step_state, l, STATE_SHIFT)), m->feature_scalars + (size_t)i * SCALAR_WORDS);
    }
}
