/* SPDX-License-Identifier: MIT */
#include "opencl_device.h"

#include <stdlib.h>

/* Memory of our own for a large buffer of a CPU device, on huge pages where the system has them: rows are gathered from all over a tensor,
 * which costs a miss of the translation buffer each with small ones (update takes an eighth longer). NULL: the driver allocates. */
static void *host_memory(const struct opencl_device *device, uint64_t size)
{
    const uint64_t page = 2 << 20;
    if (device->base.info.type != HSAE_DEVICE_CPU || size < 4 * page)
        return NULL;
    return hsae_os_pages(page, size);
}

hsae_status hsae_opencl_buffer_create(struct hsae_device *base, uint64_t size, enum hsae_buffer_kind kind, const char *label,
                                      struct hsae_buffer **out)
{
    struct opencl_device *device = opencl_device(base);
    const struct opencl_api *cl = device->cl;
    struct hsae_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer)
        return hsae_fail(base->context, HSAE_ERROR_MEMORY, "%s: out of host memory for buffer %s", base->info.id, label);
    /* Drivers allocate late: filling it now, and waiting for that, finds out whether there is memory. */
    const cl_uint zero = 0;
    cl_mem_flags flags = CL_MEM_READ_WRITE;
    cl_int error;
    buffer->host = host_memory(device, size);
    if (buffer->host)
        flags |= CL_MEM_USE_HOST_PTR;
    else if (kind == HSAE_BUFFER_STAGING)
        flags |= CL_MEM_ALLOC_HOST_PTR;
    buffer->memory = cl->CreateBuffer(device->context, flags, size, buffer->host, &error);
    if (!error)
        error = cl->EnqueueFillBuffer(device->transfer, buffer->memory, &zero, sizeof zero, 0, size, 0, NULL, NULL);
    if (!error)
        error = cl->Finish(device->transfer);
    if (error) {
        hsae_status status = hsae_opencl_status(device, error);
        if (status != HSAE_ERROR_DEVICE_MEMORY)
            hsae_opencl_fail(device, error, "cannot make buffer", label);
        buffer->base.device = base;
        hsae_opencl_buffer_destroy(buffer);
        return status;
    }
    *out = buffer;
    return HSAE_OK;
}

void hsae_opencl_buffer_destroy(struct hsae_buffer *buffer)
{
    if (buffer->memory)
        opencl_device(buffer->base.device)->cl->ReleaseMemObject(buffer->memory);
    hsae_os_pages_free(buffer->host);
    free(buffer);
}

static cl_command_queue queue_of(const struct hsae_buffer *buffer)
{
    const struct opencl_device *device = opencl_device(buffer->base.device);
    return buffer->base.kind == HSAE_BUFFER_STAGING ? device->transfer : device->queue;
}

hsae_status hsae_opencl_buffer_write(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, const void *data)
{
    struct opencl_device *device = opencl_device(buffer->base.device);
    cl_int error = device->cl->EnqueueWriteBuffer(queue_of(buffer), buffer->memory, CL_TRUE, offset, size, data, 0, NULL, NULL);
    if (!error) /* Intel's CPU runtime comes back before kernels on the other queue see the bytes */
        error = device->cl->Finish(queue_of(buffer));
    return error ? hsae_opencl_fail(device, error, "cannot write buffer", buffer->base.label) : HSAE_OK;
}

hsae_status hsae_opencl_buffer_read(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data)
{
    struct opencl_device *device = opencl_device(buffer->base.device);
    cl_int error = device->cl->EnqueueReadBuffer(queue_of(buffer), buffer->memory, CL_TRUE, offset, size, data, 0, NULL, NULL);
    return error ? hsae_opencl_fail(device, error, "cannot read buffer", buffer->base.label) : HSAE_OK;
}

hsae_status hsae_opencl_buffer_map(struct hsae_buffer *buffer, void **data)
{
    struct opencl_device *device = opencl_device(buffer->base.device);
    cl_int error;
    buffer->mapped = device->cl->EnqueueMapBuffer(queue_of(buffer), buffer->memory, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0,
                                                  buffer->base.size, 0, NULL, NULL, &error);
    *data = buffer->mapped;
    return error ? hsae_opencl_fail(device, error, "cannot map buffer", buffer->base.label) : HSAE_OK;
}

hsae_status hsae_opencl_buffer_unmap(struct hsae_buffer *buffer)
{
    struct opencl_device *device = opencl_device(buffer->base.device);
    cl_int error = device->cl->EnqueueUnmapMemObject(queue_of(buffer), buffer->memory, buffer->mapped, 0, NULL, NULL);
    if (!error)
        error = device->cl->Finish(queue_of(buffer));
    return error ? hsae_opencl_fail(device, error, "cannot unmap buffer", buffer->base.label) : HSAE_OK;
}
