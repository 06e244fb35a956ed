/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_prepare(const struct hsae_prepare_memory *m, const struct prepare_args *p)
{
    const u32 *step_params = m->step_params, *level_info = m->level_info, *flags = m->flags;
    const f32 *norms = m->norms;
    u32 *step_state = m->step_state;
    if (ref_halted(step_state))
        return;
    double mean_norm = 0;
    for (u32 k = 0; k < p->norms; k++)
        mean_norm += norms[k];
    mean_norm /= p->batch;
    for (u32 l = 0; l < p->levels; l++) {
        u32 first = ref_first(level_info, l), end = ref_first(level_info, l + 1), dead = 0;
        for (u32 i = first; i < end; i++)
            if (flags[i] & FLAG_DEAD)
                step_state[STATE_DEAD_LIST + first + dead++] = i;
        *ref_level(step_state, l, STATE_DEAD) = dead;
        if (p->ghosts && dead > level_info[l * LEVEL_WORDS + LEVEL_GHOSTS])
            step_state[STATE_HALT] = HALT_GHOSTS;
        if (bits_f32(*ref_level(step_state, l, STATE_LAMBDA)) == 0.0f && bits_f32(*ref_level(step_state, l, STATE_AVERAGE)) < 0.0f) {
            double target = bits_f32(level_info[l * LEVEL_WORDS + LEVEL_TARGET]);
            *ref_level(step_state, l, STATE_LAMBDA) = bits_u32((f32)(p->lambda_init * mean_norm / target));
        }
    }
    step_state[STATE_STEP] = step_params[PARAM_STEP];
    step_state[STATE_RATE] = step_params[PARAM_RATE];
    step_state[STATE_CORRECTION] = step_params[PARAM_CORRECTION];
}
