/* SPDX-License-Identifier: MIT */
/* The internal device interface: buffers, kernels, recorded sequences. Nothing above it knows which backend it runs on. Thread-safety: one
 * thread at a time per device (include/hsae/device.h). */
#ifndef HSAE_SRC_DEVICE_H
#define HSAE_SRC_DEVICE_H

#include <string.h>

#include "backend.h"

/* Devices that a trainer has which is made on this one: itself, and those that it is joined with. */
uint32_t hsae_device_ranks(const struct hsae_device *device);

/* ---- buffers (buffer.c) ---- */

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

/* ---- sequences: launches recorded once, submitted many times (sequence.c) ---- */

/* HSAE_BIND(&launch, scan, .counts = ..., ...): the kernel's named buffers (kernels/kernel.h). */
#define HSAE_BIND(launch, name, ...) \
    memcpy((launch)->bindings, &(const struct hsae_##name##_buffers){__VA_ARGS__}, sizeof(struct hsae_##name##_buffers))

/* Spreads `groups` work-groups over x and y as the device's limits ask; there may be a few more then. */
void hsae_launch_groups(const struct hsae_device *device, uint64_t groups, struct hsae_launch *launch);

/* An empty sequence. `timed`: every launch is timed. */
hsae_status hsae_sequence_create(struct hsae_device *device, const char *label, bool timed, struct hsae_sequence **out);
/* Adds a launch after those recorded, in several dispatches and submissions where it would take long (speed.h). Launches run as if one
 * after the other: what one writes the next reads; barriers follow from the access letters of kernels/list.h. No buffer that is written may
 * be bound twice in one launch. Compiles the kernel if need be.
 * Errors stick: after a launch that fails, further launches of the sequence do nothing, and hsae_sequence_end returns the first error. */
void hsae_sequence_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch);
bool hsae_device_has_gemm(const struct hsae_device *device);
/* Records it like a launch. ERROR_UNSUPPORTED where hsae_device_has_gemm says no. */
void hsae_sequence_gemm(struct hsae_sequence *sequence, const struct hsae_gemm *product);
/* No launch can be added after it. Returns the first error of the launches, if any; then the sequence can only be destroyed. */
hsae_status hsae_sequence_end(struct hsae_sequence *sequence);
/* Starts it after all that was submitted before, and returns at once (the reference device: when it is done). A sequence may be
 * submitted again only after a wait for its last ticket. *ticket may be NULL. */
hsae_status hsae_sequence_submit(struct hsae_sequence *sequence, uint64_t *ticket);
/* How many launches a sequence has, and, of a timed one, which kernel a launch runs; HSAE_KERNEL_COUNT: a GEMM of a vendor's library. */
uint32_t hsae_sequence_launches(const struct hsae_sequence *sequence);
enum hsae_kernel hsae_sequence_kernel(const struct hsae_sequence *sequence, uint32_t launch);
/* Of a timed one: the submission that a launch is in, from 0. */
uint32_t hsae_sequence_submission(const struct hsae_sequence *sequence, uint32_t launch);
/* Nanoseconds of each launch of the last, waited for, submission: `ns` has launch_count entries. */
hsae_status hsae_sequence_times(struct hsae_sequence *sequence, double *ns);
void hsae_sequence_destroy(struct hsae_sequence **sequence);

/* ---- waiting (wait.c) ---- */

/* Waits until the submission of that ticket, and all before it, are done; their writes are visible to the host. 0: everything. A wait that
 * does not end within $HSAE_WAIT_SECONDS (120; 0: never mind) and ten times what the work should take is ERROR_DEVICE_LOST (where no quirk
 * is against it); after a twelfth of that a warning says what is waited for. On a CPU, and where a sequence runs for the first time, which
 * a driver may have to compile for, that is time in which no thread of this process works; 30 times as much with threads at work
 * (patience.h). */
hsae_status hsae_device_wait(struct hsae_device *device, uint64_t ticket);

/* ---- devices (device.c) ---- */

/* ERROR_DRIVER for what only a device that computes wrong can do: "its lists are not in order". */
hsae_status hsae_fail_wrong(const struct hsae_device *device, const char *format, ...) HSAE_OS_PRINTF(2, 3);

#endif
