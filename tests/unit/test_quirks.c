/* SPDX-License-Identifier: MIT */
/* Which devices the rows of src/device/quirks.c apply to: each to those that it is meant for, and not to their neighbours. */
#include "support.h"

#include "device/quirks.c" /* to see that every row is tried */

static hsae_device_info made_up(hsae_backend backend, hsae_device_type type, const char *name, const char *driver)
{
    hsae_device_info info = {.backend = backend, .type = type};
    snprintf(info.id, sizeof info.id, "made up");
    snprintf(info.name, sizeof info.name, "%s", name);
    snprintf(info.driver, sizeof info.driver, "%s", driver);
    return info;
}

enum {
    CL = HSAE_BACKEND_OPENCL,
    VK = HSAE_BACKEND_VULKAN,
    CPU = HSAE_DEVICE_CPU,
    IGPU = HSAE_DEVICE_INTEGRATED,
    GPU = HSAE_DEVICE_DISCRETE,
    VIRTUAL = HSAE_DEVICE_VIRTUAL,
    HOST_TIMERS = HSAE_QUIRK_HOST_TIMERS,
    NO_BINARIES = HSAE_QUIRK_NO_BINARIES,
    ONE_ITEM_UPDATE = HSAE_QUIRK_ONE_ITEM_UPDATE,
    HIDDEN = HSAE_QUIRK_HIDDEN,
    LOW_PREFERENCE = HSAE_QUIRK_LOW_PREFERENCE,
    SERIALIZE = HSAE_QUIRK_SERIALIZE,
    WAIT_IN_DRIVER = HSAE_QUIRK_WAIT_IN_DRIVER,
};

/* Names and drivers as devices and the reports of others give them, or in their form. */
static const struct {
    int backend, type;
    const char *name, *driver;
    uint32_t effects;
} devices[] = {
    {CL, CPU, "llvmpipe (LLVM 15.0.6, 256 bits)", "rusticl, OpenCL 3.0 , driver 22.3.6", HOST_TIMERS | HIDDEN | LOW_PREFERENCE},
    {CL, IGPU, "AMD Radeon 780M (radeonsi, phoenix, LLVM 17.0.6, DRM 3.57, 6.8.0)", "rusticl, OpenCL 3.0 , driver 24.0.5",
     HOST_TIMERS | LOW_PREFERENCE},
    {VK, CPU, "llvmpipe (LLVM 15.0.6, 256 bits)", "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)", 0},
    {CL, VIRTUAL, "Oclgrind Simulator", "Oclgrind, OpenCL 1.2 (Oclgrind 21.10), driver Oclgrind 21.10", HOST_TIMERS | HIDDEN},
    {CL, CPU, "AMD EPYC", "Intel(R) OpenCL, OpenCL 3.1 (Build 0), driver 2026.22.10.0.01_160000", HOST_TIMERS | WAIT_IN_DRIVER},
    {CL, IGPU, "Intel(R) Gen9 HD Graphics NEO", "Intel(R) OpenCL, OpenCL 2.1 NEO , driver 18.45.11804", 0},
    {CL, GPU, "Intel(R) Arc(TM) A770 Graphics", "Intel(R) OpenCL Graphics, OpenCL 3.0 NEO , driver 26.05.37020.3", 0},
    {CL, GPU, "AMD BONAIRE (DRM 2.49.0 / 4.11.0-0.rc7.git0.1.fc26.x86_64, LLVM 3.9.1)", "Clover, OpenCL 1.1 Mesa 17.0.2, driver 17.0.2",
     LOW_PREFERENCE},
    {CL, GPU, "gfx1030", "AMD Accelerated Parallel Processing, OpenCL 2.0 , driver 3581.0 (HSA1.1,LC)", 0},
    {CL, GPU, "AMD Radeon RX 6900 XT (RADV NAVI21)", "clvk, OpenCL 3.0 clvk, driver 3.0 CLVK", LOW_PREFERENCE},
    {CL, CPU, "Intel(R) Core(TM) i7-7700HQ CPU @ 2.80GHz", "Apple, OpenCL 1.2 , driver 1.1", NO_BINARIES},
    {CL, IGPU, "Apple M1", "Apple, OpenCL 1.2 , driver 1.2 1.0", 0},
    {CL, CPU, "pthread-skylake-avx512-AMD EPYC",
     "Portable Computing Language, OpenCL 3.0 PoCL HSTR: pthread-x86_64-pc-linux-gnu-skylake-avx512, driver 3.1+debian", ONE_ITEM_UPDATE},
    {CL, GPU, "NVIDIA GeForce RTX 3090", "Portable Computing Language, OpenCL 3.0 PoCL HSTR: CUDA-sm_86, driver 3.1+debian", 0},
    {CL, GPU, "NVIDIA GeForce RTX 3090", "NVIDIA CUDA, OpenCL 3.0 CUDA, driver 535.183.01", 0},
    {CL, GPU, "NVIDIA GeForce RTX 3090", "OpenCLOn12, OpenCL 3.0 D3D12 Implementation, driver 1.1.0", LOW_PREFERENCE},
    {VK, GPU, "Microsoft Direct3D12 (NVIDIA GeForce RTX 3070 Ti)", "Dozen Mesa 26.1.4 - kisak-mesa PPA", HIDDEN},
    {VK, GPU, "NVIDIA GeForce RTX 3070 Ti", "NVIDIA 535.183.01", 0},
    {VK, IGPU, "Apple M3 Max", "MoltenVK 1.2.11", HOST_TIMERS},
    {VK, IGPU, "Apple M1 (G13G B1)", "Honeykrisp Mesa 24.2.0", 0},
    {VK, IGPU, "AMD Radeon 890M Graphics (RADV STRIX1)", "radv Mesa 25.0.7", SERIALIZE},
    {VK, IGPU, "AMD Radeon 780M Graphics (RADV PHOENIX)", "radv Mesa 25.0.7", 0},
    {VK, IGPU, "AMD Radeon 8060S Graphics (RADV STRIX_HALO)", "radv Mesa 25.3.6", 0},
    {VK, IGPU, "AMD Radeon 890M Graphics (STRIX1)", "AMD open-source driver 2025.Q1.1 (LLPC)", 0},
};
enum { DEVICES = sizeof devices / sizeof *devices, ROWS = sizeof quirks / sizeof *quirks };

static void test_rows(void **state)
{
    (void)state;
    unsigned matches[ROWS] = {0}, neighbours[ROWS] = {0};
    for (size_t i = 0; i < DEVICES; i++) {
        const hsae_device_info info =
            made_up((hsae_backend)devices[i].backend, (hsae_device_type)devices[i].type, devices[i].name, devices[i].driver);
        if (hsae_quirks(context, &info) != devices[i].effects)
            fail_msg("%s (%s): effects %x, expected %x", info.name, info.driver, hsae_quirks(context, &info), devices[i].effects);
        for (size_t row = 0; row < ROWS; row++) {
            matches[row] += applies(&quirks[row], &info);
            neighbours[row] += !applies(&quirks[row], &info) && quirks[row].backend == info.backend;
        }
    }
    for (size_t row = 0; row < ROWS; row++)
        if (!matches[row] || !neighbours[row])
            fail_msg("\"%s\" was not tried on a device that has it and on one that has not", quirks[row].reason);
}

/* A row has one effect, a reason that can stand in a sentence, and a source. */
static void test_texts(void **state)
{
    (void)state;
    for (size_t row = 0; row < ROWS; row++) {
        assert_true(quirks[row].effect && !(quirks[row].effect & (quirks[row].effect - 1)));
        assert_true(*quirks[row].reason && quirks[row].reason[strlen(quirks[row].reason) - 1] != '.');
        assert_true(*quirks[row].source);
    }
}

static void test_reasons(void **state)
{
    (void)state;
    hsae_device_info info = made_up(HSAE_BACKEND_OPENCL, HSAE_DEVICE_CPU, devices[0].name, devices[0].driver);
    const char *source;
    assert_string_equal(hsae_device_quirk(&info, 0, &source), "profiling says 1 ns for every launch");
    assert_string_equal(source, "measured, Mesa 22.3.6");
    assert_non_null(hsae_device_quirk(&info, 2, NULL));
    assert_null(hsae_device_quirk(&info, 3, &source));
    assert_null(source);
    assert_null(hsae_device_quirk(NULL, 0, NULL));
    assert_string_equal(hsae_quirk_reason(&info, LOW_PREFERENCE), hsae_device_quirk(&info, 2, NULL));
    assert_null(hsae_quirk_reason(&info, NO_BINARIES));
    info.without_quirks = true;
    assert_int_equal(hsae_quirks(context, &info), 0);
    assert_null(hsae_device_quirk(&info, 0, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests_name("quirks", tests, support_setup, support_teardown);
}
