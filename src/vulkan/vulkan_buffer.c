/* SPDX-License-Identifier: MIT */
#include "base/abandoned.h"
#include "vulkan_device.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t STAGING_BYTES = 16 << 20;

static struct vulkan_device *device_of(const struct hsae_buffer *buffer)
{
    return (struct vulkan_device *)buffer->base.device;
}

/* ---- memory ---- */

/* The first memory type, in the driver's order, that has the properties of the earliest possible line; UINT32_MAX: none at all. */
static uint32_t memory_type(const struct vulkan_device *device, uint32_t allowed, enum hsae_buffer_kind kind)
{
    enum {
        LOCAL = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
        VISIBLE = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT,
        COHERENT = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
        CACHED = VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
    };
    static const VkMemoryPropertyFlags staging[] = {VISIBLE | CACHED | COHERENT, VISIBLE | CACHED, VISIBLE};
    static const VkMemoryPropertyFlags separate[] = {LOCAL, LOCAL, 0};
    static const VkMemoryPropertyFlags unified[] = {LOCAL | VISIBLE | CACHED, LOCAL, 0};
    const VkMemoryPropertyFlags *wanted = kind == HSAE_BUFFER_STAGING ? staging : device->unified ? unified : separate;
    for (size_t line = 0; line < 3; line++)
        for (uint32_t i = 0; i < device->memory.memoryTypeCount; i++)
            if (allowed >> i & 1 && (device->memory.memoryTypes[i].propertyFlags & wanted[line]) == wanted[line])
                return i;
    return UINT32_MAX;
}

/* Uncached memory is mapped only where it must be: the host reads it a word at a time. */
static bool should_map(const struct vulkan_device *device, VkMemoryPropertyFlags flags, enum hsae_buffer_kind kind)
{
    const VkMemoryPropertyFlags fast = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    return kind == HSAE_BUFFER_STAGING || (device->unified && (flags & fast) == fast);
}

static hsae_status allocate(struct hsae_buffer *buffer, const char *label)
{
    struct vulkan_device *device = device_of(buffer);
    const struct vulkan_api *vk = &device->vk;
    if (device->memory_count >= device->max_memories)
        return hsae_fail(
            device->base.context, HSAE_ERROR_LIMIT,
            "%s: buffer %s would be more than the %u allocations that the driver allows; close what else is open on the device, or "
            "train fewer levels",
            device->base.info.id, label, device->max_memories);
    VkMemoryRequirements needs;
    vk->GetBufferMemoryRequirements(device->handle, buffer->handle, &needs);
    uint32_t type = memory_type(device, needs.memoryTypeBits, buffer->base.kind);
    if (type == UINT32_MAX)
        return hsae_fail(device->base.context, HSAE_ERROR_DRIVER, "%s: no memory type for buffer %s", device->base.info.id, label);
    VkMemoryPropertyFlags flags = device->memory.memoryTypes[type].propertyFlags;
    VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = needs.size,
        .memoryTypeIndex = type,
    };
    VkResult result = vk->AllocateMemory(device->handle, &info, NULL, &buffer->memory);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY)
        return HSAE_ERROR_DEVICE_MEMORY; /* the front says how much */
    hsae_status status = hsae_vulkan_check(device, result, "vkAllocateMemory");
    if (status)
        return status;
    device->memory_count++;
    buffer->memory_size = needs.size;
    buffer->coherent = flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    status = hsae_vulkan_check(device, vk->BindBufferMemory(device->handle, buffer->handle, buffer->memory, 0), "vkBindBufferMemory");
    if (status || !should_map(device, flags, buffer->base.kind))
        return status;
    void *mapped;
    status = hsae_vulkan_check(device, vk->MapMemory(device->handle, buffer->memory, 0, VK_WHOLE_SIZE, 0, &mapped), "vkMapMemory");
    if (!status)
        buffer->mapped = mapped;
    return status;
}

/* The range of non-coherent memory around those bytes that may be flushed or invalidated. */
static VkMappedMemoryRange mapped_range(const struct hsae_buffer *buffer, uint64_t offset, uint64_t size)
{
    VkDeviceSize atom = device_of(buffer)->atom;
    VkDeviceSize first = offset / atom * atom, end = (offset + size + atom - 1) / atom * atom;
    return (VkMappedMemoryRange){
        .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
        .memory = buffer->memory,
        .offset = first,
        .size = end >= buffer->memory_size ? VK_WHOLE_SIZE : end - first,
    };
}

/* Shows the device what the host wrote. */
static hsae_status flush(struct hsae_buffer *buffer, uint64_t offset, uint64_t size)
{
    struct vulkan_device *device = device_of(buffer);
    if (buffer->coherent)
        return HSAE_OK;
    VkMappedMemoryRange range = mapped_range(buffer, offset, size);
    return hsae_vulkan_check(device, device->vk.FlushMappedMemoryRanges(device->handle, 1, &range), "vkFlushMappedMemoryRanges");
}

/* Shows the host what the device wrote. */
static hsae_status invalidate(struct hsae_buffer *buffer, uint64_t offset, uint64_t size)
{
    struct vulkan_device *device = device_of(buffer);
    if (buffer->coherent)
        return HSAE_OK;
    VkMappedMemoryRange range = mapped_range(buffer, offset, size);
    return hsae_vulkan_check(device, device->vk.InvalidateMappedMemoryRanges(device->handle, 1, &range), "vkInvalidateMappedMemoryRanges");
}

/* ---- transfers ---- */

static hsae_status run_transfer(struct vulkan_device *device)
{
    uint64_t ticket;
    hsae_status status = hsae_vulkan_commands_end(device, device->transfer);
    if (!status)
        status = hsae_vulkan_submit(device, &device->transfer, 1, &ticket);
    return status ? status : hsae_device_await(&device->base, ticket);
}

static hsae_status copy(struct vulkan_device *device, const struct hsae_buffer *from, uint64_t from_offset, const struct hsae_buffer *to,
                        uint64_t to_offset, uint64_t size)
{
    VkBufferCopy region = {.srcOffset = from_offset, .dstOffset = to_offset, .size = size};
    hsae_status status = hsae_vulkan_commands_begin(device, device->transfer);
    if (status)
        return status;
    device->vk.CmdCopyBuffer(device->transfer, from->handle, to->handle, 1, &region);
    return run_transfer(device);
}

static hsae_status zero(struct hsae_buffer *buffer)
{
    struct vulkan_device *device = device_of(buffer);
    if (buffer->mapped) {
        memset(buffer->mapped, 0, buffer->base.size);
        return flush(buffer, 0, buffer->base.size);
    }
    hsae_status status = hsae_vulkan_commands_begin(device, device->transfer);
    if (status)
        return status;
    device->vk.CmdFillBuffer(device->transfer, buffer->handle, 0, VK_WHOLE_SIZE, 0);
    return run_transfer(device);
}

static hsae_status staging(struct vulkan_device *device, struct hsae_buffer **out)
{
    uint64_t most = device->base.info.limits.max_allocation_bytes;
    hsae_status status = HSAE_OK;
    if (!device->staging)
        status = hsae_vulkan_buffer_create(&device->base, most < STAGING_BYTES ? most : STAGING_BYTES, HSAE_BUFFER_STAGING, "transfers",
                                           &device->staging);
    if (status == HSAE_ERROR_DEVICE_MEMORY)
        hsae_fail(device->base.context, status, "%s: no host-visible memory for transfers", device->base.info.id);
    *out = device->staging;
    return status;
}

/* ---- entries of device_ops ---- */

hsae_status hsae_vulkan_buffer_create(struct hsae_device *base, uint64_t size, enum hsae_buffer_kind kind, const char *label,
                                      struct hsae_buffer **out)
{
    struct vulkan_device *device = (struct vulkan_device *)base;
    struct hsae_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer)
        return hsae_fail(base->context, HSAE_ERROR_MEMORY, "out of memory for buffer %s", label);
    buffer->base = (struct hsae_buffer_base){.device = base, .size = size, .kind = kind};
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    hsae_status status = hsae_vulkan_check(device, device->vk.CreateBuffer(device->handle, &info, NULL, &buffer->handle), "vkCreateBuffer");
    if (status)
        goto error;
    hsae_vulkan_name(device, VK_OBJECT_TYPE_BUFFER, (uint64_t)buffer->handle, label);
    status = allocate(buffer, label);
    if (!status)
        status = zero(buffer);
    if (status)
        goto error;
    *out = buffer;
    return HSAE_OK;
error:
    hsae_vulkan_buffer_destroy(buffer);
    return status;
}

void hsae_vulkan_buffer_destroy(struct hsae_buffer *buffer)
{
    if (!buffer)
        return;
    struct vulkan_device *device = device_of(buffer);
    if (device->base.hung) { /* since the buffer was to be filled with zeros */
        hsae_abandon(buffer);
        return;
    }
    device->vk.DestroyBuffer(device->handle, buffer->handle, NULL);
    device->vk.FreeMemory(device->handle, buffer->memory, NULL); /* unmaps */
    device->memory_count -= buffer->memory_size != 0;
    free(buffer);
}

hsae_status hsae_vulkan_buffer_write(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, const void *data)
{
    struct vulkan_device *device = device_of(buffer);
    hsae_status status = HSAE_OK;
    if (buffer->mapped) {
        memcpy(buffer->mapped + offset, data, size);
        return flush(buffer, offset, size);
    }
    struct hsae_buffer *through;
    status = staging(device, &through);
    for (uint64_t done = 0, piece; done < size && !status; done += piece) {
        piece = size - done < through->base.size ? size - done : through->base.size;
        memcpy(through->mapped, (const unsigned char *)data + done, piece);
        status = flush(through, 0, piece);
        if (!status)
            status = copy(device, through, 0, buffer, offset + done, piece);
    }
    return status;
}

hsae_status hsae_vulkan_buffer_read(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data)
{
    struct vulkan_device *device = device_of(buffer);
    hsae_status status = HSAE_OK;
    if (buffer->mapped) {
        status = invalidate(buffer, offset, size);
        if (!status)
            memcpy(data, buffer->mapped + offset, size);
        return status;
    }
    struct hsae_buffer *through;
    status = staging(device, &through);
    for (uint64_t done = 0, piece; done < size && !status; done += piece) {
        piece = size - done < through->base.size ? size - done : through->base.size;
        status = copy(device, buffer, offset + done, through, 0, piece);
        if (!status)
            status = invalidate(through, 0, piece);
        if (!status)
            memcpy((unsigned char *)data + done, through->mapped, piece);
    }
    return status;
}

/* Staging memory is mapped all the time. */
hsae_status hsae_vulkan_buffer_map(struct hsae_buffer *buffer, void **data)
{
    *data = buffer->mapped;
    return HSAE_OK;
}

hsae_status hsae_vulkan_buffer_unmap(struct hsae_buffer *buffer)
{
    return flush(buffer, 0, buffer->base.size);
}
