/* SPDX-License-Identifier: MIT */
/* When a wait is given up: on a CPU, where no thread works any more or all run in circles; on a GPU, after its time. */
#include "support.h"

#include "base/patience.h"
#include "device/device.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

/* How many slices a wait goes on in which the threads use `share` of a processor; `most`: it is not given up by then. */
static int slices_until(struct hsae_patience *patience, enum hsae_patience_verdict wanted, double share, int most)
{
    double processor = 7; /* used before */
    const double slice = hsae_patience_slice(patience);
    for (int k = 1; k < most; k++)
        if (hsae_patience_spend(patience, slice, processor += share * slice) == wanted)
            return k;
    return most;
}

static void test_gpu(void **state)
{
    (void)state;
    struct hsae_patience patience = {.limit = 120};
    assert_int_equal(slices_until(&patience, HSAE_PATIENCE_WARN, 1, 1000), 10);
    patience = (struct hsae_patience){.limit = 120};
    assert_int_equal(slices_until(&patience, HSAE_PATIENCE_STILL, 1, 1000), 120); /* whatever threads do */
    patience = (struct hsae_patience){.limit = 0.3};
    assert_int_equal(slices_until(&patience, HSAE_PATIENCE_STILL, 0, 1000), 12);
}

static void test_threads(void **state)
{
    (void)state;
    struct hsae_patience patience = {.limit = 120, .threads = true};
    assert_int_equal(slices_until(&patience, HSAE_PATIENCE_STILL, 0, 1000), 121); /* the first says how much was used before */
    /* Of the lowest priority, beside 24 others on two cores. */
    patience = (struct hsae_patience){.limit = 120, .threads = true};
    assert_int_equal(slices_until(&patience, HSAE_PATIENCE_STILL, 0.0012, 100000), 100000);
    /* A housekeeper is no work. */
    patience = (struct hsae_patience){.limit = 120, .threads = true};
    assert_int_equal(slices_until(&patience, HSAE_PATIENCE_STILL, 0.0002, 1000), 121);
    /* A thread that runs in circles, or 64: an hour. Half an hour of work in ten hours is waited for. */
    patience = (struct hsae_patience){.limit = 120, .threads = true};
    assert_in_range(slices_until(&patience, HSAE_PATIENCE_CIRCLES, 1, 10000), 3600, 3602);
    patience = (struct hsae_patience){.limit = 120, .threads = true};
    assert_in_range(slices_until(&patience, HSAE_PATIENCE_CIRCLES, 64, 10000), 3600, 3602);
    patience = (struct hsae_patience){.limit = 120, .threads = true};
    assert_int_equal(slices_until(&patience, HSAE_PATIENCE_CIRCLES, 0.05, 36000), 36000);
    /* Work that advances and then stops. */
    patience = (struct hsae_patience){.limit = 120, .threads = true};
    assert_int_equal(slices_until(&patience, HSAE_PATIENCE_STILL, 1, 500), 500);
    assert_in_range(slices_until(&patience, HSAE_PATIENCE_STILL, 0, 1000), 119, 121);
}

static void test_no_limit(void **state)
{
    (void)state;
    struct hsae_patience patience = {.limit = INFINITY};
    assert_true(hsae_patience_slice(&patience) == 1);
    assert_int_equal(slices_until(&patience, HSAE_PATIENCE_STILL, 0, 100000), 100000);
    patience = (struct hsae_patience){.limit = INFINITY, .threads = true};
    assert_int_equal(slices_until(&patience, HSAE_PATIENCE_CIRCLES, 1, 100000), 100000);
}

/* ---- a device whose driver works in a thread ---- */

static atomic_bool ended;

static void *work(void *user)
{
    while (!ended)
        ;
    return user;
}

static int waits; /* until the work is done */

/* Comes back when the thread has worked for as long as was to be waited, so that the machine may be as busy as it likes. */
static hsae_status wait_for_work(struct hsae_device *device, uint64_t ticket, double seconds, bool *done)
{
    const double until = hsae_os_others_seconds() + seconds;
    (void)device, (void)ticket;
    while (hsae_os_others_seconds() < until)
        hsae_os_sleep(1e-3);
    *done = --waits <= 0;
    return HSAE_OK;
}

struct rig {
    hsae_device *device;
    struct device_ops ops;
    struct hsae_sequence *sequence;
    pthread_t thread;
};

static void set_up(struct rig *rig, hsae_device_type type)
{
    ended = false;
    assert_int_equal(pthread_create(&rig->thread, NULL, work, NULL), 0);
    assert_int_equal(hsae_device_open(context, "ref", &rig->device), HSAE_OK);
    rig->ops = *rig->device->ops;
    rig->ops.wait = wait_for_work;
    rig->device->ops = &rig->ops;
    rig->device->info.type = type;
    assert_int_equal(hsae_sequence_create(rig->device, "nothing", false, &rig->sequence), HSAE_OK);
    assert_int_equal(hsae_sequence_end(rig->sequence), HSAE_OK);
}

static void tear_down(struct rig *rig)
{
    hsae_sequence_destroy(&rig->sequence);
    hsae_device_close(&rig->device);
    ended = true;
    pthread_join(rig->thread, NULL);
}

static hsae_status submit_and_wait(struct rig *rig, int slices)
{
    uint64_t ticket;
    waits = slices;
    assert_int_equal(hsae_sequence_submit(rig->sequence, &ticket), HSAE_OK);
    return hsae_device_wait(rig->device, ticket);
}

/* 3 times the limit, and more than 30 times. */
static void test_cpu_at_work(void **state)
{
    struct rig rig;
    (void)state;
    support_settings((hsae_context_params){.wait_seconds = "0.03"});
    set_up(&rig, HSAE_DEVICE_CPU);
    assert_int_equal(submit_and_wait(&rig, 36), HSAE_OK);
    assert_int_equal(submit_and_wait(&rig, 36), HSAE_OK);
    messages[HSAE_LOG_WARNING][0] = 0;
    assert_int_equal(submit_and_wait(&rig, 100 * 12), HSAE_ERROR_DEVICE_LOST);
    assert_non_null(strstr(messages[HSAE_LOG_ERROR], "its work has not ended after 1 s in which threads of this process were at work"));
    assert_non_null(strstr(messages[HSAE_LOG_WARNING], "were at work; it is given up after 1 s"));
    tear_down(&rig);
}

/* Threads of a GPU's driver are at work while they compile for what runs for the first time; afterwards they are no reason to wait. */
static void test_gpu_that_compiles(void **state)
{
    struct rig rig;
    (void)state;
    support_settings((hsae_context_params){.wait_seconds = "0.03"});
    set_up(&rig, HSAE_DEVICE_DISCRETE);
    assert_int_equal(submit_and_wait(&rig, 36), HSAE_OK);
    assert_int_equal(submit_and_wait(&rig, 6), HSAE_OK);
    assert_int_equal(submit_and_wait(&rig, 36), HSAE_ERROR_DEVICE_LOST);
    assert_non_null(strstr(messages[HSAE_LOG_ERROR], "its work has not ended after 0 s; it is given up"));
    tear_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpu),         cmocka_unit_test(test_threads),           cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_cpu_at_work), cmocka_unit_test(test_gpu_that_compiles),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
