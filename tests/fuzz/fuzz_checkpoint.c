/* SPDX-License-Identifier: MIT */
/* Any bytes as a checkpoint and as a model; what can be resumed must also pass the check before it. */
#include "fuzz.h"
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hsae_context *context = fuzz_context();
    const char *path = fuzz_file(data, size);
    hsae_model *model;
    struct train_state *state;
    hsae_status checked = hsae_checkpoint_check(context, path), loaded = hsae_checkpoint_load(context, path, &model, &state);
    if (!loaded) {
        hsae_train_state_free(&state);
        hsae_model_free(&model);
    }
    if (!checked != !loaded)
        abort();
    if (!hsae_model_load(context, path, &model))
        hsae_model_free(&model);
    return 0;
}
