/* SPDX-License-Identifier: MIT */
/* The benchmark: its counting by hand on a small example, its made-up data, and the consistency of a whole result. */
#include "support.h"

#include "bench/bench.h"
#include "train/calibration.h"
#include "train/step.h"
#include <math.h>

static enum hsae_kernel kernel_named(const char *name)
{
    for (int k = 0; k < HSAE_KERNEL_COUNT; k++)
        if (strcmp(hsae_kernels[k].name, name) == 0)
            return (enum hsae_kernel)k;
    return HSAE_KERNEL_COUNT;
}

/* B 2, d 3, levels of 2 and 4 features; level 0 lists 3 pairs, 2 of them active, of 2 features; level 1 lists 4, 4, of 3; two features of
 * level 1 have a parent, the same one. */
static const struct work example = {
    .batch = 2,
    .padded = 32,
    .words = 1,
    .dim = 3,
    .stride = 16,
    .levels = 2,
    .raw_bytes = 2,
    .features = 6,
    .tallies = 64,
    .listed = 7,
    .active = 6,
    .touched = 5,
    .with_parent = 2,
    .with_children = 1,
};

static void test_counts(void **state)
{
    static const struct {
        const char *kernel;
        double flops, bytes;
    } expected[] = {
        /* 6 numbers: subtract, scale, square, add; read as 2 bytes, written twice as 4. */
        {"load", 24, 6 * (2 + 4 + 4)},
        /* 2 x 3 x 6 multiply-adds; x 6, E 18, bias and cut 12, bitmap 6, p 7 words. */
        {"encode", 72, 4 * (6 + 18 + 12 + 6 + 7)},
        /* 6 active pairs of 3 columns; c - x and |R|^2 of 2 levels of 6 numbers, 3 each; 5 rows, x and R of 2 levels, 7 pairs of 2. */
        {"decode", 2 * 6 * 3 + 3 * 12, 4 * (15 + 24 + 14)},
        /* 7 scores, 6 active pairs with two gradient rows each, 29 a touched element; 8 passes of 5 rows, x and R, 7 pairs of 4. */
        {"update", 2 * 7 * 3 + 4 * 6 * 3 + 29 * 15, 4 * (8 * 15 + 24 + 28)},
        /* 2 dot products; 3 rows, 6 products. */
        {"family_dot", 12, 4 * (9 + 6)},
        /* R of 2 levels; c and its second moment read and written; squares of 6 numbers. */
        {"bias", 2 * (6 + 36) + 24, 4 * 2 * (6 + 12) + 24},
        {"lists_count", 0, 4 * (6 + 6)},
        /* counts and starts, by feature and by list. */
        {"scan", 0, 4 * (12 + 8)},
        {"ghost", 0, 0},
        {"relink_best", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        double flops, bytes;
        hsae_bench_count(kernel_named(expected[i].kernel), &example, &flops, &bytes);
        if (flops != expected[i].flops || bytes != expected[i].bytes)
            fail_msg("%s: %g operations, %g bytes; expected %g, %g", expected[i].kernel, flops, bytes, expected[i].flops,
                     expected[i].bytes);
    }
}

/* The paper's step as its cost model has it: 145 GFLOP of encode, 2.7 GB of decode and update where every feature is touched. */
static void test_paper(void **state)
{
    struct work work = {.batch = 1024,
                        .padded = 1024,
                        .words = 32,
                        .dim = 2304,
                        .stride = 2304,
                        .levels = 4,
                        .raw_bytes = 2,
                        .features = 30720,
                        .listed = 204800,
                        .active = 204800,
                        .touched = 30720};
    double flops, bytes, sum = 0;
    (void)state;
    hsae_bench_count(HSAE_KERNEL_encode, &work, &flops, &bytes);
    assert_true(fabs(flops - 144.96e9) < 0.01e9);
    hsae_bench_count(HSAE_KERNEL_decode, &work, &flops, &bytes);
    sum += bytes;
    hsae_bench_count(HSAE_KERNEL_update, &work, &flops, &bytes);
    assert_true(sum + bytes > 2.6e9 && sum + bytes < 2.8e9);
}

static void test_groups(void **state)
{
    (void)state;
    for (int k = 0; k < HSAE_KERNEL_COUNT; k++)
        assert_true(*hsae_bench_group((enum hsae_kernel)k));
}

static void test_presets(void **state)
{
    hsae_bench_params params;
    (void)state;
    assert_ok(hsae_bench_preset(context, "paper", &params));
    assert_int_equal(params.dim, 2304);
    assert_int_equal(params.config.level_count, 4);
    assert_int_equal(params.config.levels[3], 16384);
    assert_int_equal(params.config.batch, 1024);
    assert_true(params.config.target_l0[0] == 50);
    assert_ok(hsae_bench_preset(context, "laptop", &params));
    assert_ok(hsae_bench_preset(context, "tiny", &params));
    assert_fails(hsae_bench_preset(context, "huge", &params), HSAE_ERROR_ARGUMENT, "huge", "paper", "laptop", "tiny", NULL);
}

static hsae_device *reference(void)
{
    hsae_device *device = NULL;
    assert_ok(hsae_device_open(context, "ref", &device));
    return device;
}

static void test_result(void **state)
{
    hsae_device *device = reference();
    hsae_bench_params params;
    hsae_bench_result result;
    double sum = 0;
    uint64_t features = 0, listed = 0;
    (void)state;
    assert_ok(hsae_bench_preset(context, "tiny", &params));
    params.steps = 2;
    params.copy_bytes = 1 << 20;
    assert_ok(hsae_bench_run(device, &params, &result));
    assert_int_equal(result.level_count, 3);
    for (uint32_t l = 0; l < result.level_count; l++) {
        const hsae_bench_level *level = &result.levels[l];
        features += level->features;
        listed += level->listed;
        assert_true(level->active <= level->listed && level->touched <= level->features && level->touched > level->features / 2);
        double l0 = (double)level->active / params.config.batch;
        assert_true(l0 > 0.5 * params.config.target_l0[l] && l0 < 1.5 * params.config.target_l0[l]);
        assert_true(l ? level->with_parent == level->features - level->features / 5 : level->with_parent == 0);
        assert_true(l ? level->p_parent_given_child > 0.3 : isnan(level->p_parent_given_child));
    }
    for (uint32_t k = 0; k < result.kernel_count; k++) {
        const hsae_bench_kernel *kernel = &result.kernels[k];
        sum += kernel->seconds;
        assert_true(kernel->launches > 0 && kernel->seconds >= 0 && kernel->bytes > 0);
        if (strcmp(kernel->name, "encode") == 0)
            assert_true(kernel->flops == 2.0 * params.config.batch * params.dim * (double)features);
        if (strcmp(kernel->name, "update") == 0)
            assert_true(kernel->launches == 3 && kernel->flops > 2.0 * (double)listed * params.dim);
    }
    assert_true(fabs(sum - result.kernel_seconds) < 1e-9 && result.kernel_seconds > 0);
    assert_true(result.flat_kernel_seconds > 0);
    assert_true(result.step.lowest <= result.step.median && result.step.median <= result.step.highest);
    assert_true(result.step.lowest > 0 && result.fed.lowest > 0 && result.flat.lowest > 0);
    assert_true(result.read_hidden == 0); /* the reference works while it is submitted to */
    assert_true(result.read_seconds > 0 && result.tree_seconds > 0 && result.hierarchy_period == 5000);
    assert_true(result.fma_flops > 0 && result.copy_bandwidth > 0 && result.copy_bytes == 1 << 20);
    assert_true(result.gather_count == 1 && result.gathers[0].bytes == 2 << 20 && result.gathers[0].bandwidth > 0);
    assert_true(result.submit_seconds > 0 && result.launch_seconds >= 0 && result.launch_seconds < result.submit_seconds);
    assert_true(result.device_bytes > 4 * 4 * features * params.dim && result.host_bytes > result.device_bytes);
    hsae_device_close(&device);
}

/* What happens within a block of timed steps, after so many of them. */
enum event { CALIBRATION_DUE, LISTS_GROW, OTHER_LAUNCHES, EVENTS };
struct disturbance {
    struct bench *bench;
    enum event event;
    int countdown;
};

static bool disturb(void *user, const char *what)
{
    struct disturbance *disturbance = user;
    if (strcmp(what, "steps") != 0 || disturbance->countdown-- != 0)
        return true;
    hsae_trainer *trainer = disturbance->bench->trainer;
    if (disturbance->event == CALIBRATION_DUE) {
        trainer->calibration.due = 1e-9;
        return true;
    }
    assert_ok(hsae_step_drain(trainer, 0));
    hsae_step_drop_recording(trainer);
    if (disturbance->event == LISTS_GROW)
        assert_ok(hsae_device_model_grow(&trainer->device_model, 1));
    else
        trainer->config.rho = trainer->config.perturb = 0;
    assert_ok(hsae_step_record(trainer));
    return true;
}

/* Steps that are recorded anew amid timed ones, at the first, a later and the last of them, leave the times of a whole block. */
static void test_new_recordings(void **state)
{
    enum { STEPS = 8 };
    static const int moments[] = {0, HSAE_IN_FLIGHT, STEPS - 1};
    hsae_device *device = reference();
    hsae_bench_params params;
    (void)state;
    assert_ok(hsae_bench_preset(context, "tiny", &params));
    params.steps = STEPS;
    for (size_t i = 0; i < EVENTS * (sizeof moments / sizeof *moments); i++) {
        hsae_bench_result result = {0};
        struct bench bench = {.device = device, .context = context, .params = &params, .out = &result};
        struct disturbance disturbance = {&bench, (enum event)(i % EVENTS), moments[i / EVENTS]};
        struct times times = {0};
        hsae_config config;
        params.progress = NULL;
        assert_ok(hsae_bench_config(&bench, &config));
        assert_ok(hsae_bench_prepare(&bench, &config));
        assert_ok(hsae_bench_timed_steps(&bench, &times));
        const uint32_t launches = times.launches;
        uint64_t recordings = bench.trainer->recordings, step = bench.trainer->step;
        params.progress = disturb;
        params.user = &disturbance;
        assert_ok(hsae_bench_timed_steps(&bench, &times));
        recordings = bench.trainer->recordings - recordings;
        step = bench.trainer->step - step;
        if (disturbance.event == CALIBRATION_DUE) /* none comes: they are stopped */
            assert_true(recordings == 2 && step == STEPS);
        else
            assert_true(recordings > 2 && step > STEPS);
        assert_true(disturbance.event == OTHER_LAUNCHES ? times.launches < launches : times.launches == launches);
        for (uint32_t k = 0; k < times.launches; k++)
            assert_true(isfinite(times.least[k]));
        assert_true(isfinite(times.idle));
        hsae_times_free(&times);
        hsae_bench_release(&bench);
    }
    hsae_device_close(&device);
}

static bool refuse(void *user, const char *what)
{
    return strcmp(what, user) != 0;
}

static void count_interval(void *user, double seconds, double tokens_per_second)
{
    (void)user;
    assert_true(seconds > 0 && tokens_per_second > 0);
}

static void test_sustained(void **state)
{
    hsae_device *device = reference();
    hsae_bench_params params;
    hsae_bench_result result;
    (void)state;
    assert_ok(hsae_bench_preset(context, "tiny", &params));
    params.steps = 1;
    params.copy_bytes = 1 << 20;
    params.sustain_seconds = 0.1;
    params.sustain_interval = 0.02;
    params.interval = count_interval;
    assert_ok(hsae_bench_run(device, &params, &result));
    assert_true(result.sustained_seconds >= 0.1 && result.tokens_first > 0 && result.tokens_last > 0);
    assert_true(result.tokens_lowest <= result.tokens_first && result.tokens_lowest <= result.tokens_last);
    hsae_device_close(&device);
}

static void test_refused(void **state)
{
    hsae_device *device = reference();
    hsae_bench_params params, good;
    hsae_bench_result result;
    (void)state;
    assert_ok(hsae_bench_preset(context, "tiny", &good));
    params = good;
    params.steps = 0;
    assert_fails(hsae_bench_run(device, &params, &result), HSAE_ERROR_ARGUMENT, "steps", NULL);
    params = good;
    params.config.batch = 0;
    assert_fails(hsae_bench_run(device, &params, &result), HSAE_ERROR_CONFIG, "batch", NULL);
    params = good;
    params.longest_step = 1e-9;
    assert_fails(hsae_bench_run(device, &params, &result), HSAE_ERROR_LIMIT, "GFLOP/s", NULL);
    params = good;
    device->info.limits.memory_bytes = 1 << 16;
    assert_fails(hsae_bench_run(device, &params, &result), HSAE_ERROR_DEVICE_MEMORY, "448 features", "batch", "levels", NULL);
    device->info.limits.memory_bytes = UINT64_C(1) << 40;
    static const char *const parts[] = {"multiply-adds", "making data", "building the tree", "first parameters", "steps", "copying"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        params = good;
        params.progress = refuse;
        params.user = (void *)(uintptr_t)parts[i];
        assert_int_equal(hsae_bench_run(device, &params, &result), HSAE_CANCELLED);
    }
    assert_int_equal(device->buffers, 0);
    assert_int_equal(device->sequences, 0);
    hsae_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),    cmocka_unit_test(test_paper),   cmocka_unit_test(test_groups),
        cmocka_unit_test(test_presets),   cmocka_unit_test(test_result),  cmocka_unit_test(test_new_recordings),
        cmocka_unit_test(test_sustained), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
