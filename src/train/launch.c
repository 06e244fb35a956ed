/* SPDX-License-Identifier: MIT */
#include "launch.h"

#include "work.h"
#include <string.h>

void hsae_device_model_launch(const struct device_model *device_model, struct hsae_sequence *sequence, enum hsae_kernel kernel,
                              uint32_t ranges, uint64_t groups, const void *args, const void *buffers, size_t bytes)
{
    struct hsae_launch launch = {.kernel = kernel, .shape = hsae_shape(device_model->device, kernel, ranges), .args = args};
    launch.work = hsae_launch_work(device_model, kernel, groups, args);
    hsae_launch_groups(device_model->device, groups, &launch);
    memcpy(launch.bindings, buffers, bytes);
    hsae_sequence_launch(sequence, &launch);
}

hsae_status hsae_device_model_run_once(const struct device_model *device_model, struct hsae_sequence **sequence)
{
    hsae_status status = hsae_sequence_end(*sequence);
    if (!status)
        status = hsae_sequence_submit(*sequence, NULL);
    if (!status)
        status = hsae_device_wait(device_model->device, 0);
    hsae_sequence_destroy(sequence);
    return status;
}

void hsae_device_model_fit(const struct device_model *device_model, uint32_t ranges, const enum hsae_kernel *kernels, size_t count)
{
    for (size_t k = 0; k < count; k++)
        hsae_shape_fit(device_model->device, kernels[k], ranges);
}

uint64_t hsae_groups_for(const struct device_model *device_model, enum hsae_kernel kernel, uint64_t items)
{
    struct hsae_kernel_shape shape = hsae_shape(device_model->device, kernel, 1);
    uint32_t teams = shape.group_size / TEAM_SIZE(shape.group_size, shape.columns);
    return (items + teams - 1) / teams;
}

struct hsae_tile hsae_encode_tile(const struct device_model *device_model)
{
    struct hsae_kernel_shape shape = hsae_shape(device_model->device, HSAE_KERNEL_encode, 1);
    struct hsae_tile tile;
    hsae_shape_tile(&shape, &tile);
    return tile;
}

uint64_t hsae_encode_groups(const struct device_model *device_model, uint32_t count)
{
    struct hsae_tile tile = hsae_encode_tile(device_model);
    return ((uint64_t)count + tile.features - 1) / tile.features * ((device_model->words + tile.words - 1) / tile.words);
}

uint32_t hsae_screen_tile(const struct device_model *device_model)
{
    enum hsae_kernel kernel = device_model->screens == 8 ? HSAE_KERNEL_screen8 : HSAE_KERNEL_screen;
    struct hsae_kernel_shape shape = hsae_shape(device_model->device, kernel, 1);
    return shape.group_size * shape.columns;
}
