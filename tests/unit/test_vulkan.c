/* SPDX-License-Identifier: MIT */
/* What only the Vulkan device has: barriers, blocks of descriptors, fences, transfers in pieces, the pipeline cache, drivers that fail. The
 * validation layer, where it is installed, must stay silent. Results are compared with the reference device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/device.h"
#include "device/quirks.h"
#include "vulkan/vulkan_device.h"

enum { FEATURES = 1000, GROUP = 64, LAUNCHES = 300, SKIP = 77 };

static hsae_context *context;
static unsigned complaints; /* of the validation layer */
static bool no_layer;

static void log_message(void *user, hsae_log_level level, const char *message)
{
    (void)user;
    complaints += !strncmp(message, "Vulkan validation: ", 19);
    no_layer = no_layer || !strncmp(message, "HSAE_VULKAN_VALIDATION is set, but", 34);
    if (level <= HSAE_LOG_WARNING)
        print_message("%s\n", message);
}

static struct hsae_device *open_device(const char *id)
{
    struct hsae_device *device;
    assert_int_equal(hsae_device_open(context, id, &device), HSAE_OK);
    return device;
}

static struct hsae_buffer *new_buffer(struct hsae_device *device, uint64_t size, enum hsae_buffer_kind kind, const void *data)
{
    struct hsae_buffer *buffer;
    assert_int_equal(hsae_buffer_create(device, "test", size, kind, &buffer), HSAE_OK);
    if (data)
        assert_int_equal(hsae_buffer_write(buffer, 0, size, data), HSAE_OK);
    return buffer;
}

/* The buffers of the kernel feature_flags; three that take turns as input and output. */
struct swap_case {
    struct hsae_device *device;
    struct hsae_buffer *step_params, *levels, *tree, *turn[3];
};

static struct swap_case new_case(struct hsae_device *device)
{
    u32 step_params[PARAM_WORDS] = {[PARAM_STEP] = 6, [PARAM_SEED_LO] = 1, [PARAM_PERTURB_BOUND] = 1 << 23, [PARAM_DEAD_STEPS] = 1};
    u32 levels[2 * LEVEL_WORDS] = {[LEVEL_WORDS + LEVEL_FIRST] = FEATURES};
    static u32 tree[FEATURES * TREE_WORDS];
    for (u32 i = 0; i < FEATURES; i++) {
        tree[i * TREE_WORDS + TREE_PARENT] = NONE;
        tree[i * TREE_WORDS + TREE_CHILD_COUNT] = i % 3;
        tree[i * TREE_WORDS + TREE_NUMBER] = i;
    }
    struct swap_case made = {.device = device};
    made.step_params = new_buffer(device, sizeof step_params, HSAE_BUFFER_STAGING, step_params);
    made.levels = new_buffer(device, sizeof levels, HSAE_BUFFER_DEVICE, levels);
    made.tree = new_buffer(device, sizeof tree, HSAE_BUFFER_DEVICE, tree);
    for (int i = 0; i < 3; i++)
        made.turn[i] = new_buffer(device, FEATURES * 4, i ? HSAE_BUFFER_DEVICE : HSAE_BUFFER_STAGING, NULL);
    return made;
}

static void free_case(struct swap_case *made)
{
    hsae_buffer_destroy(&made->step_params);
    hsae_buffer_destroy(&made->levels);
    hsae_buffer_destroy(&made->tree);
    for (int i = 0; i < 3; i++)
        hsae_buffer_destroy(&made->turn[i]);
}

static void launch(struct hsae_sequence *sequence, const struct swap_case *c, int last_fired, int slot, int flags, uint32_t group_size)
{
    struct feature_flags_args args = {.features = FEATURES, .levels = 1};
    struct hsae_launch swap = {
        .kernel = HSAE_KERNEL_feature_flags,
        .shape = {.group_size = group_size, .columns = 1, .ranges = 1, .vector_width = 4},
        .groups = {(FEATURES + group_size - 1) / group_size, 1},
        .bindings = {c->step_params, c->levels, c->tree, c->turn[last_fired], c->turn[slot], c->turn[flags]},
        .args = &args,
    };
    hsae_sequence_launch(sequence, &swap);
}

/* Each launch reads what the one before it wrote and overwrites what it read; every fifth is repeated, a write after a write; every seventh
 * reads only, beside the one before it. */
static struct hsae_sequence *new_chain(const struct swap_case *c, bool timed)
{
    struct hsae_sequence *sequence;
    assert_int_equal(hsae_sequence_create(c->device, "chain", timed, &sequence), HSAE_OK);
    for (int i = 0; i < LAUNCHES; i++) {
        int from = i % 2, to = i % 7 ? 1 - from : 2;
        launch(sequence, c, from, from, to, i % 3 ? GROUP : GROUP / 2);
        if (i % 5 == 0)
            launch(sequence, c, from, from, to, GROUP);
    }
    assert_int_equal(hsae_sequence_end(sequence), HSAE_OK);
    return sequence;
}

static void run_chain(const char *id, u32 result[3][FEATURES])
{
    struct hsae_device *device = open_device(id);
    struct swap_case c = new_case(device);
    struct hsae_sequence *sequence = new_chain(&c, false);
    u32 step_params[PARAM_WORDS];
    for (u32 step = 0; step < 3; step++) {
        uint64_t ticket;
        assert_int_equal(hsae_buffer_read(c.step_params, 0, sizeof step_params, step_params), HSAE_OK);
        step_params[PARAM_STEP]++;
        assert_int_equal(hsae_buffer_write(c.step_params, 0, sizeof step_params, step_params), HSAE_OK);
        assert_int_equal(hsae_sequence_submit(sequence, &ticket), HSAE_OK);
        assert_int_equal(hsae_device_wait(device, ticket), HSAE_OK);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(hsae_buffer_read(c.turn[i], 0, FEATURES * 4, result[i]), HSAE_OK);
    hsae_sequence_destroy(&sequence);
    free_case(&c);
    hsae_device_close(&device);
}

static void test_chain(void **state)
{
    static u32 expected[3][FEATURES], result[3][FEATURES];
    (void)state;
    run_chain("ref", expected);
    run_chain("vulkan:0", result);
    assert_memory_equal(result, expected, sizeof expected);
    assert_int_equal(complaints, 0);
}

static unsigned barriers;
static PFN_vkCmdPipelineBarrier real_barrier;

static VKAPI_ATTR void VKAPI_CALL count_barrier(VkCommandBuffer commands, VkPipelineStageFlags from, VkPipelineStageFlags to,
                                                VkDependencyFlags flags, uint32_t count, const VkMemoryBarrier *list, uint32_t buffer_count,
                                                const VkBufferMemoryBarrier *buffers, uint32_t image_count,
                                                const VkImageMemoryBarrier *images)
{
    barriers++;
    real_barrier(commands, from, to, flags, count, list, buffer_count, buffers, image_count, images);
}

static void test_barriers(void **state)
{
    static const struct {
        int last_fired, slot, flags, barriers;
    } launches[] = {
        {0, 0, 1, 0}, /* first */
        {0, 0, 2, 0}, /* reads the same, writes another */
        {0, 1, 2, 1}, /* read after write, write after write */
        {0, 0, 1, 1}, /* write after read */
        {0, 0, 2, 0}, /* written before the last barrier only */
        {0, 0, 2, 1}, /* write after write */
    };
    struct hsae_device *device = open_device("vulkan:0");
    struct vulkan_device *vulkan = (struct vulkan_device *)device;
    struct swap_case c = new_case(device);
    struct hsae_sequence *sequence;
    (void)state;
    real_barrier = vulkan->vk.CmdPipelineBarrier;
    vulkan->vk.CmdPipelineBarrier = count_barrier;
    assert_int_equal(hsae_sequence_create(device, "barriers", false, &sequence), HSAE_OK);
    for (size_t i = 0; i < sizeof launches / sizeof *launches; i++) {
        barriers = 0;
        launch(sequence, &c, launches[i].last_fired, launches[i].slot, launches[i].flags, GROUP);
        assert_int_equal(barriers, launches[i].barriers);
    }
    assert_int_equal(hsae_sequence_end(sequence), HSAE_OK);
    assert_int_equal(hsae_sequence_submit(sequence, NULL), HSAE_OK);
    hsae_sequence_destroy(&sequence);
    free_case(&c);
    hsae_device_close(&device);
    assert_int_equal(complaints, 0);
}

/* More submissions than fences, beside each other and destroyed unwaited; a DEVICE buffer's read waits for them. */
static void test_in_flight(void **state)
{
    enum { SUBMISSIONS = 70 };
    struct hsae_device *device = open_device("vulkan:0");
    struct swap_case c = new_case(device);
    struct hsae_sequence *sequences[SUBMISSIONS];
    uint64_t tickets[SUBMISSIONS];
    u32 flags[FEATURES];
    (void)state;
    for (int i = 0; i < SUBMISSIONS; i++) {
        assert_int_equal(hsae_sequence_create(device, "one", false, &sequences[i]), HSAE_OK);
        launch(sequences[i], &c, i % 2, i % 2, 1 - i % 2, GROUP);
        assert_int_equal(hsae_sequence_end(sequences[i]), HSAE_OK);
    }
    for (int i = 0; i < SUBMISSIONS; i++) {
        assert_int_equal(hsae_sequence_submit(sequences[i], &tickets[i]), HSAE_OK);
        assert_true(tickets[i] > (i ? tickets[i - 1] : 0));
    }
    assert_int_equal(hsae_buffer_read(c.turn[1], 0, sizeof flags, flags), HSAE_OK);
    assert_true(flags[0] & FLAG_DEAD);
    assert_int_equal(hsae_device_wait(device, tickets[3]), HSAE_OK);
    assert_int_equal(hsae_device_wait(device, tickets[SUBMISSIONS - 1]), HSAE_OK);
    for (int i = 0; i < SUBMISSIONS; i++)
        assert_int_equal(hsae_sequence_submit(sequences[i], NULL), HSAE_OK);
    for (int i = 0; i < SUBMISSIONS; i++)
        hsae_sequence_destroy(&sequences[i]);
    assert_int_equal(hsae_device_wait(device, 0), HSAE_OK);
    free_case(&c);
    hsae_device_close(&device);
    assert_int_equal(complaints, 0);
}

static void test_times(void **state)
{
    struct hsae_device *device = open_device("vulkan:0");
    struct swap_case c = new_case(device);
    struct hsae_sequence *sequence = new_chain(&c, true);
    static double ns[2 * LAUNCHES];
    (void)state;
    for (int i = 0; i < 2; i++) {
        uint64_t ticket;
        assert_int_equal(hsae_sequence_submit(sequence, &ticket), HSAE_OK);
        assert_int_equal(hsae_device_wait(device, ticket), HSAE_OK);
        assert_int_equal(hsae_sequence_times(sequence, ns), HSAE_OK);
    }
    for (int i = 0; i < LAUNCHES + LAUNCHES / 5; i++)
        assert_true(ns[i] >= 0 && ns[i] < 1e9);
    hsae_sequence_destroy(&sequence);
    free_case(&c);
    hsae_device_close(&device);
    assert_int_equal(complaints, 0);
}

/* Fresh buffers are zero; a write that is cut into pieces leaves its neighbours alone. */
static void check_transfers(enum hsae_buffer_kind kind)
{
    const size_t size = (40 << 20) + 12, words = size / 4, first = 3, last = words - 2;
    struct hsae_device *device = open_device("vulkan:0");
    struct hsae_buffer *buffer = new_buffer(device, size, kind, NULL);
    u32 *out = malloc(size), *in = malloc(size);
    assert_true(out && in);
    assert_int_equal(hsae_buffer_read(buffer, 0, size, in), HSAE_OK);
    for (size_t i = 0; i < words; i++)
        assert_int_equal(in[i], 0);
    for (size_t i = 0; i < words; i++)
        out[i] = (u32)i * 2654435761u | 1;
    assert_int_equal(hsae_buffer_write(buffer, first * 4, (last - first) * 4, out + first), HSAE_OK);
    assert_int_equal(hsae_buffer_read(buffer, 0, size, in), HSAE_OK);
    for (size_t i = 0; i < words; i++)
        assert_int_equal(in[i], i >= first && i < last ? out[i] : 0);
    assert_int_equal(hsae_buffer_read(buffer, (words / 2) * 4, 4, in), HSAE_OK);
    assert_int_equal(in[0], out[words / 2]);
    free(out);
    free(in);
    hsae_buffer_destroy(&buffer);
    hsae_device_close(&device);
    assert_int_equal(complaints, 0);
}

static void test_transfers(void **state)
{
    (void)state;
    check_transfers(HSAE_BUFFER_DEVICE);
    check_transfers(HSAE_BUFFER_STAGING);
}

/* Memory that is not coherent, as some devices have no other. */
static void test_flushes(void **state)
{
    struct hsae_device *device = open_device("vulkan:0");
    struct hsae_buffer *buffer = new_buffer(device, 1000, HSAE_BUFFER_STAGING, NULL);
    u32 out[] = {1, 2, 3}, in[3];
    (void)state;
    buffer->coherent = false;
    for (uint64_t offset = 0; offset + sizeof out <= 1000; offset += 4) {
        assert_int_equal(hsae_buffer_write(buffer, offset, sizeof out, out), HSAE_OK);
        assert_int_equal(hsae_buffer_read(buffer, offset, sizeof in, in), HSAE_OK);
        assert_memory_equal(in, out, sizeof in);
    }
    hsae_buffer_destroy(&buffer);
    hsae_device_close(&device);
    assert_int_equal(complaints, 0);
}

/* Files in a folder; `wipe` empties it, `damage` cuts each file short. */
static int walk(const char *path, bool wipe, bool damage)
{
    int count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char name[512];
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (damage)
            assert_int_equal(truncate(name, 100), 0);
        if (wipe)
            unlink(name);
    }
    closedir(dir);
    return count;
}

static void compile_once(hsae_context *with)
{
    struct hsae_device *device;
    assert_int_equal(hsae_device_open(with, "vulkan:0", &device), HSAE_OK);
    struct swap_case c = new_case(device);
    struct hsae_sequence *sequence = new_chain(&c, false);
    hsae_sequence_destroy(&sequence);
    free_case(&c);
    hsae_device_close(&device);
}

static void test_cache(void **state)
{
    char dir[] = "/tmp/hsae-test-XXXXXX";
    hsae_context *cached;
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(hsae_context_create(&(hsae_context_params){.log = log_message, .cache_dir = dir}, &cached), HSAE_OK);
    compile_once(cached);
    assert_int_equal(walk(dir, false, false), 1);
    compile_once(cached);
    walk(dir, false, true);
    compile_once(cached);
    assert_int_equal(walk(dir, true, false), 1);
    hsae_context_destroy(&cached);
    rmdir(dir);
    assert_int_equal(complaints, 0);
}

static PFN_vkCreatePipelineCache real_cache;

static VKAPI_ATTR VkResult VKAPI_CALL refuse_cache(VkDevice device, const VkPipelineCacheCreateInfo *info,
                                                   const VkAllocationCallbacks *allocator, VkPipelineCache *out)
{
    return info->initialDataSize ? VK_ERROR_UNKNOWN : real_cache(device, info, allocator, out);
}

static void test_cache_refused(void **state)
{
    char dir[] = "/tmp/hsae-test-XXXXXX";
    hsae_context *cached;
    struct hsae_device *device;
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(hsae_context_create(&(hsae_context_params){.log = log_message, .cache_dir = dir}, &cached), HSAE_OK);
    compile_once(cached);
    assert_int_equal(hsae_device_open(cached, "vulkan:0", &device), HSAE_OK);
    struct vulkan_device *vulkan = (struct vulkan_device *)device;
    assert_true(vulkan->cache_size > 0);
    vulkan->vk.DestroyPipelineCache(vulkan->handle, vulkan->cache, NULL);
    real_cache = vulkan->vk.CreatePipelineCache;
    vulkan->vk.CreatePipelineCache = refuse_cache;
    assert_int_equal(hsae_vulkan_pipelines_create(vulkan), HSAE_OK);
    assert_int_equal(vulkan->cache_size, 0);
    hsae_device_close(&device);
    walk(dir, true, false);
    hsae_context_destroy(&cached);
    rmdir(dir);
    assert_int_equal(complaints, 0);
}

static VkResult failure;

static VKAPI_ATTR VkResult VKAPI_CALL fail_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                                    const VkAllocationCallbacks *allocator, VkDeviceMemory *out)
{
    (void)device, (void)info, (void)allocator, (void)out;
    return failure;
}

static VKAPI_ATTR VkResult VKAPI_CALL fail_compile(VkDevice device, VkPipelineCache cache, uint32_t count,
                                                   const VkComputePipelineCreateInfo *infos, const VkAllocationCallbacks *allocator,
                                                   VkPipeline *out)
{
    (void)device, (void)cache, (void)count, (void)infos, (void)allocator, (void)out;
    return failure;
}

static VKAPI_ATTR VkResult VKAPI_CALL fail_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos, VkFence fence)
{
    (void)queue, (void)count, (void)infos, (void)fence;
    return failure;
}

/* Memory, compilers and queues that fail leave everything as it was. */
static void test_failures(void **state)
{
    struct hsae_device *device = open_device("vulkan:0");
    struct vulkan_device *vulkan = (struct vulkan_device *)device;
    struct vulkan_api real = vulkan->vk;
    struct swap_case c = new_case(device);
    struct hsae_buffer *buffer;
    struct hsae_sequence *sequence;
    (void)state;

    failure = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    vulkan->vk.AllocateMemory = fail_allocate;
    assert_int_equal(hsae_buffer_create(device, "too large", 4096, HSAE_BUFFER_DEVICE, &buffer), HSAE_ERROR_DEVICE_MEMORY);
    assert_null(buffer);
    vulkan->vk = real;
    uint32_t most = vulkan->max_memories;
    vulkan->max_memories = vulkan->memory_count;
    assert_int_equal(hsae_buffer_create(device, "too many", 4096, HSAE_BUFFER_DEVICE, &buffer), HSAE_ERROR_LIMIT);
    vulkan->max_memories = most;

    struct feature_flags_args args = {.features = FEATURES, .levels = 1};
    struct hsae_launch swap = {
        .kernel = HSAE_KERNEL_feature_flags,
        .shape = {.group_size = GROUP, .columns = 1, .ranges = 1, .vector_width = 4},
        .groups = {(FEATURES + GROUP - 1) / GROUP, 1},
        .bindings = {c.step_params, c.levels, c.tree, c.turn[0], c.turn[0], c.turn[1]},
        .args = &args,
    };
    assert_int_equal(hsae_sequence_create(device, "fails", false, &sequence), HSAE_OK);
    failure = VK_ERROR_UNKNOWN;
    vulkan->vk.CreateComputePipelines = fail_compile;
    hsae_sequence_launch(sequence, &swap);
    vulkan->vk = real;
    hsae_sequence_launch(sequence, &swap);
    assert_int_equal(hsae_sequence_end(sequence), HSAE_ERROR_DRIVER);
    hsae_sequence_destroy(&sequence);
    assert_int_equal(hsae_sequence_create(device, "works again", false, &sequence), HSAE_OK);
    hsae_sequence_launch(sequence, &swap);
    assert_int_equal(hsae_sequence_end(sequence), HSAE_OK);

    failure = VK_ERROR_OUT_OF_HOST_MEMORY;
    vulkan->vk.QueueSubmit = fail_submit;
    for (int i = 0; i < 2; i++)
        assert_int_equal(hsae_sequence_submit(sequence, NULL), HSAE_ERROR_MEMORY);
    vulkan->vk = real;
    for (int i = 0; i < 2 * VULKAN_IN_FLIGHT; i++) {
        assert_int_equal(hsae_sequence_submit(sequence, NULL), HSAE_OK);
        assert_int_equal(hsae_device_wait(device, 0), HSAE_OK);
    }

    failure = VK_ERROR_DEVICE_LOST;
    vulkan->vk.QueueSubmit = fail_submit;
    assert_int_equal(hsae_sequence_submit(sequence, NULL), HSAE_ERROR_DEVICE_LOST);
    assert_true(device->lost);
    assert_int_equal(hsae_device_wait(device, 0), HSAE_ERROR_DEVICE_LOST);
    hsae_sequence_destroy(&sequence);
    free_case(&c);
    hsae_device_close(&device);
    assert_int_equal(complaints, 0);
}

/* The layer does report through the log: a buffer that outlives its device. Its handle is freed by hand, the front's device is gone. */
static void test_complaint(void **state)
{
    (void)state;
    if (no_layer)
        skip();
    struct hsae_device *device = open_device("vulkan:0");
    struct hsae_buffer *buffer = new_buffer(device, 64, HSAE_BUFFER_DEVICE, NULL);
    hsae_device_close(&device);
    free(buffer);
    assert_true(complaints > 0);
}

/* A driver with that quirk gets one launch after the other. */
static void test_one_by_one(void **state)
{
    (void)state;
    struct hsae_device *device = open_device("vulkan:0");
    struct vulkan_device *vulkan = (struct vulkan_device *)device;
    device->quirks = HSAE_QUIRK_SERIALIZE;
    struct swap_case c = new_case(device);
    struct hsae_sequence *sequence = new_chain(&c, false);
    const uint64_t before = vulkan->submitted;
    assert_int_equal(hsae_sequence_submit(sequence, NULL), HSAE_OK);
    assert_int_equal(vulkan->submitted - before, hsae_sequence_launches(sequence));
    assert_int_equal(vulkan->completed, vulkan->submitted);
    hsae_sequence_destroy(&sequence);
    free_case(&c);
    hsae_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),     cmocka_unit_test(test_barriers),      cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_times),     cmocka_unit_test(test_transfers),     cmocka_unit_test(test_flushes),
        cmocka_unit_test(test_cache),     cmocka_unit_test(test_cache_refused), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_complaint), cmocka_unit_test(test_one_by_one),
    };
    struct hsae_device *device;
    hsae_context_params params = {.log = log_message, .cache_dir = "", .vulkan_validation = "1"};
    if (hsae_context_create(&params, &context))
        return 1;
    if (hsae_device_open(context, "vulkan:0", &device)) {
        hsae_context_destroy(&context);
        return SKIP;
    }
    hsae_device_close(&device);
    int failed = cmocka_run_group_tests_name("as it is", tests, NULL, NULL);
    complaints = 0;
    hsae_context_destroy(&context);
    params.vulkan_unified = "0";
    if (hsae_context_create(&params, &context))
        return 1;
    failed += cmocka_run_group_tests_name("with transfers", tests, NULL, NULL);
    hsae_context_destroy(&context);
    return failed;
}
