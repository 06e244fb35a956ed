/* SPDX-License-Identifier: MIT */
#include "crew.h"

/* Floats at a time between the model in host memory and the devices. */
enum { MOVED = 1 << 20 };

/* The matrices of a model and state in host memory to the devices. */
static hsae_status hand_out(hsae_trainer *trainer, hsae_model *model, struct train_state *state)
{
    struct slot slots[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    size_t count = hsae_model_slots(model, slots);
    count += hsae_train_slots(model, state, slots + count);
    hsae_status status = HSAE_OK;
    for (size_t i = 0; i < count && !status; i++) {
        if (!slots[i].matrix)
            continue;
        const uint64_t rows = hsae_slot_rows(&slots[i]), line = hsae_slot_row_length(&slots[i]), step = MOVED / line ? MOVED / line : 1;
        for (uint64_t row = 0; row < rows && !status; row += step)
            status = hsae_trainer_put_rows(trainer, slots[i].matrix, slots[i].level, row, rows - row < step ? rows - row : step,
                                           (float *)hsae_slot_data(&slots[i]) + row * line);
    }
    return status;
}

hsae_status hsae_crew_move(hsae_trainer *trainer)
{
    hsae_model *model = NULL;
    struct train_state *state = NULL;
    hsae_status status = hsae_trainer_snapshot(trainer, &model, &state);
    if (!status)
        status = hsae_crew_part(trainer);
    if (!status)
        status = hand_out(trainer, model, state);
    if (!status)
        status = hsae_trainer_upload_vectors(trainer, model, state);
    hsae_model_free(&model);
    hsae_train_state_free(&state);
    return status;
}
