/* SPDX-License-Identifier: MIT */
/* Dense products by CLBlast, found at run time. Its kernels are shaped for GPUs: a CPU device uses this library's own (HSAE_CLBLAST=1
 * forces CLBlast there, HSAE_CLBLAST=0 does without it everywhere). Chosen by the kind of device, not by a clock, so that a run can be
 * repeated. */
#include "opencl_device.h"

#ifdef HSAE_HAVE_CLBLAST

#include <clblast_c.h>
#include <stdlib.h>

static __typeof__(CLBlastSgemm) *sgemm;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    void *library = hsae_os_library_open(HSAE_OS_CLBLAST); /* never closed, like the drivers it keeps handles of */
    if (library)
        *(void **)&sgemm = hsae_os_library_symbol(library, "CLBlastSgemm");
}

bool hsae_opencl_has_gemm(const struct opencl_device *device)
{
    const char *wish = hsae_setting_text(device->base.context, HSAE_SETTING_CLBLAST);
    if (*wish ? *wish != '1' : device->base.info.type == HSAE_DEVICE_CPU)
        return false;
    pthread_once(&once, load);
    return sgemm != NULL;
}

cl_int hsae_opencl_gemm(const struct hsae_gemm *p, cl_command_queue queue, cl_event *event)
{
    CLBlastStatusCode code = sgemm(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, p->rows, p->columns, p->depth, 1,
                                   p->a->memory, 0, p->lda, p->b->memory, 0, p->ldb, 0, p->c->memory, 0, p->ldc, &queue, event);
    return (cl_int)code; /* OpenCL's own codes keep their numbers; CLBlast's are below -1000 */
}

#else

bool hsae_opencl_has_gemm(const struct opencl_device *device)
{
    (void)device;
    return false;
}

cl_int hsae_opencl_gemm(const struct hsae_gemm *product, cl_command_queue queue, cl_event *event)
{
    (void)product, (void)queue, (void)event;
    return CL_INVALID_OPERATION;
}

#endif
