/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_variance(const struct hsae_variance_memory *m, const struct variance_args *p)
{
    const f32 *x = m->x;
    f32 *squares = m->squares;
    for (u32 c = 0; c < p->stride; c++) {
        double mean = 0, sum = 0;
        for (u32 s = 0; s < p->batch; s++)
            mean += x[(size_t)s * p->stride + c];
        mean /= p->batch;
        for (u32 s = 0; s < p->batch; s++) {
            double off = x[(size_t)s * p->stride + c] - mean;
            sum += off * off;
        }
        squares[c] = (f32)sum;
    }
}
