/* SPDX-License-Identifier: MIT */
/* libOpenCL.so.1 between the library and the real loader: any call that gives an error can be made to fail, and a kernel to be
 * compiled wrong (faults.h). */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#define LOADER "OpenCL"
#include "faults.h"

enum { MAX_QUEUES = 64 };
static cl_command_queue queues[MAX_QUEUES];
static atomic_int queue_count;

static cl_int error(void)
{
    static const cl_int errors[] = {CL_DEVICE_NOT_AVAILABLE, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_HOST_MEMORY,
                                    CL_BUILD_PROGRAM_FAILURE};
    return errors[fault_kind];
}

#define REAL(name)              \
    __typeof__(cl##name) *real; \
    find("cl" #name, &real, sizeof real)
#define FAULT(name, builds, parameters, arguments)       \
    cl_int cl##name parameters                           \
    {                                                    \
        REAL(name);                                      \
        return fails(builds) ? error() : real arguments; \
    }
/* The last argument is where the error goes. */
#define FAULT_OBJECT(type, name, builds, parameters, arguments) \
    type cl##name parameters                                    \
    {                                                           \
        REAL(name);                                             \
        if (!fails(builds))                                     \
            return real arguments;                              \
        if (e)                                                  \
            *e = error();                                       \
        return NULL;                                            \
    }
#define PASS(name, parameters, arguments) \
    cl_int cl##name parameters            \
    {                                     \
        REAL(name);                       \
        return real arguments;            \
    }
#define WAITS cl_uint c, const cl_event *w, cl_event *v

static void drain(void)
{
    REAL(Finish);
    for (int k = 0; k < atomic_load(&queue_count) && k < MAX_QUEUES; k++)
        real(queues[k]);
}

cl_command_queue clCreateCommandQueue(cl_context x, cl_device_id d, cl_command_queue_properties p, cl_int *e)
{
    REAL(CreateCommandQueue);
    if (fails(false)) {
        *e = error();
        return NULL;
    }
    cl_command_queue queue = real(x, d, p, e);
    int at = queue ? atomic_fetch_add(&queue_count, 1) : MAX_QUEUES;
    if (at < MAX_QUEUES)
        queues[at] = queue;
    return queue;
}

/* A queue that is gone is not drained. */
cl_int clReleaseCommandQueue(cl_command_queue q)
{
    REAL(ReleaseCommandQueue);
    for (int k = 0; k < atomic_load(&queue_count) && k < MAX_QUEUES; k++)
        if (queues[k] == q) {
            queues[k] = queues[atomic_fetch_sub(&queue_count, 1) - 1];
            break;
        }
    return real(q);
}

cl_program clCreateProgramWithSource(cl_context x, cl_uint n, const char **s, const size_t *l, cl_int *e)
{
    enum { MAX_TEXTS = 8 };
    REAL(CreateProgramWithSource);
    if (fails(true)) {
        *e = error();
        return NULL;
    }
    if (!miscompiles())
        return real(x, n, s, l, e);
    /* Behind the dialect (src/kernels/dialect.h), the first text. */
    const char *texts[MAX_TEXTS + 1] = {s[0], "#undef fma_vf\n#undef fma_f32\n#define fma_vf(a, b, c) fma(a, b, a)\n"
                                              "#define fma_f32(a, b, c) fma(a, b, a)\n"};
    if (n > MAX_TEXTS || l)
        abort();
    memcpy(texts + 2, s + 1, (n - 1) * sizeof *s);
    return real(x, n + 1, texts, NULL, e);
}

/* What is asked for is this value. */
static cl_int answer(const void *value, size_t size, size_t room, void *out, size_t *out_size)
{
    if (out_size)
        *out_size = size;
    if (out && room < size)
        return CL_INVALID_VALUE;
    if (out)
        memcpy(out, value, size);
    return CL_SUCCESS;
}

static cl_int small(cl_device_id d, cl_device_info i, size_t s, void *v, size_t *r)
{
    static const size_t items = SMALL_ITEMS, widths[3] = {SMALL_ITEMS_X, SMALL_ITEMS_X, SMALL_ITEMS_X},
                        parameters = SMALL_ARGUMENTS + SMALL_BINDINGS * sizeof(void *);
    static const cl_ulong memory = SMALL_MEMORY, buffer = SMALL_BUFFER, local = SMALL_LOCAL;
    REAL(GetDeviceInfo);
    switch (i) {
    case CL_DEVICE_GLOBAL_MEM_SIZE:
        return answer(&memory, sizeof memory, s, v, r);
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
        return answer(&buffer, sizeof buffer, s, v, r);
    case CL_DEVICE_LOCAL_MEM_SIZE:
        return answer(&local, sizeof local, s, v, r);
    case CL_DEVICE_MAX_PARAMETER_SIZE:
        return answer(&parameters, sizeof parameters, s, v, r);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
        return answer(&items, sizeof items, s, v, r);
    case CL_DEVICE_MAX_WORK_ITEM_SIZES:
        return answer(widths, sizeof widths, s, v, r);
    default:
        return real(d, i, s, v, r);
    }
}

cl_int clGetDeviceInfo(cl_device_id d, cl_device_info i, size_t s, void *v, size_t *r)
{
    static const char name[] = "Apple M1";
    static const cl_device_type type = CL_DEVICE_TYPE_GPU;
    REAL(GetDeviceInfo);
    if (fails(false))
        return error();
    if (fault_kind == APPLE && i == CL_DEVICE_NAME)
        return answer(name, sizeof name, s, v, r);
    if (fault_kind == APPLE && i == CL_DEVICE_TYPE)
        return answer(&type, sizeof type, s, v, r);
    return counts && fault_kind == SMALL ? small(d, i, s, v, r) : real(d, i, s, v, r);
}

cl_int clGetPlatformInfo(cl_platform_id p, cl_platform_info i, size_t s, void *v, size_t *r)
{
    static const char name[] = "rusticl";
    REAL(GetPlatformInfo);
    if (fails(false))
        return error();
    return fault_kind == RUSTICL && i == CL_PLATFORM_NAME ? answer(name, sizeof name, s, v, r) : real(p, i, s, v, r);
}

cl_int clGetEventProfilingInfo(cl_event v, cl_profiling_info i, size_t s, void *p, size_t *r)
{
    static const cl_ulong start = 1000, end = 1001;
    REAL(GetEventProfilingInfo);
    if (fails(false))
        return error();
    return fault_kind == RUSTICL ? answer(i == CL_PROFILING_COMMAND_END ? &end : &start, sizeof start, s, p, r) : real(v, i, s, p, r);
}

/* How often an event is asked for depends on the machine: only the first time counts as a call. */
cl_int clGetEventInfo(cl_event v, cl_event_info i, size_t s, void *p, size_t *r)
{
    static _Atomic(cl_event) last;
    REAL(GetEventInfo);
    return atomic_exchange(&last, v) != v && fails(false) ? error() : real(v, i, s, p, r);
}

cl_mem clCreateBuffer(cl_context x, cl_mem_flags f, size_t s, void *h, cl_int *e)
{
    REAL(CreateBuffer);
    bool large = counts && fault_kind == SMALL && s > SMALL_BUFFER;
    if (!large && !fails(false))
        return real(x, f, s, h, e);
    *e = large ? CL_INVALID_BUFFER_SIZE : error();
    return NULL;
}

static bool is_meant(cl_kernel k)
{
    char name[64] = "";
    REAL(GetKernelInfo);
    return !*fault_kernel || (real(k, CL_KERNEL_FUNCTION_NAME, sizeof name, name, NULL) == CL_SUCCESS && strcmp(name, fault_kernel) == 0);
}

cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint n, const size_t *o, const size_t *g, const size_t *l, WAITS)
{
    REAL(EnqueueNDRangeKernel);
    if (counts && fault_kind == SMALL && (!l || *l > SMALL_ITEMS_X))
        return CL_INVALID_WORK_GROUP_SIZE;
    uint64_t groups = 1;
    for (cl_uint axis = 0; axis < n && l; axis++)
        groups *= g[axis] / l[axis];
    if (drops(groups) && is_meant(k))
        g = l;
    return fails(false) ? error() : real(q, k, n, o, g, l, c, w, v);
}

typedef void(CL_CALLBACK *build_done)(cl_program, void *);
typedef void(CL_CALLBACK *context_error)(const char *, const void *, size_t, void *);

FAULT(BuildProgram, true, (cl_program p, cl_uint n, const cl_device_id *d, const char *o, build_done f, void *u), (p, n, d, o, f, u))
FAULT_OBJECT(cl_context, CreateContext, false,
             (const cl_context_properties *p, cl_uint n, const cl_device_id *d, context_error f, void *u, cl_int *e), (p, n, d, f, u, e))
FAULT_OBJECT(cl_kernel, CreateKernel, false, (cl_program p, const char *n, cl_int *e), (p, n, e))
FAULT_OBJECT(cl_program, CreateProgramWithBinary, true,
             (cl_context x, cl_uint n, const cl_device_id *d, const size_t *l, const unsigned char **b, cl_int *s, cl_int *e),
             (x, n, d, l, b, s, e))
FAULT(EnqueueBarrierWithWaitList, false, (cl_command_queue q, WAITS), (q, c, w, v))
FAULT(EnqueueFillBuffer, false, (cl_command_queue q, cl_mem m, const void *p, size_t n, size_t o, size_t s, WAITS),
      (q, m, p, n, o, s, c, w, v))
FAULT_OBJECT(void *, EnqueueMapBuffer, false,
             (cl_command_queue q, cl_mem m, cl_bool b, cl_map_flags f, size_t o, size_t s, WAITS, cl_int *e),
             (q, m, b, f, o, s, c, w, v, e))
FAULT(EnqueueMarkerWithWaitList, false, (cl_command_queue q, WAITS), (q, c, w, v))
FAULT(EnqueueReadBuffer, false, (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, void *p, WAITS), (q, m, b, o, s, p, c, w, v))
FAULT(EnqueueUnmapMemObject, false, (cl_command_queue q, cl_mem m, void *p, WAITS), (q, m, p, c, w, v))
FAULT(EnqueueWriteBuffer, false, (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, const void *p, WAITS),
      (q, m, b, o, s, p, c, w, v))
FAULT(Finish, false, (cl_command_queue q), (q))
FAULT(Flush, false, (cl_command_queue q), (q))
cl_int clGetDeviceIDs(cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id *d, cl_uint *c)
{
    REAL(GetDeviceIDs);
    if (counts && fault_kind == ABSENT)
        return CL_DEVICE_NOT_FOUND;
    return fails(false) ? error() : real(p, t, n, d, c);
}
FAULT(GetKernelWorkGroupInfo, false, (cl_kernel k, cl_device_id d, cl_kernel_work_group_info i, size_t s, void *v, size_t *r),
      (k, d, i, s, v, r))
FAULT(GetPlatformIDs, false, (cl_uint n, cl_platform_id *p, cl_uint *c), (n, p, c))
FAULT(GetProgramBuildInfo, false, (cl_program p, cl_device_id d, cl_program_build_info i, size_t s, void *v, size_t *r), (p, d, i, s, v, r))
FAULT(GetProgramInfo, false, (cl_program p, cl_program_info i, size_t s, void *v, size_t *r), (p, i, s, v, r))
FAULT(SetKernelArg, false, (cl_kernel k, cl_uint i, size_t s, const void *v), (k, i, s, v))
FAULT(WaitForEvents, false, (cl_uint n, const cl_event *v), (n, v))
PASS(ReleaseContext, (cl_context x), (x))
PASS(ReleaseEvent, (cl_event v), (v))
PASS(ReleaseKernel, (cl_kernel k), (k))
PASS(ReleaseMemObject, (cl_mem m), (m))
PASS(ReleaseProgram, (cl_program p), (p))
