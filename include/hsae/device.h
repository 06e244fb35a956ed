/* SPDX-License-Identifier: MIT */
/* Devices: what the library computes on. A program lists them, opens one by its id, and makes trainers (trainer.h) and sessions (model.h)
 * on it. Ids are "ref" (plain C on the CPU, always there), "opencl:N" and "vulkan:N". */
#ifndef HSAE_DEVICE_H
#define HSAE_DEVICE_H

#include <hsae/status.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hsae_backend { HSAE_BACKEND_REF, HSAE_BACKEND_OPENCL, HSAE_BACKEND_VULKAN } hsae_backend;
typedef enum hsae_device_type {
    HSAE_DEVICE_CPU,
    HSAE_DEVICE_INTEGRATED, /* GPU that shares the host's memory */
    HSAE_DEVICE_DISCRETE,   /* GPU with its own memory */
    HSAE_DEVICE_VIRTUAL,    /* GPU in a virtual machine, or an accelerator of unknown kind */
} hsae_device_type;

/* What a device allows. Plain numbers; 0 = unsupported. */
typedef struct hsae_limits {
    uint64_t memory_bytes;         /* size of the device's memory (heap) */
    uint64_t max_allocation_bytes; /* largest single buffer */
    uint64_t max_binding_bytes;    /* largest buffer that a kernel can see through one binding */
    uint32_t max_bindings;         /* buffers that one kernel can see */
    uint32_t max_args_bytes;       /* argument struct (push constants) */
    uint32_t max_group_size;       /* work-items in a work-group */
    uint32_t max_groups[2];        /* work-groups of a launch, x and y */
    uint32_t max_local_bytes;      /* local (shared) memory of a work-group */
    uint32_t vector_width;         /* floats in the device's native vector; 1: the compiler vectorises by itself */
    uint32_t compute_units;        /* cores, compute units or multiprocessors; 0 = unknown */
} hsae_limits;

/* A product that matrix units compute for a subgroup: result [m, n] = a [m, k] b [k, n] + c. Types by name: f16, bf16, f32, i8, u8, i32 ...
 */
#define HSAE_DEVICE_MATRICES 16
typedef struct hsae_device_matrix {
    uint32_t m, n, k;
    const char *a, *b, *c, *result; /* static */
} hsae_device_matrix;

/* What the driver tells of a device's units; 0 where it does not. Nothing is chosen by it. */
typedef struct hsae_device_units {
    uint32_t min_subgroup, max_subgroup; /* work-items of a subgroup (warp, wave) */
    uint32_t clock_mhz;                  /* the highest */
    bool dot_products;                   /* of four signed 8-bit numbers, in hardware */
    uint32_t matrix_count;               /* shapes of matrix units, of which the first HSAE_DEVICE_MATRICES are in `matrices` */
    hsae_device_matrix matrices[HSAE_DEVICE_MATRICES];
} hsae_device_units;

typedef struct hsae_device_info {
    char id[32];      /* "opencl:0" */
    char name[256];   /* as the driver gives it */
    char driver[256]; /* platform or driver name and version */
    hsae_backend backend;
    hsae_device_type type;
    hsae_limits limits;
    hsae_device_units units;
    char pci[16];     /* "0000:03:00.0", "" where the driver does not tell */
    char uuid[40];    /* of the hardware, the same in all drivers that tell; 32 hexadecimal digits, or "" */
    char same_as[32]; /* id of the device that is the same GPU through a driver that is preferred (hsae_device_list); "": there is none */
    bool without_quirks;        /* the setting QUIRKS is "off": known faults of the driver are not worked around */
    const char *same_as_reason; /* why that one is preferred; a static phrase, NULL where `same_as` is "" */
} hsae_device_info;

/* An open device. Several can be open at once. One thread at a time may use a device and the objects made on it; different devices
 * are independent. */
typedef struct hsae_device hsae_device;

/* Listing, choosing and opening: any number of threads at a time.
 *
 * Every device of every backend that is built in and whose loader and drivers are present, the reference last. *list is an array of *count
 * (>= 1); free with hsae_free. A driver that fails is logged as a warning and left out. */
HSAE_API hsae_status hsae_device_list(hsae_context *context, hsae_device_info **list, size_t *count);

/* Driver workarounds that are active on this device: the index-th (from 0) known fault, a phrase. NULL: there are no more, or
 * info->without_quirks is set. *source (NULL: not wanted): who says so. Static strings; any thread. */
HSAE_API const char *hsae_device_quirk(const hsae_device_info *info, size_t index, const char **source);

/* The device that a NULL id opens: $HSAE_DEVICE if set, else the first discrete GPU, else integrated or virtual GPU, else an OpenCL CPU
 * device, else "ref"; of a GPU's drivers, the maker's own before Mesa's OpenCL and layers over others, and OpenCL before Vulkan. Software
 * Vulkan, simulators and drivers that may crash are for asking by id only. `reason` (may be NULL, capacity >= 128) gets a phrase such as
 * "the only GPU". */
HSAE_API hsae_status hsae_device_default(hsae_context *context, char id[32], char *reason);

/* The index of the device that would be the default if `list` were all devices: for a program that continues with the next best one. `list`
 * [count], count >= 1, is from hsae_device_list, some devices taken out; its `same_as` is filled anew. `reason` as above. */
HSAE_API size_t hsae_device_best(hsae_device_info *list, size_t count, char *reason);

/* Something that keeps a device from being used, or a driver that was left out. */
typedef struct hsae_device_problem {
    hsae_backend backend; /* HSAE_BACKEND_REF: it is of none */
    char what[512];       /* "the OpenCL platform X has no device" */
    char remedy[256];     /* what may help; "": not known */
    bool left_out;        /* a driver that crashed or hung when it was tried, and is not used */
} hsae_device_problem;
/* Drivers without devices, files that name drivers and do not load, loaders that are not installed, devices that may not be opened. With
 * hsae_context_params.program drivers are looked at in a child process; those that crash or hang there are problems, too. `again` also
 * tries drivers that are remembered as failing. A process decides that once, so call this before other functions of devices. *list is an
 * array of *count (>= 0); free with hsae_free. */
HSAE_API hsae_status hsae_device_problems(hsae_context *context, bool again, hsae_device_problem **list, size_t *count);

/* Opens a device; NULL: the default one, and no other if that fails. ERROR_NO_DEVICE lists the ids that exist. */
HSAE_API hsae_status hsae_device_open(hsae_context *context, const char *id, hsae_device **out);
/* All objects made on the device must be gone. Sets *device to NULL; takes NULL. */
HSAE_API void hsae_device_close(hsae_device **device);
/* Trainers that are made on `device` from now on also train on others[0 .. count - 1], all open, until it is joined anew; 0: with none.
 * Each device gets the features of as many shards, so their number, the first included, is a power of two that divides `shards`
 * (hsae_trainer_create: else ERROR_CONFIG), and takes its part of the memory. A device may be opened twice and be joined with itself. The
 * trainer uses all of them, each in a thread of its own; sessions, encoding and evaluation use `device` alone. The others are closed after
 * the trainers are gone. The bits of the model depend on `shards`, not on how many devices of one kind there are. Steps are not compared
 * with the reference. A message of another device than the first comes from its thread, so hsae_last_error does not have it. ERROR_MEMORY.
 */
HSAE_API hsae_status hsae_device_join(hsae_device *device, hsae_device *const *others, uint32_t count);
/* Valid while the device is open. */
HSAE_API const hsae_device_info *hsae_device_get_info(const hsae_device *device);

/* Whether the device computes what the reference device does: trains a small model of odd sizes for a few steps on both, with everything
 * switched on, and compares the whole training state; then encodes, decodes and evaluates with that model. That takes a second or two, more
 * where kernels must be compiled. A success is kept in the cache folder and not tried again for the same library, kernels, device, driver
 * and tuning, unless `again`. ERROR_DRIVER says what differs, and by how much; any other error is one of training or of a session,
 * ERROR_FILE that of a data set in $TMPDIR. One thread at a time uses the device. */
HSAE_API hsae_status hsae_device_test(hsae_device *device, bool again);

/* Opens the device, tests it (hsae_device_test) and closes it: in a child process where hsae_context_params.program names a program, else
 * in this one. Call it before hsae_device_open. Errors: ERROR_DEVICE_LOST where the driver crashes or hangs, those of hsae_device_open and
 * hsae_device_test, CANCELLED. The outcome is kept in the cache folder, and later calls return it unless `again`. Any thread. */
HSAE_API hsae_status hsae_device_try(hsae_context *context, const char *id, bool again);

/* The work of the program that hsae_context_params.program names: `words` [count] are its arguments after "__probe". It loads drivers,
 * which may crash or hang, so the program does nothing else. *answer is one line to print on standard output; free with hsae_free.
 * ERROR_ARGUMENT: the words come from another version of the library. */
HSAE_API hsae_status hsae_device_probe(size_t count, char *const *words, char **answer);

#ifdef __cplusplus
}
#endif
#endif
