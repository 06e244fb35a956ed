/* The one place for what is known about drivers: a row says which devices, what is done, why, and who says so. A row is here only where
 * the code has its effect.
 *
 * What needs no row, since it holds on every device: OpenCL kernels use no subgroups, which NVIDIA and AMD do not expose reliably; no
 * kernel needs half or 64-bit numbers; SPIR-V with cooperative matrices never goes through spirv-opt; a binary that a driver refuses is
 * compiled again. */
#include "quirks.h"
#include "context.h"

#include <stdlib.h>
#include <string.h>

struct quirk {
    hsae_backend backend;
    const char *driver; /* a piece of the driver's text */
    bool cpus_only;
    uint32_t effect;
    const char *reason, *source;
};

static const struct quirk quirks[] = {
    {HSAE_BACKEND_OPENCL, "rusticl", false, HSAE_QUIRK_HOST_TIMERS, "profiling says 1 ns for every launch", "measured, Mesa 22.3.6"},
    {HSAE_BACKEND_OPENCL, "Oclgrind", false, HSAE_QUIRK_HOST_TIMERS, "profiling gives noise", "measured, Oclgrind 21.10"},
    {HSAE_BACKEND_OPENCL, "Intel(R) OpenCL", true, HSAE_QUIRK_HOST_TIMERS, "profiling says twice the time on an AMD processor",
     "measured, Intel's CPU runtime 2026.2"},
    {HSAE_BACKEND_OPENCL, "rusticl", true, HSAE_QUIRK_ON_REQUEST,
     "a GPU in software, far slower than this library's own reference on a CPU", "measured, Mesa 22.3.6"},
    {HSAE_BACKEND_OPENCL, "Oclgrind", false, HSAE_QUIRK_ON_REQUEST, "a simulator that looks for errors",
     "https://github.com/jrprice/Oclgrind"},
    {HSAE_BACKEND_OPENCL, "rusticl", false, HSAE_QUIRK_SECOND_CHOICE, "experimental: it has to be switched on with RUSTICL_ENABLE",
     "Mesa 22.3.6"},
    {HSAE_BACKEND_OPENCL, "Clover", false, HSAE_QUIRK_SECOND_CHOICE, "its makers have given it up",
     "https://www.freshports.org/lang/clover/"},
    {HSAE_BACKEND_OPENCL, "clvk", false, HSAE_QUIRK_SECOND_CHOICE, "it is a layer over Vulkan", "https://github.com/kpet/clvk"},
    {HSAE_BACKEND_OPENCL, "Apple", true, HSAE_QUIRK_NO_BINARIES, "a program built from a binary fails with CL_BUILD_PROGRAM_FAILURE",
     "https://github.com/inducer/pyopencl/issues/276"},
    {HSAE_BACKEND_OPENCL, "PoCL HSTR: pthread", true, HSAE_QUIRK_ONE_ITEM_UPDATE,
     "values that live across barriers are lost with several work-items a group",
     "measured, PoCL 3.1; Oclgrind and lavapipe agree with the reference"},
};

static bool applies(const struct quirk *quirk, const hsae_device_info *info)
{
    return quirk->backend == info->backend && (!quirk->cpus_only || info->type == HSAE_DEVICE_CPU) && strstr(info->driver, quirk->driver);
}

/* The quirk of a device at that place of its list; NULL: there are no more. */
static const struct quirk *find_quirk(const hsae_device_info *info, size_t index)
{
    const char *wanted = getenv("HSAE_QUIRKS");
    if (wanted && strcmp(wanted, "off") == 0)
        return NULL;
    for (size_t i = 0; i < sizeof quirks / sizeof *quirks; i++)
        if (applies(&quirks[i], info) && index-- == 0)
            return &quirks[i];
    return NULL;
}

const char *hsae_device_quirk(const hsae_device_info *info, size_t index, const char **source)
{
    const struct quirk *quirk = info ? find_quirk(info, index) : NULL;
    if (source)
        *source = quirk ? quirk->source : NULL;
    return quirk ? quirk->reason : NULL;
}

uint32_t hsae_quirks(const hsae_context *context, const hsae_device_info *info)
{
    uint32_t effects = 0;
    const struct quirk *quirk;
    for (size_t i = 0; (quirk = find_quirk(info, i)); i++) {
        effects |= quirk->effect;
        hsae_log(context, HSAE_LOG_DEBUG, "%s: quirk of its driver: %s (%s)", info->id, quirk->reason, quirk->source);
    }
    return effects;
}
