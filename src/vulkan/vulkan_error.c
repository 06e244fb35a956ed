/* SPDX-License-Identifier: MIT */
#include "vulkan_device.h"

hsae_status hsae_vulkan_check(struct vulkan_device *device, VkResult result, const char *what)
{
    hsae_status status = HSAE_ERROR_DRIVER;
    switch (result) {
    case VK_SUCCESS:
        return HSAE_OK;
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        status = HSAE_ERROR_MEMORY;
        break;
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        status = HSAE_ERROR_DEVICE_MEMORY;
        break;
    case VK_ERROR_DEVICE_LOST:
        status = HSAE_ERROR_DEVICE_LOST;
        device->base.lost = true;
        break;
    default:
        break;
    }
    return hsae_fail(device->base.context, status, "%s (%s): %s failed with %s", device->base.info.id, device->base.info.name, what,
                     hsae_vulkan_result_name(result));
}

void hsae_vulkan_name(struct vulkan_device *device, VkObjectType type, uint64_t object, const char *name)
{
    if (!device->instance.SetDebugUtilsObjectNameEXT)
        return;
    VkDebugUtilsObjectNameInfoEXT info = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT,
        .objectType = type,
        .objectHandle = object,
        .pObjectName = name,
    };
    device->instance.SetDebugUtilsObjectNameEXT(device->handle, &info);
}
