/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_peak_fma(const struct hsae_peak_fma_memory *m, const struct peak_fma_args *p)
{
    const f32 *from = m->from;
    f32 *to = m->to;
    for (u32 first = 0; first < p->count; first += REF_BLOCK) {
        double x[REF_BLOCK] = {0};
        u32 count = ref_min(REF_BLOCK, p->count - first);
        for (u32 k = 0; k < count; k++)
            x[k] = from[first + k];
        for (u32 i = 0; i < p->repeats; i++)
            for (u32 k = 0; k < REF_BLOCK; k++)
                x[k] = x[k] * p->factor + p->term;
        for (u32 k = 0; k < count; k++)
            to[first + k] = (f32)x[k];
    }
}
