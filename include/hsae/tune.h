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

/* The file that is read, and written by default: free with hsae_free; NULL: there is none, or no memory. */
HSAE_API char *hsae_tune_path(hsae_context *context);

#ifdef __cplusplus
}
#endif
#endif
