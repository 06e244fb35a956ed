/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "device/shape.h"
#include "device/tuning_file.h"
#include "tune/match.c" /* to change what is compared */

/* An OpenCL CPU device with vectors of 16 floats, complete enough to choose shapes. */
static struct hsae_device make_device(void)
{
    struct hsae_device device = {.context = context};
    hsae_device_info *info = &device.info;
    info->backend = HSAE_BACKEND_OPENCL;
    info->type = HSAE_DEVICE_CPU;
    info->limits.max_group_size = 256;
    info->limits.max_local_bytes = 32768;
    info->limits.vector_width = 16;
    snprintf(info->id, sizeof info->id, "opencl:0");
    snprintf(info->name, sizeof info->name, "a \"quoted\" CPU");
    snprintf(info->driver, sizeof info->driver, "driver 1");
    return device;
}

static void parse(struct hsae_device *device, const char *kernels)
{
    char text[2048];
    snprintf(text, sizeof text,
             "{\"format\": \"hsae tuning 1\", \"devices\": [{\"name\": \"a \\\"quoted\\\" CPU\", \"driver\": \"driver 1\", "
             "\"backend\": \"opencl\", \"type\": \"cpu\", \"kernels\": %s}]}",
             kernels);
    messages[HSAE_LOG_WARNING][0] = '\0';
    hsae_tuning_parse(device, text, strlen(text), "FILE");
}

static void assert_warned(const char *text)
{
    if (!strstr(messages[HSAE_LOG_WARNING], text) || !strstr(messages[HSAE_LOG_WARNING], "FILE"))
        fail_msg("\"%s\" lacks \"%s\"", messages[HSAE_LOG_WARNING], text);
    messages[HSAE_LOG_WARNING][0] = '\0';
}

static uint32_t columns_of(const struct hsae_device *device, enum hsae_kernel kernel)
{
    return hsae_shape(device, kernel, 2).columns;
}

static void test_lookup(void **state)
{
    (void)state;
    struct hsae_device device = make_device();
    assert_int_equal(columns_of(&device, HSAE_KERNEL_encode), 12);
    parse(&device, "{\"encode\": {\"group_size\": 1, \"columns\": 10, \"vector_width\": 16, \"default_ms\": 2.5}}");
    assert_string_equal(messages[HSAE_LOG_WARNING], "");
    struct hsae_kernel_shape shape = hsae_shape(&device, HSAE_KERNEL_encode, 2);
    assert_true(shape.group_size == 1 && shape.columns == 10 && shape.vector_width == 16 && shape.ranges == 2);
    assert_int_equal(columns_of(&device, HSAE_KERNEL_decode), 12); /* not in the file */
    parse(&device, "{}");
    assert_int_equal(columns_of(&device, HSAE_KERNEL_encode), 12);
}

/* Each bad entry is a warning; good entries in the same file hold. */
static void test_bad_entries(void **state)
{
    (void)state;
    static const struct {
        const char *kernel, *warning;
    } cases[] = {
        {"\"encod\": {\"group_size\": 1, \"columns\": 10, \"vector_width\": 16}", "encod"},
        {"\"encode\": {\"group_size\": 1, \"vector_width\": 16}", "columns is missing"},
        {"\"encode\": {\"group_size\": 1, \"columns\": \"10\", \"vector_width\": 16}", "columns is not a number"},
        {"\"encode\": {\"group_size\": 1, \"columns\": -1, \"vector_width\": 16}", "columns is not a number"},
        {"\"encode\": {\"group_size\": 1, \"columns\": 1e1, \"vector_width\": 16}", "columns is not a number"},
        {"\"encode\": {\"group_size\": 1, \"columns\": 4294967297, \"vector_width\": 16}", "columns is not a number"},
        {"\"encode\": {\"group_size\": 1, \"columns\": 10, \"vector_width\": 16, \"tile_step\": null}", "tile_step"},
        {"\"encode\": {\"group_size\": 0, \"columns\": 10, \"vector_width\": 16}", "no shape"},
        {"\"encode\": {\"group_size\": 1, \"columns\": 10, \"vector_width\": 32}", "no shape"},
        {"\"update\": {\"group_size\": 8, \"columns\": 4, \"vector_width\": 16}", "no shape"},
        {"\"lists_fill\": {\"group_size\": 512, \"columns\": 1, \"vector_width\": 16}", "no shape"},
        {"\"encode\": [1, 2]", "group_size is missing"},
        {"\"encode\": null", "group_size is missing"},
    };
    struct hsae_device device = make_device();
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char text[1024];
        snprintf(text, sizeof text, "{\"decode\": {\"group_size\": 1, \"columns\": 8, \"vector_width\": 16}, %s}", cases[k].kernel);
        parse(&device, text);
        assert_warned(cases[k].warning);
        assert_int_equal(columns_of(&device, HSAE_KERNEL_encode), 12);
        assert_int_equal(hsae_shape(&device, HSAE_KERNEL_update, 1).group_size, 1);
        assert_int_equal(columns_of(&device, HSAE_KERNEL_decode), 8);
    }
}

static void test_bad_files(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "{}",
                                        "null",
                                        "{\"format\": \"hsae tuning 2\", \"devices\": []}",
                                        "{\"format\": \"hsae tuning 1\", \"devices\": {}}",
                                        "{\"format\": 1, \"format\": 1}",
                                        "\xff\xfe"};
    struct hsae_device device = make_device();
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        hsae_tuning_parse(&device, texts[k], strlen(texts[k]), "FILE");
        assert_warned("ignored");
        assert_int_equal(columns_of(&device, HSAE_KERNEL_encode), 12);
    }
    parse(&device, "[]"); /* no object of kernels: no kernels */
    assert_int_equal(columns_of(&device, HSAE_KERNEL_encode), 12);
}

/* Written, read again, other devices kept, the device's own entry replaced. */
static void test_round_trip(void **state)
{
    (void)state;
    const char *path = scratch("tuning.json");
    struct hsae_device device = make_device(), other = make_device();
    snprintf(other.info.driver, sizeof other.info.driver, "driver 2");
    device.tuning.shape[HSAE_KERNEL_update] = (struct hsae_kernel_shape){.group_size = 1, .columns = 8, .ranges = 1, .vector_width = 16};
    other.tuning.shape[HSAE_KERNEL_update] = (struct hsae_kernel_shape){.group_size = 1, .columns = 6, .ranges = 1, .vector_width = 8};
    assert_ok(hsae_tune_save(&device, NULL, path));
    assert_ok(hsae_tune_save(&other, NULL, path));
    device.tuning.shape[HSAE_KERNEL_update].columns = 3;
    assert_ok(hsae_tune_save(&device, NULL, path));

    support_settings((hsae_context_params){.tuning = path});
    struct hsae_device first = make_device(), second = make_device();
    snprintf(second.info.driver, sizeof second.info.driver, "driver 2");
    hsae_tuning_load(&first);
    hsae_tuning_load(&second);
    assert_int_equal(columns_of(&first, HSAE_KERNEL_update), 3);
    assert_int_equal(columns_of(&second, HSAE_KERNEL_update), 6);
    assert_int_equal(hsae_shape(&second, HSAE_KERNEL_update, 1).vector_width, 8);
    first.tuning.shape[HSAE_KERNEL_update].columns = 1; /* read once only */
    hsae_tuning_load(&first);
    assert_int_equal(columns_of(&first, HSAE_KERNEL_update), 1);

    support_settings((hsae_context_params){.tuning = "off"});
    struct hsae_device third = make_device();
    hsae_tuning_load(&third);
    assert_int_equal(columns_of(&third, HSAE_KERNEL_update), 256);
    assert_null(hsae_tune_path(context));
    support_settings((hsae_context_params){0});
    assert_null(hsae_tune_path(context)); /* the context has no folder */
}

static void test_missing_and_foreign_files(void **state)
{
    (void)state;
    const char *path = scratch("none.json"), *foreign = scratch("foreign.json");
    support_settings((hsae_context_params){.tuning = path});
    struct hsae_device device = make_device();
    hsae_tuning_load(&device);
    support_settings((hsae_context_params){0});
    device.context = context;
    assert_non_null(strstr(messages[HSAE_LOG_WARNING], "none.json"));
    write_file(foreign, "{\"mine\": 1}", 11);
    assert_fails(hsae_tune_save(&device, NULL, foreign), HSAE_ERROR_FORMAT, "foreign.json", "not a tuning file", NULL);
    size_t size;
    unsigned char *data = read_file(foreign, &size);
    assert_string_equal((char *)data, "{\"mine\": 1}");
    free(data);
    assert_fails(hsae_tune_save(&device, NULL, scratch("no/such/folder")), HSAE_ERROR_FILE, "no/such/folder", NULL);
}

/* The device that everything is compared with agrees with itself, and not with one that does something else, however little. */
static void test_match(void **state)
{
    (void)state;
    hsae_device *device = NULL;
    struct match *match = NULL;
    double off;
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_ok(hsae_match_create(device, &match));
    assert_ok(hsae_match_check(match, &off));
    assert_true(off == 0);
    const struct snapshot *snapshot = &match->reference;
    int dead = 0, parents = 0;
    for (int i = 0; i < 103; i++) {
        dead += snapshot->state->levels[2].last_fired[i] < STEPS - 1;
        parents += snapshot->model->levels[2].parent[i] >= 0;
    }
    assert_true(dead > 0 && parents > 0); /* ghost gradients and families take part */

    match->config.rho *= 1.01;
    assert_ok(hsae_match_check(match, &off));
    assert_true(off > 1);
    match->config = make_config();
    match->config.ghost = false;
    assert_ok(hsae_match_check(match, &off));
    assert_true(off > 1);
    match->config = make_config();
    match->rows[(CALIBRATION + BATCH) * DIM + 7] += 0.01f; /* a number of one sample of one step */
    assert_ok(hsae_match_check(match, &off));
    assert_true(off > 1);
    hsae_match_destroy(&match);
    hsae_device_close(&device);
}

/* Whatever the search finds on a real device, it is in the search space, and what it says of it is consistent. */
static void test_search(void **state)
{
    (void)state;
    hsae_device *device = NULL;
    hsae_tune_params params = {.kernel = "family_dot", .seconds = 4};
    hsae_tune_result result;
    assert_ok(hsae_bench_preset(context, "tiny", &params.work));
    params.work.steps = 3;
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_fails(hsae_tune(device, &params, &result), HSAE_ERROR_UNSUPPORTED, "ref", NULL);
    hsae_device_close(&device);
    if (hsae_device_open(context, "opencl:0", &device))
        skip();
    params.kernel = "family_do";
    assert_fails(hsae_tune(device, &params, &result), HSAE_ERROR_ARGUMENT, "family_do", "family_dot", NULL);
    params.kernel = "family_dot";
    assert_ok(hsae_tune(device, &params, &result));
    assert_int_equal(result.kernel_count, 1);
    const hsae_tune_kernel *kernel = &result.kernels[0];
    assert_string_equal(kernel->name, "family_dot");
    assert_true(kernel->tried >= 1 && kernel->tried <= kernel->shapes);
    assert_int_equal(kernel->rejected, 0);
    assert_true(kernel->tuned_seconds <= kernel->default_seconds && kernel->tuned_seconds > 0);
    assert_true(result.complete == (kernel->tried == kernel->shapes));
    assert_int_equal(device->tuning.shape[HSAE_KERNEL_family_dot].group_size != 0, kernel->changed && !result.refused);
    assert_true(result.refused == !(kernel->changed ? result.tuned_step < result.default_step : result.tuned_step == result.default_step));
    assert_int_equal(device->tuning.shape[HSAE_KERNEL_encode].group_size, 0);
    assert_true(device->buffers == 0 && device->sequences == 0);
    hsae_device_close(&device);
}

/* A search that is stopped leaves no trace. */
static bool stop_later(void *user, const char *what)
{
    int *left = user;
    return !strstr(what, "family_dot") || (*left)-- > 0;
}

static void test_cancel(void **state)
{
    (void)state;
    hsae_device *device = NULL;
    int left = 7;
    hsae_tune_params params = {.kernel = "family_dot", .progress = stop_later, .user = &left};
    hsae_tune_result result;
    assert_ok(hsae_bench_preset(context, "tiny", &params.work));
    if (hsae_device_open(context, "opencl:0", &device))
        skip();
    struct hsae_kernel_shape known = {.group_size = 1, .columns = 2, .ranges = 1, .vector_width = 4};
    device->tuning = (struct hsae_tuning){.loaded = true, .shape[HSAE_KERNEL_family_dot] = known};
    assert_int_equal(hsae_tune(device, &params, &result), HSAE_CANCELLED);
    assert_memory_equal(&device->tuning.shape[HSAE_KERNEL_family_dot], &known, sizeof known);
    assert_true(device->buffers == 0 && device->sequences == 0);
    hsae_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_bad_entries),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_missing_and_foreign_files),
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests_name("tune", tests, support_setup, support_teardown);
}
