/* SPDX-License-Identifier: MIT */
/* What a plan says is what a run takes. */
#include "support.h"

#include "device/device.h"

enum { DIM = 61, BATCH = 67, ROWS = 512 };

static float rows[ROWS * DIM];

static hsae_config make_config(int number)
{
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = 3;
    config.levels[0] = 19;
    config.levels[1] = 41;
    config.levels[2] = number ? 303 : 103;
    for (int l = 0; l < 3; l++)
        config.target_l0[l] = config.init_l0[l] = 3;
    config.batch = number ? BATCH : 32;
    config.steps = 6;
    config.hierarchy_period = 2;
    config.dead_steps = 1;
    config.ghost = true;
    config.similarity = number ? HSAE_SIMILARITY_COACTIVATION : HSAE_SIMILARITY_ENCODER;
    return config;
}

static void check_device(const char *id)
{
    hsae_device *device = NULL;
    if (hsae_device_open(context, id, &device))
        return; /* no driver here */
    for (int number = 0; number < 2; number++) {
        hsae_config config = make_config(number);
        hsae_memory_plan *plan = NULL;
        hsae_trainer *trainer = NULL;
        assert_ok(hsae_memory_plan_make(device, &config, NULL, DIM, &plan));
        assert_true(plan->fits);
        assert_int_equal(device->buffers, 0);
        device->peak_bytes = 0;
        assert_ok(hsae_trainer_create_from_memory(device, &config, rows, ROWS, DIM, &trainer));
        assert_int_equal(device->allocated_bytes, plan->initial_bytes);
        uint64_t listed = 0, host = 0;
        for (size_t k = 0; k < plan->row_count; k++)
            if (!plan->rows[k].allocated_later)
                *(plan->rows[k].host ? &host : &listed) += plan->rows[k].bytes;
        assert_int_equal(listed, plan->initial_bytes);
        assert_int_equal(host, device->staging_bytes);
        for (int step = 0; step < 6; step++)
            assert_ok(hsae_trainer_step(trainer, rows + (size_t)(step % 4) * config.batch * DIM, NULL));
        /* At the start the first batch is staged, too. */
        assert_in_range(device->peak_bytes, plan->initial_bytes, plan->peak_bytes + device->staging_bytes + BATCH * DIM * sizeof(float));
        hsae_trainer_destroy(&trainer);
        hsae_memory_plan_free(&plan);
    }
    hsae_device_close(&device);
}

static void test_plans(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        rows[k] = (float)((k * 2654435761u >> 8) % 4096) / 4096 - 0.5f;
    check_device("ref");
    check_device("opencl:0");
    check_device("vulkan:0");
}

/* A device too small for the run: no error, but what would fit. */
static void test_what_would_fit(void **state)
{
    (void)state;
    hsae_device *device = NULL;
    hsae_memory_plan *plan = NULL;
    hsae_config config = make_config(1);
    config.batch = 4096;
    assert_ok(hsae_device_open(context, "ref", &device));
    device->info.limits.memory_bytes = 4 << 20;
    assert_ok(hsae_memory_plan_make(device, &config, NULL, DIM, &plan));
    assert_false(plan->fits);
    assert_in_range(plan->fitting_batch, 16, 2048);
    config.batch = plan->fitting_batch;
    hsae_memory_plan_free(&plan);
    assert_ok(hsae_memory_plan_make(device, &config, NULL, DIM, &plan));
    assert_true(plan->fits && plan->initial_bytes <= 4 << 20);
    hsae_memory_plan_free(&plan);
    config.batch *= 2;
    assert_ok(hsae_memory_plan_make(device, &config, NULL, DIM, &plan));
    assert_false(plan->fits);
    hsae_memory_plan_free(&plan);
    device->info.limits.memory_bytes = 1000;
    assert_ok(hsae_memory_plan_make(device, &config, NULL, DIM, &plan));
    assert_int_equal(plan->fitting_batch, 0);
    assert_int_equal(plan->fitting_levels[0], 0);
    assert_non_null(strstr(messages[HSAE_LOG_ERROR], "the device has 1000; the largest part, "));
    hsae_memory_plan_free(&plan);
    config.batch = 0;
    assert_int_equal(hsae_memory_plan_make(device, &config, NULL, DIM, &plan), HSAE_ERROR_CONFIG);
    assert_null(plan);
    hsae_device_close(&device);
}

static void assert_levels(const hsae_config *config, uint32_t count, uint32_t last)
{
    assert_int_equal(config->level_count, count);
    for (uint32_t l = 0; l < count; l++)
        assert_int_equal(config->levels[l], last >> (count - 1 - l));
}

/* Levels that nobody gives follow from rows, width, target and the device's memory. */
static void test_levels(void **state)
{
    (void)state;
    hsae_config config;
    hsae_device *device = NULL;
    hsae_config_defaults(&config);
    config.steps = 10;
    hsae_levels_choose(NULL, &config, 2304, 100000000);
    assert_levels(&config, 4, 16384); /* the paper's */
    hsae_levels_choose(NULL, &config, 576, 100000000);
    assert_levels(&config, 4, 4096); /* by the width */
    hsae_levels_choose(NULL, &config, 576, 98304);
    assert_levels(&config, 4, 4096);
    hsae_levels_choose(NULL, &config, 576, 20000);
    assert_levels(&config, 3, 1024); /* by the rows, 2000; 128 features are too few for 50 active ones */
    hsae_levels_choose(NULL, &config, 576, 1);
    assert_levels(&config, 1, 256); /* at least four times the target */
    assert_ok(hsae_config_set(context, &config, "target_l0", "3,7,16"));
    hsae_levels_choose(NULL, &config, 576, 20000);
    assert_levels(&config, 3, 512); /* a level for each target */
    assert_ok(hsae_config_resolve(context, &config, 576));

    hsae_config_defaults(&config);
    config.steps = 10;
    assert_ok(hsae_device_open(context, "ref", &device));
    hsae_levels_choose(device, &config, 576, 100000000);
    assert_levels(&config, 4, 4096);
    device->info.limits.memory_bytes = 20 << 20;
    hsae_levels_choose(device, &config, 576, 100000000);
    assert_true(config.levels[config.level_count - 1] < 4096);
    hsae_memory_plan *plan = NULL;
    assert_ok(hsae_memory_plan_make(device, &config, NULL, 576, &plan));
    assert_true(plan->fits);
    hsae_memory_plan_free(&plan);
    hsae_device_close(&device);
}

/* ---- a lesser device: what the plan says fits does, and twice that does not ---- */

static hsae_status train(hsae_device *device, const hsae_config *config)
{
    hsae_trainer *trainer = NULL;
    hsae_status status = hsae_trainer_create_from_memory(device, config, rows, ROWS, DIM, &trainer);
    for (int step = 0; step < 2 && !status; step++)
        status = hsae_trainer_step(trainer, rows, NULL);
    hsae_trainer_destroy(&trainer);
    return status;
}

static void check_fit(hsae_device *device, hsae_config config, const hsae_memory_plan *plan, bool batch, bool levels, bool memory)
{
    if (batch)
        config.batch = plan->fitting_batch;
    for (uint32_t l = 0; l < config.level_count && levels; l++)
        config.levels[l] = plan->fitting_levels[l];
    assert_ok(train(device, &config));
    if (batch)
        config.batch *= 2;
    for (uint32_t l = 0; l < config.level_count && levels; l++)
        config.levels[l] *= 2;
    hsae_memory_plan *twice = NULL;
    assert_ok(hsae_memory_plan_make(device, &config, NULL, DIM, &twice));
    assert_false(twice->fits);
    hsae_memory_plan_free(&twice);
    if (memory) /* what a limit of buffers forbids may be needed for dead features only */
        assert_int_equal(train(device, &config), HSAE_ERROR_DEVICE_MEMORY);
}

/* Refused by a lowered limit: then what fits, by batch alone and by levels alone (0: no), or by both. */
struct lesser {
    uint64_t memory, binding;
    uint32_t groups, bindings, batch, levels;
    bool needs_both;
};

static void check_lesser(const char *id, const struct lesser *lesser)
{
    hsae_device *device = NULL;
    hsae_memory_plan *plan = NULL;
    hsae_config config = make_config(0);
    config.batch = 256;
    for (int l = 0; l < 3; l++) {
        config.levels[l] = 64U << 2 * l;
        config.target_l0[l] = 2;
        config.init_l0[l] = 0;
    }
    config.hierarchy_period = 100;
    config.dead_steps = 100;
    if (hsae_device_open(context, id, &device))
        return;
    hsae_limits *limits = &device->info.limits;
    limits->memory_bytes = lesser->memory ? lesser->memory : limits->memory_bytes;
    limits->max_binding_bytes = lesser->binding ? lesser->binding : limits->max_binding_bytes;
    limits->max_groups[0] = limits->max_groups[1] = lesser->groups ? lesser->groups : 65535;
    limits->max_bindings = lesser->bindings ? lesser->bindings : limits->max_bindings;
    assert_ok(hsae_memory_plan_make(device, &config, NULL, DIM, &plan));
    if (plan->fits || plan->fitting_batch != lesser->batch || plan->fitting_levels[0] != lesser->levels ||
        plan->needs_both != lesser->needs_both)
        fail_msg("%s: fits %d, batch %u, levels from %u, only both %d: %s", id, plan->fits, plan->fitting_batch, plan->fitting_levels[0],
                 plan->needs_both, messages[HSAE_LOG_ERROR]);
    if (plan->needs_both)
        check_fit(device, config, plan, true, true, lesser->memory);
    else if (plan->fitting_batch)
        check_fit(device, config, plan, true, false, lesser->memory);
    if (!plan->needs_both && plan->fitting_levels[0])
        check_fit(device, config, plan, false, true, lesser->memory);
    hsae_memory_plan_free(&plan);
    hsae_device_close(&device);
}

static void test_lesser_devices(void **state)
{
    (void)state;
    static const char *const ids[] = {"ref", "opencl:0", "vulkan:0"};
    static const struct lesser all[] = {
        {.memory = 3 << 20, .batch = 128, .levels = 32},
        {.memory = 2 << 20, .batch = 32, .levels = 16},
        {.memory = 1 << 20, .levels = 4},
        {.memory = 1 << 19, .batch = 32, .levels = 8, .needs_both = true},
        {.binding = 60000, .batch = 64, .levels = 16, .needs_both = true},
        {.binding = 30000, .batch = 32, .levels = 8, .needs_both = true},
        {.groups = 4},
        {.bindings = 20},
    };
    for (size_t device = 0; device < 3; device++)
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            check_lesser(ids[device], &all[k]);
}

/* A trainer's own plan says at the start, and where it is refused, what the plan says that is made alone. */
static void test_plan_of_trainer(void **state)
{
    hsae_device *device = NULL;
    hsae_dataset *data = NULL;
    hsae_trainer *trainer = NULL;
    hsae_config config = make_config(0), wrong = config;
    (void)state;
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_ok(hsae_dataset_from_memory(context, rows, HSAE_DTYPE_F32, ROWS, DIM, &data));
    const uint64_t memory[] = {device->info.limits.memory_bytes, 200000, 20000};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        hsae_memory_plan *alone = NULL, *own = NULL;
        device->info.limits.memory_bytes = memory[i];
        assert_ok(hsae_memory_plan_make(device, &config, data, 0, &alone));
        hsae_status status = hsae_trainer_create_planned(device, &config, data, &own, &trainer);
        assert_int_equal(status, i ? HSAE_ERROR_DEVICE_MEMORY : HSAE_OK);
        assert_true((trainer != NULL) == (i == 0) && own->fits == alone->fits && own->fits == (i == 0));
        assert_true(own->initial_bytes == alone->initial_bytes && own->host_bytes == alone->host_bytes);
        assert_true(own->available_bytes == memory[i] && own->needs_both == alone->needs_both);
        assert_true((i == 1) == (own->fitting_batch || own->fitting_levels[0]) && own->fitting_batch == alone->fitting_batch);
        assert_memory_equal(own->fitting_levels, alone->fitting_levels, sizeof own->fitting_levels);
        hsae_trainer_destroy(&trainer);
        hsae_memory_plan_free(&own);
        hsae_memory_plan_free(&alone);
    }
    hsae_memory_plan *none = NULL;
    wrong.batch = ROWS + 1;
    assert_int_equal(hsae_trainer_create_planned(device, &wrong, data, &none, &trainer), HSAE_ERROR_DATA);
    assert_null(none);
    hsae_dataset_close(&data);
    hsae_device_close(&device);
}

/* The paper's step as a GPU with 8 GB gets it. Each launch of a small kernel leaves most of such a device idle. */
static void test_launches(void **state)
{
    (void)state;
    enum { MOST = 20 };
    hsae_device *device = NULL;
    hsae_memory_plan *plan = NULL;
    hsae_config config;
    hsae_config_defaults(&config);
    config.steps = 10;
    hsae_levels_choose(NULL, &config, 2304, 100000000);
    assert_ok(hsae_device_open(context, "ref", &device));
    device->info.backend = HSAE_BACKEND_VULKAN;
    device->info.type = HSAE_DEVICE_DISCRETE;
    device->vendor = 0x10de;
    device->info.limits.memory_bytes = UINT64_C(8) << 30;
    device->info.limits.max_local_bytes = 48 << 10;
    device->info.limits.max_group_size = 1024;
    device->speed_loaded = true;
    for (int k = 0; k < HSAE_KERNEL_COUNT; k++) /* no launch is long enough to be cut */
        device->speed[k] = (struct hsae_speed){.work = 1e13, .measured = true};
    assert_ok(hsae_memory_plan_make(device, &config, NULL, 2304, &plan));
    assert_true(plan->fits);
    print_message("%u launches\n", plan->launches);
    assert_in_range(plan->launches, 1, MOST);
    hsae_memory_plan_free(&plan);
    hsae_device_close(&device);
}

static int setup(void **state)
{
    if (support_setup(state))
        return -1;
    hsae_context_destroy(&context);
    return hsae_context_create(&(hsae_context_params){.log = keep_message}, &context) != HSAE_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plans),           cmocka_unit_test(test_what_would_fit),
                                       cmocka_unit_test(test_levels),          cmocka_unit_test(test_lesser_devices),
                                       cmocka_unit_test(test_plan_of_trainer), cmocka_unit_test(test_launches)};
    return cmocka_run_group_tests(tests, setup, support_teardown);
}
