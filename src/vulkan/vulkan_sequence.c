/* SPDX-License-Identifier: MIT */
#include "base/abandoned.h"
#include "device/quirks.h"
#include "vulkan_device.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_LAUNCHES = 64 };

/* Descriptor sets, and timestamps before and after, of 64 launches. */
struct block {
    VkDescriptorPool sets;
    VkQueryPool times; /* sequences with timestamps only */
};

/* A buffer that was used since the last barrier. */
struct use {
    const struct hsae_buffer *buffer;
    bool written;
};

struct hsae_sequence {
    struct hsae_sequence_base base;
    VkCommandBuffer commands; /* the last one of: */
    VkCommandBuffer *submissions;
    uint32_t submission_count;
    struct block *blocks; /* launch i has its things in block i / 64 */
    uint32_t block_count;
    struct use *uses;
    size_t use_count, use_capacity;
    bool stamped; /* timed by the device's timestamps */
    bool single;  /* each launch is a submission of its own, which is waited for before the next one */
    double *ns;   /* of each launch, where the host times them */
};

static struct vulkan_device *device_of(const struct hsae_sequence *sequence)
{
    return (struct vulkan_device *)sequence->base.device;
}

/* ---- hazards ---- */

static struct use *find_use(const struct hsae_sequence *sequence, const struct hsae_buffer *buffer)
{
    for (size_t i = 0; i < sequence->use_count; i++)
        if (sequence->uses[i].buffer == buffer)
            return &sequence->uses[i];
    return NULL;
}

/* Reads after reads alone need no barrier. */
static bool needs_barrier(const struct hsae_sequence *sequence, const struct hsae_launch *launch, const char *access)
{
    for (size_t i = 0; access[i]; i++) {
        const struct use *use = find_use(sequence, launch->bindings[i]);
        if (use && (use->written || access[i] != 'r'))
            return true;
    }
    return false;
}

static void barrier(struct hsae_sequence *sequence)
{
    VkMemoryBarrier info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT,
    };
    const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
    device_of(sequence)->vk.CmdPipelineBarrier(sequence->commands, stage, stage, 0, 1, &info, 0, NULL, 0, NULL);
    sequence->use_count = 0;
}

/* There is room for all (reserve). */
static void note_uses(struct hsae_sequence *sequence, const struct hsae_launch *launch, const char *access)
{
    for (size_t i = 0; access[i]; i++) {
        struct use *use = find_use(sequence, launch->bindings[i]);
        if (!use) {
            use = &sequence->uses[sequence->use_count++];
            *use = (struct use){.buffer = launch->bindings[i]};
        }
        use->written = use->written || access[i] != 'r';
    }
}

/* ---- what a launch needs besides its pipeline ---- */

static hsae_status fail_memory(const struct hsae_sequence *sequence)
{
    return hsae_fail(sequence->base.device->context, HSAE_ERROR_MEMORY, "out of memory for sequence %s", sequence->base.label);
}

static hsae_status add_block(struct hsae_sequence *sequence)
{
    struct vulkan_device *device = device_of(sequence);
    struct block *grown = realloc(sequence->blocks, (sequence->block_count + 1) * sizeof *grown);
    if (!grown)
        return fail_memory(sequence);
    sequence->blocks = grown;
    struct block block = {0};
    VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, BLOCK_LAUNCHES * HSAE_MAX_BINDINGS};
    VkDescriptorPoolCreateInfo sets = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = BLOCK_LAUNCHES,
        .poolSizeCount = 1,
        .pPoolSizes = &size,
    };
    hsae_status status =
        hsae_vulkan_check(device, device->vk.CreateDescriptorPool(device->handle, &sets, NULL, &block.sets), "vkCreateDescriptorPool");
    if (status)
        return status;
    VkQueryPoolCreateInfo times = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = 2 * BLOCK_LAUNCHES,
    };
    if (sequence->stamped)
        status = hsae_vulkan_check(device, device->vk.CreateQueryPool(device->handle, &times, NULL, &block.times), "vkCreateQueryPool");
    if (status) {
        device->vk.DestroyDescriptorPool(device->handle, block.sets, NULL);
        return status;
    }
    if (sequence->stamped)
        device->vk.CmdResetQueryPool(sequence->commands, block.times, 0, times.queryCount);
    grown[sequence->block_count++] = block;
    return HSAE_OK;
}

/* All that can fail, before anything is recorded. */
static hsae_status reserve(struct hsae_sequence *sequence)
{
    if (sequence->use_capacity < sequence->use_count + HSAE_MAX_BINDINGS) {
        size_t capacity = 2 * sequence->use_capacity + HSAE_MAX_BINDINGS;
        struct use *grown = realloc(sequence->uses, capacity * sizeof *grown);
        if (!grown)
            return fail_memory(sequence);
        sequence->uses = grown;
        sequence->use_capacity = capacity;
    }
    return sequence->base.launch_count < sequence->block_count * BLOCK_LAUNCHES ? HSAE_OK : add_block(sequence);
}

static hsae_status create_set(struct hsae_sequence *sequence, const struct hsae_launch *launch, VkDescriptorSet *out)
{
    struct vulkan_device *device = device_of(sequence);
    VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = sequence->blocks[sequence->base.launch_count / BLOCK_LAUNCHES].sets,
        .descriptorSetCount = 1,
        .pSetLayouts = &device->kernels[launch->kernel].set,
    };
    hsae_status status =
        hsae_vulkan_check(device, device->vk.AllocateDescriptorSets(device->handle, &info, out), "vkAllocateDescriptorSets");
    if (status)
        return status;
    uint32_t count = (uint32_t)strlen(hsae_kernels[launch->kernel].access);
    VkDescriptorBufferInfo buffers[HSAE_MAX_BINDINGS];
    for (uint32_t i = 0; i < count; i++)
        buffers[i] = (VkDescriptorBufferInfo){.buffer = launch->bindings[i]->handle, .range = VK_WHOLE_SIZE};
    VkWriteDescriptorSet writes[HSAE_MAX_BINDINGS];
    for (uint32_t i = 0; i < count; i++)
        writes[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = *out,
            .dstBinding = i,
            .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &buffers[i],
        };
    device->vk.UpdateDescriptorSets(device->handle, count, writes, 0, NULL);
    return HSAE_OK;
}

/* ---- entries of device_ops ---- */

/* One more command buffer, which is begun. */
static hsae_status add_submission(struct hsae_sequence *sequence)
{
    struct vulkan_device *device = device_of(sequence);
    VkCommandBuffer *grown = realloc(sequence->submissions, (sequence->submission_count + 1) * sizeof *grown);
    if (!grown)
        return fail_memory(sequence);
    sequence->submissions = grown;
    hsae_status status = hsae_vulkan_commands_create(device, &grown[sequence->submission_count]);
    if (status)
        return status;
    sequence->commands = grown[sequence->submission_count++];
    sequence->use_count = 0; /* it begins with a barrier */
    return hsae_vulkan_commands_begin(device, sequence->commands);
}

hsae_status hsae_vulkan_sequence_create(struct hsae_device *base, bool timed, struct hsae_sequence **out)
{
    struct vulkan_device *device = (struct vulkan_device *)base;
    struct hsae_sequence *sequence = calloc(1, sizeof *sequence);
    if (!sequence)
        return hsae_fail(base->context, HSAE_ERROR_MEMORY, "out of memory for a sequence");
    sequence->base = (struct hsae_sequence_base){.device = base, .timed = timed};
    sequence->stamped = timed && device->timestamp_mask && !(base->quirks & HSAE_QUIRK_HOST_TIMERS);
    sequence->single = base->quirks & HSAE_QUIRK_SERIALIZE || (timed && !sequence->stamped);
    hsae_status status = add_submission(sequence);
    if (status) {
        hsae_vulkan_sequence_destroy(sequence);
        return status;
    }
    *out = sequence;
    return HSAE_OK;
}

hsae_status hsae_vulkan_sequence_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch)
{
    struct vulkan_device *device = device_of(sequence);
    const struct vulkan_api *vk = &device->vk;
    const struct hsae_kernel_info *kernel = &hsae_kernels[launch->kernel];
    VkPipeline pipeline;
    VkDescriptorSet set;
    hsae_status status = hsae_vulkan_pipeline_get(device, launch->kernel, &launch->shape, &pipeline);
    if (!status && sequence->single && sequence->base.launch_count == sequence->submission_count) /* the last one has its launch */
        status = hsae_vulkan_sequence_cut(sequence);
    if (!status)
        status = reserve(sequence);
    if (!status)
        status = create_set(sequence, launch, &set);
    if (status)
        return status;

    VkCommandBuffer commands = sequence->commands;
    const VkPipelineLayout layout = device->kernels[launch->kernel].layout;
    const uint32_t in_block = sequence->base.launch_count % BLOCK_LAUNCHES;
    VkQueryPool times = sequence->blocks[sequence->base.launch_count / BLOCK_LAUNCHES].times;
    /* Launches that overlap have no times of their own. */
    bool more = launch->first[0] || launch->first[1]; /* of the launch before */
    if (sequence->stamped || (!more && needs_barrier(sequence, launch, kernel->access)))
        barrier(sequence);
    note_uses(sequence, launch, kernel->access);
    vk->CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vk->CmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
    vk->CmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, kernel->args_bytes, launch->args);
    if (sequence->stamped)
        vk->CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, times, 2 * in_block);
    vk->CmdDispatchBase(commands, launch->first[0], launch->first[1], 0, launch->groups[0], launch->groups[1], 1);
    if (sequence->stamped)
        vk->CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, times, 2 * in_block + 1);
    return HSAE_OK;
}

hsae_status hsae_vulkan_sequence_cut(struct hsae_sequence *sequence)
{
    hsae_status status = hsae_vulkan_commands_end(device_of(sequence), sequence->commands);
    return status ? status : add_submission(sequence);
}

hsae_status hsae_vulkan_sequence_end(struct hsae_sequence *sequence)
{
    bool host_timed = sequence->base.timed && !sequence->stamped;
    if (host_timed && !sequence->ns)
        sequence->ns = calloc(sequence->submission_count, sizeof *sequence->ns);
    if (host_timed && !sequence->ns)
        return fail_memory(sequence);
    return hsae_vulkan_commands_end(device_of(sequence), sequence->commands);
}

static hsae_status submit_one_by_one(struct hsae_sequence *sequence, uint64_t *ticket)
{
    hsae_status status = HSAE_OK;
    for (uint32_t i = 0; i < sequence->submission_count && !status; i++) {
        const double start = hsae_os_seconds();
        status = hsae_vulkan_submit(device_of(sequence), &sequence->submissions[i], 1, ticket);
        if (!status)
            status = hsae_device_await(sequence->base.device, *ticket);
        if (sequence->ns)
            sequence->ns[i] = 1e9 * (hsae_os_seconds() - start);
    }
    return status;
}

hsae_status hsae_vulkan_sequence_submit(struct hsae_sequence *sequence, uint64_t *ticket)
{
    if (sequence->single)
        return submit_one_by_one(sequence, ticket);
    return hsae_vulkan_submit(device_of(sequence), sequence->submissions, sequence->submission_count, ticket);
}

hsae_status hsae_vulkan_sequence_times(struct hsae_sequence *sequence, double *ns)
{
    struct vulkan_device *device = device_of(sequence);
    const uint64_t mask = device->timestamp_mask;
    if (sequence->ns) {
        memcpy(ns, sequence->ns, sequence->base.launch_count * sizeof *ns);
        return HSAE_OK;
    }
    for (uint32_t first = 0; first < sequence->base.launch_count; first += BLOCK_LAUNCHES) {
        uint64_t stamps[2 * BLOCK_LAUNCHES];
        uint32_t count = sequence->base.launch_count - first < BLOCK_LAUNCHES ? sequence->base.launch_count - first : BLOCK_LAUNCHES;
        VkResult result =
            device->vk.GetQueryPoolResults(device->handle, sequence->blocks[first / BLOCK_LAUNCHES].times, 0, 2 * count, sizeof stamps,
                                           stamps, sizeof *stamps, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
        hsae_status status = hsae_vulkan_check(device, result, "vkGetQueryPoolResults");
        if (status)
            return status;
        for (uint32_t i = 0; i < count; i++)
            ns[first + i] = (double)((stamps[2 * i + 1] - stamps[2 * i]) & mask) * device->timestamp_period;
    }
    return HSAE_OK;
}

void hsae_vulkan_sequence_destroy(struct hsae_sequence *sequence)
{
    struct vulkan_device *device = device_of(sequence);
    const struct vulkan_api *vk = &device->vk;
    if (sequence->base.ticket && !device->base.lost)
        hsae_device_await(&device->base, sequence->base.ticket);
    else if (sequence->base.ticket)
        vk->DeviceWaitIdle(device->handle); /* ends on a lost device, too, and then nothing is in use */
    if (device->base.hung) {                /* since that wait */
        hsae_abandon(sequence);
        return;
    }
    for (uint32_t i = 0; i < sequence->block_count; i++) {
        vk->DestroyQueryPool(device->handle, sequence->blocks[i].times, NULL);
        vk->DestroyDescriptorPool(device->handle, sequence->blocks[i].sets, NULL);
    }
    if (sequence->submission_count)
        vk->FreeCommandBuffers(device->handle, device->commands, sequence->submission_count, sequence->submissions);
    free(sequence->submissions);
    free(sequence->blocks);
    free(sequence->uses);
    free(sequence->ns);
    free(sequence);
}
