/* SPDX-License-Identifier: MIT */
/* The Vulkan loader, opened at run time: every function that is used, and the instance. */
#ifndef HSAE_SRC_VULKAN_API_H
#define HSAE_SRC_VULKAN_API_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <stdbool.h>

#include "base/context.h"

/* Functions without an instance, of an instance, of a device: X(name without vk). */
#define VULKAN_GLOBAL_MAP(X)                \
    X(CreateInstance)                       \
    X(EnumerateInstanceExtensionProperties) \
    X(EnumerateInstanceLayerProperties)     \
    X(EnumerateInstanceVersion)

#define VULKAN_INSTANCE_MAP(X)            \
    X(CreateDevice)                       \
    X(DestroyInstance)                    \
    X(EnumerateDeviceExtensionProperties) \
    X(EnumeratePhysicalDevices)           \
    X(GetDeviceProcAddr)                  \
    X(GetPhysicalDeviceMemoryProperties)  \
    X(GetPhysicalDeviceProperties)        \
    X(GetPhysicalDeviceProperties2)       \
    X(GetPhysicalDeviceQueueFamilyProperties)

/* With HSAE_VULKAN_VALIDATION=1, else NULL. */
#define VULKAN_DEBUG_MAP(X)          \
    X(CreateDebugUtilsMessengerEXT)  \
    X(DestroyDebugUtilsMessengerEXT) \
    X(SetDebugUtilsObjectNameEXT)

#define VULKAN_DEVICE_MAP(X)        \
    X(AllocateCommandBuffers)       \
    X(AllocateDescriptorSets)       \
    X(AllocateMemory)               \
    X(BeginCommandBuffer)           \
    X(BindBufferMemory)             \
    X(CmdBindDescriptorSets)        \
    X(CmdBindPipeline)              \
    X(CmdCopyBuffer)                \
    X(CmdDispatchBase)              \
    X(CmdFillBuffer)                \
    X(CmdPipelineBarrier)           \
    X(CmdPushConstants)             \
    X(CmdResetQueryPool)            \
    X(CmdWriteTimestamp)            \
    X(CreateBuffer)                 \
    X(CreateCommandPool)            \
    X(CreateComputePipelines)       \
    X(CreateDescriptorPool)         \
    X(CreateDescriptorSetLayout)    \
    X(CreateFence)                  \
    X(CreatePipelineCache)          \
    X(CreatePipelineLayout)         \
    X(CreateQueryPool)              \
    X(CreateShaderModule)           \
    X(DestroyBuffer)                \
    X(DestroyCommandPool)           \
    X(DestroyDescriptorPool)        \
    X(DestroyDescriptorSetLayout)   \
    X(DestroyDevice)                \
    X(DestroyFence)                 \
    X(DestroyPipeline)              \
    X(DestroyPipelineCache)         \
    X(DestroyPipelineLayout)        \
    X(DestroyQueryPool)             \
    X(DestroyShaderModule)          \
    X(DeviceWaitIdle)               \
    X(EndCommandBuffer)             \
    X(FlushMappedMemoryRanges)      \
    X(FreeCommandBuffers)           \
    X(FreeMemory)                   \
    X(GetBufferMemoryRequirements)  \
    X(GetDeviceQueue)               \
    X(GetPipelineCacheData)         \
    X(GetQueryPoolResults)          \
    X(InvalidateMappedMemoryRanges) \
    X(MapMemory)                    \
    X(QueueSubmit)                  \
    X(ResetFences)                  \
    X(UpdateDescriptorSets)         \
    X(WaitForFences)

#define VULKAN_MEMBER(name) PFN_vk##name name;

struct vulkan_instance {
    const hsae_context *context;
    void *library;
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
    VkInstance handle;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice *devices; /* those that can be used: Vulkan 1.1 and a compute queue */
    uint32_t device_count;
    VULKAN_GLOBAL_MAP(VULKAN_MEMBER)
    VULKAN_INSTANCE_MAP(VULKAN_MEMBER)
    VULKAN_DEBUG_MAP(VULKAN_MEMBER)
};

/* The functions of one device. */
struct vulkan_api {
    VULKAN_DEVICE_MAP(VULKAN_MEMBER)
};

/* Opens the loader and lists the devices: none without a loader, a driver or a device; a driver that failed is a warning as well. With
 * HSAE_VULKAN_VALIDATION=1 the validation layer, if installed, reports to the log at HSAE_LOG_ERROR. */
void hsae_vulkan_instance_create(const hsae_context *context, struct vulkan_instance *instance);
/* Takes half-built and zeroed ones. */
void hsae_vulkan_instance_destroy(struct vulkan_instance *instance);

/* The queue family to compute on, or UINT32_MAX. `family` gets its properties. */
uint32_t hsae_vulkan_queue_family(const struct vulkan_instance *instance, VkPhysicalDevice physical, VkQueueFamilyProperties *family);
bool hsae_vulkan_has_extension(const struct vulkan_instance *instance, VkPhysicalDevice physical, const char *name);
/* "VK_ERROR_DEVICE_LOST"; static strings. */
const char *hsae_vulkan_result_name(VkResult result);

#endif
