/* SPDX-License-Identifier: MIT */
/* Command buffers: recorded, submitted, waited for. */
#include "vulkan_device.h"

hsae_status hsae_vulkan_commands_create(struct vulkan_device *device, VkCommandBuffer *out)
{
    VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = device->commands,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    return hsae_vulkan_check(device, device->vk.AllocateCommandBuffers(device->handle, &info, out), "vkAllocateCommandBuffers");
}

hsae_status hsae_vulkan_commands_begin(struct vulkan_device *device, VkCommandBuffer commands)
{
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    hsae_status status = hsae_vulkan_check(device, device->vk.BeginCommandBuffer(commands, &info), "vkBeginCommandBuffer");
    if (status)
        return status;
    /* What the host wrote before is visible by vkQueueSubmit alone. */
    const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask =
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
    };
    device->vk.CmdPipelineBarrier(commands, stages, stages, 0, 1, &barrier, 0, NULL, 0, NULL);
    return HSAE_OK;
}

hsae_status hsae_vulkan_commands_end(struct vulkan_device *device, VkCommandBuffer commands)
{
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT,
    };
    device->vk.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                                  VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    return hsae_vulkan_check(device, device->vk.EndCommandBuffer(commands), "vkEndCommandBuffer");
}

hsae_status hsae_vulkan_submit(struct vulkan_device *device, const VkCommandBuffer *commands, uint32_t count, uint64_t *ticket)
{
    uint64_t next = device->submitted + 1;
    struct vulkan_fence *fence = &device->fences[next % VULKAN_IN_FLIGHT];
    if (fence->submitted) {
        hsae_status status = hsae_device_await(&device->base, next - VULKAN_IN_FLIGHT);
        if (!status) /* the fence itself, even if a later ticket was waited for: only then may it be reset */
            status = hsae_vulkan_check(device, device->vk.WaitForFences(device->handle, 1, &fence->handle, VK_TRUE, UINT64_MAX),
                                       "vkWaitForFences");
        if (!status)
            status = hsae_vulkan_check(device, device->vk.ResetFences(device->handle, 1, &fence->handle), "vkResetFences");
        if (status)
            return status;
        fence->submitted = false;
        if (device->completed < next - VULKAN_IN_FLIGHT)
            device->completed = next - VULKAN_IN_FLIGHT;
    }
    hsae_status status = HSAE_OK;
    for (uint32_t i = 0; i < count && !status; i++) {
        VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands[i]};
        VkFence last = i + 1 == count ? fence->handle : VK_NULL_HANDLE;
        status = hsae_vulkan_check(device, device->vk.QueueSubmit(device->queue, 1, &info, last), "vkQueueSubmit");
    }
    if (status)
        return status;
    fence->submitted = true;
    device->submitted = next;
    *ticket = next;
    return HSAE_OK;
}

hsae_status hsae_vulkan_wait(struct hsae_device *base, uint64_t ticket, double seconds, bool *done)
{
    struct vulkan_device *device = (struct vulkan_device *)base;
    hsae_status status = HSAE_OK;
    *done = true;
    if (!ticket)
        ticket = device->submitted;
    if (ticket <= device->completed)
        return HSAE_OK;
    const VkFence *fence = &device->fences[ticket % VULKAN_IN_FLIGHT].handle;
    VkResult result = device->vk.WaitForFences(device->handle, 1, fence, VK_TRUE, (uint64_t)(1e9 * seconds));
    *done = result != VK_TIMEOUT;
    if (*done)
        status = hsae_vulkan_check(device, result, "vkWaitForFences");
    if (*done && !status)
        device->completed = ticket;
    return status;
}
