/* SPDX-License-Identifier: MIT */
/* What a Vulkan device tells of its units: subgroups, dot products, matrix units. */
#include "vulkan_device.h"

#include <stdlib.h>

#define COOPERATIVE_MATRIX "VK_KHR_cooperative_matrix"

/* Of the specification: headers before 1.3.255 lack them. */
enum { MATRIX_PROPERTIES = 1000506001, SUBGROUP_SCOPE = 3 };
struct matrix_properties {
    VkStructureType type;
    void *next;
    uint32_t m, n, k, a, b, c, result;
    VkBool32 saturating;
    uint32_t scope;
};
typedef VkResult(VKAPI_PTR *get_matrix_properties)(VkPhysicalDevice physical, uint32_t *count, struct matrix_properties *properties);

/* "f16"; "?" of a type that this library does not know. */
static const char *component_name(uint32_t component)
{
    static const char *const names[] = {"f16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"};
    enum { BF16 = 1000141000 };
    return component < sizeof names / sizeof *names ? names[component] : component == BF16 ? "bf16" : "?";
}

static void describe_matrices(const struct vulkan_instance *instance, VkPhysicalDevice physical, hsae_device_units *units)
{
    uint32_t count = 0;
    get_matrix_properties get = NULL;
    if (hsae_vulkan_has_extension(instance, physical, COOPERATIVE_MATRIX))
        get = (get_matrix_properties)instance->GetInstanceProcAddr(instance->handle, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    if (!get || get(physical, &count, NULL))
        return;
    struct matrix_properties *list = calloc(count ? count : 1, sizeof *list);
    for (uint32_t i = 0; list && i < count; i++)
        list[i].type = (VkStructureType)MATRIX_PROPERTIES;
    if (list && get(physical, &count, list) >= 0)
        for (uint32_t i = 0; i < count; i++)
            if (list[i].scope == SUBGROUP_SCOPE && units->matrix_count++ < HSAE_DEVICE_MATRICES)
                units->matrices[units->matrix_count - 1] = (hsae_device_matrix){list[i].m,
                                                                                list[i].n,
                                                                                list[i].k,
                                                                                component_name(list[i].a),
                                                                                component_name(list[i].b),
                                                                                component_name(list[i].c),
                                                                                component_name(list[i].result)};
    free(list);
}

hsae_device_units hsae_vulkan_units(const struct vulkan_instance *instance, VkPhysicalDevice physical)
{
    hsae_device_units units = {0};
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT sizes = {.sType =
                                                                  VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT};
    VkPhysicalDeviceShaderIntegerDotProductPropertiesKHR dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES_KHR};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &subgroup};
    if (hsae_vulkan_has_extension(instance, physical, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) {
        sizes.pNext = subgroup.pNext;
        subgroup.pNext = &sizes;
    }
    if (hsae_vulkan_has_extension(instance, physical, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) {
        dot.pNext = subgroup.pNext;
        subgroup.pNext = &dot;
    }
    instance->GetPhysicalDeviceProperties2(physical, &properties);
    units.min_subgroup = sizes.minSubgroupSize ? sizes.minSubgroupSize : subgroup.subgroupSize;
    units.max_subgroup = sizes.maxSubgroupSize ? sizes.maxSubgroupSize : subgroup.subgroupSize;
    units.dot_products = dot.integerDotProduct4x8BitPackedSignedAccelerated;
    describe_matrices(instance, physical, &units);
    return units;
}
