/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_ghost_scale(void *const *b, const void *args, const u32 groups[2])
{
    const struct ghost_scale_args *p = args;
    const u32 *control = b[0];
    const f32 *losses = b[1], *loss = b[2];
    f32 *weights = b[3];
    (void)groups;
    if (ref_halted(control) || ref_dead(control, p->level) == 0)
        return;
    double ghost = 0, reconstruction = 0;
    for (u32 s = 0; s < p->rows; s++) {
        ghost += losses[2 * (size_t)s];
        for (u32 slice = 0; slice < p->slices; slice++)
            reconstruction += loss[((size_t)p->level * p->slices + slice) * p->padded + s];
    }
    double scale = ghost > 0 ? reconstruction / ghost : 0;
    for (u32 s = 0; s < p->rows; s++)
        weights[s] = (f32)(2 * scale * losses[2 * (size_t)s + 1]);
}
