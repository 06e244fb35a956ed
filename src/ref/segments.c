/* SPDX-License-Identifier: MIT */
#include "ref.h"

static u32 count_segments(const u32 *starts, u32 features, u32 pairs)
{
    u32 count = 0;
    for (u32 i = 0; i < features; i++)
        count += SEGMENTS_OF(starts[i + 1] - starts[i], pairs);
    return count;
}

void hsae_ref_segments(const struct hsae_segments_memory *m, const struct segments_args *p)
{
    const u32 *starts = m->starts;
    u32 *step_state = m->step_state, *feature_scalars = m->feature_scalars, *owners = m->owners, segment = p->pairs, at = 0;
    if (ref_halted(step_state))
        return;
    while (count_segments(starts, p->features, segment) > p->room)
        segment *= 2;
    for (u32 i = 0; i < p->features; i++) {
        u32 end = at + SEGMENTS_OF(starts[i + 1] - starts[i], segment);
        if (at < end)
            feature_scalars[(size_t)i * SCALAR_WORDS + SCALAR_SEGMENT] = at;
        while (at < end)
            owners[at++] = i;
    }
    while (at < p->room)
        owners[at++] = NONE;
    step_state[STATE_SEGMENT] = segment;
}
