/* What a plan says is what a run takes. */
#include "support.h"

#include "device.h"

enum { DIM = 61, BATCH = 67, ROWS = 4 * BATCH };

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
        assert_int_equal(device->allocated_bytes, plan->start_bytes);
        uint64_t listed = 0, host = 0;
        for (size_t k = 0; k < plan->row_count; k++)
            if (!plan->rows[k].later)
                *(plan->rows[k].host ? &host : &listed) += plan->rows[k].bytes;
        assert_int_equal(listed, plan->start_bytes);
        assert_int_equal(host, device->staging_bytes);
        for (int step = 0; step < 6; step++)
            assert_ok(hsae_trainer_step(trainer, rows + (size_t)(step % 4) * config.batch * DIM, NULL));
        /* At the start the first batch is staged, too. */
        assert_in_range(device->peak_bytes, plan->start_bytes, plan->most_bytes + device->staging_bytes + BATCH * DIM * sizeof(float));
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
    assert_true(plan->fits && plan->start_bytes <= 4 << 20);
    hsae_memory_plan_free(&plan);
    config.batch *= 2;
    assert_ok(hsae_memory_plan_make(device, &config, NULL, DIM, &plan));
    assert_false(plan->fits);
    hsae_memory_plan_free(&plan);
    device->info.limits.memory_bytes = 1000;
    assert_ok(hsae_memory_plan_make(device, &config, NULL, DIM, &plan));
    assert_int_equal(plan->fitting_batch, 0);
    assert_non_null(strstr(messages[HSAE_LOG_ERROR], "no memory for buffer"));
    hsae_memory_plan_free(&plan);
    config.batch = 0;
    assert_int_equal(hsae_memory_plan_make(device, &config, NULL, DIM, &plan), HSAE_ERROR_CONFIG);
    assert_null(plan);
    hsae_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plans), cmocka_unit_test(test_what_would_fit)};
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
