/* SPDX-License-Identifier: MIT */
/* Any text as a tuning file; whatever is taken from it must be a shape of the search space. */
#include "device/shape.h"
#include "device/tuning_file.h"
#include "fuzz.h"

#include <string.h>

static struct hsae_device make_device(hsae_context *context, uint32_t kind)
{
    struct hsae_device device = {.context = context};
    device.info.backend = kind % 2 ? HSAE_BACKEND_OPENCL : HSAE_BACKEND_VULKAN;
    device.info.type = kind / 2 % 2 ? HSAE_DEVICE_CPU : HSAE_DEVICE_DISCRETE;
    device.info.limits.max_group_size = 128;
    device.info.limits.max_local_bytes = 16384;
    device.info.limits.vector_width = 8;
    strcpy(device.info.name, "n");
    strcpy(device.info.driver, "d");
    return device;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hsae_context *context = fuzz_context();
    static struct hsae_kernel_shape space[HSAE_MAX_SHAPES];
    for (uint32_t kind = 0; kind < 4; kind++) {
        struct hsae_device device = make_device(context, kind);
        hsae_tuning_parse(&device, (const char *)data, size, "fuzz");
        for (int kernel = 0; kernel < HSAE_KERNEL_COUNT; kernel++) {
            const struct hsae_kernel_shape *shape = &device.tuning.shape[kernel];
            if (!shape->group_size)
                continue;
            size_t count = hsae_shape_space(&device, (enum hsae_kernel)kernel, space), at = 0;
            while (at < count && memcmp(&space[at], shape, sizeof *shape) != 0)
                at++;
            if (at == count)
                abort();
        }
    }
    return 0;
}
