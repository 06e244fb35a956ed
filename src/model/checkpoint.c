#include "slots.h"

#include <stdlib.h>
#include <string.h>

hsae_status hsae_train_state_alloc(hsae_context *context, const hsae_model *model, struct train_state **out)
{
    struct slot slots[HSAE_TRAIN_SLOTS];
    *out = NULL;
    struct train_state *state = calloc(1, sizeof *state);
    if (!state || !hsae_slots_alloc(slots, hsae_train_slots(model, state, slots))) {
        hsae_train_state_free(&state);
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for the training state");
    }
    *out = state;
    return HSAE_OK;
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

static hsae_status read_state(hsae_context *context, const char *path, const struct hsae_safetensors *file, const hsae_model *model,
                              struct train_state **out)
{
    struct slot slots[HSAE_TRAIN_SLOTS];
    struct train_state shapes = {0};
    size_t count = hsae_train_slots(model, &shapes, slots);
    hsae_status status = hsae_slots_check(context, path, file, slots, count);
    if (!status)
        status = hsae_train_state_alloc(context, model, out);
    if (status)
        return status;
    hsae_train_slots(model, *out, slots);
    status = hsae_slots_read(context, path, file, slots, 1);
    hsae_train_slots(model, *out, slots); /* now that the step is known, it bounds the rest */
    if (!status)
        status = hsae_slots_read(context, path, file, slots + 1, count - 1);
    return status;
}

hsae_status hsae_checkpoint_load(hsae_context *context, const char *path, hsae_model **model, struct train_state **state)
{
    struct hsae_safetensors *file = NULL;
    hsae_config config;
    uint32_t dim;
    *model = NULL;
    *state = NULL;
    hsae_status status = hsae_model_open(context, path, &file, &config, &dim);
    if (!status && !hsae_safetensors_find(file, "train.step"))
        status = hsae_fail(context, HSAE_ERROR_FORMAT, "%s: a model without the state of its training, which is in checkpoints only", path);
    if (!status)
        status = hsae_model_read(context, path, file, &config, dim, model);
    if (!status)
        status = read_state(context, path, file, *model, state);
    if (status) {
        hsae_train_state_free(state);
        hsae_model_free(model);
    }
    hsae_safetensors_close(&file);
    return status;
}

hsae_status hsae_checkpoint_save(hsae_context *context, const hsae_model *model, const struct train_state *state, const char *path)
{
    struct slot slots[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    struct hsae_model model_copy = *model;
    struct train_state state_copy = *state;
    size_t count = hsae_model_slots(&model_copy, slots);
    count += hsae_train_slots(model, &state_copy, slots + count);
    return hsae_slots_write(context, path, &model->config, slots, count);
}
