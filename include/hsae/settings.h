/* SPDX-License-Identifier: MIT */
/* The settings of a context: one line each. A program gives them in hsae_context_params; what it leaves out is read once from the variable
 * HSAE_NAME of the environment, when the context is made. Nothing reads these variables later. */
#ifndef HSAE_SETTINGS_H
#define HSAE_SETTINGS_H

/* X(NAME, field, KIND, text): the variable is HSAE_NAME, the field that of hsae_context_params. An empty value stands for the default. KIND
 * says what a value may be:
 *   TEXT    anything
 *   SWITCH  on or off
 *   BIT     0 or 1
 *   SCREENING 0, 1, 8 or 16
 *   NUMBER  a number of at least 0
 * Any other value is warned about, and the default holds. `text` is for people: the manual prints it. */
/* clang-format off */
#define HSAE_SETTINGS(X)                                                                                                             \
    X(DEVICE, device, TEXT,                                                                                                          \
      "The default device, an id of \"hsae devices\".")                                                                              \
    X(CACHE_DIR, cache_dir, TEXT,                                                                                                    \
      "Folder for compiled kernels; default: $XDG_CACHE_HOME/hsae, else ~/.cache/hsae, on Windows %LOCALAPPDATA%/hsae. Set but "     \
      "empty: none. A folder in which other users may write, or which belongs to one, is not used.")                                 \
    X(TUNING, tuning, TEXT,                                                                                                          \
      "File to be used in place of tuning.json in the folder of compiled kernels; off: none, so built-in shapes.")                   \
    X(SCREEN, screen, SCREENING,                                                                                                     \
      "Whether active pairs of features and samples are found by products of 8-bit or 16-bit numbers, which bound the products of "  \
      "floats, and are then computed as floats. 0: never; 8 or 16: on all devices but ref, with such numbers; 1: likewise, with "    \
      "those that the device is faster with. Default: where it is known to be faster, on PoCL on x86-64. It is part of what makes "  \
      "a run repeatable.")                                                                                                           \
    X(SELF_TEST, self_test, SWITCH,                                                                                                  \
      "off: the program hsae uses a device without the test that it computes what the reference device does, and without checks "    \
      "of a run's own steps and of the first batches that a model encodes or decodes. The test is run when a device is first "       \
      "used, and again after a change of library, kernels, driver, environment or tuning. It runs in a process of its own. A "       \
      "device that fails is refused. The checks compute a sample of rows and features anew on the host: in the first step, in "      \
      "the first with a tree, with ghost gradients, with twice as many of them, or with larger launches, and in the first batch "    \
      "of each size. Where the device is wrong the command ends with exit status 1, and nothing is saved.")                          \
    X(DISPATCH_MS, dispatch_ms, NUMBER,                                                                                              \
      "Milliseconds that one dispatch should take at most; default: 50. Longer ones are run in parts, and submissions hold up to "   \
      "five times that. The speed of the device is measured in the first step of each run, and in another step now and then.")       \
    X(WAIT_SECONDS, wait_seconds, NUMBER,                                                                                            \
      "Seconds after which work that does not end is given up, and the device with it; default: 120, and ten times what the work "   \
      "should take. On a CPU only time counts in which no thread of the process works; threads that work without end are given up "  \
      "after 30 times as many seconds of work. On a GPU the same holds when a sequence of kernels runs for the first time, since "   \
      "the driver may have to compile. A driver that is tried is given up after a twelfth of these seconds without progress, a "     \
      "GPU's test after a quarter. 0: waits for ever, as Intel's runtime for CPUs always does.")                                     \
    X(QUIRKS, quirks, SWITCH,                                                                                                        \
      "off: nothing is done about known faults of drivers. --verbose names those that apply.")                                       \
    X(CLBLAST, clblast, BIT,                                                                                                         \
      "Dense products by the library CLBlast. 0: never; 1: on all OpenCL devices. Default: on OpenCL GPUs, where it is installed.")  \
    X(VULKAN_UNIFIED, vulkan_unified, BIT,                                                                                           \
      "0: a Vulkan device that shares the host's memory copies through staging buffers all the same, as a discrete GPU must.")       \
    X(VULKAN_VALIDATION, vulkan_validation, BIT,                                                                                     \
      "1: Vulkan's validation layer is loaded, where it is installed; what it says becomes errors in the log.")
/* clang-format on */

typedef enum hsae_setting {
#define HSAE_SETTING_ENUM(NAME, field, KIND, text) HSAE_SETTING_##NAME,
    HSAE_SETTINGS(HSAE_SETTING_ENUM)
#undef HSAE_SETTING_ENUM
        HSAE_SETTING_COUNT
} hsae_setting;

#endif
