/* SPDX-License-Identifier: MIT */
/* Launches on a device model: how many work-groups a kernel has, its shape and its work. */
#ifndef HSAE_SRC_LAUNCH_H
#define HSAE_SRC_LAUNCH_H

#include "device_model.h"

/* Adds one launch of `groups` work-groups (a linear count) to a sequence; errors stick (device/device.h). `ranges` is 1 or
 * device_model->ranges. `buffers`: the kernel's struct of named buffers (kernels/kernel.h), of so many bytes. */
void hsae_device_model_launch(const struct device_model *device_model, struct hsae_sequence *sequence, enum hsae_kernel kernel,
                              uint32_t ranges, uint64_t groups, const void *args, const void *buffers, size_t bytes);
/* LAUNCH(device_model, sequence, scan, 1, groups, args, .counts = ..., .starts = ...) */
#define LAUNCH(device_model, sequence, name, ranges, groups, args, ...)                         \
    hsae_device_model_launch(device_model, sequence, HSAE_KERNEL_##name, ranges, groups, &args, \
                             &(const struct hsae_##name##_buffers){__VA_ARGS__}, sizeof(struct hsae_##name##_buffers))
/* The four buffers of a tensor. */
#define RANGES4(device_model, tensor)                                                                            \
    {                                                                                                            \
        RANGE_AT(device_model, tensor, 0), RANGE_AT(device_model, tensor, 1), RANGE_AT(device_model, tensor, 2), \
            RANGE_AT(device_model, tensor, 3)                                                                    \
    }
#define RANGE_AT(device_model, tensor, k) ((tensor).range[k] ? (tensor).range[k] : (device_model)->unused_binding[k])

/* Ends a sequence, runs it once, waits for it and destroys it. */
hsae_status hsae_device_model_run_once(const struct device_model *device_model, struct hsae_sequence **sequence);

/* hsae_shape_fit for each of the kernels, before their groups are counted. */
void hsae_device_model_fit(const struct device_model *device_model, uint32_t ranges, const enum hsae_kernel *kernels, size_t count);
#define FIT(device_model, ranges, ...)                                                   \
    hsae_device_model_fit(device_model, ranges, (const enum hsae_kernel[]){__VA_ARGS__}, \
                          sizeof((const enum hsae_kernel[]){__VA_ARGS__}) / sizeof(enum hsae_kernel))

/* Groups of a kernel whose work-items, or teams of them (kernels/args.h: TEAM_SIZE), are independent. */
uint64_t hsae_groups_for(const struct device_model *device_model, enum hsae_kernel kernel, uint64_t items);
/* What a work-group of encode has. */
struct hsae_tile hsae_encode_tile(const struct device_model *device_model);
/* Groups of encode over `count` features. */
uint64_t hsae_encode_groups(const struct device_model *device_model, uint32_t count);
/* Features of a work-group of screen or screen8. */
uint32_t hsae_screen_tile(const struct device_model *device_model);

#endif
