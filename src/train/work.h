/* SPDX-License-Identifier: MIT */
/* What a launch has to do, for cutting it (speed.h). */
#ifndef HSAE_SRC_WORK_H
#define HSAE_SRC_WORK_H

#include "device_model.h"

/* Multiply-adds and floats moved of a launch of so many groups, roughly and rather too many: lists count as full. */
double hsae_launch_work(const struct device_model *device_model, enum hsae_kernel kernel, uint64_t groups, const void *args);

#endif
