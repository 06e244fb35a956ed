/* SPDX-License-Identifier: MIT */
/* The work of a crew's members: orders that they obey, and how they are made. */
#include "crew_network.h"

#include "base/context.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The leader's batch to a frame, and its step. */
static hsae_status take_step(hsae_trainer *trainer, const struct order *order)
{
    const struct device_model *device_model = &trainer->device_model;
    const uint64_t bytes = (uint64_t)device_model->batch * device_model->dim * hsae_dtype_size(order->dtype);
    struct frame *frame = NULL;
    hsae_status status = hsae_step_set_dtype(trainer, order->dtype);
    if (!status)
        status = hsae_frame_next(trainer, &frame);
    if (!status)
        status = hsae_crew_share(trainer, trainer->crew->raw, bytes);
    if (!status)
        status = hsae_buffer_write(frame->raw, 0, (bytes + 3) / 4 * 4, trainer->crew->raw);
    if (status)
        return status;
    frame->step = order->step;
    frame->rate = order->rate;
    trainer->step = order->step - 1;
    status = hsae_crew_run_step(trainer, frame);
    trainer->step = order->step;
    return status;
}

/* Rows of an order to a member, who has no other use for them. */
static hsae_status obey_rows(hsae_trainer *trainer, const struct order *order)
{
    const uint64_t bytes = order->count * trainer->device_model.dim * sizeof(float);
    void *values = malloc(bytes);
    hsae_status status =
        values ? hsae_crew_rows(trainer, order, values) : hsae_fail_memory(trainer->context, bytes, NULL, "%" PRIu64 " rows", order->count);
    free(values);
    return status;
}

static hsae_status obey_vectors(hsae_trainer *trainer, bool first)
{
    hsae_model *model = NULL;
    struct train_state *state = NULL;
    hsae_status status = hsae_model_alloc_vectors(trainer->context, &trainer->config, trainer->device_model.dim, &model);
    if (!status && !first)
        status = hsae_train_state_alloc_vectors(trainer->context, model, &state);
    if (!status)
        status = hsae_crew_vectors(trainer, model, state);
    if (!status) {
        memcpy(trainer->mean, model->mean, model->dim * sizeof *trainer->mean);
        trainer->scale = model->scale;
        status = first ? hsae_first_thresholds(trainer, NULL, model, NULL) : hsae_trainer_upload_vectors(trainer, model, state);
    }
    hsae_model_free(&model);
    hsae_train_state_free(&state);
    return status;
}

static hsae_status obey(hsae_trainer *trainer, const struct order *order)
{
    switch (order->kind) {
    case ORDER_PART:
        return hsae_crew_part(trainer);
    case ORDER_ROWS:
        return obey_rows(trainer, order);
    case ORDER_VECTORS:
    case ORDER_FIRST:
        return obey_vectors(trainer, order->kind == ORDER_FIRST);
    case ORDER_FEATURES:
        return hsae_crew_features(trainer, order->words, NULL);
    case ORDER_STEP:
        return take_step(trainer, order);
    case ORDER_FIGURES:
        return hsae_crew_figures(trainer);
    case ORDER_LINK:
        return hsae_hierarchy_update(trainer);
    }
    return HSAE_OK;
}

hsae_status hsae_crew_obey(hsae_trainer *trainer)
{
    struct order order;
    hsae_status status = HSAE_OK;
    while (!status) {
        status = hsae_crew_share(trainer, &order, sizeof order);
        if (!status && order.kind != ORDER_STEP)
            status = hsae_step_drain(trainer, 0);
        if (!status)
            status = obey(trainer, &order);
    }
    return status;
}

/* A member's thread. */
static void *work(void *user)
{
    hsae_trainer *trainer = user;
    hsae_peers_fail(trainer->crew->peers, hsae_crew_obey(trainer));
    return NULL;
}

hsae_status hsae_crew_join(hsae_trainer *trainer, struct hsae_peers *peers, uint32_t ranks, uint32_t rank)
{
    struct crew *crew = trainer->crew = calloc(1, sizeof *crew);
    if (!crew)
        return hsae_fail_memory(trainer->context, sizeof *crew, NULL, "a device's part of a model");
    crew->peers = peers;
    trainer->unchecked |= rank > 0; /* figures of the model: the leader looks at them */
    return hsae_part_create(trainer->context, &trainer->config, NULL, ranks, rank, &crew->part);
}

/* The trainer of another device, and its thread. */
static hsae_status start_member(hsae_trainer *leader, hsae_device *device, uint32_t dim, uint32_t rank)
{
    struct member *member = &leader->crew->members[rank];
    hsae_trainer *trainer;
    hsae_status status = hsae_trainer_alloc_bare(device, &leader->config, dim, leader->dtype, &member->trainer);
    trainer = member->trainer;
    if (!status)
        status = hsae_crew_join(trainer, leader->crew->peers, leader->crew->part.ranks, rank);
    if (!status) {
        trainer->crew->unlike = leader->crew->unlike;
        status = hsae_trainer_make_device_model(trainer);
    }
    if (status)
        return status;
    member->started = hsae_os_thread_start(&member->thread, work, trainer) == 0;
    return member->started ? HSAE_OK : hsae_fail(leader->context, HSAE_ERROR_MEMORY, "no thread for %s", device->info.id);
}

/* Threads with the trainers of the other devices of this process. */
static hsae_status start_members(hsae_trainer *trainer, hsae_device *device, uint32_t dim)
{
    struct crew *crew = trainer->crew;
    const uint32_t ranks = crew->part.ranks;
    hsae_status status = HSAE_OK;
    crew->members = calloc(ranks, sizeof *crew->members);
    if (!crew->members)
        return hsae_fail_memory(trainer->context, ranks * sizeof *crew->members, NULL, "%" PRIu32 " trainers", ranks);
    for (uint32_t r = 1; r < ranks; r++)
        crew->unlike |= strcmp(device->joined[r - 1]->info.id, device->info.id) != 0;
    for (uint32_t r = 1; r < ranks && !status; r++)
        status = start_member(trainer, device->joined[r - 1], dim, r);
    return status;
}

static hsae_status begin(hsae_trainer *trainer, hsae_device *device, uint32_t dim)
{
    const uint32_t ranks = hsae_device_ranks(device);
    const bool network = device->network.ranks > 1;
    struct hsae_peers *peers = NULL;
    if (trainer->config.shards % ranks)
        return hsae_fail(trainer->context, HSAE_ERROR_CONFIG,
                         "%" PRIu32 " devices, and shards = %" PRIu32
                         ": their number is to be a power of two that divides shards; every device has as many shards",
                         ranks, trainer->config.shards);
    if (hsae_similarity_counts(trainer->config.similarity))
        return hsae_fail(trainer->context, HSAE_ERROR_CONFIG,
                         "several devices find parents by similarity encoder or decoder; the others, which count samples, need one device");
    hsae_status status = network ? hsae_peers_create_network(trainer->context, &device->network, &peers)
                                 : hsae_peers_create(trainer->context, ranks, &peers);
    if (!status && network)
        status = hsae_crew_call(trainer);
    if (!status) {
        status = hsae_crew_join(trainer, peers, ranks, 0);
        if (!trainer->crew)
            hsae_peers_fail(peers, status);
    }
    if (!trainer->crew)
        hsae_peers_destroy(&peers);
    if (status)
        return status;
    return network ? hsae_crew_invite(trainer) : start_members(trainer, device, dim);
}

hsae_status hsae_crew_alloc(hsae_device *device, const hsae_config *config, uint32_t dim, hsae_dtype dtype, hsae_trainer **out)
{
    if (hsae_device_ranks(device) == 1)
        return hsae_trainer_alloc(device, config, dim, dtype, out);
    hsae_status status = hsae_trainer_alloc_bare(device, config, dim, dtype, out);
    if (!status)
        status = begin(*out, device, dim);
    return status ? status : hsae_trainer_make_device_model(*out);
}
