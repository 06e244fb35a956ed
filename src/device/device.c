/* SPDX-License-Identifier: MIT */
#include "device.h"

#include "base/abandoned.h"
#include "front.h"
#include <hsae/config.h>
#include <stdarg.h>
#include <stdlib.h>

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
    free(closing->joined);
    closing->joined = NULL;
    closing->joined_count = 0;
    if (closing->hung)
        hsae_abandon(closing);
    else
        closing->ops->close(closing);
    *device = NULL;
}

hsae_status hsae_device_join(hsae_device *device, hsae_device *const *others, uint32_t count)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, others);
    hsae_device **joined = malloc(count * sizeof *joined + 1);
    if (!joined)
        return hsae_fail_memory(device->context, count * sizeof *joined, NULL, "a list of devices");
    for (uint32_t k = 0; k < count; k++)
        joined[k] = others[k];
    free(device->joined);
    device->joined = joined;
    device->joined_count = count;
    return HSAE_OK;
}

hsae_status hsae_device_join_network(hsae_device *device, const hsae_network *network)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, network);
    if (network->rank || device->joined_count)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s",
                         network->rank ? "only process 0 of a network joins a device to it; the others serve"
                                       : "a device that is joined with others of its process cannot be joined to a network, too");
    if (!network->ranks || network->ranks > HSAE_MAX_SHARDS)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "a network has 1 to %u processes, not %u", (unsigned)HSAE_MAX_SHARDS,
                         (unsigned)network->ranks);
    device->network = *network;
    return HSAE_OK;
}

uint32_t hsae_device_ranks(const struct hsae_device *device)
{
    return device->network.ranks > 1 ? device->network.ranks : device->joined_count + 1;
}

const hsae_device_info *hsae_device_get_info(const hsae_device *device)
{
    return device ? &device->info : NULL;
}
