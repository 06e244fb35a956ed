/* SPDX-License-Identifier: MIT */
/* A trainer with its buffers, and what it says of itself. */
#include "crew.h"

#include "base/context.h"
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Lists start with room for twice the larger of target and first L0, plus the pairs just under their thresholds. */
static double first_pairs(const hsae_config *config)
{
    double pairs = 0;
    for (uint32_t l = 0; l < config->level_count; l++) {
        double active = config->init_l0[l] > config->target_l0[l] ? config->init_l0[l] : config->target_l0[l];
        active = 2 * active + 8 < config->levels[l] ? 2 * active + 8 : config->levels[l];
        pairs += active * config->batch;
    }
    return pairs;
}

hsae_status hsae_trainer_make_device_model(hsae_trainer *trainer)
{
    const hsae_config *config = &trainer->config;
    const struct part *part = trainer->crew ? &trainer->crew->part : NULL;
    const struct device_model_params params = {config->batch, true, hsae_similarity_counts(config->similarity),
                                               first_pairs(config) / (part ? part->ranks : 1), part};
    hsae_status status = hsae_device_model_create(&trainer->device_model, trainer->device, config, trainer->dim, &params);
    return status ? status : hsae_step_buffers(trainer);
}

void hsae_trainer_drop_device_model(hsae_trainer *trainer)
{
    hsae_step_release(trainer);
    hsae_device_model_destroy(&trainer->device_model);
    trainer->device_model = (struct device_model){0};
}

hsae_status hsae_trainer_alloc_bare(hsae_device *device, const hsae_config *config, uint32_t dim, hsae_dtype dtype, hsae_trainer **out)
{
    hsae_trainer *trainer = calloc(1, sizeof *trainer);
    hsae_status status = HSAE_OK;
    *out = trainer;
    if (!trainer)
        return hsae_fail_memory(device->context, sizeof **out, NULL, "a trainer");
    trainer->context = device->context;
    trainer->device = device;
    trainer->config = *config;
    trainer->dim = dim;
    trainer->dtype = dtype;
    trainer->data_rows = UINT64_MAX;
    trainer->calibration.next = true;
    if (config->steps >= UINT32_MAX)
        return hsae_fail(device->context, HSAE_ERROR_CONFIG, "steps = %" PRIu64 ": at most %" PRIu32 " are possible", config->steps,
                         UINT32_MAX - 1);
    status = hsae_device_model_check(device->context, config, dim, config->batch);
    if (status)
        return status;
    trainer->mean = calloc(dim, sizeof *trainer->mean);
    if (!trainer->mean)
        status = HSAE_ERROR_MEMORY;
    uint64_t features = 0;
    for (uint32_t l = 1; l < config->level_count; l++)
        features += config->levels[l];
    for (uint32_t l = 1; l < config->level_count && !status; l++) {
        trainer->parents[l] = malloc(config->levels[l] * sizeof *trainer->parents[l]);
        if (!trainer->parents[l])
            status = HSAE_ERROR_MEMORY;
    }
    if (status)
        return hsae_fail_memory(device->context, dim * sizeof(float) + features * sizeof **trainer->parents, "smaller levels",
                                "a mean of width %" PRIu32 " and the parents of %" PRIu64 " features", dim, features);
    trainer->started = trainer->metrics_time = hsae_os_seconds();
    return HSAE_OK;
}

hsae_status hsae_trainer_alloc(hsae_device *device, const hsae_config *config, uint32_t dim, hsae_dtype dtype, hsae_trainer **out)
{
    hsae_status status = hsae_trainer_alloc_bare(device, config, dim, dtype, out);
    if (!status)
        status = hsae_trainer_make_device_model(*out);
    if (!status)
        hsae_trainer_check(*out, true);
    return status;
}

void hsae_trainer_check(hsae_trainer *trainer, bool on)
{
    if (trainer)
        trainer->checks = on && !trainer->crew && trainer->device->info.backend != HSAE_BACKEND_REF;
}

/* The leader's members are destroyed with it. */
static void end_crew(hsae_trainer *trainer)
{
    const struct crew *crew = trainer->crew;
    if (hsae_crew_leads(trainer)) {
        hsae_peers_fail(crew->peers, HSAE_CANCELLED); /* nobody waits for orders any more */
        for (uint32_t r = 1; crew->members && r < crew->part.ranks; r++) {
            if (crew->members[r].started)
                pthread_join(crew->members[r].thread, NULL);
            hsae_trainer_destroy(&crew->members[r].trainer);
        }
    }
    hsae_crew_free(&trainer->crew);
}

void hsae_trainer_destroy(hsae_trainer **trainer_pointer)
{
    hsae_trainer *trainer = trainer_pointer ? *trainer_pointer : NULL;
    if (!trainer)
        return;
    if (trainer->device_model.device)
        hsae_device_wait(trainer->device_model.device, 0);
    end_crew(trainer);
    hsae_step_release(trainer);
    hsae_device_model_destroy(&trainer->device_model);
    hsae_dataset_close(&trainer->data);
    hsae_forest_slices_free(&trainer->forest_slices);
    for (int l = 0; l < HSAE_MAX_LEVELS; l++)
        free(trainer->parents[l]);
    free(trainer->mean);
    free(trainer->looks);
    free(trainer->gathered.rows);
    free(trainer);
    *trainer_pointer = NULL;
}

hsae_status hsae_trainer_set_lr(hsae_trainer *trainer, double lr)
{
    HSAE_REQUIRE(trainer ? trainer->context : NULL, trainer);
    if (!isfinite(lr) || lr > FLT_MAX)
        return hsae_fail(trainer->context, HSAE_ERROR_ARGUMENT, "hsae_trainer_set_lr: %g is no learning rate", lr);
    trainer->rate.given = lr >= 0;
    trainer->rate.value = lr >= 0 ? (f32)lr : 0;
    return HSAE_OK;
}

uint64_t hsae_trainer_ring(const struct hsae_device *device)
{
    return device->info.type == HSAE_DEVICE_CPU ? 16 << 20 : 0;
}

uint64_t hsae_trainer_step_count(const hsae_trainer *trainer)
{
    return trainer ? trainer->step : 0;
}

uint32_t hsae_trainer_dim(const hsae_trainer *trainer)
{
    return trainer ? trainer->device_model.dim : 0;
}

hsae_left_out hsae_trainer_left_out(const hsae_trainer *trainer)
{
    if (!trainer)
        return (hsae_left_out){0};
    hsae_left_out left_out = trainer->left_out;
    uint64_t drawn = trainer->step * trainer->device_model.batch;
    left_out.rows = drawn < trainer->data_rows ? drawn : trainer->data_rows;
    return left_out;
}

bool hsae_trainer_met_bad_row(const hsae_trainer *trainer)
{
    return trainer && trainer->bad_row;
}

const hsae_config *hsae_trainer_config(const hsae_trainer *trainer)
{
    return trainer ? &trainer->config : NULL;
}

const int32_t *hsae_trainer_parents(const hsae_trainer *trainer, uint32_t level)
{
    return trainer && level > 0 && level < trainer->config.level_count ? trainer->parents[level] : NULL;
}
