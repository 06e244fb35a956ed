/* SPDX-License-Identifier: MIT */
/* A device that is lost, or whose work never ends: an error, after which everything else works on and a checkpoint is gone on from. */
#include "support.h"

#include "device/device.h"
#include <time.h>

enum { DIM = 11, BATCH = 24, STEPS = 8, LOST_AT = 5 };

static float rows[STEPS * BATCH * DIM];
static hsae_config config;

static int setup(void **state)
{
    uint32_t random = 1;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        random = random * 1664525u + 1013904223u;
        rows[k] = (float)(random >> 8) * 0x1p-24f - 0.5f;
    }
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.levels[0] = 9;
    config.levels[1] = 21;
    config.target_l0[0] = config.target_l0[1] = 3;
    config.batch = BATCH;
    config.steps = STEPS;
    config.hierarchy_period = 3;
    return support_setup(state);
}

static hsae_status train(hsae_trainer *trainer, int last)
{
    hsae_status status = HSAE_OK;
    while (!status && (int)hsae_trainer_step_count(trainer) < last) {
        hsae_step_metrics metrics;
        status = hsae_trainer_step(trainer, rows + hsae_trainer_step_count(trainer) * BATCH * DIM, &metrics);
    }
    return status;
}

static hsae_trainer *new_trainer(hsae_device *device)
{
    hsae_trainer *trainer = NULL;
    assert_ok(hsae_trainer_create_from_memory(device, &config, rows, BATCH, DIM, &trainer));
    return trainer;
}

static void assert_same_files(const char *left, const char *right)
{
    size_t left_size, right_size;
    unsigned char *a = read_file(left, &left_size), *b = read_file(right, &right_size);
    assert_int_equal(left_size, right_size);
    assert_memory_equal(a, b, left_size);
    free(a);
    free(b);
}

/* Waits as drivers fail them. */
static hsae_status wait_lost(struct hsae_device *device, uint64_t ticket, double seconds, bool *done)
{
    (void)ticket, (void)seconds;
    *done = true;
    device->lost = true;
    return hsae_fail(device->context, HSAE_ERROR_DEVICE_LOST, "%s: the driver says so", device->info.id);
}

static hsae_status wait_for_ever(struct hsae_device *device, uint64_t ticket, double seconds, bool *done)
{
    (void)device, (void)ticket;
    *done = false;
    nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * seconds)}, NULL);
    return HSAE_OK;
}

static void lose(const char *id, hsae_status (*wait)(struct hsae_device *, uint64_t, double, bool *), const char *message)
{
    hsae_device *device = NULL, *other = NULL, *again = NULL;
    char whole[512], checkpoint[512], resumed[512];
    snprintf(whole, sizeof whole, "%s/whole.safetensors", folder);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.safetensors", folder);
    snprintf(resumed, sizeof resumed, "%s/resumed.safetensors", folder);
    assert_ok(hsae_device_open(context, "ref", &other));
    if (hsae_device_open(context, id, &device)) { /* no driver here */
        hsae_device_close(&other);
        return;
    }
    hsae_trainer *trainer = new_trainer(device);
    assert_ok(train(trainer, STEPS));
    assert_ok(hsae_trainer_save_model(trainer, whole));
    hsae_trainer_destroy(&trainer);

    hsae_trainer *beside = new_trainer(other);
    assert_ok(train(beside, LOST_AT));
    trainer = new_trainer(device);
    assert_ok(train(trainer, LOST_AT));
    assert_ok(hsae_trainer_save_checkpoint(trainer, checkpoint));
    const struct device_ops *true_ops = device->ops;
    struct device_ops ops = *true_ops;
    ops.wait = wait;
    device->ops = &ops;
    assert_fails(train(trainer, STEPS), HSAE_ERROR_DEVICE_LOST, id, message, NULL);
    assert_fails(train(trainer, STEPS), HSAE_ERROR_DEVICE_LOST, id, "was lost", "open it again and resume", NULL);
    assert_int_equal(hsae_trainer_save_model(trainer, resumed), HSAE_ERROR_DEVICE_LOST);
    assert_true(device->hung == (wait == wait_for_ever));
    hsae_trainer_destroy(&trainer);
    device->ops = true_ops;
    hsae_device_close(&device);

    assert_ok(train(beside, STEPS));
    hsae_trainer_destroy(&beside);
    assert_ok(hsae_device_open(context, id, &again));
    assert_ok(hsae_trainer_resume(again, checkpoint, NULL, NULL, &trainer));
    assert_ok(train(trainer, STEPS));
    assert_ok(hsae_trainer_save_model(trainer, resumed));
    assert_same_files(whole, resumed);
    hsae_trainer_destroy(&trainer);
    hsae_device_close(&again);
    hsae_device_close(&other);
}

static void test_lost(void **state)
{
    (void)state;
    lose("ref", wait_lost, "the driver says so");
    lose("opencl:0", wait_lost, "the driver says so");
    lose("vulkan:0", wait_lost, "the driver says so");
}

/* What the driver may still use is left to it, and is no leak. */
static void test_waits_that_do_not_end(void **state)
{
    static const char *const ids[] = {"ref", "opencl:0", "vulkan:0"};
    (void)state;
    support_settings((hsae_context_params){.wait_seconds = "0.3"});
    for (size_t k = 0; k < sizeof ids / sizeof *ids; k++) {
        messages[HSAE_LOG_WARNING][0] = 0;
        lose(ids[k], wait_for_ever, "its work has not ended after");
        if (k == 0)
            assert_non_null(strstr(messages[HSAE_LOG_WARNING], "it is given up after"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_waits_that_do_not_end),
    };
    return cmocka_run_group_tests(tests, setup, support_teardown);
}
