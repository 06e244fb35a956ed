/* SPDX-License-Identifier: MIT */
#include "ref.h"

static void report_halt(const u32 *control, u32 levels, u32 *status)
{
    status[STATUS_STEP] = control[CONTROL_STEP];
    status[STATUS_HALT] = control[CONTROL_HALT];
    status[STATUS_PAIRS] = control[CONTROL_PAIRS];
    for (u32 l = 0; l < levels; l++)
        status[STATUS_LEVELS + l * STATUS_LEVEL_WORDS + STATUS_DEAD] = ref_dead(control, l);
}

static double reconstruction(const struct control_args *p, const f32 *loss, u32 level)
{
    double sum = 0;
    for (u32 slice = 0; slice < p->slices; slice++)
        for (u32 s = 0; s < p->rows; s++)
            sum += loss[((size_t)level * p->slices + slice) * p->padded + s];
    return sum / p->rows;
}

/* |f_i - sum f_j|^2 = f_i . u_i - sum f_j . u_parent(j), summed over the level's parents and the level below. */
static double constraint(const struct control_args *p, const u32 *levels, const f32 *terms, u32 level)
{
    double sum = 0;
    for (u32 i = ref_first(levels, level); i < ref_first(levels, level + 1); i++)
        sum += terms[(size_t)i * TERM_WORDS + TERM_OWN];
    if (level + 1 < p->levels)
        for (u32 i = ref_first(levels, level + 1); i < ref_first(levels, level + 2); i++)
            sum -= terms[(size_t)i * TERM_WORDS + TERM_PARENT];
    return p->rho * sum / p->rows;
}

/* The penalty follows the sign of the L0's change against the wanted one; in float as on every device, since a sign decides. */
static void adapt_penalty(const struct control_args *p, u32 *control, u32 level, f32 l0, f32 target)
{
    u32 *average_bits = ref_level(control, level, CONTROL_AVERAGE), *lambda_bits = ref_level(control, level, CONTROL_LAMBDA);
    f32 average = bits_f32(*average_bits), lambda = bits_f32(*lambda_bits);
    if (average < 0.0f)
        average = l0;
    f32 change = p->one_minus_momentum * (l0 - average), wanted = -p->eta * (average - target);
    *average_bits = bits_u32(average + change);
    *lambda_bits = bits_u32(change < wanted ? lambda * (1.0f - p->kappa) : lambda * (1.0f + p->kappa));
}

void hsae_ref_control(const struct hsae_control_memory *m, const struct control_args *p)
{
    const u32 *levels = m->levels, *active_count = m->active_count, *starts = m->starts;
    const f32 *loss = m->loss, *terms = m->terms, *squares = m->squares;
    u32 *last_fired = m->last_fired, *control = m->control, *status = m->status;
    if (ref_halted(control)) {
        report_halt(control, p->levels, status);
        return;
    }
    double variance = 0;
    for (u32 c = 0; c < p->stride; c++)
        variance += squares[c];
    status[STATUS_STEP] = control[CONTROL_STEP];
    status[STATUS_HALT] = 0;
    status[STATUS_PAIRS] = starts[p->features];
    status[STATUS_VARIANCE] = bits_u32((f32)variance);
    for (u32 l = 0; l < p->levels; l++) {
        u32 fired = 0;
        for (u32 i = ref_first(levels, l); i < ref_first(levels, l + 1); i++) {
            fired += active_count[i];
            if (active_count[i])
                last_fired[i] = control[CONTROL_STEP];
        }
        f32 l0 = (f32)((double)fired / p->rows);
        u32 *figures = status + STATUS_LEVELS + l * STATUS_LEVEL_WORDS;
        figures[STATUS_RECONSTRUCTION] = bits_u32((f32)reconstruction(p, loss, l));
        figures[STATUS_L0] = bits_u32(l0);
        figures[STATUS_LAMBDA] = *ref_level(control, l, CONTROL_LAMBDA);
        figures[STATUS_CONSTRAINT] = bits_u32((f32)constraint(p, levels, terms, l));
        figures[STATUS_DEAD] = ref_dead(control, l);
        adapt_penalty(p, control, l, l0, bits_f32(levels[l * LEVEL_WORDS + LEVEL_TARGET]));
    }
}
