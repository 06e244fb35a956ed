/* SPDX-License-Identifier: MIT */
/* The OpenCL loader, found at run time: a library without it has no OpenCL devices and works. */
#ifndef HSAE_SRC_OPENCL_API_H
#define HSAE_SRC_OPENCL_API_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

/* X(name): every OpenCL function in use, without its prefix. */
#define HSAE_OPENCL_FUNCTIONS(X)  \
    X(BuildProgram)               \
    X(CreateBuffer)               \
    X(CreateCommandQueue)         \
    X(CreateContext)              \
    X(CreateKernel)               \
    X(CreateProgramWithBinary)    \
    X(CreateProgramWithSource)    \
    X(EnqueueBarrierWithWaitList) \
    X(EnqueueFillBuffer)          \
    X(EnqueueMapBuffer)           \
    X(EnqueueMarkerWithWaitList)  \
    X(EnqueueNDRangeKernel)       \
    X(EnqueueReadBuffer)          \
    X(EnqueueUnmapMemObject)      \
    X(EnqueueWriteBuffer)         \
    X(Finish)                     \
    X(Flush)                      \
    X(GetDeviceIDs)               \
    X(GetDeviceInfo)              \
    X(GetEventInfo)               \
    X(GetEventProfilingInfo)      \
    X(GetKernelWorkGroupInfo)     \
    X(GetPlatformIDs)             \
    X(GetPlatformInfo)            \
    X(GetProgramBuildInfo)        \
    X(GetProgramInfo)             \
    X(ReleaseCommandQueue)        \
    X(ReleaseContext)             \
    X(ReleaseEvent)               \
    X(ReleaseKernel)              \
    X(ReleaseMemObject)           \
    X(ReleaseProgram)             \
    X(SetKernelArg)               \
    X(WaitForEvents)

struct opencl_api {
#define HSAE_OPENCL_MEMBER(name) __typeof__(cl##name) *name;
    HSAE_OPENCL_FUNCTIONS(HSAE_OPENCL_MEMBER)
#undef HSAE_OPENCL_MEMBER
};

/* The loader's functions; NULL: there is no loader, or one too old. Loaded once and kept until the process ends; any thread. */
const struct opencl_api *hsae_opencl_api(void);

/* "CL_OUT_OF_RESOURCES" or "error -9999". Static or in `buffer`. */
const char *hsae_opencl_error_name(cl_int error, char buffer[24]);

#endif
