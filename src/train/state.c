#include "trainer.h"

#include "../context.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static hsae_status no_memory(const hsae_trainer *trainer)
{
    return hsae_fail(trainer->context, HSAE_ERROR_MEMORY, "out of memory for the scalars of %" PRIu32 " features", trainer->stack.features);
}

/* What the table and its companions hold of a level beyond the model's own scalars. Slots stay 0, as they are made. */
static hsae_status upload_scalars(hsae_trainer *trainer, const struct train_state *state)
{
    struct stack *stack = &trainer->stack;
    uint64_t bytes = (uint64_t)stack->features * sizeof(u32);
    u32 *table = malloc(bytes * TABLE_WORDS), *fired = calloc(stack->features, sizeof *fired);
    hsae_status status = table && fired ? hsae_buffer_read(stack->table, 0, bytes * TABLE_WORDS, table) : no_memory(trainer);
    for (uint32_t l = 0; l < stack->levels && !status; l++)
        for (uint32_t i = 0, at = stack->first[l]; at < stack->first[l + 1]; i++, at++) {
            u32 *scalars = table + (size_t)at * TABLE_WORDS;
            scalars[TABLE_BIAS_V] = bits_u32(state->levels[l].encoder_bias_v[i]);
            scalars[TABLE_LOG_THRESHOLD_V] = bits_u32(state->levels[l].log_threshold_v[i]);
            scalars[TABLE_ROW_STEP] = (u32)state->levels[l].row_step[i];
            fired[at] = (u32)state->levels[l].last_fired[i];
        }
    if (!status)
        status = hsae_buffer_write(stack->table, 0, bytes * TABLE_WORDS, table);
    if (!status)
        status = hsae_buffer_write(trainer->last_fired, 0, bytes, fired);
    free(table);
    free(fired);
    return status;
}

/* The record of co-activation: [64][n][W] a level in the file, [64][N][W] on the device. */
static hsae_status copy_history(hsae_trainer *trainer, const struct train_state *state, bool read)
{
    const struct stack *stack = &trainer->stack;
    uint64_t line = (uint64_t)stack->words * sizeof(u32);
    hsae_status status = HSAE_OK;
    for (uint32_t l = 0; l < stack->levels && !status; l++)
        for (uint64_t slot = 0; slot < HSAE_ACTIVITY_STEPS && state->levels[l].activity && !status; slot++) {
            uint64_t features = stack->first[l + 1] - stack->first[l], offset = (slot * stack->features + stack->first[l]) * line;
            u32 *bits = state->levels[l].activity + slot * features * stack->words;
            status = read ? hsae_buffer_read(stack->history, offset, features * line, bits)
                          : hsae_buffer_write(stack->history, offset, features * line, bits);
        }
    return status;
}

static hsae_status upload_control(hsae_trainer *trainer, const struct train_state *state)
{
    u32 control[CONTROL_DEAD_LIST] = {0};
    for (uint32_t l = 0; l < trainer->stack.levels; l++) {
        control[CONTROL_LEVELS + l * CONTROL_LEVEL_WORDS + CONTROL_LAMBDA] = bits_u32(state->lambda[l]);
        control[CONTROL_LEVELS + l * CONTROL_LEVEL_WORDS + CONTROL_AVERAGE] = bits_u32(state->l0_average[l]);
    }
    return hsae_buffer_write(trainer->stack.control, 0, sizeof control, control);
}

hsae_status hsae_trainer_upload_tree(hsae_trainer *trainer)
{
    struct stack *stack = &trainer->stack;
    u32 *tree = NULL;
    bool had_tree = trainer->has_tree;
    trainer->has_tree = false;
    for (uint32_t l = 1; l < stack->levels; l++)
        for (uint32_t i = 0; i < trainer->config.levels[l]; i++)
            trainer->has_tree |= trainer->parents[l][i] >= 0;
    hsae_status status = hsae_stack_upload_tree(stack, trainer->parents, &tree);
    trainer->recorded &= trainer->has_tree == had_tree && stack->spare == stack->features;
    if (!status)
        status = hsae_parts_cut(stack, tree, stack->spare, &trainer->parts);
    if (!status && trainer->parts.largest > stack->spare) {
        hsae_step_forget(trainer);
        status = hsae_stack_grow_spare(stack, trainer->parts.largest);
        if (!status)
            status = hsae_parts_cut(stack, tree, stack->spare, &trainer->parts);
    }
    free(tree);
    return status;
}

hsae_status hsae_trainer_upload(hsae_trainer *trainer, const hsae_model *model, const struct train_state *state)
{
    struct stack *stack = &trainer->stack;
    float *log_thresholds[HSAE_MAX_LEVELS] = {NULL};
    trainer->step = (uint64_t)state->step;
    for (uint32_t l = 0; l < stack->levels; l++) {
        const struct level_tensors *level = &model->levels[l];
        log_thresholds[l] = state->levels[l].log_threshold;
        if (level->parent)
            memcpy(trainer->parents[l], level->parent, level->features * sizeof *level->parent);
    }
    hsae_status status = hsae_stack_upload(stack, model, trainer->config.bandwidth, log_thresholds);
    for (uint32_t l = 0; l < stack->levels && !status; l++) {
        const struct level_train_tensors *level = &state->levels[l];
        uint32_t features = model->levels[l].features;
        status = hsae_ranged_write(stack, &trainer->encoder_v, stack->first[l], features, level->encoder_weight_v);
        if (!status)
            status = hsae_ranged_write(stack, &trainer->decoder_v, stack->first[l], features, level->decoder_weight_v);
        if (!status)
            status = hsae_rows_write(stack, trainer->bias_v, l, 1, level->decoder_bias_v);
    }
    if (!status)
        status = hsae_trainer_upload_tree(trainer);
    if (!status)
        status = upload_scalars(trainer, state);
    if (!status)
        status = copy_history(trainer, state, false);
    return status ? status : upload_control(trainer, state);
}

static hsae_status download_scalars(hsae_trainer *trainer, hsae_model *model, struct train_state *state)
{
    struct stack *stack = &trainer->stack;
    uint64_t bytes = (uint64_t)stack->features * sizeof(u32);
    u32 *table = malloc(bytes * TABLE_WORDS), *fired = malloc(bytes), control[CONTROL_DEAD_LIST];
    hsae_status status = table && fired ? hsae_buffer_read(stack->table, 0, bytes * TABLE_WORDS, table) : no_memory(trainer);
    if (!status)
        status = hsae_buffer_read(trainer->last_fired, 0, bytes, fired);
    if (!status)
        status = hsae_buffer_read(stack->control, 0, sizeof control, control);
    for (uint32_t l = 0; l < stack->levels && !status; l++) {
        struct level_train_tensors *level = &state->levels[l];
        for (uint32_t i = 0, at = stack->first[l]; at < stack->first[l + 1]; i++, at++) {
            const u32 *scalars = table + (size_t)at * TABLE_WORDS;
            model->levels[l].encoder_bias[i] = bits_f32(scalars[TABLE_BIAS]);
            model->levels[l].threshold[i] = bits_f32(scalars[TABLE_THRESHOLD]);
            level->log_threshold[i] = bits_f32(scalars[TABLE_LOG_THRESHOLD]);
            level->encoder_bias_v[i] = bits_f32(scalars[TABLE_BIAS_V]);
            level->log_threshold_v[i] = bits_f32(scalars[TABLE_LOG_THRESHOLD_V]);
            level->row_step[i] = scalars[TABLE_ROW_STEP];
            level->last_fired[i] = fired[at];
        }
        state->lambda[l] = bits_f32(control[CONTROL_LEVELS + l * CONTROL_LEVEL_WORDS + CONTROL_LAMBDA]);
        state->l0_average[l] = bits_f32(control[CONTROL_LEVELS + l * CONTROL_LEVEL_WORDS + CONTROL_AVERAGE]);
    }
    free(table);
    free(fired);
    return status;
}

/* Rows of D lie where `places` says; neighbours often side by side. */
static hsae_status download_decoder(const hsae_trainer *trainer, uint32_t level, const u32 *places, float *out)
{
    const struct stack *stack = &trainer->stack;
    hsae_status status = HSAE_OK;
    for (uint32_t at = stack->first[level], end = stack->first[level + 1], count; at < end && !status; at += count) {
        for (count = 1; at + count < end && places[at + count] == places[at] + count; count++)
            ;
        status = hsae_ranged_read(stack, &stack->decoder, places[at], count, out + (size_t)(at - stack->first[level]) * stack->dim);
    }
    return status;
}

static hsae_status download(hsae_trainer *trainer, hsae_model *model, struct train_state *state)
{
    struct stack *stack = &trainer->stack;
    u32 *places = malloc(stack->features * sizeof *places);
    hsae_status status = places ? hsae_buffer_read(stack->places, 0, stack->features * sizeof *places, places) : no_memory(trainer);
    memcpy(model->mean, trainer->mean, stack->dim * sizeof *model->mean);
    model->scale = trainer->scale;
    state->step = (int64_t)trainer->step;
    for (uint32_t l = 0; l < stack->levels && !status; l++) {
        struct level_tensors *level = &model->levels[l];
        struct level_train_tensors *train = &state->levels[l];
        uint32_t first = stack->first[l];
        if (level->parent)
            memcpy(level->parent, trainer->parents[l], level->features * sizeof *level->parent);
        status = hsae_ranged_read(stack, &stack->encoder, first, level->features, level->encoder_weight);
        if (!status)
            status = download_decoder(trainer, l, places, level->decoder_weight);
        if (!status)
            status = hsae_rows_read(stack, stack->bias, l, 1, level->decoder_bias);
        if (!status)
            status = hsae_ranged_read(stack, &trainer->encoder_v, first, level->features, train->encoder_weight_v);
        if (!status)
            status = hsae_ranged_read(stack, &trainer->decoder_v, first, level->features, train->decoder_weight_v);
        if (!status)
            status = hsae_rows_read(stack, trainer->bias_v, l, 1, train->decoder_bias_v);
    }
    free(places);
    if (!status)
        status = download_scalars(trainer, model, state);
    return status ? status : copy_history(trainer, state, true);
}

hsae_status hsae_trainer_download(hsae_trainer *trainer, hsae_model **model, struct train_state **state)
{
    *model = NULL;
    *state = NULL;
    hsae_status status = hsae_step_settle(trainer, 0);
    if (!status)
        status = hsae_model_alloc(trainer->context, &trainer->config, trainer->stack.dim, model);
    if (!status)
        status = hsae_train_state_alloc(trainer->context, *model, state);
    if (!status)
        status = download(trainer, *model, *state);
    if (status) {
        hsae_model_free(model);
        hsae_train_state_free(state);
    }
    return status;
}
