/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_family_dot(const struct hsae_family_dot_memory *m, const struct family_dot_args *p)
{
    const u32 *tree = m->tree, *flags = m->flags;
    f32 *dots = m->dots;
    for (u32 child = p->first; child < p->first + p->count; child++) {
        u32 parent = tree[(size_t)child * TREE_WORDS + TREE_PARENT];
        dots[child] = 0.0f;
        if (parent == NONE)
            continue;
        const f32 *row = ref_row(m->D, ref_decoder_row(flags, child), p->range_rows, p->stride);
        const f32 *other = ref_row(m->D, ref_decoder_row(flags, parent), p->range_rows, p->stride);
        dots[child] = (f32)ref_dot(row, other, p->stride);
    }
}
