/* SPDX-License-Identifier: MIT */
/* The checks of a step and of a batch (src/train/check.h, src/eval/session_check.h): quiet where all is right, in every step of runs of
 * many kinds, and not where one number is wrong. The device is the reference, whose kernels are replaced at link time by ones that can be
 * told to go wrong. $HSAE_CHECK_DEVICE: another device, for the runs that are right. */
#include "support.h"

#include "ref/ref.h"
#include "train/trainer.h"

#include <hsae/exchange.h>

enum { MAX_DIM = 70, ROWS = 400 };

static float rows[ROWS * MAX_DIM];
static hsae_device *device;
static enum hsae_kernel wrong = HSAE_KERNEL_COUNT; /* the kernel that goes wrong */
static bool other_result;                          /* the second of its results, not the first */

#define WRAP(name)                                                                                  \
    void __real_hsae_ref_##name(const struct hsae_##name##_memory *m, const struct name##_args *p); \
    void __wrap_hsae_ref_##name(const struct hsae_##name##_memory *m, const struct name##_args *p); \
    void __wrap_hsae_ref_##name(const struct hsae_##name##_memory *m, const struct name##_args *p)  \
    {                                                                                               \
        __real_hsae_ref_##name(m, p);                                                               \
        if (wrong != HSAE_KERNEL_##name)                                                            \
            return;                                                                                 \
        TAMPER_##name;                                                                              \
    }
/* The first feature loses its pairs; so does the last of the chunk. */
#define TAMPER_encode                                                         \
    memset(m->bits + (size_t)p->first * p->words, 0, p->words * sizeof(u32)); \
    memset(m->bits + ((size_t)p->first + p->count - 1) * p->words, 0, p->words * sizeof(u32))
/* The first pair is twice as strong. */
#define TAMPER_lists_fill                  \
    if (p->first == 0 && m->starts[1] > 0) \
    m->pairs[1] = bits_u32(2 * bits_f32(m->pairs[1]))
/* The last row's last pair has no activation. */
#define TAMPER_samples_fill                                                    \
    u32 count = m->sample_starts[p->levels * p->batch], *samples = m->samples; \
    if (count)                                                                 \
    samples[2 * (size_t)count - 1] ^= 0x00400000u
#define TAMPER_decode                                                  \
    m->residual[((size_t)p->row + p->batch - 1) * p->stride] += 0.01f; \
    m->loss[(size_t)p->level * p->slices * p->padded] *= 1.01f
#define TAMPER_merge m->sum[(size_t)p->row * p->stride] += 0.01f
#define TAMPER_family                                                        \
    for (u32 k = 0; k < m->sample_starts[(size_t)p->levels * p->batch]; k++) \
    m->pair_terms[(size_t)k * PAIR_WORDS + PAIR_PARENT] = bits_u32(1)
#define TAMPER_ghost      m->ghost[0] += 1
#define TAMPER_ghost_rows m->rows[0] += 100
#define TAMPER_update                  \
    if (p->level == 0 && p->base == 0) \
    m->encoder[0] += 0.01f
#define TAMPER_bias                 \
    if (other_result && p->squares) \
        m->squares[0] *= 1.01f;     \
    m->bias[0] += other_result ? 0.0f : 0.01f
/* The first child is always active with the first parent. Not where the check itself calls it, for a few children. */
#define TAMPER_relink_count m->counts[0] += p->padded >= 32 ? 1000 : 0
WRAP(encode)
WRAP(lists_fill)
WRAP(samples_fill)
WRAP(decode)
WRAP(merge)
WRAP(family)
WRAP(ghost)
WRAP(ghost_rows)
WRAP(update)
WRAP(bias)
WRAP(relink_count)

static int setup(void **state)
{
    uint32_t random = 1;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        random = random * 1664525u + 1013904223u;
        rows[k] = (float)(random >> 8) * 0x1p-24f - 0.5f;
    }
    const char *id = getenv("HSAE_CHECK_DEVICE");
    return support_setup(state) || hsae_device_open(context, id ? id : "ref", &device);
}

static int teardown(void **state)
{
    hsae_device_close(&device);
    return support_teardown(state);
}

/* Two to four levels, a tree soon, dead features soon. */
static hsae_config make_config(uint32_t levels, uint32_t batch, uint64_t steps)
{
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = levels;
    config.batch = batch;
    config.steps = steps;
    config.lr = 0.01;
    config.rho = 0.2;
    config.perturb = 0.3;
    config.hierarchy_period = 2;
    config.dead_steps = 2;
    for (uint32_t l = 0; l < levels; l++) {
        config.levels[l] = 13 + 29 * l;
        config.target_l0[l] = 2;
        config.init_l0[l] = 2.5;
    }
    return config;
}

/* All steps, each of them checked. */
static hsae_status train(const hsae_config *config, uint32_t dim, hsae_trainer **trainer)
{
    hsae_status status = hsae_trainer_create_from_memory(device, config, rows, ROWS, dim, trainer);
    for (uint64_t step = 0; step < config->steps && !status; step++) {
        (*trainer)->checks = true;
        (*trainer)->checked = (struct checked){0};
        status = hsae_trainer_step(*trainer, rows + step * 17 % (ROWS - config->batch) * dim, NULL);
        if (!status && !(*trainer)->checked.steps && config->lr < 1)
            fail_msg("step %d was not checked", (int)step + 1);
    }
    return status;
}

static void right(const hsae_config *config, uint32_t dim)
{
    hsae_trainer *trainer = NULL;
    if (train(config, dim, &trainer))
        fail_msg("%s", messages[HSAE_LOG_ERROR]);
    hsae_trainer_destroy(&trainer);
}

static void test_right(void **state)
{
    static const uint32_t dims[] = {1, 7, 16, 33, MAX_DIM}, batches[] = {1, 31, 32, 67, 130};
    (void)state;
    for (size_t k = 0; k < 5; k++) {
        hsae_config config = make_config(1 + (uint32_t)k % 4, batches[k], 7);
        right(&config, dims[k]);
        config = make_config(4 - (uint32_t)k % 4, batches[4 - k], 7);
        config.center = HSAE_CENTER_NONE;
        config.project_gradient = false;
        config.ghost = k % 2;
        config.shards = 1u << k;
        config.similarity = k % 2 ? HSAE_SIMILARITY_DECODER : HSAE_SIMILARITY_COACTIVATION;
        config.beta2 = k == 3 ? 0 : config.beta2;
        right(&config, dims[k]);
    }
}

/* Rows of one common vector and little else: dense features, pre-activations that cancel. */
static void test_dense(void **state)
{
    float kept[sizeof rows / sizeof *rows];
    (void)state;
    memcpy(kept, rows, sizeof rows);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        rows[k] = 100 + 0.01f * rows[k];
    hsae_config config = make_config(3, 64, 12);
    right(&config, 24);
    config.center = HSAE_CENTER_NONE;
    config.target_l0[2] = config.init_l0[2] = 30;
    right(&config, 24);
    memcpy(rows, kept, sizeof rows);
}

/* A run whose numbers overflow floats: the device is not at fault. */
static void test_diverging(void **state)
{
    (void)state;
    for (int power = 3; power <= 36; power += 3) {
        hsae_config config = make_config(3, 40, 6);
        hsae_trainer *trainer = NULL;
        config.lr = pow(10, power);
        if (train(&config, 24, &trainer) == HSAE_ERROR_DRIVER)
            fail_msg("lr 1e%d: %s", power, messages[HSAE_LOG_ERROR]);
        hsae_trainer_destroy(&trainer);
    }
}

static void test_wrong(void **state)
{
    static const struct {
        enum hsae_kernel kernel;
        const char *message;
    } wrongs[] = {
        {HSAE_KERNEL_encode, "kernel encode is wrong"},
        {HSAE_KERNEL_lists_fill, "is wrong"},
        {HSAE_KERNEL_samples_fill, "kernel samples_fill is wrong"},
        {HSAE_KERNEL_decode, "kernel decode is wrong"},
        {HSAE_KERNEL_merge, "kernel decode or merge is wrong"},
        {HSAE_KERNEL_family, "kernel update is wrong"},
        {HSAE_KERNEL_ghost, "kernel ghost is wrong"},
        {HSAE_KERNEL_ghost_rows, "kernel update is wrong"},
        {HSAE_KERNEL_update, "kernel update is wrong"},
        {HSAE_KERNEL_bias, "kernel bias is wrong"},
        {HSAE_KERNEL_bias, "of the batch varies by"},
    };
    (void)state;
    if (getenv("HSAE_CHECK_DEVICE"))
        return;
    for (size_t k = 0; k < sizeof wrongs / sizeof *wrongs; k++) {
        hsae_config config = make_config(3, 67, 12);
        hsae_trainer *trainer = NULL;
        hsae_model *model = NULL;
        config.shards = wrongs[k].kernel == HSAE_KERNEL_merge ? 4 : 1;
        wrong = wrongs[k].kernel;
        other_result = k && wrongs[k - 1].kernel == wrong;
        hsae_status status = train(&config, 24, &trainer);
        wrong = HSAE_KERNEL_COUNT;
        if (status != HSAE_ERROR_DRIVER || !strstr(messages[HSAE_LOG_ERROR], wrongs[k].message))
            fail_msg("kernel %d gone wrong: status %d, %s", (int)wrongs[k].kernel, (int)status, messages[HSAE_LOG_ERROR]);
        assert_int_equal(hsae_trainer_model(trainer, &model), HSAE_ERROR_DRIVER);
        assert_null(model);
        hsae_trainer_destroy(&trainer);
    }
}

/* The first tree by counts, which is the second thing of a run that is checked. */
static void test_wrong_counts(void **state)
{
    (void)state;
    if (getenv("HSAE_CHECK_DEVICE"))
        return;
    for (int inclusion = 0; inclusion < 2; inclusion++) {
        hsae_config config = make_config(3, 67, 8);
        hsae_trainer *trainer = NULL;
        config.similarity = inclusion ? HSAE_SIMILARITY_INCLUSION : HSAE_SIMILARITY_COACTIVATION;
        right(&config, 24);
        wrong = HSAE_KERNEL_relink_count;
        hsae_status status = train(&config, 24, &trainer);
        wrong = HSAE_KERNEL_COUNT;
        if (status != HSAE_ERROR_DRIVER || !strstr(messages[HSAE_LOG_ERROR], "in a hierarchy update feature 0 of level 1"))
            fail_msg("inclusion %d: status %d, %s", inclusion, (int)status, messages[HSAE_LOG_ERROR]);
        hsae_trainer_destroy(&trainer);
    }
}

/* Ghost gradients are checked again whenever twice as many dead features get some. */
static void test_more_ghosts(void **state)
{
    (void)state;
    hsae_config config = make_config(2, 40, 20);
    hsae_trainer *trainer = NULL;
    uint64_t step = 0, again = 0;
    config.sparsity_control = HSAE_SPARSITY_CONTROL_PENALTY;
    assert_ok(hsae_trainer_create_from_memory(device, &config, rows, ROWS, 24, &trainer));
    trainer->checks = true;
    for (; step < config.steps; step++) {
        const uint64_t checks = trainer->checked.steps;
        assert_ok(hsae_trainer_step(trainer, rows + step * 17 % (ROWS - config.batch) * 24, NULL));
        const uint64_t served = (uint64_t)trainer->ghost_capacity[0] + trainer->ghost_capacity[1];
        if (again && step == again)
            assert_true(trainer->checked.steps == checks + 1 && trainer->checked.ghosts == served);
        if (!again && served && trainer->checked.ghosts == served) {
            assert_false(hsae_check_due(trainer));
            trainer->checked.ghosts = served / 2;
            again = step + 1;
        }
    }
    assert_true(again);
    hsae_trainer_destroy(&trainer);
}

/* ---- sessions ---- */

enum { WIDTH = 24 };

static hsae_dataset *dataset;

/* A model of the rows, which become `dataset`. */
static hsae_model *train_model(const hsae_config *config)
{
    hsae_trainer *trainer = NULL;
    hsae_model *model = NULL;
    assert_ok(train(config, WIDTH, &trainer));
    assert_ok(hsae_trainer_model(trainer, &model));
    hsae_trainer_destroy(&trainer);
    const char *path = scratch("rows.bin");
    FILE *file = fopen(path, "wb");
    assert_true(file && fwrite(rows, sizeof *rows, ROWS * WIDTH, file) == ROWS * WIDTH && !fclose(file));
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &path, .path_count = 1, .dim = WIDTH}, &dataset));
    return model;
}

/* All that a session does, in batches of several sizes. */
static hsae_status use(const hsae_model *model, uint32_t most, uint32_t count)
{
    hsae_session *session = NULL;
    hsae_features features[HSAE_MAX_LEVELS] = {0};
    hsae_evaluation evaluation;
    static float decoded[ROWS * WIDTH];
    const hsae_backend backend = device->info.backend;
    device->info.backend = HSAE_BACKEND_OPENCL; /* the reference is not checked */
    hsae_status status = hsae_session_create(device, model, most, &session);
    hsae_session_check(session, true);
    device->info.backend = backend;
    if (!status)
        status = hsae_session_encode(session, rows, count, features);
    for (uint32_t l = 0; l < model->config.level_count && !status; l++)
        status = hsae_session_decode(session, l, &features[l], decoded);
    if (!status)
        status = hsae_session_evaluate(session, dataset, NULL, NULL, &evaluation);
    for (uint32_t l = 0; l < model->config.level_count; l++)
        hsae_features_free(&features[l]);
    hsae_session_destroy(&session);
    return status;
}

static void test_sessions(void **state)
{
    static const struct {
        enum hsae_kernel kernel;
        uint32_t count; /* rows that are encoded; 0: only evaluation */
        const char *message;
    } wrongs[] = {
        {HSAE_KERNEL_encode, 64, "activation of feature"},       {HSAE_KERNEL_samples_fill, 64, "on row 63 is"},
        {HSAE_KERNEL_decode, 64, "reconstruction of row 63 is"}, {HSAE_KERNEL_decode, 0, "squared residual of level 0 on row 0 is"},
        {HSAE_KERNEL_encode, 0, "activation of feature"},
    };
    (void)state;
    hsae_config config = make_config(3, 40, 6);
    hsae_model *model = train_model(&config);
    static const uint32_t sizes[][2] = {{1, 1}, {31, 3}, {64, 64}, {100, ROWS}, {0, 200}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        if (use(model, sizes[k][0], sizes[k][1]))
            fail_msg("%u rows of %u: %s", sizes[k][1], sizes[k][0], messages[HSAE_LOG_ERROR]);
    for (size_t k = 0; k < sizeof wrongs / sizeof *wrongs && !getenv("HSAE_CHECK_DEVICE"); k++) {
        wrong = wrongs[k].kernel;
        hsae_status status = use(model, 64, wrongs[k].count);
        wrong = HSAE_KERNEL_COUNT;
        if (status != HSAE_ERROR_DRIVER || !strstr(messages[HSAE_LOG_ERROR], wrongs[k].message))
            fail_msg("kernel %d gone wrong: status %d, %s", (int)wrongs[k].kernel, (int)status, messages[HSAE_LOG_ERROR]);
    }
    hsae_dataset_close(&dataset);
    hsae_model_free(&model);
}

/* ---- trees of finished models ---- */

static hsae_status link_model(const hsae_model *model)
{
    const hsae_backend backend = device->info.backend;
    const hsae_link_params params = {.similarity = HSAE_SIMILARITY_PART, .data = dataset};
    hsae_model *linked = NULL;
    device->info.backend = HSAE_BACKEND_OPENCL; /* the reference is not checked */
    hsae_status status = hsae_model_link(device, model, &params, &linked);
    device->info.backend = backend;
    hsae_model_free(&linked);
    return status;
}

static void test_linked(void **state)
{
    static const uint32_t batches[] = {1, 31, 40, 97};
    (void)state;
    for (size_t k = 0; k < sizeof batches / sizeof *batches; k++) {
        hsae_config config = make_config(3, batches[k], 6);
        hsae_model *model = train_model(&config);
        if (link_model(model))
            fail_msg("batches of %u rows: %s", batches[k], messages[HSAE_LOG_ERROR]);
        if (batches[k] > 1 && !getenv("HSAE_CHECK_DEVICE")) /* on one row the feature may be inactive */
            wrong = HSAE_KERNEL_encode;
        hsae_status status = link_model(model);
        if (wrong == HSAE_KERNEL_encode && (status != HSAE_ERROR_DRIVER || !strstr(messages[HSAE_LOG_ERROR], "is not active on row")))
            fail_msg("batches of %u rows: status %d, %s", batches[k], (int)status, messages[HSAE_LOG_ERROR]);
        wrong = HSAE_KERNEL_COUNT;
        hsae_dataset_close(&dataset);
        hsae_model_free(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),    cmocka_unit_test(test_dense),        cmocka_unit_test(test_diverging),
        cmocka_unit_test(test_wrong),    cmocka_unit_test(test_wrong_counts), cmocka_unit_test(test_more_ghosts),
        cmocka_unit_test(test_sessions), cmocka_unit_test(test_linked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
