/* SPDX-License-Identifier: MIT */
#include "ref.h"

static u32 count_segments(const u32 *starts, u32 features, u32 pairs)
{
    u32 count = 0;
    for (u32 i = 0; i < features; i++)
        count += SEGMENTS_OF(starts[i + 1] - starts[i], pairs);
    return count;
}

static void cut_segments(const struct hsae_scan_memory *m, const struct scan_args *p)
{
    const u32 *starts = m->starts, features = p->first + p->count;
    u32 *owners = m->owners, segment = p->pairs ? p->pairs : m->step_state[STATE_SEGMENT], at = 0;
    while (count_segments(starts, features, segment) > p->room)
        segment *= 2;
    for (u32 i = 0; i < features; i++) {
        u32 end = at + SEGMENTS_OF(starts[i + 1] - starts[i], segment);
        if (at < end)
            m->feature_scalars[(size_t)i * SCALAR_WORDS + SCALAR_SEGMENT] = at;
        while (at < end)
            owners[at++] = i;
    }
    while (at < p->room)
        owners[at++] = NONE;
    m->step_state[STATE_SEGMENT] = segment;
}

static void add_up(const u32 *counts, u32 count, u32 *starts)
{
    for (u32 i = 0; i < count; i++)
        starts[i + 1] = starts[i] + counts[i];
}

void hsae_ref_scan(const struct hsae_scan_memory *m, const struct scan_args *p)
{
    u32 *starts = m->starts, *step_state = m->step_state;
    if (p->first == 0)
        starts[0] = 0;
    add_up(m->counts + p->first, p->count, starts + p->first);
    if (p->lists) {
        m->sample_starts[0] = 0;
        add_up(m->totals, p->lists, m->sample_starts);
    }
    u32 pairs = starts[p->first + p->count];
    /* After a halt the largest total is kept: the host makes the lists long enough for it. */
    if (!ref_halted(step_state) || pairs > step_state[STATE_PAIRS])
        step_state[STATE_PAIRS] = pairs;
    if (pairs > p->capacity)
        step_state[STATE_HALT] |= HALT_PAIRS;
    if (p->room && !ref_halted(step_state))
        cut_segments(m, p);
}
