/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_lists_fill(void *const *b, const void *args, const u32 groups[2])
{
    const struct lists_fill_args *p = args;
    const u32 *control = b[0], *bits = b[1], *starts = b[2], *table = b[3];
    const f32 *scratch = b[4];
    u32 *pairs = b[5], *active_count = b[6], *word_starts = b[7], *history = b[8];
    (void)groups;
    for (u32 r = 0; r < p->count; r++) {
        u32 feature = p->first + r, at = starts[feature];
        size_t line = (size_t)feature * p->words;
        size_t ring = ((size_t)((control[CONTROL_STEP] - 1) & 63) * p->features + feature) * p->words;
        f32 threshold = bits_f32(table[(size_t)feature * TABLE_WORDS + TABLE_THRESHOLD]);
        active_count[feature] = 0;
        for (u32 w = 0; w < p->words; w++) {
            u32 fired = 0;
            word_starts[line + w] = at;
            for (u32 bit = 0; bit < 32; bit++) {
                if (!(bits[line + w] >> bit & 1))
                    continue;
                f32 value = scratch[(size_t)r * p->words * 32 + (p->packed ? at - starts[feature] : w * 32 + bit)];
                if (value > threshold)
                    fired |= 1u << bit;
                if (at < p->capacity) {
                    pairs[2 * (size_t)at] = w * 32 + bit;
                    pairs[2 * (size_t)at + 1] = bits_u32(value);
                }
                at++;
            }
            active_count[feature] += ref_popcount(fired);
            if (p->history && !ref_halted(control))
                history[ring + w] = fired;
        }
    }
}
