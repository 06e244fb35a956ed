/* SPDX-License-Identifier: MIT */
/* What the files of the Vulkan device share. One queue; every command buffer waits for all that was submitted before it, so order of
 * submission is order of execution. */
#ifndef HSAE_SRC_VULKAN_DEVICE_H
#define HSAE_SRC_VULKAN_DEVICE_H

#include "device/backend.h"
#include "vulkan_api.h"

enum { VULKAN_IN_FLIGHT = 32 }; /* submissions before the next one waits for the oldest */

struct vulkan_fence {
    VkFence handle;
    bool submitted; /* since its last reset */
};

/* What all shapes of a kernel share. */
struct vulkan_kernel {
    VkDescriptorSetLayout set;
    VkPipelineLayout layout;
};

struct vulkan_pipeline {
    enum hsae_kernel kernel;
    struct hsae_kernel_shape shape;
    VkPipeline handle;
};

struct hsae_buffer {
    struct hsae_buffer_base base;
    VkBuffer handle;
    VkDeviceMemory memory;
    VkDeviceSize memory_size;
    unsigned char *mapped; /* NULL: only the device sees it */
    bool coherent;
};

struct vulkan_device {
    struct hsae_device base;
    struct vulkan_instance instance;
    struct vulkan_api vk;
    VkPhysicalDevice physical;
    VkDevice handle;
    VkQueue queue;
    uint32_t queue_family;

    VkPhysicalDeviceMemoryProperties memory;
    bool unified;      /* host and device share memory */
    VkDeviceSize atom; /* granularity of flushes */
    uint32_t max_memories, memory_count;

    uint64_t timestamp_mask; /* 0: the queue has no timestamps */
    double timestamp_period; /* ns */

    VkCommandPool commands;
    struct vulkan_fence fences[VULKAN_IN_FLIGHT]; /* of ticket t: t % VULKAN_IN_FLIGHT */
    uint64_t submitted, completed;                /* tickets */

    VkCommandBuffer transfer;
    struct hsae_buffer *staging; /* made by the first transfer */

    VkPipelineCache cache;
    size_t cache_size; /* bytes it was loaded with */
    struct vulkan_kernel kernels[HSAE_KERNEL_COUNT];
    struct vulkan_pipeline *pipelines;
    size_t pipeline_count;
};

/* vulkan_units.c */
hsae_device_units hsae_vulkan_units(const struct vulkan_instance *instance, VkPhysicalDevice physical);

/* vulkan_error.c */

/* VK_SUCCESS is OK; else logs `what` (a function's name) and gives the status; notes a lost device. */
hsae_status hsae_vulkan_check(struct vulkan_device *device, VkResult result, const char *what);
/* With HSAE_VULKAN_VALIDATION=1 messages call the object by this name. `object` is its handle. */
void hsae_vulkan_name(struct vulkan_device *device, VkObjectType type, uint64_t object, const char *name);

/* vulkan_commands.c */

hsae_status hsae_vulkan_commands_create(struct vulkan_device *device, VkCommandBuffer *out);
/* Every command buffer begins with a barrier after all earlier work and ends with one that shows its writes to the host. */
hsae_status hsae_vulkan_commands_begin(struct vulkan_device *device, VkCommandBuffer commands);
hsae_status hsae_vulkan_commands_end(struct vulkan_device *device, VkCommandBuffer commands);
/* Command buffers one after the other, each a submission of its own; the ticket is that of all. */
hsae_status hsae_vulkan_submit(struct vulkan_device *device, const VkCommandBuffer *commands, uint32_t count, uint64_t *ticket);
hsae_status hsae_vulkan_wait(struct hsae_device *device, uint64_t ticket, double seconds, bool *done);

/* vulkan_buffer.c: entries of device_ops */
hsae_status hsae_vulkan_buffer_create(struct hsae_device *device, uint64_t size, enum hsae_buffer_kind kind, const char *label,
                                      struct hsae_buffer **out);
void hsae_vulkan_buffer_destroy(struct hsae_buffer *buffer); /* takes NULL */
hsae_status hsae_vulkan_buffer_write(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, const void *data);
hsae_status hsae_vulkan_buffer_read(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data);
hsae_status hsae_vulkan_buffer_map(struct hsae_buffer *buffer, void **data);
hsae_status hsae_vulkan_buffer_unmap(struct hsae_buffer *buffer);

/* vulkan_sequence.c: entries of device_ops */
hsae_status hsae_vulkan_sequence_create(struct hsae_device *device, bool timed, struct hsae_sequence **out);
hsae_status hsae_vulkan_sequence_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch);
hsae_status hsae_vulkan_sequence_cut(struct hsae_sequence *sequence);
hsae_status hsae_vulkan_sequence_end(struct hsae_sequence *sequence);
hsae_status hsae_vulkan_sequence_submit(struct hsae_sequence *sequence, uint64_t *ticket);
hsae_status hsae_vulkan_sequence_times(struct hsae_sequence *sequence, double *ns);
void hsae_vulkan_sequence_destroy(struct hsae_sequence *sequence);

/* vulkan_kernel.c */

/* Loads the pipeline cache. */
hsae_status hsae_vulkan_pipelines_create(struct vulkan_device *device);
/* Keeps the pipeline cache; takes half-built devices. */
void hsae_vulkan_pipelines_destroy(struct vulkan_device *device);
/* The kernel at that shape, compiled if need be. Its layouts are device->kernels[kernel]. */
hsae_status hsae_vulkan_pipeline_get(struct vulkan_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape,
                                     VkPipeline *out);

#endif
