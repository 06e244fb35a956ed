/* SPDX-License-Identifier: MIT */
/* Tuning: finds the fastest shape of each kernel on a device, and keeps it for later runs. A shape is the work-items of a group, the
 * vectors that a work-item holds, their width, and encode's tile.
 *
 * Shapes are kept in a JSON file, by device: name, driver, backend and type must be the same. Trainers, sessions and benchmarks that are
 * made later on the device use them, in this and other processes. Kernels and devices that the file does not name have built-in shapes by
 * class of device (CPU, software Vulkan, GPU) and maker.
 *
 * The file is that of the setting TUNING ($HSAE_TUNING; "off": none), else "tuning.json" in the folder of compiled kernels
 * (hsae_context_params.cache_dir). It is read when the first trainer, session or benchmark is made on a device; the log names it (debug).
 * Faults in it are warnings that say what and where. A file that is not JSON is ignored. So is an entry that names no kernel, lacks a
 * field, or has a shape that tuning could not have chosen on this device; other entries hold.
 *
 * Shapes set the order in which numbers are added. So the same bits need the same tuning file, besides library, device, driver, seed and
 * data. To resume a run with the same bits, copy the file that it started with and set HSAE_TUNING, or set it to "off" for both parts. */
#ifndef HSAE_TUNE_H
#define HSAE_TUNE_H

#include <hsae/bench.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The search. Kernels that take a noticeable part of a training step are tried at one shape after the other, the nearest to the best so far
 * first. A shape is timed only after it proved right: a small model with everything switched on is trained with it for a few steps, and
 * must agree with the reference device and with the device's default shapes within what rounding may do. It is timed within real steps
 * (bench.h: made-up data, the least of several times). The fastest shapes then run against the default, several rounds in turn. A shape is
 * chosen where it is faster in every round, by the share HSAE_TUNE_GAIN of the kernel's time and by a thousandth of the step. In the end
 * whole steps must be faster, too, else the device keeps the shapes that it had (`refused`). */
#define HSAE_TUNE_GAIN 0.03

struct hsae_tune_kernel;
typedef struct hsae_tune_params {
    hsae_bench_params work; /* hsae_bench_preset: dim, config and steps (in a timed block) count */
    const char *kernel;     /* only this one, however small; NULL: all */
    double seconds;         /* length of the search, shared by the kernels according to their time in a step; 0: 240 */
    /* Called often with what is being done; false stops with CANCELLED, and the device's tuning stays as it was. May be NULL. */
    bool (*progress)(void *user, const char *what);
    /* Called when the search of a kernel is done. May be NULL. */
    void (*kernel_done)(void *user, const struct hsae_tune_kernel *kernel);
    void *user;
} hsae_tune_params;

/* The outcome for one kernel. Seconds are those of all its launches in a step. */
typedef struct hsae_tune_kernel {
    const char *name;                      /* static */
    double default_seconds, tuned_seconds; /* equal where the default stays */
    uint32_t shapes;                       /* in the search space, the default included */
    uint32_t tried, rejected;              /* shapes compared with the reference; those that did not match or cannot run */
    bool changed;
    char default_shape[96], shape[96]; /* as text */
} hsae_tune_kernel;

typedef struct hsae_tune_result {
    uint32_t kernel_count;
    hsae_tune_kernel kernels[HSAE_BENCH_KERNELS];
    /* Seconds of whole steps with all defaults, and with all tuned shapes, those of the file for other kernels included: the lowest of
     * several blocks, in turn. */
    double default_step, tuned_step;
    /* The tuned shapes are not proven to be faster in whole steps, than the defaults or than those that the device had: it has the latter
     * again. Its machine may have done something else meanwhile. */
    bool refused;
    double seconds; /* length of the search */
    bool complete;  /* every shape of these kernels was tried */
} hsae_tune_result;

/* Searches. Nothing else may use the device meanwhile. Afterwards the device uses what was found; hsae_tune_save keeps it.
 * ERROR_UNSUPPORTED: it is the reference device. ERROR_DRIVER: the device's default shapes do not match the reference. CANCELLED. */
HSAE_API hsae_status hsae_tune(hsae_device *device, const hsae_tune_params *params, hsae_tune_result *out);

/* Writes the device's tuning to `path` (NULL: hsae_tune_path; its folder is made); entries of other devices in the file stay. The times of
 * `result` (may be NULL) are written, too. ERROR_FILE. */
HSAE_API hsae_status hsae_tune_save(hsae_device *device, const hsae_tune_result *result, const char *path);

/* Path of the file that is read, and written by default; free with hsae_free. NULL: there is none, or no memory. */
HSAE_API char *hsae_tune_path(hsae_context *context);

#ifdef __cplusplus
}
#endif
#endif
