/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "data/safetensors.h"
#include "model/slots.h"

#include <math.h>

static const char *const train_cases[] = {
    "center-none-four-levels",
    "coactivation-window",
    "constraint-only",
    "defaults",
    "epoch-straddle",
    "ghost",
    "hierarchy-coactivation",
    "hierarchy-decoder-full",
    "hierarchy-encoder",
    "lazy-rows",
    "no-projection",
    "one-level",
    "perturb-only",
    "schedule",
    "ste-window",
    "three-levels-both",
    "tree-binary",
    "tree-fixed",
    "tree-posthoc",
    "two-levels-no-tree",
};
static const char *const eval_cases[] = {"one-level", "two-levels", "four-levels"};

static void assert_same_file(const char *left, const char *right)
{
    size_t left_size, right_size;
    unsigned char *a = read_file(left, &left_size), *b = read_file(right, &right_size);
    assert_int_equal(left_size, right_size);
    assert_memory_equal(a, b, left_size);
    free(a);
    free(b);
}

/* Same tensors, of the same type, shape and bytes, in the same order. */
static void assert_same_tensors(const char *left, const char *right)
{
    struct hsae_safetensors *a, *b;
    assert_ok(hsae_safetensors_open(context, left, &a));
    assert_ok(hsae_safetensors_open(context, right, &b));
    assert_int_equal(hsae_safetensors_count(a), hsae_safetensors_count(b));
    for (size_t i = 0; i < hsae_safetensors_count(a); i++) {
        const struct hsae_tensor *s = hsae_safetensors_at(a, i), *t = hsae_safetensors_at(b, i);
        assert_string_equal(s->name, t->name);
        assert_int_equal(s->type, t->type);
        assert_int_equal(s->rank, t->rank);
        assert_memory_equal(s->shape, t->shape, sizeof s->shape);
        unsigned char *x = malloc(s->bytes + 1), *y = malloc(t->bytes + 1);
        assert_int_equal(s->bytes, t->bytes);
        assert_ok(hsae_file_read(hsae_safetensors_file(a), s->offset, s->bytes, x));
        assert_ok(hsae_file_read(hsae_safetensors_file(b), t->offset, t->bytes, y));
        assert_memory_equal(x, y, s->bytes);
        free(x);
        free(y);
    }
    hsae_safetensors_close(&a);
    hsae_safetensors_close(&b);
}

static void test_golden_checkpoints(void **unused)
{
    (void)unused;
    static const char *const files[] = {"init", "after"};
    for (size_t i = 0; i < 2 * (sizeof train_cases / sizeof *train_cases); i++) {
        char path[512];
        hsae_model *model, *again;
        struct train_state *state, *state_again;
        messages[HSAE_LOG_WARNING][0] = '\0';
        snprintf(path, sizeof path, HSAE_GOLDEN "/train/%s/%s.safetensors", train_cases[i / 2], files[i % 2]);
        assert_ok(hsae_checkpoint_load(context, path, &model, &state));
        assert_string_equal(messages[HSAE_LOG_WARNING], "");
        bool coactivation = model->config.similarity == HSAE_SIMILARITY_COACTIVATION;
        assert_int_equal(state->levels[0].activity != NULL, coactivation);
        assert_ok(hsae_checkpoint_save(context, model, state, scratch("a")));
        assert_ok(hsae_checkpoint_load(context, scratch("a"), &again, &state_again));
        assert_int_equal(state_again->step, state->step);
        assert_memory_equal(again->levels[0].encoder_weight, model->levels[0].encoder_weight,
                            (size_t)model->levels[0].features * model->dim * sizeof(float));
        assert_ok(hsae_checkpoint_save(context, again, state_again, scratch("b")));
        assert_same_file(scratch("a"), scratch("b"));
        if (!coactivation) /* which has a tensor of its own */
            assert_same_tensors(path, scratch("a"));
        hsae_model_free(&again);
        hsae_train_state_free(&state_again);
        assert_ok(hsae_model_load(context, scratch("a"), &again)); /* a checkpoint is a model */
        hsae_model_free(&again);
        hsae_model_free(&model);
        hsae_train_state_free(&state);
        assert_null(model);
        assert_null(state);
    }
}

static void test_golden_models(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof eval_cases / sizeof *eval_cases; i++) {
        char path[512];
        hsae_model *model;
        snprintf(path, sizeof path, HSAE_GOLDEN "/eval/%s/model.safetensors", eval_cases[i]);
        assert_ok(hsae_model_load(context, path, &model));
        assert_int_equal(hsae_model_config(model)->level_count, i == 0 ? 1 : i == 1 ? 2 : 4);
        assert_null(hsae_model_level(model, 0).parent);
        for (uint32_t l = 1; l < hsae_model_config(model)->level_count; l++)
            assert_non_null(hsae_model_level(model, l).parent);
        assert_int_equal(hsae_model_level(model, 0).features, hsae_model_config(model)->levels[0]);
        assert_true(hsae_model_scale(model) > 0);
        assert_ok(hsae_model_save(context, model, scratch("a")));
        assert_same_tensors(path, scratch("a"));
        assert_ok(hsae_model_save(context, model, scratch("b")));
        assert_same_file(scratch("a"), scratch("b"));
        struct train_state *state;
        hsae_model *none;
        assert_fails(hsae_checkpoint_load(context, scratch("a"), &none, &state), HSAE_ERROR_FORMAT, "without the state of its training",
                     NULL);
        assert_null(none);
        assert_null(state);
        hsae_model_free(&model);
    }
    hsae_model_free(NULL);
    hsae_features_free(NULL);
}

/* A small valid checkpoint to damage. */
struct sample {
    hsae_model *model;
    struct train_state *state;
};

static void make_sample(struct sample *sample)
{
    hsae_config config;
    hsae_config_defaults(&config);
    assert_ok(hsae_config_parse(context, &config,
                                "{\"levels\": [2, 3], \"target_l0\": 1, \"batch\": 40, \"steps\": 9, \"similarity\": \"coactivation\"}",
                                "sample"));
    assert_ok(hsae_model_alloc(context, &config, 4, &sample->model));
    assert_ok(hsae_train_state_alloc(context, sample->model, &sample->state));
    sample->model->scale = 2;
    sample->state->step = 5;
    for (int l = 0; l < 2; l++) {
        struct level_tensors *level = &sample->model->levels[l];
        for (uint32_t i = 0; i < level->features; i++) {
            level->threshold[i] = 1;
            level->decoder_weight[5 * i % 4 + 4 * i] = 1;
            if (level->parent)
                level->parent[i] = (int)i - 1;
        }
    }
    sample->state->levels[1].activity[64 * 3 * 2 - 1] = 0xdeadbeef;
}

static void free_sample(struct sample *sample)
{
    hsae_model_free(&sample->model);
    hsae_train_state_free(&sample->state);
}

#define ASSERT_REFUSED(...)                                                                                                                \
    do {                                                                                                                                   \
        hsae_model *model;                                                                                                                 \
        struct train_state *state;                                                                                                         \
        assert_fails(hsae_checkpoint_load(context, scratch("bad"), &model, &state), HSAE_ERROR_FORMAT, scratch("bad"), __VA_ARGS__, NULL); \
        assert_fails(hsae_checkpoint_check(context, scratch("bad")), HSAE_ERROR_FORMAT, scratch("bad"), __VA_ARGS__, NULL);                \
        assert_null(model);                                                                                                                \
        assert_null(state);                                                                                                                \
    } while (0)

/* The checkpoint of a sample that the library would not write. */
static void write_unchecked(const struct sample *s, const char *path)
{
    struct slot slots[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    struct hsae_new_tensor tensors[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    char *config = hsae_config_json(&s->model->config);
    const struct hsae_metadata metadata[] = {{"config", config}, {"format", "hsae"}, {"version", "1"}};
    size_t count = hsae_model_slots(s->model, slots);
    count += hsae_train_slots(s->model, s->state, slots + count);
    for (size_t i = 0; i < count; i++) {
        tensors[i] = (struct hsae_new_tensor){
            .name = slots[i].name, .type = slots[i].type, .rank = slots[i].rank, .data = hsae_slot_data(&slots[i])};
        memcpy(tensors[i].shape, slots[i].shape, sizeof slots[i].shape);
    }
    assert_ok(hsae_safetensors_write(context, path, metadata, 3, tensors, count));
    hsae_free(config);
}

/* One value of the sample is replaced; it is refused on writing, which leaves the file of that name as it was, and on reading; put back. */
#define ASSERT_VALUE_REFUSED(lvalue, value, ...)                                              \
    do {                                                                                      \
        __typeof__(lvalue) good = lvalue;                                                     \
        lvalue = value;                                                                       \
        write_file(scratch("bad"), "old", 3);                                                 \
        hsae_status status = hsae_checkpoint_save(context, s.model, s.state, scratch("bad")); \
        assert_true(status == HSAE_ERROR_DIVERGED || status == HSAE_ERROR_CONFIG);            \
        assert_non_null(strstr(messages[HSAE_LOG_ERROR], scratch("bad")));                    \
        size_t size;                                                                          \
        free(read_file(scratch("bad"), &size));                                               \
        assert_int_equal(size, 3);                                                            \
        write_unchecked(&s, scratch("bad"));                                                  \
        ASSERT_REFUSED(__VA_ARGS__);                                                          \
        lvalue = good;                                                                        \
    } while (0)

static void test_values(void **unused)
{
    (void)unused;
    struct sample s, again;
    make_sample(&s);
    assert_ok(hsae_checkpoint_save(context, s.model, s.state, scratch("good")));
    assert_ok(hsae_checkpoint_load(context, scratch("good"), &again.model, &again.state));
    assert_int_equal(again.state->levels[1].activity[64 * 3 * 2 - 1], 0xdeadbeef);
    free_sample(&again);
    struct level_tensors *level = s.model->levels;
    struct level_train_tensors *train = s.state->levels;
    ASSERT_VALUE_REFUSED(level[1].encoder_weight[7], NAN, "\"levels.1.encoder.weight\": element 7 is nan");
    ASSERT_VALUE_REFUSED(level[0].decoder_weight[7], INFINITY, "\"levels.0.decoder.weight\": element 7 is inf");
    ASSERT_VALUE_REFUSED(level[0].threshold[1], 0, "\"levels.0.threshold\": element 1 is 0", "above 0");
    ASSERT_VALUE_REFUSED(level[0].threshold[1], -1, "\"levels.0.threshold\": element 1 is -1");
    ASSERT_VALUE_REFUSED(level[1].parent[2], 2, "\"levels.1.parent\": element 2 is 2; expected -1 to 1");
    ASSERT_VALUE_REFUSED(level[1].parent[0], -2, "\"levels.1.parent\": element 0 is -2");
    ASSERT_VALUE_REFUSED(s.model->scale, 0, "\"input.scale\"", "above 0");
    ASSERT_VALUE_REFUSED(s.model->mean[3], NAN, "\"input.mean\": element 3");
    ASSERT_VALUE_REFUSED(s.state->step, -1, "\"train.step\": element 0 is -1");
    ASSERT_VALUE_REFUSED(train[1].row_step[2], 6, "\"optimizer.levels.1.row_step\": element 2 is 6; expected 0 to 5");
    ASSERT_VALUE_REFUSED(train[0].last_fired[1], -1, "\"levels.0.last_fired\": element 1 is -1");
    ASSERT_VALUE_REFUSED(train[0].encoder_weight_v[1], -1, "\"optimizer.levels.0.encoder.weight.v\": element 1 is -1", "at least 0");
    ASSERT_VALUE_REFUSED(train[0].log_threshold[1], NAN, "\"levels.0.log_threshold\"");
    ASSERT_VALUE_REFUSED(s.state->lambda[1], -1, "\"sparsity.lambda\": element 1");
    ASSERT_VALUE_REFUSED(s.state->l0_average[1], NAN, "\"sparsity.l0_average\": element 1");
    ASSERT_VALUE_REFUSED(s.model->config.target_l0[1], 4, "target_l0 of level 1 is 4", "3 features");
    ASSERT_VALUE_REFUSED(s.model->config.rho, -1, "rho is -1");

    messages[HSAE_LOG_WARNING][0] = '\0';
    level[1].decoder_weight[0] = 1.002f;
    assert_ok(hsae_checkpoint_save(context, s.model, s.state, scratch("norm")));
    assert_ok(hsae_checkpoint_check(context, scratch("norm")));
    assert_non_null(strstr(messages[HSAE_LOG_WARNING], "1 decoder rows do not have norm 1 (the worst has 1.002)"));
    messages[HSAE_LOG_WARNING][0] = '\0';
    assert_ok(hsae_checkpoint_load(context, scratch("norm"), &again.model, &again.state));
    assert_non_null(strstr(messages[HSAE_LOG_WARNING], "1 decoder rows do not have norm 1 (the worst has 1.002)"));
    free_sample(&again);
    free_sample(&s);
}

enum { MOST = 64 };
/* The tensors of a good file, to be written again with changes. */
struct parts {
    struct hsae_safetensors *file;
    size_t count, metadata_count;
    struct hsae_new_tensor tensors[MOST];
    struct hsae_metadata metadata[4];
    unsigned char *bytes; /* of the whole file */
};

static void take_apart(const char *path, struct parts *parts)
{
    static const char *const keys[] = {"config", "format", "library_version", "version"};
    size_t size;
    memset(parts, 0, sizeof *parts);
    assert_ok(hsae_safetensors_open(context, path, &parts->file));
    parts->bytes = read_file(path, &size);
    for (size_t i = 0; i < hsae_safetensors_count(parts->file); i++) {
        const struct hsae_tensor *tensor = hsae_safetensors_at(parts->file, i);
        struct hsae_new_tensor *copy = &parts->tensors[parts->count++];
        *copy = (struct hsae_new_tensor){
            .name = tensor->name, .type = tensor->type, .rank = tensor->rank, .data = parts->bytes + tensor->offset};
        memcpy(copy->shape, tensor->shape, sizeof copy->shape);
    }
    for (parts->metadata_count = 0; parts->metadata_count < 4; parts->metadata_count++)
        parts->metadata[parts->metadata_count] =
            (struct hsae_metadata){keys[parts->metadata_count], hsae_safetensors_metadata(parts->file, keys[parts->metadata_count])};
}

static void drop_parts(struct parts *parts)
{
    hsae_safetensors_close(&parts->file);
    free(parts->bytes);
}

static struct hsae_new_tensor *part(struct parts *parts, const char *name)
{
    size_t i = 0;
    while (i < parts->count && strcmp(parts->tensors[i].name, name) != 0)
        i++;
    assert_true(i < parts->count);
    return &parts->tensors[i];
}

static void put_together(const struct parts *parts)
{
    assert_ok(hsae_safetensors_write(context, scratch("bad"), parts->metadata, parts->metadata_count, parts->tensors, parts->count));
}

static void test_tensors(void **unused)
{
    (void)unused;
    static const float zeros[64] = {0};
    struct sample s;
    struct parts good, bad;
    make_sample(&s);
    assert_ok(hsae_checkpoint_save(context, s.model, s.state, scratch("good")));
    take_apart(scratch("good"), &good);
    for (size_t i = 0; i < good.count; i++) { /* each is missed */
        char quoted[128];
        bad = good;
        bad.tensors[i] = bad.tensors[--bad.count];
        put_together(&bad);
        if (strstr(good.tensors[i].name, "activity")) {
            hsae_model *model;
            struct train_state *state;
            assert_ok(hsae_checkpoint_load(context, scratch("bad"), &model, &state));
            hsae_model_free(&model);
            hsae_train_state_free(&state);
            continue;
        }
        snprintf(quoted, sizeof quoted, "\"%s\" is missing", good.tensors[i].name);
        if (strcmp(good.tensors[i].name, "train.step") == 0)
            ASSERT_REFUSED("state of its training");
        else
            ASSERT_REFUSED(quoted);
    }
    bad = good;
    part(&bad, "levels.0.log_threshold")->type = HSAE_TENSOR_I32;
    put_together(&bad);
    ASSERT_REFUSED("\"levels.0.log_threshold\" is I32; expected F32");
    bad = good;
    part(&bad, "levels.1.parent")->type = HSAE_TENSOR_F32;
    put_together(&bad);
    ASSERT_REFUSED("\"levels.1.parent\" is F32; expected I32");
    bad = good;
    part(&bad, "optimizer.levels.1.encoder.bias.v")->type = HSAE_TENSOR_F16;
    put_together(&bad);
    ASSERT_REFUSED("\"optimizer.levels.1.encoder.bias.v\" is F16; expected F32");
    bad = good;
    part(&bad, "levels.1.encoder.weight")->shape[1] = 3;
    put_together(&bad);
    ASSERT_REFUSED("\"levels.1.encoder.weight\" has shape [3, 3]", "wants [3, 4]");
    bad = good;
    part(&bad, "input.scale")->rank = 0;
    put_together(&bad);
    ASSERT_REFUSED("\"input.scale\" has shape []", "wants [1]");
    bad = good;
    bad.tensors[bad.count++] =
        (struct hsae_new_tensor){.name = "levels.2.encoder.weight", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {4, 4}, .data = zeros};
    put_together(&bad);
    ASSERT_REFUSED("more levels than the 2");
    drop_parts(&good);
    free_sample(&s);
}

static void test_metadata(void **unused)
{
    (void)unused;
    struct sample s;
    struct parts good, bad;
    make_sample(&s);
    assert_ok(hsae_checkpoint_save(context, s.model, s.state, scratch("good")));
    take_apart(scratch("good"), &good);
    bad = good;
    bad.metadata_count = 0;
    put_together(&bad);
    ASSERT_REFUSED("not a model or checkpoint of this library");
    bad = good;
    bad.metadata[1].value = "pt";
    put_together(&bad);
    ASSERT_REFUSED("not a model or checkpoint of this library");
    bad = good;
    bad.metadata[3].value = "2";
    put_together(&bad);
    ASSERT_REFUSED("version 2", "reads format version 1");
    bad = good;
    bad.metadata[0].key = "configuration";
    put_together(&bad);
    ASSERT_REFUSED("lacks the configuration");
    bad = good;
    bad.metadata[0].value = "{\"levels\": [2, 3], \"target_l0\": 1, \"sede\": 4}";
    put_together(&bad);
    ASSERT_REFUSED("unknown key \"sede\"", "\"seed\"");
    bad = good;
    bad.metadata[0].value = "{\"levels\": [2, 4], \"target_l0\": 1}";
    put_together(&bad);
    ASSERT_REFUSED("\"levels.1.encoder.weight\" has shape [3, 4]", "wants [4, 4]");
    bad = good;
    bad.metadata[0].value = "{\"levels\": [2, 3], \"target_l0\": 1, \"similarity\": \"coactivation\", \"batch\": 65}";
    put_together(&bad);
    ASSERT_REFUSED("\"train.levels.0.activity\" has shape [64, 2, 2]", "wants [64, 2, 3]");
    bad = good;
    bad.metadata[0].value = "{}"; /* all defaults: the paper's sizes */
    put_together(&bad);
    ASSERT_REFUSED("wants [2048, 4]");
    drop_parts(&good);
    free_sample(&s);
}

static void test_halves(void **unused)
{
    (void)unused;
    struct sample s;
    struct parts parts;
    hsae_model *model;
    make_sample(&s);
    for (int i = 0; i < 12; i++)
        s.model->levels[1].encoder_weight[i] = (float)(i - 3) / 4;
    assert_ok(hsae_model_save(context, s.model, scratch("good")));
    take_apart(scratch("good"), &parts);
    uint16_t bf16[12], f16[3] = {0x3c00, 0x0001, 0x7bff}; /* 1, the smallest subnormal, the largest number */
    for (int i = 0; i < 12; i++) {
        uint32_t bits;
        memcpy(&bits, &s.model->levels[1].encoder_weight[i], 4);
        bf16[i] = (uint16_t)(bits >> 16);
    }
    struct hsae_new_tensor *weight = part(&parts, "levels.1.encoder.weight"), *threshold = part(&parts, "levels.1.threshold");
    weight->type = HSAE_TENSOR_BF16;
    weight->data = bf16;
    threshold->type = HSAE_TENSOR_F16;
    threshold->data = f16;
    put_together(&parts);
    assert_ok(hsae_model_load(context, scratch("bad"), &model));
    assert_memory_equal(model->levels[1].encoder_weight, s.model->levels[1].encoder_weight, 12 * sizeof(float));
    assert_true(model->levels[1].threshold[0] == 1 && model->levels[1].threshold[1] == 0x1p-24f && model->levels[1].threshold[2] == 65504);
    hsae_model_free(&model);
    drop_parts(&parts);
    free_sample(&s);
}

/* Every prefix of a good file is refused, and never read past. */
static void test_truncated(void **unused)
{
    (void)unused;
    struct sample s;
    size_t size;
    make_sample(&s);
    assert_ok(hsae_model_save(context, s.model, scratch("good")));
    unsigned char *data = read_file(scratch("good"), &size);
    for (size_t length = 0; length < size; length += length < 64 ? 1 : 37) {
        hsae_model *model;
        write_file(scratch("bad"), data, length);
        assert_fails(hsae_model_load(context, scratch("bad"), &model), HSAE_ERROR_FORMAT, scratch("bad"), NULL);
        assert_null(model);
    }
    free(data);
    free_sample(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_checkpoints),
        cmocka_unit_test(test_golden_models),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_truncated),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
