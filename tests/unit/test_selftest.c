/* SPDX-License-Identifier: MIT */
/* The self-test finds a device on which one kernel gets one number wrong, in training and in sessions. */
#include "support.h"

#include <stddef.h>

#include "device/device.h"
#include "ref/ref.h"

/* ---- a device that computes wrong ---- */

/* One bit of what a kernel wrote is flipped after each of its launches in sequences of that name. */
struct fault {
    const char *sequence;
    enum hsae_kernel kernel;
    size_t binding, word; /* binding: its place in the struct of memory */
    u32 bit;
    const char *found; /* in the message */
};

/* A reference device with a table of functions of its own, so that it differs from the one that it is compared with. */
static const struct device_ops *true_ops;
static const struct fault *fault;
static bool running;
static unsigned flips;

static hsae_status submit(struct hsae_sequence *sequence, uint64_t *ticket)
{
    running = fault && strcmp(((const struct hsae_sequence_base *)sequence)->label, fault->sequence) == 0;
    hsae_status status = true_ops->sequence_submit(sequence, ticket);
    running = false;
    return status;
}

/* Linked in place of the kernel (ld --wrap). */
#define WRAP(name)                                                                                  \
    void __real_hsae_ref_##name(const struct hsae_##name##_memory *m, const struct name##_args *p); \
    void __wrap_hsae_ref_##name(const struct hsae_##name##_memory *m, const struct name##_args *p); \
    void __wrap_hsae_ref_##name(const struct hsae_##name##_memory *m, const struct name##_args *p)  \
    {                                                                                               \
        u32 *words;                                                                                 \
        __real_hsae_ref_##name(m, p);                                                               \
        if (!running || fault->kernel != HSAE_KERNEL_##name)                                        \
            return;                                                                                 \
        memcpy(&words, (const char *)m + fault->binding, sizeof words);                             \
        words[fault->word] ^= fault->bit;                                                           \
        flips++;                                                                                    \
    }
WRAP(load)
WRAP(encode)
WRAP(samples_fill)
WRAP(decode)
WRAP(ghost_rows)
WRAP(update)
WRAP(bias)
WRAP(finish_step)
WRAP(relink_best)

static uint64_t other_kernels;
uint64_t __real_hsae_kernel_code_hash(void), __wrap_hsae_kernel_code_hash(void);
uint64_t __wrap_hsae_kernel_code_hash(void)
{
    return __real_hsae_kernel_code_hash() + other_kernels;
}

static hsae_device *open_device(hsae_context *with, struct device_ops *ops)
{
    hsae_device *device = NULL;
    assert_ok(hsae_device_open(with, "ref", &device));
    true_ops = device->ops;
    *ops = *true_ops;
    ops->sequence_submit = submit;
    device->ops = ops;
    return device;
}

#define AT(name, binding) HSAE_KERNEL_##name, offsetof(struct hsae_##name##_memory, binding)

/* ---- tests ---- */

enum { TENTH = 1 << 20 /* a number by an eighth at most */, INDEX = 1 << 24 };

static void test_kernels(void **state)
{
    (void)state;
    static const char training[] = "training step", relink[] = "hierarchy update", session[] = "session";
    static const struct fault faults[] = {
        {training, AT(load, x), 0, TENTH, "after a few training steps"},
        {training, AT(encode, bits), 0, 1, "after a few training steps"},
        {training, AT(decode, residual), 0, TENTH, "after a few training steps"},
        {training, AT(ghost_rows, rows), 0, TENTH, "after a few training steps"},
        {training, AT(update, encoder), 0, TENTH, ".encoder.weight"},
        {training, AT(bias, bias), 0, TENTH, "after a few training steps"},
        {training, AT(finish_step, step_state), STATE_LEVELS + STATE_LAMBDA, TENTH, "after a few training steps"},
        {relink, AT(relink_best, best), 1, 1, "after a few training steps"},
        {relink, AT(relink_best, best), 1, INDEX, "best parents"},
        {session, AT(encode, bits), 0, 1, "activations of level 0 is off by inf"},
        {session, AT(samples_fill, samples), 0, INDEX, "lists of active features"},
        {session, AT(decode, residual), 0, TENTH, "reconstructions of level"},
        {session, AT(decode, loss), 0, TENTH, "evaluation of level 0"},
    };
    struct device_ops ops;
    hsae_device *device = open_device(context, &ops);
    for (size_t k = 0; k < sizeof faults / sizeof *faults; k++) {
        fault = &faults[k];
        flips = 0;
        print_message("%s, binding %u of kernel %s\n", fault->sequence, (unsigned)fault->binding, hsae_kernels[fault->kernel].name);
        assert_fails(hsae_device_test(device, true), HSAE_ERROR_DRIVER, "ref", "computes wrong", "update the driver", fault->found, NULL);
        assert_true(flips > 0 && device->buffers == 0 && device->sequences == 0);
    }
    fault = NULL;
    assert_ok(hsae_device_test(device, true));
    hsae_device_close(&device);
}

/* inf and nan are found as wrong numbers, like any other. */
static hsae_status read_nan(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data)
{
    hsae_status status = true_ops->buffer_read(buffer, offset, size, data);
    if (!status && strcmp(((struct hsae_buffer_base *)buffer)->label, "decoder") == 0)
        ((float *)data)[1] = NAN;
    return status;
}

static void test_not_a_number(void **state)
{
    (void)state;
    struct device_ops ops;
    hsae_device *device = open_device(context, &ops);
    ops.buffer_read = read_nan;
    assert_fails(hsae_device_test(device, true), HSAE_ERROR_DRIVER, "computes wrong", ".decoder.weight is off by inf", NULL);
    hsae_device_close(&device);
}

static void test_cache(void **state)
{
    (void)state;
    static const struct fault update = {"training step", AT(update, encoder), 0, TENTH, NULL};
    hsae_context *cached = NULL;
    const hsae_context_params params = {.log = keep_message, .cache_dir = folder};
    struct device_ops ops;
    assert_ok(hsae_context_create(&params, &cached));
    hsae_device *device = open_device(cached, &ops);
    fault = &update;
    for (int again = 0; again < 2; again++)
        assert_fails(hsae_device_test(device, again), HSAE_ERROR_DRIVER, "computes wrong", NULL);
    fault = NULL;
    assert_ok(hsae_device_test(device, false));
    fault = &update;
    assert_ok(hsae_device_test(device, false)); /* the verdict comes from the cache */
    assert_fails(hsae_device_test(device, true), HSAE_ERROR_DRIVER, "computes wrong", NULL);
    other_kernels = 1; /* a verdict holds only for the kernels that it was made with */
    assert_fails(hsae_device_test(device, false), HSAE_ERROR_DRIVER, "computes wrong", NULL);
    other_kernels = 0;
    fault = NULL;
    hsae_device_close(&device);
    hsae_context_destroy(&cached);
    assert_int_equal(hsae_device_test(NULL, false), HSAE_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests_name("selftest", tests, support_setup, support_teardown);
}
