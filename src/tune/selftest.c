/* SPDX-License-Identifier: MIT */
/* hsae_device_test: whether a device computes what the reference device does. */
#include "device/drivers.h"
#include "device/shape.h"
#include "device/tuning_file.h"
#include "forward.h"
#include "kernels/code.h"
#include "match.h"
#include <hsae/hsae.h>
#include <stdlib.h>
#include <string.h>

/* What a verdict depends on: library, kernels, device, driver, and the shapes that kernels have. */
struct key {
    uint64_t kernels;
    char version[32], name[256], driver[256];
    uint32_t backend, screens;
    struct hsae_kernel_shape shapes[HSAE_KERNEL_COUNT];
};

static void make_key(const struct hsae_device *device, struct key *key)
{
    memset(key, 0, sizeof *key);
    key->kernels = hsae_kernel_code_hash();
    memcpy(key->version, hsae_version(), strlen(hsae_version()));
    memcpy(key->name, device->info.name, strlen(device->info.name));
    memcpy(key->driver, device->info.driver, strlen(device->info.driver));
    key->backend = device->info.backend;
    key->screens = hsae_screens(device);
    for (size_t k = 0; k < HSAE_KERNEL_COUNT; k++)
        key->shapes[k] = hsae_shape(device, (enum hsae_kernel)k, 1);
}

static hsae_status check(const struct hsae_device *device, const char *when, const char *what, double off)
{
    return off <= 1
               ? HSAE_OK
               : hsae_fail_wrong(device, "%s a small model its %s is off by %.3g times what rounding may do, against the reference device",
                                 when, what, off);
}

/* Training first; then what is done with a model that the reference device trained. */
static hsae_status test(struct hsae_device *device)
{
    struct match *match = NULL;
    char what[64] = "";
    double off = 0;
    hsae_status status = hsae_match_create(device, &match);
    if (!status)
        status = check(device, "after a few training steps of", what, hsae_match_agreement(match, what));
    if (!status) {
        uint32_t count;
        const float *rows = hsae_match_rows(match, &count);
        status = hsae_forward_agreement(device, hsae_match_model(match), rows, count, &off, what);
    }
    if (!status)
        status = check(device, "with", what, off);
    hsae_match_destroy(&match);
    return status;
}

hsae_status hsae_device_test(hsae_device *device, bool again)
{
    HSAE_REQUIRE(NULL, device);
    static const char kind[] = "selftest", passed[] = "passed";
    hsae_tuning_load(device);
    struct key key;
    void *known = NULL;
    size_t size;
    make_key(device, &key);
    if (!again && device->context->program && hsae_trial_passed(device->info.id))
        return HSAE_OK;
    if (!again)
        hsae_cache_read(device->context, kind, &key, sizeof key, &known, &size);
    hsae_status status = known ? HSAE_OK : test(device);
    if (!known && !status)
        hsae_cache_write(device->context, kind, &key, sizeof key, passed, sizeof passed);
    free(known);
    return status;
}
