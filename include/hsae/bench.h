/* SPDX-License-Identifier: MIT */
/* The benchmark: how fast a device trains, kernel by kernel, against what the same device reaches at best.
 *
 * Vendor-neutral: the same work and the same counting on every device. The work is the trainer's own step on made-up activations: sums of
 * the model's first encoder rows with positive coefficients, chosen with uneven frequencies and along the tree, plus noise. So levels have
 * about the target L0, and parents and children fire together. No feature is dead, and the learning rate is that of the first steps of a
 * very long run, so that the activity stays what it is.
 *
 * Counting. B samples, width d, N features of all levels, L levels; in the step that is counted P listed pairs (feature, sample), A active
 * ones among them, T touched features (with a listed pair). A multiply-add is 2 operations. Bytes: those that a kernel needs, each once,
 * however often they are fetched.
 *
 *     encode   2 B d N operations; 4 (B d + N d) bytes for x and E, N B / 8 for the bitmap, 4 P for pre-activations, 8 N for scalars;
 *              screen, which finds the same by another way, counts the same, so its rate may be above the peak
 *     decode   2 A d + 3 B d L operations; 4 d T bytes for D, 8 B d L for x and residuals, 8 P for pairs
 *     update   2 P d + 4 A d + 29 d T operations; 32 d T bytes for E, D and their second moments, read and written, 8 B d L for x and
 *              residuals, 16 P for pairs and scores
 *     the rest in src/bench/count.c. The constraint's products of co-active siblings are not counted: rates are a little low.
 *
 * Peaks: multiply-adds of registers; copying a buffer larger than caches, bytes read plus bytes written.
 *
 * Gaps between launches: the wall clock of a block of steps less the times of its own launches. Shares: gaps = gap_seconds / step; extra
 * time of the hierarchy = (kernel_seconds + tree_seconds / hierarchy_period) / flat_kernel_seconds - 1, and the same of whole steps. All of
 * them, kernels and peaks take the least of several times: what disturbs a machine only adds. So gaps and kernels are together no more than
 * a step of any timed block. Reading is hidden while the device has work: a batch counts where the device was still at an older step after
 * it was read. By difference the hidden share is 1 - (fed - step) / read_seconds; that also sees a reader who takes the device's own cores,
 * but is noise where blocks of steps differ by more than a batch takes to read. */
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
    uint32_t dim;            /* d */
    hsae_config config;      /* levels, batch, target_l0, seed, ...; steps, init_l0, dead_steps, tree and lr are set by the benchmark */
    uint32_t steps;          /* steps in each timed block, >= 1 */
    uint64_t copy_bytes;     /* size of the two buffers of the copy peak, where the device has room */
    double longest_step;     /* seconds: ERROR_LIMIT where encode alone would take longer at the measured peak; 0: any length */
    double sustain_seconds;  /* then train for so long and watch the speed; 0: do not */
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

/* Seconds a step: of five blocks of steps, blocks of all kinds taking turns. */
typedef struct hsae_bench_time {
    double median, lowest, highest;
} hsae_bench_time;

typedef struct hsae_bench_result {
    double fma_flops;      /* per second */
    double copy_bandwidth; /* bytes read + bytes written, per second */
    uint64_t copy_bytes;   /* size of each of the two buffers */

    uint32_t level_count;
    hsae_bench_level levels[HSAE_MAX_LEVELS];
    uint64_t hierarchy_period;

    /* Launches in steps whose kernels are timed, in the order of a step's first launches. */
    uint32_t kernel_count;
    hsae_bench_kernel kernels[HSAE_BENCH_KERNELS];
    double kernel_seconds;      /* their sum */
    double gap_seconds;         /* of a step, in which no kernel ran */
    uint32_t submissions;       /* of a step: several where one would keep a driver's watchdog waiting */
    double longest_dispatch;    /* seconds; a kernel may be run in several (HSAE_DISPATCH_MS) */
    double longest_submission;  /* sum of its dispatches */
    double flat_kernel_seconds; /* the same of steps with neither constraint nor perturbation */

    /* Wall clock of whole steps, several in flight. */
    hsae_bench_time step; /* batch resident on the device */
    hsae_bench_time fed;  /* every batch read from the data set, as `hsae train` does */
    hsae_bench_time flat; /* batch resident, neither constraint nor perturbation */
    double read_seconds;  /* a batch alone: read, converted, uploaded */
    double read_hidden;   /* share of reading that the device did not have to wait for; 0 where the device cannot work on its own */
    double tree_seconds;  /* one update of the tree */

    uint64_t device_bytes; /* most that the training allocated on the device at a time */
    uint64_t host_bytes;   /* most that the process had resident (a device on the host's memory included) before the copy peak */

    /* Sustained run; 0 without. */
    double sustained_seconds, tokens_first, tokens_last, tokens_lowest; /* per second */
} hsae_bench_result;

/* Runs everything on an open device. ERROR_DEVICE_MEMORY says how much is needed. */
HSAE_API hsae_status hsae_bench_run(hsae_device *device, const hsae_bench_params *params, hsae_bench_result *out);

#ifdef __cplusplus
}
#endif
#endif
