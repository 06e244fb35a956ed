/* SPDX-License-Identifier: MIT */
#include "speed.h"
#include "kernels/code.h"
#include "shape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char kind[] = "speed";

/* What speeds depend on. */
struct key {
    uint64_t kernels;
    char name[256], driver[256];
    uint32_t backend, screens;
    struct hsae_kernel_shape shapes[HSAE_KERNEL_COUNT];
};

static void make_key(const struct hsae_device *device, struct key *key)
{
    memset(key, 0, sizeof *key);
    key->kernels = hsae_kernel_code_hash();
    memcpy(key->name, device->info.name, strlen(device->info.name));
    memcpy(key->driver, device->info.driver, strlen(device->info.driver));
    key->backend = device->info.backend;
    key->screens = hsae_screens(device);
    for (size_t k = 0; k < HSAE_KERNEL_COUNT; k++)
        key->shapes[k] = hsae_shape(device, (enum hsae_kernel)k, 1);
}

void hsae_speed_load(struct hsae_device *device)
{
    struct key key;
    void *data = NULL;
    size_t size = 0;
    if (device->speed_loaded)
        return;
    device->speed_loaded = true;
    make_key(device, &key);
    hsae_cache_read(device->context, kind, &key, sizeof key, &data, &size);
    if (data && size == sizeof device->speed)
        memcpy(device->speed, data, size);
    free(data);
}

/* A shorter launch spends its time on starting: it tells only how slow the kernel is at most. */
static const double SHORTEST = 1e-4;
/* In one calibration (speed.h). */
static const double MAX_FALL = 2, MAX_RISE = 8;
/* Times as fast, or as slow, that are worth a word. */
static const double CHANGE = 1.25;

/* One timed launch, used for calibration. */
struct timed_launch {
    enum hsae_kernel kernel;
    double work, seconds; /* 0: a short one */
};

/* By kernel, long ones first, the slowest of them first. */
static int slowest_first(const void *a, const void *b)
{
    const struct timed_launch *x = a, *y = b;
    if (x->kernel != y->kernel)
        return x->kernel < y->kernel ? -1 : 1;
    if ((x->seconds > 0) != (y->seconds > 0))
        return x->seconds > 0 ? -1 : 1;
    double left = x->work * y->seconds, right = y->work * x->seconds;
    return left < right ? -1 : left > right;
}

/* What the launches of one kernel tell. */
struct found {
    double work;     /* of all */
    double speed;    /* of the long ones; 0: there are none */
    double longest;  /* seconds */
    double at_least; /* the speed that short ones prove */
};

/* The work of a launch is an estimate that may be too low for some, as for update's of large levels: the slowest ones that took a quarter
 * of the time tell the speed, so that those do not get too long either. */
static struct found find(const struct timed_launch *timed, size_t count)
{
    struct found found = {0};
    double all = 0, seconds = 0, work = 0, most = 0;
    for (size_t k = 0; k < count; k++) {
        all += timed[k].seconds;
        found.work += timed[k].work;
        found.longest = fmax(found.longest, timed[k].seconds);
        most = fmax(most, timed[k].work);
    }
    for (size_t k = 0; k < count && seconds < all / 4; k++) {
        seconds += timed[k].seconds;
        work += timed[k].work;
    }
    if (seconds > 0)
        found.speed = work / seconds;
    found.at_least = most / SHORTEST;
    return found;
}

/* The rule of speed.h. */
static void learn(const struct hsae_device *device, struct hsae_speed *speed, const struct found *found)
{
    bool watched = device->info.type != HSAE_DEVICE_CPU; /* by a watchdog, perhaps */
    bool late = watched && found->longest > 2 * hsae_dispatch_seconds(device);
    if (found->speed > 0 && (!speed->measured || found->speed >= speed->work || late))
        *speed = (struct hsae_speed){found->speed, 1};
    else if (found->speed > 0)
        speed->work = fmax(found->speed, speed->work / MAX_FALL);
    else if (speed->measured)
        speed->work = fmin(fmax(speed->work, found->at_least), MAX_RISE * speed->work);
    else
        speed->work = fmax(speed->work, found->at_least);
}

/* Of one kernel's launches. True: it is worth keeping. */
static bool learn_kernel(struct hsae_device *device, const struct timed_launch *timed, size_t count, enum hsae_speed_change *change)
{
    const struct found found = find(timed, count);
    const struct hsae_launch all = {.kernel = timed->kernel, .work = found.work};
    struct hsae_speed *speed = &device->speed[all.kernel], old = *speed;
    const double before = hsae_launch_seconds(device, &all);
    learn(device, speed, &found);
    const double after = hsae_launch_seconds(device, &all);
    if (fmax(before, after) > 0.1 * hsae_dispatch_seconds(device)) {
        if (before > CHANGE * after)
            *change = HSAE_SPEED_FASTER;
        else if (after > CHANGE * before && *change == HSAE_SPEED_SAME)
            *change = HSAE_SPEED_SLOWER;
    }
    return speed->measured != old.measured || fabs(speed->work - old.work) > 0.1 * old.work;
}

static void keep(const struct hsae_device *device)
{
    struct key key;
    make_key(device, &key);
    hsae_cache_write(device->context, kind, &key, sizeof key, device->speed, sizeof device->speed);
}

hsae_status hsae_speed_learn(struct hsae_device *device, struct hsae_sequence *sequence, enum hsae_speed_change *change)
{
    const struct hsae_sequence_base *base = (const struct hsae_sequence_base *)sequence;
    double *ns = calloc(base->launch_count + 1u, sizeof *ns);
    struct timed_launch *timed = malloc((base->launch_count + 1u) * sizeof *timed);
    size_t count = 0;
    hsae_status status = HSAE_ERROR_MEMORY;
    *change = HSAE_SPEED_SAME;
    if (ns && timed)
        status = hsae_sequence_times(sequence, ns);
    else
        hsae_fail(device->context, status, "%s: out of memory for the times of %s", device->info.id, base->label);
    double longest = 0, submission = 0, longest_submission = 0;
    for (uint32_t i = 0; i < base->launch_count && !status; i++) {
        const struct hsae_recorded *launch = &base->recorded[i];
        double seconds = 1e-9 * ns[i];
        submission = (i && launch->submission == launch[-1].submission ? submission : 0) + seconds;
        longest = fmax(longest, seconds);
        longest_submission = fmax(longest_submission, submission);
        if (launch->kernel < HSAE_KERNEL_COUNT && hsae_kernel_is_steady(launch->kernel) && launch->work > 0 && seconds > 0)
            timed[count++] = (struct timed_launch){launch->kernel, launch->work, seconds >= SHORTEST ? seconds : 0};
    }
    if (!status) {
        hsae_log(device->context, HSAE_LOG_DEBUG, "%s: %s in %u dispatches and %u submissions, the longest %.1f and %.1f ms",
                 device->info.id, base->label, base->launch_count, base->submissions + 1, 1e3 * longest, 1e3 * longest_submission);
        qsort(timed, count, sizeof *timed, slowest_first);
        bool worth = false;
        for (size_t first = 0, end = 0; first < count; first = end) {
            while (end < count && timed[end].kernel == timed[first].kernel)
                end++;
            worth |= learn_kernel(device, timed + first, end - first, change);
        }
        if (worth)
            keep(device);
    }
    free(ns);
    free(timed);
    return status;
}
