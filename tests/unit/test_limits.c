/* Devices with less than these have: the same results by smaller tiles and more pieces, or a refusal that says what is missing. */
#include "support.h"

#include "device.h"
#include "model/model.h"
#include "train/trainer.h"
#include "tune/match.h"

#include <math.h>

enum outcome { SAME, REFUSED };

/* One limit, lowered to `value`. The model of hsae_match_create: d 61, 163 features, batch 67; D has 83,456 bytes with as many free rows as
 * features, its lists of pairs up to 65,928. */
struct row {
    const char *limit;
    uint64_t value;
    enum outcome outcome;
    const char *says; /* of a refusal */
};

static const struct row rows[] = {
    {"binding", 83456, SAME, NULL},
    {"binding", 66000, SAME, NULL}, /* D in two buffers */
    {"binding", 65536, REFUSED, "constraint scalars has 65928 bytes, a kernel of this device sees at most 65536; use a smaller batch"},
    {"binding", 20000, REFUSED, "buffer batch has 24576 bytes, a kernel of this device sees at most 20000"},
    {"binding", 4096, REFUSED, "may have only 4096 bytes; at most 64 rows of width 61 fit"},
    {"allocation", 66000, SAME, NULL},
    {"allocation", 65536, REFUSED, "constraint scalars needs 65928 bytes, the device's largest buffer has 65536"},
    {"allocation", 4096, REFUSED, "may have only 4096 bytes; at most 64 rows of width 61 fit"},
    {"memory", 4 << 20, SAME, NULL},
    {"memory", 100000, REFUSED, "of 100000 in use"},
    {"group size", 64, SAME, NULL},
    {"group size", 16, SAME, NULL},
    {"group size", 1, SAME, NULL},
    {"local memory", 16384, SAME, NULL},
    {"local memory", 2048, SAME, NULL},
    {"local memory", 256, SAME, NULL},
    {"local memory", 8, SAME, NULL},
    {"local memory", 0, REFUSED, "bytes of local memory, the device allows 0; use another device"},
    {"groups", 64, SAME, NULL},
    {"groups", 7, REFUSED, "groups in y, the device allows 7; use a smaller batch"},
    {"groups, y 1", 65536, SAME, NULL},
    {"groups, y 1", 7, REFUSED, "groups in y, the device allows 1; use a smaller batch"},
    {"bindings", 21, SAME, NULL},
    {"bindings", 20, REFUSED, "update needs 21 buffers"},
    {"arguments", 128, SAME, NULL},
    {"arguments", 32, REFUSED, "and 32; use another device"},
    {"vector width", 8, SAME, NULL},
    {"vector width", 1, SAME, NULL},
};

static void lower(hsae_limits *limits, const struct row *row)
{
    const char *name = row->limit;
    uint32_t value = (uint32_t)row->value;
    if (!strcmp(name, "binding"))
        limits->max_binding_bytes = row->value;
    else if (!strcmp(name, "allocation"))
        limits->max_allocation_bytes = row->value;
    else if (!strcmp(name, "memory"))
        limits->memory_bytes = row->value;
    else if (!strcmp(name, "group size"))
        limits->max_group_size = value < limits->max_group_size ? value : limits->max_group_size;
    else if (!strcmp(name, "local memory"))
        limits->max_local_bytes = value;
    else if (!strcmp(name, "groups"))
        limits->max_groups[0] = limits->max_groups[1] = value;
    else if (!strcmp(name, "groups, y 1"))
        limits->max_groups[0] = value, limits->max_groups[1] = 1;
    else if (!strcmp(name, "bindings"))
        limits->max_bindings = value;
    else if (!strcmp(name, "arguments"))
        limits->max_args_bytes = value;
    else if (!strcmp(name, "vector width"))
        limits->vector_width = value < limits->vector_width ? value : limits->vector_width;
    else
        fail_msg("no such limit: %s", name);
}

static void check_device(const char *id)
{
    hsae_device *device = NULL;
    struct match *match = NULL;
    if (hsae_device_open(context, id, &device))
        return; /* no driver here */
    assert_ok(hsae_match_create(device, &match));
    const hsae_limits own = device->info.limits;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double off = INFINITY;
        messages[HSAE_LOG_ERROR][0] = 0;
        lower(&device->info.limits, &rows[r]);
        hsae_status status = hsae_match_check(match, &off);
        device->info.limits = own;
        bool refused = status == HSAE_ERROR_LIMIT || status == HSAE_ERROR_DEVICE_MEMORY;
        bool right = rows[r].outcome == SAME
                         ? !status && off <= 1
                         : refused && strstr(messages[HSAE_LOG_ERROR], rows[r].says) && strstr(messages[HSAE_LOG_ERROR], id);
        if (!right)
            fail_msg("%s, %s %llu: %s, off by %g, \"%s\"", id, rows[r].limit, (unsigned long long)rows[r].value, hsae_status_name(status),
                     off, messages[HSAE_LOG_ERROR]);
    }
    assert_int_equal(device->buffers, 0);
    hsae_match_destroy(&match);
    hsae_device_close(&device);
}

static void test_limits(void **state)
{
    (void)state;
    check_device("ref");
    check_device("opencl:0");
    check_device("vulkan:0");
}

/* D in four buffers, and more chunks of encode: the bits of the unlimited run. */
static void check_pieces(const char *id, uint32_t dim, uint32_t small, uint32_t large, uint64_t binding_bytes)
{
    enum { BATCH = 64, STEPS = 3 };
    hsae_device *device = NULL;
    hsae_config config;
    size_t count = (size_t)BATCH * STEPS * dim;
    float *data = malloc(count * sizeof *data);
    hsae_model *models[2] = {NULL, NULL};
    assert_non_null(data);
    uint32_t random = 1;
    for (size_t k = 0; k < count; k++) {
        random = random * 1664525u + 1013904223u;
        data[k] = (float)(random >> 8) * 0x1p-24f - 0.5f;
    }
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.levels[0] = small;
    config.levels[1] = large;
    config.target_l0[0] = config.target_l0[1] = 8;
    config.batch = BATCH;
    config.steps = STEPS;
    config.hierarchy_period = 2;
    for (int limited = 0; limited < 2 && !hsae_device_open(context, id, &device); limited++) {
        hsae_trainer *trainer = NULL;
        if (limited)
            device->info.limits.max_binding_bytes = binding_bytes;
        assert_ok(hsae_trainer_create_from_memory(device, &config, data, BATCH, dim, &trainer));
        assert_int_equal(trainer->stack.ranges, limited ? 4 : 1);
        for (int step = 0; step < STEPS; step++)
            assert_ok(hsae_trainer_step(trainer, data + (size_t)step * BATCH * dim, NULL));
        assert_ok(hsae_trainer_model(trainer, &models[limited]));
        hsae_trainer_destroy(&trainer);
        hsae_device_close(&device);
    }
    for (int l = 0; l < 2 && models[1]; l++) {
        size_t numbers = (size_t)config.levels[l] * dim;
        assert_memory_equal(models[0]->levels[l].encoder_weight, models[1]->levels[l].encoder_weight, numbers * sizeof(float));
        assert_memory_equal(models[0]->levels[l].decoder_weight, models[1]->levels[l].decoder_weight, numbers * sizeof(float));
        if (l)
            assert_memory_equal(models[0]->levels[l].parent, models[1]->levels[l].parent, config.levels[l] * sizeof(int32_t));
    }
    hsae_model_free(&models[0]);
    hsae_model_free(&models[1]);
    free(data);
}

static void test_four_buffers(void **state)
{
    (void)state;
    check_pieces("ref", 96, 200, 500, 110000);
    check_pieces("opencl:0", 96, 200, 500, 110000);
    check_pieces("vulkan:0", 96, 200, 500, 110000);
    check_pieces("opencl:0", 1024, 2048, 10240, 16 << 20);
}

/* Kernels of many shapes are compiled: they are kept. */
static int setup(void **state)
{
    if (support_setup(state))
        return -1;
    hsae_context_destroy(&context);
    return hsae_context_create(&(hsae_context_params){.log = keep_message}, &context) != HSAE_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_limits), cmocka_unit_test(test_four_buffers)};
    return cmocka_run_group_tests(tests, setup, support_teardown);
}
