/* SPDX-License-Identifier: MIT */
/* libvulkan.so.1 between the library and the real loader: any call that gives a VkResult can be made to fail, a kernel to be
 * compiled wrong, and a driver to be one that needs portability enumeration (faults.h). */
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
FAULT(AllocateCommandBuffers, false, (VkDevice d, const VkCommandBufferAllocateInfo *i, VkCommandBuffer *o), (d, i, o))
FAULT(AllocateDescriptorSets, false, (VkDevice d, const VkDescriptorSetAllocateInfo *i, VkDescriptorSet *o), (d, i, o))
FAULT(BeginCommandBuffer, false, (VkCommandBuffer c, const VkCommandBufferBeginInfo *i), (c, i))
FAULT(BindBufferMemory, false, (VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize o), (d, b, m, o))
FAULT(CreateCommandPool, false, (VkDevice d, const VkCommandPoolCreateInfo *i, MADE, VkCommandPool *o), (d, i, a, o))
FAULT(CreateComputePipelines, true, (VkDevice d, VkPipelineCache p, uint32_t n, const VkComputePipelineCreateInfo *i, MADE, VkPipeline *o),
      (d, p, n, i, a, o))
FAULT(CreateDescriptorPool, false, (VkDevice d, const VkDescriptorPoolCreateInfo *i, MADE, VkDescriptorPool *o), (d, i, a, o))
FAULT(CreateDescriptorSetLayout, false, (VkDevice d, const VkDescriptorSetLayoutCreateInfo *i, MADE, VkDescriptorSetLayout *o),
      (d, i, a, o))
FAULT(CreateFence, false, (VkDevice d, const VkFenceCreateInfo *i, MADE, VkFence *o), (d, i, a, o))
FAULT(CreatePipelineCache, false, (VkDevice d, const VkPipelineCacheCreateInfo *i, MADE, VkPipelineCache *o), (d, i, a, o))
FAULT(CreatePipelineLayout, false, (VkDevice d, const VkPipelineLayoutCreateInfo *i, MADE, VkPipelineLayout *o), (d, i, a, o))
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

/* ---- a driver whose compiler is wrong ---- */

/* Multiply-adds of the words of SPIR-V: the opcode and length of an instruction are its first word, its operands follow. */
static void break_code(uint32_t *words, size_t count)
{
    enum { HEADER = 5, EXTENDED = 12, FMA = 50, LENGTH = 8 };
    for (size_t k = HEADER; k < count && words[k] >> 16; k += words[k] >> 16)
        if (words[k] == (LENGTH << 16 | EXTENDED) && words[k + 4] == FMA)
            words[k + 7] = words[k + 5];
}

static PFN_vkCreateShaderModule real_CreateShaderModule;
static VKAPI_ATTR VkResult VKAPI_CALL CreateShaderModule(VkDevice d, const VkShaderModuleCreateInfo *i, MADE, VkShaderModule *o)
{
    if (fails(true))
        return result();
    if (!miscompiles())
        return real_CreateShaderModule(d, i, a, o);
    uint32_t *words = malloc(i->codeSize);
    if (!words)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    memcpy(words, i->pCode, i->codeSize);
    break_code(words, i->codeSize / sizeof *words);
    VkShaderModuleCreateInfo broken = *i;
    broken.pCode = words;
    VkResult made = real_CreateShaderModule(d, &broken, a, o);
    free(words);
    return made;
}

/* ---- a driver that has little of everything ---- */

static bool small(void)
{
    return counts && fault_kind == SMALL;
}

/* Errors that no caller takes for a lack of memory. */
static PFN_vkCreateBuffer real_CreateBuffer;
static VKAPI_ATTR VkResult VKAPI_CALL CreateBuffer(VkDevice d, const VkBufferCreateInfo *i, MADE, VkBuffer *o)
{
    if (small() && i->size > SMALL_BUFFER)
        return VK_ERROR_UNKNOWN;
    return fails(false) ? result() : real_CreateBuffer(d, i, a, o);
}

static PFN_vkAllocateMemory real_AllocateMemory;
static VKAPI_ATTR VkResult VKAPI_CALL AllocateMemory(VkDevice d, const VkMemoryAllocateInfo *i, MADE, VkDeviceMemory *o)
{
    if (small() && i->allocationSize > SMALL_ALLOCATION)
        return VK_ERROR_UNKNOWN;
    return fails(false) ? result() : real_AllocateMemory(d, i, a, o);
}

static PFN_vkUpdateDescriptorSets real_UpdateDescriptorSets;
static VKAPI_ATTR void VKAPI_CALL UpdateDescriptorSets(VkDevice d, uint32_t n, const VkWriteDescriptorSet *w, uint32_t c,
                                                       const VkCopyDescriptorSet *s)
{
    if (small() && n > SMALL_BINDINGS)
        abort();
    real_UpdateDescriptorSets(d, n, w, c, s);
}

static PFN_vkCmdDispatchBase real_CmdDispatchBase;
static VKAPI_ATTR void VKAPI_CALL CmdDispatchBase(VkCommandBuffer c, uint32_t x, uint32_t y, uint32_t z, uint32_t nx, uint32_t ny,
                                                  uint32_t nz)
{
    if (small() && (x + nx > SMALL_GROUPS || y + ny > SMALL_GROUPS || z + nz > 1))
        abort();
    bool all = !drops((uint64_t)nx * ny * nz);
    real_CmdDispatchBase(c, x, y, z, all ? nx : 1, all ? ny : 1, all ? nz : 1);
}

static PFN_vkGetPhysicalDeviceMemoryProperties real_GetPhysicalDeviceMemoryProperties;
static VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceMemoryProperties(VkPhysicalDevice p, VkPhysicalDeviceMemoryProperties *o)
{
    real_GetPhysicalDeviceMemoryProperties(p, o);
    for (uint32_t k = 0; k < o->memoryHeapCount && small(); k++)
        o->memoryHeaps[k].size = SMALL_MEMORY;
}

static void lower(VkPhysicalDeviceProperties2 *o)
{
    VkPhysicalDeviceLimits *limits = &o->properties.limits;
    limits->maxStorageBufferRange = SMALL_BINDING;
    limits->maxPushConstantsSize = SMALL_ARGUMENTS;
    limits->maxPerStageDescriptorStorageBuffers = SMALL_BINDINGS;
    limits->maxComputeWorkGroupInvocations = SMALL_ITEMS;
    limits->maxComputeWorkGroupSize[0] = SMALL_ITEMS_X;
    limits->maxComputeSharedMemorySize = SMALL_LOCAL;
    limits->maxComputeWorkGroupCount[0] = limits->maxComputeWorkGroupCount[1] = SMALL_GROUPS;
    limits->maxComputeWorkGroupCount[2] = 1;
    for (VkBaseOutStructure *next = o->pNext; next; next = next->pNext) {
        if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES)
            ((VkPhysicalDeviceMaintenance3Properties *)next)->maxMemoryAllocationSize = SMALL_ALLOCATION;
        if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES)
            ((VkPhysicalDeviceMaintenance4Properties *)next)->maxBufferSize = SMALL_BUFFER;
    }
}

/* ---- a driver that needs portability enumeration ---- */

#define SUBSET "VK_KHR_portability_subset"
static atomic_bool wanted; /* the instance shows such drivers */

static bool portability(void)
{
    return counts && (fault_kind == PORTABILITY || fault_kind == APPLE);
}

static bool listed(const char *const *names, uint32_t count, const char *name)
{
    for (uint32_t k = 0; k < count; k++)
        if (strcmp(names[k], name) == 0)
            return true;
    return false;
}

static PFN_vkCreateInstance real_CreateInstance;
static VKAPI_ATTR VkResult VKAPI_CALL CreateInstance(const VkInstanceCreateInfo *i, MADE, VkInstance *o)
{
    atomic_store(&wanted, i->flags & VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR &&
                              listed(i->ppEnabledExtensionNames, i->enabledExtensionCount, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME));
    return fails(false) ? result() : real_CreateInstance(i, a, o);
}

static PFN_vkEnumeratePhysicalDevices real_EnumeratePhysicalDevices;
static VKAPI_ATTR VkResult VKAPI_CALL EnumeratePhysicalDevices(VkInstance i, uint32_t *c, VkPhysicalDevice *p)
{
    if ((portability() && !atomic_load(&wanted)) || (counts && fault_kind == ABSENT)) {
        *c = 0;
        return VK_SUCCESS;
    }
    return fails(false) ? result() : real_EnumeratePhysicalDevices(i, c, p);
}

/* One more than the real driver has: the last. */
static PFN_vkEnumerateDeviceExtensionProperties real_EnumerateDeviceExtensionProperties;
static VKAPI_ATTR VkResult VKAPI_CALL EnumerateDeviceExtensionProperties(VkPhysicalDevice p, const char *l, uint32_t *c,
                                                                         VkExtensionProperties *o)
{
    if (!portability())
        return fails(false) ? result() : real_EnumerateDeviceExtensionProperties(p, l, c, o);
    uint32_t room = *c;
    VkResult listing = real_EnumerateDeviceExtensionProperties(p, l, c, o);
    if (listing || (o && *c == room))
        return listing ? listing : VK_INCOMPLETE;
    if (o)
        o[*c] = (VkExtensionProperties){SUBSET, 1};
    ++*c;
    return VK_SUCCESS;
}

static PFN_vkGetPhysicalDeviceProperties2 real_GetPhysicalDeviceProperties2;
static VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceProperties2(VkPhysicalDevice p, VkPhysicalDeviceProperties2 *o)
{
    real_GetPhysicalDeviceProperties2(p, o);
    if (small())
        lower(o);
    if (fault_kind == APPLE) {
        o->properties.deviceType = VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
        strcpy(o->properties.deviceName, "Apple M1 (Metal)");
    }
    for (VkBaseOutStructure *next = o->pNext; portability() && next; next = next->pNext) {
        if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES)
            strcpy(((VkPhysicalDeviceDriverProperties *)next)->driverName, "MoltenVK");
        if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES)
            memset(((VkPhysicalDeviceIDProperties *)next)->deviceUUID, 0, VK_UUID_SIZE);
    }
}

/* Its timestamps are not to be asked for. */
static PFN_vkCreateQueryPool real_CreateQueryPool;
static VKAPI_ATTR VkResult VKAPI_CALL CreateQueryPool(VkDevice d, const VkQueryPoolCreateInfo *i, MADE, VkQueryPool *o)
{
    if (portability())
        return VK_ERROR_UNKNOWN;
    return fails(false) ? result() : real_CreateQueryPool(d, i, a, o);
}

/* A program that does not enable the subset is wrong; the real driver does not know it. */
static PFN_vkCreateDevice real_CreateDevice;
static VKAPI_ATTR VkResult VKAPI_CALL CreateDevice(VkPhysicalDevice p, const VkDeviceCreateInfo *i, MADE, VkDevice *o)
{
    VkDeviceCreateInfo without = *i;
    if (portability()) {
        if (!listed(i->ppEnabledExtensionNames, i->enabledExtensionCount, SUBSET) || i->enabledExtensionCount != 1)
            return VK_ERROR_INITIALIZATION_FAILED;
        without.enabledExtensionCount = 0;
    }
    VkResult made = fails(false) ? result() : real_CreateDevice(p, &without, a, o);
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
    WRAP(CmdDispatchBase)
    WRAP(GetPhysicalDeviceMemoryProperties)
    WRAP(GetPhysicalDeviceProperties2)
    WRAP(UpdateDescriptorSets)
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
