/* SPDX-License-Identifier: MIT */
#include "pairs.h"

/* How many levels from `level` on have their residuals in one buffer, and the levels above them theirs. */
static u32 run(const struct fixture *w, u32 level)
{
    u32 left = w->residual_levels - level % w->residual_levels, most = w->size.levels - level;
    u32 above = level ? w->residual_levels - (level - 1) % w->residual_levels : left;
    most = most < left ? most : left;
    most = most < above ? most : above;
    return most < w->launch_levels ? most : w->launch_levels;
}

static u32 launches(const struct fixture *w)
{
    u32 count = 0;
    for (u32 level = 0; w->room && level < w->size.levels; level += run(w, level))
        count++;
    return count;
}

static void launch(struct fixture *w, u32 index, struct check_job *job)
{
    u32 level = 0;
    while (index--)
        level += run(w, level);
    u32 above = level ? level - 1 : 0;
    JOB_ARGS(job, segment_rows, .level = level, .count = run(w, level), .residual_row = fixture_residual_row(w, level),
             .above_row = fixture_residual_row(w, above), .padded = w->padded, .room = w->room, .segments = w->features * FEATURE_SUM_WORDS,
             .stride = w->stride, .range_rows = w->range_rows, .rho = w->rho, .bandwidth = w->bandwidth);
    JOB_BIND(job, segment_rows, .step_state = &w->step_state, .flags = &w->flags, .starts = &w->starts, .pairs = &w->pairs,
             .samples = &w->samples, .owners = &w->owners, .level_info = &w->level_info, .pair_terms = &w->pair_terms,
             .feature_sums = &w->feature_sums, .D = WORDS4(w->D), .feature_scalars = &w->feature_scalars, .x = &w->x,
             .residual = fixture_residuals(w, level), .above = fixture_residuals(w, above), .sums = &w->sums);
    job_groups(job, w->room);
}

static void bound_segment(struct pair_sums *f, f32 *rows, f32 *terms)
{
    u32 stride = f->w->stride;
    pairs_score(f);
    for (u32 c = 0; c < stride; c++) {
        struct sum decoder = {0}, encoder = {0};
        pairs_add(f, c, &decoder, &encoder);
        rows[c] = (f32)sum_estimate(&decoder).off;
        rows[stride + c] = (f32)sum_estimate(&encoder).off;
    }
    terms[SEGMENT_RADIAL] = (f32)sum_estimate(&f->radial).off;
    terms[SEGMENT_SQUARES] = (f32)sum_estimate(&f->squares).off;
    terms[SEGMENT_BIAS] = (f32)sum_estimate(&f->bias).off;
    terms[SEGMENT_THRESHOLD] = (f32)sum_estimate(&f->threshold_gradient).off;
    terms[SEGMENT_OWN] = (f32)sum_estimate(&f->own).off;
    terms[SEGMENT_PARENT] = (f32)sum_estimate(&f->parent).off;
    terms[SEGMENT_PRODUCT] = (f32)sum_estimate(&f->product).off;
}

static void bounds(const struct fixture *w, const struct check_job *job)
{
    struct segment_rows_args p;
    memcpy(&p, job->args, sizeof p);
    for (u32 s = 0, inside = 0; s < p.room && !fixture_halted(w); s++) {
        u32 i = w->owners.at[s], segment = w->step_state.at[STATE_SEGMENT];
        if (i == NONE)
            continue;
        inside = s && w->owners.at[s - 1] == i ? inside + segment : 0;
        if (i < w->first[p.level] || i >= w->first[p.level + p.count])
            continue;
        u32 level = p.level;
        while (i >= w->first[level + 1])
            level++;
        struct pair_sums f = pair_sums_of(w, job, SLOT(segment_rows, pair_terms), level, i, p.rho);
        u32 left = w->starts.at[i + 1] - w->starts.at[i] - inside;
        f.begin = w->starts.at[i] + inside;
        f.end = f.begin + (left < segment ? left : segment);
        bound_segment(&f, job->tolerance[SLOT(segment_rows, sums)] + 2 * (size_t)s * p.stride,
                      job->tolerance[SLOT(segment_rows, feature_sums)] + p.segments + s * SEGMENT_WORDS);
    }
}

const struct check_kernel hsae_check_segment_rows = {.launches = launches, .launch = launch, .bounds = bounds};
