/* SPDX-License-Identifier: MIT */
#include "base/context.h"
#include "code.h"

#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t hash = HSAE_HASH_START;

#ifdef HSAE_HAVE_OPENCL
static void add_text(const char *text)
{
    if (text)
        hash = hsae_hash(hash, text, strlen(text) + 1);
}
#endif

static void compute(void)
{
#ifdef HSAE_HAVE_OPENCL
    add_text(hsae_opencl_prelude);
    for (size_t k = 0; k < HSAE_KERNEL_COUNT; k++) {
        add_text(hsae_opencl_code[k]);
        add_text(hsae_opencl_cpu_code[k]);
    }
#endif
#ifdef HSAE_HAVE_VULKAN
    for (size_t k = 0; k < HSAE_KERNEL_COUNT; k++)
        hash = hsae_hash(hash, hsae_vulkan_code[k].words, hsae_vulkan_code[k].size);
#endif
}

uint64_t hsae_kernel_code_hash(void)
{
    pthread_once(&once, compute);
    return hash;
}
