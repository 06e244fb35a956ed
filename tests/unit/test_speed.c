#include "support.h"

#include "speed.h"
#include "train/shape.h"

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
    staged->sequence =
        (struct hsae_sequence_base){.device = &staged->device, .timed = true, .ticket = 1, .recorded = staged->recorded, .label = "lesson"};
}

static void add(struct staged *staged, enum hsae_kernel kernel, double work, double seconds)
{
    uint32_t at = staged->sequence.launch_count++;
    staged->recorded[at] = (struct hsae_recorded){.kernel = kernel, .work = work};
    staged_ns[at] = 1e9 * seconds;
}

static void learn(struct staged *staged)
{
    assert_int_equal(hsae_speed_learn(&staged->device, (struct hsae_sequence *)&staged->sequence), HSAE_OK);
    staged->sequence.launch_count = 0;
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
    assert_false(hsae_speed_known(&staged.device));
    add(&staged, HSAE_KERNEL_encode, 2e6, 0.001);
    add(&staged, HSAE_KERNEL_encode, 4e6, 0.002);
    add(&staged, HSAE_KERNEL_encode, 1, 1e-5);
    learn(&staged);
    assert_true(hsae_speed_known(&staged.device) && staged.device.speed[HSAE_KERNEL_encode].measured);
    near(expected(&staged, HSAE_KERNEL_encode, 2e9), 1, 1e-9);
    assert_false(staged.device.speed[HSAE_KERNEL_decode].work > 0);
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

/* Short ones tell how fast it is at least; that takes no knowledge away, and a long one replaces it. */
static void test_short(void **state)
{
    struct staged staged;
    (void)state;
    stage(&staged);
    double guess = expected(&staged, HSAE_KERNEL_update, 1e12);
    add(&staged, HSAE_KERNEL_update, 100, 1e-5);
    learn(&staged);
    assert_true(hsae_speed_known(&staged.device) && !staged.device.speed[HSAE_KERNEL_update].measured);
    near(expected(&staged, HSAE_KERNEL_update, 1e12), guess, 1e-9 * guess);
    add(&staged, HSAE_KERNEL_update, 1e8, 5e-5);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_update, 1e12), 1, 1e-9);
    add(&staged, HSAE_KERNEL_update, 1e6, 1e-3);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_update, 1e9), 1, 1e-9);
    add(&staged, HSAE_KERNEL_update, 1e8, 5e-5);
    learn(&staged);
    near(expected(&staged, HSAE_KERNEL_update, 1e9), 1, 1e-9);
}

/* A driver whose timer stands still tells nothing. */
static void test_no_time(void **state)
{
    struct staged staged;
    (void)state;
    stage(&staged);
    add(&staged, HSAE_KERNEL_encode, 1e15, 0);
    learn(&staged);
    assert_false(hsae_speed_known(&staged.device));
}

/* A model so small that nothing can be timed leaves a guess; a large one is cut by it, times its pieces and is cut no more. */
static void test_lessons(void **state)
{
    static const uint32_t levels[] = {64, 4096};
    hsae_device *device = NULL;
    (void)state;
    if (hsae_device_open(context, "opencl:0", &device)) {
        print_message("no OpenCL device\n");
        skip();
    }
    memset(device->speed, 0, sizeof device->speed);
    enum hsae_kernel product = hsae_screens(device) ? HSAE_KERNEL_screen : HSAE_KERNEL_encode;
    device->speed[product].work = 1; /* as after a lesson of short launches */
    device->speed_loaded = true;
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = 2;
    memcpy(config.levels, levels, sizeof levels);
    config.batch = 512;
    config.steps = 10;
    float *data = calloc(512 * 256, sizeof *data);
    assert_non_null(data);
    for (size_t k = 0; k < 512 * 256; k++)
        data[k] = (float)(k * 7919 % 1009) / 1009 - 0.5f;
    hsae_trainer *trainer = NULL;
    assert_int_equal(hsae_trainer_create_from_memory(device, &config, data, 512, 256, &trainer), HSAE_OK);
    for (int step = 0; step < 4; step++)
        assert_int_equal(hsae_trainer_step(trainer, data, NULL), HSAE_OK);
    assert_true(device->speed[product].measured);
    assert_false(device->speed_guessed);
    hsae_trainer_destroy(&trainer);
    hsae_device_close(&device);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long),    cmocka_unit_test(test_uneven),  cmocka_unit_test(test_short),
        cmocka_unit_test(test_no_time), cmocka_unit_test(test_lessons),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
