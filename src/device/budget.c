/* SPDX-License-Identifier: MIT */
#include "budget.h"

#include <math.h>
#include <stdlib.h>

double hsae_dispatch_seconds(const struct hsae_device *device)
{
    double ms = hsae_setting_number(device->context, HSAE_SETTING_DISPATCH_MS, 0);
    return ms > 0 ? 1e-3 * ms : 0.05;
}

double hsae_submission_seconds(const struct hsae_device *device)
{
    return 5 * hsae_dispatch_seconds(device);
}

/* Work in a second before anything was measured: a weak integrated GPU, a core or two, a GPU in software. */
static double guess(const struct hsae_device *device, enum hsae_kernel kernel)
{
    bool products = kernel == HSAE_KERNEL_encode || kernel == HSAE_KERNEL_screen || kernel == HSAE_KERNEL_screen8;
    bool software = device->info.type == HSAE_DEVICE_CPU;
    if (device->info.backend == HSAE_BACKEND_VULKAN && software)
        return products ? 5e8 : 5e7;
    return products ? 2e10 : software ? 1e9 : 2e9;
}

double hsae_launch_seconds(const struct hsae_device *device, const struct hsae_launch *launch)
{
    const struct hsae_speed *speed = &device->speed[launch->kernel];
    if (device->info.backend == HSAE_BACKEND_REF) /* it has no watchdog */
        return 0;
    return launch->work / (speed->measured ? speed->work : fmax(speed->work, guess(device, launch->kernel)));
}

bool hsae_kernel_is_steady(enum hsae_kernel kernel)
{
    return kernel != HSAE_KERNEL_ghost && kernel != HSAE_KERNEL_ghost_rows;
}

bool hsae_launch_guessed(const struct hsae_device *device, const struct hsae_launch *launch)
{
    return hsae_kernel_is_steady(launch->kernel) && !device->speed[launch->kernel].measured &&
           hsae_launch_seconds(device, launch) > 0.1 * hsae_dispatch_seconds(device);
}
