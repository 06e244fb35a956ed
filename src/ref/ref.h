/* The reference kernels: plain C, one file a kernel, sums in double. A kernel runs one whole launch; `b` are the bound buffers' bytes in the
 * order of kernel_list.h, `args` the argument struct. The work is given by the arguments alone: the launch's groups and shape only cut it. */
#ifndef HSAE_SRC_REF_H
#define HSAE_SRC_REF_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernel_args.h"
#include "kernel_list.h"

typedef void (*ref_kernel)(void *const *b, const void *args, const u32 groups[2]);

/* Entry points: hsae_ref_NAME. */
#define HSAE_REF_DECLARE(name, access) void hsae_ref_##name(void *const *b, const void *args, const u32 groups[2]);
HSAE_KERNEL_LIST(HSAE_REF_DECLARE)
#undef HSAE_REF_DECLARE

/* Bits of a float in a u32 buffer. */
static inline f32 ref_f32(u32 bits)
{
    f32 value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline u32 ref_bits(f32 value)
{
    u32 bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#endif
