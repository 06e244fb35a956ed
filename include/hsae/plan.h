/* SPDX-License-Identifier: MIT */
/* What a training run takes of memory, told without taking it. */
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
    uint32_t buffers;     /* at the same time */
    uint64_t bytes;       /* of all of them */
    bool allocated_later; /* only for an update of the tree, or once features have died */
    bool host;            /* not on the device: in host memory, or seen by both */
} hsae_plan_row;

typedef struct hsae_memory_plan {
    hsae_plan_row *rows; /* [row_count], in the order in which they are made */
    size_t row_count;
    uint64_t initial_bytes;   /* on the device, from the first step on; lists may grow where more features are active than was asked for */
    uint64_t peak_bytes;      /* with what comes later, were all features of a level dead; 0 where it does not fit */
    uint64_t host_bytes;      /* of the trainer and of reading the data, beyond what the driver and the process itself take */
    uint64_t available_bytes; /* the device's memory; other programs may hold some of it */
    bool fits;                /* initial_bytes, within the device's limits */
    uint32_t fitting_batch;   /* where it does not: the largest batch, halved from config's, that does; 0: none */
    uint32_t fitting_levels[HSAE_MAX_LEVELS]; /* or, with config's batch, the largest levels, all halved from config's, that do; 0: none */
    bool needs_both;                          /* neither does alone: that batch with these levels */
} hsae_memory_plan;

/* The plan of a new run on the device, on a data set, or (NULL) on rows in memory of `dim` numbers. Makes every buffer that a trainer
 * makes, but on a stand-in of the device that keeps nothing. ERROR_CONFIG: the configuration is not valid. That it does not fit is no
 * error: fits is false, and the reason is logged as the error that it would be. Free with hsae_memory_plan_free. Thread-safety: as any use
 * of the device. */
HSAE_API hsae_status hsae_memory_plan_make(const hsae_device *device, const hsae_config *config, const hsae_dataset *dataset, uint32_t dim,
                                           hsae_memory_plan **out);
/* Sets *plan to NULL; takes NULL. */
HSAE_API void hsae_memory_plan_free(hsae_memory_plan **plan);

#ifdef __cplusplus
}
#endif
#endif
