/* SPDX-License-Identifier: MIT */
/* The benchmark: how fast a device trains, kernel by kernel, against the multiply-adds and copies that the same device reaches at best.
 *
 * The work and the counting are the same on every device. The work is the trainer's own step on made-up activations: sums of the model's
 * first encoder rows with positive coefficients, chosen with uneven frequencies and along the tree, plus noise. So levels have about the
 * target L0, and parents and children are active together. No feature is dead, and the learning rate is that of the first steps of a very
 * long run, so that the activity stays the same.
 *
 * Counts of operations and bytes. B: samples; d: width; N: features of all levels; L: levels; in the counted step P: listed pairs (feature,
 * sample); A: active ones among them; T: features with a listed pair. A multiply-add is 2 operations. Bytes are those that a kernel needs,
 * each counted once.
 *
 *     encode    operations  2 B d N
 *               bytes       4 (B d + N d) for x and E + N B / 8 for the bitmap + 4 P for pre-activations + 8 N for scalars
 *     decode    operations  2 A d + 3 B d L
 *               bytes       4 d T for D + 8 B d L for x and residuals + 8 P for pairs
 *     update    operations  2 P d + 4 A d + 29 d T
 *               bytes       32 d T for E, D and their second moments, read and written + 8 B d L for x and residuals + 16 P for pairs
 *
 * The other kernels: src/bench/count.c. `screen` finds what `encode` finds and counts the same, so its rate may be above the peak. The
 * constraint's products of co-active siblings are not counted, so rates are a little low.
 *
 * Peaks: multiply-adds in registers; copying a buffer larger than caches, bytes read plus bytes written; reading rows of 9,216 bytes that
 * lie anywhere in buffers of several sizes, as `decode` and `update` do.
 *
 * Times. Each is the least of several, as disturbances only add:
 *
 *     gap_seconds        = wall clock of a block of steps - the times of its launches, per step
 *     share of gaps      = gap_seconds / step
 *     hierarchy's extra  = (kernel_seconds + tree_seconds / hierarchy_period) / flat_kernel_seconds - 1, and the same of whole steps
 *     read_hidden        = share of batches after whose reading the device was still at an older step
 *     the same from differences = 1 - (fed - step) / read_seconds
 *
 * gap_seconds + kernel_seconds is at most the step of any timed block. The last formula also sees reading that takes the device's own
 * cores, but is noise where blocks of steps differ by more than the reading of a batch takes. */
#ifndef HSAE_BENCH_H
#define HSAE_BENCH_H

#include <hsae/config.h>
#include <hsae/device.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is run. Start from hsae_bench_preset and change what differs. */
typedef struct hsae_bench_params {
    uint32_t dim;          /* d */
    hsae_config config;    /* levels, batch, target_l0, seed, ...; steps, init_l0, dead_steps, tree and lr are set by the benchmark */
    uint32_t steps;        /* steps in each timed block, >= 1 */
    uint64_t copy_bytes;   /* size of the two buffers of the copy peak, where the device has room */
    double longest_step;   /* seconds; ERROR_LIMIT if encode alone would take longer at the measured peak; 0: no limit */
    double budget_seconds; /* fewer rounds of blocks once they would end later than this; one in any case, after what prepares it; 0: all */
    double sustain_seconds;  /* length of a training run after the measurements, to see whether the speed holds; 0: none */
    double sustain_interval; /* seconds between calls of `interval`; 0: 10 */
    /* Called before each part of the work and between steps of a long one; false stops with CANCELLED. May be NULL. */
    bool (*progress)(void *user, const char *what);
    /* Speed of the interval that ends `seconds` after the start of the sustained run. May be NULL. */
    void (*interval)(void *user, double seconds, double tokens_per_second);
    void *user;
} hsae_bench_params;

/* Names: "paper" (d 2304; 2048, 4096, 8192, 16384; B 1024; L0 50), "laptop" (d 768; 512, 1024, 2048, 4096; B 512; L0 32), "tiny" (seconds
 * even on the reference device: d 64; 64, 128, 256; B 64; L0 8). ERROR_ARGUMENT names them. */
HSAE_API hsae_status hsae_bench_preset(hsae_context *context, const char *name, hsae_bench_params *out);

#define HSAE_BENCH_KERNELS 64

/* All launches of one kernel in a step. */
typedef struct hsae_bench_kernel {
    const char *name;  /* static */
    const char *group; /* static: load, encode, lists, decode, update, hierarchy, control, ghost, tree */
    uint32_t launches;
    double seconds; /* least over some steps of each launch, summed */
    double flops, bytes;
} hsae_bench_kernel;

/* Counts of the step that was timed. */
typedef struct hsae_bench_level {
    uint32_t features;
    uint64_t listed, active, touched; /* P, A, T of this level */
    uint64_t with_parent;             /* features that have a parent */
    double p_parent_given_child;      /* of active features with a parent, the share whose parent is active too; NaN: none */
} hsae_bench_level;

/* Rows of 9,216 bytes (width 2304) read from anywhere in a buffer. */
#define HSAE_BENCH_GATHERS 5
typedef struct hsae_bench_gather {
    uint64_t bytes;   /* of the buffer */
    double bandwidth; /* bytes read per second */
} hsae_bench_gather;

/* Of several times: steps of five blocks (fewer within a budget), blocks of all kinds taking turns; or calls. */
typedef struct hsae_bench_time {
    double median, lowest, highest;
} hsae_bench_time;

/* One call of hsae_session_encode, from host memory to host memory. */
#define HSAE_BENCH_CALLS 3
typedef struct hsae_bench_call {
    uint32_t vectors; /* 1, 16, 1024 */
    hsae_bench_time time;
} hsae_bench_call;

typedef struct hsae_bench_result {
    double fma_flops;      /* per second */
    double copy_bandwidth; /* bytes read + bytes written, per second */
    uint64_t copy_bytes;   /* size of each of the two buffers */
    uint32_t gather_count; /* buffers of 2, 8, 32, 128 and 512 MiB, as far as a buffer may have that size and is an eighth of memory */
    hsae_bench_gather gathers[HSAE_BENCH_GATHERS];
    double launch_seconds; /* of a launch with nothing to do, after another one in the same submission */
    double submit_seconds; /* of a submission with one such launch, until the host knows that it is done */

    uint32_t level_count;
    hsae_bench_level levels[HSAE_MAX_LEVELS];
    uint64_t hierarchy_period;

    /* Launches in steps whose kernels are timed, in the order of a step's first launches. */
    uint32_t kernel_count;
    hsae_bench_kernel kernels[HSAE_BENCH_KERNELS];
    double kernel_seconds;      /* their sum */
    double gap_seconds;         /* of a step, without a kernel running */
    uint32_t submissions;       /* of a step: several where one would keep a driver's watchdog waiting */
    double longest_dispatch;    /* seconds; a kernel may be run in several (HSAE_DISPATCH_MS) */
    double longest_submission;  /* sum of its dispatches */
    double flat_kernel_seconds; /* the same of steps with neither constraint nor perturbation */

    /* Wall clock of whole steps, several in flight. */
    hsae_bench_time step; /* batch resident on the device */
    hsae_bench_time fed;  /* every batch read from the data set, as `hsae train` does */
    hsae_bench_time flat; /* batch resident, neither constraint nor perturbation */
    double read_seconds;  /* a batch alone: read, converted, uploaded */
    double read_hidden;   /* share of reading during which the device worked; 0: the device cannot work by itself */
    double tree_seconds;  /* one update of the tree */
    uint32_t rounds;      /* blocks of each kind */

    /* Encoding with the model as it is then, the trainer gone. */
    hsae_bench_call encode[HSAE_BENCH_CALLS];

    uint64_t device_bytes; /* peak of the training's allocations on the device */
    uint64_t host_bytes;   /* peak of the process's resident memory before the copy peak, a device on the host's memory included */

    /* Sustained run; 0 without. */
    double sustained_seconds, tokens_first, tokens_last, tokens_lowest; /* per second */
} hsae_bench_result;

/* Runs everything on an open device; nothing else may use it meanwhile. ERROR_DEVICE_MEMORY says how much is needed. ERROR_LIMIT,
 * CANCELLED. */
HSAE_API hsae_status hsae_bench_run(hsae_device *device, const hsae_bench_params *params, hsae_bench_result *out);

#ifdef __cplusplus
}
#endif
#endif
