/* SPDX-License-Identifier: MIT */
/* OpenCL platforms and devices: enumeration, opening, closing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/drivers.h"
#include "opencl_device.h"

/* ---- enumeration ---- */

struct found_device {
    cl_platform_id platform;
    cl_device_id id;
};

/* A device's text; "" where the driver has none. */
static void device_text(const struct opencl_api *cl, cl_device_id id, cl_device_info what, char *text, size_t capacity)
{
    char full[1024] = "";
    if (cl->GetDeviceInfo(id, what, sizeof full - 1, full, NULL))
        full[0] = 0;
    snprintf(text, capacity, "%s", full + strspn(full, " "));
}

static void platform_text(const struct opencl_api *cl, cl_platform_id id, cl_platform_info what, char *text, size_t capacity)
{
    char full[1024] = "";
    if (cl->GetPlatformInfo(id, what, sizeof full - 1, full, NULL))
        full[0] = 0;
    snprintf(text, capacity, "%s", full);
}

/* A device's number, of 4 or 8 bytes; 0 and *error where the driver has none. */
static uint64_t device_number(const struct opencl_api *cl, cl_device_id id, cl_device_info what, cl_int *error)
{
    unsigned char bytes[sizeof(cl_ulong)] = {0};
    cl_ulong wide;
    cl_uint narrow;
    size_t size = 0;
    cl_int failed = cl->GetDeviceInfo(id, what, sizeof bytes, bytes, &size);
    if (failed || (size != sizeof wide && size != sizeof narrow)) {
        *error = failed ? failed : CL_INVALID_VALUE;
        return 0;
    }
    memcpy(&wide, bytes, sizeof wide);
    memcpy(&narrow, bytes, sizeof narrow);
    return size == sizeof wide ? wide : narrow;
}

/* Why no kernels can be built for the device or run on it; NULL: they can. */
static const char *why_unusable(const struct opencl_api *cl, cl_device_id id)
{
    int major = 0, minor = 0;
    char version[64];
    cl_int ignored, *error = &ignored;
    device_text(cl, id, CL_DEVICE_VERSION, version, sizeof version);
    if (sscanf(version, "OpenCL %d.%d", &major, &minor) != 2 || 10 * major + minor < 12)
        return "its driver is older than OpenCL 1.2";
    if (!device_number(cl, id, CL_DEVICE_AVAILABLE, error))
        return "its driver says that it is not available";
    if (!device_number(cl, id, CL_DEVICE_COMPILER_AVAILABLE, error))
        return "its driver has no compiler";
    return device_number(cl, id, CL_DEVICE_ENDIAN_LITTLE, error) ? NULL : "its numbers are big-endian";
}

/* Appends the usable devices of a platform. One without devices is common (Clover). */
static hsae_status find_on_platform(hsae_context *context, const struct opencl_api *cl, cl_platform_id platform, struct found_device **list,
                                    size_t *count)
{
    cl_uint ids_count = 0;
    cl_int error = cl->GetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &ids_count);
    if (error == CL_DEVICE_NOT_FOUND || (!error && !ids_count))
        return HSAE_OK;
    cl_device_id *ids = error ? NULL : malloc(ids_count * sizeof *ids);
    struct found_device *grown = ids ? realloc(*list, (*count + ids_count) * sizeof *grown) : NULL;
    if (!error && !grown) {
        free(ids);
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for the list of devices");
    }
    if (grown) {
        *list = grown;
        error = cl->GetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, ids_count, ids, NULL);
    }
    char name[256], code[24];
    if (error) {
        platform_text(cl, platform, CL_PLATFORM_NAME, name, sizeof name);
        hsae_log(context, HSAE_LOG_WARNING, "OpenCL platform %s is left out: %s", name, hsae_opencl_error_name(error, code));
    }
    for (cl_uint i = 0; i < ids_count && !error; i++)
        if (!why_unusable(cl, ids[i])) {
            grown[(*count)++] = (struct found_device){platform, ids[i]};
        } else {
            device_text(cl, ids[i], CL_DEVICE_NAME, name, sizeof name);
            hsae_log(context, HSAE_LOG_DEBUG, "OpenCL device %s is left out: %s", name, why_unusable(cl, ids[i]));
        }
    free(ids);
    return HSAE_OK;
}

/* Every usable device, in the loader's order. *list is malloc'd, NULL where there is none. */
static hsae_status find_devices(hsae_context *context, struct found_device **list, size_t *count)
{
    const struct opencl_api *cl = hsae_opencl_api();
    cl_uint platform_count = 0;
    *list = NULL;
    *count = 0;
    if (!cl) {
        hsae_log(context, HSAE_LOG_DEBUG, "no OpenCL devices: libOpenCL.so.1 is not there or older than OpenCL 1.2");
        return HSAE_OK;
    }
    if (cl->GetPlatformIDs(0, NULL, &platform_count) || !platform_count)
        return HSAE_OK; /* a loader without drivers says so with an error */
    cl_platform_id *platforms = malloc(platform_count * sizeof *platforms);
    if (!platforms)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for the list of devices");
    hsae_status status = cl->GetPlatformIDs(platform_count, platforms, NULL) ? HSAE_ERROR_DRIVER : HSAE_OK;
    for (cl_uint i = 0; i < platform_count && !status; i++)
        status = find_on_platform(context, cl, platforms[i], list, count);
    free(platforms);
    if (status) {
        free(*list);
        *list = NULL;
        *count = 0;
    }
    return status;
}

/* What often keeps a platform from having devices. */
static const char *platform_remedy(const char *name)
{
    static const struct {
        const char *name, *remedy;
    } remedies[] = {
        {"Portable Computing", "PoCL needs a cache folder that it can write: set HOME, or POCL_CACHE_DIR"},
        {"Intel", "it is for Intel's GPUs: with one, the user must be in the group render, to open /dev/dri/renderD*"},
        {"NVIDIA", "nvidia-smi says whether the kernel's part of the driver works; restart after an update of the driver"},
        {"AMD", "the user must be in the groups render and video, to open /dev/kfd and /dev/dri/renderD*"},
        {"rusticl", "set RUSTICL_ENABLE to the driver that it is to use: radeonsi, iris, nouveau or llvmpipe"},
        {"Clover", "Clover is no longer kept up: use rusticl, or Vulkan"},
    };
    for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++)
        if (strstr(name, remedies[i].name))
            return remedies[i].remedy;
    return NULL;
}

static void explain_platform(const struct opencl_api *cl, cl_platform_id platform, struct hsae_problems *problems)
{
    enum { MOST = 64 };
    cl_device_id ids[MOST];
    cl_uint count = 0;
    char name[128], version[128];
    platform_text(cl, platform, CL_PLATFORM_NAME, name, sizeof name);
    platform_text(cl, platform, CL_PLATFORM_VERSION, version, sizeof version);
    cl_int error = cl->GetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, MOST, ids, &count);
    if (error == CL_DEVICE_NOT_FOUND || (!error && !count))
        hsae_problem_add(problems, HSAE_BACKEND_OPENCL, platform_remedy(name), "the OpenCL platform %s (%s) has no device", name, version);
    for (cl_uint i = 0; i < count && i < MOST && !error; i++) {
        char device[128];
        device_text(cl, ids[i], CL_DEVICE_NAME, device, sizeof device);
        if (why_unusable(cl, ids[i]))
            hsae_problem_add(problems, HSAE_BACKEND_OPENCL, "install a newer driver", "the OpenCL device %s (platform %s) is left out: %s",
                             device, name, why_unusable(cl, ids[i]));
    }
}

static void explain(hsae_context *context, struct hsae_problems *problems)
{
    enum { MOST = 32 };
    const struct opencl_api *cl = hsae_opencl_api();
    cl_platform_id platforms[MOST];
    cl_uint count = 0;
    (void)context;
    if (!cl)
        hsae_problem_add(problems, HSAE_BACKEND_OPENCL, "install a newer one", "the OpenCL loader %s is older than OpenCL 1.2",
                         hsae_os_library_name(HSAE_OS_OPENCL));
    else if (!cl->GetPlatformIDs(MOST, platforms, &count))
        for (cl_uint i = 0; i < count && i < MOST; i++)
            explain_platform(cl, platforms[i], problems);
}

static uint32_t clamp_u32(uint64_t x, uint32_t most)
{
    return x < most ? (uint32_t)x : most;
}

static hsae_device_type type_of(const struct opencl_api *cl, cl_device_id id, cl_int *error)
{
    uint64_t type = device_number(cl, id, CL_DEVICE_TYPE, error);
    if (type & CL_DEVICE_TYPE_CPU)
        return HSAE_DEVICE_CPU;
    if (type & CL_DEVICE_TYPE_GPU)
        return device_number(cl, id, CL_DEVICE_HOST_UNIFIED_MEMORY, error) ? HSAE_DEVICE_INTEGRATED : HSAE_DEVICE_DISCRETE;
    return HSAE_DEVICE_VIRTUAL;
}

/* CPU devices: the native width, as a width that OpenCL C has. GPUs run scalar lanes: a vector of 4 is one wide load. */
static uint32_t vector_width(const struct opencl_api *cl, cl_device_id id, hsae_device_type type, cl_int *error)
{
    uint64_t native = device_number(cl, id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, error);
    if (type != HSAE_DEVICE_CPU)
        return 4;
    return native >= 16 ? 16 : native >= 8 ? 8 : native >= 4 ? 4 : 1;
}

/* PCI address and UUID, from whichever extension the driver has. */
static void describe_hardware(const struct opencl_api *cl, cl_device_id id, hsae_device_info *info)
{
    enum { PCI_BUS_INFO_KHR = 0x410f, UUID_KHR = 0x106a, PCI_BUS_NV = 0x4008, PCI_SLOT_NV = 0x4009, PCI_DOMAIN_NV = 0x400a };
    enum { TOPOLOGY_AMD = 0x4037, TOPOLOGY_PCIE = 1, AMD_BUS = 21 }; /* bytes of its type, 17 unused ones, then bus, device, function */
    char extensions[8192] = "";
    cl_uint address[4], bus, slot, domain = 0;
    unsigned char bytes[24], uuid[16];
    cl->GetDeviceInfo(id, CL_DEVICE_EXTENSIONS, sizeof extensions - 1, extensions, NULL);
    if (strstr(extensions, "cl_khr_pci_bus_info") && !cl->GetDeviceInfo(id, PCI_BUS_INFO_KHR, sizeof address, address, NULL)) {
        hsae_device_set_pci(info, address[0], address[1], address[2], address[3]);
    } else if (strstr(extensions, "cl_nv_device_attribute_query") && !cl->GetDeviceInfo(id, PCI_BUS_NV, sizeof bus, &bus, NULL) &&
               !cl->GetDeviceInfo(id, PCI_SLOT_NV, sizeof slot, &slot, NULL)) {
        cl->GetDeviceInfo(id, PCI_DOMAIN_NV, sizeof domain, &domain, NULL);
        hsae_device_set_pci(info, domain, bus, slot >> 3, slot & 7);
    } else if (strstr(extensions, "cl_amd_device_attribute_query") && !cl->GetDeviceInfo(id, TOPOLOGY_AMD, sizeof bytes, bytes, NULL)) {
        cl_uint type;
        memcpy(&type, bytes, sizeof type);
        if (type == TOPOLOGY_PCIE)
            hsae_device_set_pci(info, 0, bytes[AMD_BUS], bytes[AMD_BUS + 1], bytes[AMD_BUS + 2]);
    }
    if (strstr(extensions, "cl_khr_device_uuid") && !cl->GetDeviceInfo(id, UUID_KHR, sizeof uuid, uuid, NULL))
        hsae_device_set_uuid(info, uuid);
}

/* What is not told stays 0. Nothing tells the shapes of matrix units. */
static hsae_device_units describe_units(const struct opencl_api *cl, cl_device_id id)
{
    enum { WARP_NV = 0x4003, WAVE_AMD = 0x4043, SUBGROUPS_INTEL = 0x4108, DOT_PRODUCTS_4X8 = 0x1075 };
    char extensions[8192] = "";
    cl_int error = CL_SUCCESS;
    cl_bool accelerated[6] = {0}; /* signed, unsigned, mixed; the same with saturation */
    size_t subgroups[16], size = 0;
    hsae_device_units units = {.clock_mhz = clamp_u32(device_number(cl, id, CL_DEVICE_MAX_CLOCK_FREQUENCY, &error), UINT32_MAX)};
    cl->GetDeviceInfo(id, CL_DEVICE_EXTENSIONS, sizeof extensions - 1, extensions, NULL);
    if (strstr(extensions, "cl_nv_device_attribute_query"))
        units.min_subgroup = units.max_subgroup = clamp_u32(device_number(cl, id, WARP_NV, &error), UINT32_MAX);
    if (strstr(extensions, "cl_amd_device_attribute_query"))
        units.min_subgroup = units.max_subgroup = clamp_u32(device_number(cl, id, WAVE_AMD, &error), UINT32_MAX);
    if (strstr(extensions, "cl_intel_required_subgroup_size") &&
        !cl->GetDeviceInfo(id, SUBGROUPS_INTEL, sizeof subgroups, subgroups, &size) && size) {
        units.min_subgroup = clamp_u32(subgroups[0], UINT32_MAX);
        units.max_subgroup = clamp_u32(subgroups[size / sizeof *subgroups - 1], UINT32_MAX);
    }
    if (strstr(extensions, "cl_khr_integer_dot_product"))
        cl->GetDeviceInfo(id, DOT_PRODUCTS_4X8, sizeof accelerated, accelerated, NULL);
    units.dot_products = accelerated[0];
    return units;
}

/* *error stays where all that matters is known: with a guess at a limit or a width the same run would have other bits. */
static hsae_device_info describe(const struct opencl_api *cl, const struct found_device *found, cl_int *error)
{
    cl_device_id id = found->id;
    hsae_device_info info = {.backend = HSAE_BACKEND_OPENCL, .type = type_of(cl, id, error)};
    hsae_limits *limits = &info.limits;
    char platform[80], version[80], driver[80];
    platform_text(cl, found->platform, CL_PLATFORM_NAME, platform, sizeof platform);
    device_text(cl, id, CL_DEVICE_VERSION, version, sizeof version);
    device_text(cl, id, CL_DRIVER_VERSION, driver, sizeof driver);
    device_text(cl, id, CL_DEVICE_NAME, info.name, sizeof info.name);
    snprintf(info.driver, sizeof info.driver, "%s, %s, driver %s", platform, version, driver);
    if (!*info.name || !*platform || !*version || !*driver) /* they tell which tuning and which quirks are the device's */
        *error = CL_INVALID_VALUE;
    uint64_t parameter_bytes = device_number(cl, id, CL_DEVICE_MAX_PARAMETER_SIZE, error);
    limits->memory_bytes = device_number(cl, id, CL_DEVICE_GLOBAL_MEM_SIZE, error);
    limits->max_allocation_bytes = device_number(cl, id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, error);
    limits->max_binding_bytes = limits->max_allocation_bytes;
    limits->max_args_bytes = clamp_u32(parameter_bytes, HSAE_MAX_ARGS);
    limits->max_bindings = clamp_u32((parameter_bytes - limits->max_args_bytes) / 8, HSAE_MAX_BINDINGS);
    limits->max_group_size = clamp_u32(device_number(cl, id, CL_DEVICE_MAX_WORK_GROUP_SIZE, error), UINT32_MAX);
    size_t wide[8] = {0}; /* work-items of a group in each dimension */
    if (!cl->GetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof wide, wide, NULL) && wide[0])
        limits->max_group_size = clamp_u32(wide[0], limits->max_group_size);
    /* OpenCL cannot tell; this is what CUDA hardware has, and what a 32-bit size_t holds. */
    limits->max_groups[0] = INT32_MAX;
    if (device_number(cl, id, CL_DEVICE_ADDRESS_BITS, error) < 64 && limits->max_group_size)
        limits->max_groups[0] /= limits->max_group_size;
    limits->max_groups[1] = 65535;
    limits->max_local_bytes = clamp_u32(device_number(cl, id, CL_DEVICE_LOCAL_MEM_SIZE, error), UINT32_MAX);
    limits->vector_width = vector_width(cl, id, info.type, error);
    limits->compute_units = clamp_u32(device_number(cl, id, CL_DEVICE_MAX_COMPUTE_UNITS, error), UINT32_MAX);
    info.units = describe_units(cl, id);
    describe_hardware(cl, id, &info);
    return info;
}

static hsae_status enumerate(hsae_context *context, hsae_device_info **list, size_t *count)
{
    struct found_device *found;
    size_t found_count;
    hsae_status status = find_devices(context, &found, &found_count);
    for (size_t i = 0; i < found_count && !status; i++) {
        cl_int error = CL_SUCCESS;
        char name[24];
        hsae_device_info info = describe(hsae_opencl_api(), &found[i], &error);
        status =
            error ? hsae_fail(context, HSAE_ERROR_DRIVER, "opencl:%zu does not tell its limits: %s", i, hsae_opencl_error_name(error, name))
                  : hsae_device_info_append(context, list, count, &info);
    }
    free(found);
    return status;
}

/* ---- opening and closing ---- */

/* Takes half-opened devices. */
static void close_device(struct hsae_device *base)
{
    struct opencl_device *device = opencl_device(base);
    const struct opencl_api *cl = device->cl;
    cl_command_queue queues[] = {device->queue, device->transfer, device->timed};
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        if (queues[i]) {
            cl->Finish(queues[i]);
            cl->ReleaseCommandQueue(queues[i]);
        }
    hsae_opencl_drop_pending(device, UINT64_MAX);
    free(device->pending);
    hsae_opencl_free_programs(device);
    if (device->context)
        cl->ReleaseContext(device->context);
    free(device);
}

static const struct device_ops ops = {
    .buffer_create = hsae_opencl_buffer_create,
    .buffer_destroy = hsae_opencl_buffer_destroy,
    .buffer_write = hsae_opencl_buffer_write,
    .buffer_read = hsae_opencl_buffer_read,
    .buffer_map = hsae_opencl_buffer_map,
    .buffer_unmap = hsae_opencl_buffer_unmap,
    .sequence_create = hsae_opencl_sequence_create,
    .sequence_launch = hsae_opencl_sequence_launch,
    .sequence_gemm = hsae_opencl_sequence_gemm,
    .sequence_cut = hsae_opencl_sequence_cut,
    .sequence_end = hsae_opencl_sequence_end,
    .sequence_submit = hsae_opencl_sequence_submit,
    .sequence_times = hsae_opencl_sequence_times,
    .sequence_destroy = hsae_opencl_sequence_destroy,
    .kernel_items = hsae_opencl_kernel_items,
    .wait = hsae_opencl_wait,
    .close = close_device,
};

static hsae_status open_device(hsae_context *context, size_t index, struct hsae_device **out)
{
    struct found_device *found = NULL;
    size_t found_count;
    struct opencl_device *device = NULL;
    cl_int error = CL_SUCCESS;
    char platform_version[256];
    hsae_status status = find_devices(context, &found, &found_count);
    if (status == HSAE_ERROR_DRIVER)
        hsae_fail(context, status, "opencl:%zu cannot be opened: the OpenCL loader does not list its platforms any more", index);
    if (status)
        return status;
    if (index >= found_count) {
        status = hsae_fail(context, HSAE_ERROR_NO_DEVICE, "opencl:%zu has just gone away", index);
        goto error;
    }
    device = calloc(1, sizeof *device);
    if (!device) {
        status = hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for opencl:%zu", index);
        goto error;
    }
    device->cl = hsae_opencl_api();
    device->id = found[index].id;
    device->base.context = context;
    device->base.ops = &ops;
    device->base.info = describe(device->cl, &found[index], &error);
    device->base.vendor = clamp_u32(device_number(device->cl, device->id, CL_DEVICE_VENDOR_ID, &error), UINT32_MAX);
    device->base.can_time = true;
    device->base.has_gemm = hsae_opencl_has_gemm(device);
    snprintf(device->base.info.id, sizeof device->base.info.id, "opencl:%zu", index);
    platform_text(device->cl, found[index].platform, CL_PLATFORM_VERSION, platform_version, sizeof platform_version);
    snprintf(device->identity, sizeof device->identity, "%s\n%s\n%s", device->base.info.name, device->base.info.driver, platform_version);
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)found[index].platform, 0};
    if (!error)
        device->context = device->cl->CreateContext(properties, 1, &device->id, NULL, NULL, &error);
    if (!error)
        device->queue = device->cl->CreateCommandQueue(device->context, device->id, 0, &error);
    if (!error)
        device->transfer = device->cl->CreateCommandQueue(device->context, device->id, 0, &error);
    if (error) {
        status = hsae_opencl_fail(device, error, "cannot open", device->base.info.name);
        goto error;
    }
    free(found);
    *out = &device->base;
    return HSAE_OK;
error:
    if (device)
        close_device(&device->base);
    free(found);
    return status;
}

const struct backend hsae_backend_opencl = {HSAE_BACKEND_OPENCL, "opencl", enumerate, open_device, explain};
