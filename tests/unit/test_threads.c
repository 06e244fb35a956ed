/* SPDX-License-Identifier: MIT */
/* What the headers say of threads: a context, data sets, models and tensor files are shared by any number of them; different devices, and
 * what is made on them, are independent; whatever belongs to one thread at a time may be handed on. Built with ThreadSanitizer by
 * tests/tsan.sh, which sees what goes wrong only now and then. */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

enum { DIM = 19, ROWS = 200, BATCH = 33, STEPS = 12, THREADS = 4, MAX_DEVICES = 8 };

static char ids[MAX_DEVICES][32]; /* of all devices */
static size_t id_count;
static hsae_dataset *data;
static hsae_model *model;
static pthread_barrier_t start; /* of the threads of a test */

/* The log callback is called by all threads. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned errors;

static void keep_errors(void *user, hsae_log_level level, const char *message)
{
    pthread_mutex_lock(&log_lock);
    if (level == HSAE_LOG_ERROR)
        errors++;
    keep_message(user, level, message);
    pthread_mutex_unlock(&log_lock);
}

/* ---- threads ---- */

/* One thread's part of a test; what it found is judged by the main thread. */
struct part {
    unsigned number;
    const char *id; /* of a device */
    hsae_status status;
    bool good;
    char path[2200]; /* a file of its own */
    hsae_device *device;
    hsae_trainer *trainer;
    hsae_evaluation evaluation;
};

/* Runs all parts at once and checks that each went well. */
static void run_parts(struct part *parts, unsigned count, void *(*function)(void *))
{
    pthread_t threads[THREADS];
    assert_true(count <= THREADS);
    assert_int_equal(pthread_barrier_init(&start, NULL, count), 0);
    for (unsigned k = 0; k < count; k++) {
        parts[k].number = k;
        snprintf(parts[k].path, sizeof parts[k].path, "%s/part-%u.safetensors", folder, k);
        assert_int_equal(pthread_create(&threads[k], NULL, function, &parts[k]), 0);
    }
    for (unsigned k = 0; k < count; k++)
        assert_int_equal(pthread_join(threads[k], NULL), 0);
    pthread_barrier_destroy(&start);
    for (unsigned k = 0; k < count; k++) {
        assert_ok(parts[k].status);
        assert_true(parts[k].good);
    }
}

/* ---- data ---- */

/* Whole numbers, so that the rows of a file in float16 are the same. */
static float number(uint64_t row, uint64_t k)
{
    return (float)((row * 2654435761u + k * 40503u) >> 7 & 63) - 32;
}

static void make_data(void)
{
    float rows[ROWS][DIM];
    for (uint64_t r = 0; r < ROWS; r++)
        for (uint64_t k = 0; k < DIM; k++)
            rows[r][k] = number(r, k);
    const char *path = scratch("data.safetensors");
    const hsae_new_tensor tensor = {.name = "activations", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {ROWS, DIM}, .data = rows};
    assert_ok(hsae_tensor_file_write(context, path, NULL, 0, &tensor, 1));
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1}, &data));
}

static hsae_config make_config(void)
{
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.levels[0] = 16;
    config.levels[1] = 40;
    config.target_l0[0] = config.target_l0[1] = 3;
    config.batch = BATCH;
    config.steps = STEPS;
    config.hierarchy_period = 4;
    config.seed = 5;
    config.rho = 0.1;
    config.perturb = 0.2;
    return config;
}

/* ---- trainers ---- */

/* A whole run: half of it, a checkpoint, the rest on another trainer, and its checkpoint in part->path. */
static hsae_status train(struct part *part)
{
    hsae_config config = make_config();
    hsae_trainer *trainer = NULL;
    hsae_device *device = NULL;
    hsae_status status = hsae_device_open(context, part->id, &device);
    if (!status)
        status = hsae_trainer_create(device, &config, data, &trainer);
    if (!status)
        status = hsae_trainer_run(trainer, data, &(hsae_run_params){.until = STEPS / 2});
    if (!status)
        status = hsae_trainer_save_checkpoint(trainer, part->path);
    hsae_trainer_destroy(&trainer);
    if (!status)
        status = hsae_trainer_resume(device, part->path, NULL, NULL, &trainer);
    if (!status)
        status = hsae_trainer_run(trainer, data, &(hsae_run_params){0});
    if (!status)
        status = hsae_trainer_save_checkpoint(trainer, part->path);
    hsae_trainer_destroy(&trainer);
    hsae_device_close(&device);
    return status;
}

static void *train_part(void *user)
{
    struct part *part = user;
    pthread_barrier_wait(&start);
    part->status = train(part);
    part->good = true;
    return NULL;
}

static void assert_same_file(const char *path, const char *expected_path)
{
    size_t size, expected_size;
    unsigned char *found = read_file(path, &size), *expected = read_file(expected_path, &expected_size);
    assert_int_equal(size, expected_size);
    assert_memory_equal(found, expected, size);
    free(found);
    free(expected);
}

/* Every pair of devices, each with itself too: two handles of one device are two devices. Both end as they do alone. */
static void test_two_trainers(void **state)
{
    (void)state;
    char alone[MAX_DEVICES][256];
    for (size_t i = 0; i < id_count; i++) {
        struct part part = {.id = ids[i]};
        snprintf(alone[i], sizeof alone[i], "%s/alone-%zu.safetensors", folder, i);
        snprintf(part.path, sizeof part.path, "%s", alone[i]);
        assert_ok(train(&part));
    }
    for (size_t i = 0; i < id_count; i++)
        for (size_t j = i; j < id_count; j++) {
            struct part parts[2] = {{.id = ids[i]}, {.id = ids[j]}};
            run_parts(parts, 2, train_part);
            assert_same_file(parts[0].path, alone[i]);
            assert_same_file(parts[1].path, alone[j]);
        }
}

/* One thread makes device and trainer, a second one trains, a third one saves and ends it. */
static void *make_part(void *user)
{
    struct part *part = user;
    hsae_config config = make_config();
    part->status = hsae_device_open(context, part->id, &part->device);
    if (!part->status)
        part->status = hsae_trainer_create(part->device, &config, data, &part->trainer);
    part->good = true;
    return NULL;
}

static void *run_part(void *user)
{
    struct part *part = user;
    part->status = hsae_trainer_run(part->trainer, data, &(hsae_run_params){0});
    return NULL;
}

static void *end_part(void *user)
{
    struct part *part = user;
    part->status = hsae_trainer_save_model(part->trainer, part->path);
    hsae_trainer_destroy(&part->trainer);
    hsae_device_close(&part->device);
    return NULL;
}

static void test_handed_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < id_count; i++) {
        struct part part = {.id = ids[i]};
        run_parts(&part, 1, make_part);
        run_parts(&part, 1, run_part);
        run_parts(&part, 1, end_part);
    }
}

static void *list_part(void *user)
{
    struct part *part = user;
    hsae_device_info *list = NULL;
    size_t count = 0;
    char id[32];
    pthread_barrier_wait(&start);
    part->status = hsae_device_list(context, &list, &count);
    if (!part->status)
        part->status = hsae_device_default(context, id, NULL);
    for (size_t again = 0; again < count && !part->status; again++) {
        hsae_device *device;
        part->status = hsae_device_open(context, list[(part->number + again) % count].id, &device);
        if (!part->status)
            hsae_device_close(&device);
    }
    part->good = count >= 1;
    hsae_free(list);
    return NULL;
}

/* The first thing that this process does with any driver. */
static void test_devices(void **state)
{
    (void)state;
    struct part parts[THREADS] = {0};
    run_parts(parts, THREADS, list_part);
}

/* ---- data sets, models, files ---- */

static bool rows_are_right(const hsae_dataset *dataset, uint64_t first, const uint64_t *rows, size_t count)
{
    float found[8 * DIM];
    bool good = !hsae_dataset_read(dataset, rows, count, found);
    for (size_t i = 0; i < count * DIM && good; i++)
        good = found[i] == number(first + rows[i / DIM], i % DIM);
    return good;
}

static void *read_part(void *user)
{
    struct part *part = user;
    char file[256];
    const char *paths[] = {file};
    snprintf(file, sizeof file, "%s/data.safetensors", folder);
    part->good = true;
    pthread_barrier_wait(&start);
    for (uint64_t again = 0; again < 50 && !part->status && part->good; again++) {
        hsae_dataset *own = NULL, *slice = NULL, *inner = NULL;
        uint64_t first = (31 * again + part->number) % (ROWS - 40);
        part->good = rows_are_right(data, 0, (uint64_t[]){first, first + 1, first + 2, ROWS - 1, first / 2}, 5);
        part->status = hsae_dataset_open(context, &(hsae_dataset_params){.paths = paths, .path_count = 1}, &own);
        if (!part->status)
            part->status = hsae_dataset_slice(data, first, 30, &slice); /* of the one that all share */
        if (!part->status)
            part->status = hsae_dataset_slice(own, first, 30, &inner);
        hsae_dataset_close(&own);
        part->good = part->good && !part->status && rows_are_right(slice, first, (uint64_t[]){29, 3, 4}, 3) &&
                     rows_are_right(inner, first, (uint64_t[]){0, 1, 2, 17}, 4) && hsae_dataset_rows(inner) == 30;
        hsae_dataset_close(&slice);
        hsae_dataset_close(&inner);
    }
    return NULL;
}

static void test_datasets(void **state)
{
    (void)state;
    struct part parts[THREADS] = {0};
    run_parts(parts, THREADS, read_part);
}

/* A session on a device of the thread's own, the model shared. */
static void *session_part(void *user)
{
    struct part *part = user;
    hsae_device *device = NULL;
    hsae_session *session = NULL;
    hsae_features features[HSAE_MAX_LEVELS] = {0};
    float rows[8 * DIM], back[8 * DIM];
    pthread_barrier_wait(&start);
    part->status = hsae_device_open(context, part->id, &device);
    if (!part->status)
        part->status = hsae_session_create(device, model, 64, &session);
    if (!part->status)
        part->status = hsae_dataset_read(data, (uint64_t[]){0, 1, 2, 3, 4, 5, 6, 7}, 8, rows);
    if (!part->status)
        part->status = hsae_session_encode(session, rows, 8, features);
    if (!part->status)
        part->status = hsae_session_decode(session, 1, &features[1], back);
    if (!part->status)
        part->status = hsae_session_evaluate(session, data, NULL, NULL, &part->evaluation);
    for (int again = 0; again < 5 && !part->status; again++) {
        part->status = hsae_model_save(context, model, part->path);
        hsae_os_sweep(folder, NULL); /* what the others are writing stays */
    }
    part->good = hsae_model_level(model, 1).features == hsae_model_config(model)->levels[1] && hsae_model_dim(model) == DIM &&
                 hsae_model_mean(model) && hsae_model_scale(model) > 0;
    for (uint32_t l = 0; l < hsae_model_config(model)->level_count; l++)
        hsae_features_free(&features[l]);
    hsae_session_destroy(&session);
    hsae_device_close(&device);
    return NULL;
}

static void test_sessions(void **state)
{
    (void)state;
    struct part parts[THREADS] = {0}, maker = {.id = "ref"};
    snprintf(maker.path, sizeof maker.path, "%s/model.safetensors", folder);
    assert_ok(train(&maker));
    assert_ok(hsae_model_load(context, maker.path, &model));
    for (unsigned k = 0; k < THREADS; k++)
        parts[k].id = ids[k % id_count];
    run_parts(parts, THREADS, session_part);
    for (unsigned k = 0; k < THREADS; k++) {
        assert_same_file(parts[k].path, parts[0].path);
        if (parts[k].id == parts[0].id)
            assert_memory_equal(&parts[k].evaluation, &parts[0].evaluation, sizeof parts[k].evaluation);
    }
    hsae_model_free(&model);
}

static hsae_tensor_file *shared_file;

static void *file_part(void *user)
{
    struct part *part = user;
    const hsae_tensor *tensor = hsae_tensor_file_find(shared_file, "activations");
    float values[3 * DIM];
    pthread_barrier_wait(&start);
    part->good = hsae_tensor_file_count(shared_file) == 1 && tensor && !hsae_tensor_file_metadata(shared_file, "none");
    for (uint64_t row = part->number; row + 3 <= ROWS && part->good && !part->status; row++) {
        part->status = hsae_tensor_read(shared_file, tensor, row * DIM, 3 * (size_t)DIM, values);
        for (uint64_t i = 0; i < 3 * DIM && part->good; i++)
            part->good = values[i] == number(row + i / DIM, i % DIM);
    }
    return NULL;
}

static void test_tensor_files(void **state)
{
    (void)state;
    struct part parts[THREADS] = {0};
    assert_ok(hsae_tensor_file_open(context, scratch("data.safetensors"), &shared_file));
    run_parts(parts, THREADS, file_part);
    hsae_tensor_file_close(&shared_file);
}

/* ---- messages ---- */

enum { FAILURES = 20 };

static void *fail_part(void *user)
{
    struct part *part = user;
    const char *nowhere = "/nowhere/at/all";
    hsae_config config = make_config();
    part->good = true;
    pthread_barrier_wait(&start);
    for (int again = 0; again < FAILURES && part->good; again++) {
        hsae_dataset *none;
        part->good = hsae_dataset_open(context, &(hsae_dataset_params){.paths = &nowhere, .path_count = 1}, &none) == HSAE_ERROR_FILE &&
                     hsae_config_set(context, &config, "stepps", "1") == HSAE_ERROR_CONFIG && hsae_status_name(HSAE_ERROR_FILE)[0] == 'E' &&
                     hsae_status_sentence(HSAE_ERROR_FILE)[0] && hsae_os_advice(ENOSPC)[0];
    }
    return NULL;
}

static void test_messages(void **state)
{
    (void)state;
    struct part parts[THREADS] = {0};
    unsigned before = errors;
    run_parts(parts, THREADS, fail_part);
    assert_int_equal(errors - before, 2 * FAILURES * THREADS);
}

/* Each thread has its own last error. */
static void *fail_mine(void *user)
{
    struct part *part = user;
    char key[32];
    hsae_config config = make_config();
    snprintf(key, sizeof key, "key_%u", part->number);
    part->good = *hsae_last_error() == '\0';
    pthread_barrier_wait(&start);
    for (int again = 0; again < FAILURES && part->good; again++)
        part->good = hsae_config_set(context, &config, key, "1") == HSAE_ERROR_CONFIG && strstr(hsae_last_error(), key) &&
                     hsae_config_set(context, &config, "steps", "1") == HSAE_OK && strstr(hsae_last_error(), key); /* it stays */
    return NULL;
}

static void test_last_error(void **state)
{
    (void)state;
    struct part parts[THREADS] = {0};
    hsae_dataset *none;
    assert_true(hsae_dataset_open(NULL, &(hsae_dataset_params){0}, &none) == HSAE_ERROR_ARGUMENT);
    assert_string_equal(hsae_last_error(), "hsae_dataset_open: the argument `context` is NULL");
    run_parts(parts, THREADS, fail_mine);
    assert_string_equal(hsae_last_error(), "hsae_dataset_open: the argument `context` is NULL");
}

static int setup(void **state)
{
    const hsae_context_params params = {.log = keep_errors};
    (void)state;
    if (hsae_os_temporary_folder(folder, sizeof folder) || hsae_context_create(&params, &context))
        return 1;
    make_data();
    return 0;
}

static int find_devices(void **state)
{
    hsae_device_info *list;
    size_t count;
    (void)state;
    if (hsae_device_list(context, &list, &count))
        return 1;
    for (id_count = 0; id_count < count && id_count < MAX_DEVICES; id_count++)
        snprintf(ids[id_count], sizeof ids[0], "%s", list[id_count].id);
    hsae_free(list);
    return 0;
}

static int teardown(void **state)
{
    hsae_dataset_close(&data);
    return support_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices), /* first */
        cmocka_unit_test_setup(test_two_trainers, find_devices),
        cmocka_unit_test_setup(test_handed_on, find_devices),
        cmocka_unit_test(test_datasets),
        cmocka_unit_test_setup(test_sessions, find_devices),
        cmocka_unit_test(test_tensor_files),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_last_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
