/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_scan(const struct hsae_scan_memory *m, const struct scan_args *p)
{
    const u32 *counts = m->counts;
    u32 *starts = m->starts, *step_state = m->step_state;
    if (p->first == 0)
        starts[0] = 0;
    for (u32 i = p->first; i < p->first + p->count; i++)
        starts[i + 1] = starts[i] + counts[i];
    if (p->capacity == 0)
        return;
    u32 pairs = starts[p->first + p->count];
    /* After a halt the largest total is kept: the host makes the lists long enough for it. */
    if (!ref_halted(step_state) || pairs > step_state[STATE_PAIRS])
        step_state[STATE_PAIRS] = pairs;
    if (pairs > p->capacity)
        step_state[STATE_HALT] |= HALT_PAIRS;
}
