/* SPDX-License-Identifier: MIT */
/* Every allocation of loading, training, saving and encoding fails in turn: alone, and with all that come after it. Each time there is an
 * error code and a message, files that were there are whole, and nothing is lost (AddressSanitizer) or left behind. Where it was a large
 * one, the message says how much was asked for. The same for every piece of a file that is read; and files that are written to between two
 * of them. */
#define _GNU_SOURCE
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* Files of these runs need not survive a power cut. */
int __wrap_fsync(int file);
int __wrap_fsync(int file)
{
    (void)file;
    return 0;
}

/* ---- allocations ---- */

static atomic_int allocations;
static int failing;     /* the number of the first that fails; 0: none */
static bool failing_on; /* those after it fail, too */

static size_t failed_bytes; /* what the first of them asked for */
enum { MAX_NOTED = 1 << 14 };
static size_t noted[MAX_NOTED]; /* while none fails: what each asked for */

static bool fails(size_t bytes)
{
    int number = atomic_fetch_add(&allocations, 1) + 1;
    if (!failing && number < MAX_NOTED)
        noted[number] = bytes;
    if (!failing || number < failing || (number > failing && !failing_on))
        return false;
    failed_bytes = number == failing ? bytes : failed_bytes;
    errno = ENOMEM;
    return true;
}

/* Linked in place of the functions that the library calls (ld --wrap). */
#define WRAP(type, name, failure, bytes, parameters, arguments)  \
    type __real_##name parameters;                               \
    type __wrap_##name parameters;                               \
    type __wrap_##name parameters                                \
    {                                                            \
        return fails(bytes) ? failure : __real_##name arguments; \
    }
WRAP(void *, malloc, NULL, size, (size_t size), (size))
WRAP(void *, calloc, NULL, count *size, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, NULL, size, (void *memory, size_t size), (memory, size))
WRAP(char *, strdup, NULL, 0, (const char *text), (text))
WRAP(char *, realpath, NULL, 0, (const char *path, char *out), (path, out))
WRAP(FILE *, fopen64, NULL, 0, (const char *path, const char *mode), (path, mode))
WRAP(FILE *, fdopen, NULL, 0, (int file, const char *mode), (file, mode))
WRAP(DIR *, opendir, NULL, 0, (const char *path), (path))

/* ---- reading at offsets ---- */

static atomic_int reads;
static int failing_read;          /* the number of the one that fails; 0: none */
static void (*before_read)(void); /* called before that one, which does not fail then */

ssize_t __real_pread64(int file, void *out, size_t size, off_t offset);
ssize_t __wrap_pread64(int file, void *out, size_t size, off_t offset);
ssize_t __wrap_pread64(int file, void *out, size_t size, off_t offset)
{
    if (atomic_fetch_add(&reads, 1) + 1 == failing_read) {
        if (!before_read) {
            errno = EIO;
            return -1;
        }
        before_read();
    }
    return __real_pread64(file, out, size, offset);
}

/* ---- what is at hand ---- */

enum { DIM = 6, ROWS = 48, BATCH = 8 };
static hsae_device *device;
static hsae_dataset *dataset;
static hsae_model *model;
static float *rows;

static hsae_config tiny(void)
{
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.levels[0] = 4;
    config.levels[1] = 8;
    for (int l = 0; l < HSAE_MAX_LEVELS; l++)
        config.target_l0[l] = 2;
    config.batch = BATCH;
    config.steps = 8;
    config.hierarchy_period = 2;
    config.dead_steps = 1;
    config.similarity = HSAE_SIMILARITY_COACTIVATION;
    return config;
}

static hsae_status open_rows(hsae_dataset **out)
{
    const char *const paths[] = {scratch("data")};
    return hsae_dataset_open(context, &(hsae_dataset_params){.paths = paths, .path_count = 1}, out);
}

static bool save_checkpoint(void *user, hsae_trainer *trainer)
{
    hsae_status *status = user;
    *status = hsae_trainer_save_checkpoint(trainer, scratch("checkpoint"));
    return !*status;
}

static void write_npy(const char *path)
{
    unsigned char file[128 + DIM * 4] = "\x93NUMPY\1\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': (1, 6), }";
    write_file(path, file, sizeof file);
}

static int setup(void **state)
{
    if (support_setup(state))
        return 1;
    json_set_alloc_funcs(__wrap_malloc, free);
    const hsae_config config = tiny();
    hsae_trainer *trainer = NULL;
    rows = malloc(ROWS * DIM * sizeof *rows);
    for (int k = 0; k < ROWS * DIM; k++)
        rows[k] = (float)sin(k * 0.7 + k / DIM);
    hsae_new_tensor tensor = {.name = "x", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {ROWS, DIM}, .data = rows};
    char *json = hsae_config_json(&config);
    assert_int_equal(mkdir(scratch("data"), 0777), 0);
    assert_ok(hsae_tensor_file_write(context, scratch("data/1"), NULL, 0, &tensor, 1));
    write_npy(scratch("data/2.npy"));
    write_file(scratch("config"), json, strlen(json));
    hsae_free(json);
    assert_ok(open_rows(&dataset));
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_ok(hsae_trainer_create(device, &config, dataset, &trainer));
    assert_ok(hsae_trainer_run(trainer, dataset, &(hsae_run_params){.until = 5}));
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("checkpoint")));
    assert_ok(hsae_trainer_save_model(trainer, scratch("model")));
    assert_ok(hsae_trainer_model(trainer, &model));
    hsae_trainer_destroy(&trainer);
    return 0;
}

static int teardown(void **state)
{
    hsae_model_free(&model);
    hsae_device_close(&device);
    hsae_dataset_close(&dataset);
    free(rows);
    return support_teardown(state);
}

/* ---- works ---- */

static hsae_status make_context(void)
{
    hsae_context *other = NULL;
    hsae_status status = hsae_context_create(NULL, &other);
    assert_true(!status == (other != NULL));
    hsae_context_destroy(&other);
    if (status)
        strcpy(messages[HSAE_LOG_ERROR], "there is no callback yet");
    return status;
}

static hsae_status read_config(void)
{
    hsae_config config;
    hsae_config_defaults(&config);
    hsae_status status = hsae_config_load(context, &config, scratch("config"));
    if (!status)
        status = hsae_config_set(context, &config, "levels", "4,8,16");
    if (!status)
        status = hsae_config_set(context, &config, "target_l0", "1.5,2,2");
    if (!status)
        status = hsae_config_set(context, &config, "tree", "posthoc");
    return status;
}

static hsae_status read_dataset(void)
{
    hsae_dataset *all = NULL, *slice = NULL;
    float out[3 * DIM];
    hsae_status status = open_rows(&all);
    assert_true(!status == (all != NULL));
    if (!status)
        status = hsae_dataset_slice(all, 1, ROWS, &slice);
    if (!status)
        status = hsae_dataset_read(slice, (const uint64_t[]){0, 5, ROWS - 1}, 3, out);
    hsae_dataset_close(&all);
    hsae_dataset_close(&slice);
    return status;
}

/* Arrow files that a list names. */
static hsae_status read_saved(void)
{
    hsae_dataset *saved = NULL;
    float out[3];
    hsae_status status = hsae_dataset_open(
        context, &(hsae_dataset_params){.paths = &(const char *){HSAE_INPUTS "/datasets"}, .path_count = 1, .tensor = "layer.0"}, &saved);
    assert_true(!status == (saved != NULL));
    if (!status)
        status = hsae_dataset_read(saved, (const uint64_t[]){23}, 1, out);
    hsae_dataset_close(&saved);
    return status;
}

static hsae_status copy_tensors(void)
{
    hsae_tensor_file *file = NULL;
    hsae_status status = hsae_tensor_file_open(context, scratch("model"), &file);
    if (!status)
        status = hsae_tensor_file_write(
            context, scratch("copy"), &(hsae_metadata){"key", "value"}, 1,
            &(hsae_new_tensor){.name = "x", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {ROWS, DIM}, .data = rows}, 1);
    hsae_tensor_file_close(&file);
    return status;
}

static hsae_status copy_model(void)
{
    hsae_model *loaded = NULL;
    hsae_status status = hsae_model_load(context, scratch("model"), &loaded);
    assert_true(!status == (loaded != NULL));
    if (!status)
        status = hsae_model_save(context, loaded, scratch("model"));
    hsae_model_free(&loaded);
    return status;
}

static hsae_status check_checkpoint(void)
{
    return hsae_checkpoint_check(context, scratch("checkpoint"));
}

/* All that a trainer of the state it is in does until its end. */
static hsae_status finish(hsae_trainer *trainer)
{
    hsae_status saved = HSAE_OK;
    hsae_model *trained = NULL;
    hsae_status status =
        hsae_trainer_run(trainer, dataset, &(hsae_run_params){.checkpoint_every = 2, .checkpoint = save_checkpoint, .user = &saved});
    if (status == HSAE_CANCELLED)
        status = saved;
    if (!status)
        status = hsae_trainer_save_model(trainer, scratch("model"));
    if (!status)
        status = hsae_trainer_model(trainer, &trained);
    assert_true(!status == (trained != NULL));
    hsae_model_free(&trained);
    return status;
}

static hsae_status train(void)
{
    const hsae_config config = tiny();
    hsae_trainer *trainer = NULL;
    hsae_device *own = NULL;
    hsae_status status = hsae_device_open(context, "ref", &own);
    if (!status)
        status = hsae_trainer_create(own, &config, dataset, &trainer);
    assert_true(!status == (trainer != NULL));
    if (!status)
        status = finish(trainer);
    hsae_trainer_destroy(&trainer);
    hsae_device_close(&own);
    return status;
}

static hsae_status step(void)
{
    const hsae_config config = tiny();
    hsae_trainer *trainer = NULL;
    hsae_step_metrics metrics;
    hsae_status status = hsae_trainer_create_from_memory(device, &config, rows, ROWS, DIM, &trainer);
    for (int i = 0; i < 3 && !status; i++)
        status = hsae_trainer_step(trainer, rows, &metrics);
    hsae_trainer_destroy(&trainer);
    return status;
}

static hsae_status override(void *user, hsae_config *config)
{
    (void)user;
    return hsae_config_set(context, config, "rho", "0.02");
}

static hsae_status resume(void)
{
    hsae_trainer *trainer = NULL;
    hsae_status status = hsae_trainer_resume(device, scratch("checkpoint"), override, NULL, &trainer);
    assert_true(!status == (trainer != NULL));
    if (!status)
        status = hsae_trainer_save_model(trainer, scratch("model"));
    hsae_trainer_destroy(&trainer);
    return status;
}

static hsae_status encode(void)
{
    hsae_session *session = NULL;
    hsae_features features[2] = {{0}, {0}};
    hsae_evaluation evaluation;
    float out[ROWS * DIM];
    hsae_status status = hsae_session_create(device, model, BATCH, &session);
    assert_true(!status == (session != NULL));
    if (!status)
        status = hsae_session_encode(session, rows, ROWS, features);
    if (!status)
        status = hsae_session_decode(session, 1, &features[1], out);
    if (!status)
        status = hsae_session_evaluate(session, dataset, NULL, NULL, &evaluation);
    for (int l = 0; l < 2; l++)
        hsae_features_free(&features[l]);
    hsae_session_destroy(&session);
    return status;
}

/* A whole data set, with duplicates; then a run and an evaluation that leave out rows. */
static hsae_status leave_out(void)
{
    hsae_config config = tiny();
    hsae_data_check found;
    hsae_trainer *trainer = NULL;
    hsae_session *session = NULL;
    hsae_evaluation evaluation;
    double limit = 0;
    hsae_status status = hsae_dataset_check(dataset, NULL, NULL, &found);
    if (!status)
        status = hsae_dataset_norm_limit(dataset, 1.05, false, &limit);
    config.norm_limit = limit;
    if (!status)
        status = hsae_trainer_create(device, &config, dataset, &trainer);
    if (!status)
        status = hsae_trainer_run(trainer, dataset, &(hsae_run_params){.until = 2});
    if (!status)
        status = hsae_trainer_step(trainer, rows, NULL);
    if (!status)
        status = hsae_session_create(device, model, BATCH, &session);
    if (!status) {
        hsae_session_leave_out(session, limit, false);
        status = hsae_session_evaluate(session, dataset, NULL, NULL, &evaluation);
    }
    if (!status)
        assert_true(evaluation.left_out.norm > 0 && hsae_trainer_left_out(trainer).norm > 0);
    hsae_session_destroy(&session);
    hsae_trainer_destroy(&trainer);
    return status;
}

/* ---- the test ---- */

static int stride;

static hsae_status run(hsae_status (*work)(void), int at, bool on)
{
    atomic_store(&allocations, 0);
    messages[HSAE_LOG_ERROR][0] = '\0';
    failing_on = on;
    failing = at;
    hsae_status status = work();
    failing = 0;
    return status;
}

static void assert_whole(void)
{
    DIR *directory = opendir(folder);
    assert_ok(hsae_checkpoint_check(context, scratch("checkpoint")));
    hsae_model *loaded = NULL;
    assert_ok(hsae_model_load(context, scratch("model"), &loaded));
    hsae_model_free(&loaded);
    for (struct dirent *entry; (entry = readdir(directory));)
        assert_null(strstr(entry->d_name, ".tmp"));
    closedir(directory);
}

static void fail_in_turn(hsae_status (*work)(void))
{
    assert_ok(run(work, 0, false));
    int count = atomic_load(&allocations);
    print_message("%d allocations\n", count);
    assert_true(count > 0);
    for (int at = 1; at <= count; at += count > 40 ? stride : 1)
        for (int on = 0; on < 2; on++) {
            hsae_status status = run(work, at, on);
            if ((status != HSAE_ERROR_MEMORY && status != HSAE_ERROR_DEVICE_MEMORY) || !messages[HSAE_LOG_ERROR][0])
                fail_msg("without allocation %d of %d%s: %s: \"%s\"", at, count, on ? " and those after it" : "", hsae_status_name(status),
                         messages[HSAE_LOG_ERROR]);
            assert_whole();
        }
    assert_ok(run(work, 0, false));
}

static hsae_status run_reading(hsae_status (*work)(void), int at)
{
    atomic_store(&reads, 0);
    messages[HSAE_LOG_ERROR][0] = '\0';
    failing_read = at;
    hsae_status status = work();
    failing_read = 0;
    return status;
}

/* Makes each read in turn fail, as on a disk with a fault. */
static void fail_reading_in_turn(hsae_status (*work)(void))
{
    assert_ok(run_reading(work, 0));
    int count = atomic_load(&reads);
    print_message("%d reads\n", count);
    assert_true(count > 0);
    for (int at = 1; at <= count; at += count > 40 ? stride : 1) {
        hsae_status status = run_reading(work, at);
        if (status != HSAE_ERROR_FILE || !strstr(messages[HSAE_LOG_ERROR], "the disk itself reports a fault"))
            fail_msg("read %d of %d: %s: \"%s\"", at, count, hsae_status_name(status), messages[HSAE_LOG_ERROR]);
        assert_whole();
    }
    assert_ok(run_reading(work, 0));
}

/* Overwrites the model in place, as `cp` does: other values under the same header. */
static void overwrite_model(void)
{
    const char value[4] = {0, 0, 0, 1};
    FILE *file = fopen(scratch("changing"), "r+b");
    assert_non_null(file);
    hsae_os_sleep(0.05); /* the file system's clock has coarse steps */
    assert_int_equal(fseek(file, -4, SEEK_END), 0);
    assert_int_equal(fwrite(value, 1, sizeof value, file), sizeof value);
    assert_int_equal(fclose(file), 0);
}

static void cut_model(void)
{
    assert_int_equal(truncate(scratch("changing"), 64), 0);
}

static hsae_status load_changing(void)
{
    hsae_model *loaded = NULL;
    hsae_status status = hsae_model_load(context, scratch("changing"), &loaded);
    assert_true(!status == (loaded != NULL));
    hsae_model_free(&loaded);
    return status;
}

/* Calls `change` before each read but the first, which follows the opening at once. */
static void change_in_turn(void (*change)(void), const char *says)
{
    size_t size;
    unsigned char *whole = read_file(scratch("model"), &size);
    int count = 1;
    for (int at = 0; at <= count; at = at ? at + 1 : 2) {
        write_file(scratch("changing"), whole, size);
        before_read = change;
        hsae_status status = run_reading(load_changing, at);
        before_read = NULL;
        if (!at)
            count = atomic_load(&reads);
        if (at ? status != HSAE_ERROR_FILE || !strstr(messages[HSAE_LOG_ERROR], says) : status)
            fail_msg("read %d of %d: %s: \"%s\"", at, count, hsae_status_name(status), messages[HSAE_LOG_ERROR]);
    }
    assert_true(count > 3);
    hsae_os_remove(scratch("changing"));
    free(whole);
}

static void test_overwritten(void **state)
{
    (void)state;
    change_in_turn(overwrite_model, "changing: it was written to while it was read");
}

static void test_cut(void **state)
{
    (void)state;
    change_in_turn(cut_model, "changing: it ");
}

/* ---- large ones ---- */

/* Bytes of a batch; bytes above which an allocation must be one that grows with batch, features or rows. */
enum { SOME = 1152, LARGE = 6000, LARGE_FEATURES = 1700 };

static hsae_status work_large(void)
{
    hsae_config config = tiny();
    hsae_trainer *trainer = NULL;
    hsae_model *trained = NULL;
    hsae_session *session = NULL;
    hsae_features features[2] = {{0}, {0}};
    hsae_evaluation evaluation;
    config.levels[1] = LARGE_FEATURES;
    config.batch = ROWS;
    config.steps = config.hierarchy_period = 8;
    config.tree = HSAE_TREE_BINARY;
    hsae_status status = hsae_trainer_create(device, &config, dataset, &trainer);
    if (!status)
        status = hsae_trainer_run(trainer, dataset, &(hsae_run_params){0});
    if (!status)
        status = hsae_trainer_model(trainer, &trained);
    if (!status)
        status = hsae_session_create(device, trained, 0, &session);
    if (!status)
        status = hsae_session_encode(session, rows, ROWS, features);
    if (!status)
        status = hsae_session_evaluate(session, dataset, NULL, NULL, &evaluation);
    for (int l = 0; l < 2; l++)
        hsae_features_free(&features[l]);
    hsae_session_destroy(&session);
    hsae_model_free(&trained);
    hsae_trainer_destroy(&trainer);
    return status;
}

/* Each of these must be among the messages. */
static const char *const said[] = {
    "out of memory for reading ahead 8 batches of 48 rows: ",
    "bytes asked for; use a smaller batch",
    "out of memory for pre-activations of 48 rows: ",
    "out of memory for a tree of 1704 features: ",
    "out of memory for the candidates of 1700 features: ",
    "bytes asked for; use smaller levels",
    "out of memory for a model of 2 levels of width 6: ",
    "out of memory for a batch of 1024 rows: ",
    "bytes asked for; use a session of fewer rows",
    "out of memory for the counts of an evaluation of 1704 features: ",
    "no memory that the host sees for buffer raw batch: 1152 bytes asked for, ",
};

static void test_large(void **state)
{
    enum { SAID = sizeof said / sizeof *said };
    static size_t sizes[MAX_NOTED];
    bool seen[SAID] = {false};
    (void)state;
    assert_ok(run(work_large, 0, false));
    const int count = atomic_load(&allocations);
    assert_in_range(count, 1, MAX_NOTED - 1);
    memcpy(sizes, noted, sizeof sizes);
    for (int at = 1; at <= count; at++) {
        hsae_status status = sizes[at] < SOME ? HSAE_OK : run(work_large, at, false);
        const size_t bytes = failed_bytes; /* threads may have changed the order */
        if (sizes[at] < SOME || bytes < SOME)
            continue;
        const char *message = messages[HSAE_LOG_ERROR], *asked = strstr(message, " bytes asked for"), *number = asked;
        while (number && number > message && number[-1] >= '0' && number[-1] <= '9')
            number--;
        if ((status != HSAE_ERROR_MEMORY && status != HSAE_ERROR_DEVICE_MEMORY) ||
            (bytes >= LARGE && (!number || strtoull(number, NULL, 10) < bytes)))
            fail_msg("without %zu bytes, allocation %d of %d: %s: \"%s\"", bytes, at, count, hsae_status_name(status), message);
        for (size_t k = 0; k < SAID; k++)
            seen[k] = seen[k] || strstr(message, said[k]);
    }
    for (size_t k = 0; k < SAID; k++)
        if (!seen[k])
            fail_msg("nothing said \"%s\"", said[k]);
}

#define TESTS(X)    \
    X(make_context) \
    X(read_config)  \
    X(read_dataset) X(read_saved) X(copy_tensors) X(copy_model) X(check_checkpoint) X(train) X(step) X(resume) X(encode) X(leave_out)
#define TEST(work)                        \
    static void test_##work(void **state) \
    {                                     \
        (void)state;                      \
        fail_in_turn(work);               \
    }
TESTS(TEST)

#define READING_TESTS(X) X(read_dataset) X(read_saved) X(copy_tensors) X(copy_model) X(check_checkpoint) X(train) X(resume)
#define READING_TEST(work)                        \
    static void test_reading_##work(void **state) \
    {                                             \
        (void)state;                              \
        fail_reading_in_turn(work);               \
    }
READING_TESTS(READING_TEST)

/* test_alloc [STRIDE]: only every STRIDE-th allocation where there are many. */
int main(int argc, char **argv)
{
    stride = argc > 1 ? atoi(argv[1]) : 1;
#define ENTRY(work)         cmocka_unit_test(test_##work),
#define READING_ENTRY(work) cmocka_unit_test(test_reading_##work),
    const struct CMUnitTest tests[] = {TESTS(ENTRY) READING_TESTS(READING_ENTRY) cmocka_unit_test(test_overwritten),
                                       cmocka_unit_test(test_cut), cmocka_unit_test(test_large)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
