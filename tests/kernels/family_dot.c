/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

static u32 launches(const struct fixture *fixture)
{
    return fixture->size.levels > 1;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    (void)index;
    JOB_ARGS(job, family_dot, .first = w->first[1], .count = w->features - w->first[1], .stride = w->stride, .range_rows = w->range_rows);
    JOB_BIND(job, family_dot, .D = WORDS4(w->D), .tree = &w->tree, .flags = &w->flags, .dots = &w->dots);
    job_groups(job, w->features - w->first[1]);
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    for (u32 j = w->first[1]; j < w->features; j++) {
        u32 parent = fixture_tree(w, j, TREE_PARENT);
        double scale = 0;
        for (u32 c = 0; c < w->size.dim && parent != NONE; c++)
            scale += fabs((double)fixture_decoder(w, j, c) * fixture_decoder(w, parent, c));
        job->tolerance[SLOT(family_dot, dots)][j] = (f32)bound_sum(w->size.dim, scale);
    }
}

const struct check_kernel hsae_check_family_dot = {.launches = launches, .launch = launch, .bounds = bounds};
