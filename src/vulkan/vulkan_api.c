/* SPDX-License-Identifier: MIT */
#include "vulkan_api.h"

#include <stdlib.h>
#include <string.h>

#define VALIDATION_LAYER "VK_LAYER_KHRONOS_validation"

const char *hsae_vulkan_result_name(VkResult result)
{
    switch (result) {
#define RESULT(name) \
    case name:       \
        return #name;
        RESULT(VK_SUCCESS)
        RESULT(VK_NOT_READY)
        RESULT(VK_TIMEOUT)
        RESULT(VK_INCOMPLETE)
        RESULT(VK_ERROR_OUT_OF_HOST_MEMORY)
        RESULT(VK_ERROR_OUT_OF_DEVICE_MEMORY)
        RESULT(VK_ERROR_INITIALIZATION_FAILED)
        RESULT(VK_ERROR_DEVICE_LOST)
        RESULT(VK_ERROR_MEMORY_MAP_FAILED)
        RESULT(VK_ERROR_LAYER_NOT_PRESENT)
        RESULT(VK_ERROR_EXTENSION_NOT_PRESENT)
        RESULT(VK_ERROR_FEATURE_NOT_PRESENT)
        RESULT(VK_ERROR_INCOMPATIBLE_DRIVER)
        RESULT(VK_ERROR_TOO_MANY_OBJECTS)
        RESULT(VK_ERROR_FRAGMENTED_POOL)
        RESULT(VK_ERROR_OUT_OF_POOL_MEMORY)
        RESULT(VK_ERROR_UNKNOWN)
        RESULT(VK_ERROR_INVALID_SHADER_NV)
        RESULT(VK_ERROR_VALIDATION_FAILED_EXT)
#undef RESULT
    default:
        return "an unknown VkResult";
    }
}

/* ---- the loader ---- */

static bool library_open(struct vulkan_instance *instance)
{
    instance->library = hsae_os_library_open(HSAE_OS_VULKAN);
    if (!instance->library)
        return false;
    /* ISO C has no cast from an object pointer to a function pointer. */
    void *symbol = hsae_os_library_symbol(instance->library, "vkGetInstanceProcAddr");
    memcpy(&instance->GetInstanceProcAddr, &symbol, sizeof symbol);
    if (!symbol)
        return false;
#define LOAD(name) instance->name = (PFN_vk##name)instance->GetInstanceProcAddr(NULL, "vk" #name);
    VULKAN_GLOBAL_MAP(LOAD)
#undef LOAD
    /* A Vulkan 1.0 loader has no EnumerateInstanceVersion: as good as none. */
    return instance->CreateInstance && instance->EnumerateInstanceExtensionProperties && instance->EnumerateInstanceLayerProperties &&
           instance->EnumerateInstanceVersion;
}

static bool instance_load(struct vulkan_instance *instance)
{
    bool whole = true;
#define LOAD(name)  instance->name = (PFN_vk##name)instance->GetInstanceProcAddr(instance->handle, "vk" #name);
#define CHECK(name) whole = whole && instance->name;
    VULKAN_INSTANCE_MAP(LOAD)
    VULKAN_INSTANCE_MAP(CHECK)
#undef LOAD
#undef CHECK
    return whole;
}

/* ---- extensions and layers ---- */

static bool extension_listed(const VkExtensionProperties *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; list && i < count; i++)
        if (!strcmp(list[i].extensionName, name))
            return true;
    return false;
}

static bool instance_has_extension(const struct vulkan_instance *instance, const char *layer, const char *name)
{
    uint32_t count = 0;
    VkExtensionProperties *list = NULL;
    if (!instance->EnumerateInstanceExtensionProperties(layer, &count, NULL) && count)
        list = calloc(count, sizeof *list);
    bool found = list && instance->EnumerateInstanceExtensionProperties(layer, &count, list) >= 0 && extension_listed(list, count, name);
    free(list);
    return found;
}

bool hsae_vulkan_has_extension(const struct vulkan_instance *instance, VkPhysicalDevice physical, const char *name)
{
    uint32_t count = 0;
    VkExtensionProperties *list = NULL;
    if (!instance->EnumerateDeviceExtensionProperties(physical, NULL, &count, NULL) && count)
        list = calloc(count, sizeof *list);
    bool found =
        list && instance->EnumerateDeviceExtensionProperties(physical, NULL, &count, list) >= 0 && extension_listed(list, count, name);
    free(list);
    return found;
}

static bool has_layer(const struct vulkan_instance *instance, const char *name)
{
    uint32_t count = 0;
    VkLayerProperties *list = NULL;
    bool found = false;
    if (!instance->EnumerateInstanceLayerProperties(&count, NULL) && count)
        list = calloc(count, sizeof *list);
    if (list && instance->EnumerateInstanceLayerProperties(&count, list) >= 0)
        for (uint32_t i = 0; i < count; i++)
            found = found || !strcmp(list[i].layerName, name);
    free(list);
    return found;
}

/* ---- validation ---- */

static VKAPI_ATTR VkBool32 VKAPI_CALL validation_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                         VkDebugUtilsMessageTypeFlagsEXT types,
                                                         const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    (void)severity;
    (void)types;
    hsae_log(user, HSAE_LOG_ERROR, "Vulkan validation: %s", data->pMessage);
    return VK_FALSE;
}

static bool wants_validation(const struct vulkan_instance *instance)
{
    if (strcmp(hsae_setting_text(instance->context, HSAE_SETTING_VULKAN_VALIDATION), "1") != 0)
        return false;
    if (has_layer(instance, VALIDATION_LAYER) && instance_has_extension(instance, VALIDATION_LAYER, VK_EXT_DEBUG_UTILS_EXTENSION_NAME) &&
        instance_has_extension(instance, VALIDATION_LAYER, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME))
        return true;
    hsae_log(instance->context, HSAE_LOG_WARNING, "HSAE_VULKAN_VALIDATION is set, but " VALIDATION_LAYER " is not installed");
    return false;
}

/* ---- the instance ---- */

static VkResult instance_open(struct vulkan_instance *instance)
{
    const char *extensions[3], *layer = VALIDATION_LAYER;
    uint32_t extension_count = 0;
    VkInstanceCreateFlags flags = 0;
    if (instance_has_extension(instance, NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        extensions[extension_count++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }
    VkValidationFeatureEnableEXT enable = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = &enable,
    };
    VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .pNext = &features,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = validation_message,
        .pUserData = (void *)instance->context,
    };
    bool validate = wants_validation(instance);
    if (validate) {
        extensions[extension_count++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        extensions[extension_count++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
        /* Hazards between submissions: older layers have no other switch, newer ones look for them anyway. */
        if (!hsae_os_getenv("VK_LAYER_ENABLES"))
            hsae_os_setenv("VK_LAYER_ENABLES", "VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT");
    }
    VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "libhsae",
        .apiVersion = VK_API_VERSION_1_1,
    };
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validate ? &messenger : NULL,
        .flags = flags,
        .pApplicationInfo = &application,
        .enabledLayerCount = validate,
        .ppEnabledLayerNames = &layer,
        .enabledExtensionCount = extension_count,
        .ppEnabledExtensionNames = extensions,
    };
    VkResult result = instance->CreateInstance(&info, NULL, &instance->handle);
    if (result) {
        instance->handle = NULL;
        return result;
    }
    if (!instance_load(instance))
        return VK_ERROR_INITIALIZATION_FAILED;
    if (!validate)
        return VK_SUCCESS;
#define LOAD(name) instance->name = (PFN_vk##name)instance->GetInstanceProcAddr(instance->handle, "vk" #name);
    VULKAN_DEBUG_MAP(LOAD)
#undef LOAD
    messenger.pNext = NULL;
    return instance->CreateDebugUtilsMessengerEXT(instance->handle, &messenger, NULL, &instance->messenger);
}

uint32_t hsae_vulkan_queue_family(const struct vulkan_instance *instance, VkPhysicalDevice physical, VkQueueFamilyProperties *family)
{
    VkQueueFamilyProperties families[16];
    uint32_t count = sizeof families / sizeof *families, best = UINT32_MAX;
    int best_score = -1;
    instance->GetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        /* Timestamps first; then a queue that does not also draw the desktop. */
        int score = (families[i].timestampValidBits ? 2 : 0) + (families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT ? 0 : 1);
        if (families[i].queueCount && families[i].queueFlags & VK_QUEUE_COMPUTE_BIT && score > best_score) {
            best = i;
            best_score = score;
            *family = families[i];
        }
    }
    return best;
}

static VkResult list_devices(struct vulkan_instance *instance)
{
    uint32_t count = 0;
    VkResult result = instance->EnumeratePhysicalDevices(instance->handle, &count, NULL);
    if (result || !count)
        return result;
    instance->devices = calloc(count, sizeof *instance->devices);
    if (!instance->devices)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    result = instance->EnumeratePhysicalDevices(instance->handle, &count, instance->devices);
    if (result < 0)
        return result;
    for (uint32_t i = 0; i < count; i++) {
        VkPhysicalDeviceProperties properties;
        VkQueueFamilyProperties family;
        instance->GetPhysicalDeviceProperties(instance->devices[i], &properties);
        if (properties.apiVersion >= VK_API_VERSION_1_1 && hsae_vulkan_queue_family(instance, instance->devices[i], &family) != UINT32_MAX)
            instance->devices[instance->device_count++] = instance->devices[i];
    }
    return VK_SUCCESS;
}

void hsae_vulkan_instance_create(const hsae_context *context, struct vulkan_instance *instance)
{
    *instance = (struct vulkan_instance){.context = context};
    if (!library_open(instance)) {
        hsae_vulkan_instance_destroy(instance);
        return;
    }
    VkResult result = instance_open(instance);
    /* INCOMPATIBLE_DRIVER: no driver is installed. */
    bool failed = result && result != VK_ERROR_INCOMPATIBLE_DRIVER;
    if (!result) {
        result = list_devices(instance);
        /* INITIALIZATION_FAILED: drivers are installed, their hardware is not. */
        failed = result && result != VK_ERROR_INITIALIZATION_FAILED;
    }
    if (failed)
        hsae_log(context, HSAE_LOG_WARNING, "no Vulkan devices: the driver failed with %s", hsae_vulkan_result_name(result));
    if (result)
        hsae_vulkan_instance_destroy(instance);
}

void hsae_vulkan_instance_destroy(struct vulkan_instance *instance)
{
    if (instance->messenger)
        instance->DestroyDebugUtilsMessengerEXT(instance->handle, instance->messenger, NULL);
    if (instance->handle && instance->DestroyInstance)
        instance->DestroyInstance(instance->handle, NULL);
    if (instance->library)
        hsae_os_library_close(instance->library);
    free(instance->devices);
    *instance = (struct vulkan_instance){0};
}
