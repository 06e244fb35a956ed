/* SPDX-License-Identifier: MIT */
/* What the files of the front share. */
#ifndef HSAE_SRC_FRONT_H
#define HSAE_SRC_FRONT_H

#include "backend.h"
#include <stdio.h>

#define ULL(x) ((unsigned long long)(x))

static inline struct hsae_buffer_base *buffer_base(const struct hsae_buffer *buffer)
{
    return (struct hsae_buffer_base *)buffer;
}

static inline struct hsae_sequence_base *sequence_base(const struct hsae_sequence *sequence)
{
    return (struct hsae_sequence_base *)sequence;
}

static inline void copy_label(char label[48], const char *text)
{
    snprintf(label, 48, "%s", text ? text : "unnamed");
}

/* Refuses NULL and a device that is lost. */
static inline hsae_status check_device(const struct hsae_device *device)
{
    if (!device)
        return HSAE_ERROR_ARGUMENT;
    if (device->lost)
        return hsae_fail(device->context, HSAE_ERROR_DEVICE_LOST, "%s (%s) was lost; close it, open it again and resume from a checkpoint",
                         device->info.id, device->info.name);
    return HSAE_OK;
}

#endif
