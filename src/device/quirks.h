/* SPDX-License-Identifier: MIT */
/* What drivers do wrong, and what the library does about it. */
#ifndef HSAE_SRC_QUIRKS_H
#define HSAE_SRC_QUIRKS_H

#include <hsae/device.h>

/* Effects; bits of struct hsae_device's `quirks`. */
enum {
    HSAE_QUIRK_HOST_TIMERS = 1,     /* launches of timed sequences run one by one and are timed on the host */
    HSAE_QUIRK_NO_BINARIES = 2,     /* compiled kernels are not kept */
    HSAE_QUIRK_ONE_ITEM_UPDATE = 4, /* `update` and `segment_rows` have one work-item a group */
    HSAE_QUIRK_HIDDEN = 8,          /* never the default device */
    HSAE_QUIRK_LOW_PREFERENCE = 16, /* of a GPU's drivers, not the first to be taken */
    HSAE_QUIRK_SERIALIZE = 32,      /* Vulkan: a launch is submitted once the one before it has ended */
    HSAE_QUIRK_WAIT_IN_DRIVER = 64, /* waits are the driver's own, and are not given up */
};

/* The effects of all quirks that apply to a device, of which backend, name, driver and type are filled; 0 with HSAE_QUIRKS=off. Each is
 * logged at HSAE_LOG_DEBUG with its reason. */
uint32_t hsae_quirks(const hsae_context *context, const hsae_device_info *info);
/* Of the quirks with that effect, the first one's reason; NULL: the device has none. */
const char *hsae_quirk_reason(const hsae_device_info *info, uint32_t effect);

/* Whether the driver compiles kernels for this very x86 processor, and so may use what the processor has (AVX-512 VNNI: products of
 * 16-bit or 8-bit numbers and their sum in one instruction). */
bool hsae_compiles_for_x86(const hsae_device_info *info);
bool hsae_has_vnni(const hsae_device_info *info);

#endif
