/* SPDX-License-Identifier: MIT */
#include "ref.h"

static bool better(f32 value, const u32 *candidate)
{
    return candidate[1] == NONE || value > bits_f32(candidate[0]);
}

/* Inserts a parent into a child's list; parents come ascending, so after others of the same similarity. */
static void insert(u32 *list, u32 candidates, f32 value, u32 parent)
{
    u32 k = candidates - 1;
    if (!better(value, list + 2 * k))
        return;
    for (; k > 0 && better(value, list + 2 * (k - 1)); k--)
        memcpy(list + 2 * k, list + 2 * (k - 1), 2 * sizeof *list);
    list[2 * k] = bits_u32(value);
    list[2 * k + 1] = parent;
}

void hsae_ref_relink_best(const struct hsae_relink_best_memory *m, const struct relink_best_args *p)
{
    const f32 *similarity = m->similarity;
    const u32 *cursors = m->cursor;
    u32 *best = m->best;
    for (u32 s = 0; s < p->children; s++) {
        const u32 *cursor = cursors + 2 * (size_t)(p->child + s);
        u32 *list = best + 2 * (size_t)(p->child + s) * p->candidates;
        for (u32 r = 0; r < p->parents; r++) {
            f32 value = similarity[(size_t)r * p->padded + s], last = bits_f32(cursor[0]);
            u32 parent = p->parent + r;
            if (cursor[1] == NONE || value < last || (value == last && parent > cursor[1]))
                insert(list, p->candidates, value, parent);
        }
    }
}
