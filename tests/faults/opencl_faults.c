/* To be preloaded: with HSAE_FAULT="N ERROR" the N-th (from 1) and all later OpenCL calls that give the device work, wait for it or take
 * memory from it return this error, as those of a device that was lost do. */
#define _GNU_SOURCE
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int at, error;
static atomic_int calls;

__attribute__((constructor)) static void read_fault(void)
{
    const char *text = getenv("HSAE_FAULT");
    if (text && sscanf(text, "%d %d", &at, &error) != 2)
        abort();
}

static bool fails(void)
{
    return at && atomic_fetch_add(&calls, 1) + 1 >= at;
}

#define FAULT(name, parameters, arguments)              \
    static __typeof__(cl##name) *real_##name;           \
    static cl_int name parameters                       \
    {                                                   \
        return fails() ? error : real_##name arguments; \
    }
FAULT(EnqueueNDRangeKernel,
      (cl_command_queue q, cl_kernel k, cl_uint n, const size_t *o, const size_t *g, const size_t *l, cl_uint c, const cl_event *w,
       cl_event *e),
      (q, k, n, o, g, l, c, w, e))
FAULT(EnqueueReadBuffer, (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, void *p, cl_uint c, const cl_event *w, cl_event *e),
      (q, m, b, o, s, p, c, w, e))
FAULT(EnqueueWriteBuffer,
      (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, const void *p, cl_uint c, const cl_event *w, cl_event *e),
      (q, m, b, o, s, p, c, w, e))
FAULT(Finish, (cl_command_queue q), (q))
FAULT(WaitForEvents, (cl_uint n, const cl_event *e), (n, e))

static cl_mem (*real_CreateBuffer)(cl_context, cl_mem_flags, size_t, void *, cl_int *);
static cl_mem CreateBuffer(cl_context c, cl_mem_flags f, size_t s, void *p, cl_int *e)
{
    if (!fails())
        return real_CreateBuffer(c, f, s, p, e);
    if (e)
        *e = error;
    return NULL;
}

/* The library asks for its functions by name. */
void *dlsym(void *library, const char *name)
{
    static void *(*real)(void *, const char *);
    if (!real)
        *(void **)&real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    void *symbol = real(library, name);
#define WRAPPED(function)                             \
    if (symbol && !strcmp(name, "cl" #function)) {    \
        __typeof__(cl##function) *wrapper = function; \
        *(void **)&real_##function = symbol;          \
        memcpy(&symbol, &wrapper, sizeof symbol);     \
    }
    WRAPPED(EnqueueNDRangeKernel)
    WRAPPED(EnqueueReadBuffer)
    WRAPPED(EnqueueWriteBuffer)
    WRAPPED(Finish)
    WRAPPED(WaitForEvents)
    WRAPPED(CreateBuffer)
    return symbol;
}
