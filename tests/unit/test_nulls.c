/* SPDX-License-Identifier: MIT */
/* Every pointer of the public API as NULL: calls that make_nulls.py writes. */
#include "support.h"

/* One of each object, and for all other pointers memory that nothing may look at. */
struct things {
    hsae_context *context;
    hsae_device *device;
    hsae_dataset *dataset;
    hsae_model *model;
    hsae_trainer *trainer;
    hsae_session *session;
    hsae_tensor_file *tensor_file;
    uint64_t memory[4096];
    void *nothing[1];
};

static void expect_refused(const struct things *things, const char *function, const char *argument, hsae_status status)
{
    (void)things;
    if (status != HSAE_ERROR_ARGUMENT)
        fail_msg("%s with %s = NULL: %s", function, argument, hsae_status_name(status));
    /* Without a context, or an object that has one, no log can be written. */
    if (*messages[HSAE_LOG_ERROR] && !strstr(messages[HSAE_LOG_ERROR], function))
        fail_msg("%s with %s = NULL says: %s", function, argument, messages[HSAE_LOG_ERROR]);
    *messages[HSAE_LOG_ERROR] = 0;
}

static void expect_nothing(const char *function, bool nothing)
{
    if (!nothing)
        fail_msg("%s of NULL gives something", function);
}

static void expect_zeros(const char *function, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        expect_nothing(function, !bytes[i]);
}

#include "nulls.inc"

static void nulls(void **state)
{
    (void)state;
    struct things things = {.context = context};
    const char *path = HSAE_GOLDEN "/eval/two-levels/data.safetensors", *model = HSAE_GOLDEN "/eval/two-levels/model.safetensors";
    hsae_config config;
    assert_int_equal(hsae_device_open(context, "ref", &things.device), HSAE_OK);
    assert_int_equal(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1}, &things.dataset), HSAE_OK);
    assert_int_equal(hsae_model_load(context, model, &things.model), HSAE_OK);
    assert_int_equal(hsae_session_create(things.device, things.model, 8, &things.session), HSAE_OK);
    assert_int_equal(hsae_tensor_file_open(context, model, &things.tensor_file), HSAE_OK);
    hsae_config_defaults(&config);
    config.level_count = 1;
    config.levels[0] = 8;
    config.batch = 8;
    config.steps = 4;
    for (int l = 0; l < HSAE_MAX_LEVELS; l++)
        config.target_l0[l] = 2;
    assert_int_equal(hsae_trainer_create(things.device, &config, things.dataset, &things.trainer), HSAE_OK);

    call_all(&things);
    for (size_t i = 0; i < sizeof things.memory / sizeof *things.memory; i++)
        assert_true(things.memory[i] == 0);
    assert_null(hsae_dataset_file(things.dataset, SIZE_MAX));
    assert_null(hsae_tensor_file_at(things.tensor_file, SIZE_MAX));
    assert_int_equal(hsae_model_level(things.model, UINT32_MAX).features, 0);

    hsae_trainer_destroy(&things.trainer);
    hsae_tensor_file_close(&things.tensor_file);
    hsae_session_destroy(&things.session);
    hsae_model_free(&things.model);
    hsae_dataset_close(&things.dataset);
    hsae_device_close(&things.device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nulls)};
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
