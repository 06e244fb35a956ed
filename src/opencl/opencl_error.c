/* SPDX-License-Identifier: MIT */
#include "opencl_device.h"

hsae_status hsae_opencl_status(struct opencl_device *device, cl_int error)
{
    switch (error) {
    case CL_SUCCESS:
        return HSAE_OK;
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_OUT_OF_RESOURCES:
        return HSAE_ERROR_DEVICE_MEMORY;
    case CL_OUT_OF_HOST_MEMORY:
        return HSAE_ERROR_MEMORY;
    case CL_DEVICE_NOT_AVAILABLE:
    case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST:
    case CL_INVALID_COMMAND_QUEUE: /* NVIDIA, after a fault */
    case -9999:                    /* NVIDIA: illegal access by a kernel */
        device->base.lost = true;
        return HSAE_ERROR_DEVICE_LOST;
    default:
        return HSAE_ERROR_DRIVER;
    }
}

hsae_status hsae_opencl_fail(struct opencl_device *device, cl_int error, const char *what, const char *label)
{
    char name[24];
    return hsae_fail(device->base.context, hsae_opencl_status(device, error), "%s: %s %s: %s", device->base.info.id, what, label,
                     hsae_opencl_error_name(error, name));
}
