/* SPDX-License-Identifier: MIT */
#include "slots.h"
#include <hsae/trainer.h>

#include <stdlib.h>
#include <string.h>

static hsae_status alloc_state(hsae_context *context, const hsae_model *model, bool matrices, struct train_state **out)
{
    struct slot slots[HSAE_TRAIN_SLOTS];
    *out = NULL;
    struct train_state *state = calloc(1, sizeof *state);
    size_t count = state ? hsae_train_slots(model, state, slots) : 0;
    if (!state || !hsae_slots_alloc(slots, count, matrices)) {
        uint64_t bytes = state ? hsae_slots_bytes(slots, count, matrices) : sizeof *state;
        hsae_train_state_free(&state);
        return hsae_fail_memory(context, bytes, NULL, "the training state");
    }
    *out = state;
    return HSAE_OK;
}

hsae_status hsae_train_state_alloc(hsae_context *context, const hsae_model *model, struct train_state **out)
{
    return alloc_state(context, model, true, out);
}

hsae_status hsae_train_state_alloc_vectors(hsae_context *context, const hsae_model *model, struct train_state **out)
{
    return alloc_state(context, model, false, out);
}

void hsae_train_state_free(struct train_state **state)
{
    if (!state || !*state)
        return;
    for (int l = 0; l < HSAE_MAX_LEVELS; l++) {
        struct level_train_tensors *level = &(*state)->levels[l];
        free(level->log_threshold);
        free(level->encoder_weight_v);
        free(level->encoder_bias_v);
        free(level->log_threshold_v);
        free(level->decoder_weight_v);
        free(level->decoder_bias_v);
        free(level->row_step);
        free(level->last_fired);
        free(level->activity);
    }
    free(*state);
    *state = NULL;
}

/* The slots of a file's training state, without memory for its tensors. */
static size_t state_slots(const struct checkpoint *checkpoint, struct train_state *state, struct slot slots[HSAE_TRAIN_SLOTS])
{
    const struct hsae_model shapes = {.config = checkpoint->config, .dim = checkpoint->dim};
    return hsae_train_slots(&shapes, state, slots);
}

hsae_status hsae_checkpoint_open(hsae_context *context, const char *path, struct checkpoint *out)
{
    struct slot slots[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    struct train_state state = {0};
    *out = (struct checkpoint){.path = path};
    hsae_status status = hsae_model_open(context, path, &out->file, &out->config, &out->dim);
    if (!status && !hsae_safetensors_find(out->file, "train.step"))
        status =
            hsae_fail(context, HSAE_ERROR_FORMAT,
                      "%s: a model without the state of its training, which is in checkpoints only; give a checkpoint-*.safetensors", path);
    if (!status) {
        struct hsae_model shapes = {.config = out->config, .dim = out->dim};
        size_t count = hsae_model_slots(&shapes, slots);
        count += state_slots(out, &state, slots + count);
        status = hsae_slots_check(context, path, out->file, slots, count);
    }
    if (!status) {
        state_slots(out, &state, slots);
        status = hsae_slots_read(context, path, out->file, slots, 1, NULL);
    }
    out->step = state.step;
    if (status)
        hsae_checkpoint_close(out);
    return status;
}

void hsae_checkpoint_close(struct checkpoint *checkpoint)
{
    hsae_safetensors_close(&checkpoint->file);
    *checkpoint = (struct checkpoint){0};
}

hsae_status hsae_checkpoint_read(hsae_context *context, const struct checkpoint *checkpoint, const struct matrix_rows *rows,
                                 hsae_model **model, struct train_state **state)
{
    struct slot slots[HSAE_TRAIN_SLOTS];
    const char *path = checkpoint->path;
    *state = NULL;
    hsae_status status = hsae_model_read(context, path, checkpoint->file, &checkpoint->config, checkpoint->dim, rows, model);
    if (!status)
        status = alloc_state(context, *model, !rows, state);
    if (!status) {
        (*state)->step = checkpoint->step; /* the limit of other tensors */
        size_t count = state_slots(checkpoint, *state, slots);
        status = hsae_slots_read(context, path, checkpoint->file, slots, count, rows);
    }
    if (status) {
        hsae_train_state_free(state);
        hsae_model_free(model);
    }
    return status;
}

hsae_status hsae_checkpoint_load(hsae_context *context, const char *path, hsae_model **model, struct train_state **state)
{
    struct checkpoint checkpoint;
    *model = NULL;
    *state = NULL;
    hsae_status status = hsae_checkpoint_open(context, path, &checkpoint);
    if (!status)
        status = hsae_checkpoint_read(context, &checkpoint, NULL, model, state);
    hsae_checkpoint_close(&checkpoint);
    return status;
}

static hsae_status keep_nothing(void *user, const struct slot *slot, uint64_t row, uint64_t count, void *values)
{
    (void)user, (void)slot, (void)row, (void)count, (void)values;
    return HSAE_OK;
}

hsae_status hsae_checkpoint_check(hsae_context *context, const char *path)
{
    HSAE_REQUIRE(context, context, path);
    const struct matrix_rows nowhere = {.copy = keep_nothing};
    struct checkpoint checkpoint;
    hsae_model *model = NULL;
    struct train_state *state = NULL;
    hsae_status status = hsae_checkpoint_open(context, path, &checkpoint);
    if (!status)
        status = hsae_checkpoint_read(context, &checkpoint, &nowhere, &model, &state);
    hsae_model_free(&model);
    hsae_train_state_free(&state);
    hsae_checkpoint_close(&checkpoint);
    return status;
}

hsae_status hsae_checkpoint_save_rows(hsae_context *context, const hsae_model *model, const struct train_state *state,
                                      const struct matrix_rows *rows, const char *path)
{
    struct slot slots[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    struct hsae_model model_copy = *model;
    struct train_state state_copy = *state;
    size_t count = hsae_model_slots(&model_copy, slots);
    count += hsae_train_slots(model, &state_copy, slots + count);
    return hsae_slots_write(context, path, &model->config, slots, hsae_slots_drop_zeros(slots, count), rows);
}

hsae_status hsae_checkpoint_save(hsae_context *context, const hsae_model *model, const struct train_state *state, const char *path)
{
    return hsae_checkpoint_save_rows(context, model, state, NULL, path);
}
