/* SPDX-License-Identifier: MIT */
/* What a backend implements: struct device_ops and struct backend, and the structs that it shares with the front. A backend includes this
 * header and none of the front's others, except that it may explain drivers (drivers.h) and ask for quirks (quirks.h).
 *
 * The front (buffer.c, sequence.c, wait.c) checks every argument, size and limit once, keeps labels for messages, and calls the backend; a
 * backend function never re-checks. */
#ifndef HSAE_SRC_BACKEND_H
#define HSAE_SRC_BACKEND_H

#include <hsae/network.h>
#include <stdbool.h>

#include "base/context.h"
#include "kernels/kernel.h"

/* ---- what is shared with the front ---- */

enum hsae_buffer_kind {
    HSAE_BUFFER_DEVICE, /* lives on the device */
    HSAE_BUFFER_STAGING /* small or per batch: the host writes or reads it often, kernels see it too */
};

struct hsae_buffer; /* opaque; a backend embeds struct hsae_buffer_base first */

struct hsae_buffer_base {
    struct hsae_device *device;
    uint64_t size; /* bytes, a multiple of 4 */
    enum hsae_buffer_kind kind;
    bool mapped; /* kept by the front */
    char label[48];
};

struct hsae_launch {
    enum hsae_kernel kernel;
    struct hsae_kernel_shape shape;
    uint32_t groups[2];                              /* work-groups in x and y, >= 1 */
    uint32_t first[2];                               /* number of the first one; 0 but for parts of a launch that the front has cut */
    struct hsae_buffer *bindings[HSAE_MAX_BINDINGS]; /* in the order of the kernel; whole buffers; all set */
    const void *args;                                /* the kernel's argument struct; copied */
    double work; /* multiply-adds or floats moved, roughly (speed.h); 0: not known, the launch is never cut */
};

struct hsae_sequence; /* opaque; a backend embeds struct hsae_sequence_base first */

struct hsae_sequence_base {
    struct hsae_device *device;
    uint32_t launch_count;
    bool ended, timed;
    hsae_status status; /* the first error while it was recorded */
    uint64_t ticket;    /* of the last submission; 0: never submitted */
    char label[48];
    double seconds;                 /* predicted duration of the submission being recorded (budget.h) */
    uint32_t submissions;           /* before it */
    double expected;                /* seconds of all of them */
    struct hsae_recorded *recorded; /* timed: each launch */
};

struct hsae_recorded {
    enum hsae_kernel kernel; /* HSAE_KERNEL_COUNT: a GEMM of a vendor's library */
    uint32_t submission;
    double work;
};

/* A dense product by a vendor's library, where there is one: c[r ldc + s] = sum over k < depth of a[r lda + k] b[s ldb + k], r < rows, s <
 * columns. a, b and c are three buffers of floats. */
struct hsae_gemm {
    struct hsae_buffer *a, *b, *c;
    uint32_t rows, columns, depth;
    uint32_t lda, ldb, ldc;
};

/* ---- the backend ---- */

/* All entries are needed. The front has checked every argument. It fills struct hsae_buffer_base and hsae_sequence_base after a create and
 * keeps launch_count (in sequence_launch: the index of the new launch), ended and ticket. Backends say what failed with hsae_fail, except
 * that buffer_create gives ERROR_DEVICE_MEMORY without a message: the front knows how much is in use. Tickets count up from 1. */
struct device_ops {
    hsae_status (*buffer_create)(struct hsae_device *device, uint64_t size, enum hsae_buffer_kind kind, const char *label,
                                 struct hsae_buffer **out);
    void (*buffer_destroy)(struct hsae_buffer *buffer);
    hsae_status (*buffer_write)(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, const void *data);
    hsae_status (*buffer_read)(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data);
    hsae_status (*buffer_map)(struct hsae_buffer *buffer, void **data);
    hsae_status (*buffer_unmap)(struct hsae_buffer *buffer);
    hsae_status (*sequence_create)(struct hsae_device *device, bool timed, struct hsae_sequence **out);
    hsae_status (*sequence_launch)(struct hsae_sequence *sequence, const struct hsae_launch *launch);
    /* Optional: NULL or has_gemm false: no vendor's library. */
    hsae_status (*sequence_gemm)(struct hsae_sequence *sequence, const struct hsae_gemm *product);
    /* What follows is a submission of its own; there are launches before it. */
    hsae_status (*sequence_cut)(struct hsae_sequence *sequence);
    hsae_status (*sequence_end)(struct hsae_sequence *sequence);
    hsae_status (*sequence_submit)(struct hsae_sequence *sequence, uint64_t *ticket);
    hsae_status (*sequence_times)(struct hsae_sequence *sequence, double *ns);
    void (*sequence_destroy)(struct hsae_sequence *sequence);
    /* Compiles the kernel; how many work-items a group of it may have, 0 where that fails. NULL: as many as limits.max_group_size. */
    uint32_t (*kernel_items)(struct hsae_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape);
    /* False: it is not done after `seconds` (<= 1). */
    hsae_status (*wait)(struct hsae_device *device, uint64_t ticket, double seconds, bool *done);
    /* Not called for a device that is `hung`, nor are the other functions that give something back: the driver may wait for ever. */
    void (*close)(struct hsae_device *device);
};

/* How fast a kernel is on a device (speed.h). */
struct hsae_speed {
    double work;       /* in a second; 0: was never timed */
    uint64_t measured; /* 0: `work` is a lower bound, since all timed launches were too short */
};

/* What was measured to be fast on a device (src/device/tuning_file.h); all zero: nothing, defaults are used. */
struct hsae_tuning {
    bool loaded;                                       /* the tuning file was looked for */
    struct hsae_kernel_shape shape[HSAE_KERNEL_COUNT]; /* group_size 0: the default; `ranges` means nothing */
};

struct hsae_problems; /* drivers.h */

/* First member of every backend's device. `info.limits` may be lowered by tests before anything is made on the device. */
struct hsae_device {
    hsae_context *context;
    const struct device_ops *ops;
    hsae_device_info info;
    uint64_t allocated_bytes;    /* DEVICE buffers, kept by the front: all of them fit info.limits.memory_bytes */
    bool unlimited_memory;       /* null device used by memory plans: allocations always succeed */
    uint64_t peak_bytes;         /* the most that all buffers had together */
    uint64_t staging_bytes;      /* STAGING buffers */
    uint64_t buffers, sequences; /* alive, kept by the front */
    uint64_t submitted, waited;  /* last ticket given out, last one known to be done; kept by the front */
    uint64_t first_run; /* last ticket of a sequence's first submission, in which a driver may have to compile; kept by the front */
    uint32_t vendor;    /* PCI id of the maker; set by a backend on opening, 0: unknown */
    bool has_gemm;      /* set by a backend on opening */
    bool can_time;      /* launches; set by a backend on opening */
    uint32_t quirks;    /* quirks.h */
    struct hsae_tuning tuning;
    uint32_t max_kernel_group_size[HSAE_KERNEL_COUNT]; /* work-items that the driver allows a group of the compiled kernel (shape.h); 0: not
                                                          asked yet */
    struct hsae_speed speed[HSAE_KERNEL_COUNT];
    bool speed_loaded;           /* speeds of earlier runs were looked for */
    bool speed_guessed;          /* set when a launch was cut by a guessed speed; cleared before a step is recorded */
    double expected;             /* predicted seconds of the submissions that were not waited for (budget.h) */
    struct hsae_device **joined; /* hsae_device_join: the other devices of its trainers; kept by the front */
    uint32_t joined_count;
    hsae_network network; /* hsae_device_join_network; ranks 0: none */
    bool lost;            /* set by a backend once the device is lost; the front then refuses everything but destruction */
    bool hung;            /* lost, since a wait did not end */
};

/* One row of the table of backends (backend_table.c). */
struct backend {
    hsae_backend backend;
    const char *name; /* prefix of ids */
    /* Appends its devices with hsae_device_info_append (id and backend are left to the front); a missing loader or driver is 0 devices. */
    hsae_status (*enumerate)(hsae_context *context, hsae_device_info **list, size_t *count);
    /* Opens the index-th device of that enumeration: context, ops and info are filled, as before. The index exists. */
    hsae_status (*open)(hsae_context *context, size_t index, struct hsae_device **out);
    /* Adds what keeps drivers that are there from having devices; NULL: nothing is known. */
    void (*explain)(hsae_context *context, struct hsae_problems *problems);
};
/* A wait with patience, for backends: hsae_device_wait without its checks. */
hsae_status hsae_device_await(struct hsae_device *device, uint64_t ticket);
/* Grows a malloc'd array (NULL at first) by one. ERROR_MEMORY. */
hsae_status hsae_device_info_append(hsae_context *context, hsae_device_info **list, size_t *count, const hsae_device_info *info);

/* What a backend knows of the hardware; a UUID of zeros is none. */
void hsae_device_set_pci(hsae_device_info *info, uint32_t domain, uint32_t bus, uint32_t device, uint32_t function);
void hsae_device_set_uuid(hsae_device_info *info, const unsigned char uuid[16]);

#endif
