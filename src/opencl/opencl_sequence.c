/* SPDX-License-Identifier: MIT */
/* Sequences: each recorded launch owns a cl_kernel with its arguments set, so that a submission only enqueues. In-order queues make
 * barriers needless. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device/quirks.h"
#include "opencl_device.h"

struct opencl_launch {
    cl_kernel kernel; /* NULL: a dense product */
    struct hsae_gemm product;
    size_t offset[2], global[2], local[2]; /* work-items */
    bool cut;                              /* the last one of its submission */
    cl_event event;                        /* timed sequences: of the last submission */
    double ns;                             /* timed on the host */
};

struct hsae_sequence {
    struct hsae_sequence_base base;
    struct opencl_launch *launches;
    size_t count, capacity;
};

static void release_event(const struct opencl_device *device, cl_event *event)
{
    if (*event)
        device->cl->ReleaseEvent(*event);
    *event = NULL;
}

/* Whether the driver's profiling does not tell the truth. */
static bool host_timed(const struct opencl_device *device)
{
    return device->base.quirks & HSAE_QUIRK_HOST_TIMERS;
}

/* ---- recording ---- */

/* The queue of timed sequences, made when the first one is: profiling costs time on some drivers. */
static hsae_status make_timed_queue(struct opencl_device *device)
{
    cl_int error = CL_SUCCESS;
    if (!device->timed)
        device->timed = device->cl->CreateCommandQueue(device->context, device->id, CL_QUEUE_PROFILING_ENABLE, &error);
    return error ? hsae_opencl_fail(device, error, "cannot make the queue for", "timed sequences") : HSAE_OK;
}

hsae_status hsae_opencl_sequence_create(struct hsae_device *device, bool timed, struct hsae_sequence **out)
{
    if (timed) {
        hsae_status status = make_timed_queue(opencl_device(device));
        if (status)
            return status;
    }
    *out = calloc(1, sizeof **out);
    return *out ? HSAE_OK : hsae_fail(device->context, HSAE_ERROR_MEMORY, "%s: out of memory for a sequence", device->info.id);
}

static hsae_status set_arguments(struct opencl_device *device, cl_kernel kernel, const struct hsae_launch *launch)
{
    const struct hsae_kernel_info *info = &hsae_kernels[launch->kernel];
    cl_int error = device->cl->SetKernelArg(kernel, 0, info->args_bytes, launch->args);
    for (cl_uint slot = 0; info->access[slot] && !error; slot++)
        error = device->cl->SetKernelArg(kernel, slot + 1, sizeof(cl_mem), &launch->bindings[slot]->memory);
    return error ? hsae_opencl_fail(device, error, "cannot set the arguments of kernel", info->name) : HSAE_OK;
}

/* Room for one more launch. */
static hsae_status reserve(struct hsae_sequence *sequence)
{
    const struct hsae_device *device = sequence->base.device;
    if (sequence->count == sequence->capacity) {
        size_t capacity = sequence->count ? 2 * sequence->count : 16;
        struct opencl_launch *grown = realloc(sequence->launches, capacity * sizeof *grown);
        if (!grown)
            return hsae_fail(device->context, HSAE_ERROR_MEMORY, "%s: out of memory for sequence %s", device->info.id,
                             sequence->base.label);
        sequence->launches = grown;
        sequence->capacity = capacity;
    }
    return HSAE_OK;
}

hsae_status hsae_opencl_sequence_gemm(struct hsae_sequence *sequence, const struct hsae_gemm *product)
{
    hsae_status status = reserve(sequence);
    if (!status)
        sequence->launches[sequence->count++] = (struct opencl_launch){.product = *product};
    return status;
}

hsae_status hsae_opencl_sequence_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch)
{
    struct opencl_device *device = opencl_device(sequence->base.device);
    hsae_status status = reserve(sequence);
    if (status)
        return status;
    struct opencl_launch *recorded = &sequence->launches[sequence->count];
    size_t group_size = launch->shape.group_size;
    *recorded = (struct opencl_launch){
        .offset = {launch->first[0] * group_size, launch->first[1]},
        .global = {launch->groups[0] * group_size, launch->groups[1]},
        .local = {group_size, 1},
    };
    status = hsae_opencl_kernel(device, launch->kernel, &launch->shape, &recorded->kernel);
    if (status)
        return status;
    status = set_arguments(device, recorded->kernel, launch);
    if (status)
        device->cl->ReleaseKernel(recorded->kernel);
    else
        sequence->count++;
    return status;
}

hsae_status hsae_opencl_sequence_cut(struct hsae_sequence *sequence)
{
    sequence->launches[sequence->count - 1].cut = true;
    return HSAE_OK;
}

hsae_status hsae_opencl_sequence_end(struct hsae_sequence *sequence)
{
    (void)sequence;
    return HSAE_OK;
}

void hsae_opencl_sequence_destroy(struct hsae_sequence *sequence)
{
    const struct opencl_device *device = opencl_device(sequence->base.device);
    for (size_t i = 0; i < sequence->count; i++) {
        release_event(device, &sequence->launches[i].event);
        if (sequence->launches[i].kernel)
            device->cl->ReleaseKernel(sequence->launches[i].kernel);
    }
    free(sequence->launches);
    free(sequence);
}

/* ---- running ---- */

static cl_int enqueue(struct opencl_device *device, cl_command_queue queue, struct opencl_launch *launch, cl_event *event)
{
    if (!launch->kernel)
        return hsae_opencl_gemm(&launch->product, queue, event);
    cl_int error =
        device->cl->EnqueueNDRangeKernel(queue, launch->kernel, 2, launch->offset, launch->global, launch->local, 0, NULL, event);
    return !error && launch->cut ? device->cl->Flush(queue) : error;
}

static cl_int submit_plain(struct opencl_device *device, struct hsae_sequence *sequence)
{
    cl_int error = CL_SUCCESS;
    for (size_t i = 0; i < sequence->count && !error; i++)
        error = enqueue(device, device->queue, &sequence->launches[i], NULL);
    return error;
}

/* Makes what is enqueued on `to` from now on wait for what is on `from`. */
static cl_int order_queues(struct opencl_device *device, cl_command_queue from, cl_command_queue to)
{
    cl_event event = NULL;
    cl_int error = device->cl->EnqueueMarkerWithWaitList(from, 0, NULL, &event);
    if (!error)
        error = device->cl->Flush(from);
    if (!error)
        error = device->cl->EnqueueBarrierWithWaitList(to, 1, &event, NULL);
    release_event(device, &event);
    return error;
}

static cl_int submit_timed(struct opencl_device *device, struct hsae_sequence *sequence)
{
    cl_int error = order_queues(device, device->queue, device->timed);
    for (size_t i = 0; i < sequence->count && !error; i++) {
        release_event(device, &sequence->launches[i].event);
        error = enqueue(device, device->timed, &sequence->launches[i], &sequence->launches[i].event);
    }
    return error ? error : order_queues(device, device->timed, device->queue);
}

/* One by one, each waited for with patience. There is room for one more pending submission. */
static hsae_status submit_host_timed(struct opencl_device *device, struct hsae_sequence *sequence)
{
    hsae_status status = hsae_device_await(&device->base, 0);
    for (size_t i = 0; i < sequence->count && !status; i++) {
        struct opencl_pending *pending = &device->pending[device->pending_count];
        *pending = (struct opencl_pending){.ticket = device->ticket + 1};
        const double start = hsae_os_seconds();
        cl_int error = enqueue(device, device->queue, &sequence->launches[i], &pending->event);
        if (!error)
            error = device->cl->Flush(device->queue);
        if (error) {
            release_event(device, &pending->event);
            return hsae_opencl_fail(device, error, "cannot submit", sequence->base.label);
        }
        device->pending_count++;
        status = hsae_device_await(&device->base, pending->ticket);
        sequence->launches[i].ns = 1e9 * (hsae_os_seconds() - start);
    }
    return status;
}

/* ---- waiting ---- */

/* Whether a submission is done within `seconds`, or failed: *state is CL_COMPLETE or an error then. Asked for again and again, since
 * clWaitForEvents could not be given up, and callbacks come late on some drivers and not at all on others. Pauses grow with the time
 * waited. Each question takes time from a device that shares the host's cores: where there is more work after the submission, so that the
 * device does not idle, the first pause is most of what the last such waits took, the shorter of two, since one may have been for a
 * compiler. */
static cl_int poll_pending(struct opencl_device *device, size_t place, double seconds, bool *reached, cl_int *state)
{
    static const double shortest = 1e-5, longest = 1e-3;
    const bool busy = place + 1 < device->pending_count;
    const double start = hsae_os_seconds(), usual = fmin(device->last_waits[0], device->last_waits[1]);
    double waited = 0, pause = busy ? fmin(0.75 * usual, seconds) : 0;
    cl_int error;
    for (;;) {
        cl_event event = device->pending[place].event;
        error = device->cl->GetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof *state, state, NULL);
        *reached = !error && *state <= CL_COMPLETE;
        if (error || *reached || waited >= seconds)
            break;
        hsae_os_sleep(fmax(shortest, pause));
        waited = hsae_os_seconds() - start;
        pause = fmin(longest, waited / 16);
    }
    if (busy) {
        device->last_waits[0] = device->last_waits[1];
        device->last_waits[1] = hsae_os_seconds() - start;
    }
    return error;
}

void hsae_opencl_drop_pending(struct opencl_device *device, uint64_t ticket)
{
    size_t done = 0;
    for (; done < device->pending_count && device->pending[done].ticket <= ticket; done++)
        release_event(device, &device->pending[done].event);
    device->pending_count -= done;
    if (device->pending_count)
        memmove(device->pending, device->pending + done, device->pending_count * sizeof *device->pending);
}

hsae_status hsae_opencl_wait(struct hsae_device *base, uint64_t ticket, double seconds, bool *done)
{
    struct opencl_device *device = opencl_device(base);
    cl_int error = CL_SUCCESS;
    if (!ticket)
        ticket = device->ticket;
    for (size_t i = 0; i < device->pending_count; i++)
        if (device->pending[i].ticket == ticket) {
            cl_int state = CL_COMPLETE;
            bool reached = base->quirks & HSAE_QUIRK_WAIT_IN_DRIVER;
            if (!reached)
                error = poll_pending(device, i, seconds, &reached, &state);
            if (!error && !reached)
                return HSAE_OK;
            if (!error) /* comes back at once where it was polled, and lets the host see what was written */
                error = state < 0 ? state : device->cl->WaitForEvents(1, &device->pending[i].event);
        }
    hsae_opencl_drop_pending(device, ticket);
    *done = true;
    return error ? hsae_opencl_fail(device, error, "submitted work failed", "while it was waited for") : HSAE_OK;
}

hsae_status hsae_opencl_sequence_submit(struct hsae_sequence *sequence, uint64_t *ticket)
{
    struct opencl_device *device = opencl_device(sequence->base.device);
    struct opencl_pending *grown = realloc(device->pending, (device->pending_count + 1) * sizeof *grown);
    if (grown)
        device->pending = grown;
    if (!grown)
        return hsae_fail(device->base.context, HSAE_ERROR_MEMORY, "%s: out of memory to submit %s", device->base.info.id,
                         sequence->base.label);
    if (sequence->base.timed && host_timed(device)) {
        hsae_status status = submit_host_timed(device, sequence);
        if (status)
            return status;
    }
    cl_event event = NULL;
    cl_int error = !sequence->base.timed ? submit_plain(device, sequence)
                   : host_timed(device)  ? CL_SUCCESS
                                         : submit_timed(device, sequence);
    if (!error)
        error = device->cl->EnqueueMarkerWithWaitList(device->queue, 0, NULL, &event);
    if (!error)
        error = device->cl->Flush(device->queue);
    if (error) {
        release_event(device, &event);
        return hsae_opencl_fail(device, error, "cannot submit", sequence->base.label);
    }
    *ticket = ++device->ticket;
    device->pending[device->pending_count++] = (struct opencl_pending){*ticket, event};
    return HSAE_OK;
}

hsae_status hsae_opencl_sequence_times(struct hsae_sequence *sequence, double *ns)
{
    struct opencl_device *device = opencl_device(sequence->base.device);
    for (size_t i = 0; i < sequence->count; i++) {
        const struct opencl_launch *launch = &sequence->launches[i];
        ns[i] = launch->ns;
        if (host_timed(device))
            continue;
        cl_ulong start = 0, end = 0;
        cl_int error = device->cl->GetEventProfilingInfo(launch->event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL);
        if (!error)
            error = device->cl->GetEventProfilingInfo(launch->event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL);
        if (error)
            return hsae_opencl_fail(device, error, "cannot time", sequence->base.label);
        ns[i] = end > start ? (double)(end - start) : 0; /* some drivers give them in the wrong order, or one of them only */
    }
    return HSAE_OK;
}
