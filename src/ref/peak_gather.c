/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_peak_gather(const struct hsae_peak_gather_memory *m, const struct peak_gather_args *p)
{
    const f32 *from = m->from;
    f32 *to = m->to;
    for (u32 at = 0; at < p->count; at++) {
        u32 row = at / p->width, column = at % p->width;
        double sum = 0;
        for (u32 i = 0; i < p->reads; i++)
            sum += from[(size_t)GATHERED_ROW(row * p->reads + i, p->rows) * p->width + column];
        to[at] = (f32)sum;
    }
}
