/* How each kernel is specialised for a device, by what kind of kernel and what kind of device it is. */
#ifndef HSAE_SRC_SHAPE_H
#define HSAE_SRC_SHAPE_H

#include "../device.h"

/* `ranges`: 1, 2 or 4 where the kernel sees a tensor cut into ranges, else 1. */
struct hsae_kernel_shape hsae_shape(const struct hsae_device *device, enum hsae_kernel kernel, uint32_t ranges);

#endif
