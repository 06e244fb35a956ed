/* SPDX-License-Identifier: MIT */
#include "ref.h"

#include <math.h>

void hsae_ref_shift_thresholds(const struct hsae_shift_thresholds_memory *m, const struct shift_thresholds_args *p)
{
    const u32 *level_info = m->level_info, *step_state = m->step_state;
    if (ref_halted(step_state))
        return;
    for (u32 l = 0; l < p->levels; l++) {
        f32 shift = bits_f32(step_state[STATE_LEVELS + l * STATE_LEVEL_WORDS + STATE_SHIFT]);
        for (u32 i = ref_first(level_info, l); i < ref_first(level_info, l + 1); i++) {
            u32 *scalars = m->feature_scalars + (size_t)i * SCALAR_WORDS;
            if (shift == 0 || (shift < 0 && bits_f32(scalars[SCALAR_THRESHOLD]) <= 0.5f * p->bandwidth))
                continue;
            f32 log_threshold = bits_f32(scalars[SCALAR_LOG_THRESHOLD]) + shift, threshold = (f32)exp(log_threshold);
            scalars[SCALAR_LOG_THRESHOLD] = bits_u32(log_threshold);
            scalars[SCALAR_THRESHOLD] = bits_u32(threshold);
            scalars[SCALAR_CUT] = bits_u32(threshold - 0.5f * p->bandwidth);
        }
    }
}
