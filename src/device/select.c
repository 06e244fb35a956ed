/* SPDX-License-Identifier: MIT */
/* Which devices exist, and opening one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "device.h"
#include "drivers.h"
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
    grown[*count].without_quirks = strcmp(hsae_setting_text(context, HSAE_SETTING_QUIRKS), "off") == 0;
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

static hsae_status ready(hsae_context *context, hsae_backend backend, enum hsae_trust trust, bool *usable)
{
    *usable = true;
    if (!context->program || backend == HSAE_BACKEND_REF)
        return HSAE_OK;
    pthread_mutex_lock(&drivers);
    hsae_status status = hsae_drivers_ready(context, backend, trust, usable);
    pthread_mutex_unlock(&drivers);
    return status;
}

/* Appends one backend's devices, ids filled. */
static hsae_status append_backend(hsae_context *context, const struct backend *backend, hsae_device_info **list, size_t *count)
{
    size_t first = *count;
    bool usable;
    hsae_status status = ready(context, backend->backend, HSAE_TRUST_MEMORY, &usable);
    if (status || !usable)
        return status;
    pthread_mutex_lock(&drivers);
    status = backend->enumerate(context, list, count);
    pthread_mutex_unlock(&drivers);
    for (size_t i = first; i < *count; i++) {
        hsae_device_info *info = *list + i;
        info->backend = backend->backend;
        if (backend == &hsae_backend_ref)
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

static const struct backend *find_backend(hsae_backend backend)
{
    for (size_t i = 0; i < BACKEND_COUNT; i++)
        if (backends[i]->backend == backend)
            return backends[i];
    return NULL;
}

bool hsae_backend_is_built(hsae_backend backend)
{
    return find_backend(backend);
}

hsae_status hsae_backend_enumerate(hsae_context *context, hsae_backend backend, hsae_device_info **list, size_t *count)
{
    return append_backend(context, find_backend(backend), list, count);
}

void hsae_backend_explain(hsae_context *context, hsae_backend backend, struct hsae_problems *problems)
{
    if (!find_backend(backend)->explain)
        return;
    pthread_mutex_lock(&drivers);
    find_backend(backend)->explain(context, problems);
    pthread_mutex_unlock(&drivers);
}

hsae_status hsae_device_list(hsae_context *context, hsae_device_info **list, size_t *count)
{
    HSAE_REQUIRE(context, context, list, count);
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

size_t hsae_device_best(hsae_device_info *list, size_t count, char *reason)
{
    if (!list || !count)
        return 0;
    hsae_devices_pair(list, count);
    return hsae_devices_best(list, count, reason);
}

hsae_status hsae_device_default(hsae_context *context, char id[32], char *reason)
{
    HSAE_REQUIRE(context, context, id);
    enum { ID_BYTES = 32 };
    const char *wanted = hsae_setting_text(context, HSAE_SETTING_DEVICE);
    if (*wanted) {
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

/* Its backend and its number there. */
static hsae_status find_device(hsae_context *context, const char *id, const struct backend **backend, size_t *index, hsae_device_info *out)
{
    for (size_t b = 0; b < BACKEND_COUNT; b++) {
        size_t prefix = strlen(backends[b]->name), count = 0, i = 0;
        if (strncmp(id, backends[b]->name, prefix) || (id[prefix] && id[prefix] != ':'))
            continue;
        hsae_device_info *list = NULL;
        hsae_status status = append_backend(context, backends[b], &list, &count);
        while (!status && i < count && strcmp(list[i].id, id))
            i++;
        bool found = !status && i < count;
        if (found) {
            *backend = backends[b];
            *index = i;
            *out = list[i];
        }
        free(list);
        if (status || found)
            return status;
    }
    return fail_unknown(context, id);
}

hsae_status hsae_device_find(hsae_context *context, const char *id, hsae_device_info *out)
{
    const struct backend *backend;
    size_t index;
    return find_device(context, id, &backend, &index, out);
}

hsae_status hsae_device_open(hsae_context *context, const char *id, hsae_device **out)
{
    HSAE_REQUIRE(context, context, out);
    char default_id[32];
    const struct backend *backend;
    size_t index;
    hsae_device_info found;
    *out = NULL;
    hsae_status status = id ? HSAE_OK : hsae_device_default(context, default_id, NULL);
    if (!status)
        status = find_device(context, id ? id : default_id, &backend, &index, &found);
    if (status)
        return status;
    pthread_mutex_lock(&drivers);
    status = backend->open(context, index, out);
    pthread_mutex_unlock(&drivers);
    if (status) {
        *out = NULL;
        return status;
    }
    (*out)->info.backend = found.backend;
    (*out)->info.without_quirks = found.without_quirks;
    memcpy((*out)->info.id, found.id, sizeof found.id);
    (*out)->quirks = hsae_quirks(context, &(*out)->info);
    return HSAE_OK;
}

/* ---- what keeps devices from being used ---- */

/* What no backend knows alone. */
static void add_general(size_t devices, struct hsae_problems *problems)
{
    char path[300];
    for (size_t i = 0; hsae_os_forbidden_device(i, path, sizeof path); i++)
        hsae_problem_add(problems, HSAE_BACKEND_REF,
                         strstr(path, "nvidia")
                             ? "chmod a+rw it, or run nvidia-modprobe"
                             : "add the user to its group (render or video): sudo usermod -aG render $USER; then log in again",
                         "%s may not be opened by this user", path);
    if (!devices)
        hsae_problem_add(problems, HSAE_BACKEND_REF, "install a driver for OpenCL or Vulkan",
                         "there is no device but the reference device");
}

hsae_status hsae_device_problems(hsae_context *context, bool again, hsae_device_problem **list, size_t *count)
{
    HSAE_REQUIRE(context, context, list, count);
    struct hsae_problems problems = {0};
    size_t all = 0;
    hsae_status status = HSAE_OK;
    *list = NULL;
    *count = 0;
    for (size_t i = 0; i < BACKEND_COUNT && !status; i++) {
        hsae_backend backend = backends[i]->backend;
        size_t devices = 0;
        bool usable;
        if (backend == HSAE_BACKEND_REF)
            continue;
        status = ready(context, backend, again ? HSAE_TRUST_NONE : HSAE_TRUST_FAULTS, &usable);
        if (status)
            break;
        if (context->program)
            hsae_drivers_problems(backend, &problems, &devices);
        else
            hsae_drivers_look(context, backend, false, &problems, &devices);
        all += devices;
    }
    if (status) {
        free(problems.items);
        return status;
    }
    add_general(all, &problems);
    *list = problems.items;
    *count = problems.count;
    return HSAE_OK;
}
