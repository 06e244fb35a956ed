/* SPDX-License-Identifier: MIT */
/* For tests/offline/offline.py: shapes are lines of a kernel's name, its constants in the order of struct hsae_kernel_shape and the local
 * memory of its tile.
 *
 * shapes BACKEND TYPE VENDOR GROUP LOCAL   prints the default shapes of a device: opencl or vulkan; integrated or discrete; PCI id of
 *                                          the maker; its largest work-group and local memory in bytes
 * shapes vulkan                            compiles the shapes that it reads on the first Vulkan device, without running them */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/shape.h"
#ifdef HSAE_HAVE_VULKAN
#include "vulkan/vulkan_device.h"
#endif

static int print_shapes(char **words)
{
    struct hsae_device device = {.vendor = (uint32_t)strtoul(words[2], NULL, 16)};
    device.info.backend = strcmp(words[0], "opencl") ? HSAE_BACKEND_VULKAN : HSAE_BACKEND_OPENCL;
    device.info.type = strcmp(words[1], "discrete") ? HSAE_DEVICE_INTEGRATED : HSAE_DEVICE_DISCRETE;
    device.info.limits.vector_width = 4;
    device.info.limits.max_group_size = (uint32_t)strtoul(words[3], NULL, 0);
    device.info.limits.max_local_bytes = (uint32_t)strtoul(words[4], NULL, 0);
    for (int kernel = 0; kernel < HSAE_KERNEL_COUNT; kernel++) {
        struct hsae_kernel_shape s = hsae_shape(&device, (enum hsae_kernel)kernel, 1);
        printf("%s %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32
               "\n",
               hsae_kernels[kernel].name, s.group_size, s.columns, s.ranges, s.vector_width, s.tile_vectors, s.tile_words, s.tile_step,
               s.tile_pad, s.tile_prefetch, hsae_local_bytes((enum hsae_kernel)kernel, &s));
    }
    return 0;
}

#ifdef HSAE_HAVE_VULKAN
static void print_error(void *user, hsae_log_level level, const char *message)
{
    (void)user;
    if (level <= HSAE_LOG_WARNING)
        fprintf(stderr, "%s\n", message);
}

/* As much of a device as compiling needs: RADV's null device has no more (hsae_device_open fails on it). */
static bool open_device(hsae_context *context, struct vulkan_device *device)
{
    const float priority = 1.0f;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue};
    device->base.context = context;
    hsae_vulkan_instance_create(context, &device->instance);
    if (!device->instance.device_count || device->instance.CreateDevice(device->instance.devices[0], &info, NULL, &device->handle))
        return false;
    device->physical = device->instance.devices[0];
#define LOAD(name) device->vk.name = (PFN_vk##name)device->instance.GetDeviceProcAddr(device->handle, "vk" #name);
    VULKAN_DEVICE_MAP(LOAD)
#undef LOAD
    return true;
}

static int compile_shapes(void)
{
    const hsae_context_params params = {.log = print_error};
    hsae_context *context = NULL;
    struct vulkan_device device = {0};
    struct hsae_kernel_shape s;
    char name[32];
    bool good = !hsae_context_create(&params, &context) && open_device(context, &device);
    if (!good)
        fprintf(stderr, "there is no Vulkan device\n");
    while (good &&
           scanf("%31s %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %*u",
                 name, &s.group_size, &s.columns, &s.ranges, &s.vector_width, &s.tile_vectors, &s.tile_words, &s.tile_step, &s.tile_pad,
                 &s.tile_prefetch) == 10)
        for (int kernel = 0; kernel < HSAE_KERNEL_COUNT && good; kernel++)
            if (!strcmp(name, hsae_kernels[kernel].name)) {
                VkPipeline pipeline;
                fprintf(stderr, "kernel %s\n", name); /* the driver's statistics follow on stderr */
                good = !hsae_vulkan_pipeline_get(&device, (enum hsae_kernel)kernel, &s, &pipeline);
            }
    if (device.handle) {
        hsae_vulkan_pipelines_destroy(&device);
        device.vk.DestroyDevice(device.handle, NULL);
    }
    hsae_vulkan_instance_destroy(&device.instance);
    hsae_context_destroy(&context);
    return !good;
}
#endif

int main(int argc, char **argv)
{
    if (argc == 6)
        return print_shapes(argv + 1);
#ifdef HSAE_HAVE_VULKAN
    if (argc == 2 && !strcmp(argv[1], "vulkan"))
        return compile_shapes();
#endif
    fprintf(stderr, "usage: shapes BACKEND TYPE VENDOR GROUP LOCAL | shapes vulkan\n");
    return 2;
}
