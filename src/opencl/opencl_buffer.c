#include <stdlib.h>

#include "opencl/opencl.h"

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
    cl_mem_flags flags = CL_MEM_READ_WRITE | (kind == HSAE_BUFFER_STAGING ? CL_MEM_ALLOC_HOST_PTR : 0);
    cl_int error;
    buffer->memory = cl->CreateBuffer(device->context, flags, size, NULL, &error);
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
    return error ? hsae_opencl_fail(device, error, "cannot write buffer", buffer->base.label) : HSAE_OK;
}

hsae_status hsae_opencl_buffer_read(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data)
{
    struct opencl_device *device = opencl_device(buffer->base.device);
    cl_int error = device->cl->EnqueueReadBuffer(queue_of(buffer), buffer->memory, CL_TRUE, offset, size, data, 0, NULL, NULL);
    return error ? hsae_opencl_fail(device, error, "cannot read buffer", buffer->base.label) : HSAE_OK;
}
