/* SPDX-License-Identifier: MIT */
/* The front of buffers: checks of sizes and ranges, and how much memory is in use. */
#include "device.h"

#include "base/abandoned.h"
#include "front.h"

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
    if (kind == HSAE_BUFFER_DEVICE && !device->unlimited_memory && size > limits->memory_bytes - device->allocated_bytes)
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
static hsae_status wait_for(const struct hsae_buffer *buffer)
{
    const struct hsae_buffer_base *base = (const struct hsae_buffer_base *)buffer;
    bool idle = base->kind != HSAE_BUFFER_DEVICE || base->device->waited == base->device->submitted;
    return idle ? HSAE_OK : hsae_device_wait(base->device, 0);
}

hsae_status hsae_buffer_write(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, const void *data)
{
    hsae_status status = check_transfer(buffer, "write", offset, size, data);
    if (!status && size)
        status = wait_for(buffer);
    return status || !size ? status : buffer_base(buffer)->device->ops->buffer_write(buffer, offset, size, data);
}

hsae_status hsae_buffer_read(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data)
{
    hsae_status status = check_transfer(buffer, "read", offset, size, data);
    if (!status && size)
        status = wait_for(buffer);
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
