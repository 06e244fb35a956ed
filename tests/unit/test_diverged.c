/* SPDX-License-Identifier: MIT */
/* What becomes of training that is no longer finite: whatever part of the state it shows in, nothing is saved, and it is said where. The
 * parts are spoilt on the device, as a kernel would. */
#include "support.h"

#include "train/trainer.h"
#include <math.h>

enum { DIM = 6, ROWS = 64, BATCH = 16, STEPS = 12 };

static hsae_device *device;
static float rows[ROWS][DIM];

static hsae_config config_of(void)
{
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.levels[0] = 5;
    config.levels[1] = 11;
    config.batch = BATCH;
    config.steps = STEPS;
    config.hierarchy_period = 3;
    for (int l = 0; l < HSAE_MAX_LEVELS; l++)
        config.target_l0[l] = 1;
    return config;
}

static hsae_trainer *make_trainer(void)
{
    hsae_trainer *trainer;
    hsae_config config = config_of();
    assert_ok(hsae_trainer_create_from_memory(device, &config, rows[0], ROWS, DIM, &trainer));
    for (int step = 0; step < 4; step++)
        assert_ok(hsae_trainer_step(trainer, rows[step * BATCH], NULL));
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("old")));
    return trainer;
}

static int setup(void **state)
{
    uint64_t number = 1;
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < DIM; k++) {
            number = number * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            rows[r][k] = (float)(number >> 40) / (1 << 23) - 1;
        }
    return support_setup(state) || hsae_device_open(context, "ref", &device);
}

static int teardown(void **state)
{
    hsae_device_close(&device);
    return support_teardown(state);
}

/* Saving is refused with these texts and changes no file; after that, everything is. Destroys the trainer. */
#define ASSERT_NOT_SAVED(trainer, ...)                                                                                                     \
    do {                                                                                                                                   \
        hsae_model *model;                                                                                                                 \
        hsae_divergence divergence;                                                                                                        \
        size_t before, after, count = files_in(folder);                                                                                    \
        unsigned char *old = read_file(scratch("old"), &before), *new;                                                                     \
        assert_fails(hsae_trainer_save_checkpoint(trainer, scratch("old")), HSAE_ERROR_DIVERGED, "diverged at step 4", __VA_ARGS__, NULL); \
        new = read_file(scratch("old"), &after);                                                                                           \
        assert_int_equal(before, after);                                                                                                   \
        assert_memory_equal(old, new, before);                                                                                             \
        assert_int_equal(files_in(folder), count);                                                                                         \
        assert_true(hsae_trainer_divergence(trainer, &divergence));                                                                        \
        assert_int_equal(divergence.step, 4);                                                                                              \
        assert_fails(hsae_trainer_save_model(trainer, scratch("new")), HSAE_ERROR_DIVERGED, "neither trains nor saves", NULL);             \
        assert_fails(hsae_trainer_model(trainer, &model), HSAE_ERROR_DIVERGED, "neither trains nor saves", NULL);                          \
        assert_null(model);                                                                                                                \
        assert_fails(hsae_trainer_step(trainer, rows[0], NULL), HSAE_ERROR_DIVERGED, "neither trains nor saves", NULL);                    \
        assert_int_equal(files_in(folder), count);                                                                                         \
        free(old);                                                                                                                         \
        free(new);                                                                                                                         \
        hsae_trainer_destroy(&trainer);                                                                                                    \
    } while (0)

static void test_matrices(void **unused)
{
    (void)unused;
    static const float bad[DIM] = {1, NAN, 0, 0, 0, 0}, infinite[DIM] = {INFINITY}, negative[DIM] = {0, 0, -1}, zeros[DIM] = {0};
    hsae_trainer *trainer = make_trainer();
    assert_ok(hsae_ranged_write(&trainer->device_model, &trainer->device_model.encoder, 5 + 7, 1, bad));
    ASSERT_NOT_SAVED(trainer, "level 1", "\"levels.1.encoder.weight\", feature 7, column 1 is nan; expected a finite number", "lower lr");
    trainer = make_trainer();
    assert_ok(hsae_ranged_write(&trainer->device_model, &trainer->encoder_v, 2, 1, infinite));
    ASSERT_NOT_SAVED(trainer, "level 0", "\"optimizer.levels.0.encoder.weight.v\", feature 2, column 0 is inf", "at least 0");
    trainer = make_trainer();
    assert_ok(hsae_ranged_write(&trainer->device_model, &trainer->decoder_v, 2, 1, negative));
    ASSERT_NOT_SAVED(trainer, "\"optimizer.levels.0.decoder.weight.v\", feature 2, column 2 is -1");
    trainer = make_trainer();
    u32 place;
    assert_ok(hsae_buffer_read(trainer->device_model.decoder_rows, 3 * sizeof place, sizeof place, &place));
    assert_ok(hsae_ranged_write(&trainer->device_model, &trainer->device_model.decoder, place, 1, zeros));
    ASSERT_NOT_SAVED(trainer, "\"levels.0.decoder.weight\", feature 3 has norm 0; expected 1");
}

static void spoil_scalar(hsae_trainer *trainer, uint32_t feature, uint32_t word, float value)
{
    u32 bits = bits_u32(value);
    assert_ok(hsae_buffer_write(trainer->device_model.feature_scalars, (feature * SCALAR_WORDS + word) * sizeof bits, sizeof bits, &bits));
}

static void test_scalars(void **unused)
{
    (void)unused;
    hsae_trainer *trainer = make_trainer();
    spoil_scalar(trainer, 5 + 2, SCALAR_THRESHOLD, 0); /* exp of a number far below 0 */
    ASSERT_NOT_SAVED(trainer, "level 1", "\"levels.1.threshold\", element 2 is 0; expected a finite number above 0");
    trainer = make_trainer();
    spoil_scalar(trainer, 1, SCALAR_LOG_THRESHOLD_V, INFINITY);
    ASSERT_NOT_SAVED(trainer, "level 0", "\"optimizer.levels.0.log_threshold.v\", element 1 is inf");
    trainer = make_trainer();
    u32 penalty = bits_u32(INFINITY);
    assert_ok(hsae_buffer_write(trainer->device_model.step_state, (STATE_LEVELS + STATE_LEVEL_WORDS + STATE_LAMBDA) * sizeof penalty,
                                sizeof penalty, &penalty));
    ASSERT_NOT_SAVED(trainer, "\"sparsity.lambda\", element 1 is inf");
    trainer = make_trainer();
    float bias[DIM] = {0, NAN};
    assert_ok(hsae_rows_write(&trainer->device_model, trainer->device_model.bias, 1, 1, bias));
    ASSERT_NOT_SAVED(trainer, "\"levels.1.decoder.bias\", element 1 is nan");
}

/* A copy in memory is refused as a file is. */
static void test_copy(void **unused)
{
    (void)unused;
    hsae_model *model;
    hsae_trainer *trainer = make_trainer();
    spoil_scalar(trainer, 1, SCALAR_BIAS, NAN);
    assert_fails(hsae_trainer_model(trainer, &model), HSAE_ERROR_DIVERGED, "\"levels.0.encoder.bias\", element 1 is nan", NULL);
    assert_null(model);
    hsae_trainer_destroy(&trainer);
}

/* Figures of a step: the call that waits for it says so. */
static void test_figures(void **unused)
{
    (void)unused;
    hsae_step_metrics metrics;
    hsae_divergence divergence;
    float bias[DIM] = {0, INFINITY};
    hsae_trainer *trainer = make_trainer();
    assert_false(hsae_trainer_divergence(trainer, &divergence));
    assert_ok(hsae_rows_write(&trainer->device_model, trainer->device_model.bias, 1, 1, bias));
    assert_fails(hsae_trainer_step(trainer, rows[0], &metrics), HSAE_ERROR_DIVERGED,
                 "diverged at step 5, level 1: the reconstruction loss is inf; lower lr", NULL);
    assert_true(hsae_trainer_divergence(trainer, &divergence));
    assert_int_equal(divergence.step, 5);
    assert_int_equal(divergence.level, 1);
    assert_null(divergence.file);
    assert_string_equal(divergence.key, "lr");
    assert_int_equal(hsae_trainer_step_count(trainer), 5);
    hsae_trainer_destroy(&trainer);
    /* Without metrics, a few steps later. */
    trainer = make_trainer();
    assert_ok(hsae_rows_write(&trainer->device_model, trainer->device_model.bias, 0, 1, bias));
    hsae_status status = HSAE_OK;
    for (int step = 0; step <= HSAE_IN_FLIGHT && !status; step++)
        status = hsae_trainer_step(trainer, rows[0], NULL);
    assert_fails(status, HSAE_ERROR_DIVERGED, "diverged at step 5, level 0", NULL);
    hsae_trainer_destroy(&trainer);
}

static bool ignore_metrics(void *user, const hsae_step_metrics *metrics)
{
    (void)metrics;
    ++*(int *)user;
    return true;
}

/* A feature whose parameters are nan is never active, and no figure shows it; the metrics do not come without a look at it. */
static void test_silent_feature(void **unused)
{
    (void)unused;
    const hsae_new_tensor tensor = {.name = "a", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {ROWS, DIM}, .data = rows};
    const char *path = scratch("rows.safetensors");
    hsae_dataset *data;
    hsae_divergence divergence;
    int calls = 0;
    assert_ok(hsae_tensor_file_write(context, path, NULL, 0, &tensor, 1));
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1}, &data));
    hsae_trainer *trainer = make_trainer();
    spoil_scalar(trainer, 5 + 9, SCALAR_BIAS, NAN);
    const hsae_run_params params = {.metrics_every = 3, .metrics = ignore_metrics, .user = &calls};
    assert_fails(hsae_trainer_run(trainer, data, &params), HSAE_ERROR_DIVERGED,
                 "diverged at step 6, level 1: the encoder bias of feature 9 is nan", NULL);
    assert_int_equal(calls, 0);
    assert_true(hsae_trainer_divergence(trainer, &divergence));
    assert_int_equal(divergence.level, 1);
    hsae_trainer_destroy(&trainer);
    hsae_dataset_close(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrices), cmocka_unit_test(test_scalars),        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_figures),  cmocka_unit_test(test_silent_feature),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
