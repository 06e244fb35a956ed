/* SPDX-License-Identifier: MIT */
/* Host memory: training, its files and resuming take little beside the device's own buffers (on the reference device both are host memory),
 * and matrices that go through memory in pieces are the same as matrices that are held as a whole. */
#include "support.h"

#include "train/trainer.h"

enum { DIM = 768, ROWS = 64, BATCH = 16, STEPS = 4, STOP = 2 };

/* What the host may hold beside the device's buffers: blocks of a few MB, one at a time, and vectors of the model. The matrices of the
 * model below and its state have 25 MB. */
static const uint64_t HOST_BYTES = 8 << 20;

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#elif defined __SANITIZE_ADDRESS__
#define SANITIZED
#endif

static float rows[ROWS][DIM];

static void make_data(void)
{
    const hsae_new_tensor tensor = {.name = "activations", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {ROWS, DIM}, .data = rows};
    uint64_t state = 1;
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < DIM; k++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            rows[r][k] = (float)(int32_t)(state >> 32) / 2147483648.0f;
        }
    assert_ok(hsae_tensor_file_write(context, scratch("data.safetensors"), NULL, 0, &tensor, 1));
}

static hsae_dataset *open_data(void)
{
    const char *path = scratch("data.safetensors");
    hsae_dataset *data;
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1}, &data));
    return data;
}

static hsae_config make_config(void)
{
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.levels[0] = 768;
    config.levels[1] = 1280;
    config.target_l0[0] = config.target_l0[1] = 8;
    config.batch = BATCH;
    config.steps = STEPS;
    config.hierarchy_period = 3;
    config.similarity = HSAE_SIMILARITY_COACTIVATION;
    return config;
}

/* The most memory that this process ever had, in bytes; 0: unknown. */
static uint64_t peak_bytes(void)
{
    char line[256];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return 1024 * kilobytes;
}

static void run(hsae_trainer *trainer, uint64_t until)
{
    hsae_dataset *data = open_data();
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){.until = until}));
    hsae_dataset_close(&data);
}

/* Creates, runs, saves, resumes, saves: "stop", "model", "end". The bytes of all buffers. */
static uint64_t train(void)
{
    hsae_config config = make_config();
    hsae_dataset *data = open_data();
    hsae_device *device;
    hsae_trainer *trainer;
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_ok(hsae_trainer_create(device, &config, data, &trainer));
    run(trainer, STOP);
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("stop")));
    hsae_trainer_destroy(&trainer);
    assert_ok(hsae_checkpoint_check(context, scratch("stop")));
    assert_ok(hsae_trainer_resume(device, scratch("stop"), NULL, NULL, &trainer));
    run(trainer, STEPS);
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("end")));
    assert_ok(hsae_trainer_save_model(trainer, scratch("model")));
    hsae_trainer_destroy(&trainer);
    uint64_t bytes = device->peak_bytes;
    hsae_device_close(&device);
    hsae_dataset_close(&data);
    return bytes;
}

static void test_peak(void **unused)
{
    (void)unused;
    uint64_t before = peak_bytes(), device = train(), most = device + HOST_BYTES, grown = peak_bytes() - before;
    assert_true(device > 5 * (uint64_t)(768 + 1280) * DIM * sizeof(float));
    if (!before)
        skip();
#ifdef SANITIZED
    most += device / 8 + (16 << 20); /* shadow memory, freed blocks in quarantine */
#endif
    if (grown > most)
        fail_msg("%.1f MB of memory for %.1f MB of buffers", (double)grown / 1e6, (double)device / 1e6);
}

static void assert_same(const char *left, const char *right)
{
    size_t sizes[2];
    unsigned char *bytes[2] = {read_file(scratch(left), &sizes[0]), read_file(scratch(right), &sizes[1])};
    if (sizes[0] != sizes[1] || memcmp(bytes[0], bytes[1], sizes[0]) != 0)
        fail_msg("%s and %s differ", left, right);
    free(bytes[0]);
    free(bytes[1]);
}

/* After test_peak, whose files it reads. */
static void test_pieces(void **unused)
{
    (void)unused;
    hsae_config config = make_config();
    hsae_device *device;
    hsae_trainer *trainer;
    hsae_model *model;
    struct train_state *state;
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_ok(hsae_trainer_create_from_memory(device, &config, rows[0], ROWS, DIM, &trainer));
    run(trainer, STEPS);
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("undisturbed")));
    assert_same("end", "undisturbed");
    assert_ok(hsae_trainer_model(trainer, &model));
    assert_ok(hsae_model_save(context, model, scratch("copy")));
    hsae_model_free(&model);
    assert_same("model", "copy");
    assert_ok(hsae_checkpoint_load(context, scratch("end"), &model, &state));
    assert_ok(hsae_checkpoint_save(context, model, state, scratch("copy")));
    assert_same("end", "copy");
    hsae_model_free(&model);
    hsae_train_state_free(&state);
    hsae_trainer_destroy(&trainer);
    hsae_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peak),
        cmocka_unit_test(test_pieces),
    };
    if (support_setup(NULL))
        return 1;
    make_data();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return support_teardown(NULL) || failed;
}
