/* SPDX-License-Identifier: MIT */
#include "crew.h"
#include "device_rows.h"

#include "base/context.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What each device has of rows row .. row + count - 1 of a level: their number. */
static void count_rows(const struct part *part, const struct order *order, size_t *counts)
{
    memset(counts, 0, part->ranks * sizeof *counts);
    for (uint64_t k = 0; k < order->count; k++)
        counts[part->owner[part->first[order->level] + order->row + k]]++;
}

/* Parts, one after the other, of all devices to the order of the model: `line` bytes each. */
static void merge_rows(const struct part *part, const struct order *order, const size_t *counts, const unsigned char *parts, size_t line,
                       unsigned char *out)
{
    size_t at[HSAE_MAX_SHARDS];
    for (uint32_t r = 0, sum = 0; r < part->ranks; sum += (uint32_t)counts[r++])
        at[r] = sum;
    for (uint64_t k = 0; k < order->count; k++)
        memcpy(out + k * line, parts + at[part->owner[part->first[order->level] + order->row + k]]++ * line, line);
}

/* The rows of an order from all devices, of which `own` are this one's, to `all`, then in the order of the model to `out`, if that is not
 * NULL. */
static hsae_status gather_rows(const hsae_trainer *trainer, const struct order *order, const void *own, size_t line, void *all, void *out)
{
    const struct part *part = &trainer->crew->part;
    size_t counts[HSAE_MAX_SHARDS], sizes[HSAE_MAX_SHARDS];
    count_rows(part, order, counts);
    for (uint32_t r = 0; r < part->ranks; r++)
        sizes[r] = counts[r] * line;
    hsae_status status = hsae_peers_gather(trainer->crew->peers, part->rank, own, sizes, all);
    if (!status && out)
        merge_rows(part, order, counts, all, line, out);
    return status;
}

static hsae_status no_memory(const hsae_trainer *trainer, uint64_t bytes)
{
    return hsae_fail_memory(trainer->context, bytes, NULL, "rows that devices exchange");
}

/* This device's rows from and to all rows of the order. */
static void pick(const struct part *part, const struct order *order, size_t dim, const float *values, float *own)
{
    for (uint64_t k = 0; k < order->count; k++)
        if (part->owner[part->first[order->level] + order->row + k] == part->rank) {
            memcpy(own, values + k * dim, dim * sizeof *own);
            own += dim;
        }
}

hsae_status hsae_crew_rows(hsae_trainer *trainer, const struct order *order, void *values)
{
    const struct part *part = &trainer->crew->part;
    const size_t dim = trainer->device_model.dim, line = dim * sizeof(float);
    const uint32_t below = hsae_part_below(part, order->level, order->row),
                   count = hsae_part_below(part, order->level, order->row + order->count) - below,
                   at = trainer->device_model.first[order->level] + below;
    hsae_status status = hsae_crew_order(trainer, order);
    float *own = malloc((count ? count : 1) * line), *all = order->write ? NULL : malloc(order->count * line);
    if (!status && (!own || (!all && !order->write)))
        status = no_memory(trainer, (count + order->count) * line);
    if (!status && order->write) {
        status = hsae_crew_share(trainer, values, order->count * line);
        if (!status)
            pick(part, order, dim, values, own);
        if (!status && count)
            status = hsae_trainer_copy_rows(trainer, true, order->matrix, at, count, own);
    } else if (!status) {
        if (count)
            status = hsae_trainer_copy_rows(trainer, false, order->matrix, at, count, own);
        if (!status)
            status = gather_rows(trainer, order, own, line, all, hsae_crew_leads(trainer) ? values : NULL);
    }
    free(own);
    free(all);
    return hsae_crew_settle(trainer, status);
}

hsae_status hsae_crew_features(hsae_trainer *trainer, enum feature_words words, u32 *out)
{
    const struct part *part = &trainer->crew->part;
    const struct device_model *device_model = &trainer->device_model;
    struct hsae_buffer *buffer = words == FEATURE_SCALARS ? device_model->feature_scalars : trainer->last_fired;
    const size_t line = (words == FEATURE_SCALARS ? SCALAR_WORDS : 1) * sizeof(u32);
    hsae_status status = hsae_crew_order(trainer, &(struct order){.kind = ORDER_FEATURES, .words = words});
    unsigned char *own = malloc(device_model->features * line), *all = malloc(device_model->all_features * line);
    if (!status && (!own || !all))
        status = no_memory(trainer, (device_model->features + device_model->all_features) * line);
    if (!status)
        status = hsae_buffer_read(buffer, 0, device_model->features * line, own);
    for (uint32_t l = 0, at = 0; l < device_model->levels && !status; at += part->own[l++]) {
        const struct order level = {.level = l, .count = part->first[l + 1] - part->first[l]};
        status = gather_rows(trainer, &level, own + at * line, line, all, out ? (unsigned char *)out + part->first[l] * line : NULL);
    }
    free(own);
    free(all);
    return hsae_crew_settle(trainer, status);
}

hsae_status hsae_trainer_read_features(hsae_trainer *trainer, enum feature_words words, u32 *out)
{
    const struct device_model *device_model = &trainer->device_model;
    const uint64_t bytes = (uint64_t)device_model->features * sizeof(u32);
    if (trainer->crew)
        return hsae_crew_features(trainer, words, out);
    return words == FEATURE_SCALARS ? hsae_buffer_read(device_model->feature_scalars, 0, bytes * SCALAR_WORDS, out)
                                    : hsae_buffer_read(trainer->last_fired, 0, bytes, out);
}

hsae_status hsae_crew_vectors(hsae_trainer *trainer, hsae_model *model, struct train_state *state)
{
    struct slot slots[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    size_t count = hsae_model_slots(model, slots);
    count += state ? hsae_train_slots(model, state, slots + count) : 0;
    hsae_status status = hsae_crew_order(trainer, &(struct order){.kind = state ? ORDER_VECTORS : ORDER_FIRST});
    for (size_t i = 0; i < count && !status; i++)
        if (!slots[i].matrix)
            status = hsae_crew_share(trainer, hsae_slot_data(&slots[i]),
                                     hsae_slot_rows(&slots[i]) * hsae_slot_row_length(&slots[i]) * hsae_tensor_type_size(slots[i].type));
    return hsae_crew_settle(trainer, status);
}

hsae_status hsae_crew_part(hsae_trainer *trainer)
{
    struct part *part = &trainer->crew->part;
    const uint32_t ranks = part->ranks, rank = part->rank;
    const hsae_config *config = &trainer->config;
    hsae_status status = hsae_crew_order(trainer, &(struct order){.kind = ORDER_PART});
    for (uint32_t l = 1; l < config->level_count && !status; l++)
        status = hsae_crew_share(trainer, trainer->parents[l], config->levels[l] * sizeof *trainer->parents[l]);
    if (status)
        return status;
    hsae_trainer_drop_device_model(trainer);
    hsae_part_free(part);
    status = hsae_part_create(trainer->context, config, trainer->parents, ranks, rank, part);
    return hsae_crew_settle(trainer, status ? status : hsae_trainer_make_device_model(trainer));
}
