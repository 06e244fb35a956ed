/* SPDX-License-Identifier: MIT */
/* Tuning: finds the fastest way to run each kernel on a device, and keeps it for later runs.
 *
 * What is found is a file of JSON: for each device (its name, driver, backend and type must be the same) the shapes of some kernels:
 * work-items in a group, vectors that a work-item holds, their width, encode's tile. Everything that is made on a device later uses them,
 * in this process and in others. Kernels that the file does not name, and devices that it does not, have built-in shapes by class of
 * device (CPU, software Vulkan, GPU) and maker.
 *
 * The file: $HSAE_TUNING if set ("off": none), else "tuning.json" in the folder of compiled kernels (hsae_context_params.cache_dir). It is
 * read when the first trainer, session or benchmark is made on a device; which one was used is in the log (debug). Whatever is wrong with
 * it is a warning that says what and where: a file that is not JSON is ignored as a whole, an entry that names no kernel, lacks a field or
 * has a shape that tuning could not have chosen on this device is ignored alone.
 *
 * Shapes set the order in which numbers are added up, so they are part of what makes a run repeatable: same library, device, driver, seed,
 * data and tuning file give the same bits. A run that is to be resumed with the same bits needs the file that it was started with; copy it
 * and set HSAE_TUNING, or set it to "off" for both parts. */
#ifndef HSAE_TUNE_H
#define HSAE_TUNE_H

#include <hsae/bench.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the search goes. Every kernel that takes a noticeable part of a training step is tried at one shape after the other, the nearest to
 * the best so far first. A shape must first prove itself: a few steps of a small model with everything switched on, trained with it from
 * the same seed, must agree with the reference device and with the device's own default within what rounding may do. Then it is timed
 * within real steps (bench.h: made-up data, timed launches, the least of several). The fastest ones run against the default once more,
 * several rounds in turn; one that is not faster in every round, and by HSAE_TUNE_GAIN and a thousandth of the step, is not worth other
 * bits. */
#define HSAE_TUNE_GAIN 0.03

struct hsae_tune_kernel;
typedef struct hsae_tune_params {
    hsae_bench_params work; /* hsae_bench_preset: dim, config and steps (in a timed block) count */
    const char *kernel;     /* only this one, however small; NULL: all */
    double seconds;         /* for the search; larger parts of the step get more of it; 0: 240 */
    /* Called often with what is being done; false stops with CANCELLED, and the device's tuning is what it was. May be NULL. */
    bool (*progress)(void *user, const char *what);
    /* Called when the search of a kernel is done. May be NULL. */
    void (*kernel_done)(void *user, const struct hsae_tune_kernel *kernel);
    void *user;
} hsae_tune_params;

/* Of one kernel: seconds of all its launches in a step. */
typedef struct hsae_tune_kernel {
    const char *name;                      /* static */
    double default_seconds, tuned_seconds; /* the same where the default stays */
    uint32_t shapes;                       /* in the search space, the default included */
    uint32_t tried, rejected;              /* of them: compared with the reference; did not match or cannot run */
    bool changed;
    char default_shape[96], shape[96]; /* as text */
} hsae_tune_kernel;

typedef struct hsae_tune_result {
    uint32_t kernel_count;
    hsae_tune_kernel kernels[HSAE_BENCH_KERNELS];
    double default_step, tuned_step; /* seconds of whole steps: lowest of several blocks, in turn, with all defaults and with all that is
                                        tuned, what the file said of other kernels included */
    double seconds;                  /* that it took */
    bool complete;                   /* every shape of these kernels was tried */
} hsae_tune_result;

/* Searches. Nothing else may be on the device. Afterwards the device uses what was found; hsae_tune_save keeps it. ERROR_UNSUPPORTED on the
 * reference device, ERROR_DRIVER where the device's defaults do not match the reference. */
HSAE_API hsae_status hsae_tune(hsae_device *device, const hsae_tune_params *params, hsae_tune_result *out);

/* Writes the device's tuning to `path` (NULL: hsae_tune_path; its folder is made), beside what it holds of other devices. `result`: its
 * times go with it; may be NULL. */
HSAE_API hsae_status hsae_tune_save(hsae_device *device, const hsae_tune_result *result, const char *path);

/* The file that is read, and written by default: free with hsae_free; NULL: there is none, or no memory. */
HSAE_API char *hsae_tune_path(hsae_context *context);

#ifdef __cplusplus
}
#endif
#endif
