/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* However pairs are screened, the result is the same. */
void hsae_ref_screen8(const struct hsae_screen8_memory *m, const struct screen8_args *p)
{
    const struct hsae_screen_memory memory = {
        .x = m->x, .encoder = m->encoder, .feature_scalars = m->feature_scalars, .bits = m->bits, .scratch = m->scratch};
    const struct screen_args args = {
        .first = p->first, .row = p->row, .count = p->count, .batch = p->batch, .words = p->words, .stride = p->stride};
    hsae_ref_screen(&memory, &args);
}
