/* SPDX-License-Identifier: MIT */
/* The internal device interface: buffers, kernels, recorded sequences.
 *
 * device.c is the thick front: it checks every argument, size and limit once, keeps labels for messages, and calls the
 * backend through struct device_ops; a backend function never re-checks. Nothing above this file knows which
 * backend it runs on. Thread-safety: one thread at a time per device (include/hsae/device.h). */
#ifndef HSAE_SRC_DEVICE_H
#define HSAE_SRC_DEVICE_H

#include <hsae/device.h>
#include <stdbool.h>

#include "base/context.h"
#include "kernels/kernel.h"

/* ---- buffers ---- */

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

/* A new buffer, all bytes zero. `label` names it in messages. Size 0 makes the smallest buffer. ERROR_LIMIT, ERROR_DEVICE_MEMORY. */
hsae_status hsae_buffer_create(struct hsae_device *device, const char *label, uint64_t size, enum hsae_buffer_kind kind,
                               struct hsae_buffer **out);
/* Waits for nothing: the caller has waited for every sequence that uses it. Sets *buffer to NULL; takes NULL. */
void hsae_buffer_destroy(struct hsae_buffer **buffer);
uint64_t hsae_buffer_size(const struct hsae_buffer *buffer);
/* DEVICE buffers: ordered after everything submitted, blocks until done. STAGING buffers: at once, beside running sequences; the caller
 * has waited for those that use the buffer. `data` is the caller's and may be reused on return. offset and size are multiples of 4. */
hsae_status hsae_buffer_write(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, const void *data);
hsae_status hsae_buffer_read(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data);
/* A STAGING buffer's own bytes, for the host to write all of them in place: where host and device share memory, nothing is copied. As with
 * a write, the caller has waited for the sequences that use the buffer. *data is valid until hsae_buffer_unmap, after which kernels see it.
 */
hsae_status hsae_buffer_map(struct hsae_buffer *buffer, void **data);
hsae_status hsae_buffer_unmap(struct hsae_buffer *buffer);

/* ---- sequences: launches recorded once, submitted many times ---- */

struct hsae_launch {
    enum hsae_kernel kernel;
    struct hsae_kernel_shape shape;
    uint32_t groups[2];                              /* work-groups in x and y, >= 1 */
    uint32_t first[2];                               /* number of the first one; 0 but for parts of a launch that the front has cut */
    struct hsae_buffer *bindings[HSAE_MAX_BINDINGS]; /* in the order of the kernel; whole buffers; all set */
    const void *args;                                /* the kernel's argument struct; copied */
    double work; /* multiply-adds or floats moved, roughly (speed.h); 0: not known, the launch is never cut */
};

/* HSAE_BIND(&launch, scan, .counts = ..., ...): the kernel's named buffers (kernels/kernel.h). */
#define HSAE_BIND(launch, name, ...) \
    memcpy((launch)->bindings, &(const struct hsae_##name##_buffers){__VA_ARGS__}, sizeof(struct hsae_##name##_buffers))

/* Spreads `groups` work-groups over x and y as the device's limits ask; there may be a few more then. */
void hsae_launch_groups(const struct hsae_device *device, uint64_t groups, struct hsae_launch *launch);

struct hsae_sequence; /* opaque; a backend embeds struct hsae_sequence_base first */

struct hsae_sequence_base {
    struct hsae_device *device;
    uint32_t launch_count;
    bool ended, timed;
    hsae_status status; /* the first error while it was recorded */
    uint64_t ticket;    /* of the last submission; 0: never submitted */
    char label[48];
    double seconds;                 /* that the submission which is being recorded will take (speed.h) */
    uint32_t submissions;           /* before that one */
    double expected;                /* seconds of all of them */
    struct hsae_recorded *recorded; /* timed: each launch */
};

struct hsae_recorded {
    enum hsae_kernel kernel; /* HSAE_KERNEL_COUNT: a vendor's product */
    uint32_t submission;
    double work;
};

/* An empty sequence. `timed`: every launch is timed. */
hsae_status hsae_sequence_create(struct hsae_device *device, const char *label, bool timed, struct hsae_sequence **out);
/* Adds a launch after those recorded, in several dispatches and submissions where it would take long (speed.h). Launches run as if one
 * after the other: what one writes the next reads; barriers follow from the access letters of kernels/list.h. No buffer that is written may
 * be bound twice in one launch. Compiles the kernel if need be.
 * Errors stick: after a launch that fails, further launches of the sequence do nothing, and hsae_sequence_end returns the first error. */
void hsae_sequence_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch);
/* A dense product by a vendor's library, where there is one: c[r ldc + s] = sum over k < depth of a[r lda + k] b[s ldb + k], r < rows, s <
 * columns. a, b and c are three buffers of floats. */
struct hsae_product {
    struct hsae_buffer *a, *b, *c;
    uint32_t rows, columns, depth;
    uint32_t lda, ldb, ldc;
};
bool hsae_device_has_product(const struct hsae_device *device);
/* Records it like a launch. ERROR_UNSUPPORTED where hsae_device_has_product says no. */
void hsae_sequence_product(struct hsae_sequence *sequence, const struct hsae_product *product);
/* No launch can be added after it. Returns the first error of the launches, if any; then the sequence can only be destroyed. */
hsae_status hsae_sequence_end(struct hsae_sequence *sequence);
/* Starts it after all that was submitted before, and returns at once (the reference device: when it is done). A sequence may be
 * submitted again only after a wait for its last ticket. *ticket may be NULL. */
hsae_status hsae_sequence_submit(struct hsae_sequence *sequence, uint64_t *ticket);
/* Waits until the submission of that ticket, and all before it, are done; their writes are visible to the host. 0: everything. A wait that
 * does not end within $HSAE_WAIT_SECONDS (120; 0: never mind) and ten times what the work should take is ERROR_DEVICE_LOST (where no quirk
 * is against it); after a twelfth of that a warning says what is waited for. On a CPU, and where a sequence runs for the first time, which
 * a driver may have to compile for, that is time in which no thread of this process works; 30 times as much with threads at work
 * (patience.h). */
hsae_status hsae_device_wait(struct hsae_device *device, uint64_t ticket);
/* How many launches a sequence has, and, of a timed one, which kernel a launch runs; HSAE_KERNEL_COUNT: a vendor's product. */
uint32_t hsae_sequence_launches(const struct hsae_sequence *sequence);
enum hsae_kernel hsae_sequence_kernel(const struct hsae_sequence *sequence, uint32_t launch);
/* Of a timed one: the submission that a launch is in, from 0. */
uint32_t hsae_sequence_submission(const struct hsae_sequence *sequence, uint32_t launch);
/* Nanoseconds of each launch of the last, waited for, submission: `ns` has launch_count entries. */
hsae_status hsae_sequence_times(struct hsae_sequence *sequence, double *ns);
void hsae_sequence_destroy(struct hsae_sequence **sequence);

/* ---- the backends' side ---- */

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
    /* Optional: NULL or has_product false: no vendor's library. */
    hsae_status (*sequence_product)(struct hsae_sequence *sequence, const struct hsae_product *product);
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
    uint64_t measured; /* 0: it is at least that fast, all launches that were timed were too short to tell more */
};

/* What was measured to be fast on a device (src/device/tuning_file.h); all zero: nothing, defaults are used. */
struct hsae_tuning {
    bool loaded;                                       /* the tuning file was looked for */
    struct hsae_kernel_shape shape[HSAE_KERNEL_COUNT]; /* group_size 0: the default; `ranges` means nothing */
};

struct hsae_problems; /* drivers/drivers.h */

/* First member of every backend's device. `info.limits` may be lowered by tests before anything is made on the device. */
struct hsae_device {
    hsae_context *context;
    const struct device_ops *ops;
    hsae_device_info info;
    uint64_t allocated_bytes;    /* DEVICE buffers, kept by the front: all of them fit info.limits.memory_bytes */
    bool endless;                /* but here: a stand-in that keeps nothing, whose memory is never full */
    uint64_t peak_bytes;         /* the most that all buffers had together */
    uint64_t staging_bytes;      /* STAGING buffers */
    uint64_t buffers, sequences; /* alive, kept by the front */
    uint64_t submitted, waited;  /* last ticket given out, last one known to be done; kept by the front */
    uint64_t first_run; /* last ticket of a sequence's first submission, in which a driver may have to compile; kept by the front */
    uint32_t vendor;    /* PCI id of the maker; set by a backend on opening, 0: unknown */
    bool has_product;   /* set by a backend on opening */
    bool can_time;      /* launches; set by a backend on opening */
    uint32_t quirks;    /* quirks.h */
    struct hsae_tuning tuning;
    uint32_t most_items[HSAE_KERNEL_COUNT]; /* of a group of a compiled kernel (shape.h); 0: was not asked for */
    struct hsae_speed speed[HSAE_KERNEL_COUNT];
    bool speed_loaded;  /* speeds of earlier runs were looked for */
    bool speed_guessed; /* a launch was recorded whose length matters and is not known; the one who records clears it */
    double expected;    /* seconds that the submissions which were not waited for will take (speed.h) */
    bool lost;          /* set by a backend once the device is lost; the front then refuses everything but destruction */
    bool hung;          /* lost, since a wait did not end */
};

/* One row of the backend table in device.c. */
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
/* Of one backend that is built in, under the lock that drivers need. */
hsae_status hsae_backend_enumerate(hsae_context *context, hsae_backend backend, hsae_device_info **list, size_t *count);
void hsae_backend_explain(hsae_context *context, hsae_backend backend, struct hsae_problems *problems);
bool hsae_backend_is_built(hsae_backend backend);
/* A wait with patience, for backends: hsae_device_wait without its checks. */
hsae_status hsae_device_await(struct hsae_device *device, uint64_t ticket);
/* ERROR_DRIVER for what only a device that computes wrong can do: "its lists are not in order". */
hsae_status hsae_fail_wrong(const struct hsae_device *device, const char *format, ...) HSAE_OS_PRINTF(2, 3);
/* Grows a malloc'd array (NULL at first) by one. ERROR_MEMORY. */
hsae_status hsae_device_info_append(hsae_context *context, hsae_device_info **list, size_t *count, const hsae_device_info *info);

/* What a backend knows of the hardware; a UUID of zeros is none. */
void hsae_device_set_pci(hsae_device_info *info, uint32_t domain, uint32_t bus, uint32_t device, uint32_t function);
void hsae_device_set_uuid(hsae_device_info *info, const unsigned char uuid[16]);

extern const struct backend hsae_backend_ref;
#ifdef HSAE_HAVE_OPENCL
extern const struct backend hsae_backend_opencl;
#endif
#ifdef HSAE_HAVE_VULKAN
extern const struct backend hsae_backend_vulkan;
#endif

#endif
