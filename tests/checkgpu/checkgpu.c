/* SPDX-License-Identifier: MIT */
/* The harness: devices, cases, running, comparing, reporting. */
#include "checkgpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/shape.h"
#include "device/speed.h"
#include "fixture.h"
#include "options.h"

#define CHECK_ENTRY(name, ...) &hsae_check_##name,
const struct check_kernel *const check_kernels[HSAE_KERNEL_COUNT] = {HSAE_KERNEL_LIST(CHECK_ENTRY)};

/* The default of GPUs, teams that do not divide their group, one that asks for more than its group. */
const struct hsae_kernel_shape check_teams[CHECK_TEAMS] = {
    {.group_size = 256, .columns = 32, .ranges = 1, .vector_width = 4},
    {.group_size = 64, .columns = 5, .ranges = 1, .vector_width = 4},
    {.group_size = 8, .columns = 64, .ranges = 1, .vector_width = 4},
};

static char last_error[1024]; /* the library's last message */
static char open_line[64];    /* what was printed of the line that waits for its result */

/* Guard words differ between the devices, so that reading one shows, too. */
static u32 guard_word(bool reference)
{
    return reference ? 0x7fc0dead : 0x4b1d1e55;
}

/* ---- running ---- */

static u32 job_bindings(const struct check_job *job)
{
    return (u32)strlen(hsae_kernels[job->kernel].access);
}

static hsae_status upload(hsae_device *device, const struct check_job *job, struct hsae_buffer **buffers)
{
    bool reference = device->info.backend == HSAE_BACKEND_REF;
    hsae_status status = HSAE_OK;
    for (u32 slot = 0; slot < job_bindings(job) && !status; slot++) {
        const struct check_words *words = job->bindings[slot];
        u32 count = words->count + CHECK_GUARD;
        u32 *content = malloc(count * sizeof *content);
        if (!content)
            return HSAE_ERROR_MEMORY;
        for (u32 k = 0; k < count; k++)
            content[k] = k >= words->count                               ? guard_word(reference)
                         : hsae_kernels[job->kernel].access[slot] == 'w' ? CHECK_POISON
                                                                         : words->at[k];
        status = hsae_buffer_create(device, words->label, count * sizeof(u32), HSAE_BUFFER_DEVICE, &buffers[slot]);
        if (!status)
            status = hsae_buffer_write(buffers[slot], 0, count * sizeof(u32), content);
        free(content);
    }
    return status;
}

/* Submits a sequence of the one launch, and once more for each run that is timed. */
static hsae_status submit(hsae_device *device, const struct check_job *job, struct hsae_buffer *const *buffers, double *ns)
{
    struct hsae_launch launch = {.kernel = job->kernel, .shape = job->shape, .groups = {job->groups[0], job->groups[1]}, .args = job->args};
    memcpy(launch.bindings, buffers, sizeof launch.bindings);
    device->speed[job->kernel] = (struct hsae_speed){1, 1};
    launch.work = job->cut ? 7 * hsae_dispatch_seconds(device) : 0; /* seven dispatches where there are so many groups, two submissions */
    struct hsae_sequence *sequence = NULL;
    hsae_status status = hsae_sequence_create(device, hsae_kernels[job->kernel].name, ns != NULL, &sequence);
    if (!status) {
        hsae_sequence_launch(sequence, &launch);
        status = hsae_sequence_end(sequence);
    }
    for (int run = 0; run < (ns ? 4 : 1) && !status; run++) {
        double last = 0;
        status = hsae_sequence_submit(sequence, NULL);
        if (!status)
            status = hsae_device_wait(device, 0);
        if (!status && ns)
            status = hsae_sequence_times(sequence, &last);
        if (!status && ns && (run == 0 || last < *ns))
            *ns = last;
    }
    hsae_sequence_destroy(&sequence);
    return status;
}

hsae_status check_run(hsae_device *device, const struct check_job *job, u32 *const results[HSAE_MAX_BINDINGS], double *ns)
{
    struct hsae_buffer *buffers[HSAE_MAX_BINDINGS] = {0};
    hsae_status status = upload(device, job, buffers);
    if (!status)
        status = submit(device, job, buffers, ns);
    for (u32 slot = 0; slot < job_bindings(job) && !status; slot++)
        if (results[slot])
            status = hsae_buffer_read(buffers[slot], 0, hsae_buffer_size(buffers[slot]), results[slot]);
    for (u32 slot = 0; slot < job_bindings(job); slot++)
        hsae_buffer_destroy(&buffers[slot]);
    return status;
}

/* ---- results ---- */

static void results_free(u32 *results[HSAE_MAX_BINDINGS])
{
    for (u32 slot = 0; slot < HSAE_MAX_BINDINGS; slot++) {
        free(results[slot]);
        results[slot] = NULL;
    }
}

/* Room for the results of a job's written bindings. */
static bool results_create(const struct check_job *job, u32 *results[HSAE_MAX_BINDINGS])
{
    for (u32 slot = 0; slot < job_bindings(job); slot++) {
        if (hsae_kernels[job->kernel].access[slot] == 'r')
            continue;
        results[slot] = malloc((job->bindings[slot]->count + CHECK_GUARD) * sizeof(u32));
        if (!results[slot])
            return false;
    }
    return true;
}

static void job_free(struct check_job *job)
{
    results_free(job->expected);
    for (u32 slot = 0; slot < HSAE_MAX_BINDINGS; slot++) {
        free(job->tolerance[slot]);
        job->tolerance[slot] = NULL;
    }
}

/* Runs the job on the reference device: its expected results. */
static hsae_status expect(hsae_device *reference, struct check_job *job)
{
    if (!results_create(job, job->expected))
        return HSAE_ERROR_MEMORY;
    hsae_status status = check_run(reference, job, job->expected, NULL);
    for (u32 slot = 0; slot < job_bindings(job) && !status; slot++) {
        if (!job->expected[slot])
            continue;
        u32 count = job->bindings[slot]->count;
        job->tolerance[slot] = malloc((count + 1) * sizeof(f32));
        if (!job->tolerance[slot])
            return HSAE_ERROR_MEMORY;
        for (u32 k = 0; k < count; k++)
            job->tolerance[slot][k] = CHECK_EXACT;
    }
    return status;
}

/* The expected results become the fixture's. */
static void commit(struct check_job *job)
{
    for (u32 slot = 0; slot < job_bindings(job); slot++)
        for (u32 k = 0; job->expected[slot] && k < job->bindings[slot]->count; k++)
            if (job->expected[slot][k] != CHECK_POISON || hsae_kernels[job->kernel].access[slot] == 'm')
                job->bindings[slot]->at[k] = job->expected[slot][k];
}

bool check_advance(hsae_device *reference, struct check_job *job)
{
    hsae_status status = expect(reference, job);
    if (!status)
        commit(job);
    else
        printf("%s failed on the reference device: %s\n", hsae_kernels[job->kernel].name, last_error);
    job_free(job);
    return !status;
}

/* ---- comparing ---- */

struct verdict {
    bool failed;
    char text[1536];
    double worst; /* largest difference in units of its tolerance */
    u32 cases;    /* launches that were compared */
};

static bool halves_agree(u32 expected, u32 got)
{
    for (u32 shift = 0; shift < 32; shift += 16)
        if (abs((int16_t)(expected >> shift) - (int16_t)(got >> shift)) > 1)
            return false;
    return true;
}

static bool bytes_agree(u32 expected, u32 got)
{
    for (u32 shift = 0; shift < 32; shift += 8)
        if (abs((int)(expected >> shift & 255) - (int)(got >> shift & 255)) > 1)
            return false;
    return true;
}

/* Whether a result is as expected; *off: the difference in units of the tolerance. */
static bool agrees(u32 expected, u32 got, f32 tolerance, double *off)
{
    f32 a = bits_f32(expected), b = bits_f32(got);
    *off = 0;
    if (expected == got)
        return true;
    if (tolerance == CHECK_ANY)
        return true;
    if (tolerance == CHECK_HALVES)
        return halves_agree(expected, got);
    if (tolerance == CHECK_BYTES)
        return bytes_agree(expected, got);
    if (!(tolerance >= 0 && isfinite(tolerance))) /* exact, or a bound that would let anything pass */
        return false;
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b) && expected != CHECK_POISON && got != CHECK_POISON;
    if (isinf(a) || isinf(b))
        return a == b;
    *off = fabs((double)a - b) / fmax(tolerance, 1e-300);
    return *off <= 1;
}

static void report_off(struct verdict *verdict, const struct check_job *job, u32 slot, u32 word, u32 got, f32 tolerance)
{
    u32 expected = word < job->bindings[slot]->count ? job->expected[slot][word] : guard_word(false);
    verdict->failed = true;
    if (tolerance < 0)
        snprintf(verdict->text, sizeof verdict->text, "%s[%u] of %u: expected %#010x (%.9g), got %#010x (%.9g), exact",
                 job->bindings[slot]->label, word, job->bindings[slot]->count, expected, (double)bits_f32(expected), got,
                 (double)bits_f32(got));
    else
        snprintf(verdict->text, sizeof verdict->text, "%s[%u] of %u: expected %.9g, got %.9g, tolerance %.3g", job->bindings[slot]->label,
                 word, job->bindings[slot]->count, (double)bits_f32(expected), (double)bits_f32(got), (double)tolerance);
}

static void compare(const struct check_job *job, u32 *const results[HSAE_MAX_BINDINGS], struct verdict *verdict)
{
    for (u32 slot = 0; slot < job_bindings(job); slot++) {
        u32 count = job->bindings[slot]->count;
        for (u32 k = 0; results[slot] && k < count + CHECK_GUARD; k++) {
            double off;
            f32 tolerance = k < count ? job->tolerance[slot][k] : CHECK_EXACT;
            if (!agrees(k < count ? job->expected[slot][k] : guard_word(false), results[slot][k], tolerance, &off)) {
                report_off(verdict, job, slot, k, results[slot][k], tolerance);
                return;
            }
            verdict->worst = fmax(verdict->worst, off);
        }
        for (u32 k = count; results[slot] && k < count + CHECK_GUARD; k++)
            if (job->expected[slot][k] != guard_word(true)) {
                report_off(verdict, job, slot, k, job->expected[slot][k], CHECK_EXACT);
                return;
            }
    }
}

/* ---- cases ---- */

/* Sizes around the vector widths and bitmap words, primes, single features, a large family, several chunks. */
static const struct fixture_size sizes[] = {
    {.levels = 1, .features = {1}, .batch = 1, .dim = 1, .chunk = 64, .slices = 1},
    {.levels = 2, .features = {1, 2}, .batch = 31, .dim = 15, .chunk = 64, .slices = 1},
    {.levels = 2, .features = {1, 90}, .batch = 9, .dim = 20, .chunk = 64, .slices = 1},
    {.levels = 3, .features = {7, 16, 37}, .batch = 33, .dim = 17, .chunk = 13, .slices = 2},
    {.levels = 4, .features = {9, 15, 32, 61}, .batch = 32, .dim = 16, .chunk = 29, .slices = 1},
    {.levels = 2, .features = {17, 53}, .batch = 67, .dim = 61, .chunk = 64, .slices = 2},
    {.levels = 2, .features = {5, 31}, .batch = 5, .dim = 131, .chunk = 17, .slices = 4},
    {.levels = 3, .features = {3, 10, 23}, .batch = 40, .dim = 12, .chunk = 64, .slices = 1, .kind = FIXTURE_HALTED},
    {.levels = 3, .features = {3, 10, 23}, .batch = 40, .dim = 12, .chunk = 64, .slices = 1, .kind = FIXTURE_SHORT},
};
static const struct fixture_size bench_size = {.levels = 2, .features = {256, 512}, .batch = 128, .dim = 256, .chunk = 512, .slices = 1};

enum { SIZES = sizeof sizes / sizeof *sizes, SHAPES = 3, SAMPLES = 3 };

/* One of the shapes that tuning may choose, another for each seed. */
static struct hsae_kernel_shape sampled_shape(const hsae_device *device, enum hsae_kernel kernel, u32 index, uint64_t seed)
{
    static struct hsae_kernel_shape space[HSAE_MAX_SHAPES];
    size_t count = hsae_shape_space(device, kernel, space);
    uint64_t random = (seed * SAMPLES + index + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ (uint64_t)kernel * UINT64_C(0xBF58476D1CE4E5B9);
    random = (random ^ random >> 31) * UINT64_C(0x94D049BB133111EB);
    struct hsae_kernel_shape shape = space[(random >> 32) % count];
    shape.ranges = 1u << (random >> 20) % 3;
    return shape;
}

/* How a kernel is specialised: as the trainer does it by default, then with several work-items and tensors in ranges. */
static struct hsae_kernel_shape device_shape(const hsae_device *device, enum hsae_kernel kernel, u32 index)
{
    bool opencl = device->info.backend == HSAE_BACKEND_OPENCL, cpu = device->info.type == HSAE_DEVICE_CPU;
    u32 group = cpu ? 8 : 64, most = device->info.limits.max_group_size;
    group = hsae_shape_one_item(device, kernel) ? 1 : group < most ? group : most;
    if (index == 0)
        return hsae_shape(device, kernel, 1);
    if (index >= SHAPES)
        return check_kernels[kernel]->shapes[index - SHAPES];
    return index == 1 ? (struct hsae_kernel_shape){.group_size = group, .columns = 1, .ranges = 4, .vector_width = 4}
                      : (struct hsae_kernel_shape){.group_size = group, .columns = 3, .ranges = 2, .vector_width = opencl ? 8 : 4};
}

/* How many shapes of the kernel are tested, those of its search space aside, and how many with them. */
static u32 fixed_shapes(enum hsae_kernel kernel)
{
    return SHAPES + check_kernels[kernel]->shape_count;
}

static u32 all_shapes(const hsae_device *device, enum hsae_kernel kernel)
{
    static struct hsae_kernel_shape space[HSAE_MAX_SHAPES];
    return fixed_shapes(kernel) + (hsae_shape_space(device, kernel, space) > 1 ? SAMPLES : 0);
}

/* Whether the device can run a shape that its kernel asks for. */
static bool fits(const hsae_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape)
{
    const hsae_limits *limits = &device->info.limits;
    struct hsae_tile tile;
    return !hsae_shape_tile(shape, &tile) ||
           (shape->group_size <= limits->max_group_size && hsae_local_bytes(kernel, shape) <= limits->max_local_bytes &&
            (device->info.backend == HSAE_BACKEND_OPENCL || shape->vector_width == 4));
}

/* One launch on both devices. */
static hsae_status check_launch(hsae_device *reference, hsae_device *device, const struct fixture *fixture, struct check_job *job,
                                struct verdict *verdict)
{
    u32 *results[HSAE_MAX_BINDINGS] = {0};
    hsae_status status = expect(reference, job);
    if (!status && check_kernels[job->kernel]->bounds)
        check_kernels[job->kernel]->bounds(fixture, job);
    if (!status && !results_create(job, results))
        status = HSAE_ERROR_MEMORY;
    if (!status)
        status = check_run(device, job, results, NULL);
    if (!status)
        compare(job, results, verdict);
    verdict->cases += !status;
    if (!status && !verdict->failed)
        commit(job);
    results_free(results);
    job_free(job);
    return status;
}

/* All launches of a kernel in one fixture. */
static hsae_status check_case(hsae_device *reference, hsae_device *device, enum hsae_kernel kernel, const struct fixture_size *size,
                              const struct hsae_kernel_shape *shape, uint64_t seed, struct verdict *verdict)
{
    struct fixture *fixture = fixture_create(size, shape, seed);
    hsae_status status = fixture_advance(fixture, reference, kernel) ? HSAE_OK : HSAE_ERROR_ARGUMENT;
    u32 launches = status ? 0 : check_kernels[kernel]->launches(fixture);
    for (u32 index = 0; index < launches && !status && !verdict->failed; index++) {
        struct check_job job = {.kernel = kernel, .shape = *shape, .cut = seed % 2 != 0};
        check_kernels[kernel]->launch(fixture, index, &job);
        status = check_launch(reference, device, fixture, &job, verdict);
        if (verdict->failed)
            printf(
                "\n    launch %u of %u, group size %u, columns %u, ranges %u, vector width %u, tile %u %u %u %u %u, levels %u, batch %u, "
                "dim %u\n   ",
                index + 1, launches, shape->group_size, shape->columns, shape->ranges, shape->vector_width, shape->tile_vectors,
                shape->tile_words, shape->tile_step, shape->tile_pad, shape->tile_prefetch, size->levels, size->batch, size->dim);
    }
    fixture_destroy(fixture);
    return status;
}

/* All launches of a kernel in one step of the bench fixture. */
struct figures {
    double ns, reference_ns;
    double flops; /* 0: not counted */
    double bytes; /* of all buffers that are bound; of modified ones twice */
};

static double job_bytes(const struct check_job *job)
{
    double bytes = 0;
    for (u32 slot = 0; slot < job_bindings(job); slot++)
        bytes += job->bindings[slot]->count * (hsae_kernels[job->kernel].access[slot] == 'm' ? 8.0 : 4.0);
    return bytes;
}

static hsae_status bench(hsae_device *reference, hsae_device *device, enum hsae_kernel kernel, uint64_t seed, struct figures *figures)
{
    struct hsae_kernel_shape shape = device_shape(device, kernel, 0);
    struct fixture *fixture = fixture_create(&bench_size, &shape, seed);
    hsae_status status = fixture_advance(fixture, reference, kernel) ? HSAE_OK : HSAE_ERROR_ARGUMENT;
    u32 launches = status ? 0 : check_kernels[kernel]->launches(fixture);
    for (u32 index = 0; index < launches && !status; index++) {
        struct check_job job = {.kernel = kernel, .shape = shape};
        u32 *const nothing[HSAE_MAX_BINDINGS] = {0};
        double ns = 0, reference_ns = 0;
        check_kernels[kernel]->launch(fixture, index, &job);
        status = check_run(device, &job, nothing, &ns);
        if (!status)
            status = check_run(reference, &job, nothing, &reference_ns);
        figures->ns += ns;
        figures->reference_ns += reference_ns;
        figures->bytes += job_bytes(&job);
        figures->flops += check_kernels[kernel]->flops ? check_kernels[kernel]->flops(&job) : 0;
        if (!status && !check_advance(reference, &job))
            status = HSAE_ERROR_ARGUMENT;
    }
    fixture_destroy(fixture);
    return status;
}

/* ---- devices ---- */

struct tally {
    u32 passed, failed, skipped;
};

/* All cases of a kernel on a device. */
static hsae_status check_cases(hsae_device *reference, hsae_device *device, enum hsae_kernel kernel, uint64_t seed, struct verdict *verdict)
{
    hsae_status status = HSAE_OK;
    for (u32 size = 0; size < SIZES && !status && !verdict->failed; size++)
        for (u32 index = 0; index < all_shapes(device, kernel) && !status && !verdict->failed; index++) {
            u32 fixed = fixed_shapes(kernel);
            struct hsae_kernel_shape shape =
                index < fixed ? device_shape(device, kernel, index) : sampled_shape(device, kernel, index - fixed, seed);
            if (index < SHAPES || fits(device, kernel, &shape))
                status = check_case(reference, device, kernel, &sizes[size], &shape, seed * 1000 + size * SHAPES + index, verdict);
            if (status == HSAE_ERROR_LIMIT && index > 0) /* a driver may allow a kernel fewer work-items than the device */
                status = HSAE_OK;
        }
    return status;
}

static void print_figures(const struct figures *figures)
{
    if (figures->ns <= 0)
        printf(", too short to time");
    else
        printf(", %10.0f ns, %7.2f %s, %6.2f x reference", figures->ns,
               (figures->flops > 0 ? figures->flops : figures->bytes) / figures->ns, figures->flops > 0 ? "GFLOP/s" : "GB/s",
               figures->reference_ns / figures->ns);
}

static void check_kernel_on(hsae_device *reference, hsae_device *device, enum hsae_kernel kernel, const struct options *options,
                            uint64_t seed, struct tally *tally)
{
    struct verdict verdict = {0};
    struct figures figures = {0};
    snprintf(open_line, sizeof open_line, "%s %-14s ", device->info.id, hsae_kernels[kernel].name);
    printf("%s", open_line);
    fflush(stdout);
    hsae_status status = check_cases(reference, device, kernel, seed, &verdict);
    if (!status && !verdict.failed && options->bench)
        status = bench(reference, device, kernel, seed, &figures);
    if (verdict.failed) {
        printf("FAILED (%s)\n", verdict.text);
        tally->failed++;
    } else if (status == HSAE_ERROR_LIMIT) {
        printf("skipped: %s\n", last_error);
        tally->skipped++;
    } else if (status) {
        printf("FAILED (%s: %s)\n", hsae_status_sentence(status), last_error);
        tally->failed++;
    } else {
        printf("ok, %4u cases, at most %.2f of the tolerance", verdict.cases, verdict.worst);
        if (options->bench)
            print_figures(&figures);
        printf("\n");
        tally->passed++;
    }
    open_line[0] = '\0';
}

/* Tests one device; one that cannot be opened has failed. */
static void check_device(hsae_context *context, hsae_device *reference, const char *id, const struct options *options, struct tally *tally)
{
    hsae_device *device = NULL;
    if (hsae_device_open(context, id, &device)) {
        printf("%s cannot be opened: FAILED (%s)\n", id, last_error);
        tally->failed++;
        return;
    }
    printf("%s: %s, %s\n", id, device->info.name, device->info.driver);
    for (uint64_t run = 0; run < options->repeat; run++) {
        if (options->repeat > 1)
            printf("seed %llu\n", (unsigned long long)(options->seed + run));
        for (u32 kernel = 0; kernel < HSAE_KERNEL_COUNT; kernel++)
            if (options_want(options, hsae_kernels[kernel].name))
                check_kernel_on(reference, device, (enum hsae_kernel)kernel, options, options->seed + run, tally);
    }
    hsae_device_close(&device);
}

/* Tests the devices that were asked for; returns how many there are. */
static u32 check_devices(hsae_context *context, const struct options *options, struct tally *tally)
{
    hsae_device *reference = NULL;
    hsae_device_info *list = NULL;
    size_t count = 0;
    u32 found = 0;
    if (hsae_device_open(context, "ref", &reference) || hsae_device_list(context, &list, &count))
        printf("the devices cannot be listed: %s\n", last_error);
    for (size_t k = 0; k < count; k++)
        if (list[k].backend != HSAE_BACKEND_REF && (!options->device || strcmp(options->device, list[k].id) == 0)) {
            check_device(context, reference, list[k].id, options, tally);
            found++;
        }
    hsae_free(list);
    hsae_device_close(&reference);
    return found;
}

/* ---- the command ---- */

static void keep_error(void *user, hsae_log_level level, const char *message)
{
    (void)user;
    if (level == HSAE_LOG_ERROR)
        snprintf(last_error, sizeof last_error, "%s", message);
    else if (level == HSAE_LOG_WARNING)
        printf("%swarning: %s\n%s", open_line[0] ? "\n" : "", message, open_line);
}

static int list_kernels(const struct options *options)
{
    for (u32 kernel = 0; kernel < HSAE_KERNEL_COUNT; kernel++)
        if (options_want(options, hsae_kernels[kernel].name))
            printf("%s\n", hsae_kernels[kernel].name);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = (uint64_t)time(NULL), .repeat = 1};
    if (!options_parse(argc, argv, &options)) {
        fprintf(stderr, "%s", options_usage);
        return 2;
    }
    if (options.help) {
        printf("%s", options_usage);
        return 0;
    }
    if (options.list)
        return list_kernels(&options);
    hsae_context *context = NULL;
    const hsae_context_params params = {.log = keep_error};
    if (hsae_context_create(&params, &context))
        return 1;
    struct tally tally = {0};
    printf("seed %llu\n", (unsigned long long)options.seed);
    u32 found = check_devices(context, &options, &tally);
    hsae_context_destroy(&context);
    if (found == 0) {
        printf("There is no device to test%s%s: install an OpenCL or Vulkan driver (the reference device alone tests nothing).\n",
               options.device ? " with the id " : "", options.device ? options.device : "");
        return 77;
    }
    printf("%u passed, %u failed", tally.passed, tally.failed);
    printf(tally.skipped ? ", %u skipped\n" : "\n", tally.skipped);
    return tally.failed ? 1 : tally.passed ? 0 : 77;
}
