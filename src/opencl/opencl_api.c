/* SPDX-License-Identifier: MIT */
#include "opencl_api.h"
#include "base/os.h"

#include <stdbool.h>
#include <stdio.h>

static struct opencl_api api;
static bool loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    /* Never closed: drivers keep threads and exit handlers. */
    void *library = hsae_os_library_open(HSAE_OS_OPENCL);
    loaded = library;
#define LOAD(name) loaded = loaded && (*(void **)&api.name = hsae_os_library_symbol(library, "cl" #name));
    HSAE_OPENCL_FUNCTIONS(LOAD)
}

const struct opencl_api *hsae_opencl_api(void)
{
    pthread_once(&once, load);
    return loaded ? &api : NULL;
}

const char *hsae_opencl_error_name(cl_int error, char buffer[24])
{
#define ERROR_CASE(name) \
    case name:           \
        return #name;
    switch (error) {
        ERROR_CASE(CL_BUILD_PROGRAM_FAILURE)
        ERROR_CASE(CL_COMPILER_NOT_AVAILABLE)
        ERROR_CASE(CL_DEVICE_NOT_AVAILABLE)
        ERROR_CASE(CL_DEVICE_NOT_FOUND)
        ERROR_CASE(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST)
        ERROR_CASE(CL_INVALID_ARG_SIZE)
        ERROR_CASE(CL_INVALID_BINARY)
        ERROR_CASE(CL_INVALID_BUFFER_SIZE)
        ERROR_CASE(CL_INVALID_BUILD_OPTIONS)
        ERROR_CASE(CL_INVALID_COMMAND_QUEUE)
        ERROR_CASE(CL_INVALID_CONTEXT)
        ERROR_CASE(CL_INVALID_KERNEL)
        ERROR_CASE(CL_INVALID_KERNEL_ARGS)
        ERROR_CASE(CL_INVALID_KERNEL_NAME)
        ERROR_CASE(CL_INVALID_VALUE)
        ERROR_CASE(CL_INVALID_WORK_GROUP_SIZE)
        ERROR_CASE(CL_MEM_OBJECT_ALLOCATION_FAILURE)
        ERROR_CASE(CL_OUT_OF_HOST_MEMORY)
        ERROR_CASE(CL_OUT_OF_RESOURCES)
        ERROR_CASE(CL_PROFILING_INFO_NOT_AVAILABLE)
    }
    snprintf(buffer, 24, "error %d", (int)error);
    return buffer;
}
