/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* The pairs of one feature, appended to the lists of their samples; counts[s]: how many pairs of the level sample s has already. */
static void append(const struct hsae_samples_fill_memory *m, u32 feature, u32 words, const u32 *sample_starts, u32 *counts)
{
    const u32 *bits = m->bits, *feature_scalars = m->feature_scalars, *word_starts = m->word_starts, *pairs = m->pairs;
    u32 *samples = m->samples, *positions = m->positions;
    size_t line = (size_t)feature * words;
    f32 threshold = bits_f32(feature_scalars[(size_t)feature * SCALAR_WORDS + SCALAR_THRESHOLD]);
    for (u32 w = 0; w < words; w++) {
        u32 position = word_starts[line + w];
        for (u32 s = w * 32; s < w * 32 + 32; s++) {
            if (!(bits[line + w] >> s % 32 & 1))
                continue;
            size_t at = sample_starts[s] + counts[s]++;
            f32 value = bits_f32(pairs[2 * (size_t)position + 1]);
            samples[2 * at] = feature;
            samples[2 * at + 1] = bits_u32(value > threshold ? value : 0.0f);
            positions[at] = position++;
        }
    }
}

void hsae_ref_samples_fill(const struct hsae_samples_fill_memory *m, const struct samples_fill_args *p)
{
    const u32 *tree = m->tree, *level_info = m->level_info, *step_state = m->step_state, *sample_starts = m->sample_starts;
    u32 *tally = m->tally;
    if (ref_halted(step_state))
        return;
    for (u32 l = 0; l < p->levels; l++) {
        u32 end = ref_first(level_info, l + 1);
        for (u32 begin = ref_first(level_info, l); begin < end; begin += ref_min(p->block, end - begin)) {
            for (u32 rank = begin; rank < begin + ref_min(p->block, end - begin); rank++)
                append(m, tree[(size_t)rank * TREE_WORDS + TREE_AT_RANK], p->words, sample_starts + (size_t)l * p->batch, tally);
            tally += 32 * p->words;
        }
    }
}
