/* SPDX-License-Identifier: MIT */
/* The caller's arrays: rows as a data set, rows in any number as steps, a model. */
#include "support.h"

#include "data/dataset.h"
#include <math.h>

enum { DIM = 19, ROWS = 150, BATCH = 33, STEPS = 13 };

static const char *const names[] = {"f32.safetensors", "f16.safetensors", "bf16.safetensors"};
static float floats[ROWS][DIM];
static uint16_t halves[2][ROWS][DIM]; /* F16, BF16 */

static const void *rows_of(hsae_dtype dtype, uint64_t row)
{
    return dtype == HSAE_DTYPE_F32 ? (const void *)floats[row] : halves[dtype - 1][row];
}

static void write_rows(const char *name, hsae_tensor_type type, const void *data)
{
    const hsae_new_tensor tensor = {.name = "activations", .type = type, .rank = 2, .shape = {ROWS, DIM}, .data = data};
    assert_ok(hsae_tensor_file_write(context, scratch(name), NULL, 0, &tensor, 1));
}

static int setup(void **state)
{
    uint32_t random = 1;
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < DIM; k++) {
            random = random * 1664525 + 1013904223;
            floats[r][k] = (float)(random >> 8) / 8388608.0f - 1 + (float)(r % 7 == k % 7);
            halves[0][r][k] = (uint16_t)(0x3000 + (random >> 20) + (random & 0x80) * 0x100);
            halves[1][r][k] = (uint16_t)(0x3f00 + (random >> 24) + (random & 0x80) * 0x100);
        }
    int failed = support_setup(state);
    if (failed)
        return failed;
    write_rows(names[0], HSAE_TENSOR_F32, floats);
    write_rows(names[1], HSAE_TENSOR_F16, halves[0]);
    write_rows(names[2], HSAE_TENSOR_BF16, halves[1]);
    return 0;
}

static hsae_dataset *from_file(hsae_dtype dtype)
{
    hsae_dataset *data;
    const char *path = scratch(names[dtype]);
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1}, &data));
    return data;
}

static hsae_dataset *from_memory(hsae_dtype dtype)
{
    hsae_dataset *data;
    assert_ok(hsae_dataset_from_memory(context, rows_of(dtype, 0), dtype, ROWS, DIM, &data));
    return data;
}

static hsae_config config_of(hsae_order order)
{
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.batch = BATCH;
    config.steps = STEPS;
    config.lr = 0.02;
    config.hierarchy_period = 4;
    config.order = order;
    for (uint32_t l = 0; l < config.level_count; l++) {
        config.levels[l] = (const uint32_t[]){10, 33}[l];
        config.target_l0[l] = 2;
    }
    return config;
}

struct bytes {
    unsigned char *data;
    size_t size;
};

static struct bytes finish(hsae_trainer *trainer)
{
    struct bytes bytes;
    assert_int_equal(hsae_trainer_step_count(trainer), STEPS);
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("end.safetensors")));
    hsae_trainer_destroy(&trainer);
    bytes.data = read_file(scratch("end.safetensors"), &bytes.size);
    return bytes;
}

static struct bytes run(hsae_device *device, hsae_order order, const hsae_dataset *data)
{
    hsae_config config = config_of(order);
    hsae_trainer *trainer;
    assert_ok(hsae_trainer_create(device, &config, data, &trainer));
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){0}));
    return finish(trainer);
}

static void assert_same(struct bytes bytes, struct bytes expected)
{
    assert_int_equal(bytes.size, expected.size);
    assert_memory_equal(bytes.data, expected.data, expected.size);
    free(bytes.data);
}

/* ---- a data set ---- */

static void test_dataset(void **state)
{
    (void)state;
    for (int dtype = 0; dtype < 3; dtype++) {
        hsae_dataset *file = from_file((hsae_dtype)dtype), *memory = from_memory((hsae_dtype)dtype), *slice;
        const uint64_t which[] = {3, 4, 5, 0, ROWS - 1};
        float expected[5][DIM], found[5][DIM];
        uint64_t prints[2], row;
        assert_int_equal(hsae_dataset_rows(memory), ROWS);
        assert_int_equal(hsae_dataset_dim(memory), DIM);
        assert_int_equal(hsae_dataset_dtype(memory), dtype);
        assert_int_equal(hsae_dataset_file_count(memory), 1);
        assert_string_equal(hsae_dataset_place(memory, 17, &row)->path, "rows in memory");
        assert_int_equal(row, 17);
        assert_ok(hsae_dataset_read(file, which, 5, expected[0]));
        assert_ok(hsae_dataset_read(memory, which, 5, found[0]));
        assert_memory_equal(found, expected, sizeof found);
        assert_ok(hsae_dataset_fingerprint(file, &prints[0]));
        assert_ok(hsae_dataset_fingerprint(memory, &prints[1]));
        assert_true(prints[0] == prints[1]);
        assert_ok(hsae_dataset_slice(memory, 3, 2, &slice));
        hsae_dataset_close(&memory);
        assert_ok(hsae_dataset_read(slice, (const uint64_t[]){0, 1}, 2, found[0]));
        assert_memory_equal(found, expected, 2 * sizeof found[0]);
        hsae_dataset_close(&slice);
        hsae_dataset_close(&file);
    }
}

static void test_dataset_refusals(void **state)
{
    (void)state;
    hsae_dataset *data;
    float bad[2][2] = {{1, 2}, {3, NAN}};
    assert_fails(hsae_dataset_from_memory(context, floats, HSAE_DTYPE_F32, 0, DIM, &data), HSAE_ERROR_ARGUMENT, "0 rows", NULL);
    assert_fails(hsae_dataset_from_memory(context, floats, HSAE_DTYPE_F32, 1, 0, &data), HSAE_ERROR_ARGUMENT, "width 0", NULL);
    assert_fails(hsae_dataset_from_memory(context, floats, HSAE_DTYPE_F32, UINT64_MAX / 2, 2, &data), HSAE_ERROR_ARGUMENT, "rows", NULL);
    assert_fails(hsae_dataset_from_memory(context, floats, (hsae_dtype)3, 1, DIM, &data), HSAE_ERROR_ARGUMENT, "dtype 3", NULL);
    assert_null(data);
    assert_ok(hsae_dataset_from_memory(context, bad, HSAE_DTYPE_F32, 2, 2, &data));
    assert_fails(hsae_dataset_read(data, (const uint64_t[]){1}, 1, bad[0]), HSAE_ERROR_DATA, "rows in memory: row 1, column 1", NULL);
    hsae_dataset_close(&data);
}

/* ---- training ---- */

/* Runs from a file, from memory, and by steps on calls of different lengths end with the same bytes. */
static void compare_ways(const char *id, hsae_dtype dtype)
{
    hsae_device *device;
    hsae_trainer *trainer;
    assert_ok(hsae_device_open(context, id, &device));
    hsae_dataset *file = from_file(dtype), *memory = from_memory(dtype);
    struct bytes shuffled = run(device, HSAE_ORDER_SHUFFLE, file), sequential = run(device, HSAE_ORDER_SEQUENTIAL, file);
    assert_same(run(device, HSAE_ORDER_SHUFFLE, memory), shuffled);
    hsae_config config = config_of(HSAE_ORDER_SEQUENTIAL);
    assert_ok(hsae_trainer_create(device, &config, memory, &trainer));
    uint64_t at = 0, length = 1, used = 0;
    for (uint64_t total = 0; hsae_trainer_step_count(trainer) < STEPS; total += used, at = (at + used) % ROWS) {
        hsae_step_metrics metrics;
        uint64_t before = hsae_trainer_step_count(trainer);
        length = length * 7 % 101;
        length = length < ROWS - at ? length : ROWS - at;
        assert_ok(hsae_trainer_step_rows(trainer, rows_of(dtype, at), dtype, length, &used, &metrics));
        uint64_t after = hsae_trainer_step_count(trainer);
        assert_int_equal(metrics.step, after > before ? after : 0);
        assert_int_equal(after, (total + used) / BATCH);
        assert_int_equal(hsae_trainer_gathered(trainer), (total + used) % BATCH);
        assert_true(used == length || after == STEPS);
    }
    assert_fails(hsae_trainer_step_rows(trainer, floats, dtype, 1, &used, NULL), HSAE_ERROR_ARGUMENT, "all 13 steps are done", NULL);
    assert_int_equal(used, 0);
    assert_same(finish(trainer), sequential);
    free(shuffled.data);
    free(sequential.data);
    hsae_dataset_close(&file);
    hsae_dataset_close(&memory);
    hsae_device_close(&device);
}

static void test_ways(void **state)
{
    (void)state;
    compare_ways("ref", HSAE_DTYPE_F32);
    compare_ways("ref", HSAE_DTYPE_F16);
    compare_ways("ref", HSAE_DTYPE_BF16);
}

static void test_ways_opencl(void **state)
{
    (void)state;
    hsae_device *device;
    if (hsae_device_open(context, "opencl:0", &device))
        skip();
    hsae_device_close(&device);
    compare_ways("opencl:0", HSAE_DTYPE_F32);
    compare_ways("opencl:0", HSAE_DTYPE_F16);
}

/* Rows that are left out are replaced as in hsae_trainer_step; a bad row ends the call, and what waited is dropped. */
static void test_bad_rows(void **state)
{
    (void)state;
    hsae_device *device;
    hsae_trainer *trainer;
    hsae_config config = config_of(HSAE_ORDER_SEQUENTIAL);
    static uint16_t rows[BATCH + 5][DIM];
    static float replaced[BATCH][DIM];
    assert_ok(hsae_device_open(context, "ref", &device));
    memcpy(rows, halves[1], sizeof rows);
    rows[BATCH - 1][2] = 0x7f80;
    hsae_dataset *data = from_memory(HSAE_DTYPE_BF16);
    assert_ok(hsae_trainer_create(device, &config, data, &trainer));
    assert_ok(hsae_trainer_step_rows(trainer, rows, HSAE_DTYPE_BF16, 5, NULL, NULL));
    assert_fails(hsae_trainer_step_rows(trainer, floats, HSAE_DTYPE_F32, 5, NULL, NULL), HSAE_ERROR_ARGUMENT, "5 rows of bfloat16", NULL);
    assert_int_equal(hsae_trainer_gathered(trainer), 0);
    assert_ok(hsae_trainer_step_rows(trainer, floats, HSAE_DTYPE_F32, 5, NULL, NULL));
    assert_int_equal(hsae_trainer_gathered(trainer), 5);
    hsae_trainer_destroy(&trainer);
    assert_ok(hsae_trainer_create(device, &config, data, &trainer));
    assert_fails(hsae_trainer_step_rows(trainer, rows, HSAE_DTYPE_BF16, BATCH + 5, NULL, NULL), HSAE_ERROR_DATA, "row 32 of the batch",
                 NULL);
    assert_int_equal(hsae_trainer_step_count(trainer), 0);
    assert_fails(hsae_trainer_step_rows(trainer, rows, (hsae_dtype)-1, 1, NULL, NULL), HSAE_ERROR_ARGUMENT, "dtype -1", NULL);
    hsae_trainer_destroy(&trainer);

    struct bytes ends[2];
    for (int way = 0; way < 2; way++) {
        config.skip_bad_rows = true;
        config.steps = 1;
        assert_ok(hsae_trainer_create(device, &config, data, &trainer));
        uint64_t which[BATCH];
        for (uint64_t r = 0; r < BATCH; r++)
            which[r] = r + 1 < BATCH ? r : 0; /* the first row stands in for the last */
        assert_ok(hsae_dataset_read(data, which, BATCH, replaced[0]));
        assert_ok(way ? hsae_trainer_step(trainer, replaced[0], NULL)
                      : hsae_trainer_step_rows(trainer, rows, HSAE_DTYPE_BF16, BATCH, NULL, NULL));
        assert_int_equal(hsae_trainer_left_out(trainer).bad, way ? 0 : 1);
        assert_int_equal(hsae_trainer_left_out(trainer).first, way ? 0 : BATCH - 1);
        assert_ok(hsae_trainer_save_model(trainer, scratch("model.safetensors")));
        ends[way].data = read_file(scratch("model.safetensors"), &ends[way].size);
        hsae_trainer_destroy(&trainer);
    }
    assert_same(ends[0], ends[1]);
    free(ends[1].data);
    hsae_dataset_close(&data);
    hsae_device_close(&device);
}

/* ---- the learning rate ---- */

struct schedule {
    hsae_trainer *trainer;
    const double *rates; /* [STEPS] */
    uint64_t followed;
};

static bool follow(void *user, uint64_t step, uint64_t until)
{
    (void)until;
    const struct schedule *schedule = user;
    if (step < STEPS)
        assert_ok(hsae_trainer_set_lr(schedule->trainer, schedule->rates[step]));
    return true;
}

static bool note_rate(void *user, const hsae_step_metrics *metrics)
{
    ((double *)user)[metrics->step - 1] = metrics->lr;
    return true;
}

/* The same rates step by step give the same model; a rate is kept in a checkpoint; a negative one gives way to the schedule. */
static void test_lr(void **state)
{
    (void)state;
    hsae_device *device;
    hsae_trainer *trainer;
    double rates[STEPS], found[STEPS] = {0};
    const hsae_config config = config_of(HSAE_ORDER_SHUFFLE);
    hsae_dataset *data = from_memory(HSAE_DTYPE_F32);
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_ok(hsae_trainer_create(device, &config, data, &trainer));
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){.metrics_every = 1, .metrics = note_rate, .user = rates}));
    assert_true(rates[0] == config.lr && rates[12] < 0.1 * config.lr);
    struct bytes expected = finish(trainer);

    assert_ok(hsae_trainer_create(device, &config, data, &trainer));
    struct schedule schedule = {.trainer = trainer, .rates = rates};
    assert_ok(hsae_trainer_set_lr(trainer, rates[0]));
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){.progress = follow, .user = &schedule}));
    assert_ok(hsae_trainer_set_lr(trainer, -1));
    assert_same(finish(trainer), expected);
    free(expected.data);

    assert_ok(hsae_trainer_create(device, &config, data, &trainer));
    assert_ok(hsae_trainer_set_lr(trainer, 0.25));
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){.until = 5}));
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("rate.safetensors")));
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){0}));
    expected = finish(trainer);
    assert_ok(hsae_trainer_resume(device, scratch("rate.safetensors"), NULL, NULL, &trainer));
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){.metrics_every = 1, .metrics = note_rate, .user = found}));
    assert_true(found[4] == 0 && found[5] == 0.25 && found[12] == 0.25);
    assert_fails(hsae_trainer_set_lr(trainer, NAN), HSAE_ERROR_ARGUMENT, "nan", NULL);
    assert_same(finish(trainer), expected);
    free(expected.data);
    hsae_dataset_close(&data);
    hsae_device_close(&device);
}

/* ---- a model ---- */

/* The lists of children say what the parents say. */
static void check_children(const hsae_model *model)
{
    hsae_children children;
    const int32_t *parent = hsae_model_level(model, 1).parent;
    uint32_t assigned = 0;
    assert_ok(hsae_model_children(context, model, 0, &children));
    for (uint32_t i = 0; i < 10; i++)
        for (uint32_t k = children.starts[i]; k < children.starts[i + 1]; k++, assigned++) {
            assert_int_equal(parent[children.children[k]], i);
            assert_true(k == children.starts[i] || children.children[k] > children.children[k - 1]);
        }
    for (int i = 0; i < 33; i++)
        assigned -= parent[i] >= 0;
    assert_int_equal(assigned, 0);
    assert_int_equal(children.starts[0], 0);
    assert_true(children.starts[10] > 10);
    hsae_children_free(&children);
    assert_null(children.starts);
    assert_ok(hsae_model_children(context, model, 1, &children));
    assert_int_equal(children.starts[33], 0);
    hsae_children_free(&children);
    assert_fails(hsae_model_children(context, model, 2, &children), HSAE_ERROR_ARGUMENT, "level 2", NULL);
}

static void test_model(void **state)
{
    (void)state;
    hsae_device *device;
    hsae_trainer *trainer;
    hsae_model *trained, *made;
    hsae_config config = config_of(HSAE_ORDER_SHUFFLE);
    hsae_level levels[2];
    float bad[33];
    int32_t parents[33] = {10};
    hsae_dataset *data = from_memory(HSAE_DTYPE_F32);
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_ok(hsae_trainer_create(device, &config, data, &trainer));
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){0}));
    assert_ok(hsae_trainer_model(trainer, &trained));
    levels[0] = hsae_model_level(trained, 0);
    levels[1] = hsae_model_level(trained, 1);
    const float *mean = hsae_model_mean(trained), scale = hsae_model_scale(trained);
    config = *hsae_model_config(trained);
    assert_ok(hsae_model_create(context, &config, DIM, mean, scale, levels, &made));
    struct bytes bytes, expected;
    assert_ok(hsae_model_save(context, made, scratch("made.safetensors")));
    assert_ok(hsae_model_save(context, trained, scratch("trained.safetensors")));
    bytes.data = read_file(scratch("made.safetensors"), &bytes.size);
    expected.data = read_file(scratch("trained.safetensors"), &expected.size);
    assert_same(bytes, expected);
    free(expected.data);
    check_children(made);
    hsae_model_free(&made);

    levels[1].parent = NULL;
    assert_ok(hsae_model_create(context, &config, DIM, mean, scale, levels, &made));
    for (int i = 0; i < 33; i++)
        assert_int_equal(hsae_model_level(made, 1).parent[i], -1);
    hsae_model_free(&made);
    levels[1].parent = parents;
    assert_fails(hsae_model_create(context, &config, DIM, mean, scale, levels, &made), HSAE_ERROR_DATA, "parent", "out of its range", NULL);
    levels[1].parent = NULL;
    memcpy(bad, levels[1].threshold, sizeof bad);
    bad[7] = 0;
    levels[1].threshold = bad;
    assert_fails(hsae_model_create(context, &config, DIM, mean, scale, levels, &made), HSAE_ERROR_DATA, "levels.1.threshold", "element 7",
                 NULL);
    levels[1].threshold = NULL;
    assert_fails(hsae_model_create(context, &config, DIM, mean, scale, levels, &made), HSAE_ERROR_ARGUMENT, "level 1 lacks", NULL);
    levels[1] = levels[0];
    assert_fails(hsae_model_create(context, &config, DIM, mean, scale, levels, &made), HSAE_ERROR_CONFIG, "levels", NULL);
    assert_fails(hsae_model_create(context, &config, 0, mean, scale, levels, &made), HSAE_ERROR_ARGUMENT, "width", NULL);
    assert_null(made);
    hsae_model_free(&trained);
    hsae_trainer_destroy(&trainer);
    hsae_dataset_close(&data);
    hsae_device_close(&device);
}

/* Encoding into the caller's memory gives what hsae_session_encode makes of it, which is `all` of the floats; what does not fit is counted.
 */
static void compare_into(hsae_session *session, const hsae_features *all)
{
    static uint64_t indptr[2][ROWS + 1];
    static uint32_t indices[2][ROWS * 33];
    static float values[2][ROWS * 33];
    hsae_feature_room room[2];
    for (uint64_t less = 0; less < 2; less++) {
        for (int l = 0; l < 2; l++)
            room[l] = (hsae_feature_room){indptr[l], indices[l], values[l], all[l].indptr[ROWS] - less * l, 0};
        memset(values, 0, sizeof values);
        hsae_status status = hsae_session_encode_into(session, floats, HSAE_DTYPE_F32, ROWS, room);
        if (less)
            assert_fails(status, HSAE_ERROR_ARGUMENT, "level 1", "`needed`", NULL);
        else
            assert_ok(status);
        for (int l = 0; l < 2; l++) {
            assert_int_equal(room[l].needed, all[l].indptr[ROWS]);
            assert_memory_equal(indptr[l], all[l].indptr, sizeof indptr[l]);
            assert_memory_equal(indices[l], all[l].indices, room[l].capacity * sizeof *indices[l]);
            assert_memory_equal(values[l], all[l].values, room[l].capacity * sizeof *values[l]);
            assert_true(values[l][room[l].capacity] == 0);
        }
    }
    hsae_features of_halves[2];
    static float converted[ROWS][DIM];
    hsae_dataset *data = from_memory(HSAE_DTYPE_BF16);
    for (uint64_t r = 0; r < ROWS; r++)
        assert_ok(hsae_dataset_read(data, &r, 1, converted[r]));
    assert_ok(hsae_session_encode(session, converted[0], ROWS, of_halves));
    for (int l = 0; l < 2; l++)
        room[l].capacity = ROWS * 33;
    assert_ok(hsae_session_encode_into(session, halves[1], HSAE_DTYPE_BF16, ROWS, room));
    for (int l = 0; l < 2; l++) {
        assert_int_equal(room[l].needed, of_halves[l].indptr[ROWS]);
        assert_memory_equal(values[l], of_halves[l].values, room[l].needed * sizeof *values[l]);
        hsae_features_free(&of_halves[l]);
    }
    room[1].indices = NULL;
    assert_fails(hsae_session_encode_into(session, floats, HSAE_DTYPE_F32, 1, room), HSAE_ERROR_ARGUMENT, "level 1 lacks", NULL);
    assert_fails(hsae_session_encode_into(session, floats, (hsae_dtype)7, 1, room), HSAE_ERROR_ARGUMENT, "dtype 7", NULL);
    hsae_dataset_close(&data);
}

/* Rows as they come are evaluated as a data set of them is. */
static void compare_evaluator(hsae_session *session, const hsae_dataset *data)
{
    hsae_evaluation expected, found;
    hsae_evaluator *evaluator;
    float kept = floats[9][2];
    floats[9][2] = 1e6f; /* left out */
    assert_ok(hsae_session_evaluate(session, data, NULL, NULL, &expected));
    assert_int_equal(expected.left_out.norm, 1);
    assert_ok(hsae_evaluator_create(session, &evaluator));
    assert_fails(hsae_evaluator_result(evaluator, &found), HSAE_ERROR_DATA, "no row was given", NULL);
    for (uint64_t first = 0, count = 1; first < ROWS; first += count, count = first + 50 < ROWS ? 50 : ROWS - first)
        assert_ok(hsae_evaluator_add(evaluator, floats[first], HSAE_DTYPE_F32, count));
    assert_ok(hsae_evaluator_result(evaluator, &found));
    for (uint32_t l = 0; l < 3; l++) {
        hsae_level_metrics *level = l < 2 ? &found.levels[l] : &found.mean_level;
        const hsae_level_metrics *wanted = l < 2 ? &expected.levels[l] : &expected.mean_level;
        assert_true(fabs(level->variance_explained - wanted->variance_explained) < 1e-12);
        assert_true(isnan(level->variance_explained_legacy));
        level->variance_explained = wanted->variance_explained;
        level->variance_explained_legacy = wanted->variance_explained_legacy;
    }
    assert_memory_equal(&found, &expected, sizeof found);
    hsae_evaluator_destroy(&evaluator);
    floats[9][2] = kept;
}

/* Sessions work on as many rows as they get: the same bits as among others, whatever the number of rows. */
static void compare_sizes(const char *id)
{
    hsae_device *device;
    hsae_trainer *trainer;
    hsae_model *model;
    hsae_session *session;
    hsae_config config = config_of(HSAE_ORDER_SHUFFLE);
    hsae_dataset *data = from_memory(HSAE_DTYPE_F32);
    hsae_features all[2], few[2];
    static float decoded[ROWS][DIM], part[ROWS][DIM];
    assert_ok(hsae_device_open(context, id, &device));
    assert_ok(hsae_trainer_create(device, &config, data, &trainer));
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){0}));
    assert_ok(hsae_trainer_model(trainer, &model));
    assert_ok(hsae_session_create(device, model, 140, &session)); /* sizes 32, 64, 128 and 140; two batches in all */
    assert_ok(hsae_session_encode(session, floats[0], ROWS, all));
    assert_ok(hsae_session_decode(session, 1, &all[1], decoded[0]));
    assert_true(all[1].indptr[ROWS] > ROWS);
    static const uint64_t counts[] = {1, 31, 32, 33, 64, 65, 129, 140, 5};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint64_t first = ROWS - counts[i];
        assert_ok(hsae_session_encode(session, floats[first], counts[i], few));
        for (int l = 0; l < 2; l++) {
            uint64_t begin = all[l].indptr[first], pairs = all[l].indptr[ROWS] - begin;
            for (uint64_t r = 0; r <= counts[i]; r++)
                assert_int_equal(few[l].indptr[r], all[l].indptr[first + r] - begin);
            assert_memory_equal(few[l].indices, all[l].indices + begin, pairs * sizeof *few[l].indices);
            assert_memory_equal(few[l].values, all[l].values + begin, pairs * sizeof *few[l].values);
        }
        assert_ok(hsae_session_decode(session, 1, &few[1], part[0]));
        assert_memory_equal(part, decoded[first], counts[i] * sizeof part[0]);
        hsae_features_free(&few[0]);
        hsae_features_free(&few[1]);
    }
    compare_into(session, all);
    compare_evaluator(session, data);
    hsae_features_free(&all[0]);
    hsae_features_free(&all[1]);
    hsae_session_destroy(&session);
    hsae_model_free(&model);
    hsae_trainer_destroy(&trainer);
    hsae_dataset_close(&data);
    hsae_device_close(&device);
}

static void test_sizes(void **state)
{
    (void)state;
    compare_sizes("ref");
    hsae_device *device;
    if (hsae_device_open(context, "opencl:0", &device))
        return;
    hsae_device_close(&device);
    compare_sizes("opencl:0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dataset),  cmocka_unit_test(test_dataset_refusals),
        cmocka_unit_test(test_ways),     cmocka_unit_test(test_ways_opencl),
        cmocka_unit_test(test_bad_rows), cmocka_unit_test(test_model),
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_lr),
    };
    return cmocka_run_group_tests(tests, setup, support_teardown);
}
