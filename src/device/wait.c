/* SPDX-License-Identifier: MIT */
/* Waiting for a device, with patience that ends. */
#include "device.h"

#include "base/patience.h"
#include "front.h"
#include <math.h>
#include <stdlib.h>

/* For a wait that begins now. */
static struct hsae_patience new_patience(const struct hsae_device *device)
{
    double seconds = hsae_setting_number(device->context, HSAE_SETTING_WAIT_SECONDS, 120);
    return (struct hsae_patience){
        .limit = seconds > 0 ? seconds + 10 * device->expected : INFINITY,
        .threads = device->info.type == HSAE_DEVICE_CPU || device->first_run > device->waited,
    };
}

static void warn_waiting(const struct hsae_device *device, const struct hsae_patience *patience)
{
    const char *id = device->info.id, *name = device->info.name;
    if (!patience->threads)
        hsae_log(device->context, HSAE_LOG_WARNING, "%s (%s): its work has not ended after %.0f s; it is given up after %.0f s", id, name,
                 patience->still, patience->limit);
    else if (patience->still >= patience->limit / 12)
        hsae_log(
            device->context, HSAE_LOG_WARNING,
            "%s (%s): its work has not ended, and no thread of this process has worked for %.0f s; it is given up after %.0f s of that", id,
            name, patience->still, patience->limit);
    else
        hsae_log(device->context, HSAE_LOG_WARNING,
                 "%s (%s): its work has not ended after %.0f s in which threads of this process were at work; it is given up after %.0f s",
                 id, name, patience->worked, hsae_patience_max_work(patience));
}

static hsae_status give_up(struct hsae_device *device, const struct hsae_patience *patience, enum hsae_patience_verdict verdict)
{
    bool circles = verdict == HSAE_PATIENCE_CIRCLES;
    device->lost = device->hung = true;
    return hsae_fail(
        device->context, HSAE_ERROR_DEVICE_LOST,
        "%s (%s): its work has not ended after %.0f s%s; it is given up as lost. Resume from a checkpoint, on another device or "
        "after a restart of this one; HSAE_WAIT_SECONDS sets how long is waited",
        device->info.id, device->info.name, circles ? patience->worked : patience->still,
        !patience->threads ? ""
        : circles          ? " in which threads of this process were at work"
                           : " in which no thread of this process has worked");
}

hsae_status hsae_device_await(struct hsae_device *device, uint64_t ticket)
{
    struct hsae_patience patience = new_patience(device);
    bool done = false;
    hsae_status status = HSAE_OK;
    while (!status && !done) {
        const double slice = hsae_patience_slice(&patience);
        status = device->ops->wait(device, ticket, slice, &done);
        if (status || done)
            break;
        enum hsae_patience_verdict verdict = hsae_patience_spend(&patience, slice, patience.threads ? hsae_os_others_seconds() : 0);
        if (verdict == HSAE_PATIENCE_WARN)
            warn_waiting(device, &patience);
        else if (verdict != HSAE_PATIENCE_WAIT)
            status = give_up(device, &patience, verdict);
    }
    return status;
}

hsae_status hsae_device_wait(struct hsae_device *device, uint64_t ticket)
{
    hsae_status status = check_device(device);
    if (status)
        return status;
    if (ticket > device->submitted)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: cannot wait for ticket %llu, the last one is %llu", device->info.id,
                         ULL(ticket), ULL(device->submitted));
    if (ticket && ticket <= device->waited)
        return HSAE_OK;
    status = hsae_device_await(device, ticket);
    if (status)
        return status;
    device->waited = ticket ? ticket : device->submitted;
    if (device->waited == device->submitted)
        device->expected = 0;
    return HSAE_OK;
}
