/* SPDX-License-Identifier: MIT */
/* The tuning file (include/hsae/tune.h). */
#ifndef HSAE_SRC_TUNE_STORE_H
#define HSAE_SRC_TUNE_STORE_H

#include <hsae/tune.h>

#include "device.h"

/* Reads the file's entry of this device into device->tuning, once; what is wrong with it is a warning. */
void hsae_tuning_load(struct hsae_device *device);
/* The same from text, whether or not it was done before; `origin` names it in messages. */
void hsae_tuning_parse(struct hsae_device *device, const char *text, size_t size, const char *origin);
#endif
