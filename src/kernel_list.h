/* Every kernel: KERNEL(name, access). A kernel exists iff it is a line here; the enum, the table, the build and the tests come from it.
 * name: cl_kernels/NAME.cl, shaders/NAME.comp, src/ref/NAME.c, tests/kernels/NAME.c, struct NAME_args in kernel_args.h.
 * access: one letter for each binding, in order: r read, w written (whole, or where documented in the kernel), m read and written. */
#ifndef HSAE_KERNEL_LIST_H
#define HSAE_KERNEL_LIST_H

/* clang-format off */
#define HSAE_KERNEL_LIST(KERNEL)                                                  \
    KERNEL(swap,          "rrrrrw")            /* perturbation, dead and slot flags */
/* clang-format on */

enum hsae_kernel {
#define HSAE_KERNEL_ENUM(name, access) HSAE_KERNEL_##name,
    HSAE_KERNEL_LIST(HSAE_KERNEL_ENUM)
#undef HSAE_KERNEL_ENUM
    HSAE_KERNEL_COUNT
};

#endif
