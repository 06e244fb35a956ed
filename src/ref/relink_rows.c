/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_relink_rows(const struct hsae_relink_rows_memory *m, const struct relink_rows_args *p)
{
    const u32 *flags = m->flags;
    f32 *unit = m->unit;
    for (u32 r = 0; r < p->padded; r++) {
        u32 feature = p->first + ref_min(r, p->count - 1);
        u32 row = p->decoder ? ref_decoder_row(flags, feature) : feature;
        const f32 *values = ref_row(m->S, row, p->range_rows, p->stride);
        double norm = r < p->count ? sqrt(ref_dot(values, values, p->stride)) : 0;
        for (u32 k = 0; k < p->stride; k++) {
            size_t at = p->panels ? ((size_t)(r / 32) * p->stride + k) * 32 + r % 32 : (size_t)r * p->stride + k;
            unit[at] = norm > 0 ? (f32)(values[k] / norm) : 0.0f;
        }
    }
}
