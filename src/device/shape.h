/* SPDX-License-Identifier: MIT */
/* How each kernel is specialised for a device, by what kind of kernel and what kind of device it is. */
#ifndef HSAE_SRC_SHAPE_H
#define HSAE_SRC_SHAPE_H

#include "device.h"

/* What the device's tuning says, else the default of its class. `ranges`: 1, 2 or 4 where the kernel sees a tensor cut into ranges, else 1.
 */
struct hsae_kernel_shape hsae_shape(const struct hsae_device *device, enum hsae_kernel kernel, uint32_t ranges);

/* Whether a quirk of the device's driver allows the kernel but one work-item a group. */
bool hsae_shape_one_item(const struct hsae_device *device, enum hsae_kernel kernel);

/* Compiles the kernel, unless that was done, where the driver may allow its work-group fewer items than the device does: hsae_shape then
 * gives it a smaller default. A kernel that does not compile fails when it is launched. */
void hsae_shape_fit(struct hsae_device *device, enum hsae_kernel kernel, uint32_t ranges);

/* The bits of the numbers by which the forward pass screens: 8 (screen8) or 16 (screen) on devices that are known to be faster so; 0: it
 * does not (encode). HSAE_SCREEN overrules it. It sets the order of sums, as shapes do. */
uint32_t hsae_screens(const struct hsae_device *device);

/* The shapes that tuning may choose for `kernel`, its default first, with ranges 1; every one is within the device's limits. Returns how
 * many there are. */
enum { HSAE_MAX_SHAPES = 1024 };
size_t hsae_shape_space(const struct hsae_device *device, enum hsae_kernel kernel, struct hsae_kernel_shape out[HSAE_MAX_SHAPES]);

#endif
