/* SPDX-License-Identifier: MIT */
/* Trains a small hierarchical sparse autoencoder on rows in memory and prints its figures.
 *
 *     cc example.c $(pkg-config --cflags --libs libhsae) -o example && ./example */
#include <hsae/hsae.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM = 16, ROWS = 4096, BATCH = 128, STEPS = 200 };

static void print_message(void *user, hsae_log_level level, const char *message)
{
    (void)user;
    if (level <= HSAE_LOG_WARNING)
        fprintf(stderr, "%s\n", message);
}

int main(void)
{
    static float rows[ROWS * DIM]; /* each row is three of DIM directions, with a random weight each */
    hsae_context *context = NULL;
    hsae_device *device = NULL;
    hsae_trainer *trainer = NULL;
    hsae_step_metrics metrics;
    hsae_config config;

    srand(1);
    for (int i = 0; i < 3 * ROWS; i++)
        rows[i / 3 * DIM + rand() % DIM] += 1 + (float)rand() / (float)RAND_MAX;
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.levels[0] = 16;
    config.levels[1] = 64;
    config.target_l0[0] = config.target_l0[1] = 3;
    config.batch = BATCH;
    config.steps = STEPS;

    hsae_status status = hsae_context_create(&(hsae_context_params){.log = print_message}, &context);
    if (status == HSAE_OK)
        status = hsae_device_open(context, NULL, &device); /* the best there is */
    /* Rows that a function of your own makes: hsae_source_open, hsae_trainer_create_from_source, hsae_trainer_run_source (stream.h). */
    if (status == HSAE_OK)
        status = hsae_trainer_create_from_memory(device, &config, rows, ROWS, DIM, &trainer);
    for (int step = 0; step < STEPS && status == HSAE_OK; step++) {
        int last = step % 50 == 49;
        status = hsae_trainer_step(trainer, rows + step * BATCH % ROWS * DIM, last ? &metrics : NULL);
        for (uint32_t l = 0; last && status == HSAE_OK && l < metrics.level_count; l++)
            printf("step %3d, level %u: L0 %.2f, variance explained %.3f\n", step + 1, l, metrics.levels[l].l0,
                   metrics.levels[l].variance_explained);
    }
    if (status == HSAE_OK)
        status = hsae_trainer_save_checkpoint(trainer, "example.safetensors");
    hsae_trainer_destroy(&trainer);
    hsae_device_close(&device);
    hsae_context_destroy(&context);
    return status == HSAE_OK ? 0 : 1;
}
