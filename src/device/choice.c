/* SPDX-License-Identifier: MIT */
#include "choice.h"
#include "quirks.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one GPU, several drivers ---- */

static bool is_gpu(const hsae_device_info *info)
{
    return info->type != HSAE_DEVICE_CPU;
}

static bool same_driver(const hsae_device_info *a, const hsae_device_info *b)
{
    return a->backend == b->backend && strcmp(a->driver, b->driver) == 0;
}

/* Mesa's drivers put their own name, and what they run on, in brackets after a GPU's name: one GPU is "AMD Radeon 780M (RADV PHOENIX)" and
 * "AMD Radeon 780M (radeonsi, phoenix, LLVM 17.0.6, DRM 3.57)". */
static bool same_name(const char *a, const char *b)
{
    const char *a_end = strstr(a, " ("), *b_end = strstr(b, " (");
    size_t size = a_end ? (size_t)(a_end - a) : strlen(a);
    return size == (b_end ? (size_t)(b_end - b) : strlen(b)) && memcmp(a, b, size) == 0;
}

/* Whether no driver of the list has two GPUs of that name. */
static bool name_tells(const hsae_device_info *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (same_name(list[i].name, name) && same_name(list[j].name, name) && same_driver(&list[i], &list[j]))
                return false;
    return true;
}

static bool same_gpu(const hsae_device_info *list, size_t count, const hsae_device_info *a, const hsae_device_info *b)
{
    if (!is_gpu(a) || !is_gpu(b) || same_driver(a, b))
        return false;
    if (*a->pci && *b->pci)
        return strcmp(a->pci, b->pci) == 0;
    if (*a->uuid && *b->uuid)
        return strcmp(a->uuid, b->uuid) == 0;
    return same_name(a->name, b->name) && name_tells(list, count, a->name);
}

/* Of two drivers for one GPU, lower is better: the maker's own; OpenCL has a vendor's library for dense products. */
static int driver_rank(const hsae_device_info *info)
{
    return 2 * ((hsae_quirks(NULL, info) & HSAE_QUIRK_LOW_PREFERENCE) != 0) + (info->backend != HSAE_BACKEND_OPENCL);
}

/* Why one driver is not the first choice beside the other. */
static const char *why_second(const hsae_device_info *info, const hsae_device_info *first)
{
    int difference = driver_rank(info) - driver_rank(first);
    const char *reason = difference > 1 ? hsae_quirk_reason(info, HSAE_QUIRK_LOW_PREFERENCE) : NULL;
    return reason           ? reason
           : difference > 0 ? "OpenCL comes first, since it has libraries for dense products"
                            : "it is the later one of the list";
}

void hsae_devices_pair(hsae_device_info *list, size_t count)
{
    size_t *to = calloc(count + 1, sizeof *to);
    for (size_t i = 0; i < count && to; i++) {
        size_t best = i;
        for (size_t j = 0; j < count; j++)
            if (same_gpu(list, count, &list[i], &list[j]) &&
                (driver_rank(&list[j]) < driver_rank(&list[best]) || (driver_rank(&list[j]) == driver_rank(&list[best]) && j < best)))
                best = j;
        to[i] = best;
    }
    for (size_t i = 0; i < count && to; i++) {
        size_t root = to[i];
        while (to[root] != root) /* by its address the same as one that is by its name the same as a third */
            root = to[root];
        snprintf(list[i].same_as, sizeof list[i].same_as, "%s", root == i ? "" : list[root].id);
        list[i].same_as_reason = root == i ? NULL : why_second(&list[i], &list[root]);
    }
    free(to);
}

/* ---- the default ---- */

enum rank { DISCRETE, GPU, OPENCL_CPU, REFERENCE, HIDDEN };

static enum rank rank(const hsae_device_info *info)
{
    if (info->backend == HSAE_BACKEND_REF)
        return REFERENCE;
    if (hsae_quirks(NULL, info) & HSAE_QUIRK_HIDDEN || *info->same_as)
        return HIDDEN;
    if (info->type == HSAE_DEVICE_CPU)
        return info->backend == HSAE_BACKEND_OPENCL ? OPENCL_CPU : HIDDEN;
    return info->type == HSAE_DEVICE_DISCRETE ? DISCRETE : GPU;
}

static void explain(const hsae_device_info *list, size_t count, size_t best, char *reason)
{
    static const char *const names[] = {"discrete GPU", "GPU", "OpenCL CPU device"};
    enum rank best_rank = rank(&list[best]);
    size_t peers = 0;
    const char *twin = NULL;
    for (size_t i = 0; i < count; i++) {
        peers += rank(&list[i]) == best_rank;
        if (!twin && strcmp(list[i].same_as, list[best].id) == 0)
            twin = list[i].id;
    }
    if (best_rank >= REFERENCE) {
        snprintf(reason, HSAE_REASON_BYTES, "no other device was found");
        return;
    }
    char which[64];
    if (peers == 1)
        snprintf(which, sizeof which, "the only %s", names[best_rank]);
    else
        snprintf(which, sizeof which, "the first of %zu %ss", peers, names[best_rank]);
    snprintf(reason, HSAE_REASON_BYTES, twin ? "%s, by a driver preferred to that of %s" : "%s", which, twin);
}

size_t hsae_devices_best(const hsae_device_info *list, size_t count, char *reason)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (rank(&list[i]) < rank(&list[best]))
            best = i;
    if (reason)
        explain(list, count, best, reason);
    return best;
}
