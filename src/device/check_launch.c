/* SPDX-License-Identifier: MIT */
#include "check_launch.h"

#include "front.h"
#include <string.h>

static bool is_power_of_two(uint32_t x)
{
    return x && !(x & (x - 1));
}

static hsae_status check_tile(const struct hsae_sequence_base *sequence, const struct hsae_launch *launch)
{
    const struct hsae_device *device = sequence->device;
    const struct hsae_kernel_shape *shape = &launch->shape;
    struct hsae_tile tile;
    if (!hsae_shape_tile(shape, &tile))
        return hsae_fail(
            device->context, HSAE_ERROR_ARGUMENT,
            "%s: %s in %s: a tile of %u vectors an item, %u words, step %u, padding %u, prefetch %u does not fit group size %u, "
            "columns %u, vector width %u (device.h)",
            device->info.id, hsae_kernels[launch->kernel].name, sequence->label, shape->tile_vectors, shape->tile_words, shape->tile_step,
            shape->tile_pad, shape->tile_prefetch, shape->group_size, shape->columns, shape->vector_width);
    uint32_t local = hsae_local_bytes(launch->kernel, shape);
    if (local > device->info.limits.max_local_bytes)
        return hsae_fail(device->context, HSAE_ERROR_LIMIT,
                         "%s: %s in %s: a work-group of %u needs %u bytes of local memory, the device allows %u; %s", device->info.id,
                         hsae_kernels[launch->kernel].name, sequence->label, shape->group_size, local, device->info.limits.max_local_bytes,
                         shape->group_size > 1 ? "use a smaller one" : "use another device");
    return HSAE_OK;
}

static hsae_status check_shape(const struct hsae_sequence_base *sequence, const struct hsae_launch *launch)
{
    const struct hsae_device *device = sequence->device;
    const hsae_limits *limits = &device->info.limits;
    const struct hsae_kernel_info *kernel = &hsae_kernels[launch->kernel];
    const struct hsae_kernel_shape *shape = &launch->shape;
    if (!is_power_of_two(shape->group_size) || !shape->columns || !is_power_of_two(shape->ranges) || shape->ranges > HSAE_MAX_RANGES ||
        (shape->vector_width != 4 && shape->vector_width != 8 && shape->vector_width != 16) ||
        (device->info.backend == HSAE_BACKEND_VULKAN && shape->vector_width != 4) || !launch->groups[0] || !launch->groups[1])
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT,
                         "%s: %s in %s: group size %u, columns %u, ranges %u, vector width %u, groups %u x %u is not a shape (device.h)",
                         device->info.id, kernel->name, sequence->label, shape->group_size, shape->columns, shape->ranges,
                         shape->vector_width, launch->groups[0], launch->groups[1]);
    if (shape->group_size > limits->max_group_size)
        return hsae_fail(device->context, HSAE_ERROR_LIMIT, "%s: %s in %s: group size %u, the device allows %u", device->info.id,
                         kernel->name, sequence->label, shape->group_size, limits->max_group_size);
    for (int i = 0; i < 2; i++)
        if (launch->groups[i] > limits->max_groups[i])
            return hsae_fail(device->context, HSAE_ERROR_LIMIT,
                             "%s: %s in %s: %u groups in %c, the device allows %u; use a smaller batch or smaller levels", device->info.id,
                             kernel->name, sequence->label, launch->groups[i], i ? 'y' : 'x', limits->max_groups[i]);
    return check_tile(sequence, launch);
}

static hsae_status check_binding(const struct hsae_sequence_base *sequence, const struct hsae_launch *launch, size_t slot)
{
    const struct hsae_device *device = sequence->device;
    const struct hsae_kernel_info *kernel = &hsae_kernels[launch->kernel];
    const struct hsae_buffer_base *buffer = buffer_base(launch->bindings[slot]);
    if (!buffer || buffer->device != device)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: %s in %s: binding %zu %s", device->info.id, kernel->name,
                         sequence->label, slot, buffer ? "is a buffer of another device" : "is not set");
    if (buffer->size > device->info.limits.max_binding_bytes)
        return hsae_fail(
            device->context, HSAE_ERROR_LIMIT,
            "%s: %s in %s: buffer %s has %llu bytes, a kernel of this device sees at most %llu; use a smaller batch or smaller levels",
            device->info.id, kernel->name, sequence->label, buffer->label, ULL(buffer->size), ULL(device->info.limits.max_binding_bytes));
    for (size_t other = 0; other < slot; other++)
        if (launch->bindings[other] == launch->bindings[slot] && (kernel->access[slot] != 'r' || kernel->access[other] != 'r'))
            return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: %s in %s: buffer %s is written and bound twice, at %zu and %zu",
                             device->info.id, kernel->name, sequence->label, buffer->label, other, slot);
    return HSAE_OK;
}

hsae_status hsae_check_launch(const struct hsae_sequence_base *sequence, const struct hsae_launch *launch)
{
    const struct hsae_device *device = sequence->device;
    const hsae_limits *limits = &device->info.limits;
    if (!launch || (unsigned)launch->kernel >= HSAE_KERNEL_COUNT || !launch->args)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: a launch in %s has no kernel or no arguments", device->info.id,
                         sequence->label);
    const struct hsae_kernel_info *kernel = &hsae_kernels[launch->kernel];
    if (sequence->ended)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: %s: sequence %s has ended, nothing can be added", device->info.id,
                         kernel->name, sequence->label);
    size_t bindings = strlen(kernel->access);
    if (bindings > limits->max_bindings || kernel->args_bytes > limits->max_args_bytes)
        return hsae_fail(device->context, HSAE_ERROR_LIMIT,
                         "%s: %s needs %zu buffers and %u bytes of arguments, the device allows %u and %u; use another device",
                         device->info.id, kernel->name, bindings, kernel->args_bytes, limits->max_bindings, limits->max_args_bytes);
    hsae_status status = check_shape(sequence, launch);
    for (size_t slot = 0; slot < bindings && !status; slot++)
        status = check_binding(sequence, launch, slot);
    for (size_t slot = bindings; slot < HSAE_MAX_BINDINGS && !status; slot++)
        if (launch->bindings[slot])
            status = hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: %s in %s: binding %zu is set, the kernel has %zu",
                               device->info.id, kernel->name, sequence->label, slot, bindings);
    return status;
}

hsae_status hsae_check_gemm(const struct hsae_sequence_base *sequence, const struct hsae_gemm *p)
{
    const struct hsae_device *device = sequence->device;
    if (!device->has_gemm)
        return hsae_fail(device->context, HSAE_ERROR_UNSUPPORTED, "%s: there is no library for dense products", device->info.id);
    if (sequence->ended)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: product: sequence %s has ended, nothing can be added", device->info.id,
                         sequence->label);
    const struct {
        struct hsae_buffer *buffer;
        uint32_t rows, columns, line;
    } operands[] = {{p->a, p->rows, p->depth, p->lda}, {p->b, p->columns, p->depth, p->ldb}, {p->c, p->rows, p->columns, p->ldc}};
    for (size_t i = 0; i < 3; i++) {
        const struct hsae_buffer_base *buffer = buffer_base(operands[i].buffer);
        if (!buffer || buffer->device != device || !operands[i].rows || !operands[i].columns || operands[i].line < operands[i].columns ||
            ((uint64_t)(operands[i].rows - 1) * operands[i].line + operands[i].columns) * sizeof(float) > buffer->size)
            return hsae_fail(device->context, HSAE_ERROR_ARGUMENT,
                             "%s: product in %s: operand %c of %u x %u floats, %u a row, is not within a buffer of this device",
                             device->info.id, sequence->label, "abc"[i], operands[i].rows, operands[i].columns, operands[i].line);
    }
    if (p->c == p->a || p->c == p->b)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: product in %s: c is an operand too", device->info.id, sequence->label);
    return HSAE_OK;
}
