/* Which devices exist, and opening one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "device_choice.h"
#include "quirks.h"

static const struct backend *const backends[] = {
#ifdef HSAE_HAVE_OPENCL
    &hsae_backend_opencl,
#endif
#ifdef HSAE_HAVE_VULKAN
    &hsae_backend_vulkan,
#endif
    &hsae_backend_ref,
};
enum { BACKEND_COUNT = sizeof backends / sizeof *backends };

hsae_status hsae_device_info_append(hsae_context *context, hsae_device_info **list, size_t *count, const hsae_device_info *info)
{
    hsae_device_info *grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for the list of devices");
    grown[*count] = *info;
    *list = grown;
    (*count)++;
    return HSAE_OK;
}

void hsae_device_set_pci(hsae_device_info *info, uint32_t domain, uint32_t bus, uint32_t device, uint32_t function)
{
    snprintf(info->pci, sizeof info->pci, "%04x:%02x:%02x.%x", domain & 0xffff, bus & 0xff, device & 0xff, function & 0xf);
}

void hsae_device_set_uuid(hsae_device_info *info, const unsigned char uuid[16])
{
    unsigned any = 0;
    for (size_t i = 0; i < 16; i++) {
        snprintf(info->uuid + 2 * i, sizeof info->uuid - 2 * i, "%02x", uuid[i]);
        any |= uuid[i];
    }
    if (!any)
        info->uuid[0] = 0;
}

/* Drivers set themselves up when they are first asked, and not all of them can be asked by several threads then: PoCL 3.1 crashes. */
static pthread_mutex_t drivers = PTHREAD_MUTEX_INITIALIZER;

/* Appends one backend's devices, ids filled. */
static hsae_status append_backend(hsae_context *context, const struct backend *backend, hsae_device_info **list, size_t *count)
{
    size_t first = *count;
    pthread_mutex_lock(&drivers);
    hsae_status status = backend->enumerate(context, list, count);
    pthread_mutex_unlock(&drivers);
    for (size_t i = first; i < *count; i++) {
        hsae_device_info *info = *list + i;
        info->backend = backend->backend;
        if (backend == &hsae_backend_ref)
            snprintf(info->id, sizeof info->id, "%s", backend->name);
        else
            snprintf(info->id, sizeof info->id, "%s:%zu", backend->name, i - first);
    }
    if (status && status != HSAE_ERROR_MEMORY) {
        hsae_log(context, HSAE_LOG_WARNING, "%s devices are left out: %s", backend->name, hsae_status_sentence(status));
        status = HSAE_OK;
    }
    return status;
}

hsae_status hsae_device_list(hsae_context *context, hsae_device_info **list, size_t *count)
{
    if (!list || !count)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "hsae_device_list: list or count is NULL");
    *list = NULL;
    *count = 0;
    for (size_t i = 0; i < BACKEND_COUNT; i++) {
        hsae_status status = append_backend(context, backends[i], list, count);
        if (status) {
            free(*list);
            *list = NULL;
            *count = 0;
            return status;
        }
    }
    hsae_devices_pair(*list, *count);
    return HSAE_OK;
}

hsae_status hsae_device_default(hsae_context *context, char id[32], char *reason)
{
    enum { ID_BYTES = 32 };
    if (!id)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "hsae_device_default: id is NULL");
    const char *wanted = getenv("HSAE_DEVICE");
    if (wanted && *wanted) {
        if (snprintf(id, ID_BYTES, "%s", wanted) >= ID_BYTES)
            return hsae_fail(context, HSAE_ERROR_NO_DEVICE, "HSAE_DEVICE=%s is not the id of a device", wanted);
        if (reason)
            snprintf(reason, HSAE_REASON_BYTES, "HSAE_DEVICE says so");
        return HSAE_OK;
    }
    hsae_device_info *list;
    size_t count;
    hsae_status status = hsae_device_list(context, &list, &count);
    if (status)
        return status;
    size_t best = hsae_devices_best(list, count, reason);
    snprintf(id, ID_BYTES, "%s", list[best].id);
    free(list);
    return HSAE_OK;
}

static hsae_status fail_unknown(hsae_context *context, const char *id)
{
    hsae_device_info *list;
    size_t count, used = 0;
    char ids[1024] = "";
    hsae_status status = hsae_device_list(context, &list, &count);
    if (status)
        return status;
    for (size_t i = 0; i < count && used < sizeof ids; i++)
        used += (size_t)snprintf(ids + used, sizeof ids - used, "%s%s (%.60s)", i ? ", " : "", list[i].id, list[i].name);
    free(list);
    return hsae_fail(context, HSAE_ERROR_NO_DEVICE, "there is no device %s; there is: %s", id, ids);
}

hsae_status hsae_device_open(hsae_context *context, const char *id, hsae_device **out)
{
    char default_id[32];
    if (!context || !out)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "hsae_device_open: context or out is NULL");
    *out = NULL;
    if (!id) {
        hsae_status status = hsae_device_default(context, default_id, NULL);
        if (status)
            return status;
        id = default_id;
    }
    for (size_t b = 0; b < BACKEND_COUNT; b++) {
        size_t prefix = strlen(backends[b]->name), count = 0, i = 0;
        if (strncmp(id, backends[b]->name, prefix) || (id[prefix] && id[prefix] != ':'))
            continue;
        hsae_device_info *list = NULL, found = {0};
        hsae_status status = append_backend(context, backends[b], &list, &count);
        while (!status && i < count && strcmp(list[i].id, id))
            i++;
        if (!status && i < count)
            found = list[i];
        free(list);
        if (status)
            return status;
        if (i == count)
            break;
        pthread_mutex_lock(&drivers);
        status = backends[b]->open(context, i, out);
        pthread_mutex_unlock(&drivers);
        if (status) {
            *out = NULL;
            return status;
        }
        (*out)->info.backend = found.backend;
        memcpy((*out)->info.id, found.id, sizeof found.id);
        (*out)->quirks = hsae_quirks(context, &(*out)->info);
        return HSAE_OK;
    }
    return fail_unknown(context, id);
}
