/* Devices: everything the library can compute on. Ids are "ref" (plain C on the CPU, always there), "opencl:N", "vulkan:N". */
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
    uint32_t vector_width;         /* floats in the device's native vector; 1 where the compiler does it all */
    uint32_t compute_units;        /* cores, compute units or multiprocessors; 0 = unknown */
} hsae_limits;

typedef struct hsae_device_info {
    char id[32];      /* "opencl:0" */
    char name[256];   /* as the driver gives it */
    char driver[256]; /* platform or driver name and version */
    hsae_backend backend;
    hsae_device_type type;
    hsae_limits limits;
    char pci[16];     /* "0000:03:00.0", "" where the driver does not tell */
    char uuid[40];    /* of the hardware, the same in all drivers that tell; 32 hexadecimal digits, or "" */
    char same_as[32]; /* id of the device that is the same GPU through a driver that is preferred (hsae_device_list); "": there is none */
    const char *second_since; /* why that one is preferred; a static phrase, NULL where `same_as` is "" */
} hsae_device_info;

/* An open device. Several can be open at once. One thread at a time may use a device and the objects made on it; different devices
 * are independent. */
typedef struct hsae_device hsae_device;

/* Listing, choosing and opening: any number of threads at a time.
 *
 * Every device of every backend that is built in and whose loader and drivers are present, the reference last. *list is an array of *count
 * (>= 1); free with hsae_free. A driver that fails is logged as a warning and left out. */
HSAE_API hsae_status hsae_device_list(hsae_context *context, hsae_device_info **list, size_t *count);

/* What is known to be wrong with the device's driver and is made up for: the index-th (from 0) quirk, a phrase; NULL: there are no more, or
 * $HSAE_QUIRKS is "off". *source (NULL: not wanted): who says so. Static strings; any thread. */
HSAE_API const char *hsae_device_quirk(const hsae_device_info *info, size_t index, const char **source);

/* The device that a NULL id opens: $HSAE_DEVICE if set, else the first discrete GPU, else integrated or virtual GPU, else an OpenCL CPU
 * device, else "ref"; of a GPU's drivers, the maker's own before Mesa's OpenCL and layers over others, and OpenCL before Vulkan. Software
 * Vulkan, simulators and drivers that may crash are for asking by id only. `reason` (may be NULL, capacity >= 128) gets a phrase such as
 * "the only GPU". */
HSAE_API hsae_status hsae_device_default(hsae_context *context, char id[32], char *reason);

/* Opens a device; NULL: the default one. ERROR_NO_DEVICE lists the ids that exist. */
HSAE_API hsae_status hsae_device_open(hsae_context *context, const char *id, hsae_device **out);
/* All objects made on the device must be gone. Sets *device to NULL; takes NULL. */
HSAE_API void hsae_device_close(hsae_device **device);
/* Valid while the device is open. */
HSAE_API const hsae_device_info *hsae_device_get_info(const hsae_device *device);

/* Whether the device computes what the reference device does: trains a small model of odd sizes for a few steps on both, with everything
 * switched on, and compares the whole training state; then encodes, decodes and evaluates with that model. A second or two, more where
 * kernels must be compiled. A success is kept in the cache
 * folder, and known from there for the same library, device, driver and tuning unless `again`. ERROR_DRIVER says what is off, and by how
 * much; any other error is one of training or of a session, ERROR_FILE that of a data set in $TMPDIR. Thread-safety: as any use of the
 * device. */
HSAE_API hsae_status hsae_device_test(hsae_device *device, bool again);

#ifdef __cplusplus
}
#endif
#endif
