/* SPDX-License-Identifier: MIT */
/* A crew of several processes: how process 0 calls the others to a trainer. */
#include "crew_network.h"

#include "base/context.h"
#include <stdlib.h>
#include <string.h>

uint32_t hsae_crew_layout(void)
{
    const uint32_t sizes[] = {sizeof(struct invitation), sizeof(struct order), sizeof(hsae_config)};
    return (uint32_t)hsae_hash(HSAE_HASH_START, sizes, sizeof sizes);
}

hsae_status hsae_crew_compare_devices(hsae_trainer *trainer)
{
    struct crew *crew = trainer->crew;
    const hsae_device_info *info = &trainer->device->info;
    uint64_t own, all[HSAE_MAX_SHARDS];
    own = hsae_hash(HSAE_HASH_START, info->name, strlen(info->name));
    own = hsae_hash(own, info->driver, strlen(info->driver));
    hsae_status status = hsae_crew_gather(trainer, &own, sizeof own, all);
    for (uint32_t r = 1; r < crew->part.ranks && !status; r++)
        crew->unlike |= all[r] != all[0];
    return status;
}

hsae_status hsae_crew_call(const hsae_trainer *trainer)
{
    const struct hsae_network *network = &trainer->device->network;
    struct call call = {.trains = 1, .layout = hsae_crew_layout()};
    strncpy(call.version, hsae_version(), sizeof call.version - 1);
    return network->share(network->user, &call, sizeof call);
}

hsae_status hsae_crew_invite(hsae_trainer *trainer)
{
    struct invitation invitation = {trainer->config, trainer->dim, trainer->dtype};
    hsae_status status = hsae_crew_share(trainer, &invitation, sizeof invitation);
    return status ? status : hsae_crew_compare_devices(trainer);
}
