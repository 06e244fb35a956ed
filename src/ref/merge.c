/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* Leaves the sum of a sample's partial sums in those of shard 0. Each addition is rounded to a float, as devices that share the shards
 * exchange floats. */
static void fold(f32 *partials, const struct merge_args *p, u32 sample)
{
    const size_t shard = (size_t)p->padded * p->stride;
    for (u32 apart = 1; apart < p->shards; apart *= 2)
        for (u32 s = 0; s < p->shards; s += 2 * apart) {
            f32 *to = partials + s * shard + (size_t)sample * p->stride;
            const f32 *from = to + apart * shard;
            for (u32 c = 0; c < p->stride; c++)
                to[c] += from[c];
        }
}

/* R = the sum + c - x, and its squares by column slices. */
static void add_center(const struct hsae_merge_memory *m, const struct merge_args *p, u32 sample, f32 *residual)
{
    const f32 *bias = m->bias + (size_t)p->level * p->stride, *x = m->x + (size_t)sample * p->stride;
    f32 *loss = m->loss;
    const u32 share = (p->stride / 16 + p->slices - 1) / p->slices * 16;
    for (u32 slice = 0; slice < p->slices; slice++) {
        double squares = 0;
        for (u32 c = slice * share; c < ref_min((slice + 1) * share, p->stride); c++) {
            double value = residual[c] + ((double)bias[c] - x[c]);
            residual[c] = (f32)value;
            squares += value * value;
        }
        loss[((size_t)p->level * p->slices + slice) * p->padded + sample] = (f32)squares;
    }
}

void hsae_ref_merge(const struct hsae_merge_memory *m, const struct merge_args *p)
{
    const u32 *step_state = m->step_state;
    f32 *partials = m->partials, *sum = m->sum;
    for (u32 s = 0; s < p->batch && !ref_halted(step_state); s++) {
        f32 *to = sum + ((size_t)p->row + s) * p->stride;
        fold(partials, p, s);
        memcpy(to, partials + (size_t)s * p->stride, p->stride * sizeof *to);
        if (p->residual)
            add_center(m, p, s, to);
    }
}
