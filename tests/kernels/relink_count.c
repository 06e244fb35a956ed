/* SPDX-License-Identifier: MIT */
#include "world.h"

static u32 launches(const struct world *world)
{
    return world->size.levels - 1;
}

/* All but the first parent and child, where there are several. */
static void launch(struct world *w, u32 index, struct check_job *job)
{
    u32 parents = w->size.features[index], children = w->size.features[index + 1];
    u32 skip_parents = parents > 1, skip_children = children > 1, padded = (children + 31) / 32 * 32;
    JOB_ARGS(job, relink_count, .child = w->first[index + 1] + skip_children, .children = children - skip_children, .padded = padded,
             .parent = w->first[index] + skip_parents, .parents = parents - skip_parents, .features = w->features, .words = w->words);
    JOB_BIND(job, relink_count, .history = &w->history, .counts = &w->co_counts);
    u32 team = TEAM_SIZE(job->shape.group_size, job->shape.columns), teams = job->shape.group_size / team;
    job_groups(job, (parents - skip_parents + team - 1) / team * ((padded + teams - 1) / teams));
}

const struct check_kernel hsae_check_relink_count = {
    .launches = launches, .launch = launch, .bounds = NULL, .shapes = check_teams, .shape_count = CHECK_TEAMS};
