/* SPDX-License-Identifier: MIT */
#include "pairs.h"

static void sum_segment(struct ref_pairs *f, f32 *decoder_row, f32 *encoder_row, f32 *feature_sums)
{
    ref_pairs_score(f);
    for (u32 first = 0; first < f->stride; first += REF_BLOCK) {
        double decoder_sum[REF_BLOCK] = {0}, encoder_sum[REF_BLOCK] = {0};
        u32 count = ref_min(REF_BLOCK, f->stride - first);
        ref_pairs_add(f, decoder_sum, encoder_sum, first, count);
        for (u32 c = 0; c < count; c++) {
            decoder_row[first + c] = (f32)decoder_sum[c];
            encoder_row[first + c] = (f32)encoder_sum[c];
        }
    }
    feature_sums[SEGMENT_RADIAL] = (f32)f->radial;
    feature_sums[SEGMENT_SQUARES] = (f32)f->squares;
    feature_sums[SEGMENT_BIAS] = (f32)f->bias_gradient;
    feature_sums[SEGMENT_THRESHOLD] = (f32)f->threshold_gradient;
    feature_sums[SEGMENT_OWN] = (f32)f->own_term;
    feature_sums[SEGMENT_PARENT] = (f32)f->parent_term;
    feature_sums[SEGMENT_PRODUCT] = (f32)f->product;
}

void hsae_ref_segment_rows(const struct hsae_segment_rows_memory *m, const struct segment_rows_args *p)
{
    const u32 *step_state = m->step_state, *flags = m->flags, *starts = m->starts, *owners = m->owners, *level_info = m->level_info,
              *feature_scalars = m->feature_scalars;
    f32 *feature_sums = m->feature_sums, *sums = m->sums;
    for (u32 s = 0; s < p->room && !ref_halted(step_state); s++) {
        u32 i = owners[s], segment = step_state[STATE_SEGMENT], level = p->level;
        if (i < ref_first(level_info, level) || i >= ref_first(level_info, level + p->count))
            continue;
        while (i >= ref_first(level_info, level + 1))
            level++;
        size_t own_row = p->residual_row + (size_t)(level - p->level) * p->padded;
        size_t above_row = p->above_row + (size_t)((level ? level : 1) - (p->level ? p->level : 1)) * p->padded;
        u32 begin = starts[i] + (s - feature_scalars[(size_t)i * SCALAR_WORDS + SCALAR_SEGMENT]) * segment;
        struct ref_pairs f = REF_PAIRS(m, p, .index = i, .flag = flags[i], .begin = begin, .end = ref_min(begin + segment, starts[i + 1]),
                                       .threshold = bits_f32(feature_scalars[(size_t)i * SCALAR_WORDS + SCALAR_THRESHOLD]),
                                       .lambda = bits_f32(step_state[STATE_LEVELS + level * STATE_LEVEL_WORDS + STATE_LAMBDA]),
                                       .residual = m->residual + own_row * p->stride, .above = m->above + above_row * p->stride);
        f.decoder = ref_pairs_row(&f, i);
        sum_segment(&f, sums + 2 * (size_t)s * p->stride, sums + (2 * (size_t)s + 1) * p->stride,
                    feature_sums + p->segments + s * SEGMENT_WORDS);
    }
}
