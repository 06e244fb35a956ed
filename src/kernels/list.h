/* SPDX-License-Identifier: MIT */
/* Every kernel: KERNEL(name, work, group, body). A kernel exists iff it is a line here; the enum, the tables, the build and the tests come
 * from it.
 * name   cl_kernels/NAME.cl, shaders/NAME.comp, src/ref/NAME.c, tests/kernels/NAME.c; its arguments, bindings and local arrays: args.h
 * work   what a work-group works on: enum hsae_work
 * group  what `hsae bench` counts it to
 * body   CPU_BODY: OpenCL CPU devices have a body of their own with one work-item a group, cl_kernels/NAME_cpu.cl */
#ifndef HSAE_KERNEL_LIST_H
#define HSAE_KERNEL_LIST_H

/* clang-format off */
#define HSAE_KERNEL_LIST(KERNEL)                                                                                      \
    KERNEL(load,          ROW,    load,      CPU_BODY)       /* raw rows -> x, panels, norms */                       \
    KERNEL(feature_flags, ITEM,   hierarchy, ONE_BODY)       /* perturbation and dead flags */                        \
    KERNEL(prepare,       SINGLE, control,   ONE_BODY)       /* step_params -> step_state, dead list */               \
    KERNEL(encode,        TILE,   encode,    CPU_BODY)       /* panels x E -> bits, scratch */                        \
    KERNEL(quantize,      ROW,    load,      ONE_BODY)       /* x -> panels of 16-bit numbers, units */               \
    KERNEL(screen,        TILE,   encode,    ONE_BODY)       /* encode by way of 16-bit products */                   \
    KERNEL(quantize8,     ROW,    load,      ONE_BODY)       /* x -> panels of 8-bit numbers, units */                \
    KERNEL(screen8,       TILE,   encode,    ONE_BODY)       /* encode by way of 8-bit products */                    \
    KERNEL(lists_count,   TEAM,   lists,     ONE_BODY)       /* bits -> pairs of each feature */                      \
    KERNEL(scan,          SINGLE, lists,     ONE_BODY)       /* counts -> starts; which features' pairs are cut */    \
    KERNEL(lists_fill,    TEAM,   lists,     ONE_BODY)       /* bits, scratch -> pairs by feature */                  \
    KERNEL(samples_count, TEAM,   lists,     CPU_BODY)       /* bits -> block tallies of each sample */               \
    KERNEL(samples_base,  TEAM,   lists,     CPU_BODY)       /* tallies -> block offsets, totals */                   \
    KERNEL(samples_fill,  TEAM,   lists,     ONE_BODY)       /* -> pairs by sample */                                 \
    KERNEL(decode,        ROW,    decode,    CPU_BODY)       /* pairs by sample, D -> residual, loss */               \
    KERNEL(merge,         ROW,    decode,    ONE_BODY)       /* partial sums of shards -> their sum */                \
    KERNEL(family_dot,    ROW,    hierarchy, ONE_BODY)       /* D_parent . D_child */                                 \
    KERNEL(family,        TEAM,   hierarchy, ONE_BODY)       /* the constraint's scalars of each pair */              \
    KERNEL(ghost,         ROW,    ghost,     ONE_BODY)       /* dead features: y, alpha y + R */                      \
    KERNEL(ghost_scale,   SINGLE, ghost,     ONE_BODY)       /* the ghost loss's constants */                         \
    KERNEL(ghost_rows,    ROW,    ghost,     ONE_BODY)       /* dead features: gradient rows */                       \
    KERNEL(segment_rows,  ROW,    update,    ONE_BODY)       /* sums over a segment's pairs */                        \
    KERNEL(update,        ROW,    update,    CPU_BODY)       /* gradients, Adam, renormalisation of E, D, b, theta */ \
    KERNEL(bias,          COLUMN, control,   ONE_BODY)       /* gradient and Adam of c; variance of the batch */      \
    KERNEL(finish_step,   SINGLE, control,   ONE_BODY)       /* end: lambda, thresholds, last_fired, report */        \
    KERNEL(relink_rows,   ROW,    tree,      ONE_BODY)       /* unit rows of E or D */                                \
    KERNEL(relink_count,  TEAM,   tree,      ONE_BODY)       /* co-activation counts */                               \
    KERNEL(relink_best,   TEAM,   tree,      ONE_BODY)       /* best parents of each child */                         \
    KERNEL(peak_fma,      CHAIN,  peak,      ONE_BODY)       /* peak rate of multiply-adds */                         \
    KERNEL(peak_copy,     STREAM, peak,      ONE_BODY)       /* peak rate of bytes */                                 \
    KERNEL(peak_gather,   STREAM, peak,      ONE_BODY)       /* peak rate of rows that lie anywhere */
/* clang-format on */

enum hsae_kernel {
#define HSAE_KERNEL_ENUM(name, ...) HSAE_KERNEL_##name,
    HSAE_KERNEL_LIST(HSAE_KERNEL_ENUM)
#undef HSAE_KERNEL_ENUM
        HSAE_KERNEL_COUNT
};

#endif
