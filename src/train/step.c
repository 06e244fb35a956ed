/* SPDX-License-Identifier: MIT */
/* Steps in flight: submitted, waited for, and done again after more room was made. */
#include "step.h"

#include "base/context.h"
#include <math.h>
#include <string.h>

double hsae_step_rate(const hsae_trainer *trainer, uint64_t step)
{
    const hsae_config *config = &trainer->config;
    if (trainer->rate.given > 0)
        return trainer->rate.value;
    double warm = floor(config->warmup * (double)config->steps + 0.5), t = (double)step;
    if (t <= warm)
        return config->lr * t / warm;
    return config->lr * 0.5 * (1 + cos(3.14159265358979323846 * (t - warm) / ((double)config->steps - warm)));
}

hsae_status hsae_write_step_params(hsae_trainer *trainer, struct frame *frame)
{
    const hsae_config *config = &trainer->config;
    u32 params[PARAM_WORDS] = {0};
    params[PARAM_STEP] = (u32)frame->step;
    params[PARAM_SEED_LO] = (u32)config->seed;
    params[PARAM_SEED_HI] = (u32)(config->seed >> 32);
    params[PARAM_PERTURB_BOUND] = (u32)ceil(config->perturb * 16777216.0);
    params[PARAM_DEAD_STEPS] = config->dead_steps < UINT32_MAX ? (u32)config->dead_steps : UINT32_MAX;
    params[PARAM_RATE] = bits_u32((f32)frame->rate);
    params[PARAM_CORRECTION] = bits_u32((f32)(1 / (1 - pow(config->beta2, (double)frame->step))));
    return hsae_buffer_write(frame->step_params, 0, sizeof params, params);
}

hsae_status hsae_step_submit(hsae_trainer *trainer, struct frame *frame)
{
    hsae_status status = hsae_write_step_params(trainer, frame);
    return status ? status : hsae_sequence_submit(frame->sequence, &frame->ticket);
}

hsae_status hsae_step_grow(hsae_trainer *trainer, const u32 status_words[REPORT_WORDS])
{
    struct device_model *device_model = &trainer->device_model;
    hsae_status status = HSAE_OK;
    if (status_words[REPORT_HALT] & HALT_PAIRS) {
        hsae_log(trainer->context, HSAE_LOG_DEBUG, "step %u lists %u pairs: making room", (unsigned)status_words[REPORT_STEP],
                 (unsigned)status_words[REPORT_PAIRS]);
        hsae_step_drop_recording(trainer);
        status = hsae_device_model_grow(device_model, status_words[REPORT_PAIRS]);
    }
    if (status_words[REPORT_HALT] & HALT_GHOSTS)
        for (uint32_t l = 0; l < device_model->levels; l++) {
            u32 dead = status_words[REPORT_LEVELS + l * REPORT_LEVEL_WORDS + REPORT_DEAD];
            while (trainer->ghost_capacity[l] < dead)
                trainer->ghost_capacity[l] += hsae_ghost_chunk(device_model);
        }
    if (!status)
        status = hsae_step_record(trainer);
    return status ? status : hsae_device_model_clear_halt(device_model);
}

/* The frame with the oldest step, or NULL. */
static struct frame *oldest(hsae_trainer *trainer)
{
    struct frame *found = NULL;
    for (int f = 0; f < HSAE_IN_FLIGHT; f++)
        if (trainer->frame[f].ticket && (!found || trainer->frame[f].step < found->step))
            found = &trainer->frame[f];
    return found;
}

static int flying(const hsae_trainer *trainer)
{
    int count = 0;
    for (int f = 0; f < HSAE_IN_FLIGHT; f++)
        count += trainer->frame[f].ticket != 0;
    return count;
}

/* A step that was halted changed nothing, nor did those after it: makes room for it and submits them again. */
static hsae_status redo(hsae_trainer *trainer, uint64_t halted, const u32 words[REPORT_WORDS])
{
    hsae_status status = hsae_device_wait(trainer->device_model.device, 0);
    if (!status)
        status = hsae_step_grow(trainer, words);
    for (uint64_t step = halted; step < halted + HSAE_IN_FLIGHT && !status; step++)
        for (int f = 0; f < HSAE_IN_FLIGHT && !status; f++)
            if (trainer->frame[f].ticket && trainer->frame[f].step == step)
                status = hsae_step_submit(trainer, &trainer->frame[f]);
    return status;
}

double hsae_step_explained(const hsae_trainer *trainer, uint32_t level)
{
    double variance = bits_f32(trainer->status[REPORT_VARIANCE]);
    double reconstruction = bits_f32(trainer->status[REPORT_LEVELS + level * REPORT_LEVEL_WORDS + REPORT_RECONSTRUCTION]);
    return variance > 0 ? 1 - reconstruction * trainer->device_model.batch / variance : 0;
}

static void add_figures(hsae_trainer *trainer)
{
    for (uint32_t l = 0; l < trainer->device_model.levels; l++) {
        trainer->figures.l0[l] += bits_f32(trainer->status[REPORT_LEVELS + l * REPORT_LEVEL_WORDS + REPORT_L0]);
        trainer->figures.explained[l] += hsae_step_explained(trainer, l);
    }
    trainer->figures.steps++;
}

/* Takes the figures of a step that is done. */
static hsae_status finish(hsae_trainer *trainer, struct frame *frame, const u32 words[REPORT_WORDS])
{
    memcpy(trainer->status, words, sizeof trainer->status);
    for (uint32_t l = 0; l < trainer->device_model.levels && trainer->crew; l++)
        trainer->status[REPORT_LEVELS + l * REPORT_LEVEL_WORDS + REPORT_DEAD] = frame->dead[l];
    trainer->status_rate = frame->rate;
    add_figures(trainer);
    frame->ticket = 0;
    return hsae_step_check(trainer, words);
}

hsae_status hsae_step_drain(hsae_trainer *trainer, int leave)
{
    hsae_status status = trainer->divergence.step ? hsae_refuse_diverged(trainer) : HSAE_OK;
    for (struct frame *frame; !status && flying(trainer) > leave && (frame = oldest(trainer));) {
        u32 words[REPORT_WORDS];
        status = hsae_device_wait(trainer->device_model.device, frame->ticket);
        if (!status)
            status = hsae_buffer_read(frame->step_report, 0, sizeof words, words);
        if (!status)
            status = words[REPORT_HALT] ? redo(trainer, frame->step, words) : finish(trainer, frame, words);
    }
    return status;
}

hsae_status hsae_frame_next(hsae_trainer *trainer, struct frame **out)
{
    hsae_status status = hsae_step_drain(trainer, HSAE_IN_FLIGHT - 1);
    for (int f = 0; f < HSAE_IN_FLIGHT; f++)
        if (!trainer->frame[f].ticket)
            *out = &trainer->frame[f];
    return status;
}

hsae_status hsae_step_set_dtype(hsae_trainer *trainer, hsae_dtype dtype)
{
    if (dtype == trainer->dtype)
        return hsae_step_rerecord(trainer);
    struct hsae_buffer *raw[HSAE_IN_FLIGHT] = {NULL};
    hsae_status status = hsae_step_drain(trainer, 0);
    for (int f = 0; f < HSAE_IN_FLIGHT && !status; f++)
        status = hsae_raw_buffer(&trainer->device_model, dtype, &raw[f]);
    if (!status) {
        hsae_step_drop_recording(trainer);
        trainer->dtype = dtype;
    }
    for (int f = 0; f < HSAE_IN_FLIGHT; f++) {
        if (!status) {
            struct hsae_buffer *swap = trainer->frame[f].raw;
            trainer->frame[f].raw = raw[f];
            raw[f] = swap;
        }
        hsae_buffer_destroy(&raw[f]);
    }
    return status ? status : hsae_step_record(trainer);
}
