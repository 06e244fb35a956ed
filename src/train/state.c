/* SPDX-License-Identifier: MIT */
#include "crew.h"
#include "device_rows.h"

#include "base/context.h"
#include "model/slots.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static hsae_status no_memory(const hsae_trainer *trainer)
{
    return hsae_fail_memory(trainer->context, (uint64_t)trainer->device_model.features * (SCALAR_WORDS + 1) * sizeof(u32), "smaller levels",
                            "the scalars of %" PRIu32 " features", trainer->device_model.features);
}

/* What feature_scalars and last_fired hold of a level beyond the model's own scalars. Slots stay 0, as they are made. */
static hsae_status upload_scalars(hsae_trainer *trainer, const struct train_state *state)
{
    struct device_model *device_model = &trainer->device_model;
    uint64_t bytes = (uint64_t)device_model->features * sizeof(u32);
    u32 *feature_scalars = malloc(bytes * SCALAR_WORDS), *fired = calloc(device_model->features, sizeof *fired);
    hsae_status status = feature_scalars && fired
                             ? hsae_buffer_read(device_model->feature_scalars, 0, bytes * SCALAR_WORDS, feature_scalars)
                             : no_memory(trainer);
    for (uint32_t l = 0; l < device_model->levels && !status; l++)
        for (uint32_t at = device_model->first[l]; at < device_model->first[l + 1]; at++) {
            const uint32_t i = hsae_number(device_model, l, at);
            u32 *scalars = feature_scalars + (size_t)at * SCALAR_WORDS;
            scalars[SCALAR_BIAS_V] = bits_u32(state->levels[l].encoder_bias_v[i]);
            scalars[SCALAR_LOG_THRESHOLD_V] = bits_u32(state->levels[l].log_threshold_v[i]);
            scalars[SCALAR_ROW_STEP] = (u32)state->levels[l].row_step[i];
            fired[at] = (u32)state->levels[l].last_fired[i];
        }
    if (!status)
        status = hsae_buffer_write(device_model->feature_scalars, 0, bytes * SCALAR_WORDS, feature_scalars);
    if (!status)
        status = hsae_buffer_write(trainer->last_fired, 0, bytes, fired);
    free(feature_scalars);
    free(fired);
    return status;
}

static hsae_status upload_control(hsae_trainer *trainer, const struct train_state *state)
{
    u32 step_state[STATE_DEAD_LIST] = {0};
    for (uint32_t l = 0; l < trainer->device_model.levels; l++) {
        step_state[STATE_LEVELS + l * STATE_LEVEL_WORDS + STATE_LAMBDA] = bits_u32(state->lambda[l]);
        step_state[STATE_LEVELS + l * STATE_LEVEL_WORDS + STATE_AVERAGE] = bits_u32(state->l0_average[l]);
    }
    return hsae_buffer_write(trainer->device_model.step_state, 0, sizeof step_state, step_state);
}

hsae_status hsae_trainer_upload_tree(hsae_trainer *trainer)
{
    struct device_model *device_model = &trainer->device_model;
    u32 *tree = NULL;
    bool had_tree = trainer->has_tree;
    trainer->has_tree = false;
    for (uint32_t l = 1; l < device_model->levels; l++)
        for (uint32_t i = 0; i < trainer->config.levels[l]; i++)
            trainer->has_tree |= trainer->parents[l][i] >= 0;
    hsae_status status = hsae_device_model_upload_tree(device_model, trainer->parents, &tree);
    trainer->recorded &=
        trainer->has_tree == had_tree && device_model->free_rows == device_model->features && device_model->shards == 1 && !trainer->crew;
    if (!status)
        status = hsae_forest_slices_cut(device_model, tree, device_model->free_rows, &trainer->forest_slices);
    if (!status && trainer->forest_slices.largest > device_model->free_rows) {
        hsae_step_drop_recording(trainer);
        status = hsae_device_model_grow_free_rows(device_model, trainer->forest_slices.largest);
        if (!status)
            status = hsae_forest_slices_cut(device_model, tree, device_model->free_rows, &trainer->forest_slices);
    }
    free(tree);
    return status;
}

hsae_status hsae_trainer_upload_vectors(hsae_trainer *trainer, const hsae_model *model, const struct train_state *state)
{
    struct device_model *device_model = &trainer->device_model;
    float *log_thresholds[HSAE_MAX_LEVELS] = {NULL};
    hsae_status status = hsae_crew_leads(trainer) ? hsae_crew_vectors(trainer, (hsae_model *)model, (struct train_state *)state) : HSAE_OK;
    trainer->step = (uint64_t)state->step;
    trainer->left_out =
        (hsae_left_out){.norm = (uint64_t)state->left_out[0], .bad = (uint64_t)state->left_out[1], .first = (uint64_t)state->left_out[2]};
    memcpy(&trainer->source, state->source, sizeof trainer->source);
    memcpy(&trainer->rate, state->rate, sizeof trainer->rate);
    for (uint32_t l = 0; l < device_model->levels; l++) {
        const struct level_tensors *level = &model->levels[l];
        log_thresholds[l] = state->levels[l].log_threshold;
        if (level->parent)
            memcpy(trainer->parents[l], level->parent, level->features * sizeof *level->parent);
    }
    if (!status)
        status = hsae_device_model_upload(device_model, model, trainer->config.bandwidth, log_thresholds);
    for (uint32_t l = 0; l < device_model->levels && !status; l++)
        status = hsae_rows_write(device_model, trainer->bias_v, l, 1, state->levels[l].decoder_bias_v);
    if (!status)
        status = hsae_trainer_upload_tree(trainer);
    if (!status)
        status = upload_scalars(trainer, state);
    return status ? status : upload_control(trainer, state);
}

static hsae_status download_scalars(hsae_trainer *trainer, hsae_model *model, struct train_state *state)
{
    struct device_model *device_model = &trainer->device_model;
    uint64_t bytes = (uint64_t)device_model->all_features * sizeof(u32);
    u32 *feature_scalars = malloc(bytes * SCALAR_WORDS), *fired = malloc(bytes), step_state[STATE_DEAD_LIST];
    hsae_status status =
        feature_scalars && fired ? hsae_trainer_read_features(trainer, FEATURE_SCALARS, feature_scalars) : no_memory(trainer);
    if (!status)
        status = hsae_trainer_read_features(trainer, FEATURE_FIRED, fired);
    if (!status)
        status = hsae_buffer_read(device_model->step_state, 0, sizeof step_state, step_state);
    for (uint32_t l = 0, at = 0; l < device_model->levels && !status; l++) {
        struct level_train_tensors *level = &state->levels[l];
        for (uint32_t i = 0; i < trainer->config.levels[l]; i++, at++) {
            const u32 *scalars = feature_scalars + (size_t)at * SCALAR_WORDS;
            model->levels[l].encoder_bias[i] = bits_f32(scalars[SCALAR_BIAS]);
            model->levels[l].threshold[i] = bits_f32(scalars[SCALAR_THRESHOLD]);
            level->log_threshold[i] = bits_f32(scalars[SCALAR_LOG_THRESHOLD]);
            level->encoder_bias_v[i] = bits_f32(scalars[SCALAR_BIAS_V]);
            level->log_threshold_v[i] = bits_f32(scalars[SCALAR_LOG_THRESHOLD_V]);
            level->row_step[i] = scalars[SCALAR_ROW_STEP];
            level->last_fired[i] = fired[at];
        }
        state->lambda[l] = bits_f32(step_state[STATE_LEVELS + l * STATE_LEVEL_WORDS + STATE_LAMBDA]);
        state->l0_average[l] = bits_f32(step_state[STATE_LEVELS + l * STATE_LEVEL_WORDS + STATE_AVERAGE]);
    }
    free(feature_scalars);
    free(fired);
    return status;
}

static hsae_status download_vectors(hsae_trainer *trainer, hsae_model *model, struct train_state *state)
{
    struct device_model *device_model = &trainer->device_model;
    hsae_status status = HSAE_OK;
    memcpy(model->mean, trainer->mean, device_model->dim * sizeof *model->mean);
    model->scale = trainer->scale;
    const hsae_left_out *left_out = &trainer->left_out;
    const uint64_t counts[] = {left_out->norm, left_out->bad, left_out->first};
    state->step = (int64_t)trainer->step;
    memcpy(state->left_out, counts, sizeof counts);
    memcpy(state->source, &trainer->source, sizeof trainer->source);
    memcpy(state->rate, &trainer->rate, sizeof trainer->rate);
    for (uint32_t l = 0; l < device_model->levels && !status; l++) {
        struct level_tensors *level = &model->levels[l];
        if (level->parent)
            memcpy(level->parent, trainer->parents[l], level->features * sizeof *level->parent);
        status = hsae_rows_read(device_model, device_model->bias, l, 1, level->decoder_bias);
        if (!status)
            status = hsae_rows_read(device_model, trainer->bias_v, l, 1, state->levels[l].decoder_bias_v);
    }
    return status ? status : download_scalars(trainer, model, state);
}

static hsae_status copy_matrix(void *user, const struct slot *slot, uint64_t row, uint64_t count, void *values)
{
    const struct device_rows *rows = user;
    const struct order order = {
        .kind = ORDER_ROWS, .write = rows->write, .matrix = slot->matrix, .level = slot->level, .row = row, .count = count};
    if (rows->trainer->crew)
        return hsae_crew_rows(rows->trainer, &order, values);
    if (slot->matrix == MATRIX_ACTIVITY)
        return hsae_device_rows_history(rows, slot->level, row, count, values);
    return hsae_device_rows_copy(rows, slot->matrix, rows->trainer->device_model.first[slot->level] + (uint32_t)row, (uint32_t)count,
                                 values);
}

hsae_status hsae_trainer_put_rows(hsae_trainer *trainer, enum matrix matrix, uint32_t level, uint64_t row, uint64_t count, float *values)
{
    const struct order order = {.kind = ORDER_ROWS, .write = true, .matrix = matrix, .level = level, .row = row, .count = count};
    if (trainer->crew)
        return hsae_crew_rows(trainer, &order, values);
    return hsae_trainer_copy_rows(trainer, true, matrix, trainer->device_model.first[level] + (uint32_t)row, (uint32_t)count, values);
}

/* Waits for all steps in flight. Free rows->decoder_rows, also after a failure. */
static hsae_status open_rows(hsae_trainer *trainer, bool write, struct device_rows *rows)
{
    *rows = (struct device_rows){.trainer = trainer};
    if (trainer->wrong)
        return hsae_fail(trainer->context, HSAE_ERROR_DRIVER, "%s computed a step wrong: the trainer has no model to give",
                         trainer->device_model.device->info.id);
    hsae_status status = hsae_step_drain(trainer, 0);
    return status ? status : hsae_device_rows_open(trainer, write, rows);
}

static hsae_status skip_rows(void *user, const struct slot *slot, uint64_t row, uint64_t count, void *values)
{
    (void)user, (void)slot, (void)row, (void)count, (void)values;
    return HSAE_OK;
}

/* With a crew, before the matrices: the checkpoint's tree says which device takes which of their rows. */
static hsae_status load_tree(hsae_trainer *trainer, const struct checkpoint *checkpoint)
{
    hsae_model *model = NULL;
    struct train_state *state = NULL;
    hsae_status status = hsae_checkpoint_read(trainer->context, checkpoint, &(struct matrix_rows){.copy = skip_rows}, &model, &state);
    for (uint32_t l = 1; l < trainer->config.level_count && !status; l++)
        memcpy(trainer->parents[l], model->levels[l].parent, trainer->config.levels[l] * sizeof *trainer->parents[l]);
    hsae_model_free(&model);
    hsae_train_state_free(&state);
    return status ? status : hsae_crew_part(trainer);
}

hsae_status hsae_trainer_load(hsae_trainer *trainer, const struct checkpoint *checkpoint)
{
    struct device_rows rows = {.trainer = trainer};
    hsae_model *model = NULL;
    struct train_state *state = NULL;
    hsae_status status = trainer->crew ? load_tree(trainer, checkpoint) : HSAE_OK;
    if (!status)
        status = open_rows(trainer, true, &rows);
    if (!status)
        status =
            hsae_checkpoint_read(trainer->context, checkpoint, &(struct matrix_rows){.copy = copy_matrix, .user = &rows}, &model, &state);
    if (!status) {
        memcpy(trainer->mean, model->mean, model->dim * sizeof *trainer->mean);
        trainer->scale = model->scale;
        status = hsae_trainer_upload_vectors(trainer, model, state);
    }
    free(rows.decoder_rows);
    hsae_model_free(&model);
    hsae_train_state_free(&state);
    return status;
}

static hsae_status refuse(void *user, uint32_t level, const char *what)
{
    const struct device_rows *rows = user;
    return hsae_diverge(rows->trainer, rows->trainer->step, level, what, NULL);
}

/* The model with or without the training state; the matrices stream from the device. */
static hsae_status save(hsae_trainer *trainer, bool checkpoint, const char *path)
{
    struct device_rows rows;
    struct matrix_rows matrices = {copy_matrix, &rows, refuse};
    hsae_model *model = NULL;
    struct train_state *state = NULL;
    hsae_status status = open_rows(trainer, false, &rows);
    if (!status)
        status = hsae_model_alloc_vectors(trainer->context, &trainer->config, trainer->device_model.dim, &model);
    if (!status)
        status = hsae_train_state_alloc_vectors(trainer->context, model, &state);
    if (!status)
        status = download_vectors(trainer, model, state);
    if (!status)
        status = checkpoint ? hsae_checkpoint_save_rows(trainer->context, model, state, &matrices, path)
                            : hsae_model_save_rows(trainer->context, model, &matrices, path);
    if (!status)
        trainer->worst.step = 0;
    free(rows.decoder_rows);
    hsae_model_free(&model);
    hsae_train_state_free(&state);
    return status;
}

hsae_status hsae_trainer_save_checkpoint(hsae_trainer *trainer, const char *path)
{
    HSAE_REQUIRE(trainer ? trainer->context : NULL, trainer, path);
    return save(trainer, true, path);
}

hsae_status hsae_trainer_save_model(hsae_trainer *trainer, const char *path)
{
    HSAE_REQUIRE(trainer ? trainer->context : NULL, trainer, path);
    return save(trainer, false, path);
}

/* The matrices that have memory. */
static hsae_status download_matrices(struct device_rows *rows, const struct slot *slots, size_t count)
{
    hsae_status status = HSAE_OK;
    for (size_t i = 0; i < count && !status; i++)
        if (slots[i].matrix && hsae_slot_data(&slots[i]))
            status = copy_matrix(rows, &slots[i], 0, hsae_slot_rows(&slots[i]), hsae_slot_data(&slots[i]));
    return status;
}

/* `state` comes with or without its matrices. */
static hsae_status download(hsae_trainer *trainer, bool state_matrices, hsae_model **model, struct train_state **state)
{
    struct device_rows rows;
    struct slot slots[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    *model = NULL;
    *state = NULL;
    hsae_status status = open_rows(trainer, false, &rows);
    if (!status)
        status = hsae_model_alloc(trainer->context, &trainer->config, trainer->device_model.dim, model);
    if (!status)
        status = state_matrices ? hsae_train_state_alloc(trainer->context, *model, state)
                                : hsae_train_state_alloc_vectors(trainer->context, *model, state);
    if (!status)
        status = download_vectors(trainer, *model, *state);
    size_t count = status ? 0 : hsae_model_slots(*model, slots);
    count += status ? 0 : hsae_train_slots(*model, *state, slots + count);
    if (!status)
        status = download_matrices(&rows, slots, count);
    free(rows.decoder_rows);
    if (status) {
        hsae_model_free(model);
        hsae_train_state_free(state);
    }
    return status;
}

hsae_status hsae_trainer_snapshot(hsae_trainer *trainer, hsae_model **model, struct train_state **state)
{
    return download(trainer, true, model, state);
}

hsae_status hsae_trainer_model(hsae_trainer *trainer, hsae_model **out)
{
    HSAE_REQUIRE(trainer ? trainer->context : NULL, trainer, out);
    struct device_rows rows = {.trainer = trainer};
    struct slot slots[HSAE_MODEL_SLOTS];
    struct train_state *state;
    hsae_status status = download(trainer, false, out, &state);
    hsae_train_state_free(&state);
    if (!status)
        status = hsae_slots_verify(trainer->context, "", slots, hsae_model_slots(*out, slots),
                                   &(struct matrix_rows){.user = &rows, .refuse = refuse});
    if (status)
        hsae_model_free(out);
    return status;
}
