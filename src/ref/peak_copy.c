/* SPDX-License-Identifier: MIT */
#include "ref.h"

void hsae_ref_peak_copy(void *const *b, const void *args, const u32 groups[2])
{
    const struct peak_copy_args *p = args;
    (void)groups;
    memcpy(b[1], b[0], (size_t)p->count * sizeof(f32));
}
