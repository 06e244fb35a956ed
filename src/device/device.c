/* SPDX-License-Identifier: MIT */
#include "device.h"

#include "base/abandoned.h"
#include "front.h"
#include <stdarg.h>

bool hsae_device_has_gemm(const struct hsae_device *device)
{
    return device->has_gemm;
}

hsae_status hsae_fail_wrong(const struct hsae_device *device, const char *format, ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return hsae_fail(device->context, HSAE_ERROR_DRIVER,
                     "%s (%s; %s) computes wrong: %s; update the driver or choose another device (hsae devices --test)", device->info.id,
                     device->info.name, device->info.driver, what);
}

void hsae_device_close(hsae_device **device)
{
    if (!device || !*device)
        return;
    struct hsae_device *closing = *device;
    if (closing->buffers || closing->sequences)
        hsae_log(closing->context, HSAE_LOG_WARNING, "%s is closed with %llu buffers and %llu sequences alive", closing->info.id,
                 ULL(closing->buffers), ULL(closing->sequences));
    if (!closing->lost && closing->waited != closing->submitted)
        hsae_device_wait(closing, 0); /* with patience: drivers have none */
    if (closing->hung)
        hsae_abandon(closing);
    else
        closing->ops->close(closing);
    *device = NULL;
}

const hsae_device_info *hsae_device_get_info(const hsae_device *device)
{
    return device ? &device->info : NULL;
}
