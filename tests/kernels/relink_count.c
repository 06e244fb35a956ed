/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "ref/bounds.h"

#include <math.h>

static u32 launches(const struct fixture *fixture)
{
    return fixture->size.levels - 1;
}

/* All but the first parent and child, where there are several. */
static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 parents = w->size.features[index], children = w->size.features[index + 1];
    u32 skip_parents = parents > 1, skip_children = children > 1, padded = (children + 31) / 32 * 32;
    JOB_ARGS(job, relink_count, .child = w->first[index + 1] + skip_children, .children = children - skip_children, .padded = padded,
             .parent = w->first[index] + skip_parents, .parents = parents - skip_parents, .features = w->features, .words = w->words,
             .samples = w->size.batch % 2 ? 0 : 64.0f * (f32)w->size.batch, .least = index % 2 ? PART_LEAST : 0);
    JOB_BIND(job, relink_count, .history = &w->history, .counts = &w->co_counts);
    u32 team = TEAM_SIZE(job->shape.group_size, job->shape.columns), teams = job->shape.group_size / team;
    job_groups(job, (parents - skip_parents + team - 1) / team * ((padded + teams - 1) / teams));
}

/* Counts are exact. Of phi, both shares are off by an ulp, their product and difference by some of the larger, the root by as much again.
 */
static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct relink_count_args p;
    (void)w;
    memcpy(&p, job->args, sizeof p);
    for (u32 r = 0; r < p.parents && p.samples > 0; r++)
        for (u32 s = 0; s < p.children; s++) {
            size_t at = (size_t)r * p.padded + s;
            f32 value = bits_f32(job->expected[SLOT(relink_count, counts)][at]);
            job->tolerance[SLOT(relink_count, counts)][at] = (f32)(bound_ulps(16, fabs(value) + 2));
        }
}

const struct check_kernel hsae_check_relink_count = {
    .launches = launches, .launch = launch, .bounds = bounds, .shapes = check_teams, .shape_count = CHECK_TEAMS};
