/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_peak_copy(const struct hsae_peak_copy_memory *m, const struct peak_copy_args *p)
{
    memcpy(m->to, m->from, (size_t)p->count * sizeof(f32));
}
