/* SPDX-License-Identifier: MIT */
/* What screen and screen8 leave. */
#ifndef HSAE_TESTS_SCREENED_H
#define HSAE_TESTS_SCREENED_H

#include "fixture.h"
#include "ref/bounds.h"

/* The bitmap is exact: the fixture keeps pre-activations away from the cut. `first` and `count` of the launch's features; the slots of
 * what is written. */
static inline void screened_bounds(const struct fixture *w, const struct check_job *job, u32 first, u32 count, u32 rounded, u32 bits,
                                   u32 scratch)
{
    for (u32 k = 0; k < w->rounded.count; k++)
        job->tolerance[rounded][k] = CHECK_ANY;
    for (u32 r = 0; r < count; r++)
        for (u32 b = 0, at = r * w->padded; b < w->size.batch; b++) {
            u32 feature = first + r;
            if (!(job->expected[bits][feature * w->words + b / 32] >> b % 32 & 1))
                continue;
            double scale = fabs(fixture_table(w, feature, SCALAR_BIAS));
            for (u32 k = 0; k < w->size.dim; k++)
                scale += fabs((double)fixture_row(w, w->E, feature, k) * words_f32(&w->x, (size_t)b * w->stride + k));
            job->tolerance[scratch][at++] = (f32)bound_sum(w->size.dim + 1, scale);
        }
}

#endif
