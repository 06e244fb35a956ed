/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, family, .levels = w->size.levels, .batch = w->size.batch);
    JOB_BIND(job, family, .step_state = &w->step_state, .tree = &w->tree, .sample_starts = &w->sample_starts, .samples = &w->samples,
             .positions = &w->positions, .dots = &w->dots, .pair_terms = &w->pair_terms);
    job_items(job, w->size.levels * w->size.batch);
}

/* PAIR_OWN: a - sum a_j dot_j over the sample's children; PAIR_PARENT: a_parent dot - a. The rest is exact. */
static void bound_pair(const struct fixture *w, u32 list, u32 q, f32 *tolerance)
{
    u32 feature = w->samples.at[2 * q], below = list + w->size.batch, terms = 1;
    double a = words_f32(&w->samples, 2 * (size_t)q + 1), own = a;
    for (u32 s = below < w->totals.count ? w->sample_starts.at[below] : 0; below < w->totals.count && s < w->sample_starts.at[below + 1];
         s++) {
        u32 child = w->samples.at[2 * s];
        if (fixture_tree(w, child, TREE_PARENT) == feature) {
            own += fabs((double)words_f32(&w->samples, 2 * (size_t)s + 1) * words_f32(&w->dots, child));
            terms += 1;
        }
    }
    tolerance[PAIR_OWN] = (f32)bound_sum(terms, own);
    tolerance[PAIR_PARENT] = 0.0f;
    if (fixture_tree(w, feature, TREE_PARENT) == NONE)
        return;
    u32 above = list - w->size.batch;
    for (u32 s = w->sample_starts.at[above]; s < w->sample_starts.at[above + 1]; s++)
        if (w->samples.at[2 * s] == fixture_tree(w, feature, TREE_PARENT))
            a += fabs((double)words_f32(&w->samples, 2 * (size_t)s + 1) * words_f32(&w->dots, feature));
    tolerance[PAIR_PARENT] = (f32)bound_sum(2, a);
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    if (fixture_halted(w))
        return;
    for (u32 list = 0; list < w->totals.count; list++)
        for (u32 q = w->sample_starts.at[list]; q < w->sample_starts.at[list + 1]; q++)
            bound_pair(w, list, q, job->tolerance[SLOT(family, pair_terms)] + (size_t)w->positions.at[q] * PAIR_WORDS);
}

const struct check_kernel hsae_check_family = {
    .launches = launches_one, .launch = launch, .bounds = bounds, .shapes = check_teams, .shape_count = CHECK_TEAMS};
