/* SPDX-License-Identifier: MIT */
/* checkgpu: every kernel on every device against the reference device.
 *
 * A kernel's test (tests/kernels/NAME.c) says how to launch it on a fixture, a random training state on the host, and how far each float
 * may be off. The harness poisons what the kernel writes, puts guard words after every buffer, runs both devices and compares whole
 * buffers.
 */
#ifndef HSAE_TESTS_CHECKGPU_H
#define HSAE_TESTS_CHECKGPU_H

#include <stddef.h>

#include "device/device.h"

/* A quiet NaN that no kernel makes: what was never written. */
#define CHECK_POISON 0x7fc0f00du
/* A tolerance: these bits must be equal. */
#define CHECK_EXACT (-1.0f)
/* Both 16-bit halves may be off by one. */
#define CHECK_HALVES (-2.0f)
/* All four bytes may be off by one. */
#define CHECK_BYTES (-4.0f)
/* Room that the kernel has for itself. */
#define CHECK_ANY (-3.0f)

/* The content of a buffer, on the host. */
struct check_words {
    const char *label;
    u32 *at;
    u32 count;
};

/* One launch with its buffers. */
struct check_job {
    enum hsae_kernel kernel;
    struct hsae_kernel_shape shape;
    u32 groups[2];
    bool cut; /* run in parts */
    u32 args[HSAE_MAX_ARGS / sizeof(u32)];
    struct check_words *bindings[HSAE_MAX_BINDINGS];
    /* Of written bindings, as long as the binding: the reference's result, and how far the device may be off it (set to CHECK_EXACT before
     * `bounds`). NULL where it is only read. */
    u32 *expected[HSAE_MAX_BINDINGS];
    f32 *tolerance[HSAE_MAX_BINDINGS];
};

/* struct check_NAME_words: the bindings of a kernel by name; SLOT(NAME, binding): the number of one. */
#define CHECK_WORDS_READ(name)                struct check_words *name;
#define CHECK_WORDS_WRITE(name)               struct check_words *name;
#define CHECK_WORDS_MODIFY(name)              struct check_words *name;
#define CHECK_WORDS_READ4(name)               struct check_words *name[HSAE_MAX_RANGES];
#define CHECK_WORDS_MODIFY4(name)             struct check_words *name[HSAE_MAX_RANGES];
#define CHECK_WORDS_OF(use, slot, type, name) CHECK_WORDS_##use(name)
#define CHECK_WORDS(kernel, ...)          \
    struct check_##kernel##_words {       \
        BINDINGS_##kernel(CHECK_WORDS_OF) \
    };
HSAE_KERNEL_LIST(CHECK_WORDS)
#define SLOT(kernel, name) ((u32)(offsetof(struct check_##kernel##_words, name) / sizeof(struct check_words *)))

struct fixture;

struct check_kernel {
    /* Launches of one training step in this fixture, whose upstream kernels have run. */
    u32 (*launches)(const struct fixture *fixture);
    /* Fills groups, args and bindings of one of them; may prepare what the kernel modifies. */
    void (*launch)(struct fixture *fixture, u32 index, struct check_job *job);
    /* Sets the tolerance of floats from the inputs and the expected result. NULL: all is exact. */
    void (*bounds)(const struct fixture *fixture, const struct check_job *job);
    /* Operations of a launch, of kernels that are bound by them. NULL: not counted. */
    double (*flops)(const struct check_job *job);
    /* Shapes that only this kernel is tested at, besides those of all kernels; devices that cannot run one leave it out. */
    const struct hsae_kernel_shape *shapes;
    u32 shape_count;
};

#define CHECK_DECLARE(name, ...) extern const struct check_kernel hsae_check_##name;
HSAE_KERNEL_LIST(CHECK_DECLARE)
#undef CHECK_DECLARE
extern const struct check_kernel *const check_kernels[HSAE_KERNEL_COUNT];

/* Shapes of kernels with teams. */
enum { CHECK_TEAMS = 3 };
extern const struct hsae_kernel_shape check_teams[CHECK_TEAMS];

/* Runs a job: uploads the bindings, the written ones (access w) as poison, and reads what is written or modified into `results`, arrays
 * with room for the binding and CHECK_GUARD words. ns, may be NULL: the least time of some runs. */
enum { CHECK_GUARD = 64 };
hsae_status check_run(hsae_device *device, const struct check_job *job, u32 *const results[HSAE_MAX_BINDINGS], double *ns);

/* Runs a job on the reference device and takes its results over into the fixture. False: it failed, which was printed. */
bool check_advance(hsae_device *reference, struct check_job *job);

#endif
