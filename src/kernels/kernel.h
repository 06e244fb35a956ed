/* SPDX-License-Identifier: MIT */
/* The kernels as C knows them: facts of each from its line in list.h and its lists in args.h, the struct of its buffers, and how it is
 * specialised for a device. */
#ifndef HSAE_SRC_KERNEL_H
#define HSAE_SRC_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "args.h"
#include "list.h"

enum {
    HSAE_MAX_BINDINGS = 24, /* most bindings of any kernel */
    HSAE_MAX_RANGES = 4,    /* most buffers that a large tensor is cut into */
    HSAE_MAX_ARGS = 128,    /* bytes of an argument struct */
};

/* What a work-group of a kernel works on. */
enum hsae_work {
    HSAE_WORK_ROW,    /* one row of d: lanes share its columns */
    HSAE_WORK_ITEM,   /* lanes are independent */
    HSAE_WORK_TEAM,   /* so are teams of `columns` lanes */
    HSAE_WORK_COLUMN, /* lanes have columns and walk down the batch, in teams where there are many */
    HSAE_WORK_SINGLE, /* the launch is one group, or one a level */
    HSAE_WORK_TILE,   /* encode, screen: lanes have register tiles */
    HSAE_WORK_CHAIN,  /* lanes have registers that do not depend on each other */
    HSAE_WORK_STREAM, /* lanes walk over memory side by side */
};

struct hsae_kernel_info {
    const char *name;
    const char *access; /* one letter a binding: r read, w written (whole, or where documented in the kernel), m read and written */
    uint32_t args_bytes;
    enum hsae_work work;
    const char *group; /* what `hsae bench` counts it to */
};
extern const struct hsae_kernel_info hsae_kernels[HSAE_KERNEL_COUNT];

/* struct hsae_NAME_buffers: the buffers that a launch binds, in the order of the bindings; a tensor cut into ranges is an array of
 * HSAE_MAX_RANGES. */
struct hsae_buffer;
#define HSAE_BUFFER_READ(name)                struct hsae_buffer *name;
#define HSAE_BUFFER_WRITE(name)               struct hsae_buffer *name;
#define HSAE_BUFFER_MODIFY(name)              struct hsae_buffer *name;
#define HSAE_BUFFER_READ4(name)               struct hsae_buffer *name[HSAE_MAX_RANGES];
#define HSAE_BUFFER_MODIFY4(name)             struct hsae_buffer *name[HSAE_MAX_RANGES];
#define HSAE_BUFFER_OF(use, slot, type, name) HSAE_BUFFER_##use(name)
#define HSAE_BUFFERS_STRUCT(kernel, ...)  \
    struct hsae_##kernel##_buffers {      \
        BINDINGS_##kernel(HSAE_BUFFER_OF) \
    };
HSAE_KERNEL_LIST(HSAE_BUFFERS_STRUCT)

/* How a kernel is specialised (dialect.h). The same kernel at two shapes is two compiled kernels. */
struct hsae_kernel_shape {
    uint32_t group_size;   /* WG, a power of two */
    uint32_t columns;      /* COLS, >= 1; of kernels with teams: work-items of one */
    uint32_t ranges;       /* RANGES: 1, 2 or 4 */
    uint32_t vector_width; /* VW: 4, 8 or 16; Vulkan: 4 */
    /* TILE_*, encode's work-group: a grid of work-items, each with `columns` features and some vectors of samples in registers. */
    uint32_t tile_vectors;  /* vectors of samples of a work-item; 0: a whole bitmap word */
    uint32_t tile_words;    /* bitmap words (32 samples each) of a work-group; 0: 1 */
    uint32_t tile_step;     /* columns of d in local memory at a time, a divisor of 16; 0: none do */
    uint32_t tile_pad;      /* vectors of padding after a row in local memory, against bank conflicts */
    uint32_t tile_prefetch; /* 1: registers take the next step's operands while this step's are used */
};

/* What the TILE_* fields mean. */
struct hsae_tile {
    uint32_t features, words; /* of a work-group */
};
/* False where the fields do not fit together: the lanes of a bitmap word must be adjacent in one work-group, and each work-item must load
 * as much as the others. Shapes without TILE_* fields fit. */
bool hsae_shape_tile(const struct hsae_kernel_shape *shape, struct hsae_tile *tile);
/* Bytes of local memory that a work-group of the kernel has; of a shape that hsae_shape_tile refuses: 0. */
uint32_t hsae_local_bytes(enum hsae_kernel kernel, const struct hsae_kernel_shape *shape);

#endif
