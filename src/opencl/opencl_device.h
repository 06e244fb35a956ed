/* SPDX-License-Identifier: MIT */
/* The OpenCL device's insides, shared by opencl_*.c. */
#ifndef HSAE_SRC_OPENCL_DEVICE_H
#define HSAE_SRC_OPENCL_DEVICE_H

#include "device/backend.h"
#include "opencl_api.h"

/* A compiled kernel at one shape. */
struct opencl_program {
    enum hsae_kernel kernel;
    struct hsae_kernel_shape shape;
    cl_program program;
};

/* A submission that was not waited for. */
struct opencl_pending {
    uint64_t ticket;
    cl_event event; /* done when the submission and all before it are */
};

struct opencl_device {
    struct hsae_device base;
    const struct opencl_api *cl;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;    /* in order: sequences, DEVICE buffers */
    cl_command_queue transfer; /* in order: STAGING buffers */
    cl_command_queue timed;    /* in order, profiling: timed sequences, kept in order with `queue` by barriers; NULL until the first */
    char identity[1024];       /* device, driver and platform, with their versions: what a binary depends on */
    struct opencl_program *programs;
    size_t program_count;
    struct opencl_pending *pending; /* ascending */
    size_t pending_count;
    double last_waits[2]; /* seconds that the last two waits for a submission with others after it took */
    uint64_t ticket;
};

struct hsae_buffer {
    struct hsae_buffer_base base;
    cl_mem memory;
    void *host;   /* that `memory` uses, or NULL */
    void *mapped; /* while it is mapped */
};

static inline struct opencl_device *opencl_device(struct hsae_device *device)
{
    return (struct opencl_device *)device;
}

/* The status that an OpenCL error stands for, without a message; marks the device as lost where it is. */
hsae_status hsae_opencl_status(struct opencl_device *device, cl_int error);
/* The same with a message: "opencl:0: <what> <label>: CL_...". */
hsae_status hsae_opencl_fail(struct opencl_device *device, cl_int error, const char *what, const char *label);

/* A new cl_kernel of the caller's, from the cached program of that shape. */
hsae_status hsae_opencl_kernel(struct opencl_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape,
                               cl_kernel *out);
void hsae_opencl_free_programs(struct opencl_device *device);

/* opencl_gemm.c: is there a library for dense products that this device should use? Enqueues one; *event may be NULL. */
bool hsae_opencl_has_gemm(const struct opencl_device *device);
cl_int hsae_opencl_gemm(const struct hsae_gemm *product, cl_command_queue queue, cl_event *event);

/* struct device_ops */
hsae_status hsae_opencl_buffer_create(struct hsae_device *device, uint64_t size, enum hsae_buffer_kind kind, const char *label,
                                      struct hsae_buffer **out);
void hsae_opencl_buffer_destroy(struct hsae_buffer *buffer);
hsae_status hsae_opencl_buffer_write(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, const void *data);
hsae_status hsae_opencl_buffer_read(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data);
hsae_status hsae_opencl_buffer_map(struct hsae_buffer *buffer, void **data);
hsae_status hsae_opencl_buffer_unmap(struct hsae_buffer *buffer);
hsae_status hsae_opencl_sequence_create(struct hsae_device *device, bool timed, struct hsae_sequence **out);
hsae_status hsae_opencl_sequence_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch);
hsae_status hsae_opencl_sequence_gemm(struct hsae_sequence *sequence, const struct hsae_gemm *product);
hsae_status hsae_opencl_sequence_cut(struct hsae_sequence *sequence);
hsae_status hsae_opencl_sequence_end(struct hsae_sequence *sequence);
hsae_status hsae_opencl_sequence_submit(struct hsae_sequence *sequence, uint64_t *ticket);
hsae_status hsae_opencl_sequence_times(struct hsae_sequence *sequence, double *ns);
void hsae_opencl_sequence_destroy(struct hsae_sequence *sequence);
uint32_t hsae_opencl_kernel_items(struct hsae_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape);
hsae_status hsae_opencl_wait(struct hsae_device *device, uint64_t ticket, double seconds, bool *done);

/* Forgets the submissions up to `ticket`. */
void hsae_opencl_drop_pending(struct opencl_device *device, uint64_t ticket);

#endif
