/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "device/quirks.h"
#include "device/shape.h"

/* Every default shape is one that the device can run, however little it allows. */
static void test_defaults_fit(void **state)
{
    (void)state;
    static const uint32_t vendors[] = {0, 0x1002, 0x10de, 0x8086}, locals[] = {16, 512, 16384, 65536};
    static const hsae_device_type types[] = {HSAE_DEVICE_CPU, HSAE_DEVICE_INTEGRATED, HSAE_DEVICE_DISCRETE, HSAE_DEVICE_VIRTUAL};
    for (uint32_t at = 0; at < 4 * 4 * 4 * 2 * 3; at++) {
        struct hsae_device device = {.vendor = vendors[at % 4]};
        device.info.type = types[at / 4 % 4];
        device.info.backend = at / 64 % 2 ? HSAE_BACKEND_OPENCL : HSAE_BACKEND_VULKAN;
        device.info.limits.max_local_bytes = locals[at / 16 % 4];
        device.info.limits.vector_width = 4u << at / 128;
        for (uint32_t group = 1; group <= 1024; group *= 2)
            for (int kernel = 0; kernel < HSAE_KERNEL_COUNT; kernel++) {
                device.info.limits.max_group_size = group;
                struct hsae_kernel_shape shape = hsae_shape(&device, (enum hsae_kernel)kernel, 2);
                struct hsae_tile tile;
                assert_true(shape.group_size >= 1 && shape.group_size <= group && shape.columns >= 1 && shape.ranges == 2);
                assert_true(hsae_shape_tile(&shape, &tile) && tile.features >= 1 && tile.words >= 1);
                assert_true(hsae_local_bytes((enum hsae_kernel)kernel, &shape) <= device.info.limits.max_local_bytes);
            }
    }
}

/* Every shape of the search space is one that the device can run, the default is the first, none is there twice. */
static void test_space(void **state)
{
    (void)state;
    static const uint32_t vendors[] = {0, 0x1002, 0x10de, 0x8086};
    static struct hsae_kernel_shape space[HSAE_MAX_SHAPES];
    for (uint32_t at = 0; at < 4 * 2 * 2 * 3 * 3; at++) {
        struct hsae_device device = {.vendor = vendors[at % 4]};
        hsae_limits *limits = &device.info.limits;
        device.info.type = at / 4 % 2 ? HSAE_DEVICE_CPU : HSAE_DEVICE_DISCRETE;
        device.info.backend = at / 8 % 2 ? HSAE_BACKEND_OPENCL : HSAE_BACKEND_VULKAN;
        limits->max_group_size = 1u << 5 * (at / 16 % 3);
        limits->vector_width = 4u << at / 48;
        limits->max_local_bytes = 32768;
        bool cpu = device.info.type == HSAE_DEVICE_CPU && device.info.backend == HSAE_BACKEND_OPENCL;
        for (int kernel = 0; kernel < HSAE_KERNEL_COUNT; kernel++) {
            size_t count = hsae_shape_space(&device, (enum hsae_kernel)kernel, space);
            struct hsae_kernel_shape first = hsae_shape(&device, (enum hsae_kernel)kernel, 1);
            assert_true(count >= 1 && count < HSAE_MAX_SHAPES);
            assert_memory_equal(&space[0], &first, sizeof first);
            for (size_t k = 0; k < count; k++) {
                struct hsae_tile tile;
                assert_true(space[k].group_size >= 1 && space[k].group_size <= limits->max_group_size && space[k].columns >= 1);
                assert_true(space[k].vector_width >= 4 && space[k].vector_width <= (cpu ? limits->vector_width : 4));
                assert_true(hsae_shape_tile(&space[k], &tile) &&
                            hsae_local_bytes((enum hsae_kernel)kernel, &space[k]) <= limits->max_local_bytes);
                assert_false(cpu && kernel == HSAE_KERNEL_update && space[k].group_size != 1);
            }
        }
    }
}

/* A driver that miscompiles update has one work-item a group, whatever a tuning file says. */
static void test_one_item_update(void **state)
{
    (void)state;
    struct hsae_device device = {.info = {.backend = HSAE_BACKEND_OPENCL, .limits = {.max_group_size = 256, .vector_width = 8}}};
    const struct hsae_kernel_shape tuned = {.group_size = 8, .columns = 3, .vector_width = 8};
    device.tuning.shape[HSAE_KERNEL_update] = device.tuning.shape[HSAE_KERNEL_decode] = tuned;
    assert_int_equal(hsae_shape(&device, HSAE_KERNEL_update, 1).group_size, 8);
    device.quirks = HSAE_QUIRK_ONE_ITEM_UPDATE;
    assert_int_equal(hsae_shape(&device, HSAE_KERNEL_update, 1).group_size, 1);
    assert_int_equal(hsae_shape(&device, HSAE_KERNEL_decode, 1).group_size, 8);
    device.tuning.shape[HSAE_KERNEL_update].group_size = 1;
    assert_int_equal(hsae_shape(&device, HSAE_KERNEL_update, 1).columns, 3);
}

static void test_tile(void **state)
{
    (void)state;
    struct hsae_tile tile;
    struct hsae_kernel_shape shape = {.group_size = 256, .columns = 8, .ranges = 1, .vector_width = 4};
    /* A bitmap word an item. */
    assert_true(hsae_shape_tile(&shape, &tile));
    assert_true(tile.features == 2048 && tile.words == 1 && hsae_local_bytes(HSAE_KERNEL_encode, &shape) == 0);
    /* 16 x 16 items of 8 x 8; rows with padding, columns, and the items' marks. */
    shape.tile_vectors = 2;
    shape.tile_words = 4;
    shape.tile_step = 16;
    shape.tile_pad = 1;
    assert_true(hsae_shape_tile(&shape, &tile));
    assert_true(tile.features == 128 && tile.words == 4);
    assert_int_equal(hsae_local_bytes(HSAE_KERNEL_encode, &shape), 4 * (128 * 20 + 128 * 16 + 256 * 2));
    assert_int_equal(hsae_local_bytes(HSAE_KERNEL_update, &shape), 4 * 4 * 256);
    shape.tile_words = 3; /* 12 lanes for 3 words of 8 vectors */
    assert_false(hsae_shape_tile(&shape, &tile));
    shape.tile_words = 1; /* 4 lanes hold a word's 8 vectors, two each */
    assert_false(hsae_shape_tile(&shape, &tile));
    shape.tile_words = 4;
    shape.columns = 1; /* 64 vectors of rows for 256 items */
    assert_false(hsae_shape_tile(&shape, &tile));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_fit),
        cmocka_unit_test(test_space),
        cmocka_unit_test(test_one_item_update),
        cmocka_unit_test(test_tile),
    };
    return cmocka_run_group_tests_name("shape", tests, NULL, NULL);
}
