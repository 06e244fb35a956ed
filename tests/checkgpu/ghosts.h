/* SPDX-License-Identifier: MIT */
/* What the bounds of the ghost kernels share. */
#ifndef HSAE_TESTS_GHOSTS_H
#define HSAE_TESTS_GHOSTS_H

#include "fixture.h"
#include "ref/bounds.h"

/* exp(min(p, 10)) of a feature and a sample; p: its pre-activation. */
static inline struct estimate ghost_activation(const struct fixture *w, u32 feature, u32 sample, double *p)
{
    struct sum sum = {0};
    for (u32 c = 0; c < w->stride; c++)
        sum_add(&sum, (double)fixture_row(w, w->E, feature, c) * words_f32(&w->x, (size_t)sample * w->stride + c), 0);
    sum_add(&sum, fixture_table(w, feature, SCALAR_BIAS), 0);
    struct estimate pre = sum_estimate(&sum);
    *p = pre.value;
    double clamped = fmin(pre.value, 10), g = exp(clamped);
    return (struct estimate){g, g * bound_exp(clamped, pre.off)};
}

/* k-th feature of a level's dead list. */
static inline u32 ghost_feature(const struct fixture *w, u32 level, u32 k)
{
    return w->step_state.at[STATE_DEAD_LIST + w->first[level] + k];
}

#endif
