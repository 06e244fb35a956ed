/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_lists_fill(const struct hsae_lists_fill_memory *m, const struct lists_fill_args *p)
{
    const u32 *step_state = m->step_state, *bits = m->bits, *starts = m->starts, *feature_scalars = m->feature_scalars;
    const f32 *scratch = m->scratch;
    u32 *pairs = m->pairs, *active_count = m->active_count, *word_starts = m->word_starts, *history = m->history;
    for (u32 r = 0; r < p->count; r++) {
        u32 feature = p->first + r, at = starts[feature];
        size_t line = (size_t)feature * p->words;
        size_t ring = ((size_t)((step_state[STATE_STEP] - 1) & 63) * p->features + feature) * p->words;
        f32 threshold = bits_f32(feature_scalars[(size_t)feature * SCALAR_WORDS + SCALAR_THRESHOLD]);
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
            if (p->history && !ref_halted(step_state))
                history[ring + w] = fired;
        }
    }
}
