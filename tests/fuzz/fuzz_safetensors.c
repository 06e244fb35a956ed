/* Any bytes as a file: opened as a checkpoint, as a model and as a data set. */
#include "data/safetensors.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static hsae_context *context;
static char path[] = "/tmp/hsae-fuzz-XXXXXX";

static void remove_file(void)
{
    unlink(path);
}

/* Without a callback no message would be formatted. */
static void drop(void *user, hsae_log_level level, const char *message)
{
    (void)user;
    (void)level;
    (void)message;
}

static void prepare(void)
{
    int file = mkstemp(path);
    if (file < 0 || hsae_context_create(&(hsae_context_params){.log = drop, .cache_dir = ""}, &context))
        abort();
    close(file);
    atexit(remove_file);
}

static void read_rows(void)
{
    const char *paths = path;
    hsae_dataset *dataset;
    if (hsae_dataset_open(context, &(hsae_dataset_params){.paths = &paths, .path_count = 1}, &dataset))
        return;
    float *row = malloc((size_t)hsae_dataset_dim(dataset) * sizeof *row);
    for (uint64_t i = 0; row && i < hsae_dataset_rows(dataset) && i < 16; i++)
        (void)hsae_dataset_read(dataset, &i, 1, row);
    free(row);
    hsae_dataset_close(&dataset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hsae_model *model;
    struct train_state *state;
    if (!context)
        prepare();
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file))
        abort();
    if (!hsae_checkpoint_load(context, path, &model, &state)) {
        hsae_train_state_free(&state);
        hsae_model_free(&model);
    }
    if (!hsae_model_load(context, path, &model))
        hsae_model_free(&model);
    read_rows();
    return 0;
}
