/* SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <stddef.h>

/* One letter a binding. */
#define LETTERS_READ                         "r"
#define LETTERS_WRITE                        "w"
#define LETTERS_MODIFY                       "m"
#define LETTERS_READ4                        "rrrr"
#define LETTERS_MODIFY4                      "mmmm"
#define LETTERS_OF(use, slot, type, binding) LETTERS_##use
#define LETTERS(kernel)                      BINDINGS_##kernel(LETTERS_OF)

#define KERNEL_CHECK(kernel, ...)                                                                                     \
    _Static_assert(sizeof(struct kernel##_args) <= HSAE_MAX_ARGS, #kernel ": argument struct too large");             \
    _Static_assert(sizeof(struct kernel##_args) % 4 == 0, #kernel ": argument struct is not made of 4-byte members"); \
    _Static_assert(sizeof(LETTERS(kernel)) - 1 <= HSAE_MAX_BINDINGS, #kernel ": too many bindings");
HSAE_KERNEL_LIST(KERNEL_CHECK)

const struct hsae_kernel_info hsae_kernels[HSAE_KERNEL_COUNT] = {
#define KERNEL_INFO(name, work, group, body) {#name, LETTERS(name), sizeof(struct name##_args), HSAE_WORK_##work, #group},
    HSAE_KERNEL_LIST(KERNEL_INFO)};

bool hsae_shape_tile(const struct hsae_kernel_shape *shape, struct hsae_tile *tile)
{
    uint32_t vw = shape->vector_width, word = 32 / vw, step = shape->tile_step, group = shape->group_size;
    uint32_t vectors = shape->tile_vectors ? shape->tile_vectors : word, words = shape->tile_words ? shape->tile_words : 1;
    uint32_t lanes = words * word / vectors; /* along the samples */
    *tile = (struct hsae_tile){.words = words};
    if (!lanes || lanes * vectors != words * word || (lanes > 1 && lanes % word) || group % lanes || step > 16 ||
        (step && (16 % step || step % vw)) || shape->tile_prefetch > (step != 0) || (shape->tile_pad && !step))
        return false;
    tile->features = group / lanes * shape->columns;
    return !step || ((uint64_t)tile->features * step / vw % group == 0 && (uint64_t)words * word * step % group == 0);
}

/* ---- local memory, from the lists of local arrays and the names that they use ---- */

struct constants {
    uint64_t WG, COLS, VW, TILE_VECTORS, TILE_WORDS, TILE_STEP, TILE_PAD;
};

#define WG                          constant->WG
#define COLS                        constant->COLS
#define VW                          constant->VW
#define TILE_VECTORS                constant->TILE_VECTORS
#define TILE_WORDS                  constant->TILE_WORDS
#define TILE_STEP                   constant->TILE_STEP
#define TILE_PAD                    constant->TILE_PAD
#define AT_LEAST_1(count)           (count) /* an array that no one uses takes no memory */
#define ONE_IF(condition, count)    ((condition) ? 0u : (count))
#define BYTES_u32                   4u
#define BYTES_f32                   4u
#define BYTES_vf                    (4u * VW)
#define BYTES_OF(type, name, count) +BYTES_##type *(count)
/* A binding's number is its place in the struct of buffers. */
#define SLOT_CHECK(use, slot, type, binding) \
    _Static_assert(offsetof(buffers, binding) == (slot) * sizeof(struct hsae_buffer *), #binding ": number out of order");
#define LOCAL_BYTES(kernel, ...)                                           \
    static uint64_t kernel##_bytes(const struct constants *constant)       \
    {                                                                      \
        typedef struct hsae_##kernel##_buffers buffers;                    \
        (void)constant;                                                    \
        BINDINGS_##kernel(SLOT_CHECK) return 0u LOCALS_##kernel(BYTES_OF); \
    }
HSAE_KERNEL_LIST(LOCAL_BYTES)

uint32_t hsae_local_bytes(enum hsae_kernel kernel, const struct hsae_kernel_shape *shape)
{
#define LOCAL_BYTES_ENTRY(kernel, ...) kernel##_bytes,
    static uint64_t (*const bytes_of[HSAE_KERNEL_COUNT])(const struct constants *) = {HSAE_KERNEL_LIST(LOCAL_BYTES_ENTRY)};
    const struct constants constant = {shape->group_size, shape->columns,   shape->vector_width, shape->tile_vectors,
                                       shape->tile_words, shape->tile_step, shape->tile_pad};
    struct hsae_tile tile;
    uint64_t bytes = hsae_shape_tile(shape, &tile) ? bytes_of[kernel](&constant) : 0;
    return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}
