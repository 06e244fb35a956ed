/* SPDX-License-Identifier: MIT */
/* The table of backends: the only place below them that names them. */
#include "backend_table.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

const struct backend *const hsae_backends[] = {
#ifdef HSAE_HAVE_OPENCL
    &hsae_backend_opencl,
#endif
#ifdef HSAE_HAVE_VULKAN
    &hsae_backend_vulkan,
#endif
    &hsae_backend_ref,
    NULL,
};

/* Drivers set themselves up when they are first asked, and not all of them can be asked by several threads then: PoCL 3.1 crashes. */
static pthread_mutex_t drivers = PTHREAD_MUTEX_INITIALIZER;

hsae_status hsae_backend_ready(hsae_context *context, hsae_backend backend, enum hsae_trust trust, bool *usable)
{
    *usable = true;
    if (!context->program || backend == HSAE_BACKEND_REF)
        return HSAE_OK;
    pthread_mutex_lock(&drivers);
    hsae_status status = hsae_drivers_ready(context, backend, trust, usable);
    pthread_mutex_unlock(&drivers);
    return status;
}

static const struct backend *find_backend(hsae_backend backend)
{
    const struct backend *const *row = hsae_backends;
    while (*row && (*row)->backend != backend)
        row++;
    return *row;
}

bool hsae_backend_is_built(hsae_backend backend)
{
    return find_backend(backend) != NULL;
}

hsae_status hsae_backend_enumerate(hsae_context *context, hsae_backend kind, hsae_device_info **list, size_t *count)
{
    const struct backend *backend = find_backend(kind);
    size_t first = *count;
    bool usable;
    hsae_status status = hsae_backend_ready(context, kind, HSAE_TRUST_MEMORY, &usable);
    if (status || !usable)
        return status;
    pthread_mutex_lock(&drivers);
    status = backend->enumerate(context, list, count);
    pthread_mutex_unlock(&drivers);
    for (size_t i = first; i < *count; i++) {
        hsae_device_info *info = *list + i;
        info->backend = kind;
        if (kind == HSAE_BACKEND_REF)
            snprintf(info->id, sizeof info->id, "%s", backend->name);
        else
            snprintf(info->id, sizeof info->id, "%s:%zu", backend->name, i - first);
    }
    if (status && status != HSAE_ERROR_MEMORY && status != HSAE_CANCELLED) {
        hsae_log(context, HSAE_LOG_WARNING, "%s devices are left out: %s", backend->name, hsae_status_sentence(status));
        status = HSAE_OK;
    }
    return status;
}

void hsae_backend_explain(hsae_context *context, hsae_backend backend, struct hsae_problems *problems)
{
    if (!find_backend(backend)->explain)
        return;
    pthread_mutex_lock(&drivers);
    find_backend(backend)->explain(context, problems);
    pthread_mutex_unlock(&drivers);
}

hsae_status hsae_backend_open(hsae_context *context, hsae_backend backend, size_t index, struct hsae_device **out)
{
    pthread_mutex_lock(&drivers);
    hsae_status status = find_backend(backend)->open(context, index, out);
    pthread_mutex_unlock(&drivers);
    return status;
}
