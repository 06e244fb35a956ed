/* SPDX-License-Identifier: MIT */
/* Helpers of backends. */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
