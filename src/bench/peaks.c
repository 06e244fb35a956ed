/* SPDX-License-Identifier: MIT */
/* What the device reaches at best: multiply-adds in registers, copying, rows from anywhere, launches. */
#include "bench.h"

#include "base/context.h"
#include "base/os.h"
#include <stdlib.h>
#include <string.h>

/* Floats whose chains keep a device busy, and the time at which a launch is long enough to be timed. */
enum { CPU_CHAINS = 1 << 18, GPU_CHAINS = 1 << 22, MIN_REPEATS = 64, MAX_REPEATS = 1 << 16 };
static const double LONG_ENOUGH = 5e6; /* ns; a dispatch stays far below what drivers allow */
enum { FMA_RUNS = 4, COPY_RUNS = 12, GATHER_RUNS = 6, SUBMISSION_RUNS = 12 };
/* Rows of the paper's width; sums of a launch, so that it takes a millisecond or more; launches after the first. */
enum { GATHER_WIDTH = 2304, GATHER_READS = 32, CPU_SUMS = 128, GPU_SUMS = 8192, MORE_LAUNCHES = 64 };

/* The least time of `runs` runs of one launch on `count` floats; of `launch` the kernel, buffers and arguments are set. */
static hsae_status time_launch(hsae_device *device, struct hsae_launch launch, uint32_t count, int runs, double *ns)
{
    launch.shape = hsae_shape(device, launch.kernel, 1);
    uint64_t tile = (uint64_t)launch.shape.group_size * launch.shape.columns * launch.shape.vector_width;
    hsae_launch_groups(device, (count + tile - 1) / tile, &launch);
    struct hsae_sequence *sequence = NULL;
    hsae_status status = hsae_sequence_create(device, "peak", true, &sequence);
    if (!status) {
        hsae_sequence_launch(sequence, &launch);
        status = hsae_sequence_end(sequence);
    }
    *ns = 0;
    for (int run = 0; run < runs && !status; run++) {
        double last = 0;
        status = hsae_sequence_submit(sequence, NULL);
        if (!status)
            status = hsae_device_wait(device, 0);
        if (!status)
            status = hsae_sequence_times(sequence, &last);
        if (last > 0 && (*ns == 0 || last < *ns))
            *ns = last;
    }
    hsae_sequence_destroy(&sequence);
    return status;
}

static hsae_status create_two(hsae_device *device, uint64_t bytes, struct hsae_buffer *buffers[2])
{
    hsae_status status = hsae_buffer_create(device, "peak, source", bytes, HSAE_BUFFER_DEVICE, &buffers[0]);
    return status ? status : hsae_buffer_create(device, "peak, target", bytes, HSAE_BUFFER_DEVICE, &buffers[1]);
}

static void destroy_two(struct hsae_buffer *buffers[2])
{
    hsae_buffer_destroy(&buffers[0]);
    hsae_buffer_destroy(&buffers[1]);
}

hsae_status hsae_bench_fma(hsae_device *device, double *flops)
{
    struct peak_fma_args args = {.count = device->info.type == HSAE_DEVICE_CPU ? CPU_CHAINS : GPU_CHAINS, .factor = 0.75f, .term = 0.5f};
    struct hsae_buffer *buffers[2] = {NULL, NULL};
    double ns = 0;
    hsae_status status = create_two(device, args.count * sizeof(f32), buffers);
    struct hsae_launch launch = {.kernel = HSAE_KERNEL_peak_fma, .args = &args};
    HSAE_BIND(&launch, peak_fma, .from = buffers[0], .to = buffers[1]);
    for (args.repeats = MIN_REPEATS; !status; args.repeats *= 2) {
        status = time_launch(device, launch, args.count, 1, &ns);
        if (ns >= LONG_ENOUGH || args.repeats == MAX_REPEATS)
            break;
    }
    if (!status)
        status = time_launch(device, launch, args.count, FMA_RUNS, &ns);
    *flops = ns > 0 ? 2.0 * args.count * args.repeats / (ns * 1e-9) : 0;
    destroy_two(buffers);
    return status;
}

/* Writes a whole buffer: a host's memory that was only zeroed may be one page, mapped over and over. */
static hsae_status touch(hsae_device *device, struct hsae_buffer *buffer)
{
    enum { PIECE = 1 << 20 };
    uint64_t size = hsae_buffer_size(buffer);
    f32 *piece = malloc(PIECE);
    hsae_status status = piece ? HSAE_OK : hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for %d bytes", PIECE);
    for (size_t k = 0; k < PIECE / sizeof *piece && !status; k++)
        piece[k] = (f32)k;
    for (uint64_t at = 0; at < size && !status; at += PIECE)
        status = hsae_buffer_write(buffer, at, size - at < PIECE ? size - at : PIECE, piece);
    free(piece);
    return status;
}

static uint64_t largest_buffer(const hsae_device *device)
{
    const hsae_limits *limits = &device->info.limits;
    uint64_t most = limits->max_binding_bytes < limits->max_allocation_bytes ? limits->max_binding_bytes : limits->max_allocation_bytes;
    return most < limits->memory_bytes / 8 ? most : limits->memory_bytes / 8;
}

hsae_status hsae_bench_copy(hsae_device *device, uint64_t wanted, hsae_bench_result *out)
{
    uint64_t most = largest_buffer(device), bytes = (wanted < most ? wanted : most) / 64 * 64;
    struct peak_copy_args args = {.count = (u32)(bytes / sizeof(f32))};
    struct hsae_buffer *buffers[2] = {NULL, NULL};
    double ns = 0;
    hsae_status status = create_two(device, bytes, buffers);
    struct hsae_launch launch = {.kernel = HSAE_KERNEL_peak_copy, .args = &args};
    HSAE_BIND(&launch, peak_copy, .from = buffers[0], .to = buffers[1]);
    if (!status)
        status = touch(device, buffers[0]);
    if (!status)
        status = time_launch(device, launch, args.count, COPY_RUNS, &ns);
    destroy_two(buffers);
    out->copy_bytes = bytes;
    out->copy_bandwidth = ns > 0 ? 2.0 * (double)bytes / (ns * 1e-9) : 0;
    return status;
}

static hsae_status gather(hsae_device *device, uint64_t bytes, hsae_bench_gather *out)
{
    struct peak_gather_args args = {.rows = (u32)(bytes / (GATHER_WIDTH * sizeof(f32))), .width = GATHER_WIDTH, .reads = GATHER_READS};
    args.count = (device->info.type == HSAE_DEVICE_CPU ? CPU_SUMS : GPU_SUMS) * args.width;
    struct hsae_buffer *from = NULL, *to = NULL;
    double ns = 0;
    hsae_status status =
        hsae_buffer_create(device, "peak, source", (uint64_t)args.rows * args.width * sizeof(f32), HSAE_BUFFER_DEVICE, &from);
    if (!status)
        status = hsae_buffer_create(device, "peak, target", args.count * sizeof(f32), HSAE_BUFFER_DEVICE, &to);
    if (!status)
        status = touch(device, from);
    struct hsae_launch launch = {.kernel = HSAE_KERNEL_peak_gather, .args = &args};
    HSAE_BIND(&launch, peak_gather, .from = from, .to = to);
    if (!status)
        status = time_launch(device, launch, args.count, GATHER_RUNS, &ns);
    hsae_buffer_destroy(&from);
    hsae_buffer_destroy(&to);
    *out = (hsae_bench_gather){bytes, ns > 0 ? (double)args.reads * args.count * sizeof(f32) / (ns * 1e-9) : 0};
    return status;
}

hsae_status hsae_bench_gathers(hsae_device *device, uint64_t wanted, hsae_bench_result *out)
{
    uint64_t most = largest_buffer(device), bytes = 2 << 20;
    hsae_status status = HSAE_OK;
    for (; out->gather_count < HSAE_BENCH_GATHERS && bytes <= most && bytes <= wanted && !status; bytes *= 4)
        status = gather(device, bytes, &out->gathers[out->gather_count++]);
    return status;
}

/* Wall clock of a submission with so many launches that have nothing to do, the least of several. */
static hsae_status time_submission(hsae_device *device, const struct hsae_launch *launch, uint32_t launches, double *seconds)
{
    struct hsae_sequence *sequence = NULL;
    hsae_status status = hsae_sequence_create(device, "empty launches", false, &sequence);
    for (uint32_t k = 0; k < launches && !status; k++)
        hsae_sequence_launch(sequence, launch);
    if (!status)
        status = hsae_sequence_end(sequence);
    for (int run = 0; run < SUBMISSION_RUNS && !status; run++) {
        double begun = hsae_os_seconds();
        status = hsae_sequence_submit(sequence, NULL);
        if (!status)
            status = hsae_device_wait(device, 0);
        double last = hsae_os_seconds() - begun;
        *seconds = run && *seconds < last ? *seconds : last;
    }
    hsae_sequence_destroy(&sequence);
    return status;
}

hsae_status hsae_bench_launches(hsae_device *device, hsae_bench_result *out)
{
    struct peak_copy_args args = {.count = 0};
    struct hsae_buffer *buffers[2] = {NULL, NULL};
    double many = 0;
    hsae_status status = create_two(device, 64, buffers);
    struct hsae_launch launch = {.kernel = HSAE_KERNEL_peak_copy, .args = &args, .shape = hsae_shape(device, HSAE_KERNEL_peak_copy, 1)};
    HSAE_BIND(&launch, peak_copy, .from = buffers[0], .to = buffers[1]);
    hsae_launch_groups(device, 1, &launch);
    if (!status)
        status = time_submission(device, &launch, 1, &out->submit_seconds);
    if (!status)
        status = time_submission(device, &launch, 1 + MORE_LAUNCHES, &many);
    destroy_two(buffers);
    out->launch_seconds = many > out->submit_seconds ? (many - out->submit_seconds) / MORE_LAUNCHES : 0;
    return status;
}
