/* SPDX-License-Identifier: MIT */
/* Every kernel: KERNEL(name, access). A kernel exists iff it is a line here; the enum, the table, the build and the tests come from it.
 * name: cl_kernels/NAME.cl, shaders/NAME.comp, src/ref/NAME.c, tests/kernels/NAME.c, struct NAME_args in kernels/args.h.
 * access: one letter for each binding, in order: r read, w written (whole, or where documented in the kernel), m read and written. */
#ifndef HSAE_KERNEL_LIST_H
#define HSAE_KERNEL_LIST_H

/* clang-format off */
#define HSAE_KERNEL_LIST(KERNEL)                                                                           \
    KERNEL(load,          "rrwww")                /* raw rows -> x, panels, norms */                       \
    KERNEL(swap,          "rrrrrw")               /* perturbation and dead flags */                        \
    KERNEL(prepare,       "rrrrm")                /* clock, dead list, first lambda */                     \
    KERNEL(encode,        "rrrww")                /* panels x E -> bits, scratch */                        \
    KERNEL(quantize,      "rww")                  /* x -> panels of 16-bit numbers, units */               \
    KERNEL(screen,        "rrrrrwww")             /* encode by way of 16-bit products */                   \
    KERNEL(lists_count,   "rw")                   /* bits -> pairs of each feature */                      \
    KERNEL(scan,          "rmm")                  /* counts -> starts */                                   \
    KERNEL(lists_fill,    "rrrrrwwww")            /* bits, scratch -> pairs by feature */                  \
    KERNEL(samples_count, "rrrw")                 /* bits -> block tallies of each sample */               \
    KERNEL(samples_base,  "rmw")                  /* tallies -> block offsets, totals */                   \
    KERNEL(samples_fill,  "rrrrrrrrmww")          /* -> pairs by sample */                                 \
    KERNEL(decode,        "rrrrrrrrrrww")         /* pairs by sample, D -> residual, loss */               \
    KERNEL(family_dot,    "rrrrrrw")              /* D_parent . D_child */                                 \
    KERNEL(family,        "rrrrrrw")              /* the constraint's scalars of each pair */              \
    KERNEL(ghost,         "rrrrrrrrrrrrrww")      /* dead features: y, alpha y + R */                      \
    KERNEL(ghost_scale,   "rrrw")                 /* the ghost loss's constants */                         \
    KERNEL(ghost_rows,    "rrrrrrrrrrrrrrrw")     /* dead features: gradient rows */                       \
    KERNEL(segments,      "rmmw")                 /* which features' pairs are cut */                      \
    KERNEL(segment_rows,  "rrrrrrrmmrrrrrrrrw")   /* sums over a segment's pairs */                        \
    KERNEL(update,        "rrrrrrmmmmmmmmmmmrrrr") /* gradients, Adam, renormalisation of E, D, b, theta */ \
    KERNEL(bias,          "rrmm")                 /* gradient and Adam of c */                             \
    KERNEL(variance,      "rw")                   /* of the batch, by column */                            \
    KERNEL(control,       "rrrrrrmmw")            /* lambda, last fired, figures */                        \
    KERNEL(relink_rows,   "rrrrrw")               /* unit rows of E or D */                                \
    KERNEL(relink_count,  "rw")                   /* co-activation counts */                               \
    KERNEL(relink_best,   "rrm")                  /* best parents of each child */                         \
    KERNEL(peak_fma,      "rw")                   /* as many multiply-adds as go */                        \
    KERNEL(peak_copy,     "rw")                   /* as many bytes as go */
/* Kernels with a body of their own for OpenCL CPU devices (one work-item a group): cl_kernels/NAME_cpu.cl. */
#define HSAE_CPU_KERNEL_LIST(CPU_KERNEL)                                                                   \
    CPU_KERNEL(load)                                                                                       \
    CPU_KERNEL(encode)                                                                                     \
    CPU_KERNEL(decode)                                                                                     \
    CPU_KERNEL(samples_count)                                                                              \
    CPU_KERNEL(samples_base)                                                                               \
    CPU_KERNEL(update)
/* clang-format on */

enum hsae_kernel {
#define HSAE_KERNEL_ENUM(name, access) HSAE_KERNEL_##name,
    HSAE_KERNEL_LIST(HSAE_KERNEL_ENUM)
#undef HSAE_KERNEL_ENUM
        HSAE_KERNEL_COUNT
};

#endif
