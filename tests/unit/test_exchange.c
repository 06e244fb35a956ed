/* SPDX-License-Identifier: MIT */
/* Half precision, npz archives, and what exports and imports refuse; tests/cli/test_exchange.py tests whole models. */
#include "data/bytes.h"
#include "data/npz.h"
#include "model/model.h"
#include "support.h"

#include <math.h>

static float widen(uint16_t bits, bool f16)
{
    return f16 ? hsae_f16_to_float(bits) : hsae_bf16_to_float(bits);
}

/* Every half is itself; between two neighbours the nearer one, in the middle the even one. */
static void check_halves(uint16_t (*narrow)(float), bool f16, uint16_t infinity)
{
    for (uint16_t bits = 0; bits < infinity; bits++) {
        float low = widen(bits, f16), high = bits + 1 < infinity ? widen(bits + 1, f16) : INFINITY;
        assert_int_equal(narrow(low), bits);
        assert_int_equal(narrow(-low), bits | 0x8000);
        if (isinf(high))
            break;
        float middle = (float)(((double)low + high) / 2);
        if (middle <= low || middle >= high)
            continue; /* float has nothing between them */
        assert_int_equal(narrow(middle), bits % 2 ? bits + 1 : bits);
        assert_int_equal(narrow(nextafterf(middle, INFINITY)), bits + 1);
        assert_int_equal(narrow(nextafterf(middle, 0)), bits);
    }
    assert_int_equal(narrow(INFINITY), infinity);
}

static void halves(void **state)
{
    (void)state;
    check_halves(hsae_float_to_f16, true, 0x7c00);
    check_halves(hsae_float_to_bf16, false, 0x7f80);
    assert_int_equal(hsae_float_to_f16(65519.0f), 0x7bff);
    assert_int_equal(hsae_float_to_f16(65520.0f), 0x7c00);
    assert_int_equal(hsae_float_to_f16(1e30f), 0x7c00);
    assert_int_equal(hsae_float_to_bf16(3.4e38f), 0x7f80);
}

static hsae_status next_number(void *user, size_t count, void *out)
{
    uint32_t *next = user;
    for (size_t i = 0; i < count; i++, *next = (*next + 1) % 50000)
        ((float *)out)[i] = (float)*next;
    return HSAE_OK;
}

static void npz_round_trip(void **state)
{
    static float values[50000];
    const float scalar = 3;
    uint32_t next = 0;
    struct hsae_npz *npz = NULL;
    struct hsae_npz_stream *stream = NULL;
    (void)state;
    const hsae_new_tensor tensors[] = {
        {.name = "large", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {500, 100}, .next = next_number, .user = &next},
        {.name = "none", .type = HSAE_TENSOR_F32, .rank = 1, .shape = {0}, .data = values},
        {.name = "scalar", .type = HSAE_TENSOR_F32, .rank = 0, .data = &scalar},
    };
    const char *path = scratch("a.npz");
    assert_ok(hsae_npz_write(context, path, tensors, 3));
    assert_ok(hsae_npz_open(context, path, &npz));
    assert_int_equal(hsae_npz_count(npz), 3);
    assert_null(hsae_npz_find(npz, "other"));
    assert_ok(hsae_npz_stream_open(npz, hsae_npz_find(npz, "large"), &stream));
    assert_int_equal(hsae_npz_stream_rank(stream), 2);
    assert_int_equal(hsae_npz_stream_shape(stream)[1], 100);
    for (size_t done = 0; done < 50000; done += 12500)
        assert_ok(hsae_npz_stream_next(stream, 12500, values + done));
    for (size_t i = 0; i < 50000; i++)
        assert_true(values[i] == (float)i);
    assert_fails(hsae_npz_stream_next(stream, 1, values), HSAE_ERROR_FORMAT, "a.npz", "\"large\"", "too early", NULL);
    hsae_npz_stream_close(&stream);
    assert_ok(hsae_npz_stream_open(npz, hsae_npz_find(npz, "scalar"), &stream));
    assert_int_equal(hsae_npz_stream_rank(stream), 0);
    assert_ok(hsae_npz_stream_next(stream, 1, values));
    assert_true(values[0] == 3);
    hsae_npz_stream_close(&stream);
    hsae_npz_close(&npz);
    const hsae_new_tensor integers = {.name = "i", .type = HSAE_TENSOR_I32, .rank = 0, .data = &scalar};
    assert_fails(hsae_npz_write(context, path, &integers, 1), HSAE_ERROR_ARGUMENT, "a.npz", "F32", NULL);
}

static hsae_model *small_model(uint32_t levels)
{
    hsae_config config;
    hsae_model *model = NULL;
    hsae_config_defaults(&config);
    config.level_count = levels;
    for (uint32_t l = 0; l < levels; l++)
        config.levels[l] = 2 + l;
    for (int l = 0; l < HSAE_MAX_LEVELS; l++)
        config.target_l0[l] = 1;
    assert_ok(hsae_model_alloc(context, &config, 2, &model));
    model->scale = 1;
    for (uint32_t l = 0; l < levels; l++)
        for (uint32_t i = 0; i < config.levels[l]; i++)
            model->levels[l].threshold[i] = model->levels[l].decoder_weight[2 * i] = 1;
    return model;
}

static void refused_exports(void **state)
{
    hsae_model *model = small_model(1);
    (void)state;
    model->levels[0].encoder_weight[3] = 70000;
    assert_fails(hsae_model_save_as(context, model, HSAE_DTYPE_F16, scratch("half.safetensors")), HSAE_ERROR_DATA, "half.safetensors",
                 "levels.0.encoder.weight", "element 3 is 70000", "BF16", NULL);
    assert_int_equal(hsae_os_kind(scratch("half.safetensors")), HSAE_OS_NONE);
    assert_ok(hsae_model_save_as(context, model, HSAE_DTYPE_BF16, scratch("half.safetensors")));
    model->scale = 1e-30f;
    model->levels[0].encoder_bias[1] = 1e20f;
    assert_fails(hsae_model_export(context, model, HSAE_EXPORT_SAELENS, scratch("out"), NULL, 0), HSAE_ERROR_DATA, "feature 1", "bias",
                 NULL);
    assert_int_equal(hsae_os_kind(scratch("out")), HSAE_OS_NONE);
    model->scale = 1;
    const hsae_metadata fixed = {"sae_lens_version", "5"}, broken = {"a", "\xff"};
    assert_fails(hsae_model_export(context, model, HSAE_EXPORT_SAELENS, scratch("out"), &fixed, 1), HSAE_ERROR_ARGUMENT, "sae_lens_version",
                 NULL);
    assert_fails(hsae_model_export(context, model, HSAE_EXPORT_SAELENS, scratch("out"), &broken, 1), HSAE_ERROR_ARGUMENT, "UTF-8", NULL);
    write_file(scratch("taken"), "x", 1);
    assert_fails(hsae_model_export(context, model, HSAE_EXPORT_GEMMA_SCOPE, scratch("taken"), NULL, 0), HSAE_ERROR_FILE, "taken",
                 "exists already", NULL);
    hsae_model_free(&model);
}

static void imports(void **state)
{
    hsae_model *model = small_model(3), *back = NULL;
    const char *path = scratch("three"), *nothing = scratch("nothing");
    (void)state;
    model->levels[1].parent[2] = 1;
    model->levels[2].parent[0] = -1;
    assert_ok(hsae_model_export(context, model, HSAE_EXPORT_GEMMA_SCOPE, path, NULL, 0));
    assert_ok(hsae_model_import(context, &path, 1, &back));
    assert_int_equal(hsae_model_config(back)->level_count, 3);
    assert_memory_equal(hsae_model_level(back, 1).parent, model->levels[1].parent, 3 * sizeof(int32_t));
    assert_memory_equal(hsae_model_level(back, 2).parent, model->levels[2].parent, 4 * sizeof(int32_t));
    hsae_model_free(&back);
    hsae_model_free(&model);
    assert_fails(hsae_model_import(context, &nothing, 1, &back), HSAE_ERROR_FILE, "nothing", "no SAE there", NULL);
    assert_null(back);
    assert_fails(hsae_model_import(context, &nothing, 0, &back), HSAE_ERROR_ARGUMENT, "no SAE", NULL);
}

static void refused_links(void **state)
{
    hsae_device *device = NULL;
    hsae_model *one = small_model(1), *two = small_model(2), *out = NULL;
    (void)state;
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_fails(hsae_model_link(device, one, &(hsae_link_params){0}, &out), HSAE_ERROR_ARGUMENT, "one level", NULL);
    assert_fails(hsae_model_link(device, two, &(hsae_link_params){.exclude = 1}, &out), HSAE_ERROR_ARGUMENT, "exclude is 1", NULL);
    assert_fails(hsae_model_link(device, two, &(hsae_link_params){.exclude = NAN}, &out), HSAE_ERROR_ARGUMENT, "exclude", NULL);
    assert_fails(hsae_model_link(device, two, &(hsae_link_params){.norm_limit = -1}, &out), HSAE_ERROR_ARGUMENT, "norm_limit is -1", NULL);
    assert_fails(hsae_model_link(device, two, &(hsae_link_params){.similarity = HSAE_SIMILARITY_COACTIVATION}, &out), HSAE_ERROR_ARGUMENT,
                 "data", NULL);
    assert_null(out);
    hsae_model_free(&one);
    hsae_model_free(&two);
    hsae_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves),  cmocka_unit_test(npz_round_trip), cmocka_unit_test(refused_exports),
        cmocka_unit_test(imports), cmocka_unit_test(refused_links),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
