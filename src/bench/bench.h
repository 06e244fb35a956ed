/* SPDX-License-Identifier: MIT */
/* The benchmark's insides. */
#ifndef HSAE_SRC_BENCH_H
#define HSAE_SRC_BENCH_H

#include <hsae/bench.h>

#include "train/trainer.h"

/* bench.c: a trainer on made-up data, and blocks of its steps. */
struct bench {
    hsae_device *device;
    hsae_context *context;
    const hsae_bench_params *params;
    hsae_bench_result *out;
    hsae_dataset *data;
    hsae_trainer *trainer;
    double started; /* on hsae_os_seconds's clock */
};
/* The configuration of the run: the preset's, with an activity that stays what it is. ERROR_DEVICE_MEMORY where it cannot fit. */
hsae_status hsae_bench_config(const struct bench *bench, hsae_config *config);
/* Makes data and trainer and warms it up. */
hsae_status hsae_bench_prepare(struct bench *bench, const hsae_config *config);
void hsae_bench_release(struct bench *bench);
/* A block of steps on the batches that the frames hold already; wall clock seconds a step. */
hsae_status hsae_bench_resident_steps(struct bench *bench, uint64_t steps, double *seconds);
/* The launches of timed steps. */
struct times {
    uint32_t launches;
    enum hsae_kernel *kernels; /* [launches] */
    uint32_t *submissions;     /* [launches] */
    double *least, *last;      /* [launches], ns: of all steps, and of one */
    double idle;               /* s of a step in which no launch ran, in the block where they were least */
};
/* A block of steps whose launches are timed, once more where lists grew meanwhile. Records the step anew. Drops times of other launches. */
hsae_status hsae_bench_timed_steps(struct bench *bench, struct times *times);
void hsae_times_free(struct times *times);

/* count.c: what a step has to work on. Sums over all levels unless said. */
struct work {
    uint32_t batch, padded, words, dim, stride, levels; /* B, padded B, bitmap words, d, padded d, L */
    uint32_t raw_bytes;                                 /* of a raw number */
    uint64_t features;                                  /* N */
    uint64_t tallies;                                   /* blocks of the sample lists times padded B */
    uint64_t listed, active, touched;                   /* P, A, T */
    uint64_t with_parent, with_children;                /* features */
};
/* Operations and bytes of all launches of a kernel in one step (include/hsae/bench.h). */
void hsae_bench_count(enum hsae_kernel kernel, const struct work *work, double *flops, double *bytes);
const char *hsae_bench_group(enum hsae_kernel kernel);
/* Counts the trainer's last step, which is done. */
hsae_status hsae_bench_work(hsae_trainer *trainer, struct work *work, hsae_bench_level levels[HSAE_MAX_LEVELS]);

/* peaks.c: operations per second; copy_bytes and copy_bandwidth, with buffers of at most `wanted` bytes. */
hsae_status hsae_bench_fma(hsae_device *device, double *flops);
hsae_status hsae_bench_copy(hsae_device *device, uint64_t wanted, hsae_bench_result *out);
/* gather_count and gathers, with buffers of at most `wanted` bytes. */
hsae_status hsae_bench_gathers(hsae_device *device, uint64_t wanted, hsae_bench_result *out);
/* launch_seconds and submit_seconds. */
hsae_status hsae_bench_launches(hsae_device *device, hsae_bench_result *out);

/* data.c: some batches of activations made from the trainer's encoder and tree, as a file that is gone once the data set is closed. */
hsae_status hsae_bench_data(hsae_trainer *trainer, hsae_dataset **out);

#endif
