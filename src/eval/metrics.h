/* SPDX-License-Identifier: MIT */
/* The figures of an evaluation, collected batch by batch. Counts are integers, so their order does not matter; sums of squares are added in
 * double, sample by sample. */
#ifndef HSAE_SRC_METRICS_H
#define HSAE_SRC_METRICS_H

#include <hsae/model.h>
#include <stdbool.h>

/* One thread at a time. */
struct hsae_metrics;

/* Active features of the samples of a batch at one level: those of sample k are indices[indptr[k]] .. indices[indptr[k + 1] - 1], each
 * below the level's features, none twice. */
struct hsae_active {
    const uint32_t *indptr; /* [rows + 1] */
    const uint32_t *indices;
};

/* `model` (its shapes and tree) must outlive it. */
hsae_status hsae_metrics_create(hsae_context *context, const hsae_model *model, struct hsae_metrics **out);
/* Sets *metrics to NULL; takes NULL. */
void hsae_metrics_free(struct hsae_metrics **metrics);

/* Samples with keep[k] false are passed over (NULL: none is). active[l] and residual[l] for each level l; residual[l][k] = |x - xhat|^2 and
 * deviation[k] = |x - mean x|^2 of sample k, the mean over the whole set, in any one unit. */
void hsae_metrics_add(struct hsae_metrics *metrics, uint32_t rows, const bool *keep, const struct hsae_active *active,
                      const double *const *residual, const double *deviation);

/* Of all samples so far. A sample at the mean itself has no share in the legacy figure. */
void hsae_metrics_result(const struct hsae_metrics *metrics, hsae_evaluation *out);

/* Samples: all, those on which a child or its parent is active, and those on which both are. */
struct edge_counts {
    uint64_t samples, child, parent, joint;
};
/* The correlation of being active (model.h); NaN where one of them is never active, or on every sample. */
double hsae_edge_phi(const struct edge_counts *counts);
/* Of the decoder rows of feature `child` of a level above 0 and of its parent, which it has. */
double hsae_edge_cosine(const hsae_model *model, uint32_t level, uint32_t child);
bool hsae_is_duplicate(double cosine, double phi);

#endif
