/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "device/shape.h"
#include "device/speed.h"
#include "train/trainer.h"
#include <math.h>

/* A device whose launches take as long as a test says. */
struct staged {
    struct hsae_device device;
    struct device_ops ops;
    struct hsae_sequence_base sequence;
    struct hsae_recorded recorded[12];
};

static double staged_ns[12];

static hsae_status staged_times(struct hsae_sequence *sequence, double *ns)
{
    memcpy(ns, staged_ns, ((struct hsae_sequence_base *)sequence)->launch_count * sizeof *ns);
    return HSAE_OK;
}

static void stage(struct staged *staged)
{
    memset(staged, 0, sizeof *staged);
    staged->ops.sequence_times = staged_times;
    staged->device.context = context;
    staged->device.ops = &staged->ops;
    staged->device.info.backend = HSAE_BACKEND_OPENCL;
    staged->device.info.type = HSAE_DEVICE_DISCRETE;
    staged->device.waited = 1;
    staged->device.speed_loaded = true;
    staged->device.info.limits.max_group_size = 64;
    staged->device.info.limits.max_local_bytes = 32768;
    staged->sequence = (struct hsae_sequence_base){
        .device = &staged->device, .timed = true, .ticket = 1, .recorded = staged->recorded, .label = "calibration"};
}

static void add(struct staged *staged, enum hsae_kernel kernel, double work, double seconds)
{
    uint32_t at = staged->sequence.launch_count++;
    staged->recorded[at] = (struct hsae_recorded){.kernel = kernel, .work = work};
    staged_ns[at] = 1e9 * seconds;
}

static enum hsae_speed_change learn(struct staged *staged)
{
    enum hsae_speed_change change;
    assert_int_equal(hsae_speed_learn(&staged->device, (struct hsae_sequence *)&staged->sequence, &change), HSAE_OK);
    staged->sequence.launch_count = 0;
    return change;
}

static bool knows(const struct staged *staged, enum hsae_kernel kernel)
{
    return staged->device.speed[kernel].work > 0;
}

static double expected(const struct staged *staged, enum hsae_kernel kernel, double work)
{
    struct hsae_launch launch = {.kernel = kernel, .work = work};
    return hsae_launch_seconds(&staged->device, &launch);
}

static void near(double value, double wanted, double off)
{
    assert_true(value >= wanted - off && value <= wanted + off);
}

/* Long launches tell a kernel's speed. */
static void test_long(void **state)
{
    struct staged staged;
    (void)state;
    stage(&staged);
    assert_false(knows(&staged, HSAE_KERNEL_encode));
    add(&staged, HSAE_KERNEL_encode, 2e6, 0.001);
    add(&staged, HSAE_KERNEL_encode, 4e6, 0.002);
    add(&staged, HSAE_KERNEL_encode, 1, 1e-5);
    learn(&staged);
    assert_true(knows(&staged, HSAE_KERNEL_encode) && staged.device.speed[HSAE_KERNEL_encode].measured);
    near(expected(&staged, HSAE_KERNEL_encode, 2e9), 1, 1e-9);
    assert_false(knows(&staged, HSAE_KERNEL_decode));
}

/* Where the estimate of work is too low for some launches, those tell the speed; one that something else delayed tells little. */
static void test_uneven(void **state)
{
    struct staged staged;
    (void)state;
    stage(&staged);
    for (int k = 0; k < 6; k++)
        add(&staged, HSAE_KERNEL_update, 1e6, k % 3 == 1 ? 4e-3 : 1e-3);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_update, 1e6), 4e-3, 1e-9);
    for (int k = 0; k < 12; k++)
        add(&staged, HSAE_KERNEL_decode, 1e6, k == 5 ? 2e-3 : 1e-3);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_decode, 1e6), 4e-3 / 3, 1e-9);
}

/* Short launches give a lower bound of the speed. It does not replace a measured speed, and a long launch replaces it. A measured kernel
 * that proves faster gets the new speed, but not by far more than before. */
static void test_short(void **state)
{
    struct staged staged;
    (void)state;
    stage(&staged);
    double guess = expected(&staged, HSAE_KERNEL_update, 1e12);
    add(&staged, HSAE_KERNEL_update, 100, 1e-5);
    learn(&staged);
    assert_true(knows(&staged, HSAE_KERNEL_update) && !staged.device.speed[HSAE_KERNEL_update].measured);
    near(expected(&staged, HSAE_KERNEL_update, 1e12), guess, 1e-9 * guess);
    add(&staged, HSAE_KERNEL_update, 1e8, 5e-5);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_update, 1e12), 1, 1e-9);
    add(&staged, HSAE_KERNEL_update, 1e6, 1e-3);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_update, 1e9), 1, 1e-9);
    add(&staged, HSAE_KERNEL_update, 1e4, 5e-5);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_update, 1e9), 1, 1e-9);
    add(&staged, HSAE_KERNEL_update, 1e6, 1e-3);
    add(&staged, HSAE_KERNEL_update, 1e8, 5e-5);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_update, 1e9), 1, 1e-9);
    add(&staged, HSAE_KERNEL_update, 2e5, 5e-5);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_update, 2e9), 1, 1e-9);
    add(&staged, HSAE_KERNEL_update, 1e8, 5e-5);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_update, 16e9), 1, 1e-9);
}

/* Learns from one launch of work 1e7 that took so many seconds. */
static enum hsae_speed_change learn_one(struct staged *staged, double seconds)
{
    add(staged, HSAE_KERNEL_encode, 1e7, seconds);
    return learn(staged);
}

/* Faster: at once. Slower: by half at most, as often as it is seen. */
static void test_busy_machine(void **state)
{
    struct staged staged;
    (void)state;
    stage(&staged);
    assert_int_equal(learn_one(&staged, 0.01), HSAE_SPEED_SLOWER); /* slower than the guess */
    near(expected(&staged, HSAE_KERNEL_encode, 1e9), 1, 1e-9);
    assert_int_equal(learn_one(&staged, 0.011), HSAE_SPEED_SAME);
    learn_one(&staged, 0.01);
    assert_int_equal(learn_one(&staged, 0.09), HSAE_SPEED_SLOWER);
    near(expected(&staged, HSAE_KERNEL_encode, 1e9), 2, 1e-9);
    for (int k = 0; k < 5; k++)
        learn_one(&staged, 0.09);
    near(expected(&staged, HSAE_KERNEL_encode, 1e9), 9, 1e-9);
    assert_int_equal(learn_one(&staged, 0.01), HSAE_SPEED_FASTER);
    near(expected(&staged, HSAE_KERNEL_encode, 1e9), 1, 1e-9);
}

/* A launch so long that a watchdog might kill the next makes the speed lower at once; not on a CPU, which has no watchdog. */
static void test_late(void **state)
{
    struct staged staged;
    (void)state;
    stage(&staged);
    learn_one(&staged, 0.01);
    assert_int_equal(learn_one(&staged, 0.11), HSAE_SPEED_SLOWER);
    near(expected(&staged, HSAE_KERNEL_encode, 1e9), 11, 1e-9);
    stage(&staged);
    staged.device.info.type = HSAE_DEVICE_CPU;
    learn_one(&staged, 0.01);
    assert_int_equal(learn_one(&staged, 0.11), HSAE_SPEED_SLOWER);
    near(expected(&staged, HSAE_KERNEL_encode, 1e9), 2, 1e-9);
}

/* Kernels that take little time change nothing. */
static void test_small_news(void **state)
{
    struct staged staged;
    (void)state;
    stage(&staged);
    for (int k = 0; k < 3; k++) {
        add(&staged, HSAE_KERNEL_bias, 1e6, k % 2 ? 4e-4 : 2e-4);
        assert_int_equal(learn(&staged), HSAE_SPEED_SAME);
    }
}

/* A driver whose timer stands still tells nothing. */
static void test_no_time(void **state)
{
    struct staged staged;
    (void)state;
    stage(&staged);
    add(&staged, HSAE_KERNEL_encode, 1e15, 0);
    learn(&staged);
    assert_false(knows(&staged, HSAE_KERNEL_encode));
}

/* ---- a device whose launches take as long as a test says, however busy the machine is ---- */

static double work_a_second;

static hsae_status steady_times(struct hsae_sequence *sequence, double *ns)
{
    const struct hsae_sequence_base *base = (const struct hsae_sequence_base *)sequence;
    for (uint32_t k = 0; k < base->launch_count; k++)
        ns[k] = 1e9 * base->recorded[k].work / work_a_second;
    return HSAE_OK;
}

enum { ROWS = 128, DIM = 64 };
static float data[ROWS * DIM];

struct rig {
    hsae_device *device;
    struct device_ops ops;
    hsae_config config;
    hsae_trainer *trainer;
};

static void set_up(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    if (hsae_device_open(context, "opencl:0", &rig->device)) {
        print_message("no OpenCL device\n");
        skip();
    }
    rig->ops = *rig->device->ops;
    rig->ops.sequence_times = steady_times;
    rig->device->ops = &rig->ops;
    rig->device->speed_loaded = true;
    work_a_second = 2e7;
    hsae_config_defaults(&rig->config);
    rig->config.level_count = 2;
    rig->config.levels[0] = 64;
    rig->config.levels[1] = 1024;
    rig->config.batch = ROWS;
    rig->config.steps = 1000;
    for (size_t k = 0; k < ROWS * DIM; k++)
        data[k] = (float)(k * 7919 % 1009) / 1009 - 0.5f;
}

static void tear_down(struct rig *rig)
{
    hsae_trainer_destroy(&rig->trainer);
    hsae_device_close(&rig->device);
}

/* Runs `count` steps; returns the launches of the last one. */
static uint32_t steps(struct rig *rig, int count)
{
    while (count--)
        assert_int_equal(hsae_trainer_step(rig->trainer, data, NULL), HSAE_OK);
    return hsae_sequence_launches(rig->trainer->frame[0].sequence);
}

/* The kernel of the forward pass's products. */
static enum hsae_kernel product_kernel(const struct rig *rig)
{
    const uint32_t bits = hsae_screens(rig->device);
    return bits == 8 ? HSAE_KERNEL_screen8 : bits ? HSAE_KERNEL_screen : HSAE_KERNEL_encode;
}

static void new_run(struct rig *rig)
{
    hsae_trainer_destroy(&rig->trainer);
    assert_int_equal(hsae_trainer_create_from_memory(rig->device, &rig->config, data, ROWS, DIM, &rig->trainer), HSAE_OK);
}

/* Sets the speeds that a machine would have learned on which everything took 30 times as long. */
static void forget_speed(struct rig *rig)
{
    for (size_t k = 0; k < HSAE_KERNEL_COUNT; k++)
        rig->device->speed[k].work /= 30;
}

static void test_runs(void **state)
{
    struct rig rig;
    (void)state;
    set_up(&rig);
    new_run(&rig);
    const uint32_t fresh = steps(&rig, 5);
    assert_in_range(fresh, 20, 200);
    assert_false(rig.trainer->calibrating);
    forget_speed(&rig);
    new_run(&rig);
    const uint32_t busy = hsae_sequence_launches(rig.trainer->frame[0].sequence);
    assert_true(busy > 3 * fresh);
    assert_int_equal(steps(&rig, 5), fresh);
    tear_down(&rig);
}

/* Load that comes while a run goes on, and goes. */
static void test_one_run(void **state)
{
    struct rig rig;
    (void)state;
    set_up(&rig);
    new_run(&rig);
    const uint32_t fresh = steps(&rig, 5);
    assert_true(rig.trainer->calibration.due > 0);
    work_a_second /= 30;
    for (int k = 0; k < 5; k++) {
        rig.trainer->calibration.due = 1e-9;
        steps(&rig, 1);
    }
    assert_true(steps(&rig, 1) > 3 * fresh);
    work_a_second *= 30;
    rig.trainer->calibration.due = INFINITY;
    assert_true(steps(&rig, 3) > 3 * fresh); /* no step was timed meanwhile */
    rig.trainer->calibration.due = 1e-9;
    assert_int_equal(steps(&rig, 5), fresh);
    tear_down(&rig);
}

/* A speed that is far too low is unlearnt with a finished model, too. */
static void test_session(void **state)
{
    struct rig rig;
    hsae_session *session = NULL;
    hsae_model *model = NULL;
    hsae_features features[2] = {{0}};
    (void)state;
    set_up(&rig);
    new_run(&rig);
    steps(&rig, 5);
    assert_int_equal(hsae_trainer_model(rig.trainer, &model), HSAE_OK);
    hsae_trainer_destroy(&rig.trainer);
    const enum hsae_kernel product = product_kernel(&rig);
    const double speed = rig.device->speed[product].work;
    forget_speed(&rig);
    assert_int_equal(hsae_session_create(rig.device, model, ROWS, &session), HSAE_OK);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(hsae_session_encode(session, data, ROWS, features), HSAE_OK);
        for (int l = 0; l < 2; l++)
            hsae_features_free(&features[l]);
    }
    near(rig.device->speed[product].work, speed, 1e-3 * speed);
    hsae_session_destroy(&session);
    hsae_model_free(&model);
    tear_down(&rig);
}

/* A model so small that nothing can be timed leaves a guess; a large one is cut by it, times its pieces and is cut no more. */
static void test_calibrations(void **state)
{
    struct rig rig;
    (void)state;
    set_up(&rig);
    const enum hsae_kernel product = product_kernel(&rig);
    rig.device->speed[product].work = 1; /* as after a calibration with short launches */
    new_run(&rig);
    steps(&rig, 4);
    assert_true(rig.device->speed[product].measured);
    assert_false(rig.device->speed_guessed);
    tear_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long),       cmocka_unit_test(test_uneven),       cmocka_unit_test(test_short),
        cmocka_unit_test(test_no_time),    cmocka_unit_test(test_busy_machine), cmocka_unit_test(test_late),
        cmocka_unit_test(test_small_news), cmocka_unit_test(test_runs),         cmocka_unit_test(test_one_run),
        cmocka_unit_test(test_session),    cmocka_unit_test(test_calibrations),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
