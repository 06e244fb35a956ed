/* SPDX-License-Identifier: MIT */
/* The device interface: one suite for every device that can be opened. It asks a device for its limits, never for its name. Results of the
 * kernel feature_flags are compared with the reference device. */
#include "support.h"

#include "device/choice.h"
#include "device/device.h"
#include "device/quirks.h"

enum { FEATURES = 1000, CHILDREN = 700, GROUP_SIZE = 64 };

static const char *device_id; /* of the suite that runs */
static hsae_device *device;

static hsae_device *open_device(const char *id)
{
    hsae_device *opened;
    assert_ok(hsae_device_open(context, id, &opened));
    return opened;
}

static int open_suite(void **state)
{
    (void)state;
    device = open_device(device_id);
    return 0;
}

static int close_suite(void **state)
{
    (void)state;
    assert_int_equal(device->buffers, 0);
    assert_int_equal(device->sequences, 0);
    assert_int_equal(device->allocated_bytes, 0);
    hsae_device_close(&device);
    hsae_device_close(&device);
    assert_null(device);
    return 0;
}

static struct hsae_buffer *new_buffer(hsae_device *on, const char *label, uint64_t size, enum hsae_buffer_kind kind, const void *data)
{
    struct hsae_buffer *buffer;
    assert_ok(hsae_buffer_create(on, label, size, kind, &buffer));
    if (data)
        assert_ok(hsae_buffer_write(buffer, 0, size, data));
    return buffer;
}

/* ---- the kernel feature_flags on two levels ---- */

enum { STEP_PARAMS, LEVELS, TREE, LAST_FIRED, DECODER_ROWS, FLAGS, BUFFERS };

struct flags_case {
    struct hsae_buffer *buffers[BUFFERS];
    struct feature_flags_args args;
    struct hsae_launch launch;
};

static void new_case(struct flags_case *c, hsae_device *on)
{
    static u32 tree[FEATURES * TREE_WORDS], last_fired[FEATURES], places[FEATURES];
    const u32 parents = FEATURES - CHILDREN;
    u32 step_params[PARAM_WORDS] = {[PARAM_STEP] = 9, [PARAM_SEED_LO] = 7, [PARAM_PERTURB_BOUND] = 1 << 23, [PARAM_DEAD_STEPS] = 4};
    u32 levels[3 * LEVEL_WORDS] = {[LEVEL_WORDS + LEVEL_FIRST] = parents, [2 * LEVEL_WORDS + LEVEL_FIRST] = FEATURES};
    for (u32 i = 0; i < FEATURES; i++) {
        tree[i * TREE_WORDS + TREE_PARENT] = i >= parents && i % 5 ? i % parents : NONE;
        tree[i * TREE_WORDS + TREE_CHILD_COUNT] = i < parents ? i % 3 : 0;
        tree[i * TREE_WORDS + TREE_NUMBER] = i < parents ? i : i - parents;
        last_fired[i] = i % 9;
        places[i] = i % 2;
    }
    c->buffers[STEP_PARAMS] = new_buffer(on, "step_params", sizeof step_params, HSAE_BUFFER_STAGING, step_params);
    c->buffers[LEVELS] = new_buffer(on, "levels", sizeof levels, HSAE_BUFFER_DEVICE, levels);
    c->buffers[TREE] = new_buffer(on, "tree", sizeof tree, HSAE_BUFFER_DEVICE, tree);
    c->buffers[LAST_FIRED] = new_buffer(on, "last_fired", sizeof last_fired, HSAE_BUFFER_DEVICE, last_fired);
    c->buffers[DECODER_ROWS] = new_buffer(on, "places", sizeof places, HSAE_BUFFER_DEVICE, places);
    c->buffers[FLAGS] = new_buffer(on, "flags", FEATURES * 4, HSAE_BUFFER_DEVICE, NULL);
    uint32_t most = on->info.limits.max_group_size, group_size = most < GROUP_SIZE ? most : GROUP_SIZE;
    c->args = (struct feature_flags_args){.features = FEATURES, .levels = 2};
    c->launch = (struct hsae_launch){
        .kernel = HSAE_KERNEL_feature_flags,
        .shape = {.group_size = group_size, .columns = 1, .ranges = 1, .vector_width = 4},
        .groups = {(FEATURES + group_size - 1) / group_size, 1},
        .args = &c->args,
    };
    memcpy(c->launch.bindings, c->buffers, sizeof c->buffers);
}

static void free_case(struct flags_case *c)
{
    for (int i = 0; i < BUFFERS; i++)
        hsae_buffer_destroy(&c->buffers[i]);
}

/* `repeats` swaps; each after the first reads as its places what the one before it wrote, in turn into two buffers. */
static struct hsae_sequence *new_chain(struct flags_case *c, hsae_device *on, int repeats, bool timed)
{
    struct hsae_sequence *sequence;
    struct hsae_launch launch = c->launch;
    assert_ok(hsae_sequence_create(on, "chain", timed, &sequence));
    for (int i = 0; i < repeats; i++) {
        launch.bindings[DECODER_ROWS] = c->buffers[i % 2 ? FLAGS : DECODER_ROWS];
        launch.bindings[FLAGS] = c->buffers[i % 2 ? DECODER_ROWS : FLAGS];
        hsae_sequence_launch(sequence, &launch);
    }
    assert_ok(hsae_sequence_end(sequence));
    return sequence;
}

static void set_step(struct flags_case *c, u32 step)
{
    assert_ok(hsae_buffer_write(c->buffers[STEP_PARAMS], PARAM_STEP * 4, 4, &step));
}

static void run(struct hsae_sequence *sequence, hsae_device *on)
{
    uint64_t ticket;
    assert_ok(hsae_sequence_submit(sequence, &ticket));
    assert_ok(hsae_device_wait(on, ticket));
}

static void read_flags(struct flags_case *c, u32 flags[FEATURES])
{
    assert_ok(hsae_buffer_read(c->buffers[FLAGS], 0, FEATURES * 4, flags));
}

/* What the reference gives for three steps of a chain. */
static void expect_chain(int repeats, u32 flags[3][FEATURES])
{
    struct flags_case c;
    hsae_device *reference = open_device("ref");
    new_case(&c, reference);
    struct hsae_sequence *sequence = new_chain(&c, reference, repeats, false);
    for (u32 step = 0; step < 3; step++) {
        set_step(&c, 9 + step);
        run(sequence, reference);
        read_flags(&c, flags[step]);
    }
    hsae_sequence_destroy(&sequence);
    free_case(&c);
    hsae_device_close(&reference);
}

/* ---- tests of one device ---- */

static void test_info(void **state)
{
    (void)state;
    const hsae_device_info *info = hsae_device_get_info(device);
    const hsae_limits *limits = &info->limits;
    assert_string_equal(info->id, device_id);
    assert_true(info->name[0] && info->driver[0]);
    assert_true(limits->memory_bytes >= limits->max_allocation_bytes);
    assert_true(limits->max_allocation_bytes >= 1 << 20 && limits->max_binding_bytes >= 1 << 20);
    assert_true(limits->max_bindings >= 1 && limits->max_args_bytes >= sizeof(struct feature_flags_args));
    assert_true(limits->max_group_size >= 1 && limits->max_groups[0] >= 65535 && limits->max_groups[1] >= 1);
    assert_true(limits->vector_width == 1 || limits->vector_width == 4 || limits->vector_width == 8 || limits->vector_width == 16);
}

static void check_buffer(enum hsae_buffer_kind kind)
{
    static u32 pattern[5003], result[5003], zeros[5003];
    for (u32 i = 0; i < 5003; i++)
        pattern[i] = i * 2654435761u;
    struct hsae_buffer *buffer = new_buffer(device, "pattern", sizeof pattern, kind, NULL);
    assert_int_equal(hsae_buffer_size(buffer), sizeof pattern);
    assert_int_equal(device->allocated_bytes, kind == HSAE_BUFFER_DEVICE ? sizeof pattern : 0);
    assert_ok(hsae_buffer_read(buffer, 0, sizeof result, result));
    assert_memory_equal(result, zeros, sizeof zeros);
    assert_ok(hsae_buffer_write(buffer, 0, sizeof pattern, pattern));
    assert_ok(hsae_buffer_write(buffer, 400, 8, zeros));
    pattern[100] = pattern[101] = 0;
    assert_ok(hsae_buffer_write(buffer, sizeof pattern, 0, NULL));
    assert_ok(hsae_buffer_read(buffer, 0, sizeof result, result));
    assert_memory_equal(result, pattern, sizeof pattern);
    assert_ok(hsae_buffer_read(buffer, sizeof pattern - 4, 4, result));
    assert_int_equal(result[0], pattern[5002]);
    hsae_buffer_destroy(&buffer);
    assert_null(buffer);
    hsae_buffer_destroy(&buffer);
    buffer = new_buffer(device, NULL, 0, kind, NULL);
    assert_int_equal(hsae_buffer_size(buffer), 4);
    hsae_buffer_destroy(&buffer);
}

static void test_buffers(void **state)
{
    (void)state;
    check_buffer(HSAE_BUFFER_DEVICE);
    check_buffer(HSAE_BUFFER_STAGING);
}

static void test_buffer_refusals(void **state)
{
    (void)state;
    u32 word = 0;
    const hsae_limits limits = device->info.limits;
    struct hsae_buffer *buffer, *small = new_buffer(device, "small", 16, HSAE_BUFFER_DEVICE, NULL);
    assert_fails(hsae_buffer_create(device, "odd", 6, HSAE_BUFFER_DEVICE, &buffer), HSAE_ERROR_ARGUMENT, device_id, "odd", " 6 ", NULL);
    device->info.limits.max_allocation_bytes = 64;
    assert_fails(hsae_buffer_create(device, "D0", 68, HSAE_BUFFER_STAGING, &buffer), HSAE_ERROR_LIMIT, device_id, "D0", "68", "64", "use",
                 NULL);
    assert_null(buffer);
    device->info.limits.memory_bytes = 76;
    assert_fails(hsae_buffer_create(device, "E0", 64, HSAE_BUFFER_DEVICE, &buffer), HSAE_ERROR_DEVICE_MEMORY, device_id, "E0",
                 "64 bytes asked for, 16 of 76 in use", "use", NULL);
    assert_null(buffer);
    device->info.limits = limits;
    assert_fails(hsae_buffer_write(small, 0, 20, &word), HSAE_ERROR_ARGUMENT, device_id, "write 20", "small", "16", NULL);
    assert_fails(hsae_buffer_read(small, 16, 4, &word), HSAE_ERROR_ARGUMENT, "read 4 bytes at 16", NULL);
    assert_fails(hsae_buffer_read(small, UINT64_MAX - 3, 8, &word), HSAE_ERROR_ARGUMENT, "read 8", NULL);
    assert_fails(hsae_buffer_read(small, 2, 4, &word), HSAE_ERROR_ARGUMENT, "at 2", NULL);
    assert_fails(hsae_buffer_read(small, 0, 3, &word), HSAE_ERROR_ARGUMENT, "read 3", NULL);
    assert_fails(hsae_buffer_write(small, 0, 4, NULL), HSAE_ERROR_ARGUMENT, "no data", NULL);
    assert_int_equal(hsae_buffer_write(NULL, 0, 4, &word), HSAE_ERROR_ARGUMENT);
    assert_int_equal(hsae_buffer_create(NULL, "none", 4, HSAE_BUFFER_DEVICE, &buffer), HSAE_ERROR_ARGUMENT);
    assert_int_equal(hsae_buffer_create(device, "none", 4, HSAE_BUFFER_DEVICE, NULL), HSAE_ERROR_ARGUMENT);
    hsae_buffer_destroy(&small);
}

static void test_chain(void **state)
{
    (void)state;
    static u32 expected[3][FEATURES], flags[FEATURES];
    struct flags_case c;
    new_case(&c, device);
    struct hsae_sequence *sequence = new_chain(&c, device, 5, false);
    expect_chain(5, expected);
    for (u32 step = 0; step < 3; step++) {
        set_step(&c, 9 + step);
        run(sequence, device);
        read_flags(&c, flags);
        assert_memory_equal(flags, expected[step], sizeof flags);
    }
    assert_memory_not_equal(expected[0], expected[1], sizeof flags);
    hsae_sequence_destroy(&sequence);
    assert_null(sequence);
    hsae_sequence_destroy(&sequence);
    free_case(&c);
}

/* Every group size that is allowed gives the same; more groups than needed do no harm. */
static void test_shapes(void **state)
{
    (void)state;
    static u32 expected[3][FEATURES], flags[FEATURES];
    expect_chain(1, expected);
    for (uint32_t group_size = 1; group_size <= device->info.limits.max_group_size && group_size <= 256; group_size *= 4) {
        struct flags_case c;
        new_case(&c, device);
        c.launch.shape.group_size = group_size;
        c.launch.groups[0] = FEATURES / group_size + 2;
        struct hsae_sequence *sequence = new_chain(&c, device, 1, false);
        run(sequence, device);
        read_flags(&c, flags);
        assert_memory_equal(flags, expected[0], sizeof flags);
        hsae_sequence_destroy(&sequence);
        free_case(&c);
    }
}

/* Timed and untimed sequences, submitted at once, run in order; a DEVICE buffer is read after all of them. */
static void test_timers(void **state)
{
    (void)state;
    static u32 expected[3][FEATURES], flags[FEATURES];
    double ns[6] = {-1, -1, -1, -1, -1, -1};
    struct flags_case c;
    new_case(&c, device);
    struct hsae_sequence *first = new_chain(&c, device, 2, false), *timed = new_chain(&c, device, 6, true),
                         *last = new_chain(&c, device, 2, false), *none = new_chain(&c, device, 0, true);
    expect_chain(10, expected);
    assert_ok(hsae_sequence_submit(first, NULL));
    assert_ok(hsae_sequence_submit(timed, NULL));
    assert_ok(hsae_sequence_submit(none, NULL));
    assert_fails(hsae_sequence_times(timed, ns), HSAE_ERROR_ARGUMENT, "chain", "waited for", NULL);
    assert_ok(hsae_sequence_submit(last, NULL));
    read_flags(&c, flags);
    assert_ok(hsae_device_wait(device, 0));
    assert_ok(hsae_sequence_times(timed, ns));
    assert_ok(hsae_sequence_times(none, ns));
    for (int i = 0; i < 6; i++)
        assert_true(ns[i] > 0 && ns[i] < 60e9);
    assert_fails(hsae_sequence_times(first, ns), HSAE_ERROR_ARGUMENT, "not made to be timed", NULL);
    assert_fails(hsae_sequence_times(timed, NULL), HSAE_ERROR_ARGUMENT, "nowhere", NULL);
    assert_memory_equal(flags, expected[0], sizeof flags);
    hsae_sequence_destroy(&first);
    hsae_sequence_destroy(&timed);
    hsae_sequence_destroy(&last);
    hsae_sequence_destroy(&none);
    free_case(&c);
}

/* The same on a device whose launches run one by one, and are timed on the host. */
static void test_one_by_one(void **state)
{
    const uint32_t own = device->quirks, quirks[] = {HSAE_QUIRK_HOST_TIMERS, HSAE_QUIRK_SERIALIZE};
    for (int k = 0; k < 2; k++) {
        device->quirks = quirks[k];
        test_timers(state);
        test_chain(state);
    }
    device->quirks = own;
}

/* STAGING buffers can be written and read while a sequence runs that does not use them. */
static void test_staging(void **state)
{
    (void)state;
    static u32 pattern[4096], result[4096];
    for (u32 i = 0; i < 4096; i++)
        pattern[i] = i;
    struct flags_case c;
    uint64_t tickets[2];
    new_case(&c, device);
    struct hsae_buffer *next = new_buffer(device, "next batch", sizeof pattern, HSAE_BUFFER_STAGING, NULL);
    struct hsae_sequence *sequence = new_chain(&c, device, 200, false), *empty = new_chain(&c, device, 0, false);
    assert_ok(hsae_sequence_submit(sequence, &tickets[0]));
    assert_ok(hsae_buffer_write(next, 0, sizeof pattern, pattern));
    assert_ok(hsae_buffer_read(next, 0, sizeof result, result));
    assert_memory_equal(result, pattern, sizeof pattern);
    void *bytes, *again;
    assert_ok(hsae_buffer_map(next, &bytes));
    assert_fails(hsae_buffer_map(next, &again), HSAE_ERROR_ARGUMENT, "next batch", "mapped already", NULL);
    for (u32 i = 0; i < 4096; i++)
        pattern[i] = ~i;
    memcpy(bytes, pattern, sizeof pattern);
    assert_ok(hsae_buffer_unmap(next));
    assert_fails(hsae_buffer_unmap(next), HSAE_ERROR_ARGUMENT, "next batch", "not mapped", NULL);
    assert_fails(hsae_buffer_map(c.buffers[FLAGS], &again), HSAE_ERROR_ARGUMENT, "flags", "no staging buffer", NULL);
    assert_ok(hsae_buffer_read(next, 0, sizeof result, result));
    assert_memory_equal(result, pattern, sizeof pattern);
    assert_ok(hsae_sequence_submit(empty, &tickets[1]));
    assert_true(tickets[1] > tickets[0]);
    assert_ok(hsae_device_wait(device, tickets[1]));
    assert_ok(hsae_device_wait(device, tickets[0]));
    assert_ok(hsae_sequence_submit(sequence, NULL));
    assert_ok(hsae_device_wait(device, 0));
    hsae_buffer_destroy(&next);
    hsae_sequence_destroy(&sequence);
    hsae_sequence_destroy(&empty);
    free_case(&c);
}

/* Destroying a sequence whose ticket nobody waited for by number leaves nothing behind. */
static void test_tickets(void **state)
{
    (void)state;
    struct flags_case c;
    uint64_t last = 0;
    new_case(&c, device);
    for (int i = 0; i < 20; i++) {
        uint64_t ticket;
        struct hsae_sequence *sequence = new_chain(&c, device, 2, false);
        assert_ok(hsae_sequence_submit(sequence, &ticket));
        assert_true(ticket > last);
        last = ticket;
        assert_ok(hsae_device_wait(device, i % 3 ? 0 : ticket));
        hsae_sequence_destroy(&sequence);
    }
    assert_ok(hsae_device_wait(device, last));
    assert_fails(hsae_device_wait(device, last + 1), HSAE_ERROR_ARGUMENT, device_id, "ticket", NULL);
    free_case(&c);
}

/* The status of a sequence of one launch. */
static hsae_status launch_alone(const struct hsae_launch *launch)
{
    struct hsae_sequence *sequence;
    assert_ok(hsae_sequence_create(device, "step", false, &sequence));
    hsae_sequence_launch(sequence, launch);
    hsae_status status = hsae_sequence_end(sequence);
    hsae_sequence_destroy(&sequence);
    return status;
}

/* Errors stick to a sequence: nothing is added after the first, which its end returns. */
static void test_sticky(void **state)
{
    (void)state;
    struct flags_case c;
    struct hsae_sequence *sequence;
    const uint32_t most = device->info.limits.max_groups[0];
    new_case(&c, device);
    assert_ok(hsae_sequence_create(device, "sticky", false, &sequence));
    hsae_sequence_launch(sequence, &c.launch);
    device->info.limits.max_groups[0] = c.launch.groups[0] - 1;
    hsae_sequence_launch(sequence, &c.launch);
    device->info.limits.max_groups[0] = most;
    hsae_sequence_launch(sequence, NULL);
    hsae_sequence_launch(sequence, &c.launch);
    assert_fails(hsae_sequence_end(sequence), HSAE_ERROR_LIMIT, device_id, "sticky", "groups in x", NULL);
    assert_int_equal(hsae_sequence_launches(sequence), 1);
    assert_int_equal(hsae_sequence_submit(sequence, NULL), HSAE_ERROR_LIMIT);
    hsae_sequence_destroy(&sequence);
    free_case(&c);
}

static void test_launch_refusals(void **state)
{
    (void)state;
    struct flags_case c;
    struct hsae_sequence *sequence;
    const hsae_limits limits = device->info.limits;
    new_case(&c, device);
#define REFUSED(change, status, ...)                                                              \
    do {                                                                                          \
        struct hsae_launch launch = c.launch;                                                     \
        change;                                                                                   \
        assert_fails(launch_alone(&launch), HSAE_##status, device_id, "step", __VA_ARGS__, NULL); \
        device->info.limits = limits;                                                             \
    } while (0)
    REFUSED(launch.kernel = HSAE_KERNEL_COUNT, ERROR_ARGUMENT, "no kernel");
    REFUSED(launch.args = NULL, ERROR_ARGUMENT, "no arguments");
    REFUSED(launch.shape.group_size = 0, ERROR_ARGUMENT, "feature_flags", "group size 0");
    REFUSED(launch.shape.group_size = 3, ERROR_ARGUMENT, "feature_flags", "group size 3");
    REFUSED(launch.shape.columns = 0, ERROR_ARGUMENT, "columns 0");
    REFUSED(launch.shape.tile_vectors = 3, ERROR_ARGUMENT, "feature_flags", "3 vectors");
    REFUSED(launch.shape.tile_words = 1000, ERROR_ARGUMENT, "1000 words");
    REFUSED(launch.shape.tile_step = 5, ERROR_ARGUMENT, "step 5");
    REFUSED(launch.shape.tile_pad = 1, ERROR_ARGUMENT, "padding 1");
    REFUSED(launch.shape.tile_prefetch = 1, ERROR_ARGUMENT, "prefetch 1");
    REFUSED(launch.shape.ranges = 8, ERROR_ARGUMENT, "ranges 8");
    REFUSED(launch.shape.vector_width = 1, ERROR_ARGUMENT, "vector width 1");
    REFUSED(launch.groups[1] = 0, ERROR_ARGUMENT, "groups");
    REFUSED(launch.bindings[TREE] = NULL, ERROR_ARGUMENT, "feature_flags", "binding 2 is not set");
    REFUSED(launch.bindings[BUFFERS] = c.buffers[0], ERROR_ARGUMENT, "binding 6 is set", "has 6");
    REFUSED(launch.bindings[DECODER_ROWS] = launch.bindings[FLAGS], ERROR_ARGUMENT, "feature_flags", "flags is written and bound twice",
            "4 and 5");
    REFUSED(launch.shape.group_size = device->info.limits.max_group_size = 1;
            launch.shape.group_size = 2, ERROR_LIMIT, "feature_flags", "group size 2", "allows 1");
    REFUSED(launch.kernel = HSAE_KERNEL_encode; launch.shape.tile_step = 16;
            device->info.limits.max_local_bytes = 8, ERROR_LIMIT, "local memory", "allows 8");
    REFUSED(launch.groups[0] = device->info.limits.max_groups[0] = 7; launch.groups[0] = 8, ERROR_LIMIT, "8 groups in x", "allows 7");
    REFUSED(launch.groups[1] = device->info.limits.max_groups[1] = 7; launch.groups[1] = 8, ERROR_LIMIT, "8 groups in y", "allows 7");
    REFUSED(device->info.limits.max_binding_bytes = 4000, ERROR_LIMIT, "feature_flags", "tree", "4000", "smaller levels");
#undef REFUSED
    device->info.limits.max_bindings = 5;
    assert_fails(launch_alone(&c.launch), HSAE_ERROR_LIMIT, device_id, "feature_flags", "6 buffers", "allows 5", NULL);
    device->info.limits = limits;
    device->info.limits.max_args_bytes = 4;
    assert_fails(launch_alone(&c.launch), HSAE_ERROR_LIMIT, "feature_flags", "8 bytes", "and 4", NULL);
    device->info.limits = limits;
    assert_int_equal(launch_alone(NULL), HSAE_ERROR_ARGUMENT);
    hsae_sequence_launch(NULL, &c.launch);
    /* What is only read may be bound twice. */
    c.launch.bindings[DECODER_ROWS] = c.launch.bindings[LAST_FIRED];
    assert_ok(hsae_sequence_create(device, "step", false, &sequence));
    hsae_sequence_launch(sequence, &c.launch);
    assert_ok(hsae_sequence_end(sequence));
    run(sequence, device);
    hsae_sequence_destroy(&sequence);
    free_case(&c);
}

static void test_sequence_refusals(void **state)
{
    (void)state;
    struct flags_case c;
    struct hsae_sequence *sequence;
    new_case(&c, device);
    assert_ok(hsae_sequence_create(device, "step", false, &sequence));
    assert_fails(hsae_sequence_submit(sequence, NULL), HSAE_ERROR_ARGUMENT, device_id, "step", "not ended", NULL);
    assert_ok(hsae_sequence_end(sequence));
    assert_fails(hsae_sequence_end(sequence), HSAE_ERROR_ARGUMENT, "step", "ended already", NULL);
    assert_ok(hsae_sequence_submit(sequence, NULL));
    assert_fails(hsae_sequence_submit(sequence, NULL), HSAE_ERROR_ARGUMENT, "step", "not waited for", NULL);
    assert_ok(hsae_device_wait(device, 0));
    hsae_sequence_launch(sequence, &c.launch);
    assert_fails(hsae_sequence_submit(sequence, NULL), HSAE_ERROR_ARGUMENT, "feature_flags", "step", "has ended", NULL);
    hsae_sequence_destroy(&sequence);
    assert_int_equal(hsae_sequence_end(NULL), HSAE_ERROR_ARGUMENT);
    assert_int_equal(hsae_sequence_submit(NULL, NULL), HSAE_ERROR_ARGUMENT);
    assert_int_equal(hsae_sequence_times(NULL, NULL), HSAE_ERROR_ARGUMENT);
    assert_int_equal(hsae_sequence_create(NULL, "none", false, &sequence), HSAE_ERROR_ARGUMENT);
    assert_null(sequence);
    free_case(&c);
}

/* A second device on the same hardware and the reference, all at work; buffers do not cross. A lost device refuses everything. */
static void test_together(void **state)
{
    (void)state;
    static u32 expected[3][FEATURES], flags[FEATURES];
    hsae_device *devices[3] = {device, open_device(device_id), open_device("ref")};
    struct flags_case cases[3];
    struct hsae_sequence *sequences[3];
    expect_chain(3, expected);
    for (int i = 0; i < 3; i++) {
        new_case(&cases[i], devices[i]);
        sequences[i] = new_chain(&cases[i], devices[i], 3, i == 1);
        assert_ok(hsae_sequence_submit(sequences[i], NULL));
    }
    for (int i = 2; i >= 0; i--) {
        read_flags(&cases[i], flags);
        assert_memory_equal(flags, expected[0], sizeof flags);
        assert_ok(hsae_device_wait(devices[i], 0));
        hsae_sequence_destroy(&sequences[i]);
    }
    assert_ok(hsae_sequence_create(device, "mixed", false, &sequences[0]));
    cases[0].launch.bindings[TREE] = cases[1].buffers[TREE];
    hsae_sequence_launch(sequences[0], &cases[0].launch);
    assert_fails(hsae_sequence_end(sequences[0]), HSAE_ERROR_ARGUMENT, "mixed", "binding 2", "another device", NULL);
    hsae_sequence_destroy(&sequences[0]);

    devices[1]->lost = true;
    assert_fails(hsae_buffer_read(cases[1].buffers[FLAGS], 0, 4, flags), HSAE_ERROR_DEVICE_LOST, device_id, "lost", "checkpoint", NULL);
    assert_fails(hsae_sequence_create(devices[1], "late", false, &sequences[1]), HSAE_ERROR_DEVICE_LOST, "lost", NULL);
    assert_fails(hsae_device_wait(devices[1], 0), HSAE_ERROR_DEVICE_LOST, "lost", NULL);
    for (int i = 0; i < 3; i++)
        free_case(&cases[i]);
    hsae_device_close(&devices[1]);
    hsae_device_close(&devices[2]);
}

/* Calls `change` on every file of the cache; how many there are. */
static int for_cache_files(void (*change)(const char *path))
{
    int count = 0;
    struct hsae_os_folder *entries = hsae_os_folder_open(scratch("cache"));
    for (const char *entry; entries && (entry = hsae_os_folder_next(entries));) {
        char name[128];
        snprintf(name, sizeof name, "cache/%.100s", entry);
        if (*entry == '.')
            continue;
        change(scratch(name));
        count++;
    }
    hsae_os_folder_close(entries);
    return count;
}

static void flip_last_byte(const char *path)
{
    size_t size;
    unsigned char *data = read_file(path, &size);
    data[size - 1] ^= 1;
    write_file(path, data, size);
    free(data);
}

static void cut_in_half(const char *path)
{
    size_t size;
    unsigned char *data = read_file(path, &size);
    write_file(path, data, size / 2);
    free(data);
}

static void leave(const char *path)
{
    (void)path;
}

/* Compiled kernels come from the cache, and damage to it goes unnoticed. */
static void test_cache(void **state)
{
    (void)state;
    static u32 expected[3][FEATURES], flags[FEATURES];
    void (*const changes[])(const char *path) = {leave, flip_last_byte, cut_in_half, leave};
    const hsae_context_params params = {.log = keep_message, .cache_dir = scratch("cache")};
    hsae_context *plain = context;
    expect_chain(1, expected);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct flags_case c;
        for_cache_files(changes[i]);
        assert_ok(hsae_context_create(&params, &context));
        hsae_device *cached = open_device(device_id);
        new_case(&c, cached);
        struct hsae_sequence *sequence = new_chain(&c, cached, 1, false);
        run(sequence, cached);
        read_flags(&c, flags);
        assert_memory_equal(flags, expected[0], sizeof flags);
        hsae_sequence_destroy(&sequence);
        free_case(&c);
        hsae_device_close(&cached);
        hsae_context_destroy(&context);
        if (device->info.backend == HSAE_BACKEND_OPENCL)
            assert_int_equal(for_cache_files(leave), 1);
    }
    context = plain;
    remove_files(scratch("cache"));
}

/* Or compiled kernels are not kept. */
static void test_no_binaries(void **state)
{
    (void)state;
    const hsae_context_params params = {.log = keep_message, .cache_dir = scratch("cache")};
    hsae_context *plain = context;
    struct flags_case c;
    assert_ok(hsae_context_create(&params, &context));
    hsae_device *cached = open_device(device_id);
    cached->quirks |= HSAE_QUIRK_NO_BINARIES;
    new_case(&c, cached);
    struct hsae_sequence *sequence = new_chain(&c, cached, 1, false);
    if (device->info.backend == HSAE_BACKEND_OPENCL)
        assert_int_equal(for_cache_files(leave), 0);
    hsae_sequence_destroy(&sequence);
    free_case(&c);
    hsae_device_close(&cached);
    hsae_context_destroy(&context);
    context = plain;
    remove_files(scratch("cache"));
}

/* ---- tests of the choice of a device ---- */

static void test_open_refusals(void **state)
{
    (void)state;
    static const char *const unknown[] = {"", "re", "ref:0", "refs", "opencl", "opencl:", "opencl:99", "opencl:0x", "vulkan:-1", "cuda:0"};
    hsae_device *opened;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_fails(hsae_device_open(context, unknown[i], &opened), HSAE_ERROR_NO_DEVICE, "no device", unknown[i], "ref (reference", NULL);
        assert_null(opened);
    }
    assert_int_equal(hsae_device_open(context, "ref", NULL), HSAE_ERROR_ARGUMENT);
    assert_int_equal(hsae_device_open(NULL, "ref", &opened), HSAE_ERROR_ARGUMENT);
    assert_null(hsae_device_get_info(NULL));
}

static void test_default(void **state)
{
    (void)state;
    char id[32], reason[128] = "";
    hsae_device *opened;
    support_settings((hsae_context_params){.device = "ref"});
    assert_ok(hsae_device_default(context, id, reason));
    assert_string_equal(id, "ref");
    assert_non_null(strstr(reason, "HSAE_DEVICE"));
    opened = open_device(NULL);
    assert_string_equal(hsae_device_get_info(opened)->id, "ref");
    hsae_device_close(&opened);
    support_settings((hsae_context_params){.device = "no such device"});
    assert_fails(hsae_device_open(context, NULL, &opened), HSAE_ERROR_NO_DEVICE, "no such device", "ref", NULL);
    support_settings((hsae_context_params){.device = "a name that is much longer than any id can be"});
    assert_fails(hsae_device_default(context, id, NULL), HSAE_ERROR_NO_DEVICE, "HSAE_DEVICE", NULL);
    support_settings((hsae_context_params){0});
    reason[0] = 0;
    assert_ok(hsae_device_default(context, id, reason));
    assert_true(reason[0]);
    print_message("default device: %s, %s\n", id, reason);
}

/* Made-up machines: what is one GPU, which device is the default, and why. */
static hsae_device_info made_up(const char *id, hsae_device_type type, const char *name, const char *driver, const char *pci)
{
    hsae_device_info info = {.type = type};
    info.backend = id[0] == 'o' ? HSAE_BACKEND_OPENCL : id[0] == 'v' ? HSAE_BACKEND_VULKAN : HSAE_BACKEND_REF;
    snprintf(info.id, sizeof info.id, "%s", id);
    snprintf(info.name, sizeof info.name, "%s", name);
    snprintf(info.driver, sizeof info.driver, "%s", driver);
    snprintf(info.pci, sizeof info.pci, "%s", pci);
    return info;
}

static void test_choice(void **state)
{
    (void)state;
    const hsae_device_info ref = made_up("ref", HSAE_DEVICE_CPU, "reference", "libhsae", "");
    const struct {
        hsae_device_info list[6];
        const char *same_as[6], *best, *reason;
    } machines[] = {
        {{ref}, {""}, "ref", "no other device was found"},
        /* A laptop: a small and a large GPU, two drivers each. */
        {{made_up("opencl:0", HSAE_DEVICE_INTEGRATED, "Intel(R) Iris(R) Xe", "Intel NEO", "0000:00:02.0"),
          made_up("opencl:1", HSAE_DEVICE_DISCRETE, "RTX 4060", "NVIDIA CUDA", "0000:01:00.0"),
          made_up("vulkan:0", HSAE_DEVICE_INTEGRATED, "Intel(R) Xe Graphics (TGL GT2)", "Mesa", "0000:00:02.0"),
          made_up("vulkan:1", HSAE_DEVICE_DISCRETE, "NVIDIA GeForce RTX 4060", "NVIDIA", "0000:01:00.0"),
          made_up("vulkan:2", HSAE_DEVICE_CPU, "llvmpipe", "llvmpipe", ""), ref},
         {"", "", "opencl:0", "opencl:1", "", ""},
         "opencl:1",
         "the only discrete GPU, by a driver preferred to that of vulkan:1"},
        /* Two cards of one model, two drivers; one tells no address. */
        {{made_up("opencl:0", HSAE_DEVICE_DISCRETE, "MI50", "AMD", "0000:03:00.0"),
          made_up("opencl:1", HSAE_DEVICE_DISCRETE, "MI50", "AMD", "0000:04:00.0"),
          made_up("vulkan:0", HSAE_DEVICE_DISCRETE, "MI50", "radv", "0000:04:00.0"),
          made_up("vulkan:1", HSAE_DEVICE_DISCRETE, "MI50", "radv", ""), ref},
         {"", "", "opencl:1", "", ""},
         "opencl:0",
         "the first of 3 discrete GPUs"},
        /* One name, no addresses. */
        {{made_up("opencl:0", HSAE_DEVICE_INTEGRATED, "Apple M1", "Apple", ""),
          made_up("vulkan:0", HSAE_DEVICE_INTEGRATED, "Apple M1", "MoltenVK", ""), ref},
         {"", "opencl:0", ""},
         "opencl:0",
         "the only GPU, by a driver preferred to that of vulkan:0"},
        /* Three drivers: one tells an address, one the same address and a name, one that name alone. */
        {{made_up("opencl:0", HSAE_DEVICE_DISCRETE, "gfx906", "AMD", "0000:03:00.0"),
          made_up("vulkan:0", HSAE_DEVICE_DISCRETE, "AMD MI50", "radv", "0000:03:00.0"),
          made_up("vulkan:1", HSAE_DEVICE_DISCRETE, "AMD MI50", "amdvlk", ""), ref},
         {"", "opencl:0", "opencl:0", ""},
         "opencl:0",
         "the only discrete GPU, by a driver preferred to that of vulkan:0"},
        /* Vulkan before an experimental OpenCL. */
        {{made_up("opencl:0", HSAE_DEVICE_INTEGRATED, "AMD Radeon 780M", "rusticl, OpenCL 3.0", "0000:c1:00.0"),
          made_up("vulkan:0", HSAE_DEVICE_INTEGRATED, "AMD Radeon 780M (RADV)", "radv Mesa", "0000:c1:00.0"), ref},
         {"vulkan:0", "", ""},
         "vulkan:0",
         "the only GPU, by a driver preferred to that of opencl:0"},
        /* No addresses, and names as Mesa's drivers give them; another GPU's name begins alike. */
        {{made_up("opencl:0", HSAE_DEVICE_INTEGRATED, "AMD Radeon 780M (radeonsi, phoenix, LLVM 17.0.6, DRM 3.57)", "rusticl", ""),
          made_up("vulkan:0", HSAE_DEVICE_INTEGRATED, "AMD Radeon 780M (RADV PHOENIX)", "radv Mesa", ""),
          made_up("vulkan:1", HSAE_DEVICE_DISCRETE, "AMD Radeon 780", "radv Mesa", ""), ref},
         {"vulkan:0", "", "", ""},
         "vulkan:1",
         "the only discrete GPU"},
        /* Two GPUs whose names differ in the brackets only: which is which cannot be told. */
        {{made_up("opencl:0", HSAE_DEVICE_DISCRETE, "AMD Radeon (radeonsi, navi21)", "rusticl", ""),
          made_up("vulkan:0", HSAE_DEVICE_DISCRETE, "AMD Radeon (RADV NAVI21)", "radv Mesa", ""),
          made_up("vulkan:1", HSAE_DEVICE_DISCRETE, "AMD Radeon (RADV NAVI22)", "radv Mesa", ""), ref},
         {"", "", "", ""},
         "opencl:0",
         "the first of 3 discrete GPUs"},
        /* Processors only: what renders in software, and simulators, are left to those who ask. */
        {{made_up("opencl:0", HSAE_DEVICE_CPU, "llvmpipe", "rusticl, OpenCL 3.0", ""),
          made_up("opencl:1", HSAE_DEVICE_CPU, "EPYC", "PoCL", ""), made_up("opencl:2", HSAE_DEVICE_CPU, "EPYC", "Intel(R) OpenCL", ""),
          made_up("vulkan:0", HSAE_DEVICE_CPU, "llvmpipe", "llvmpipe", ""), ref},
         {"", "", "", "", ""},
         "opencl:1",
         "the first of 2 OpenCL CPU devices"},
        {{made_up("opencl:0", HSAE_DEVICE_VIRTUAL, "Oclgrind Simulator", "Oclgrind", ""), ref},
         {"", ""},
         "ref",
         "no other device was found"},
    };
    for (size_t m = 0; m < sizeof machines / sizeof *machines; m++) {
        hsae_device_info list[6];
        size_t count = 0;
        char reason[HSAE_REASON_BYTES];
        while (count < 6 && machines[m].list[count].id[0])
            count++;
        memcpy(list, machines[m].list, sizeof list);
        hsae_devices_pair(list, count);
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(list[i].same_as, machines[m].same_as[i]);
            assert_int_equal(list[i].same_as_reason != NULL, *list[i].same_as != 0);
        }
        assert_string_equal(list[hsae_devices_best(list, count, reason)].id, machines[m].best);
        assert_string_equal(reason, machines[m].reason);
    }
}

static void test_list(void **state)
{
    (void)state;
    hsae_device_info *list;
    size_t count;
    assert_ok(hsae_device_list(context, &list, &count));
    assert_true(count >= 1);
    assert_string_equal(list[count - 1].id, "ref");
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(list[i].id, list[j].id);
    hsae_free(list);
    assert_fails(hsae_device_list(context, NULL, &count), HSAE_ERROR_ARGUMENT, "NULL", NULL);
}

int main(void)
{
    const struct CMUnitTest choice[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_open_refusals),
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_choice),
    };
    const struct CMUnitTest suite[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_buffer_refusals),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_one_by_one),
        cmocka_unit_test(test_staging),
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_launch_refusals),
        cmocka_unit_test(test_sticky),
        cmocka_unit_test(test_sequence_refusals),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_no_binaries),
    };
    hsae_device_info *list;
    size_t count;
    if (support_setup(NULL) || hsae_device_list(context, &list, &count))
        return 1;
    int failed = cmocka_run_group_tests_name("choice", choice, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        device_id = list[i].id;
        print_message("%s: %s (%s)\n", list[i].id, list[i].name, list[i].driver);
        failed += cmocka_run_group_tests_name(list[i].id, suite, open_suite, close_suite);
    }
    hsae_free(list);
    return support_teardown(NULL) || failed;
}
