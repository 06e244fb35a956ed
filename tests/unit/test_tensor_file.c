/* SPDX-License-Identifier: MIT */
/* The public safetensors functions: what goes in comes out, and what cannot be is refused. */
#include "support.h"

static hsae_status next_int(void *user, size_t count, void *out)
{
    int32_t *last = user;
    for (size_t i = 0; i < count; i++)
        ((int32_t *)out)[i] = (*last)++;
    return HSAE_OK;
}

static hsae_status next_fails(void *user, size_t count, void *out)
{
    (void)user;
    memset(out, 0, count * sizeof(float));
    return HSAE_CANCELLED;
}

static void write_and_read(void **state)
{
    char path[256];
    int32_t counter = 0, numbers[3];
    float floats[6] = {1, 2, 3, 4, 5, 6}, back[2];
    hsae_tensor_file *file = NULL;
    (void)state;
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    const hsae_metadata metadata = {"key", "value"};
    const hsae_new_tensor tensors[] = {
        {.name = "numbers", .type = HSAE_TENSOR_I32, .rank = 1, .shape = {100000}, .next = next_int, .user = &counter},
        {.name = "floats", .type = HSAE_TENSOR_F32, .rank = 2, .shape = {2, 3}, .data = floats},
    };
    assert_int_equal(hsae_tensor_file_write(context, path, &metadata, 1, tensors, 2), HSAE_OK);
    assert_int_equal(hsae_tensor_file_open(context, path, &file), HSAE_OK);
    assert_int_equal(hsae_tensor_file_count(file), 2);
    assert_string_equal(hsae_tensor_file_at(file, 0)->name, "floats");
    assert_string_equal(hsae_tensor_file_metadata(file, "key"), "value");
    assert_null(hsae_tensor_file_metadata(file, "other"));
    assert_null(hsae_tensor_file_find(file, "other"));
    const hsae_tensor *tensor = hsae_tensor_file_find(file, "numbers");
    assert_int_equal(tensor->count, 100000);
    assert_int_equal(hsae_tensor_read(file, tensor, 99997, 3, numbers), HSAE_OK);
    assert_int_equal(numbers[2], 99999);
    assert_int_equal(hsae_tensor_read(file, hsae_tensor_file_at(file, 0), 4, 2, back), HSAE_OK);
    assert_memory_equal(back, floats + 4, sizeof back);
    assert_int_equal(hsae_tensor_read(file, tensor, 99998, 3, numbers), HSAE_ERROR_ARGUMENT);
    assert_int_equal(hsae_tensor_read(file, tensor, UINT64_MAX, 1, numbers), HSAE_ERROR_ARGUMENT);
    hsae_tensor_file_close(&file);
    hsae_tensor_file_close(&file);
}

static void refused(void **state)
{
    char path[256];
    float value = 1;
    hsae_tensor_file *file = NULL;
    (void)state;
    snprintf(path, sizeof path, "%s/b.safetensors", folder);
    hsae_new_tensor tensor = {.name = "t", .type = HSAE_TENSOR_F32, .rank = 1, .shape = {1}};
    assert_int_equal(hsae_tensor_file_write(context, path, NULL, 0, &tensor, 1), HSAE_ERROR_ARGUMENT);
    tensor.data = &value;
    tensor.type = HSAE_TENSOR_OTHER;
    assert_int_equal(hsae_tensor_file_write(context, path, NULL, 0, &tensor, 1), HSAE_ERROR_ARGUMENT);
    tensor = (hsae_new_tensor){.name = "t", .type = HSAE_TENSOR_F32, .rank = 1, .shape = {1}, .next = next_fails};
    assert_int_equal(hsae_tensor_file_write(context, path, NULL, 0, &tensor, 1), HSAE_CANCELLED);
    assert_int_equal(hsae_tensor_file_open(context, path, &file), HSAE_ERROR_FILE);
    assert_null(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(write_and_read), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
