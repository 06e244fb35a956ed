/* SPDX-License-Identifier: MIT */
/* The buffers of a training step beyond those of the device model. */
#include "crew.h"

#include "base/context.h"
#include "device/shape.h"

/* Dead features served by one ghost_rows launch. */
enum { MAX_GHOSTS = 1024 };
/* Segments: an eighth as many as features, so that their sums take little memory beside the model. */
enum { MIN_SEGMENTS = 64, MAX_SEGMENTS = 1024 };

/* Fewer where a buffer of their rows would be larger than a kernel may see. */
uint32_t hsae_ghost_chunk(const struct device_model *device_model)
{
    uint64_t fit = hsae_binding_limit(device_model->device) / (2 * (uint64_t)(device_model->stride + 16) * sizeof(f32));
    return fit >= MAX_GHOSTS ? MAX_GHOSTS : fit ? (uint32_t)fit : 1;
}

/* Whatever the lists hold, since a resumed run, whose lists may be longer, has the same segments. */
uint32_t hsae_segment_room(const struct device_model *device_model)
{
    uint64_t fit = hsae_binding_limit(device_model->device) / (2 * (uint64_t)device_model->stride * sizeof(f32)),
             room = device_model->all_features / 8;
    room = room > MAX_SEGMENTS ? MAX_SEGMENTS : room > MIN_SEGMENTS ? room : MIN_SEGMENTS;
    return (uint32_t)(room < fit ? room : fit);
}

/* Segments only help where a work-group has several work-items, and only in batches large enough for a feature to exceed one segment. */
bool hsae_uses_segments(const struct device_model *device_model)
{
    bool shared = hsae_shape(device_model->device, HSAE_KERNEL_update, device_model->ranges).group_size > 1;
    return shared && SEGMENTS_OF(device_model->batch, SEGMENT_PAIRS(device_model->batch)) && hsae_segment_room(device_model);
}

bool hsae_shifts_thresholds(const hsae_config *config)
{
    return config->sparsity_control == HSAE_SPARSITY_CONTROL_THRESHOLD;
}

uint32_t hsae_decay_steps(const hsae_config *config)
{
    return config->decay_steps && config->decay_steps < UINT32_MAX ? (uint32_t)config->decay_steps : UINT32_MAX;
}

bool hsae_uses_constraint(const hsae_trainer *trainer)
{
    return trainer->has_tree && trainer->config.rho > 0;
}

bool hsae_uses_ghosts(const hsae_trainer *trainer)
{
    for (uint32_t l = 0; l < trainer->device_model.levels; l++)
        if (trainer->ghost_capacity[l])
            return true;
    return false;
}

hsae_status hsae_raw_buffer(const struct device_model *device_model, hsae_dtype dtype, struct hsae_buffer **out)
{
    uint64_t bytes = ((uint64_t)device_model->batch * device_model->dim * hsae_dtype_size(dtype) + 3) / 4 * 4;
    return hsae_buffer_create(device_model->device, "raw batch", bytes, HSAE_BUFFER_STAGING, out);
}

hsae_status hsae_step_buffers(hsae_trainer *trainer)
{
    struct device_model *device_model = &trainer->device_model;
    struct hsae_device *device = device_model->device;
    uint64_t n = device_model->features, line = device_model->stride, word = sizeof(u32);
    hsae_status status = hsae_ranged_create(device_model, "encoder second moments", device_model->features, &trainer->encoder_v);
    if (!status)
        status = hsae_ranged_create(device_model, "decoder second moments", device_model->features, &trainer->decoder_v);
    if (!status)
        status =
            hsae_device_model_buffer(device_model, "decoder bias second moments", device_model->levels * line, GROWS_NOT, &trainer->bias_v);
    if (!status)
        status = hsae_device_model_buffer(device_model, "last fired", n, GROWS_WITH_FEATURES, &trainer->last_fired);
    if (!status)
        status = hsae_device_model_buffer(device_model, "constraint terms",
                                          n * FEATURE_SUM_WORDS + hsae_segment_room(device_model) * SEGMENT_WORDS, GROWS_WITH_FEATURES,
                                          &trainer->feature_sums);
    if (!status)
        status = hsae_device_model_buffer(device_model, "parent-child products", n, GROWS_WITH_FEATURES, &trainer->dots);
    if (!status)
        status = hsae_device_model_buffer(device_model, "column squares", line, GROWS_NOT, &trainer->squares);
    for (int f = 0; f < HSAE_IN_FLIGHT && !status; f++) {
        struct frame *frame = &trainer->frame[f];
        status = hsae_raw_buffer(device_model, trainer->dtype, &frame->raw);
        if (!status)
            status = hsae_buffer_create(device, "step parameters", PARAM_WORDS * word, HSAE_BUFFER_STAGING, &frame->step_params);
        if (!status)
            status = hsae_buffer_create(device, "status", REPORT_WORDS * word, HSAE_BUFFER_STAGING, &frame->step_report);
    }
    return status;
}

void hsae_step_drop_recording(hsae_trainer *trainer)
{
    for (int f = 0; f < HSAE_IN_FLIGHT; f++) {
        hsae_sequence_destroy(&trainer->frame[f].sequence);
        hsae_sequence_destroy(&trainer->frame[f].rest);
    }
    trainer->recorded = false;
}

void hsae_step_release(hsae_trainer *trainer)
{
    hsae_step_drop_recording(trainer);
    for (int f = 0; f < HSAE_IN_FLIGHT; f++) {
        hsae_buffer_destroy(&trainer->frame[f].raw);
        hsae_buffer_destroy(&trainer->frame[f].step_params);
        hsae_buffer_destroy(&trainer->frame[f].step_report);
    }
    struct hsae_buffer **buffers[] = {&trainer->bias_v,  &trainer->last_fired, &trainer->feature_sums, &trainer->dots, &trainer->pair_terms,
                                      &trainer->squares, &trainer->ghost_rows, &trainer->owners,       &trainer->sums};
    for (size_t k = 0; k < sizeof buffers / sizeof *buffers; k++)
        hsae_buffer_destroy(buffers[k]);
    for (int l = 0; l < HSAE_MAX_LEVELS; l++) {
        hsae_buffer_destroy(&trainer->ghost[l]);
        hsae_buffer_destroy(&trainer->ghost_losses[l]);
        hsae_buffer_destroy(&trainer->ghost_weights[l]);
    }
    hsae_ranged_destroy(&trainer->encoder_v);
    hsae_ranged_destroy(&trainer->decoder_v);
}

/* Ghost buffers and the capacities that the device compares its dead lists with. */
hsae_status hsae_ghost_buffers(hsae_trainer *trainer)
{
    const struct device_model *device_model = &trainer->device_model;
    uint64_t line = device_model->stride, word = sizeof(u32);
    hsae_status status = HSAE_OK;
    for (uint32_t l = 0; l < device_model->levels && !status; l++) {
        u32 capacity = trainer->ghost_capacity[l];
        status = hsae_buffer_write(device_model->level_info, (l * LEVEL_WORDS + LEVEL_GHOSTS) * word, word, &capacity);
    }
    /* One more vector a row; 16 floats is the widest. */
    if (!status && hsae_uses_ghosts(trainer) && !trainer->ghost_rows)
        status = hsae_device_model_buffer(device_model, "ghost gradient rows", 2 * hsae_ghost_chunk(device_model) * (line + 16), GROWS_NOT,
                                          &trainer->ghost_rows);
    for (uint32_t l = 0; l < device_model->levels && !status; l++) {
        if (!trainer->ghost_capacity[l] || trainer->ghost[l])
            continue;
        status = hsae_device_model_buffer(device_model, "ghost losses", 2 * (uint64_t)device_model->padded, GROWS_WITH_BATCH,
                                          &trainer->ghost_losses[l]);
        if (!status)
            status =
                hsae_device_model_buffer(device_model, "ghost weights", device_model->padded, GROWS_WITH_BATCH, &trainer->ghost_weights[l]);
        if (!status)
            status =
                hsae_device_model_buffer(device_model, "ghost residual", device_model->padded * line, GROWS_WITH_BATCH, &trainer->ghost[l]);
    }
    return status;
}

static hsae_status segment_buffers(hsae_trainer *trainer)
{
    const struct device_model *device_model = &trainer->device_model;
    const uint64_t room = hsae_segment_room(device_model);
    if (trainer->sums || !hsae_uses_segments(device_model))
        return HSAE_OK;
    hsae_buffer_destroy(&trainer->owners);
    hsae_status status = hsae_device_model_buffer(device_model, "owners of segments", room, GROWS_NOT, &trainer->owners);
    return status ? status
                  : hsae_device_model_buffer(device_model, "sums of segments", 2 * room * device_model->stride, GROWS_NOT, &trainer->sums);
}

hsae_status hsae_record_buffers(hsae_trainer *trainer)
{
    struct device_model *device_model = &trainer->device_model;
    hsae_status status = hsae_device_model_fit_screen(device_model);
    if (!status)
        status = hsae_ghost_buffers(trainer);
    if (!status)
        status = segment_buffers(trainer);
    if (!status && trainer->crew)
        status = hsae_crew_buffers(trainer);
    if (status)
        return status;
    hsae_buffer_destroy(&trainer->pair_terms);
    return hsae_device_model_buffer(device_model, "constraint scalars", (uint64_t)device_model->capacity * PAIR_WORDS, GROWS_WITH_BATCH,
                                    &trainer->pair_terms);
}
