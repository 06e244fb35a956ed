/* SPDX-License-Identifier: MIT */
#include "pairs.h"

static void sum_segment(struct ref_pairs *f, f32 *decoder_row, f32 *encoder_row, f32 *terms)
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
    terms[SEGMENT_RADIAL] = (f32)f->radial;
    terms[SEGMENT_SQUARES] = (f32)f->squares;
    terms[SEGMENT_BIAS] = (f32)f->bias_gradient;
    terms[SEGMENT_THRESHOLD] = (f32)f->threshold_gradient;
    terms[SEGMENT_OWN] = (f32)f->own_term;
    terms[SEGMENT_PARENT] = (f32)f->parent_term;
    terms[SEGMENT_PRODUCT] = (f32)f->product;
}

void hsae_ref_segment_rows(const struct hsae_segment_rows_memory *m, const struct segment_rows_args *p)
{
    const u32 *control = m->control, *flags = m->flags, *starts = m->starts, *owners = m->owners, *levels = m->levels, *table = m->table;
    f32 *terms = m->terms, *sums = m->sums;
    for (u32 s = 0; s < p->room && !ref_halted(control); s++) {
        u32 i = owners[s], segment = control[CONTROL_SEGMENT], level = p->level;
        if (i < ref_first(levels, level) || i >= ref_first(levels, level + p->count))
            continue;
        while (i >= ref_first(levels, level + 1))
            level++;
        size_t own_row = p->residual_row + (size_t)(level - p->level) * p->padded;
        size_t above_row = p->above_row + (size_t)((level ? level : 1) - (p->level ? p->level : 1)) * p->padded;
        u32 begin = starts[i] + (s - table[(size_t)i * TABLE_WORDS + TABLE_SEGMENT]) * segment;
        struct ref_pairs f = {.index = i,
                              .flag = flags[i],
                              .begin = begin,
                              .end = ref_min(begin + segment, starts[i + 1]),
                              .range_rows = p->range_rows,
                              .stride = p->stride,
                              .rho = p->rho,
                              .bandwidth = p->bandwidth,
                              .threshold = bits_f32(table[(size_t)i * TABLE_WORDS + TABLE_THRESHOLD]),
                              .lambda = bits_f32(control[CONTROL_LEVELS + level * CONTROL_LEVEL_WORDS + CONTROL_LAMBDA]),
                              .ranges = m->D,
                              .flags = flags,
                              .pairs = m->pairs,
                              .samples = m->samples,
                              .kin = m->kin,
                              .x = m->x,
                              .residual = m->residual + own_row * p->stride,
                              .above = m->above + above_row * p->stride};
        f.decoder = ref_pairs_row(&f, i);
        sum_segment(&f, sums + 2 * (size_t)s * p->stride, sums + (2 * (size_t)s + 1) * p->stride, terms + p->segments + s * SEGMENT_WORDS);
    }
}
