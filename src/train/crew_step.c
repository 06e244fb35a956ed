/* SPDX-License-Identifier: MIT */
/* A step over several devices: each makes its lists and its sums, then all exchange them, then each goes on alone. */
#include "crew.h"

#include "base/context.h"
#include <stdlib.h>
#include <string.h>

enum { LENGTHS = 32 }; /* of segments: doublings of the shortest */

/* What a device knows of its part after its lists. */
struct counts {
    u32 halt, pairs;
    u32 dead[HSAE_MAX_LEVELS], active[HSAE_MAX_LEVELS];
    u32 segments[LENGTHS];
};

/* Active pairs of each level, and how many segments each length would make. */
static hsae_status count_pairs(const hsae_trainer *trainer, struct counts *counts)
{
    const struct device_model *device_model = &trainer->device_model;
    const uint32_t features = device_model->features, shortest = SEGMENT_PAIRS(device_model->batch);
    u32 *words = malloc((features + 1) * sizeof *words);
    hsae_status status = words ? hsae_buffer_read(device_model->active_count, 0, features * sizeof *words, words)
                               : hsae_fail_memory(trainer->context, features * sizeof *words, NULL, "the pairs of a step");
    for (uint32_t l = 0, i = 0; l < device_model->levels && !status; l++)
        for (; i < device_model->first[l + 1]; i++)
            counts->active[l] += words[i];
    const bool segments = !status && hsae_uses_segments(device_model);
    if (segments)
        status = hsae_buffer_read(device_model->starts, 0, (features + 1) * sizeof *words, words);
    for (uint32_t i = 0; i < features && segments && !status; i++) {
        const uint64_t pairs = words[i + 1] - words[i];
        for (uint32_t k = 0; k < LENGTHS && pairs > 2 * ((uint64_t)shortest << k); k++)
            counts->segments[k] += SEGMENTS_OF((u32)pairs, shortest << k);
    }
    free(words);
    return status;
}

/* The frame's step up to its sums, which are waited for. */
static hsae_status begin(hsae_trainer *trainer, struct frame *frame, struct counts *counts)
{
    const struct device_model *device_model = &trainer->device_model;
    u32 step_state[STATE_DEAD_LIST];
    uint64_t ticket;
    memset(counts, 0, sizeof *counts);
    hsae_status status = hsae_write_step_params(trainer, frame);
    if (!status)
        status = hsae_sequence_submit(frame->sequence, &ticket);
    if (!status)
        status = hsae_device_wait(device_model->device, ticket);
    if (!status)
        status = hsae_buffer_read(device_model->step_state, 0, sizeof step_state, step_state);
    if (status)
        return status;
    counts->halt = step_state[STATE_HALT];
    counts->pairs = step_state[STATE_PAIRS];
    for (uint32_t l = 0; l < device_model->levels; l++)
        counts->dead[l] = step_state[STATE_LEVELS + l * STATE_LEVEL_WORDS + STATE_DEAD];
    return counts->halt ? HSAE_OK : count_pairs(trainer, counts);
}

/* Room for what halted one of the devices. All serve as many dead features. */
static hsae_status make_room(hsae_trainer *trainer, const struct counts *all)
{
    const struct part *part = &trainer->crew->part;
    u32 words[REPORT_WORDS] = {[REPORT_STEP] = (u32)trainer->step + 1, [REPORT_PAIRS] = all[part->rank].pairs};
    words[REPORT_HALT] = all[part->rank].halt & HALT_PAIRS;
    for (uint32_t r = 0; r < part->ranks; r++) {
        words[REPORT_HALT] |= all[r].halt & HALT_GHOSTS;
        for (uint32_t l = 0; l < trainer->device_model.levels; l++) {
            u32 *dead = &words[REPORT_LEVELS + l * REPORT_LEVEL_WORDS + REPORT_DEAD];
            *dead = all[r].dead[l] > *dead ? all[r].dead[l] : *dead;
        }
    }
    return words[REPORT_HALT] ? hsae_step_grow(trainer, words) : HSAE_OK;
}

/* One sum of each device to all. `nothing`: this one has none. */
static hsae_status exchange(hsae_trainer *trainer, uint32_t which, bool nothing)
{
    struct crew *crew = trainer->crew;
    const size_t floats = (size_t)trainer->device_model.padded * trainer->device_model.stride, bytes = floats * sizeof(float);
    hsae_status status = HSAE_OK;
    if (nothing)
        memset(crew->floats, 0, bytes);
    else
        status = hsae_buffer_read(crew->send[which], 0, bytes, crew->floats);
    if (!status)
        status = hsae_crew_gather(trainer, crew->floats, bytes, crew->floats + floats);
    return status ? status : hsae_buffer_write(crew->received[which], 0, crew->part.ranks * bytes, crew->floats + floats);
}

/* Devices of several kinds differ in the last bits of what each computes of the biases and of the control. The leader's count. */
static hsae_status follow(hsae_trainer *trainer)
{
    const struct device_model *device_model = &trainer->device_model;
    const size_t bytes = (size_t)device_model->levels * device_model->stride * sizeof(f32);
    u32 *bias = malloc(bytes), control[HSAE_MAX_LEVELS * STATE_LEVEL_WORDS];
    const size_t words = device_model->levels * STATE_LEVEL_WORDS, from = STATE_LEVELS * sizeof *control;
    hsae_status status = bias ? hsae_buffer_read(device_model->bias, 0, bytes, bias)
                              : hsae_fail_memory(trainer->context, bytes, NULL, "the biases of the first device");
    if (!status)
        status = hsae_buffer_read(device_model->step_state, from, words * sizeof *control, control);
    if (!status)
        status = hsae_crew_share(trainer, bias, bytes);
    if (!status)
        status = hsae_crew_share(trainer, control, words * sizeof *control);
    if (!status)
        status = hsae_buffer_write(device_model->bias, 0, bytes, bias);
    for (size_t at = 0; at < words && !status; at += STATE_LEVEL_WORDS) /* lambda and average */
        status = hsae_buffer_write(device_model->step_state, from + at * sizeof *control, STATE_DEAD * sizeof *control, control + at);
    free(bias);
    return status;
}

/* What the rest of the step has to know of the other devices. */
static hsae_status tell(hsae_trainer *trainer, struct frame *frame, const struct counts *all)
{
    const struct device_model *device_model = &trainer->device_model;
    const struct part *part = &trainer->crew->part;
    u32 segment = SEGMENT_PAIRS(device_model->batch);
    uint64_t segments[LENGTHS] = {0};
    hsae_status status = trainer->crew->unlike ? follow(trainer) : HSAE_OK;
    for (uint32_t l = 0; l < device_model->levels && !status; l++) {
        u32 others = 0;
        frame->dead[l] = 0;
        for (uint32_t r = 0; r < part->ranks; r++) {
            others += r == part->rank ? 0 : all[r].active[l];
            frame->dead[l] += all[r].dead[l];
        }
        status = hsae_buffer_write(device_model->step_state, (STATE_LEVELS + l * STATE_LEVEL_WORDS + STATE_OTHERS) * sizeof others,
                                   sizeof others, &others);
        if (!status)
            status = exchange(trainer, l, false);
        if (!status && trainer->ghost_capacity[l] && frame->dead[l])
            status = exchange(trainer, HSAE_MAX_LEVELS + l, all[part->rank].dead[l] == 0);
    }
    for (uint32_t r = 0; r < part->ranks; r++)
        for (uint32_t k = 0; k < LENGTHS; k++)
            segments[k] += all[r].segments[k];
    for (uint32_t k = 0; k < LENGTHS && segments[k] > hsae_segment_room(device_model); k++)
        segment *= 2;
    return status ? status : hsae_buffer_write(device_model->step_state, STATE_SEGMENT * sizeof segment, sizeof segment, &segment);
}

hsae_status hsae_crew_run_step(hsae_trainer *trainer, struct frame *frame)
{
    struct counts own, all[HSAE_MAX_SHARDS];
    hsae_status status = HSAE_OK;
    for (bool halted = true; halted && !status;) {
        halted = false;
        status = begin(trainer, frame, &own);
        if (!status)
            status = hsae_crew_gather(trainer, &own, sizeof own, all);
        for (uint32_t r = 0; r < trainer->crew->part.ranks && !status; r++)
            halted |= all[r].halt != 0;
        if (halted)
            status = make_room(trainer, all);
    }
    if (!status)
        status = tell(trainer, frame, all);
    return status ? status : hsae_sequence_submit(frame->rest, &frame->ticket);
}

hsae_status hsae_crew_step(hsae_trainer *trainer, struct frame *frame)
{
    const struct device_model *device_model = &trainer->device_model;
    const uint64_t bytes = (uint64_t)device_model->batch * device_model->dim * hsae_dtype_size(trainer->dtype);
    hsae_status status =
        hsae_crew_order(trainer, &(struct order){.kind = ORDER_STEP, .step = frame->step, .rate = frame->rate, .dtype = trainer->dtype});
    if (!status)
        status = hsae_buffer_read(frame->raw, 0, (bytes + 3) / 4 * 4, trainer->crew->raw);
    if (!status)
        status = hsae_crew_share(trainer, trainer->crew->raw, bytes);
    return hsae_crew_settle(trainer, status ? status : hsae_crew_run_step(trainer, frame));
}

hsae_status hsae_crew_figures(hsae_trainer *trainer)
{
    f32 own[HSAE_MAX_LEVELS] = {0}, all[HSAE_MAX_SHARDS][HSAE_MAX_LEVELS];
    const uint32_t levels = trainer->device_model.levels;
    for (uint32_t l = 0; l < levels; l++)
        own[l] = bits_f32(trainer->status[REPORT_LEVELS + l * REPORT_LEVEL_WORDS + REPORT_CONSTRAINT]);
    hsae_status status = hsae_crew_order(trainer, &(struct order){.kind = ORDER_FIGURES});
    if (!status)
        status = hsae_crew_gather(trainer, own, sizeof own, all);
    for (uint32_t l = 0; l < levels && !status && hsae_crew_leads(trainer); l++) {
        double sum = 0;
        for (uint32_t r = 0; r < trainer->crew->part.ranks; r++)
            sum += all[r][l];
        trainer->status[REPORT_LEVELS + l * REPORT_LEVEL_WORDS + REPORT_CONSTRAINT] = bits_u32((f32)sum);
    }
    return hsae_crew_settle(trainer, status);
}
