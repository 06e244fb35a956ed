/* SPDX-License-Identifier: MIT */
#include "vulkan_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In vulkan_beta.h only, which needs a macro that turns on more than this. */
#define PORTABILITY_SUBSET "VK_KHR_portability_subset"

static const struct device_ops vulkan_ops;

/* ---- what a device is ---- */

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint64_t device_memory(const struct vulkan_instance *instance, VkPhysicalDevice physical)
{
    VkPhysicalDeviceMemoryProperties memory;
    instance->GetPhysicalDeviceMemoryProperties(physical, &memory);
    uint64_t largest = 0;
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
        if (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT && memory.memoryHeaps[i].size > largest)
            largest = memory.memoryHeaps[i].size;
    return largest;
}

static hsae_device_type device_type(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return HSAE_DEVICE_CPU;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return HSAE_DEVICE_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return HSAE_DEVICE_DISCRETE;
    default:
        return HSAE_DEVICE_VIRTUAL;
    }
}

static hsae_device_info describe(const struct vulkan_instance *instance, VkPhysicalDevice physical)
{
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties maintenance3 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceProperties2 properties2 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &maintenance3};
    VkPhysicalDeviceIDProperties identity = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES};
    VkPhysicalDevicePCIBusInfoPropertiesEXT pci = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT};
    VkPhysicalDeviceMaintenance4Properties maintenance4 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES,
                                                           .maxBufferSize = UINT64_MAX};
    bool has_driver = hsae_vulkan_has_extension(instance, physical, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME);
    bool has_pci = hsae_vulkan_has_extension(instance, physical, VK_EXT_PCI_BUS_INFO_EXTENSION_NAME);
    maintenance3.pNext = &identity;
    if (has_driver) {
        driver.pNext = maintenance3.pNext;
        maintenance3.pNext = &driver;
    }
    if (hsae_vulkan_has_extension(instance, physical, VK_KHR_MAINTENANCE_4_EXTENSION_NAME)) {
        maintenance4.pNext = maintenance3.pNext;
        maintenance3.pNext = &maintenance4;
    }
    if (has_pci) {
        pci.pNext = maintenance3.pNext;
        maintenance3.pNext = &pci;
    }
    instance->GetPhysicalDeviceProperties2(physical, &properties2);
    const VkPhysicalDeviceProperties *properties = &properties2.properties;
    const VkPhysicalDeviceLimits *limits = &properties->limits;

    hsae_device_info info = {
        .backend = HSAE_BACKEND_VULKAN,
        .type = device_type(properties->deviceType),
        .units = hsae_vulkan_units(instance, physical),
        .limits =
            {
                .memory_bytes = device_memory(instance, physical),
                .max_allocation_bytes = maintenance3.maxMemoryAllocationSize < maintenance4.maxBufferSize
                                            ? maintenance3.maxMemoryAllocationSize
                                            : maintenance4.maxBufferSize,
                .max_binding_bytes = limits->maxStorageBufferRange,
                .max_bindings = min_u32(limits->maxPerStageDescriptorStorageBuffers,
                                        min_u32(limits->maxDescriptorSetStorageBuffers, limits->maxPerStageResources)),
                .max_args_bytes = limits->maxPushConstantsSize,
                .max_group_size = min_u32(limits->maxComputeWorkGroupInvocations, limits->maxComputeWorkGroupSize[0]),
                .max_groups = {limits->maxComputeWorkGroupCount[0], limits->maxComputeWorkGroupCount[1]},
                .max_local_bytes = limits->maxComputeSharedMemorySize,
                .vector_width = 4,
            },
    };
    snprintf(info.name, sizeof info.name, "%s", properties->deviceName);
    if (has_driver)
        snprintf(info.driver, sizeof info.driver, "%.100s %.150s", driver.driverName, driver.driverInfo);
    else
        snprintf(info.driver, sizeof info.driver, "Vulkan driver 0x%x", properties->driverVersion);
    if (has_pci)
        hsae_device_set_pci(&info, pci.pciDomain, pci.pciBus, pci.pciDevice, pci.pciFunction);
    hsae_device_set_uuid(&info, identity.deviceUUID);
    return info;
}

static hsae_status vulkan_enumerate(hsae_context *context, hsae_device_info **list, size_t *count)
{
    struct vulkan_instance instance;
    hsae_status status = HSAE_OK;
    hsae_vulkan_instance_create(context, &instance);
    for (uint32_t i = 0; i < instance.device_count && !status; i++) {
        hsae_device_info info = describe(&instance, instance.devices[i]);
        status = hsae_device_info_append(context, list, count, &info);
    }
    hsae_vulkan_instance_destroy(&instance);
    return status;
}

/* ---- open and close ---- */

static void vulkan_close(struct hsae_device *base)
{
    struct vulkan_device *device = (struct vulkan_device *)base;
    const struct vulkan_api *vk = &device->vk;
    if (device->handle && vk->DestroyDevice) {
        vk->DeviceWaitIdle(device->handle);
        hsae_vulkan_pipelines_destroy(device);
        hsae_vulkan_buffer_destroy(device->staging);
        for (size_t i = 0; i < VULKAN_IN_FLIGHT; i++)
            vk->DestroyFence(device->handle, device->fences[i].handle, NULL);
        vk->DestroyCommandPool(device->handle, device->commands, NULL);
        vk->DestroyDevice(device->handle, NULL);
    }
    hsae_vulkan_instance_destroy(&device->instance);
    free(device);
}

static hsae_status create_device(struct vulkan_device *device)
{
    const struct vulkan_instance *instance = &device->instance;
    VkPhysicalDeviceProperties properties;
    VkQueueFamilyProperties family = {0};
    instance->GetPhysicalDeviceProperties(device->physical, &properties);
    instance->GetPhysicalDeviceMemoryProperties(device->physical, &device->memory);
    device->queue_family = hsae_vulkan_queue_family(instance, device->physical, &family);
    device->base.vendor = properties.vendorID;
    device->atom = properties.limits.nonCoherentAtomSize;
    device->max_memories = properties.limits.maxMemoryAllocationCount;
    device->timestamp_period = properties.limits.timestampPeriod;
    if (family.timestampValidBits)
        device->timestamp_mask = UINT64_MAX >> (64 - family.timestampValidBits);
    device->base.can_time = true;
    /* HSAE_VULKAN_UNIFIED=0 copies through staging buffers where it need not, as a discrete GPU must. */
    bool copies = strcmp(hsae_setting_text(device->base.context, HSAE_SETTING_VULKAN_UNIFIED), "0") == 0;
    device->unified = (device->base.info.type == HSAE_DEVICE_CPU || device->base.info.type == HSAE_DEVICE_INTEGRATED) && !copies;

    const float priority = 1.0f;
    const char *extension = PORTABILITY_SUBSET;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = device->queue_family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = hsae_vulkan_has_extension(instance, device->physical, PORTABILITY_SUBSET), /* must be, where it is */
        .ppEnabledExtensionNames = &extension,
    };
    hsae_status status =
        hsae_vulkan_check(device, instance->CreateDevice(device->physical, &info, NULL, &device->handle), "vkCreateDevice");
    if (status) {
        device->handle = NULL;
        return status;
    }
#define LOAD(name) device->vk.name = (PFN_vk##name)instance->GetDeviceProcAddr(device->handle, "vk" #name);
    VULKAN_DEVICE_MAP(LOAD)
#undef LOAD
    device->vk.GetDeviceQueue(device->handle, device->queue_family, 0, &device->queue);
    return HSAE_OK;
}

static hsae_status create_objects(struct vulkan_device *device)
{
    const struct vulkan_api *vk = &device->vk;
    VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = device->queue_family,
    };
    hsae_status status =
        hsae_vulkan_check(device, vk->CreateCommandPool(device->handle, &pool, NULL, &device->commands), "vkCreateCommandPool");
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    for (size_t i = 0; i < VULKAN_IN_FLIGHT && !status; i++)
        status = hsae_vulkan_check(device, vk->CreateFence(device->handle, &fence, NULL, &device->fences[i].handle), "vkCreateFence");
    if (!status)
        status = hsae_vulkan_commands_create(device, &device->transfer);
    return status ? status : hsae_vulkan_pipelines_create(device);
}

static hsae_status vulkan_open(hsae_context *context, size_t index, struct hsae_device **out)
{
    struct vulkan_device *device = calloc(1, sizeof *device);
    if (!device)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for a Vulkan device");
    device->base.context = context;
    device->base.ops = &vulkan_ops;
    hsae_vulkan_instance_create(context, &device->instance);
    hsae_status status = HSAE_OK;
    if (index >= device->instance.device_count) {
        status = hsae_fail(context, HSAE_ERROR_NO_DEVICE, "vulkan:%zu is gone", index);
        goto error;
    }
    device->physical = device->instance.devices[index];
    device->base.info = describe(&device->instance, device->physical);
    snprintf(device->base.info.id, sizeof device->base.info.id, "vulkan:%zu", index);
    status = create_device(device);
    if (!status)
        status = create_objects(device);
    if (status)
        goto error;
    *out = &device->base;
    return HSAE_OK;
error:
    vulkan_close(&device->base);
    return status;
}

static const struct device_ops vulkan_ops = {
    .buffer_create = hsae_vulkan_buffer_create,
    .buffer_destroy = hsae_vulkan_buffer_destroy,
    .buffer_write = hsae_vulkan_buffer_write,
    .buffer_read = hsae_vulkan_buffer_read,
    .buffer_map = hsae_vulkan_buffer_map,
    .buffer_unmap = hsae_vulkan_buffer_unmap,
    .sequence_create = hsae_vulkan_sequence_create,
    .sequence_launch = hsae_vulkan_sequence_launch,
    .sequence_cut = hsae_vulkan_sequence_cut,
    .sequence_end = hsae_vulkan_sequence_end,
    .sequence_submit = hsae_vulkan_sequence_submit,
    .sequence_times = hsae_vulkan_sequence_times,
    .sequence_destroy = hsae_vulkan_sequence_destroy,
    .wait = hsae_vulkan_wait,
    .close = vulkan_close,
};

const struct backend hsae_backend_vulkan = {
    .backend = HSAE_BACKEND_VULKAN,
    .name = "vulkan",
    .enumerate = vulkan_enumerate,
    .open = vulkan_open,
};
