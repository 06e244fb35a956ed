/* SPDX-License-Identifier: MIT */
/* Which of the devices that exist is the default one, from their descriptions alone. */
#ifndef HSAE_SRC_DEVICE_CHOICE_H
#define HSAE_SRC_DEVICE_CHOICE_H

#include <hsae/device.h>

enum { HSAE_REASON_BYTES = 128 };

/* Fills `same_as` and `same_as_reason` of every device that is another one's GPU through a driver that is no first choice. */
void hsae_devices_pair(hsae_device_info *list, size_t count);
/* The default device of a paired list (count >= 1); reason (NULL, or room for HSAE_REASON_BYTES) says why. */
size_t hsae_devices_best(const hsae_device_info *list, size_t count, char *reason);

#endif
