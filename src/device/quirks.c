/* SPDX-License-Identifier: MIT */
/* The one place for what is known about drivers: a row says which devices, what is done, why, and who says so. A row is here only where
 * the code has its effect.
 *
 * What needs no row, since it holds on every device: OpenCL kernels use no subgroups, which NVIDIA and AMD do not expose reliably; no
 * kernel needs half or 64-bit numbers; SPIR-V with cooperative matrices is never passed to spirv-opt; a binary or a pipeline cache that a
 * driver refuses is compiled again (as after an update of macOS: https://github.com/hashcat/hashcat/issues/4620; MoltenVK 1.2:
 * https://github.com/cemu-project/Cemu/issues/396); each kernel is a program of its own (Adreno A6x cannot compile several in one:
 * https://github.com/ggml-org/llama.cpp/pull/26436); profiling that ends before it starts says nothing (AMD's OpenCL:
 * https://github.com/darktable-org/darktable/pull/21122). */
#include "quirks.h"
#include "base/context.h"

#include <stdlib.h>
#include <string.h>

struct quirk {
    hsae_backend backend;
    const char *driver, *name; /* a piece of the driver's text, and of the device's name; NULL: any name */
    bool cpus_only;
    uint32_t effect;
    const char *reason, *source;
};

static const struct quirk quirks[] = {
    {HSAE_BACKEND_OPENCL, "rusticl", NULL, false, HSAE_QUIRK_HOST_TIMERS, "profiling says 1 ns for every launch", "measured, Mesa 22.3.6"},
    {HSAE_BACKEND_OPENCL, "Oclgrind", NULL, false, HSAE_QUIRK_HOST_TIMERS, "profiling gives noise", "measured, Oclgrind 21.10"},
    {HSAE_BACKEND_OPENCL, "Intel(R) OpenCL", NULL, true, HSAE_QUIRK_HOST_TIMERS, "profiling says twice the time on an AMD processor",
     "measured, Intel's CPU runtime 2026.2"},
    {HSAE_BACKEND_OPENCL, "Intel(R) OpenCL", NULL, true, HSAE_QUIRK_WAIT_IN_DRIVER,
     "kernels run on the waiting thread, so one core of two is idle while the library waits elsewhere",
     "measured, Intel's CPU runtime 2026.2"},
    {HSAE_BACKEND_OPENCL, "rusticl", NULL, true, HSAE_QUIRK_HIDDEN,
     "a GPU in software, far slower than this library's own reference on a CPU", "measured, Mesa 22.3.6"},
    {HSAE_BACKEND_OPENCL, "Oclgrind", NULL, false, HSAE_QUIRK_HIDDEN, "a simulator that looks for errors",
     "https://github.com/jrprice/Oclgrind"},
    {HSAE_BACKEND_OPENCL, "rusticl", NULL, false, HSAE_QUIRK_LOW_PREFERENCE, "experimental: it has to be switched on with RUSTICL_ENABLE",
     "Mesa 22.3.6"},
    {HSAE_BACKEND_OPENCL, "Clover", NULL, false, HSAE_QUIRK_LOW_PREFERENCE, "its makers have given it up",
     "https://www.freshports.org/lang/clover/"},
    {HSAE_BACKEND_OPENCL, "clvk", NULL, false, HSAE_QUIRK_LOW_PREFERENCE, "it is a layer over Vulkan", "https://github.com/kpet/clvk"},
    {HSAE_BACKEND_OPENCL, "Apple", NULL, true, HSAE_QUIRK_NO_BINARIES, "a program built from a binary fails with CL_BUILD_PROGRAM_FAILURE",
     "https://github.com/inducer/pyopencl/issues/276"},
    {HSAE_BACKEND_OPENCL, "PoCL HSTR: pthread", NULL, true, HSAE_QUIRK_ONE_ITEM_UPDATE,
     "values that live across barriers are lost with several work-items a group",
     "measured, PoCL 3.1; Oclgrind and lavapipe agree with the reference"},
    {HSAE_BACKEND_OPENCL, "OpenCLOn12", NULL, false, HSAE_QUIRK_LOW_PREFERENCE, "a layer over Direct3D 12, which crashes some programs",
     "https://github.com/microsoft/OpenCLOn12/issues/49"},
    {HSAE_BACKEND_VULKAN, "Dozen", NULL, false, HSAE_QUIRK_HIDDEN,
     "a layer over Direct3D 12 that does not conform to Vulkan; opening a device may crash",
     "https://github.com/microsoft/wslg/issues/1492"},
    {HSAE_BACKEND_VULKAN, "MoltenVK", NULL, false, HSAE_QUIRK_HOST_TIMERS, "timestamps are zero at times, and asking for them may crash",
     "https://github.com/KhronosGroup/MoltenVK/issues/2378, https://github.com/KhronosGroup/MoltenVK/issues/2698"},
    {HSAE_BACKEND_VULKAN, "radv", "STRIX1", false, HSAE_QUIRK_SERIALIZE, "several launches in one submission write zeros or hang",
     "https://github.com/kvark/blade/issues/356"},
};

static bool applies(const struct quirk *quirk, const hsae_device_info *info)
{
    return quirk->backend == info->backend && (!quirk->cpus_only || info->type == HSAE_DEVICE_CPU) && strstr(info->driver, quirk->driver) &&
           (!quirk->name || strstr(info->name, quirk->name));
}

/* The quirk of a device at that place of its list; NULL: there are no more. */
static const struct quirk *find_quirk(const hsae_device_info *info, size_t index)
{
    for (size_t i = 0; !info->without_quirks && i < sizeof quirks / sizeof *quirks; i++)
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

const char *hsae_quirk_reason(const hsae_device_info *info, uint32_t effect)
{
    const struct quirk *quirk;
    for (size_t i = 0; (quirk = find_quirk(info, i)); i++)
        if (quirk->effect & effect)
            return quirk->reason;
    return NULL;
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

bool hsae_compiles_for_x86(const hsae_device_info *info)
{
    return info->backend == HSAE_BACKEND_OPENCL && info->type == HSAE_DEVICE_CPU && strstr(info->driver, "PoCL") &&
           strstr(info->driver, "x86_64");
}

bool hsae_has_vnni(const hsae_device_info *info)
{
#if defined(__x86_64__)
    return hsae_compiles_for_x86(info) && __builtin_cpu_supports("avx512vnni");
#else
    (void)info;
    return false;
#endif
}
