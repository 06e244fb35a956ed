/* SPDX-License-Identifier: MIT */
/* The table of backends, and what the front asks one of them. */
#ifndef HSAE_SRC_BACKEND_TABLE_H
#define HSAE_SRC_BACKEND_TABLE_H

#include "backend.h"
#include "drivers.h"

extern const struct backend hsae_backend_ref;
#ifdef HSAE_HAVE_OPENCL
extern const struct backend hsae_backend_opencl;
#endif
#ifdef HSAE_HAVE_VULKAN
extern const struct backend hsae_backend_vulkan;
#endif

/* In the order in which their devices are listed; NULL ends them. */
extern const struct backend *const hsae_backends[];
bool hsae_backend_is_built(hsae_backend backend);
/* Whether its drivers may be loaded into this process (drivers.h); always true where they are not tried first. */
hsae_status hsae_backend_ready(hsae_context *context, hsae_backend backend, enum hsae_trust trust, bool *usable);
/* Appends its devices, ids filled, and opens one of them; under the lock that drivers need. */
hsae_status hsae_backend_enumerate(hsae_context *context, hsae_backend backend, hsae_device_info **list, size_t *count);
hsae_status hsae_backend_open(hsae_context *context, hsae_backend backend, size_t index, struct hsae_device **out);
void hsae_backend_explain(hsae_context *context, hsae_backend backend, struct hsae_problems *problems);

#endif
