/* SPDX-License-Identifier: MIT */
/* Devices with less than these have: the same results by smaller tiles and more pieces, or a refusal that says what is missing. */
#include "support.h"

#include "device/device.h"
#include "device/shape.h"
#include "model/model.h"
#include "train/trainer.h"
#include "tune/match.h"

#ifdef HSAE_HAVE_OPENCL
#include "opencl/opencl_device.h"
#endif
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
    {"binding", 65536, SAME, NULL}, /* and shorter lists of pairs at first */
    {"binding", 30000, SAME, NULL},
    {"binding", 20000, REFUSED,
     "buffer batch needs 24576 bytes, a buffer that a kernel of this device sees may have 20000; with a batch of at most 64 it fits"},
    {"binding", 4096, REFUSED, "may have only 4096 bytes; at most 64 rows of width 61 fit"},
    {"allocation", 66000, SAME, NULL},
    {"allocation", 30000, SAME, NULL},
    {"allocation", 20000, REFUSED,
     "buffer batch needs 24576 bytes, a buffer that a kernel of this device sees may have 20000; with a batch of at most 64 it fits"},
    {"allocation", 4096, REFUSED, "may have only 4096 bytes; at most 64 rows of width 61 fit"},
    {"memory", 4 << 20, SAME, NULL},
    {"memory", 100000, REFUSED, "the device has 100000"},
    {"group size", 64, SAME, NULL},
    {"group size", 16, SAME, NULL},
    {"group size", 1, SAME, NULL},
    {"local memory", 16384, SAME, NULL},
    {"local memory", 2048, SAME, NULL},
    {"local memory", 256, SAME, NULL},
    {"local memory", 16, SAME, NULL},
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

/* A training that a small limit on bindings cuts into pieces. */
struct pieces {
    uint32_t dim, level_count, levels[HSAE_MAX_LEVELS];
    double target_l0;
    uint64_t binding_bytes;
    uint32_t ranges, residual_levels; /* buffers of D, levels in a buffer of residuals */
};

/* D in several buffers, more chunks of encode, more launches of decode and bias: the bits of the unlimited run. */
static void check_pieces(const char *id, const struct pieces *pieces)
{
    enum { BATCH = 64, STEPS = 3 };
    hsae_device *device = NULL;
    hsae_config config;
    uint32_t dim = pieces->dim, level_count = pieces->level_count;
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
    config.level_count = level_count;
    for (uint32_t l = 0; l < level_count; l++) {
        config.levels[l] = pieces->levels[l];
        config.target_l0[l] = pieces->target_l0;
    }
    config.batch = BATCH;
    config.steps = 2 * STEPS; /* the last step of a run has a learning rate of 0 */
    config.hierarchy_period = 2;
    config.perturb = 0.3; /* of the third step: it has a tree */
    for (int limited = 0; limited < 2 && !hsae_device_open(context, id, &device); limited++) {
        hsae_trainer *trainer = NULL;
        if (limited)
            device->info.limits.max_binding_bytes = pieces->binding_bytes;
        assert_ok(hsae_trainer_create_from_memory(device, &config, data, BATCH, dim, &trainer));
        assert_int_equal(trainer->device_model.ranges, limited ? pieces->ranges : 1);
        assert_int_equal(trainer->device_model.residual_levels, limited ? pieces->residual_levels : level_count);
        for (int step = 0; step < STEPS; step++)
            assert_ok(hsae_trainer_step(trainer, data + (size_t)step * BATCH * dim, NULL));
        assert_ok(hsae_trainer_model(trainer, &models[limited]));
        hsae_trainer_destroy(&trainer);
        hsae_device_close(&device);
    }
    for (uint32_t l = 0; l < level_count && models[1]; l++) {
        size_t numbers = (size_t)config.levels[l] * dim;
        assert_memory_equal(models[0]->levels[l].decoder_bias, models[1]->levels[l].decoder_bias, dim * sizeof(float));
        assert_memory_equal(models[0]->levels[l].encoder_weight, models[1]->levels[l].encoder_weight, numbers * sizeof(float));
        assert_memory_equal(models[0]->levels[l].decoder_weight, models[1]->levels[l].decoder_weight, numbers * sizeof(float));
        if (l)
            assert_memory_equal(models[0]->levels[l].parent, models[1]->levels[l].parent, config.levels[l] * sizeof(int32_t));
    }
    hsae_model_free(&models[0]);
    hsae_model_free(&models[1]);
    free(data);
}

static void check_pieces_everywhere(const struct pieces *pieces)
{
    check_pieces("ref", pieces);
    check_pieces("opencl:0", pieces);
    check_pieces("vulkan:0", pieces);
}

static void test_four_buffers(void **state)
{
    (void)state;
    check_pieces_everywhere(&(struct pieces){96, 2, {200, 500}, 8, 110000, 4, 2});
}

/* A level's residual has 24,576 bytes: buffers of two levels, two and one; each level its own. */
static void test_residuals(void **state)
{
    (void)state;
    check_pieces_everywhere(&(struct pieces){96, 5, {8, 16, 32, 64, 100}, 3, 50000, 4, 2});
    check_pieces_everywhere(&(struct pieces){96, 3, {12, 24, 48}, 3, 40000, 2, 1});
}

/* At a size where that is a real limit. */
static void test_16_mib(void **state)
{
    (void)state;
    const struct pieces pieces = {1024, 2, {2048, 10240}, 8, 16 << 20, 4, 2};
    check_pieces("opencl:0", &pieces);
    check_pieces("vulkan:0", &pieces);
}

/* ---- what a refusal says would fit does, and no more ---- */

static void small_config(hsae_config *config, uint32_t batch, uint32_t features)
{
    hsae_config_defaults(config);
    config->level_count = 2;
    config->levels[0] = features / 4;
    config->levels[1] = features - features / 4;
    config->target_l0[0] = config->target_l0[1] = 3;
    config->batch = batch;
    config->steps = 4;
}

enum { SMALL_DIM = 40, SMALL_ROWS = 512 };

static float small_rows[SMALL_ROWS * SMALL_DIM];

static hsae_status try_training(uint32_t batch, uint32_t features, uint32_t dim, uint64_t binding_bytes)
{
    hsae_device *device = NULL;
    hsae_trainer *trainer = NULL;
    hsae_config config;
    small_config(&config, batch, features);
    messages[HSAE_LOG_ERROR][0] = '\0';
    assert_ok(hsae_device_open(context, "ref", &device));
    device->info.limits.max_binding_bytes = binding_bytes;
    hsae_status status = hsae_trainer_create_from_memory(device, &config, small_rows, SMALL_ROWS, dim, &trainer);
    if (!status)
        status = hsae_trainer_step(trainer, small_rows, NULL);
    hsae_trainer_destroy(&trainer);
    hsae_device_close(&device);
    return status;
}

static uint32_t number_after(const char *text)
{
    const char *at = strstr(messages[HSAE_LOG_ERROR], text);
    if (!at)
        fail_msg("\"%s\" lacks \"%s\"", messages[HSAE_LOG_ERROR], text);
    return (uint32_t)strtoul(at + strlen(text), NULL, 10);
}

/* What refusals say, one buffer after the other, until all of them fit 40,000 bytes. */
static uint32_t follow(uint32_t batch, uint32_t features, uint32_t dim, const char *text)
{
    uint32_t *changed = strstr(text, "batch") ? &batch : &features;
    hsae_status status = HSAE_ERROR_LIMIT;
    for (int buffer = 0; buffer < 4 && status == HSAE_ERROR_LIMIT; buffer++) {
        status = try_training(batch, features, dim, 40000);
        assert_true(status || buffer > 0);
        *changed = status ? number_after(text) : *changed;
    }
    assert_ok(status);
    return *changed;
}

static void test_what_fits(void **state)
{
    (void)state;
    static const char batch[] = "with a batch of at most ", features[] = "with at most ";
    for (size_t k = 0; k < SMALL_ROWS * SMALL_DIM; k++)
        small_rows[k] = (float)((k * 7919 + k / SMALL_DIM * 104729) % 1009) / 1009 - 0.5f;
    uint32_t fits = follow(300, 64, SMALL_DIM, batch);
    assert_int_equal(fits, 160);
    assert_int_equal(try_training(fits + 32, 64, SMALL_DIM, 40000), HSAE_ERROR_LIMIT);
    fits = follow(32, 1400, 12, features);
    assert_int_equal(try_training(32, fits + 2, 12, 40000), HSAE_ERROR_LIMIT);
    assert_int_equal(try_training(32, 64, SMALL_DIM, 5000), HSAE_ERROR_LIMIT); /* no batch is small enough */
    assert_non_null(strstr(messages[HSAE_LOG_ERROR], "use another device"));
}

/* ---- a finished model on lesser devices: the bits of what it finds on the same device without the limit ---- */

static void assert_same_features(const hsae_features *a, const hsae_features *b)
{
    uint64_t count = a->indptr[a->rows];
    assert_true(a->rows == b->rows && count > 0);
    assert_memory_equal(a->indptr, b->indptr, (a->rows + 1) * sizeof *a->indptr);
    assert_memory_equal(a->indices, b->indices, count * sizeof *a->indices);
    assert_memory_equal(a->values, b->values, count * sizeof *a->values);
}

struct use {
    hsae_features features[2];
    hsae_evaluation evaluation;
};

/* False: there is no such device. */
static bool use_model(const char *id, const struct row *row, const hsae_model *model, const hsae_dataset *dataset, struct use *out)
{
    hsae_device *device = NULL;
    hsae_session *session = NULL;
    if (hsae_device_open(context, id, &device))
        return false;
    if (row)
        lower(&device->info.limits, row);
    assert_ok(hsae_session_create(device, model, 48, &session));
    assert_ok(hsae_session_encode(session, small_rows, SMALL_ROWS, out->features));
    assert_ok(hsae_session_evaluate(session, dataset, NULL, NULL, &out->evaluation));
    hsae_session_destroy(&session);
    hsae_device_close(&device);
    return true;
}

static void free_use(struct use *use)
{
    hsae_features_free(&use->features[0]);
    hsae_features_free(&use->features[1]);
}

static hsae_dataset *small_dataset(void)
{
    char *paths = (char *)scratch("rows.npy");
    unsigned char *file = calloc(1, 128 + sizeof small_rows);
    hsae_dataset *dataset = NULL;
    assert_non_null(file);
    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    int used = snprintf((char *)file + 10, 118, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", SMALL_ROWS, SMALL_DIM);
    memset(file + 10 + used, ' ', 117 - (size_t)used);
    file[127] = '\n';
    memcpy(file + 128, small_rows, sizeof small_rows);
    write_file(paths, file, 128 + sizeof small_rows);
    free(file);
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = (const char *const *)&paths, .path_count = 1}, &dataset));
    return dataset;
}

static void test_use(void **state)
{
    (void)state;
    static const char *const ids[] = {"ref", "opencl:0", "vulkan:0"};
    static const struct row limits[] = {{"binding", 13000, SAME, NULL}, /* E and D in four buffers */
                                        {"binding", 20000, SAME, NULL}, /* in two or four */
                                        {"group size", 1, SAME, NULL},
                                        {"local memory", 16, SAME, NULL},
                                        {"groups", 64, SAME, NULL}};
    hsae_device *device = NULL;
    hsae_trainer *trainer = NULL;
    hsae_model *model = NULL;
    hsae_config config;
    small_config(&config, 64, 240);
    hsae_dataset *dataset = small_dataset();
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_ok(hsae_trainer_create_from_memory(device, &config, small_rows, SMALL_ROWS, SMALL_DIM, &trainer));
    assert_ok(hsae_trainer_step(trainer, small_rows, NULL));
    assert_ok(hsae_trainer_model(trainer, &model));
    hsae_trainer_destroy(&trainer);
    hsae_device_close(&device);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct use whole = {0}, lesser = {0};
        for (size_t r = 0; r < sizeof limits / sizeof *limits && use_model(ids[i], NULL, model, dataset, &whole); r++) {
            use_model(ids[i], &limits[r], model, dataset, &lesser);
            assert_same_features(&whole.features[0], &lesser.features[0]);
            assert_same_features(&whole.features[1], &lesser.features[1]);
            assert_memory_equal(&whole.evaluation, &lesser.evaluation, sizeof whole.evaluation);
            free_use(&lesser);
            free_use(&whole);
        }
    }
    hsae_model_free(&model);
    hsae_dataset_close(&dataset);
}

/* ---- a driver that allows some compiled kernels fewer work-items than the device has ---- */

#ifdef HSAE_HAVE_OPENCL
static const struct opencl_api *driver;
static size_t allowed_items; /* of groups that have more */

static cl_int CL_API_CALL fewer_items(cl_kernel kernel, cl_device_id id, cl_kernel_work_group_info what, size_t size, void *value,
                                      size_t *needed)
{
    size_t asked[3] = {0};
    cl_int error = driver->GetKernelWorkGroupInfo(kernel, id, what, size, value, needed);
    if (!error && what == CL_KERNEL_WORK_GROUP_SIZE &&
        !driver->GetKernelWorkGroupInfo(kernel, id, CL_KERNEL_COMPILE_WORK_GROUP_SIZE, sizeof asked, asked, NULL) &&
        asked[0] > allowed_items)
        memcpy(value, &allowed_items, sizeof allowed_items);
    return error;
}

static void test_compiled(void **state)
{
    (void)state;
    hsae_device *device = NULL;
    struct match *match = NULL;
    double off;
    if (hsae_device_open(context, "opencl:0", &device))
        return;
    assert_ok(hsae_match_create(device, &match));
    struct opencl_device *opencl = opencl_device(device);
    struct opencl_api lesser = *opencl->cl;
    driver = opencl->cl;
    lesser.GetKernelWorkGroupInfo = fewer_items;
    opencl->cl = &lesser;
    for (int few = 0; few < 2; few++) {
        allowed_items = few ? 12 : 1;
        memset(device->max_kernel_group_size, 0, sizeof device->max_kernel_group_size);
        assert_ok(hsae_match_check(match, &off));
        assert_true(off <= 1);
        assert_int_equal(hsae_shape(device, HSAE_KERNEL_lists_count, 1).group_size, allowed_items == 1 ? 1 : 8);
    }
    /* What tuning chose is not replaced. */
    device->tuning.shape[HSAE_KERNEL_lists_count] = (struct hsae_kernel_shape){.group_size = 32, .columns = 1, .vector_width = 4};
    assert_fails(hsae_match_check(match, &off), HSAE_ERROR_LIMIT, "kernel lists_count as compiled has 32 work-items", "allows it 12",
                 "HSAE_TUNING=off", NULL);
    opencl->cl = driver;
    hsae_match_destroy(&match);
    hsae_device_close(&device);
}
#endif

/* Kernels of many shapes are compiled: they are kept. */
static int setup(void **state)
{
    if (support_setup(state))
        return -1;
    hsae_context_destroy(&context);
    return hsae_context_create(&(hsae_context_params){.log = keep_message}, &context) != HSAE_OK;
}

/* With an argument: the large case. */
int main(int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest large[] = {cmocka_unit_test(test_16_mib)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_four_buffers), cmocka_unit_test(test_residuals),
        cmocka_unit_test(test_what_fits), cmocka_unit_test(test_use),
#ifdef HSAE_HAVE_OPENCL
        cmocka_unit_test(test_compiled),
#endif
    };
    return argc > 1 ? cmocka_run_group_tests(large, setup, support_teardown) : cmocka_run_group_tests(tests, setup, support_teardown);
}
