/* SPDX-License-Identifier: MIT */
#include "crew.h"

#include "base/context.h"
#include <stdlib.h>

bool hsae_crew_leads(const hsae_trainer *trainer)
{
    return trainer->crew && trainer->crew->part.rank == 0;
}

hsae_status hsae_crew_share(hsae_trainer *trainer, void *data, size_t size)
{
    return trainer->crew ? hsae_peers_share(trainer->crew->peers, trainer->crew->part.rank, data, size) : HSAE_OK;
}

hsae_status hsae_crew_gather(hsae_trainer *trainer, const void *own, size_t size, void *all)
{
    size_t sizes[HSAE_MAX_SHARDS];
    for (uint32_t r = 0; r < trainer->crew->part.ranks; r++)
        sizes[r] = size;
    return hsae_peers_gather(trainer->crew->peers, trainer->crew->part.rank, own, sizes, all);
}

hsae_status hsae_crew_settle(hsae_trainer *trainer, hsae_status status)
{
    if (status && hsae_crew_leads(trainer))
        hsae_peers_fail(trainer->crew->peers, status);
    return status;
}

hsae_status hsae_crew_order(hsae_trainer *trainer, const struct order *order)
{
    struct order copy = *order;
    return hsae_crew_leads(trainer) ? hsae_crew_share(trainer, &copy, sizeof copy) : HSAE_OK;
}

hsae_status hsae_crew_buffers(hsae_trainer *trainer)
{
    struct crew *crew = trainer->crew;
    const struct device_model *device_model = &trainer->device_model;
    const uint64_t floats = (uint64_t)device_model->padded * device_model->stride,
                   bytes = (1 + (uint64_t)crew->part.ranks) * floats * sizeof(float),
                   batch = (uint64_t)device_model->batch * device_model->dim * sizeof(float);
    hsae_status status = HSAE_OK;
    for (uint32_t l = 0; l < 2 * HSAE_MAX_LEVELS && !status; l++) {
        const uint32_t level = l % HSAE_MAX_LEVELS;
        if (crew->received[l] || level >= device_model->levels || (l >= HSAE_MAX_LEVELS && !trainer->ghost_capacity[level]))
            continue;
        if (!crew->send[l])
            status = hsae_device_model_buffer(device_model, "sums for other devices", floats, GROWS_WITH_BATCH, &crew->send[l]);
        if (!status)
            status = hsae_device_model_buffer(device_model, "sums of all devices", crew->part.ranks * floats, GROWS_WITH_BATCH,
                                              &crew->received[l]);
    }
    crew->floats = crew->floats || status ? crew->floats : malloc(bytes);
    crew->raw = crew->raw || status ? crew->raw : malloc(batch);
    if (!status && (!crew->floats || !crew->raw))
        status = hsae_fail_memory(trainer->context, bytes + batch, "a smaller batch", "what devices exchange in a step");
    return status;
}

void hsae_crew_free(struct crew **pointer)
{
    struct crew *crew = *pointer;
    if (!crew)
        return;
    if (crew->part.rank == 0)
        hsae_peers_destroy(&crew->peers);
    for (uint32_t l = 0; l < 2 * HSAE_MAX_LEVELS; l++) {
        hsae_buffer_destroy(&crew->send[l]);
        hsae_buffer_destroy(&crew->received[l]);
    }
    hsae_part_free(&crew->part);
    free(crew->floats);
    free(crew->raw);
    free(crew->members);
    free(crew);
    *pointer = NULL;
}
