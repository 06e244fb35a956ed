/* SPDX-License-Identifier: MIT */
#include "match.h"

#include "model/slots.h"
#include "train/trainer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 3, BATCH = 67, DIM = 61, STEPS = 6, CALIBRATION = 4 * BATCH, TENSORS = HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS };

/* Rounding: sums of k terms in single precision are off by some eps sqrt(k) of their terms' sizes, which are some ten times the tensor's
 * root mean square where sums cancel; k is at most BATCH here. Adam multiplies a gradient's error by at most lr / adam_eps = 10, and the
 * errors of STEPS steps add up like independent ones: 1.2e-7 * 8 * 10 * 10 * sqrt(6). A wrong or missing term is far above that. */
static const double TOLERANCE = 2.4e-4;

struct snapshot {
    hsae_model *model;
    struct train_state *state;
};

struct match {
    struct hsae_device *device;
    hsae_config config;
    float *rows; /* [CALIBRATION + STEPS * BATCH][DIM] */
    struct snapshot reference, own;
};

static void snapshot_free(struct snapshot *snapshot)
{
    hsae_train_state_free(&snapshot->state);
    hsae_model_free(&snapshot->model);
}

/* ---- training ---- */

static hsae_status train(const struct match *match, struct hsae_device *device, struct snapshot *out)
{
    hsae_trainer *trainer = NULL;
    hsae_status status = hsae_trainer_create_from_memory(device, &match->config, match->rows, CALIBRATION, DIM, &trainer);
    if (!status) {
        hsae_trainer_check(trainer, false); /* all of it is compared */
        trainer->unchecked = true;
    }
    for (size_t step = 0; step < STEPS && !status; step++)
        status = hsae_trainer_step(trainer, match->rows + (CALIBRATION + step * BATCH) * DIM, NULL);
    if (!status)
        status = hsae_trainer_snapshot(trainer, &out->model, &out->state);
    hsae_trainer_destroy(&trainer);
    return status;
}

static hsae_config make_config(void)
{
    static const uint32_t levels[LEVELS] = {19, 41, 103};
    static const double active[LEVELS] = {4, 3, 1.5};
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = LEVELS;
    config.batch = BATCH;
    config.steps = STEPS;
    config.lr = 0.01;
    config.adam_eps = 0.001;
    config.rho = 0.2;
    config.perturb = 0.3;
    config.hierarchy_period = 2;
    config.dead_steps = 1;
    config.ghost = true;
    config.max_norm = 0;
    for (int l = 0; l < LEVELS; l++) {
        config.levels[l] = levels[l];
        config.target_l0[l] = config.init_l0[l] = active[l];
    }
    return config;
}

/* Uniform in [-1, 1). */
static void fill_rows(float *rows, size_t count)
{
    uint64_t random = 1;
    for (size_t k = 0; k < count; k++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        rows[k] = (float)(random >> 40) * 0x1p-23f - 1;
    }
}

hsae_status hsae_match_create(struct hsae_device *device, struct match **out)
{
    size_t count = (CALIBRATION + STEPS * BATCH) * DIM;
    struct match *match = *out = calloc(1, sizeof *match);
    hsae_device *reference = NULL;
    if (match)
        match->rows = malloc(count * sizeof *match->rows);
    if (!match || !match->rows)
        return hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for a comparison with the reference device");
    match->device = device;
    match->config = make_config();
    fill_rows(match->rows, count);
    hsae_status status = hsae_device_open(device->context, "ref", &reference);
    if (!status)
        status = train(match, reference, &match->reference);
    hsae_device_close(&reference);
    return status ? status : train(match, device, &match->own);
}

void hsae_match_destroy(struct match **match)
{
    if (!*match)
        return;
    snapshot_free(&(*match)->reference);
    snapshot_free(&(*match)->own);
    free((*match)->rows);
    free(*match);
    *match = NULL;
}

/* ---- comparing ---- */

double hsae_floats_off(const float *expected, const float *found, uint64_t count, double tolerance)
{
    double squares = 0, worst = 0;
    for (uint64_t k = 0; k < count; k++)
        squares += (double)expected[k] * expected[k];
    double size = sqrt(squares / (double)(count ? count : 1));
    for (uint64_t k = 0; k < count; k++) {
        double off = fabs((double)expected[k] - found[k]), allowed = tolerance * fmax(size, fabs((double)expected[k]));
        if (!(off <= 0 || off / allowed <= worst)) /* NaN, too */
            worst = isnan(off) || allowed <= 0 ? INFINITY : off / allowed;
    }
    return worst;
}

static size_t list_tensors(const struct snapshot *snapshot, struct slot slots[TENSORS])
{
    size_t count = hsae_model_slots(snapshot->model, slots);
    return count + hsae_train_slots(snapshot->model, snapshot->state, slots + count);
}

static double snapshots_off(const struct snapshot *expected, const struct snapshot *found, char tensor[64])
{
    struct slot a[TENSORS], b[TENSORS];
    size_t count = list_tensors(expected, a);
    double worst = 0;
    list_tensors(found, b);
    for (size_t k = 0; k < count; k++) {
        uint64_t elements = 1;
        for (uint32_t r = 0; r < a[k].rank; r++)
            elements *= a[k].shape[r];
        const void *x = hsae_slot_data(&a[k]), *y = hsae_slot_data(&b[k]);
        if (!x || !y)
            continue;
        size_t bytes = elements * (a[k].type == HSAE_TENSOR_I64 ? sizeof(int64_t) : sizeof(int32_t));
        double off = a[k].type == HSAE_TENSOR_F32 ? hsae_floats_off(x, y, elements, TOLERANCE) : memcmp(x, y, bytes) ? INFINITY : 0;
        if (off > worst) {
            worst = off;
            memcpy(tensor, a[k].name, sizeof a[k].name);
        }
    }
    return worst;
}

double hsae_match_agreement(const struct match *match, char *tensor)
{
    char name[64] = "";
    double off = snapshots_off(&match->reference, &match->own, name);
    if (tensor)
        memcpy(tensor, name, sizeof name);
    return off;
}

const hsae_model *hsae_match_model(const struct match *match)
{
    return match->reference.model;
}

const float *hsae_match_rows(const struct match *match, uint32_t *count)
{
    *count = CALIBRATION;
    return match->rows;
}

hsae_status hsae_match_check(struct match *match, double *off)
{
    struct snapshot found = {0};
    char tensor[64];
    *off = INFINITY;
    hsae_status status = train(match, match->device, &found);
    if (!status)
        *off = fmax(snapshots_off(&match->reference, &found, tensor), snapshots_off(&match->own, &found, tensor));
    snapshot_free(&found);
    return status;
}
