/* SPDX-License-Identifier: MIT */
/* The reference device: kernels in plain C on the calling thread, buffers in host memory. A submission is done when it returns. */
#include <stdio.h>
#include <stdlib.h>

#include "device/backend.h"
#include "ref.h"

struct hsae_buffer {
    struct hsae_buffer_base base;
    unsigned char *bytes;
};

struct ref_launch {
    enum hsae_kernel kernel;
    void *bindings[HSAE_MAX_BINDINGS];
    u32 args[HSAE_MAX_ARGS / sizeof(u32)];
    double ns;
};

struct hsae_sequence {
    struct hsae_sequence_base base;
    struct ref_launch *launches;
    size_t capacity;
};

struct ref_device {
    struct hsae_device base;
    uint64_t ticket;
};

/* run_NAME: the kernel on bindings in their order. */
#define AT_READ(slot, name)              .name = b[slot],
#define AT_WRITE(slot, name)             .name = b[slot],
#define AT_MODIFY(slot, name)            .name = b[slot],
#define AT_READ4(slot, name)             .name = {b[slot], b[slot + 1], b[slot + 2], b[slot + 3]},
#define AT_MODIFY4(slot, name)           AT_READ4(slot, name)
#define MEMORY_AT(use, slot, type, name) AT_##use(slot, name)
#define RUN(name, ...)                                                                     \
    static void run_##name(void *const *b, const void *args)                               \
    {                                                                                      \
        hsae_ref_##name(&(struct hsae_##name##_memory){BINDINGS_##name(MEMORY_AT)}, args); \
    }
HSAE_KERNEL_LIST(RUN)

static void (*const kernels[HSAE_KERNEL_COUNT])(void *const *b, const void *args) = {
#define RUN_ENTRY(name, ...) run_##name,
    HSAE_KERNEL_LIST(RUN_ENTRY)};

static hsae_status ref_buffer_create(struct hsae_device *device, uint64_t size, enum hsae_buffer_kind kind, const char *label,
                                     struct hsae_buffer **out)
{
    (void)device, (void)kind, (void)label;
    struct hsae_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer)
        return HSAE_ERROR_DEVICE_MEMORY;
    buffer->bytes = calloc(1, size);
    if (!buffer->bytes) {
        free(buffer);
        return HSAE_ERROR_DEVICE_MEMORY;
    }
    *out = buffer;
    return HSAE_OK;
}

static void ref_buffer_destroy(struct hsae_buffer *buffer)
{
    free(buffer->bytes);
    free(buffer);
}

static hsae_status ref_buffer_write(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, const void *data)
{
    memcpy(buffer->bytes + offset, data, size);
    return HSAE_OK;
}

static hsae_status ref_buffer_read(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data)
{
    memcpy(data, buffer->bytes + offset, size);
    return HSAE_OK;
}

static hsae_status ref_buffer_map(struct hsae_buffer *buffer, void **data)
{
    *data = buffer->bytes;
    return HSAE_OK;
}

static hsae_status ref_buffer_unmap(struct hsae_buffer *buffer)
{
    (void)buffer;
    return HSAE_OK;
}

static hsae_status ref_sequence_create(struct hsae_device *device, bool timed, struct hsae_sequence **out)
{
    (void)timed;
    *out = calloc(1, sizeof **out);
    return *out ? HSAE_OK : hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for a sequence");
}

static hsae_status ref_sequence_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch)
{
    size_t count = sequence->base.launch_count;
    if (count == sequence->capacity) {
        size_t capacity = count ? 2 * count : 16;
        struct ref_launch *grown = realloc(sequence->launches, capacity * sizeof *grown);
        if (!grown)
            return hsae_fail_memory(sequence->base.device->context, capacity * sizeof *grown, NULL, "sequence %s", sequence->base.label);
        sequence->launches = grown;
        sequence->capacity = capacity;
    }
    const struct hsae_kernel_info *kernel = &hsae_kernels[launch->kernel];
    struct ref_launch *recorded = &sequence->launches[count];
    *recorded = (struct ref_launch){.kernel = launch->kernel};
    for (size_t slot = 0; kernel->access[slot]; slot++)
        recorded->bindings[slot] = launch->bindings[slot]->bytes;
    memcpy(recorded->args, launch->args, kernel->args_bytes);
    return HSAE_OK;
}

static hsae_status ref_sequence_cut(struct hsae_sequence *sequence)
{
    (void)sequence;
    return HSAE_OK;
}

static hsae_status ref_sequence_end(struct hsae_sequence *sequence)
{
    (void)sequence;
    return HSAE_OK;
}

static hsae_status ref_sequence_submit(struct hsae_sequence *sequence, uint64_t *ticket)
{
    for (size_t i = 0; i < sequence->base.launch_count; i++) {
        struct ref_launch *launch = &sequence->launches[i];
        double start = hsae_os_seconds();
        kernels[launch->kernel](launch->bindings, launch->args);
        launch->ns = 1e9 * (hsae_os_seconds() - start);
    }
    *ticket = ++((struct ref_device *)sequence->base.device)->ticket;
    return HSAE_OK;
}

static hsae_status ref_sequence_times(struct hsae_sequence *sequence, double *ns)
{
    for (size_t i = 0; i < sequence->base.launch_count; i++)
        ns[i] = sequence->launches[i].ns;
    return HSAE_OK;
}

static void ref_sequence_destroy(struct hsae_sequence *sequence)
{
    free(sequence->launches);
    free(sequence);
}

static hsae_status ref_wait(struct hsae_device *device, uint64_t ticket, double seconds, bool *done)
{
    (void)device, (void)ticket, (void)seconds;
    *done = true;
    return HSAE_OK;
}

static void ref_close(struct hsae_device *device)
{
    free(device);
}

static const struct device_ops ref_ops = {
    .buffer_create = ref_buffer_create,
    .buffer_destroy = ref_buffer_destroy,
    .buffer_write = ref_buffer_write,
    .buffer_read = ref_buffer_read,
    .buffer_map = ref_buffer_map,
    .buffer_unmap = ref_buffer_unmap,
    .sequence_create = ref_sequence_create,
    .sequence_launch = ref_sequence_launch,
    .sequence_cut = ref_sequence_cut,
    .sequence_end = ref_sequence_end,
    .sequence_submit = ref_sequence_submit,
    .sequence_times = ref_sequence_times,
    .sequence_destroy = ref_sequence_destroy,
    .wait = ref_wait,
    .close = ref_close,
};

static hsae_device_info ref_info(void)
{
    uint64_t memory = hsae_os_memory();
    hsae_device_info info = {
        .name = "reference (plain C)",
        .type = HSAE_DEVICE_CPU,
        .limits = {.memory_bytes = memory,
                   .max_allocation_bytes = memory,
                   .max_binding_bytes = memory,
                   .max_bindings = HSAE_MAX_BINDINGS,
                   .max_args_bytes = HSAE_MAX_ARGS,
                   .max_group_size = 1024,
                   .max_groups = {UINT32_MAX, UINT32_MAX},
                   .max_local_bytes = 32 * 1024,
                   .vector_width = 1,
                   .compute_units = 1},
    };
    snprintf(info.driver, sizeof info.driver, "libhsae %s", hsae_version());
    return info;
}

static hsae_status ref_enumerate(hsae_context *context, hsae_device_info **list, size_t *count)
{
    hsae_device_info info = ref_info();
    return hsae_device_info_append(context, list, count, &info);
}

static hsae_status ref_open(hsae_context *context, size_t index, struct hsae_device **out)
{
    (void)index;
    struct ref_device *device = calloc(1, sizeof *device);
    if (!device)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for the reference device");
    device->base.context = context;
    device->base.ops = &ref_ops;
    device->base.info = ref_info();
    *out = &device->base;
    return HSAE_OK;
}

const struct backend hsae_backend_ref = {.backend = HSAE_BACKEND_REF, .name = "ref", .enumerate = ref_enumerate, .open = ref_open};
