/* SPDX-License-Identifier: MIT */
/* The memory that a training run would take, buffer by buffer, before it is taken. It answers whether a configuration fits on a device, and
 * which batch or levels would (`hsae train --dry-run`). */
#ifndef HSAE_PLAN_H
#define HSAE_PLAN_H

#include <hsae/config.h>
#include <hsae/data.h>
#include <hsae/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All buffers of one name. */
typedef struct hsae_plan_row {
    char label[48];
    uint32_t buffers;     /* number of them, at the same time */
    uint64_t bytes;       /* sum over them */
    bool allocated_later; /* only for an update of the tree, or once features have died */
    bool host;            /* in host memory, or seen by host and device; not in the device's own */
} hsae_plan_row;

typedef struct hsae_memory_plan {
    hsae_plan_row *rows; /* [row_count], in the order in which they are made */
    size_t row_count;
    uint64_t initial_bytes;   /* on the device at the first step; lists grow where more features are active than expected */
    uint64_t peak_bytes;      /* with the rows that are allocated later, if all features of a level were dead; 0 where it does not fit */
    uint64_t host_bytes;      /* of the trainer and of reading the data; the driver and the process itself come on top */
    uint64_t available_bytes; /* the device's memory; other programs may hold some of it */
    uint32_t launches;        /* of kernels, in a step with a tree and without dead features; 0 where it does not fit */
    bool fits;                /* whether initial_bytes are within the device's limits */
    /* Where it does not fit, what would: */
    uint32_t fitting_batch;                   /* the largest batch, config's halved again and again; 0: none */
    uint32_t fitting_levels[HSAE_MAX_LEVELS]; /* the largest levels with config's batch, all halved again and again; 0: none */
    bool needs_both;                          /* only fitting_batch together with fitting_levels fits */
} hsae_memory_plan;

/* The plan of a new run on the device: on a data set or, where `dataset` is NULL, on rows in memory of width `dim`. A dry run: the
 * trainer's own allocations on a null device that records sizes. That a run does not fit is no error: `fits` is false, and the reason is
 * logged. ERROR_CONFIG: the configuration is not valid. Free with hsae_memory_plan_free. One thread at a time uses the device. */
HSAE_API hsae_status hsae_memory_plan_make(const hsae_device *device, const hsae_config *config, const hsae_dataset *dataset, uint32_t dim,
                                           hsae_memory_plan **out);
/* Chooses config->levels and level_count for `rows` activation vectors of width `dim`; all else in the configuration is as given. Each
 * level has half the features of the next. The last has the largest power of two that is at most 16384 (the paper's), 8 dim, and rows *
 * target_l0 / 500, so that a feature is active on 500 rows or more; it is halved while the run does not fit the device (NULL: any fits).
 * There are as many levels as target_l0 or init_l0 has numbers; where these have one for all, four, without those of fewer than
 * 4 target_l0 features. One thread at a time uses the device. */
HSAE_API void hsae_levels_choose(const hsae_device *device, hsae_config *config, uint32_t dim, uint64_t rows);
/* Sets *plan to NULL; takes NULL. */
HSAE_API void hsae_memory_plan_free(hsae_memory_plan **plan);

#ifdef __cplusplus
}
#endif
#endif
