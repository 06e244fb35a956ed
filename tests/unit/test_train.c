/* SPDX-License-Identifier: MIT */
/* Training as a whole: the same bits from the same seed, through stops, short lists, cut tensors and the ways of feeding it; refusals. One
 * suite for every device that can be opened. */
#include "support.h"

#include "train/launch.h"
#include "train/step.h"
#include <math.h>
#include <stdbool.h>

enum { DIM = 19, ROWS = 150, BATCH = 33, STEPS = 13 };

static const char *device_id; /* of the suite that runs */
static hsae_device *device;
static float rows[ROWS][DIM];

/* ---- data, configurations, runs ---- */

static double uniform(double low, double high)
{
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return low + (high - low) * (double)(state >> 11) / 9007199254740992.0;
}

static void write_rows(const char *path, hsae_tensor_type type, const void *data)
{
    const hsae_new_tensor tensor = {.name = "activations", .type = type, .rank = 2, .shape = {ROWS, DIM}, .data = data};
    assert_ok(hsae_tensor_file_write(context, path, NULL, 0, &tensor, 1));
}

/* Sums of a few directions, so that there is something to learn. */
static void make_data(void)
{
    float directions[24][DIM];
    uint16_t halves[ROWS][DIM];
    for (int i = 0; i < 24; i++)
        for (int k = 0; k < DIM; k++)
            directions[i][k] = (float)uniform(-1, 1);
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < DIM; k++) {
            rows[r][k] = (float)uniform(-0.2, 0.2);
            halves[r][k] = (uint16_t)uniform(0x2c00, 0x4400) | (uint16_t)(uniform(0, 1) < 0.5 ? 0x8000 : 0);
        }
    for (int r = 0; r < ROWS; r++)
        for (int picks = 0; picks < 4; picks++) {
            const float *direction = directions[(int)(24 * uniform(0, 1) * uniform(0, 1))], weight = (float)uniform(0.5, 2);
            for (int k = 0; k < DIM; k++)
                rows[r][k] += weight * direction[k];
        }
    write_rows(scratch("f32.safetensors"), HSAE_TENSOR_F32, rows);
    write_rows(scratch("f16.safetensors"), HSAE_TENSOR_F16, halves);
    float value = rows[70][3];
    rows[70][3] = INFINITY;
    write_rows(scratch("bad.safetensors"), HSAE_TENSOR_F32, rows);
    rows[70][3] = value;
}

enum variant { COACTIVATION, BINARY, HALVES, SHARDS, VARIANTS };

static hsae_config config_of(enum variant variant)
{
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = 3;
    config.batch = BATCH;
    config.steps = STEPS;
    config.lr = 0.02;
    config.hierarchy_period = 4;
    config.dead_steps = 1;
    config.seed = UINT64_C(0x123456789abcdef);
    config.rho = 0.1;
    config.perturb = 0.3;
    config.similarity = variant == COACTIVATION ? HSAE_SIMILARITY_COACTIVATION : HSAE_SIMILARITY_DECODER;
    config.tree = variant == BINARY ? HSAE_TREE_BINARY : HSAE_TREE_FOREST;
    config.shards = variant == SHARDS ? 4 : 1;
    for (uint32_t l = 0; l < config.level_count; l++) {
        config.levels[l] = (const uint32_t[]){10, 33, 70}[l];
        config.target_l0[l] = 1;
        config.init_l0[l] = 1.5;
    }
    return config;
}

static hsae_dataset *open_data(const char *name)
{
    const char *path = scratch(name);
    hsae_dataset *data;
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1}, &data));
    return data;
}

static hsae_dataset *data_of(enum variant variant)
{
    return open_data(variant == HALVES ? "f16.safetensors" : "f32.safetensors");
}

static hsae_trainer *new_trainer(hsae_device *on, const hsae_config *config, const hsae_dataset *data)
{
    hsae_trainer *trainer;
    assert_ok(hsae_trainer_create(on, config, data, &trainer));
    return trainer;
}

static void run(hsae_trainer *trainer, const hsae_dataset *data, uint64_t until)
{
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){.until = until}));
}

struct bytes {
    unsigned char *data;
    size_t size;
};

/* The bytes of the trainer's checkpoint. Destroys the trainer. */
static struct bytes finish(hsae_trainer *trainer)
{
    struct bytes bytes;
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("end.safetensors")));
    hsae_trainer_destroy(&trainer);
    bytes.data = read_file(scratch("end.safetensors"), &bytes.size);
    return bytes;
}

static void assert_same(struct bytes bytes, struct bytes expected, const char *what, uint64_t number)
{
    if (bytes.size != expected.size || memcmp(bytes.data, expected.data, bytes.size) != 0)
        fail_msg("%s: the checkpoint differs (%s %llu)", device_id, what, (unsigned long long)number);
    free(bytes.data);
}

static struct bytes undisturbed(const hsae_config *config, const hsae_dataset *data)
{
    hsae_trainer *trainer = new_trainer(device, config, data);
    run(trainer, data, 0);
    return finish(trainer);
}

/* ---- the same bits ---- */

static bool count_dead(void *user, const hsae_step_metrics *metrics)
{
    uint64_t *most = user;
    for (uint32_t l = 0; l < metrics->level_count; l++) {
        assert_true(isfinite(metrics->levels[l].reconstruction) && metrics->levels[l].reconstruction > 0);
        *most = metrics->levels[l].dead > *most ? metrics->levels[l].dead : *most;
    }
    return true;
}

/* The same seed gives the same bits. Also checks that these runs have a tree and ghost gradients. */
static void test_same_seed(void **unused)
{
    (void)unused;
    for (enum variant variant = 0; variant < VARIANTS; variant++) {
        hsae_config config = config_of(variant);
        hsae_dataset *data = data_of(variant);
        struct bytes expected = undisturbed(&config, data);
        uint64_t dead = 0;
        hsae_trainer *trainer = new_trainer(device, &config, data);
        assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){.metrics_every = 1, .metrics = count_dead, .user = &dead}));
        assert_true(dead > 3 && trainer->has_tree && trainer->ghost_rows);
        assert_same(finish(trainer), expected, "configuration", variant);
        config.seed++;
        struct bytes other = undisturbed(&config, data);
        assert_true(other.size != expected.size || memcmp(other.data, expected.data, other.size) != 0);
        free(other.data);
        free(expected.data);
        hsae_dataset_close(&data);
    }
}

/* Every step of one configuration, some of the others. */
static void test_resume(void **unused)
{
    (void)unused;
    for (enum variant variant = 0; variant < VARIANTS; variant++) {
        hsae_config config = config_of(variant);
        hsae_dataset *data = data_of(variant);
        struct bytes expected = undisturbed(&config, data);
        for (uint64_t stop = 1; stop <= STEPS; stop += variant == COACTIVATION ? 1 : 4) {
            hsae_trainer *trainer = new_trainer(device, &config, data);
            run(trainer, data, stop);
            assert_int_equal(hsae_trainer_step_count(trainer), stop);
            assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("stop.safetensors")));
            hsae_trainer_destroy(&trainer);
            assert_ok(hsae_trainer_resume(device, scratch("stop.safetensors"), NULL, NULL, &trainer));
            run(trainer, data, 0);
            assert_same(finish(trainer), expected, "stopped at step", stop);
        }
        free(expected.data);
        hsae_dataset_close(&data);
    }
}

/* A checkpoint of step 0 can be resumed, too. */
static void test_resume_start(void **unused)
{
    (void)unused;
    hsae_config config = config_of(COACTIVATION);
    hsae_dataset *data = data_of(COACTIVATION);
    struct bytes expected = undisturbed(&config, data);
    hsae_trainer *trainer = new_trainer(device, &config, data);
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("start.safetensors")));
    hsae_trainer_destroy(&trainer);
    assert_ok(hsae_trainer_resume(device, scratch("start.safetensors"), NULL, NULL, &trainer));
    run(trainer, data, 0);
    assert_same(finish(trainer), expected, "stopped at step", 0);
    free(expected.data);
    hsae_dataset_close(&data);
}

static void test_short_lists(void **unused)
{
    (void)unused;
    for (enum variant variant = 0; variant < VARIANTS; variant++) {
        hsae_config config = config_of(variant);
        hsae_dataset *data = data_of(variant);
        struct bytes expected = undisturbed(&config, data);
        hsae_trainer *trainer = new_trainer(device, &config, data);
        assert_ok(hsae_device_model_grow(&trainer->device_model, 1));
        assert_ok(hsae_step_record(trainer));
        run(trainer, data, 0);
        assert_true(trainer->device_model.capacity > 1);
        assert_same(finish(trainer), expected, "configuration", variant);
        free(expected.data);
        hsae_dataset_close(&data);
    }
}

/* With few free rows of D the forest is updated in slices; one tree with more features than free rows gets more of them. */
static void test_parts(void **unused)
{
    (void)unused;
    for (enum variant variant = 0; variant < VARIANTS; variant++) {
        hsae_config config = config_of(variant);
        hsae_dataset *data = data_of(variant);
        struct bytes expected = undisturbed(&config, data);
        uint64_t memory = device->info.limits.memory_bytes;
        device->info.limits.memory_bytes = 1 << 20;
        hsae_trainer *trainer = new_trainer(device, &config, data);
        uint32_t free_rows = trainer->device_model.free_rows, features = trainer->device_model.features;
        assert_true(free_rows < features / 4 && trainer->forest_slices.count > 4);
        run(trainer, data, 0);
        assert_true(variant != COACTIVATION || (trainer->device_model.free_rows > free_rows && trainer->device_model.free_rows < features));
        assert_true(trainer->forest_slices.count > 1 && trainer->forest_slices.largest <= trainer->device_model.free_rows);
        assert_same(finish(trainer), expected, "parts, configuration", variant);
        device->info.limits.memory_bytes = memory;
        free(expected.data);
        hsae_dataset_close(&data);
    }
}

/* Features whose pairs are cut into segments, as where work-groups have several work-items: through lists that grow, and a stop. */
static void test_segments(void **unused)
{
    (void)unused;
    hsae_config config = config_of(COACTIVATION);
    hsae_dataset *data = data_of(COACTIVATION);
    u32 owner = NONE;
    for (uint32_t l = 0; l < config.level_count; l++)
        config.target_l0[l] = config.init_l0[l] = 4; /* enough pairs for features longer than a segment */
    device->tuning.shape[HSAE_KERNEL_update] = (struct hsae_kernel_shape){.group_size = 8, .columns = 1, .vector_width = 4};
    bool shared = hsae_shape(device, HSAE_KERNEL_update, 1).group_size > 1;
    hsae_trainer *trainer = new_trainer(device, &config, data);
    assert_ok(hsae_device_model_grow(&trainer->device_model, 1));
    assert_ok(hsae_step_record(trainer));
    run(trainer, data, STEPS / 2);
    assert_true(shared == (trainer->sums != NULL));
    if (shared)
        assert_ok(hsae_buffer_read(trainer->owners, 0, sizeof owner, &owner));
    assert_true(shared == (owner != NONE));
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("stop.safetensors")));
    hsae_trainer_destroy(&trainer);
    assert_ok(hsae_trainer_resume(device, scratch("stop.safetensors"), NULL, NULL, &trainer));
    run(trainer, data, 0);
    struct bytes expected = undisturbed(&config, data);
    assert_same(finish(trainer), expected, "segments, stopped at step", STEPS / 2);
    device->tuning.shape[HSAE_KERNEL_update] = (struct hsae_kernel_shape){0};
    free(expected.data);
    hsae_dataset_close(&data);
}

/* Whatever shape a search tries, the screening kernel's rows have room: its last tile is filled up. */
static void test_screen_room(void **unused)
{
    (void)unused;
    hsae_config config = config_of(COACTIVATION);
    hsae_dataset *data = data_of(COACTIVATION);
    hsae_trainer *trainer = new_trainer(device, &config, data);
    const struct device_model *device_model = &trainer->device_model;
    const enum hsae_kernel kernel = device_model->screens == 8 ? HSAE_KERNEL_screen8 : HSAE_KERNEL_screen;
    struct hsae_kernel_shape space[HSAE_MAX_SHAPES];
    const size_t shapes = device_model->screens ? hsae_shape_space(device, kernel, space) : 0;
    for (size_t k = 0; k < shapes; k++) {
        device->tuning.shape[kernel] = space[k];
        assert_ok(hsae_step_record(trainer));
        const uint64_t tile = hsae_screen_tile(device_model), groups = (device_model->chunk + tile - 1) / tile, line = device_model->stride;
        assert_true(hsae_buffer_size(device_model->rounded) >= groups * tile * line * device_model->screens / 8);
        assert_true(kernel == HSAE_KERNEL_screen ||
                    hsae_buffer_size(device_model->mixed) >= groups * space[k].group_size * line * sizeof(f32));
    }
    device->tuning.shape[kernel] = (struct hsae_kernel_shape){0};
    hsae_trainer_destroy(&trainer);
    hsae_dataset_close(&data);
}

static void test_from_memory(void **unused)
{
    (void)unused;
    hsae_config config = config_of(COACTIVATION);
    config.order = HSAE_ORDER_SEQUENTIAL;
    hsae_dataset *data = data_of(COACTIVATION);
    struct bytes expected = undisturbed(&config, data);
    hsae_trainer *trainer;
    assert_ok(hsae_trainer_create_from_memory(device, &config, rows[0], ROWS, DIM, &trainer));
    assert_int_equal(hsae_trainer_dim(trainer), DIM);
    for (uint64_t step = 0; step < STEPS; step++) {
        float batch[BATCH][DIM];
        hsae_step_metrics metrics;
        for (uint64_t k = 0; k < BATCH; k++)
            memcpy(batch[k], rows[(step * BATCH + k) % ROWS], sizeof batch[k]);
        assert_ok(hsae_trainer_step(trainer, batch[0], step % 3 ? NULL : &metrics));
        assert_true(step % 3 || (metrics.step == step + 1 && metrics.tokens == (step + 1) * BATCH));
    }
    assert_same(finish(trainer), expected, "from memory", 0);
    free(expected.data);
    hsae_dataset_close(&data);
}

/* Batches of floats between those of a data set of halves, on a trainer that was made for halves. */
static void test_both_feeds(void **unused)
{
    (void)unused;
    hsae_config config = config_of(HALVES);
    config.order = HSAE_ORDER_SEQUENTIAL;
    hsae_dataset *data = data_of(HALVES);
    struct bytes expected = undisturbed(&config, data);
    hsae_trainer *trainer = new_trainer(device, &config, data);
    run(trainer, data, STEPS / 3);
    for (uint64_t step = STEPS / 3; step < STEPS / 2; step++) {
        float batch[BATCH][DIM];
        uint64_t which[BATCH];
        for (uint64_t k = 0; k < BATCH; k++)
            which[k] = (step * BATCH + k) % ROWS;
        assert_ok(hsae_dataset_read(data, which, BATCH, batch[0]));
        assert_ok(hsae_trainer_step(trainer, batch[0], NULL));
    }
    assert_int_equal(hsae_trainer_step_count(trainer), STEPS / 2);
    run(trainer, data, 0);
    assert_same(finish(trainer), expected, "halves and floats", 0);
    free(expected.data);
    hsae_dataset_close(&data);
}

/* ---- stopping and refusing ---- */

static bool stop_at_five(void *user, uint64_t step, uint64_t until)
{
    assert_null(user);
    assert_int_equal(until, STEPS);
    return step != 5;
}

static void test_cancel(void **unused)
{
    (void)unused;
    hsae_config config = config_of(BINARY);
    hsae_dataset *data = data_of(BINARY);
    struct bytes expected = undisturbed(&config, data);
    hsae_trainer *trainer = new_trainer(device, &config, data);
    assert_int_equal(hsae_trainer_run(trainer, data, &(hsae_run_params){.progress = stop_at_five}), HSAE_CANCELLED);
    assert_int_equal(hsae_trainer_step_count(trainer), 5);
    run(trainer, data, 0);
    assert_same(finish(trainer), expected, "cancelled at step", 5);
    free(expected.data);
    hsae_dataset_close(&data);
}

/* Refused data leave the trainer as it was. */
static void test_bad_data(void **unused)
{
    (void)unused;
    float batch[BATCH][DIM];
    hsae_config config = config_of(COACTIVATION);
    config.order = HSAE_ORDER_SEQUENTIAL;
    hsae_dataset *data = data_of(COACTIVATION), *bad = open_data("bad.safetensors");
    struct bytes expected = undisturbed(&config, data);
    hsae_trainer *trainer;
    assert_fails(hsae_trainer_create(device, &config, bad, &trainer), HSAE_ERROR_DATA, "bad.safetensors", "row 70", "column 3", NULL);
    assert_null(trainer);
    float value = rows[70][3];
    rows[70][3] = NAN;
    assert_fails(hsae_trainer_create_from_memory(device, &config, rows[0], ROWS, DIM, &trainer), HSAE_ERROR_DATA, "row 70", NULL);
    assert_null(trainer);
    rows[70][3] = value;
    assert_fails(hsae_trainer_create_from_memory(device, &config, rows[0], BATCH - 1, DIM, &trainer), HSAE_ERROR_DATA, "32", "33", NULL);

    trainer = new_trainer(device, &config, data);
    assert_fails(hsae_trainer_run(trainer, bad, &(hsae_run_params){0}), HSAE_ERROR_DATA, "bad.safetensors", "row 70", NULL);
    assert_int_equal(hsae_trainer_step_count(trainer), 2); /* row 70 is in the third batch */
    memcpy(batch, rows[2 * BATCH], sizeof batch);
    batch[7][18] = NAN;
    assert_fails(hsae_trainer_step(trainer, batch[0], NULL), HSAE_ERROR_DATA, "row 7", NULL);
    batch[7][18] = -INFINITY;
    assert_fails(hsae_trainer_step(trainer, batch[0], NULL), HSAE_ERROR_DATA, "row 7", NULL);
    assert_int_equal(hsae_trainer_step_count(trainer), 2);
    run(trainer, data, 0);
    assert_same(finish(trainer), expected, "bad data at step", 3);
    free(expected.data);
    hsae_dataset_close(&bad);
    hsae_dataset_close(&data);
}

/* A file that is cut during a run ends it at a step that needs what is gone, with all before it done. */
static bool cut_file(void *user, uint64_t step, uint64_t until)
{
    (void)until;
    if (step == 2)
        assert_int_equal(truncate(user, 400), 0);
    return true;
}

static void test_cut_data(void **unused)
{
    (void)unused;
    hsae_config config = config_of(COACTIVATION);
    write_rows(scratch("cut.safetensors"), HSAE_TENSOR_F32, rows);
    hsae_dataset *data = data_of(COACTIVATION), *cut = open_data("cut.safetensors");
    char path[256];
    snprintf(path, sizeof path, "%s", scratch("cut.safetensors"));
    config.steps = 30; /* more than are read ahead */
    struct bytes expected = undisturbed(&config, data);
    hsae_trainer *trainer = new_trainer(device, &config, data);
    assert_fails(hsae_trainer_run(trainer, cut, &(hsae_run_params){.progress = cut_file, .user = path}), HSAE_ERROR_FILE, "cut.safetensors",
                 "cannot be read", NULL);
    assert_true(hsae_trainer_step_count(trainer) >= 2 && hsae_trainer_step_count(trainer) < 20);
    run(trainer, data, 0);
    assert_same(finish(trainer), expected, "data cut after step", 2);
    free(expected.data);
    hsae_dataset_close(&cut);
    hsae_dataset_close(&data);
}

/* The model as a file and as a copy. */
static void assert_same_model(hsae_trainer *trainer)
{
    struct bytes file, copy;
    hsae_model *model;
    assert_ok(hsae_trainer_save_model(trainer, scratch("model.safetensors")));
    file.data = read_file(scratch("model.safetensors"), &file.size);
    assert_ok(hsae_trainer_model(trainer, &model));
    assert_ok(hsae_model_save(context, model, scratch("model.safetensors")));
    copy.data = read_file(scratch("model.safetensors"), &copy.size);
    hsae_model_free(&model);
    assert_same(copy, file, "copy of the model", 0);
    free(file.data);
}

static void test_last_step(void **unused)
{
    (void)unused;
    hsae_config config = config_of(BINARY);
    hsae_dataset *data = data_of(BINARY);
    hsae_trainer *trainer = new_trainer(device, &config, data);
    run(trainer, data, 0);
    assert_int_equal(hsae_trainer_step_count(trainer), STEPS);
    assert_same_model(trainer);
    assert_fails(hsae_trainer_step(trainer, rows[0], NULL), HSAE_ERROR_ARGUMENT, "13", NULL);
    run(trainer, data, 0);
    assert_int_equal(hsae_trainer_step_count(trainer), STEPS);
    hsae_trainer_destroy(&trainer);
    hsae_dataset_close(&data);
}

/* ---- limits ---- */

enum { WIDE = 300, WIDE_ROWS = 40, WIDE_BATCH = 8, WIDE_FEATURES = 48 + 150 };

static hsae_config wide_config(hsae_similarity similarity)
{
    hsae_config config = config_of(BINARY);
    config.similarity = similarity;
    config.level_count = 2;
    config.levels[0] = 48;
    config.levels[1] = 150;
    config.batch = WIDE_BATCH;
    config.dead_steps = 1000;
    return config;
}

/* Trains on a reference device whose bindings have at most `limit` bytes. */
static hsae_status wide_run(hsae_similarity similarity, uint64_t limit, uint32_t *ranges, struct bytes *bytes)
{
    static float wide[WIDE_ROWS][WIDE];
    hsae_config config = wide_config(similarity);
    hsae_device *narrow;
    hsae_trainer *trainer;
    for (int r = 0; r < WIDE_ROWS; r++)
        for (int k = 0; k < WIDE; k++)
            wide[r][k] = rows[r][k % DIM] * (float)(k % 7);
    assert_ok(hsae_device_open(context, "ref", &narrow));
    narrow->info.limits.max_binding_bytes = limit;
    hsae_status status = hsae_trainer_create_from_memory(narrow, &config, wide[0], WIDE_ROWS, WIDE, &trainer);
    for (int step = 0; step < STEPS && !status; step++)
        status = hsae_trainer_step(trainer, wide[step], NULL);
    if (!status) {
        *ranges = trainer->device_model.ranges;
        assert_true(trainer->has_tree);
        *bytes = finish(trainer);
    } else {
        hsae_trainer_destroy(&trainer);
    }
    hsae_device_close(&narrow);
    return status;
}

static void test_ranges(void **unused)
{
    (void)unused;
    const uint64_t decoder = UINT64_C(2) * WIDE_FEATURES * 304 * sizeof(float);
    for (hsae_similarity similarity = HSAE_SIMILARITY_ENCODER; similarity <= HSAE_SIMILARITY_DECODER; similarity++) {
        struct bytes expected, bytes;
        uint32_t ranges;
        assert_ok(wide_run(similarity, UINT64_MAX, &ranges, &expected));
        assert_int_equal(ranges, 1);
        for (uint32_t cut = 2; cut <= 4; cut *= 2) {
            assert_ok(wide_run(similarity, decoder / cut, &ranges, &bytes));
            assert_int_equal(ranges, cut);
            assert_same(bytes, expected, "ranges", cut);
        }
        free(expected.data);
    }
}

static void test_too_small(void **unused)
{
    (void)unused;
    const uint64_t row = 304 * sizeof(float);
    uint32_t ranges;
    struct bytes bytes;
    /* 55 rows in each of 4 buffers; the 198 features need 25 more. */
    assert_fails(wide_run(HSAE_SIMILARITY_ENCODER, 55 * row, &ranges, &bytes), HSAE_ERROR_LIMIT, "66880 bytes", "at most 220 rows",
                 "width 300", NULL);
}

/* ---- suites ---- */

static int open_suite(void **state)
{
    (void)state;
    return hsae_device_open(context, device_id, &device);
}

static int close_suite(void **state)
{
    (void)state;
    assert_int_equal(device->buffers, 0);
    assert_int_equal(device->sequences, 0);
    hsae_device_close(&device);
    return 0;
}

int main(void)
{
    const struct CMUnitTest limits[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_too_small),
    };
    const struct CMUnitTest suite[] = {
        cmocka_unit_test(test_same_seed),   cmocka_unit_test(test_resume),      cmocka_unit_test(test_resume_start),
        cmocka_unit_test(test_short_lists), cmocka_unit_test(test_from_memory), cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_both_feeds),  cmocka_unit_test(test_bad_data),    cmocka_unit_test(test_cut_data),
        cmocka_unit_test(test_last_step),   cmocka_unit_test(test_parts),       cmocka_unit_test(test_segments),
        cmocka_unit_test(test_screen_room),
    };
    hsae_device_info *list;
    size_t count;
    if (support_setup(NULL) || hsae_device_list(context, &list, &count))
        return 1;
    make_data();
    device_id = "ref";
    int failed = cmocka_run_group_tests_name("limits", limits, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        device_id = list[i].id;
        failed += cmocka_run_group_tests_name(list[i].id, suite, open_suite, close_suite);
    }
    hsae_free(list);
    return support_teardown(NULL) || failed;
}
