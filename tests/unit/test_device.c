#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "device.h"

static void test_reference(void **state)
{
    (void)state;
    hsae_context *context;
    hsae_device *device;
    struct hsae_buffer *buffer;
    assert_int_equal(hsae_context_create(NULL, &context), HSAE_OK);
    assert_int_equal(hsae_device_open(context, "ref", &device), HSAE_OK);
    assert_int_equal(hsae_buffer_create(device, "a", 8, HSAE_BUFFER_DEVICE, &buffer), HSAE_OK);
    hsae_buffer_destroy(&buffer);
    hsae_device_close(&device);
    hsae_context_destroy(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
