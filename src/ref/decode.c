/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* Whether a feature is among those whose part is wanted. */
static bool is_wanted(const struct hsae_decode_memory *m, const struct decode_args *p, bool below, u32 feature)
{
    const u32 *tree = m->tree;
    u32 first = below ? p->below : p->rank, ranks = below ? p->below_ranks : p->ranks;
    return !p->partial || tree[(size_t)feature * TREE_WORDS + TREE_RANK] - first < ranks;
}

/* Adds the contributions of one list to columns first .. first + count - 1: of the level itself those of the features that aren't swapped,
 * of the level `below` those of the children of swapped ones. */
static void add_list(double *sum, const struct hsae_decode_memory *m, const struct decode_args *p, u32 level, bool below, u32 sample,
                     u32 first, u32 count)
{
    const u32 *flags = m->flags, *starts = m->sample_starts + (size_t)(level + below) * p->batch + sample, *samples = m->samples;
    for (size_t q = starts[0]; q < starts[1]; q++) {
        u32 feature = samples[2 * q];
        f32 a = bits_f32(samples[2 * q + 1]);
        bool counts = below ? (flags[feature] & FLAG_PARENT_SWAPPED) != 0 : !(flags[feature] & FLAG_SWAPPED);
        if (a == 0.0f || !counts || !is_wanted(m, p, below, feature))
            continue;
        ref_add(sum, a, ref_row(m->D, ref_decoder_row(flags, feature), p->range_rows, p->stride) + first, count);
    }
}

static void decode_level(const struct hsae_decode_memory *m, const struct decode_args *p, u32 level, f32 *residual)
{
    const f32 *x = m->x, *bias = m->bias + (size_t)level * p->stride;
    f32 *loss = m->loss;
    u32 share = (p->stride / 16 + p->slices - 1) / p->slices * 16;
    for (u32 slice = 0; slice < p->slices; slice++) {
        u32 begin = ref_min(slice * share, p->stride), end = ref_min(begin + share, p->stride);
        for (u32 s = 0; s < p->batch; s++) {
            size_t line = (size_t)s * p->stride;
            double squares = 0;
            for (u32 first = begin; first < end; first += REF_BLOCK) {
                double sum[REF_BLOCK];
                u32 count = ref_min(REF_BLOCK, end - first);
                for (u32 k = 0; k < count; k++)
                    sum[k] = p->partial ? 0 : (double)bias[first + k] - x[line + first + k];
                add_list(sum, m, p, level, false, s, first, count);
                if (level + 1 < p->levels)
                    add_list(sum, m, p, level, true, s, first, count);
                for (u32 k = 0; k < count; k++) {
                    residual[line + first + k] = (f32)sum[k];
                    squares += sum[k] * sum[k];
                }
            }
            if (!p->partial)
                loss[((size_t)level * p->slices + slice) * p->padded + s] = (f32)squares;
        }
    }
}

void hsae_ref_decode(const struct hsae_decode_memory *m, const struct decode_args *p)
{
    const u32 *step_state = m->step_state;
    if (ref_halted(step_state))
        return;
    for (u32 k = 0; k < p->count; k++)
        decode_level(m, p, p->level + k, m->residual + ((size_t)p->row + (size_t)k * p->padded) * p->stride);
}
