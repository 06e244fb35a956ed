#include "speed.h"
#include "train/shape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char kind[] = "speed";

double hsae_dispatch_seconds(void)
{
    const char *wanted = getenv("HSAE_DISPATCH_MS");
    double ms = wanted ? strtod(wanted, NULL) : 0;
    return ms > 0 ? 1e-3 * ms : 0.05;
}

double hsae_submission_seconds(void)
{
    return 5 * hsae_dispatch_seconds();
}

/* Work in a second before anything was measured: a weak integrated GPU, a core or two, a GPU in software. */
static double guess(const struct hsae_device *device, enum hsae_kernel kernel)
{
    bool products = kernel == HSAE_KERNEL_encode, software = device->info.type == HSAE_DEVICE_CPU;
    if (device->info.backend == HSAE_BACKEND_VULKAN && software)
        return products ? 5e8 : 5e7;
    return products ? 2e10 : software ? 1e9 : 2e9;
}

double hsae_launch_seconds(const struct hsae_device *device, const struct hsae_launch *launch)
{
    double measured = device->speed[launch->kernel];
    if (device->info.backend == HSAE_BACKEND_REF) /* nobody watches it */
        return 0;
    return launch->work / (measured > 0 ? measured : guess(device, launch->kernel));
}

/* What speeds depend on. */
struct key {
    char name[256], driver[256];
    uint32_t backend;
    struct hsae_kernel_shape shapes[HSAE_KERNEL_COUNT];
};

static void make_key(const struct hsae_device *device, struct key *key)
{
    memset(key, 0, sizeof *key);
    memcpy(key->name, device->info.name, strlen(device->info.name));
    memcpy(key->driver, device->info.driver, strlen(device->info.driver));
    key->backend = device->info.backend;
    for (size_t k = 0; k < HSAE_KERNEL_COUNT; k++)
        key->shapes[k] = hsae_shape(device, (enum hsae_kernel)k, 1);
}

bool hsae_speed_load(struct hsae_device *device)
{
    struct key key;
    void *data = NULL;
    size_t size = 0;
    if (device->knows_speed)
        return true;
    make_key(device, &key);
    hsae_cache_read(device->context, kind, &key, sizeof key, &data, &size);
    if (data && size == sizeof device->speed) {
        memcpy(device->speed, data, size);
        device->knows_speed = true;
    }
    free(data);
    return device->knows_speed;
}

/* Shorter launches say little about longer ones. */
static const double SHORTEST = 1e-4;

hsae_status hsae_speed_learn(struct hsae_device *device, struct hsae_sequence *sequence)
{
    const struct hsae_sequence_base *base = (const struct hsae_sequence_base *)sequence;
    double work[HSAE_KERNEL_COUNT] = {0}, seconds[HSAE_KERNEL_COUNT] = {0};
    double *ns = calloc(base->launch_count + 1u, sizeof *ns);
    if (!ns)
        return hsae_fail(device->context, HSAE_ERROR_MEMORY, "%s: out of memory for the times of %s", device->info.id, base->label);
    hsae_status status = hsae_sequence_times(sequence, ns);
    double longest = 0, submission = 0, longest_submission = 0;
    for (uint32_t i = 0; i < base->launch_count && !status; i++) {
        const struct hsae_recorded *launch = &base->recorded[i];
        submission = (i && launch->submission == launch[-1].submission ? submission : 0) + 1e-9 * ns[i];
        longest = fmax(longest, 1e-9 * ns[i]);
        longest_submission = fmax(longest_submission, submission);
        if (launch->kernel == HSAE_KERNEL_COUNT || launch->work <= 0 || 1e-9 * ns[i] < SHORTEST)
            continue;
        work[launch->kernel] += launch->work;
        seconds[launch->kernel] += 1e-9 * ns[i];
    }
    free(ns);
    if (status)
        return status;
    hsae_log(device->context, HSAE_LOG_DEBUG, "%s: %s in %u dispatches and %u submissions, the longest %.1f and %.1f ms", device->info.id,
             base->label, base->launch_count, base->submissions + 1, 1e3 * longest, 1e3 * longest_submission);
    for (size_t k = 0; k < HSAE_KERNEL_COUNT; k++)
        device->speed[k] = seconds[k] > 0 ? work[k] / seconds[k] : 0;
    device->knows_speed = true;
    struct key key;
    make_key(device, &key);
    hsae_cache_write(device->context, kind, &key, sizeof key, device->speed, sizeof device->speed);
    return HSAE_OK;
}
