/* libvulkan.so.1 between the library and the real loader: any call that gives a VkResult can be made to fail (faults.h). */
#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#define LOADER "vulkan"
#include "faults.h"

static VkDevice device;
static PFN_vkDeviceWaitIdle wait_idle;
static PFN_vkGetInstanceProcAddr instance_function;
static PFN_vkGetDeviceProcAddr device_function;

static VkResult result(void)
{
    static const VkResult results[] = {VK_ERROR_DEVICE_LOST, VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_OUT_OF_HOST_MEMORY,
                                       VK_ERROR_INVALID_SHADER_NV};
    return results[fault_kind];
}

static void drain(void)
{
    if (wait_idle)
        wait_idle(device);
}

#define FAULT(name, builds, parameters, arguments)               \
    static PFN_vk##name real_##name;                             \
    static VKAPI_ATTR VkResult VKAPI_CALL name parameters        \
    {                                                            \
        return fails(builds) ? result() : real_##name arguments; \
    }
#define MADE const VkAllocationCallbacks *a
FAULT(CreateInstance, false, (const VkInstanceCreateInfo *i, MADE, VkInstance *o), (i, a, o))
FAULT(EnumeratePhysicalDevices, false, (VkInstance i, uint32_t *c, VkPhysicalDevice *p), (i, c, p))
FAULT(EnumerateDeviceExtensionProperties, false, (VkPhysicalDevice p, const char *l, uint32_t *c, VkExtensionProperties *o), (p, l, c, o))
FAULT(AllocateCommandBuffers, false, (VkDevice d, const VkCommandBufferAllocateInfo *i, VkCommandBuffer *o), (d, i, o))
FAULT(AllocateDescriptorSets, false, (VkDevice d, const VkDescriptorSetAllocateInfo *i, VkDescriptorSet *o), (d, i, o))
FAULT(AllocateMemory, false, (VkDevice d, const VkMemoryAllocateInfo *i, MADE, VkDeviceMemory *o), (d, i, a, o))
FAULT(BeginCommandBuffer, false, (VkCommandBuffer c, const VkCommandBufferBeginInfo *i), (c, i))
FAULT(BindBufferMemory, false, (VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize o), (d, b, m, o))
FAULT(CreateBuffer, false, (VkDevice d, const VkBufferCreateInfo *i, MADE, VkBuffer *o), (d, i, a, o))
FAULT(CreateCommandPool, false, (VkDevice d, const VkCommandPoolCreateInfo *i, MADE, VkCommandPool *o), (d, i, a, o))
FAULT(CreateComputePipelines, true, (VkDevice d, VkPipelineCache p, uint32_t n, const VkComputePipelineCreateInfo *i, MADE, VkPipeline *o),
      (d, p, n, i, a, o))
FAULT(CreateDescriptorPool, false, (VkDevice d, const VkDescriptorPoolCreateInfo *i, MADE, VkDescriptorPool *o), (d, i, a, o))
FAULT(CreateDescriptorSetLayout, false, (VkDevice d, const VkDescriptorSetLayoutCreateInfo *i, MADE, VkDescriptorSetLayout *o),
      (d, i, a, o))
FAULT(CreateFence, false, (VkDevice d, const VkFenceCreateInfo *i, MADE, VkFence *o), (d, i, a, o))
FAULT(CreatePipelineCache, false, (VkDevice d, const VkPipelineCacheCreateInfo *i, MADE, VkPipelineCache *o), (d, i, a, o))
FAULT(CreatePipelineLayout, false, (VkDevice d, const VkPipelineLayoutCreateInfo *i, MADE, VkPipelineLayout *o), (d, i, a, o))
FAULT(CreateQueryPool, false, (VkDevice d, const VkQueryPoolCreateInfo *i, MADE, VkQueryPool *o), (d, i, a, o))
FAULT(CreateShaderModule, true, (VkDevice d, const VkShaderModuleCreateInfo *i, MADE, VkShaderModule *o), (d, i, a, o))
FAULT(EndCommandBuffer, false, (VkCommandBuffer c), (c))
FAULT(FlushMappedMemoryRanges, false, (VkDevice d, uint32_t n, const VkMappedMemoryRange *r), (d, n, r))
FAULT(GetPipelineCacheData, false, (VkDevice d, VkPipelineCache p, size_t *n, void *o), (d, p, n, o))
FAULT(GetQueryPoolResults, false,
      (VkDevice d, VkQueryPool p, uint32_t f, uint32_t c, size_t n, void *o, VkDeviceSize s, VkQueryResultFlags g),
      (d, p, f, c, n, o, s, g))
FAULT(InvalidateMappedMemoryRanges, false, (VkDevice d, uint32_t n, const VkMappedMemoryRange *r), (d, n, r))
FAULT(MapMemory, false, (VkDevice d, VkDeviceMemory m, VkDeviceSize o, VkDeviceSize n, VkMemoryMapFlags f, void **p), (d, m, o, n, f, p))
FAULT(QueueSubmit, false, (VkQueue q, uint32_t n, const VkSubmitInfo *i, VkFence f), (q, n, i, f))
FAULT(ResetFences, false, (VkDevice d, uint32_t n, const VkFence *f), (d, n, f))
FAULT(WaitForFences, false, (VkDevice d, uint32_t n, const VkFence *f, VkBool32 a, uint64_t t), (d, n, f, a, t))

static PFN_vkCreateDevice real_CreateDevice;
static VKAPI_ATTR VkResult VKAPI_CALL CreateDevice(VkPhysicalDevice p, const VkDeviceCreateInfo *i, MADE, VkDevice *o)
{
    VkResult made = fails(false) ? result() : real_CreateDevice(p, i, a, o);
    if (made)
        return made;
    wait_idle = (PFN_vkDeviceWaitIdle)device_function(*o, "vkDeviceWaitIdle");
    device = *o;
    return VK_SUCCESS;
}

static PFN_vkDestroyDevice real_DestroyDevice;
static VKAPI_ATTR void VKAPI_CALL DestroyDevice(VkDevice d, MADE)
{
    wait_idle = NULL;
    real_DestroyDevice(d, a);
}

/* The wrapper of a function, where there is one; else what the loader gave. */
static PFN_vkVoidFunction wrap(const char *name, PFN_vkVoidFunction real)
{
#define WRAP(function)                               \
    if (real && strcmp(name, "vk" #function) == 0) { \
        real_##function = (PFN_vk##function)real;    \
        return (PFN_vkVoidFunction)function;         \
    }
    WRAP(CreateInstance)
    WRAP(EnumeratePhysicalDevices)
    WRAP(EnumerateDeviceExtensionProperties)
    WRAP(AllocateCommandBuffers)
    WRAP(AllocateDescriptorSets)
    WRAP(AllocateMemory)
    WRAP(BeginCommandBuffer)
    WRAP(BindBufferMemory)
    WRAP(CreateBuffer)
    WRAP(CreateCommandPool)
    WRAP(CreateComputePipelines)
    WRAP(CreateDescriptorPool)
    WRAP(CreateDescriptorSetLayout)
    WRAP(CreateDevice)
    WRAP(CreateFence)
    WRAP(CreatePipelineCache)
    WRAP(CreatePipelineLayout)
    WRAP(CreateQueryPool)
    WRAP(CreateShaderModule)
    WRAP(DestroyDevice)
    WRAP(EndCommandBuffer)
    WRAP(FlushMappedMemoryRanges)
    WRAP(GetPipelineCacheData)
    WRAP(GetQueryPoolResults)
    WRAP(InvalidateMappedMemoryRanges)
    WRAP(MapMemory)
    WRAP(QueueSubmit)
    WRAP(ResetFences)
    WRAP(WaitForFences)
    return real;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_function(VkDevice d, const char *name)
{
    return wrap(name, device_function(d, name));
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char *name);

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char *name)
{
    if (!instance_function)
        find("vkGetInstanceProcAddr", &instance_function, sizeof instance_function);
    PFN_vkVoidFunction real = instance_function(instance, name);
    if (real && strcmp(name, "vkGetDeviceProcAddr") == 0) {
        device_function = (PFN_vkGetDeviceProcAddr)real;
        return (PFN_vkVoidFunction)get_device_function;
    }
    return wrap(name, real);
}
