/* SPDX-License-Identifier: MIT */
#include "vulkan_device.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/code.h"

static const char CACHE_KIND[] = "vulkan-pipelines";

/* What a pipeline cache depends on; 4-byte members alone, so that it has no padding. */
struct cache_key {
    uint32_t vendor, device, driver;
    uint8_t uuid[VK_UUID_SIZE];
};

static struct cache_key cache_key(const struct vulkan_device *device)
{
    VkPhysicalDeviceProperties properties;
    device->instance.GetPhysicalDeviceProperties(device->physical, &properties);
    struct cache_key key = {.vendor = properties.vendorID, .device = properties.deviceID, .driver = properties.driverVersion};
    memcpy(key.uuid, properties.pipelineCacheUUID, sizeof key.uuid);
    return key;
}

hsae_status hsae_vulkan_pipelines_create(struct vulkan_device *device)
{
    struct cache_key key = cache_key(device);
    void *data;
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    hsae_cache_read(device->base.context, CACHE_KIND, &key, sizeof key, &data, &device->cache_size);
    info.initialDataSize = device->cache_size;
    info.pInitialData = data;
    VkResult result = device->vk.CreatePipelineCache(device->handle, &info, NULL, &device->cache);
    if (result && data) {
        /* Refused: compile again. */
        info.initialDataSize = device->cache_size = 0;
        info.pInitialData = NULL;
        result = device->vk.CreatePipelineCache(device->handle, &info, NULL, &device->cache);
    }
    free(data);
    return hsae_vulkan_check(device, result, "vkCreatePipelineCache");
}

/* A cache that did not grow is on disk already. */
static void save_cache(struct vulkan_device *device)
{
    size_t size = 0;
    if (!device->cache || !device->pipeline_count || device->base.lost ||
        device->vk.GetPipelineCacheData(device->handle, device->cache, &size, NULL) || size == device->cache_size)
        return;
    void *data = malloc(size);
    struct cache_key key = cache_key(device);
    if (data && !device->vk.GetPipelineCacheData(device->handle, device->cache, &size, data))
        hsae_cache_write(device->base.context, CACHE_KIND, &key, sizeof key, data, size);
    free(data);
}

void hsae_vulkan_pipelines_destroy(struct vulkan_device *device)
{
    const struct vulkan_api *vk = &device->vk;
    save_cache(device);
    for (size_t i = 0; i < device->pipeline_count; i++)
        vk->DestroyPipeline(device->handle, device->pipelines[i].handle, NULL);
    free(device->pipelines);
    for (size_t i = 0; i < HSAE_KERNEL_COUNT; i++) {
        vk->DestroyPipelineLayout(device->handle, device->kernels[i].layout, NULL);
        vk->DestroyDescriptorSetLayout(device->handle, device->kernels[i].set, NULL);
    }
    vk->DestroyPipelineCache(device->handle, device->cache, NULL);
}

/* Layouts of a kernel, made when it is first used. */
static hsae_status create_layouts(struct vulkan_device *device, enum hsae_kernel kernel)
{
    struct vulkan_kernel *made = &device->kernels[kernel];
    VkDescriptorSetLayoutBinding bindings[HSAE_MAX_BINDINGS];
    uint32_t count = (uint32_t)strlen(hsae_kernels[kernel].access);
    for (uint32_t i = 0; i < count; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = count,
        .pBindings = bindings,
    };
    hsae_status status = HSAE_OK;
    if (!made->set)
        status = hsae_vulkan_check(device, device->vk.CreateDescriptorSetLayout(device->handle, &set, NULL, &made->set),
                                   "vkCreateDescriptorSetLayout");
    if (status || made->layout)
        return status;
    VkPushConstantRange args = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = hsae_kernels[kernel].args_bytes};
    VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &made->set,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &args,
    };
    return hsae_vulkan_check(device, device->vk.CreatePipelineLayout(device->handle, &layout, NULL, &made->layout),
                             "vkCreatePipelineLayout");
}

static VkResult compile(struct vulkan_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape, VkPipeline *out)
{
    const uint32_t constants[] = {shape->group_size, shape->columns,   shape->ranges,   shape->tile_vectors,
                                  shape->tile_words, shape->tile_step, shape->tile_pad, shape->tile_prefetch};
    enum { CONSTANTS = sizeof constants / sizeof *constants };
    VkSpecializationMapEntry entries[CONSTANTS];
    for (uint32_t i = 0; i < CONSTANTS; i++)
        entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = i * sizeof *constants, .size = sizeof *constants};
    VkSpecializationInfo specialization = {
        .mapEntryCount = CONSTANTS,
        .pMapEntries = entries,
        .dataSize = sizeof constants,
        .pData = constants,
    };
    VkShaderModuleCreateInfo code = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = hsae_vulkan_code[kernel].size,
        .pCode = hsae_vulkan_code[kernel].words,
    };
    VkShaderModule module;
    VkResult result = device->vk.CreateShaderModule(device->handle, &code, NULL, &module);
    if (result)
        return result;
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_DISPATCH_BASE_BIT, /* launches run in parts */
        .stage =
            {
                .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = &specialization,
            },
        .layout = device->kernels[kernel].layout,
    };
    result = device->vk.CreateComputePipelines(device->handle, device->cache, 1, &info, NULL, out);
    device->vk.DestroyShaderModule(device->handle, module, NULL);
    return result;
}

hsae_status hsae_vulkan_pipeline_get(struct vulkan_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape,
                                     VkPipeline *out)
{
    for (size_t i = 0; i < device->pipeline_count; i++) {
        const struct vulkan_pipeline *made = &device->pipelines[i];
        if (made->kernel == kernel && !memcmp(&made->shape, shape, sizeof *shape)) {
            *out = made->handle;
            return HSAE_OK;
        }
    }
    struct vulkan_pipeline *grown = realloc(device->pipelines, (device->pipeline_count + 1) * sizeof *grown);
    const char *name = hsae_kernels[kernel].name;
    if (!grown)
        return hsae_fail(device->base.context, HSAE_ERROR_MEMORY, "out of memory for kernel %s", name);
    device->pipelines = grown;
    hsae_status status = create_layouts(device, kernel);
    if (status)
        return status;
    VkResult result = compile(device, kernel, shape, out);
    if (result)
        hsae_log(device->base.context, HSAE_LOG_ERROR, "%s: kernel %s (group size %u, columns %u, ranges %u) does not compile",
                 device->base.info.id, name, shape->group_size, shape->columns, shape->ranges);
    status = hsae_vulkan_check(device, result, "vkCreateComputePipelines");
    if (status)
        return status;
    hsae_vulkan_name(device, VK_OBJECT_TYPE_PIPELINE, (uint64_t)*out, name);
    grown[device->pipeline_count++] = (struct vulkan_pipeline){.kernel = kernel, .shape = *shape, .handle = *out};
    return HSAE_OK;
}
