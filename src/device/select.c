/* SPDX-License-Identifier: MIT */
/* Which devices exist, and opening one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend_table.h"
#include "choice.h"
#include "quirks.h"

hsae_status hsae_device_list(hsae_context *context, hsae_device_info **list, size_t *count)
{
    HSAE_REQUIRE(context, context, list, count);
    *list = NULL;
    *count = 0;
    for (size_t i = 0; hsae_backends[i]; i++) {
        hsae_status status = hsae_backend_enumerate(context, hsae_backends[i]->backend, list, count);
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

/* And its number among those of its backend. */
static hsae_status find_device(hsae_context *context, const char *id, size_t *index, hsae_device_info *out)
{
    for (size_t b = 0; hsae_backends[b]; b++) {
        size_t prefix = strlen(hsae_backends[b]->name), count = 0, i = 0;
        if (strncmp(id, hsae_backends[b]->name, prefix) || (id[prefix] && id[prefix] != ':'))
            continue;
        hsae_device_info *list = NULL;
        hsae_status status = hsae_backend_enumerate(context, hsae_backends[b]->backend, &list, &count);
        while (!status && i < count && strcmp(list[i].id, id))
            i++;
        bool found = !status && i < count;
        if (found) {
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
    size_t index;
    return find_device(context, id, &index, out);
}

hsae_status hsae_device_open(hsae_context *context, const char *id, hsae_device **out)
{
    HSAE_REQUIRE(context, context, out);
    char default_id[32];
    size_t index;
    hsae_device_info found;
    *out = NULL;
    hsae_status status = id ? HSAE_OK : hsae_device_default(context, default_id, NULL);
    if (!status)
        status = find_device(context, id ? id : default_id, &index, &found);
    if (status)
        return status;
    status = hsae_backend_open(context, found.backend, index, out);
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
    for (size_t i = 0; hsae_backends[i] && !status; i++) {
        hsae_backend backend = hsae_backends[i]->backend;
        size_t devices = 0;
        bool usable;
        if (backend == HSAE_BACKEND_REF)
            continue;
        status = hsae_backend_ready(context, backend, again ? HSAE_TRUST_NONE : HSAE_TRUST_FAULTS, &usable);
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
