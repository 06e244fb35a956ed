/* SPDX-License-Identifier: MIT */
/* The kernels' code for the drivers, generated at build time by tools/embed.py. */
#ifndef HSAE_SRC_KERNEL_CODE_H
#define HSAE_SRC_KERNEL_CODE_H

#include <stddef.h>
#include <stdint.h>

#include "list.h"

/* OpenCL C: a kernel's program is the prelude (kernels/dialect.h, kernels/args.h) followed by its own text. NUL-terminated ASCII. */
extern const char *const hsae_opencl_prelude;
extern const char *const hsae_opencl_code[HSAE_KERNEL_COUNT];
/* Bodies for one work-item a group; NULL: the kernel has none of its own. */
extern const char *const hsae_opencl_cpu_code[HSAE_KERNEL_COUNT];

/* SPIR-V 1.3; entry point "main", specialisation constants as kernels/dialect.h numbers them. */
struct hsae_spirv {
    const uint32_t *words;
    size_t size; /* bytes */
};
extern const struct hsae_spirv hsae_vulkan_code[HSAE_KERNEL_COUNT];

/* A hash of all of it, for what is kept about kernels. Any thread. */
uint64_t hsae_kernel_code_hash(void);

#endif
