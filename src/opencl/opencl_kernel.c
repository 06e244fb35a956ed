/* SPDX-License-Identifier: MIT */
/* Programs: one for each kernel and shape, built from source once and kept as a binary in the blob cache. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/quirks.h"
#include "kernels/code.h"
#include "opencl_device.h"

enum { BUILD_LOG_BYTES = 2000 };

/* One work-item a group is how CPU devices run. */
static const char *body_of(enum hsae_kernel kernel, const struct hsae_kernel_shape *shape)
{
    return shape->group_size == 1 && hsae_opencl_cpu_code[kernel] ? hsae_opencl_cpu_code[kernel] : hsae_opencl_code[kernel];
}

/* What a binary depends on, as one text. NULL: out of memory. */
static char *binary_key(const struct opencl_device *device, const char *body, const char *options)
{
    const char *parts[] = {device->identity, options, hsae_opencl_prelude, body};
    size_t size = 1, used = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        size += strlen(parts[i]) + 1;
    char *key = malloc(size);
    for (size_t i = 0; key && i < sizeof parts / sizeof *parts; i++)
        used += (size_t)snprintf(key + used, size - used, "%s\n", parts[i]);
    return key;
}

/* Builds the cached binary; NULL where there is none or the driver refuses it. */
static cl_program build_cached(struct opencl_device *device, const char *key, const char *options)
{
    const struct opencl_api *cl = device->cl;
    void *data;
    size_t size;
    cl_int error, binary_error;
    hsae_cache_read(device->base.context, "opencl", key, strlen(key), &data, &size);
    if (!data)
        return NULL;
    const unsigned char *binary = data;
    cl_program program = cl->CreateProgramWithBinary(device->context, 1, &device->id, &size, &binary, &binary_error, &error);
    if (program && cl->BuildProgram(program, 1, &device->id, options, NULL, NULL)) {
        cl->ReleaseProgram(program);
        program = NULL;
    }
    free(data);
    return program;
}

static void keep_binary(struct opencl_device *device, cl_program program, const char *key)
{
    const struct opencl_api *cl = device->cl;
    size_t size = 0;
    if (cl->GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) || !size)
        return;
    unsigned char *binary = malloc(size);
    if (binary && !cl->GetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL))
        hsae_cache_write(device->base.context, "opencl", key, strlen(key), binary, size);
    free(binary);
}

static hsae_status fail_build(struct opencl_device *device, cl_program program, const char *name, const char *options, cl_int error)
{
    size_t size = 0;
    char *log = NULL, code[24];
    if (!device->cl->GetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size))
        log = calloc(1, size + 1);
    if (log)
        device->cl->GetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    hsae_status status = hsae_opencl_status(device, error);
    hsae_fail(device->base.context, status, "%s: the driver (%s) cannot build kernel %s (%s): %s: %.*s", device->base.info.id,
              device->base.info.driver, name, options, hsae_opencl_error_name(error, code), BUILD_LOG_BYTES, log ? log : "no build log");
    free(log);
    return status;
}

static hsae_status build(struct opencl_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape, cl_program *out)
{
    const struct opencl_api *cl = device->cl;
    const char *text[] = {hsae_opencl_prelude, body_of(kernel, shape)}, *name = hsae_kernels[kernel].name;
    hsae_status status = HSAE_OK;
    cl_program program = NULL;
    int lock = -1;
    char options[256];
    snprintf(options, sizeof options,
             "-cl-std=CL1.2 -DWG=%u -DCOLS=%u -DRANGES=%u -DVW=%u -DTILE_VECTORS=%u -DTILE_WORDS=%u -DTILE_STEP=%u -DTILE_PAD=%u "
             "-DTILE_PREFETCH=%u%s",
             shape->group_size, shape->columns, shape->ranges, shape->vector_width, shape->tile_vectors, shape->tile_words,
             shape->tile_step, shape->tile_pad, shape->tile_prefetch, hsae_has_vnni(&device->base.info) ? " -DVNNI" : "");
    char *key = binary_key(device, text[1], options);
    bool binaries = !(device->base.quirks & HSAE_QUIRK_NO_BINARIES);
    if (!key)
        return hsae_fail(device->base.context, HSAE_ERROR_MEMORY, "out of memory for kernel %s", name);
    program = binaries ? build_cached(device, key, options) : NULL;
    if (!program && binaries) {
        lock = hsae_cache_lock(device->base.context);
        program = build_cached(device, key, options);
    }
    if (!program) {
        cl_int error;
        program = cl->CreateProgramWithSource(device->context, 2, text, NULL, &error);
        if (error) {
            status = hsae_opencl_fail(device, error, "cannot make kernel", name);
            goto end;
        }
        error = cl->BuildProgram(program, 1, &device->id, options, NULL, NULL);
        if (error) {
            status = fail_build(device, program, name, options, error);
            goto end;
        }
        if (binaries)
            keep_binary(device, program, key);
    }
    *out = program;
    program = NULL;
end:
    hsae_cache_unlock(lock);
    if (program)
        cl->ReleaseProgram(program);
    free(key);
    return status;
}

static hsae_status find_program(struct opencl_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape,
                                cl_program *out)
{
    for (size_t i = 0; i < device->program_count; i++) {
        const struct opencl_program *known = &device->programs[i];
        if (known->kernel == kernel && !memcmp(&known->shape, shape, sizeof *shape)) {
            *out = known->program;
            return HSAE_OK;
        }
    }
    struct opencl_program *grown = realloc(device->programs, (device->program_count + 1) * sizeof *grown);
    if (!grown)
        return hsae_fail(device->base.context, HSAE_ERROR_MEMORY, "out of memory for kernel %s", hsae_kernels[kernel].name);
    device->programs = grown;
    hsae_status status = build(device, kernel, shape, out);
    if (!status)
        grown[device->program_count++] = (struct opencl_program){kernel, *shape, *out};
    return status;
}

/* What the compiled kernel needs, against what the device has. */
static hsae_status check_needs(struct opencl_device *device, cl_kernel kernel, const char *name, uint32_t group_size)
{
    const struct opencl_api *cl = device->cl;
    const hsae_limits *limits = &device->base.info.limits;
    size_t allowed = 0;
    cl_ulong local = 0;
    cl_int error = cl->GetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof allowed, &allowed, NULL);
    if (!error)
        error = cl->GetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    if (error)
        return hsae_opencl_fail(device, error, "cannot ask about kernel", name);
    if (group_size > allowed || local > limits->max_local_bytes)
        return hsae_fail(
            device->base.context, HSAE_ERROR_LIMIT,
            "%s: kernel %s as compiled has %u work-items and %llu bytes of local memory in a group, the device allows it %zu and "
            "%u; use HSAE_TUNING=off or another device",
            device->base.info.id, name, group_size, (unsigned long long)local, allowed, limits->max_local_bytes);
    return HSAE_OK;
}

hsae_status hsae_opencl_kernel(struct opencl_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape, cl_kernel *out)
{
    const char *name = hsae_kernels[kernel].name;
    cl_program program = NULL;
    hsae_status status = find_program(device, kernel, shape, &program);
    if (status)
        return status;
    cl_int error;
    *out = device->cl->CreateKernel(program, name, &error);
    if (error)
        return hsae_opencl_fail(device, error, "cannot make kernel", name);
    status = check_needs(device, *out, name, shape->group_size);
    if (status)
        device->cl->ReleaseKernel(*out);
    return status;
}

uint32_t hsae_opencl_kernel_items(struct hsae_device *base, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape)
{
    struct opencl_device *device = opencl_device(base);
    const struct opencl_api *cl = device->cl;
    cl_program program = NULL;
    cl_int error;
    size_t allowed = 0;
    if (find_program(device, kernel, shape, &program))
        return 0;
    cl_kernel made = cl->CreateKernel(program, hsae_kernels[kernel].name, &error);
    if (error)
        return 0;
    error = cl->GetKernelWorkGroupInfo(made, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof allowed, &allowed, NULL);
    cl->ReleaseKernel(made);
    return error || allowed > UINT32_MAX ? 0 : (uint32_t)allowed;
}

void hsae_opencl_free_programs(struct opencl_device *device)
{
    for (size_t i = 0; i < device->program_count; i++)
        device->cl->ReleaseProgram(device->programs[i].program);
    free(device->programs);
    device->programs = NULL;
    device->program_count = 0;
}
