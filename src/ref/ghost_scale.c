/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_ghost_scale(const struct hsae_ghost_scale_memory *m, const struct ghost_scale_args *p)
{
    const u32 *step_state = m->step_state;
    const f32 *ghost_losses = m->ghost_losses, *loss = m->loss;
    f32 *weights = m->weights;
    if (ref_halted(step_state) || ref_dead(step_state, p->level) == 0)
        return;
    double ghost = 0, reconstruction = 0;
    for (u32 s = 0; s < p->batch; s++) {
        ghost += ghost_losses[2 * (size_t)s];
        for (u32 slice = 0; slice < p->slices; slice++)
            reconstruction += loss[((size_t)p->level * p->slices + slice) * p->padded + s];
    }
    double scale = ghost > 0 ? reconstruction / ghost : 0;
    for (u32 s = 0; s < p->batch; s++)
        weights[s] = (f32)(2 * scale * ghost_losses[2 * (size_t)s + 1]);
}
