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
    u32 *control = m->control, *table = m->table, *owners = m->owners, segment = p->pairs, at = 0;
    if (ref_halted(control))
        return;
    while (count_segments(starts, p->features, segment) > p->room)
        segment *= 2;
    for (u32 i = 0; i < p->features; i++) {
        u32 end = at + SEGMENTS_OF(starts[i + 1] - starts[i], segment);
        if (at < end)
            table[(size_t)i * TABLE_WORDS + TABLE_SEGMENT] = at;
        while (at < end)
            owners[at++] = i;
    }
    while (at < p->room)
        owners[at++] = NONE;
    control[CONTROL_SEGMENT] = segment;
}
