/* SPDX-License-Identifier: MIT */
/* How far float results may be from the reference's, which sums in double.
 *
 * A float sum of k terms in any order is off by about eps sqrt(k) sum |terms| (rounding errors are as good as independent; eps:
 * FLT_EPSILON, two roundings). SUM_FACTOR covers the tail of that distribution for the some 10^6 elements that a run compares. Single
 * operations are counted in ulps as OpenCL and Vulkan allow them: division 2.5, square root 3 to 4.5, exp and exp2 3 + 2 |x|. Errors of
 * inputs are carried to first order. FLT_MIN: a device may flush subnormal numbers. */
#ifndef HSAE_SRC_BOUNDS_H
#define HSAE_SRC_BOUNDS_H

#include <float.h>
#include <math.h>

#define SUM_FACTOR 2.0

/* Of a sum of k terms whose absolute values add up to `scale`. */
static inline double bound_sum(double k, double scale)
{
    return SUM_FACTOR * FLT_EPSILON * sqrt(k) * scale + (double)FLT_MIN;
}

/* Of a value that went through operations with that many ulps in all. */
static inline double bound_ulps(double ulps, double value)
{
    return ulps * FLT_EPSILON * fabs(value) + (double)FLT_MIN;
}

/* Of exp(x) or exp2(x), relative, where x is off by dx. */
static inline double bound_exp(double x, double dx)
{
    return (3 + 2 * fabs(x)) * FLT_EPSILON + expm1(dx);
}

/* A quantity and how far a device may be off it. */
struct estimate {
    double value, off;
};

/* A sum in the making: of its terms, of their absolute values, and of how far the terms themselves may be off. */
struct sum {
    double value, scale, carried, terms;
};
static inline void sum_add(struct sum *sum, double term, double off)
{
    sum->value += term;
    sum->scale += fabs(term);
    sum->carried += off;
    sum->terms += 1;
}
static inline struct estimate sum_estimate(const struct sum *sum)
{
    return (struct estimate){sum->value, sum->carried + bound_sum(sum->terms, sum->scale)};
}

/* Adam without a first moment, for a parameter w with gradient g. */
struct adam_bounds {
    double rate, correction, decay, one_minus_beta2, epsilon;
    double decay_off; /* relative */
};
struct adam_estimate {
    struct estimate w, v;
};
static inline struct adam_estimate bound_adam(const struct adam_bounds *adam, struct estimate g, double w, double v)
{
    double kept = adam->decay * v, size = fabs(g.value), least = fmax(size - g.off, 0);
    double moment = kept + adam->one_minus_beta2 * g.value * g.value;
    double moment_off = kept * adam->decay_off + adam->one_minus_beta2 * (2 * size + g.off) * g.off + bound_ulps(4, moment);
    /* The step is rate g / (sqrt(v correction) + epsilon). Over the interval of g its slope is at most rate / the least denominator. */
    double denominator = sqrt(moment * adam->correction) + adam->epsilon;
    double lowest = sqrt(fmax(kept + adam->one_minus_beta2 * least * least, 0) * adam->correction) + adam->epsilon;
    double step = adam->rate * g.value / denominator;
    double step_off =
        adam->rate * g.off / lowest + fabs(step) * 0.5 * kept * adam->decay_off / fmax(moment, (double)FLT_MIN) + bound_ulps(12, step);
    return (struct adam_estimate){{w - step, step_off + bound_ulps(1, w)}, {moment, moment_off}};
}

#endif
