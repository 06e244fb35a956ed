/* SPDX-License-Identifier: MIT */
/* Training on a source: the bytes of training on the same rows in files, from any position, through short reads, several epochs, a folder,
 * errors. */
#include "support.h"

#include "train/order.h"
#include <math.h>
#include <stdatomic.h>
#ifndef _WIN32
#include <signal.h>
#include <sys/wait.h>
#endif

enum { DIM = 11, ROWS = 150, BATCH = 33, STEPS = 13 };

static hsae_device *device;
static float rows[ROWS][DIM];

/* A source of `rows`, and what is to go wrong with it. */
struct producer {
    uint64_t at, end, seeks, reads, given;
    uint64_t fail_at;       /* row that cannot be read; 0: none */
    hsae_status failure;    /* with which status */
    uint64_t too_many;      /* says that it gave so many more than there is room for */
    _Atomic uint64_t drawn; /* samples of submitted steps */
    uint64_t ahead;         /* the most rows given beyond these */
};

static hsae_status read_rows(void *user, void *out, uint64_t max, uint64_t *got)
{
    struct producer *producer = user;
    uint64_t count = 1 + producer->reads++ % 7, left = producer->end - producer->at;
    if (producer->fail_at && producer->at <= producer->fail_at && producer->at + count > producer->fail_at) {
        count = producer->fail_at - producer->at;
        if (count == 0)
            return producer->failure;
    }
    count = count < max ? count : max;
    count = count < left ? count : left;
    memcpy(out, rows[producer->at], count * sizeof *rows);
    producer->at += count;
    producer->given += count;
    uint64_t drawn = atomic_load(&producer->drawn);
    producer->ahead = producer->given > drawn + producer->ahead ? producer->given - drawn : producer->ahead;
    *got = count + producer->too_many;
    return HSAE_OK;
}

static hsae_status seek(void *user, uint64_t position)
{
    struct producer *producer = user;
    producer->seeks++;
    producer->at = position;
    return HSAE_OK;
}

static hsae_source *open_source(struct producer *producer, uint64_t buffer, bool seeks, const char *folder_name)
{
    hsae_source *source;
    producer->end = producer->end ? producer->end : ROWS;
    const hsae_source_params params = {
        .dim = DIM,
        .dtype = HSAE_DTYPE_F32,
        .read = read_rows,
        .seek = seeks ? seek : NULL,
        .user = producer,
        .identity = "rows of a test",
        .buffer_rows = buffer,
        .folder = folder_name,
    };
    assert_ok(hsae_source_open(context, &params, &source));
    return source;
}

static hsae_config config_of(hsae_order order)
{
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.levels[0] = 8;
    config.levels[1] = 24;
    config.batch = BATCH;
    config.steps = STEPS;
    config.lr = 0.02;
    config.hierarchy_period = 4;
    config.order = order;
    config.seed = 77;
    config.target_l0[0] = config.target_l0[1] = 1;
    return config;
}

static void make_rows(void)
{
    uint64_t state = 5;
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < DIM; k++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            rows[r][k] = (float)(state >> 40) / 8388608 - 1 + (float)(r % 5 == k % 5);
        }
}

struct bytes {
    unsigned char *data;
    size_t size;
};

static struct bytes bytes_of(hsae_trainer *trainer, bool checkpoint)
{
    struct bytes bytes;
    assert_ok(checkpoint ? hsae_trainer_save_checkpoint(trainer, scratch("bytes.safetensors"))
                         : hsae_trainer_save_model(trainer, scratch("bytes.safetensors")));
    bytes.data = read_file(scratch("bytes.safetensors"), &bytes.size);
    return bytes;
}

/* Destroys the trainer, frees `bytes`. */
static void assert_ends_as(hsae_trainer *trainer, bool checkpoint, const struct bytes *expected, const char *what, uint64_t number)
{
    struct bytes bytes = bytes_of(trainer, checkpoint);
    hsae_trainer_destroy(&trainer);
    if (bytes.size != expected->size || memcmp(bytes.data, expected->data, bytes.size) != 0)
        fail_msg("%s %llu: other bytes", what, (unsigned long long)number);
    free(bytes.data);
}

static hsae_trainer *fresh(const hsae_config *config)
{
    hsae_dataset *data;
    hsae_trainer *trainer;
    assert_ok(hsae_dataset_from_memory(context, rows, HSAE_DTYPE_F32, ROWS, DIM, &data));
    assert_ok(hsae_trainer_create(device, config, data, &trainer));
    hsae_dataset_close(&data);
    return trainer;
}

/* The model after training on the rows as a data set. */
static struct bytes from_data_set(const hsae_config *config)
{
    hsae_dataset *data;
    hsae_trainer *trainer = fresh(config);
    assert_ok(hsae_dataset_from_memory(context, rows, HSAE_DTYPE_F32, ROWS, DIM, &data));
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){0}));
    struct bytes bytes = bytes_of(trainer, false);
    hsae_trainer_destroy(&trainer);
    hsae_dataset_close(&data);
    return bytes;
}

static bool note_drawn(void *user, uint64_t step, uint64_t until)
{
    (void)until;
    atomic_store(&((struct producer *)user)->drawn, step * BATCH);
    return true;
}

/* All rows within half of the buffer, or within the buffer in sequential order: no seek is needed, and a model has the same bytes. Two rows
 * are left out on the way. */
static void test_as_data_set(void **unused)
{
    (void)unused;
    float kept[2] = {rows[3][0], rows[140][2]};
    rows[3][0] = 1e4f, rows[140][2] = 2e4f;
    for (hsae_order order = HSAE_ORDER_SHUFFLE; order <= HSAE_ORDER_SEQUENTIAL; order++) {
        const hsae_config config = config_of(order);
        struct bytes expected = from_data_set(&config);
        for (uint64_t buffer = order == HSAE_ORDER_SHUFFLE ? 2 * ROWS : ROWS; buffer <= 400; buffer += 50) {
            struct producer producer = {0};
            hsae_source *source = open_source(&producer, buffer, false, NULL);
            hsae_trainer *trainer;
            assert_int_equal(hsae_source_rows(source), 0);
            assert_ok(hsae_trainer_create_from_source(device, &config, source, &trainer));
            assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
            assert_int_equal(hsae_source_rows(source), ROWS);
            assert_int_equal(producer.given, ROWS);
            assert_int_equal(hsae_trainer_left_out(trainer).norm, 2);
            assert_int_equal(hsae_trainer_left_out(trainer).rows, ROWS);
            hsae_source_close(&source);
            assert_ends_as(trainer, false, &expected, "buffer of rows", buffer);
        }
        free(expected.data);
    }
    rows[3][0] = kept[0], rows[140][2] = kept[1];
}

/* The order of smaller buffers, as the header defines it: the same rows by hand give the same model. The source is never read further than
 * one half ahead. */
static void test_order(void **unused)
{
    (void)unused;
    const hsae_config config = config_of(HSAE_ORDER_SHUFFLE);
    for (uint64_t half = 10; half <= 75; half += half == 10 ? 6 : 59) { /* 15 blocks; 10, of 16 and at last 6; 2 */
        float batch[BATCH][DIM];
        uint64_t blocks = (ROWS + half - 1) / half, refill = 0, at = 0;
        hsae_trainer *by_hand = fresh(&config), *trainer = fresh(&config);
        for (uint64_t sample = 0; sample < STEPS * BATCH; sample++) {
            uint64_t first = refill % blocks * half, count = ROWS - first < half ? ROWS - first : half;
            memcpy(batch[sample % BATCH], rows[first + hsae_order_row(config.order, config.seed, refill * count + at, count)],
                   sizeof *batch);
            at = at + 1 < count ? at + 1 : 0;
            refill += at == 0;
            if (sample % BATCH == BATCH - 1)
                assert_ok(hsae_trainer_step(by_hand, batch[0], NULL));
        }
        struct bytes expected = bytes_of(by_hand, false);
        hsae_trainer_destroy(&by_hand);
        struct producer producer = {0};
        hsae_source *source = open_source(&producer, 2 * half, true, NULL);
        assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){.progress = note_drawn, .user = &producer}));
        assert_int_equal(producer.seeks, blocks > 2 ? 2 : 0); /* twice back to row 0 */
        assert_true(producer.ahead <= 2 * half + BATCH);
        hsae_source_close(&source);
        assert_ends_as(trainer, false, &expected, "halves of", half);
        free(expected.data);
    }
}

/* What a run that is not stopped ends with. */
static struct bytes bytes_of_whole_run(const hsae_config *config, uint64_t half, bool seek)
{
    struct producer producer = {0};
    hsae_source *source = open_source(&producer, 2 * half, seek, NULL);
    hsae_trainer *trainer = fresh(config);
    assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
    struct bytes bytes = bytes_of(trainer, true);
    hsae_trainer_destroy(&trainer);
    hsae_source_close(&source);
    return bytes;
}

/* Stopped and resumed at every step with a new source, and gone on with in the same one: with a seek, and in the first epoch without. */
static void test_resume(void **unused)
{
    (void)unused;
    const hsae_config config = config_of(HSAE_ORDER_SHUFFLE);
    for (uint64_t half = 25; half <= 75; half += 7 + half % 2 * 36) { /* 6 blocks; 3, of 68 and at last 14 */
        hsae_source *source;
        hsae_trainer *trainer;
        struct bytes expected = bytes_of_whole_run(&config, half, true);
        for (uint64_t stop = 0; stop <= STEPS; stop++)
            for (int way = 0; way < 3; way++) {
                struct producer first = {0}, second = {0};
                source = open_source(&first, 2 * half, true, NULL);
                trainer = fresh(&config);
                if (stop)
                    assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){.until = stop}));
                if (way) {
                    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("stop.safetensors")));
                    hsae_trainer_destroy(&trainer);
                    hsae_source_close(&source);
                    assert_ok(hsae_trainer_resume(device, scratch("stop.safetensors"), NULL, NULL, &trainer));
                    second.end = way == 2 ? ROWS : 0;
                    source = open_source(&second, 2 * half, way == 1, NULL);
                }
                hsae_status status = hsae_trainer_run_source(trainer, source, &(hsae_run_params){0});
                if (way == 2 && half < 75 && stop * BATCH < 2 * ROWS) { /* it cannot begin again */
                    assert_fails(status, HSAE_ERROR_DATA, "source \"rows of a test\" ended after 150 rows", "seek", NULL);
                    hsae_trainer_destroy(&trainer);
                } else {
                    assert_ok(status);
                    assert_ends_as(trainer, true, &expected, way ? "resumed at step" : "gone on at step", stop);
                }
                hsae_source_close(&source);
            }
        free(expected.data);
    }
}

#ifndef _WIN32
static bool save(void *user, hsae_trainer *trainer)
{
    (void)user;
    return hsae_trainer_save_checkpoint(trainer, scratch("killed.safetensors")) == HSAE_OK;
}

static bool kill_at_8(void *user, uint64_t step, uint64_t until)
{
    (void)user, (void)until;
    return step < 8 || kill(getpid(), SIGKILL);
}

/* Killed in the middle of a half, while the other is being filled; resumed from the last checkpoint, of step 6. */
static void test_killed(void **unused)
{
    (void)unused;
    const hsae_config config = config_of(HSAE_ORDER_SHUFFLE);
    const hsae_run_params params = {.checkpoint_every = 3, .checkpoint = save, .progress = kill_at_8};
    struct producer producer = {0}, first = {0}, second = {0};
    int ending;
    hsae_source *source = open_source(&producer, 50, true, NULL);
    hsae_trainer *trainer = fresh(&config);
    assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
    struct bytes expected = bytes_of(trainer, true);
    hsae_trainer_destroy(&trainer);
    hsae_source_close(&source);
    pid_t child = fork();
    if (child == 0) {
        source = open_source(&first, 50, true, NULL);
        hsae_trainer_run_source(fresh(&config), source, &params);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &ending, 0), child);
    assert_true(WIFSIGNALED(ending) && WTERMSIG(ending) == SIGKILL);
    source = open_source(&second, 50, true, NULL);
    assert_ok(hsae_trainer_resume(device, scratch("killed.safetensors"), NULL, NULL, &trainer));
    assert_int_equal(hsae_trainer_step_count(trainer), 6);
    assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
    assert_ends_as(trainer, true, &expected, "killed after step", 8);
    hsae_source_close(&source);
    free(expected.data);
}
#endif

/* Without a seek, in the first epoch and where the buffer holds all of it. */
static void test_resume_pipe(void **unused)
{
    (void)unused;
    for (uint64_t half = 25; half <= 75; half += 50) {
        hsae_config config = config_of(HSAE_ORDER_SHUFFLE);
        config.steps = half == 75 ? STEPS : 4;
        hsae_source *source;
        hsae_trainer *trainer;
        struct bytes expected = bytes_of_whole_run(&config, half, false);
        for (uint64_t stop = 1; stop < config.steps; stop++) {
            struct producer first = {0}, second = {0};
            source = open_source(&first, 2 * half, false, NULL);
            trainer = fresh(&config);
            assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){.until = stop}));
            assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("stop.safetensors")));
            hsae_trainer_destroy(&trainer);
            hsae_source_close(&source);
            source = open_source(&second, 2 * half, false, NULL);
            assert_ok(hsae_trainer_resume(device, scratch("stop.safetensors"), NULL, NULL, &trainer));
            assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
            assert_ends_as(trainer, true, &expected, "resumed at step", stop);
            hsae_source_close(&source);
        }
        free(expected.data);
    }
}

/* A folder keeps the rows: later epochs and later runs read it, and it is a data set of the same rows. */
static void test_folder(void **unused)
{
    (void)unused;
    const hsae_config config = config_of(HSAE_ORDER_SHUFFLE);
    const char *kept = scratch("kept/rows");
    struct producer producer = {0}, none = {.fail_at = 1, .failure = HSAE_ERROR_FILE, .at = 1};
    hsae_source *source = open_source(&producer, 64, false, kept); /* 5 blocks, of 32 and at last 22 */
    hsae_trainer *trainer;
    assert_ok(hsae_trainer_create_from_source(device, &config, source, &trainer));
    assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
    assert_int_equal(producer.given, ROWS);
    struct bytes expected = bytes_of(trainer, true);
    hsae_trainer_destroy(&trainer);
    hsae_source_close(&source);

    source = open_source(&none, 64, false, kept);
    assert_ok(hsae_trainer_create_from_source(device, &config, source, &trainer));
    assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
    assert_int_equal(none.given, 0);
    assert_ends_as(trainer, true, &expected, "rows of the source", ROWS);
    free(expected.data);
    hsae_source_close(&source);

    hsae_dataset *data, *memory;
    uint64_t found, wanted;
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &kept, .path_count = 1}, &data));
    assert_ok(hsae_dataset_from_memory(context, rows, HSAE_DTYPE_F32, ROWS, DIM, &memory));
    assert_ok(hsae_dataset_fingerprint(data, &found));
    assert_ok(hsae_dataset_fingerprint(memory, &wanted));
    assert_int_equal(found, wanted);
    hsae_dataset_close(&data);
    hsae_dataset_close(&memory);

    for (int again = 0; again < 2; again++) { /* the second attempt writes nothing over it, either */
        source = open_source(&producer, 66, false, kept);
        assert_fails(hsae_trainer_create_from_source(device, &config, source, &trainer), HSAE_ERROR_CONFIG,
                     "kept/rows/rows-00000000.safetensors", "66 rows", NULL);
        assert_fails(hsae_trainer_create_from_source(device, &config, source, &trainer), HSAE_ERROR_CONFIG, "another buffer", NULL);
        hsae_source_close(&source);
    }
    source = open_source(&none, 64, false, kept);
    assert_ok(hsae_trainer_create_from_source(device, &config, source, &trainer));
    hsae_trainer_destroy(&trainer);
    hsae_source_close(&source);
}

/* A row that cannot be read ends the run before the step that needs it; the next run goes on, to the same bytes. */
static void test_failing(void **unused)
{
    (void)unused;
    const hsae_config config = config_of(HSAE_ORDER_SHUFFLE);
    struct producer producer = {0};
    hsae_source *source = open_source(&producer, 50, true, NULL);
    hsae_trainer *trainer = fresh(&config);
    assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
    struct bytes expected = bytes_of(trainer, true);
    hsae_trainer_destroy(&trainer);
    hsae_source_close(&source);
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        struct producer failing = {.fail_at = 113, .failure = cancelled ? HSAE_CANCELLED : HSAE_ERROR_NO_DEVICE};
        source = open_source(&failing, 50, true, NULL);
        trainer = fresh(&config);
        strcpy(messages[HSAE_LOG_ERROR], "");
        assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){.until = 3})); /* no step needs it yet */
        assert_string_equal(messages[HSAE_LOG_ERROR], "");
        hsae_status status = hsae_trainer_run_source(trainer, source, &(hsae_run_params){0});
        if (cancelled)
            assert_true(status == HSAE_CANCELLED && !*messages[HSAE_LOG_ERROR]);
        else
            assert_fails(status, HSAE_ERROR_NO_DEVICE, "source \"rows of a test\": row 113 cannot be read: no such device", NULL);
        assert_int_equal(hsae_trainer_step_count(trainer), 3); /* samples 99 to 131 need block 4, rows 100 to 124 */
        failing.fail_at = 0;
        assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
        assert_ends_as(trainer, true, &expected, "gone on after row", 113);
        hsae_source_close(&source);
    }
    free(expected.data);
}

static void test_bad_rows(void **unused)
{
    (void)unused;
    hsae_config config = config_of(HSAE_ORDER_SEQUENTIAL);
    float kept = rows[70][3];
    hsae_trainer *trainer = fresh(&config);
    struct producer producer = {0}, again = {0};
    hsae_source *source = open_source(&producer, 50, true, NULL);
    rows[70][3] = NAN;
    assert_fails(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}), HSAE_ERROR_DATA, "row 70 has a value that is not finite",
                 NULL);
    assert_true(hsae_trainer_met_bad_row(trainer));
    assert_int_equal(hsae_trainer_step_count(trainer), 2);
    hsae_trainer_destroy(&trainer);
    hsae_source_close(&source);
    config.skip_bad_rows = true;
    source = open_source(&again, 50, true, NULL);
    assert_ok(hsae_trainer_create_from_source(device, &config, source, &trainer));
    assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
    hsae_left_out left_out = hsae_trainer_left_out(trainer);
    assert_true(left_out.bad == 1 && left_out.first == 70 && left_out.rows == ROWS);
    hsae_trainer_destroy(&trainer);
    hsae_source_close(&source);
    for (int r = 75; r < 100; r++)
        rows[r][3] = NAN;
    struct producer third = {0};
    source = open_source(&third, 50, true, NULL);
    assert_ok(hsae_trainer_create_from_source(device, &config, source, &trainer));
    assert_fails(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}), HSAE_ERROR_DATA, "row 75 is left out",
                 "all of the 24 rows after it", NULL);
    hsae_trainer_destroy(&trainer);
    hsae_source_close(&source);
    make_rows();
    assert_true(rows[70][3] == kept);
}

static void test_refusals(void **unused)
{
    (void)unused;
    const hsae_config config = config_of(HSAE_ORDER_SHUFFLE);
    struct producer producer = {0}, empty = {.at = 1, .end = 1}, liar = {.too_many = ROWS};
    hsae_source_params params = {
        .dim = DIM, .dtype = HSAE_DTYPE_F32, .read = read_rows, .seek = seek, .user = &producer, .buffer_rows = 50};
    hsae_trainer *trainer = fresh(&config), *none;
    hsae_source *source, *other;
    producer.end = ROWS;
    assert_ok(hsae_source_open(context, &params, &source));
    assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){.until = 2}));
    params.identity = "others";
    assert_ok(hsae_source_open(context, &params, &other));
    assert_fails(hsae_trainer_run_source(trainer, other, &(hsae_run_params){0}), HSAE_ERROR_CONFIG, "source \"others\" is not",
                 "66 samples", NULL);
    hsae_source_close(&other);
    params.identity = NULL;
    params.buffer_rows = 60;
    assert_ok(hsae_source_open(context, &params, &other));
    assert_fails(hsae_trainer_run_source(trainer, other, &(hsae_run_params){0}), HSAE_ERROR_CONFIG, "60 rows", "began with 50", NULL);
    hsae_source_close(&other);
    params.dim = DIM - 1;
    assert_ok(hsae_source_open(context, &params, &other));
    assert_fails(hsae_trainer_run_source(trainer, other, &(hsae_run_params){0}), HSAE_ERROR_DATA, "width 10", "width 11", NULL);
    hsae_source_close(&other);
    assert_ok(hsae_trainer_run_source(trainer, source, &(hsae_run_params){0}));
    hsae_source_close(&source);
    hsae_trainer_destroy(&trainer);

    source = open_source(&empty, 50, true, NULL);
    assert_fails(hsae_trainer_create_from_source(device, &config, source, &none), HSAE_ERROR_DATA, "has no rows", NULL);
    hsae_source_close(&source);
    source = open_source(&liar, 50, true, NULL);
    assert_fails(hsae_trainer_create_from_source(device, &config, source, &none), HSAE_ERROR_ARGUMENT, "151 rows", "room for 25", NULL);
    hsae_source_close(&source);
    params.dim = 0;
    assert_fails(hsae_source_open(context, &params, &source), HSAE_ERROR_ARGUMENT, "width 0", NULL);
    params.dim = DIM, params.buffer_rows = 1;
    assert_fails(hsae_source_open(context, &params, &source), HSAE_ERROR_ARGUMENT, "1 rows", NULL);
    params.read = NULL;
    assert_fails(hsae_source_open(context, &params, &source), HSAE_ERROR_ARGUMENT, "`read` is NULL", NULL);
    assert_null(source);
}

int main(void)
{
    const struct CMUnitTest suite[] = {
#ifndef _WIN32
        cmocka_unit_test(test_killed),
#endif
        cmocka_unit_test(test_as_data_set), cmocka_unit_test(test_order),    cmocka_unit_test(test_resume),
        cmocka_unit_test(test_resume_pipe), cmocka_unit_test(test_folder),   cmocka_unit_test(test_failing),
        cmocka_unit_test(test_bad_rows),    cmocka_unit_test(test_refusals),
    };
    if (support_setup(NULL) || hsae_device_open(context, "ref", &device))
        return 1;
    make_rows();
    int failed = cmocka_run_group_tests_name("source", suite, NULL, NULL);
    hsae_device_close(&device);
    return support_teardown(NULL) || failed;
}
