/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_prepare(const struct hsae_prepare_memory *m, const struct prepare_args *p)
{
    const u32 *clock = m->clock, *levels = m->levels, *flags = m->flags;
    const f32 *norms = m->norms;
    u32 *control = m->control;
    if (ref_halted(control))
        return;
    double mean_norm = 0;
    for (u32 k = 0; k < p->norms; k++)
        mean_norm += norms[k];
    mean_norm /= p->rows;
    for (u32 l = 0; l < p->levels; l++) {
        u32 first = ref_first(levels, l), end = ref_first(levels, l + 1), dead = 0;
        for (u32 i = first; i < end; i++)
            if (flags[i] & FLAG_DEAD)
                control[CONTROL_DEAD_LIST + first + dead++] = i;
        *ref_level(control, l, CONTROL_DEAD) = dead;
        if (p->ghosts && dead > levels[l * LEVEL_WORDS + LEVEL_GHOSTS])
            control[CONTROL_HALT] = HALT_GHOSTS;
        if (bits_f32(*ref_level(control, l, CONTROL_LAMBDA)) == 0.0f && bits_f32(*ref_level(control, l, CONTROL_AVERAGE)) < 0.0f) {
            double target = bits_f32(levels[l * LEVEL_WORDS + LEVEL_TARGET]);
            *ref_level(control, l, CONTROL_LAMBDA) = bits_u32((f32)(p->lambda_init * mean_norm / target));
        }
    }
    control[CONTROL_STEP] = clock[CLOCK_STEP];
    control[CONTROL_RATE] = clock[CLOCK_RATE];
    control[CONTROL_CORRECTION] = clock[CLOCK_CORRECTION];
}
