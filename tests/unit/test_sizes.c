/* SPDX-License-Identifier: MIT */
/* Sizes near every power of 2 at which 32 bits end: a plan, or a refusal that says what is too large; never a crash. */
#include "support.h"
#include "train/trainer.h"

static const uint32_t sizes[] = {
    1, 15, 16, 31, 32, 33, 1 << 16, INT32_MAX, UINT32_C(1) << 31, UINT32_MAX - 32, UINT32_MAX - 31, UINT32_MAX - 15, UINT32_MAX};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void configure(hsae_config *config, uint32_t batch, uint32_t features)
{
    hsae_config_defaults(config);
    config->level_count = 1;
    config->levels[0] = features;
    config->batch = batch;
    config->steps = 10;
    for (int l = 0; l < HSAE_MAX_LEVELS; l++)
        config->target_l0[l] = 1;
}

/* What kernels can index (device_model.c), in 64 bits. */
static bool is_too_large(uint32_t batch, uint32_t dim, uint32_t features)
{
    uint64_t padded = ((uint64_t)batch + 31) / 32 * 32, line = (uint64_t)dim + 16;
    return features > UINT32_MAX / 128 || padded > UINT32_MAX / 2 || line > UINT32_MAX / 2 || padded * line > UINT32_MAX / 2;
}

static void trainers(void **state)
{
    hsae_device *device = *state;
    for (int b = 0; b < SIZES; b++)
        for (int d = 0; d < SIZES; d++)
            for (int n = 0; n < SIZES; n++) {
                hsae_config config;
                configure(&config, sizes[b], sizes[n]);
                *messages[HSAE_LOG_ERROR] = 0;
                hsae_status status = hsae_config_resolve(context, &config, sizes[d]);
                if (sizes[n] > INT32_MAX) {
                    assert_int_equal(status, HSAE_ERROR_CONFIG);
                    continue;
                }
                assert_int_equal(status, HSAE_OK);
                status = hsae_plan_check(device, &config, sizes[d], HSAE_DTYPE_F16);
                if (is_too_large(sizes[b], sizes[d], sizes[n])) {
                    assert_int_equal(status, HSAE_ERROR_LIMIT);
                    assert_non_null(strstr(messages[HSAE_LOG_ERROR], "for 32-bit indices"));
                } else if (status) { /* too large for this machine */
                    assert_true(status == HSAE_ERROR_LIMIT || status == HSAE_ERROR_DEVICE_MEMORY || status == HSAE_ERROR_MEMORY);
                    assert_string_not_equal(messages[HSAE_LOG_ERROR], "");
                }
            }
}

/* `train` and --dry-run give one verdict. */
static void plans(void **state)
{
    hsae_device *device = *state;
    const uint32_t batches[] = {8, UINT32_MAX - 31, UINT32_MAX};
    for (int k = 0; k < 3; k++) {
        hsae_config config;
        hsae_memory_plan *plan;
        configure(&config, batches[k], 16);
        assert_int_equal(hsae_memory_plan_make(device, &config, NULL, 24, &plan), HSAE_OK);
        assert_true(plan->fits == (k == 0));
        assert_true(k == 0 || plan->fitting_batch > 0);
        hsae_memory_plan_free(&plan);
    }
}

static void sessions(void **state)
{
    hsae_device *device = *state;
    hsae_model *model;
    hsae_session *session;
    assert_int_equal(hsae_model_load(context, HSAE_GOLDEN "/eval/two-levels/model.safetensors", &model), HSAE_OK);
    for (int b = 0; b < SIZES; b++) {
        if (!is_too_large(sizes[b], hsae_model_dim(model), 16))
            continue;
        assert_int_equal(hsae_session_create(device, model, sizes[b], &session), HSAE_ERROR_LIMIT);
        assert_null(session);
    }
    hsae_model_free(&model);
}

static int setup(void **state)
{
    return support_setup(state) || hsae_device_open(context, "ref", (hsae_device **)state);
}

static int teardown(void **state)
{
    hsae_device_close((hsae_device **)state);
    return support_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(trainers), cmocka_unit_test(plans), cmocka_unit_test(sessions)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
