/* SPDX-License-Identifier: MIT */
#include "fixture.h"

/* For each pair of levels two chunks of parents, whose similarities are the same rows. */
static u32 launches(const struct fixture *fixture)
{
    return 2 * (fixture->size.levels - 1);
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 level = index / 2 + 1, parents = w->size.features[level - 1], children = w->size.features[level], half = (parents + 1) / 2;
    JOB_ARGS(job, relink_best, .child = 0, .children = children, .padded = (children + 31) / 32 * 32, .parent = index % 2 ? half : 0,
             .parents = index % 2 ? parents - half : half, .candidates = FIXTURE_CANDIDATES);
    JOB_BIND(job, relink_best, .similarity = &w->similarity[level], .cursor = &w->cursor[level], .best = &w->best[level]);
    job_items(job, children);
}

const struct check_kernel hsae_check_relink_best = {
    .launches = launches, .launch = launch, .bounds = NULL, .shapes = check_teams, .shape_count = CHECK_TEAMS};
