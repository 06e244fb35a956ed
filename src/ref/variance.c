/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_variance(void *const *b, const void *args, const u32 groups[2])
{
    const struct variance_args *p = args;
    const f32 *x = b[0];
    f32 *squares = b[1];
    (void)groups;
    for (u32 c = 0; c < p->stride; c++) {
        double mean = 0, sum = 0;
        for (u32 s = 0; s < p->rows; s++)
            mean += x[(size_t)s * p->stride + c];
        mean /= p->rows;
        for (u32 s = 0; s < p->rows; s++) {
            double off = x[(size_t)s * p->stride + c] - mean;
            sum += off * off;
        }
        squares[c] = (f32)sum;
    }
}
