/* SPDX-License-Identifier: MIT */
/* The front of every device: all checks of arguments, sizes and limits, and the messages that go with them. */
#include "device.h"
#include "base/abandoned.h"
#include "base/patience.h"
#include "speed.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hsae_buffer_base *buffer_base(const struct hsae_buffer *buffer)
{
    return (struct hsae_buffer_base *)buffer;
}

static struct hsae_sequence_base *sequence_base(const struct hsae_sequence *sequence)
{
    return (struct hsae_sequence_base *)sequence;
}

static void copy_label(char label[48], const char *text)
{
    snprintf(label, 48, "%s", text ? text : "unnamed");
}

static hsae_status check_device(const struct hsae_device *device)
{
    if (!device)
        return HSAE_ERROR_ARGUMENT;
    if (device->lost)
        return hsae_fail(device->context, HSAE_ERROR_DEVICE_LOST, "%s (%s) was lost; close it, open it again and resume from a checkpoint",
                         device->info.id, device->info.name);
    return HSAE_OK;
}

#define ULL(x) ((unsigned long long)(x))

/* ---- buffers ---- */

static hsae_status check_buffer_size(const struct hsae_device *device, const char *label, uint64_t size, enum hsae_buffer_kind kind)
{
    const hsae_limits *limits = &device->info.limits;
    const char *id = device->info.id;
    if (size % 4)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: buffer %s: %llu bytes are not a multiple of 4", id, label, ULL(size));
    if (size > limits->max_allocation_bytes)
        return hsae_fail(device->context, HSAE_ERROR_LIMIT,
                         "%s: buffer %s needs %llu bytes, the device's largest buffer has %llu; use smaller levels or a smaller batch", id,
                         label, ULL(size), ULL(limits->max_allocation_bytes));
    if (kind == HSAE_BUFFER_DEVICE && !device->endless && size > limits->memory_bytes - device->allocated_bytes)
        return HSAE_ERROR_DEVICE_MEMORY;
    return HSAE_OK;
}

static uint64_t *bytes_in_use(struct hsae_device *device, enum hsae_buffer_kind kind)
{
    return kind == HSAE_BUFFER_DEVICE ? &device->allocated_bytes : &device->staging_bytes;
}

hsae_status hsae_buffer_create(struct hsae_device *device, const char *label, uint64_t size, enum hsae_buffer_kind kind,
                               struct hsae_buffer **out)
{
    if (!out)
        return HSAE_ERROR_ARGUMENT;
    *out = NULL;
    hsae_status status = check_device(device);
    if (status)
        return status;
    char name[48];
    copy_label(name, label);
    size = size ? size : 4;
    status = check_buffer_size(device, name, size, kind);
    if (!status)
        status = device->ops->buffer_create(device, size, kind, name, out);
    if (status == HSAE_ERROR_DEVICE_MEMORY && kind == HSAE_BUFFER_STAGING)
        hsae_fail(device->context, status,
                  "%s: no memory that the host sees for buffer %s: %llu bytes asked for, %llu in use for such; use a smaller batch",
                  device->info.id, name, ULL(size), ULL(device->staging_bytes));
    else if (status == HSAE_ERROR_DEVICE_MEMORY)
        hsae_fail(device->context, status,
                  "%s: no memory for buffer %s: %llu bytes asked for, %llu of %llu in use; use smaller levels, a smaller batch or another "
                  "device",
                  device->info.id, name, ULL(size), ULL(device->allocated_bytes), ULL(device->info.limits.memory_bytes));
    if (status) {
        *out = NULL;
        return status;
    }
    struct hsae_buffer_base *base = buffer_base(*out);
    *base = (struct hsae_buffer_base){.device = device, .size = size, .kind = kind};
    copy_label(base->label, name);
    device->buffers++;
    *bytes_in_use(device, kind) += size;
    if (device->allocated_bytes + device->staging_bytes > device->peak_bytes)
        device->peak_bytes = device->allocated_bytes + device->staging_bytes;
    return HSAE_OK;
}

void hsae_buffer_destroy(struct hsae_buffer **buffer)
{
    if (!buffer || !*buffer)
        return;
    struct hsae_buffer_base *base = buffer_base(*buffer);
    struct hsae_device *device = base->device;
    device->buffers--;
    *bytes_in_use(device, base->kind) -= base->size;
    if (device->hung)
        hsae_abandon(*buffer);
    else
        device->ops->buffer_destroy(*buffer);
    *buffer = NULL;
}

uint64_t hsae_buffer_size(const struct hsae_buffer *buffer)
{
    return buffer ? buffer_base(buffer)->size : 0;
}

static hsae_status check_transfer(const struct hsae_buffer *buffer, const char *what, uint64_t offset, uint64_t size, const void *data)
{
    if (!buffer)
        return HSAE_ERROR_ARGUMENT;
    const struct hsae_buffer_base *base = buffer_base(buffer);
    hsae_status status = check_device(base->device);
    if (status)
        return status;
    if (offset % 4 || size % 4 || offset > base->size || size > base->size - offset || (size && !data))
        return hsae_fail(base->device->context, HSAE_ERROR_ARGUMENT, "%s: cannot %s %llu bytes at %llu of buffer %s, which has %llu (%s)",
                         base->device->info.id, what, ULL(size), ULL(offset), base->label, ULL(base->size),
                         data ? "multiples of 4 inside the buffer are allowed" : "no data");
    return HSAE_OK;
}

/* Transfers of DEVICE buffers come after all that was submitted, which is waited for with patience first. */
static hsae_status settle(const struct hsae_buffer *buffer)
{
    const struct hsae_buffer_base *base = (const struct hsae_buffer_base *)buffer;
    bool idle = base->kind != HSAE_BUFFER_DEVICE || base->device->waited == base->device->submitted;
    return idle ? HSAE_OK : hsae_device_wait(base->device, 0);
}

hsae_status hsae_buffer_write(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, const void *data)
{
    hsae_status status = check_transfer(buffer, "write", offset, size, data);
    if (!status && size)
        status = settle(buffer);
    return status || !size ? status : buffer_base(buffer)->device->ops->buffer_write(buffer, offset, size, data);
}

hsae_status hsae_buffer_read(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data)
{
    hsae_status status = check_transfer(buffer, "read", offset, size, data);
    if (!status && size)
        status = settle(buffer);
    return status || !size ? status : buffer_base(buffer)->device->ops->buffer_read(buffer, offset, size, data);
}

static hsae_status check_map(const struct hsae_buffer *buffer, bool map)
{
    if (!buffer)
        return HSAE_ERROR_ARGUMENT;
    const struct hsae_buffer_base *base = buffer_base(buffer);
    hsae_status status = check_device(base->device);
    if (!status && (base->kind != HSAE_BUFFER_STAGING || base->mapped == map))
        status = hsae_fail(base->device->context, HSAE_ERROR_ARGUMENT, "%s: cannot %s buffer %s: it is %s", base->device->info.id,
                           map ? "map" : "unmap", base->label,
                           base->kind != HSAE_BUFFER_STAGING ? "no staging buffer"
                           : map                             ? "mapped already"
                                                             : "not mapped");
    return status;
}

hsae_status hsae_buffer_map(struct hsae_buffer *buffer, void **data)
{
    *data = NULL;
    hsae_status status = check_map(buffer, true);
    if (!status)
        status = buffer_base(buffer)->device->ops->buffer_map(buffer, data);
    if (!status)
        buffer_base(buffer)->mapped = true;
    return status;
}

hsae_status hsae_buffer_unmap(struct hsae_buffer *buffer)
{
    hsae_status status = check_map(buffer, false);
    if (status)
        return status;
    buffer_base(buffer)->mapped = false;
    return buffer_base(buffer)->device->ops->buffer_unmap(buffer);
}

/* ---- sequences ---- */

void hsae_launch_groups(const struct hsae_device *device, uint64_t groups, struct hsae_launch *launch)
{
    uint64_t wide = device->info.limits.max_groups[0];
    launch->groups[0] = (uint32_t)(groups < wide ? groups : wide);
    launch->groups[1] = (uint32_t)((groups + launch->groups[0] - 1) / launch->groups[0]);
}

hsae_status hsae_sequence_create(struct hsae_device *device, const char *label, bool timed, struct hsae_sequence **out)
{
    if (!out)
        return HSAE_ERROR_ARGUMENT;
    *out = NULL;
    hsae_status status = check_device(device);
    if (!status)
        status = device->ops->sequence_create(device, timed, out);
    if (status) {
        *out = NULL;
        return status;
    }
    struct hsae_sequence_base *base = sequence_base(*out);
    *base = (struct hsae_sequence_base){.device = device, .timed = timed};
    copy_label(base->label, label);
    device->sequences++;
    return HSAE_OK;
}

void hsae_sequence_destroy(struct hsae_sequence **sequence)
{
    if (!sequence || !*sequence)
        return;
    struct hsae_device *device = sequence_base(*sequence)->device;
    device->sequences--;
    free(sequence_base(*sequence)->recorded);
    if (device->hung)
        hsae_abandon(*sequence);
    else
        device->ops->sequence_destroy(*sequence);
    *sequence = NULL;
}

static bool is_power_of_two(uint32_t x)
{
    return x && !(x & (x - 1));
}

static hsae_status check_tile(const struct hsae_sequence_base *sequence, const struct hsae_launch *launch)
{
    const struct hsae_device *device = sequence->device;
    const struct hsae_kernel_shape *shape = &launch->shape;
    struct hsae_tile tile;
    if (!hsae_shape_tile(shape, &tile))
        return hsae_fail(
            device->context, HSAE_ERROR_ARGUMENT,
            "%s: %s in %s: a tile of %u vectors an item, %u words, step %u, padding %u, prefetch %u does not fit group size %u, "
            "columns %u, vector width %u (device.h)",
            device->info.id, hsae_kernels[launch->kernel].name, sequence->label, shape->tile_vectors, shape->tile_words, shape->tile_step,
            shape->tile_pad, shape->tile_prefetch, shape->group_size, shape->columns, shape->vector_width);
    uint32_t local = hsae_local_bytes(launch->kernel, shape);
    if (local > device->info.limits.max_local_bytes)
        return hsae_fail(device->context, HSAE_ERROR_LIMIT,
                         "%s: %s in %s: a work-group of %u needs %u bytes of local memory, the device allows %u; %s", device->info.id,
                         hsae_kernels[launch->kernel].name, sequence->label, shape->group_size, local, device->info.limits.max_local_bytes,
                         shape->group_size > 1 ? "use a smaller one" : "use another device");
    return HSAE_OK;
}

static hsae_status check_shape(const struct hsae_sequence_base *sequence, const struct hsae_launch *launch)
{
    const struct hsae_device *device = sequence->device;
    const hsae_limits *limits = &device->info.limits;
    const struct hsae_kernel_info *kernel = &hsae_kernels[launch->kernel];
    const struct hsae_kernel_shape *shape = &launch->shape;
    if (!is_power_of_two(shape->group_size) || !shape->columns || !is_power_of_two(shape->ranges) || shape->ranges > HSAE_MAX_RANGES ||
        (shape->vector_width != 4 && shape->vector_width != 8 && shape->vector_width != 16) ||
        (device->info.backend == HSAE_BACKEND_VULKAN && shape->vector_width != 4) || !launch->groups[0] || !launch->groups[1])
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT,
                         "%s: %s in %s: group size %u, columns %u, ranges %u, vector width %u, groups %u x %u is not a shape (device.h)",
                         device->info.id, kernel->name, sequence->label, shape->group_size, shape->columns, shape->ranges,
                         shape->vector_width, launch->groups[0], launch->groups[1]);
    if (shape->group_size > limits->max_group_size)
        return hsae_fail(device->context, HSAE_ERROR_LIMIT, "%s: %s in %s: group size %u, the device allows %u", device->info.id,
                         kernel->name, sequence->label, shape->group_size, limits->max_group_size);
    for (int i = 0; i < 2; i++)
        if (launch->groups[i] > limits->max_groups[i])
            return hsae_fail(device->context, HSAE_ERROR_LIMIT,
                             "%s: %s in %s: %u groups in %c, the device allows %u; use a smaller batch or smaller levels", device->info.id,
                             kernel->name, sequence->label, launch->groups[i], i ? 'y' : 'x', limits->max_groups[i]);
    return check_tile(sequence, launch);
}

static hsae_status check_binding(const struct hsae_sequence_base *sequence, const struct hsae_launch *launch, size_t slot)
{
    const struct hsae_device *device = sequence->device;
    const struct hsae_kernel_info *kernel = &hsae_kernels[launch->kernel];
    const struct hsae_buffer_base *buffer = buffer_base(launch->bindings[slot]);
    if (!buffer || buffer->device != device)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: %s in %s: binding %zu %s", device->info.id, kernel->name,
                         sequence->label, slot, buffer ? "is a buffer of another device" : "is not set");
    if (buffer->size > device->info.limits.max_binding_bytes)
        return hsae_fail(
            device->context, HSAE_ERROR_LIMIT,
            "%s: %s in %s: buffer %s has %llu bytes, a kernel of this device sees at most %llu; use a smaller batch or smaller levels",
            device->info.id, kernel->name, sequence->label, buffer->label, ULL(buffer->size), ULL(device->info.limits.max_binding_bytes));
    for (size_t other = 0; other < slot; other++)
        if (launch->bindings[other] == launch->bindings[slot] && (kernel->access[slot] != 'r' || kernel->access[other] != 'r'))
            return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: %s in %s: buffer %s is written and bound twice, at %zu and %zu",
                             device->info.id, kernel->name, sequence->label, buffer->label, other, slot);
    return HSAE_OK;
}

static hsae_status check_launch(const struct hsae_sequence_base *sequence, const struct hsae_launch *launch)
{
    const struct hsae_device *device = sequence->device;
    const hsae_limits *limits = &device->info.limits;
    if (!launch || (unsigned)launch->kernel >= HSAE_KERNEL_COUNT || !launch->args)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: a launch in %s has no kernel or no arguments", device->info.id,
                         sequence->label);
    const struct hsae_kernel_info *kernel = &hsae_kernels[launch->kernel];
    if (sequence->ended)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: %s: sequence %s has ended, nothing can be added", device->info.id,
                         kernel->name, sequence->label);
    size_t bindings = strlen(kernel->access);
    if (bindings > limits->max_bindings || kernel->args_bytes > limits->max_args_bytes)
        return hsae_fail(device->context, HSAE_ERROR_LIMIT,
                         "%s: %s needs %zu buffers and %u bytes of arguments, the device allows %u and %u; use another device",
                         device->info.id, kernel->name, bindings, kernel->args_bytes, limits->max_bindings, limits->max_args_bytes);
    hsae_status status = check_shape(sequence, launch);
    for (size_t slot = 0; slot < bindings && !status; slot++)
        status = check_binding(sequence, launch, slot);
    for (size_t slot = bindings; slot < HSAE_MAX_BINDINGS && !status; slot++)
        if (launch->bindings[slot])
            status = hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: %s in %s: binding %zu is set, the kernel has %zu",
                               device->info.id, kernel->name, sequence->label, slot, bindings);
    return status;
}

/* Room to note one more launch of a timed sequence. */
static hsae_status reserve_launch(struct hsae_sequence_base *base)
{
    struct hsae_recorded *grown = base->timed ? realloc(base->recorded, (base->launch_count + 1) * sizeof *grown) : NULL;
    if (grown)
        base->recorded = grown;
    return grown || !base->timed ? HSAE_OK
                                 : hsae_fail(base->device->context, HSAE_ERROR_MEMORY, "%s: out of memory for sequence %s",
                                             base->device->info.id, base->label);
}

/* Counts a launch that the backend has taken. */
static void keep_launch(struct hsae_sequence_base *base, enum hsae_kernel kernel, double work, double seconds)
{
    if (base->timed)
        base->recorded[base->launch_count] = (struct hsae_recorded){kernel, base->submissions, work};
    base->launch_count++;
    base->seconds += seconds;
    base->expected += seconds;
}

/* Begins a new submission where this one would get too long. */
static hsae_status cut_submission(struct hsae_sequence *sequence, double seconds)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    if (base->seconds <= 0 || base->seconds + seconds <= hsae_submission_seconds(base->device))
        return HSAE_OK;
    hsae_status status = base->device->ops->sequence_cut(sequence);
    if (!status) {
        base->seconds = 0;
        base->submissions++;
    }
    return status;
}

/* Whole rows of groups where there are several, else groups; the numbers that a kernel's groups have stay the same. */
static hsae_status launch_part(struct hsae_sequence *sequence, const struct hsae_launch *launch, uint32_t part, uint32_t parts)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    struct hsae_launch piece = *launch;
    int axis = launch->groups[1] > 1;
    uint64_t groups = launch->groups[axis], first = groups * part / parts;
    piece.first[axis] = (uint32_t)first;
    piece.groups[axis] = (uint32_t)(groups * (part + 1) / parts - first);
    piece.work = launch->work * piece.groups[axis] / (double)groups;
    double seconds = hsae_launch_seconds(base->device, &piece);
    hsae_status status = cut_submission(sequence, seconds);
    if (!status)
        status = reserve_launch(base);
    if (!status)
        status = base->device->ops->sequence_launch(sequence, &piece);
    if (!status)
        keep_launch(base, launch->kernel, piece.work, seconds);
    return status;
}

static hsae_status add_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    hsae_status status = check_device(base->device);
    if (!status)
        status = check_launch(base, launch);
    if (status)
        return status;
    uint32_t most = launch->groups[launch->groups[1] > 1], parts = 1;
    double wanted = hsae_launch_seconds(base->device, launch) / hsae_dispatch_seconds(base->device);
    if (hsae_launch_guessed(base->device, launch))
        base->device->speed_guessed = true;
    if (wanted > 1)
        parts = wanted < most ? (uint32_t)ceil(wanted) : most;
    for (uint32_t part = 0; part < parts && !status; part++)
        status = launch_part(sequence, launch, part, parts);
    return status;
}

void hsae_sequence_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    if (base && !base->status)
        base->status = add_launch(sequence, launch);
}

bool hsae_device_has_product(const struct hsae_device *device)
{
    return device->has_product;
}

static hsae_status check_product(const struct hsae_sequence_base *sequence, const struct hsae_product *p)
{
    const struct hsae_device *device = sequence->device;
    if (!device->has_product)
        return hsae_fail(device->context, HSAE_ERROR_UNSUPPORTED, "%s: there is no library for dense products", device->info.id);
    if (sequence->ended)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: product: sequence %s has ended, nothing can be added", device->info.id,
                         sequence->label);
    const struct {
        struct hsae_buffer *buffer;
        uint32_t rows, columns, line;
    } operands[] = {{p->a, p->rows, p->depth, p->lda}, {p->b, p->columns, p->depth, p->ldb}, {p->c, p->rows, p->columns, p->ldc}};
    for (size_t i = 0; i < 3; i++) {
        const struct hsae_buffer_base *buffer = buffer_base(operands[i].buffer);
        if (!buffer || buffer->device != device || !operands[i].rows || !operands[i].columns || operands[i].line < operands[i].columns ||
            ((uint64_t)(operands[i].rows - 1) * operands[i].line + operands[i].columns) * sizeof(float) > buffer->size)
            return hsae_fail(device->context, HSAE_ERROR_ARGUMENT,
                             "%s: product in %s: operand %c of %u x %u floats, %u a row, is not within a buffer of this device",
                             device->info.id, sequence->label, "abc"[i], operands[i].rows, operands[i].columns, operands[i].line);
    }
    if (p->c == p->a || p->c == p->b)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: product in %s: c is an operand too", device->info.id, sequence->label);
    return HSAE_OK;
}

static hsae_status add_product(struct hsae_sequence *sequence, const struct hsae_product *product)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    hsae_status status = check_device(base->device);
    if (!status)
        status = check_product(base, product);
    if (!status)
        status = reserve_launch(base);
    if (!status)
        status = base->device->ops->sequence_product(sequence, product);
    if (!status)
        keep_launch(base, HSAE_KERNEL_COUNT, 0, 0);
    return status;
}

void hsae_sequence_product(struct hsae_sequence *sequence, const struct hsae_product *product)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    if (base && !base->status)
        base->status = product ? add_product(sequence, product) : HSAE_ERROR_ARGUMENT;
}

hsae_status hsae_sequence_end(struct hsae_sequence *sequence)
{
    if (!sequence)
        return HSAE_ERROR_ARGUMENT;
    struct hsae_sequence_base *base = sequence_base(sequence);
    hsae_status status = base->status ? base->status : check_device(base->device);
    if (status)
        return status;
    if (base->ended)
        return hsae_fail(base->device->context, HSAE_ERROR_ARGUMENT, "%s: sequence %s has ended already", base->device->info.id,
                         base->label);
    status = base->device->ops->sequence_end(sequence);
    base->ended = !status;
    return status;
}

hsae_status hsae_sequence_submit(struct hsae_sequence *sequence, uint64_t *ticket)
{
    if (!sequence)
        return HSAE_ERROR_ARGUMENT;
    struct hsae_sequence_base *base = sequence_base(sequence);
    struct hsae_device *device = base->device;
    hsae_status status = base->status ? base->status : check_device(device);
    if (status)
        return status;
    if (!base->ended || base->ticket > device->waited)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: sequence %s cannot be submitted: %s", device->info.id, base->label,
                         base->ended ? "its last submission was not waited for" : "it has not ended");
    uint64_t submitted = 0;
    if (!base->ticket)
        device->first_run = UINT64_MAX; /* whatever its ticket will be: some devices wait while they submit */
    status = device->ops->sequence_submit(sequence, &submitted);
    if (status)
        return status;
    if (!base->ticket)
        device->first_run = submitted;
    base->ticket = submitted;
    device->submitted = submitted;
    device->expected += base->expected;
    if (ticket)
        *ticket = submitted;
    return HSAE_OK;
}

hsae_status hsae_fail_wrong(const struct hsae_device *device, const char *format, ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return hsae_fail(device->context, HSAE_ERROR_DRIVER,
                     "%s (%s; %s) computes wrong: %s; update the driver or choose another device (hsae devices --test)", device->info.id,
                     device->info.name, device->info.driver, what);
}

/* For a wait that begins now. */
static struct hsae_patience new_patience(const struct hsae_device *device)
{
    double seconds = hsae_setting_number(device->context, HSAE_SETTING_WAIT_SECONDS, 120);
    return (struct hsae_patience){
        .limit = seconds > 0 ? seconds + 10 * device->expected : INFINITY,
        .threads = device->info.type == HSAE_DEVICE_CPU || device->first_run > device->waited,
    };
}

static void warn_waiting(const struct hsae_device *device, const struct hsae_patience *patience)
{
    const char *id = device->info.id, *name = device->info.name;
    if (!patience->threads)
        hsae_log(device->context, HSAE_LOG_WARNING, "%s (%s): its work has not ended after %.0f s; it is given up after %.0f s", id, name,
                 patience->still, patience->limit);
    else if (patience->still >= patience->limit / 12)
        hsae_log(
            device->context, HSAE_LOG_WARNING,
            "%s (%s): its work has not ended, and no thread of this process has worked for %.0f s; it is given up after %.0f s of that", id,
            name, patience->still, patience->limit);
    else
        hsae_log(device->context, HSAE_LOG_WARNING,
                 "%s (%s): its work has not ended after %.0f s in which threads of this process were at work; it is given up after %.0f s",
                 id, name, patience->worked, hsae_patience_max_work(patience));
}

static hsae_status give_up(struct hsae_device *device, const struct hsae_patience *patience, enum hsae_patience_verdict verdict)
{
    bool circles = verdict == HSAE_PATIENCE_CIRCLES;
    device->lost = device->hung = true;
    return hsae_fail(
        device->context, HSAE_ERROR_DEVICE_LOST,
        "%s (%s): its work has not ended after %.0f s%s; it is given up as lost. Resume from a checkpoint, on another device or "
        "after a restart of this one; HSAE_WAIT_SECONDS sets how long is waited",
        device->info.id, device->info.name, circles ? patience->worked : patience->still,
        !patience->threads ? ""
        : circles          ? " in which threads of this process were at work"
                           : " in which no thread of this process has worked");
}

hsae_status hsae_device_await(struct hsae_device *device, uint64_t ticket)
{
    struct hsae_patience patience = new_patience(device);
    bool done = false;
    hsae_status status = HSAE_OK;
    while (!status && !done) {
        const double slice = hsae_patience_slice(&patience);
        status = device->ops->wait(device, ticket, slice, &done);
        if (status || done)
            break;
        enum hsae_patience_verdict verdict = hsae_patience_spend(&patience, slice, patience.threads ? hsae_os_others_seconds() : 0);
        if (verdict == HSAE_PATIENCE_WARN)
            warn_waiting(device, &patience);
        else if (verdict != HSAE_PATIENCE_WAIT)
            status = give_up(device, &patience, verdict);
    }
    return status;
}

hsae_status hsae_device_wait(struct hsae_device *device, uint64_t ticket)
{
    hsae_status status = check_device(device);
    if (status)
        return status;
    if (ticket > device->submitted)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: cannot wait for ticket %llu, the last one is %llu", device->info.id,
                         ULL(ticket), ULL(device->submitted));
    if (ticket && ticket <= device->waited)
        return HSAE_OK;
    status = hsae_device_await(device, ticket);
    if (status)
        return status;
    device->waited = ticket ? ticket : device->submitted;
    if (device->waited == device->submitted)
        device->expected = 0;
    return HSAE_OK;
}

uint32_t hsae_sequence_launches(const struct hsae_sequence *sequence)
{
    return sequence ? ((const struct hsae_sequence_base *)sequence)->launch_count : 0;
}

enum hsae_kernel hsae_sequence_kernel(const struct hsae_sequence *sequence, uint32_t launch)
{
    const struct hsae_sequence_base *base = (const struct hsae_sequence_base *)sequence;
    return base && base->recorded && launch < base->launch_count ? base->recorded[launch].kernel : HSAE_KERNEL_COUNT;
}

uint32_t hsae_sequence_submission(const struct hsae_sequence *sequence, uint32_t launch)
{
    const struct hsae_sequence_base *base = (const struct hsae_sequence_base *)sequence;
    return base && base->recorded && launch < base->launch_count ? base->recorded[launch].submission : 0;
}

hsae_status hsae_sequence_times(struct hsae_sequence *sequence, double *ns)
{
    if (!sequence)
        return HSAE_ERROR_ARGUMENT;
    struct hsae_sequence_base *base = sequence_base(sequence);
    hsae_status status = check_device(base->device);
    if (status)
        return status;
    if (!ns || !base->timed || !base->ticket || base->ticket > base->device->waited)
        return hsae_fail(base->device->context, HSAE_ERROR_ARGUMENT, "%s: no times of sequence %s: %s", base->device->info.id, base->label,
                         !ns            ? "nowhere to put them"
                         : !base->timed ? "it was not made to be timed"
                                        : "it was not submitted and waited for");
    return base->launch_count ? base->device->ops->sequence_times(sequence, ns) : HSAE_OK;
}

/* ---- devices ---- */

void hsae_device_close(hsae_device **device)
{
    if (!device || !*device)
        return;
    struct hsae_device *closing = *device;
    if (closing->buffers || closing->sequences)
        hsae_log(closing->context, HSAE_LOG_WARNING, "%s is closed with %llu buffers and %llu sequences alive", closing->info.id,
                 ULL(closing->buffers), ULL(closing->sequences));
    if (!closing->lost && closing->waited != closing->submitted)
        hsae_device_wait(closing, 0); /* with patience: drivers have none */
    if (closing->hung)
        hsae_abandon(closing);
    else
        closing->ops->close(closing);
    *device = NULL;
}

const hsae_device_info *hsae_device_get_info(const hsae_device *device)
{
    return device ? &device->info : NULL;
}
