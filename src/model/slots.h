/* SPDX-License-Identifier: MIT */
/* Every tensor of a model and of a checkpoint, as one list: allocation, freeing, loading and saving walk it, so that a tensor is named,
 * shaped and bounded in one place. */
#ifndef HSAE_SRC_SLOTS_H
#define HSAE_SRC_SLOTS_H

#include "data/safetensors.h"
#include "model.h"

/* What the values of a tensor must be. Floats are finite in any case. */
enum slot_rule {
    RULE_FINITE,
    RULE_POSITIVE,
    RULE_NOT_NEGATIVE,
    RULE_INDEX, /* integers from -1 to below `limit` */
    RULE_COUNT, /* integers from 0 to `limit` */
    RULE_BITS,  /* any bits */
};

/* Tensors of two dimensions and more, whose rows (along the last dimension) need not be in memory. */
enum matrix {
    NO_MATRIX,
    MATRIX_ENCODER,
    MATRIX_DECODER,
    MATRIX_ENCODER_V,
    MATRIX_DECODER_V,
    MATRIX_ACTIVITY,
};

struct slot {
    char name[64];
    enum matrix matrix;
    uint32_t level; /* HSAE_NO_LEVEL: of all levels */
    enum hsae_tensor_type type;
    uint32_t rank;
    uint64_t shape[3];
    enum slot_rule rule;
    int64_t limit;
    bool halves;                  /* F16 and BF16 are read too */
    enum hsae_tensor_type stored; /* F16 or BF16: written as that; 0: as `type` */
    bool optional;                /* zeros where the file lacks it */
    void *place;                  /* where the values are; owned: where the pointer to them is */
    bool owned;
};

enum { HSAE_MODEL_SLOTS = 2 + 6 * HSAE_MAX_LEVELS, HSAE_TRAIN_SLOTS = 6 + 9 * HSAE_MAX_LEVELS };

/* The slots of a model whose config and dim are set (tensors may be missing); returns how many there are. */
size_t hsae_model_slots(struct hsae_model *model, struct slot slots[HSAE_MODEL_SLOTS]);
/* The slots that a checkpoint has in addition. state->step is the limit of the other steps. */
size_t hsae_train_slots(const struct hsae_model *model, struct train_state *state, struct slot slots[HSAE_TRAIN_SLOTS]);

/* Drops the slots that a file may lack and which are zero; returns how many there are left. */
size_t hsae_slots_drop_zeros(struct slot *slots, size_t count);
/* The values, or NULL. */
void *hsae_slot_data(const struct slot *slot);
/* Rows of a matrix, and elements of each of them. */
uint64_t hsae_slot_rows(const struct slot *slot);
uint64_t hsae_slot_row_length(const struct slot *slot);
/* Bytes of all owned slots, or all but matrices; UINT64_MAX: more than can be addressed. */
uint64_t hsae_slots_bytes(const struct slot *slots, size_t count, bool matrices);
/* Zeroed memory for all owned slots, or all but matrices; false: out of memory, some may be allocated. */
bool hsae_slots_alloc(const struct slot *slots, size_t count, bool matrices);
void hsae_slots_free(const struct slot *slots, size_t count);

/* Presence, dtype and shape of every slot, before anything is allocated for them. ERROR_FORMAT. */
hsae_status hsae_slots_check(const hsae_context *context, const char *path, const struct hsae_safetensors *file, const struct slot *slots,
                             size_t count);
/* Reads checked slots, and checks every value; matrices that have no memory are passed to `rows`. ERROR_FORMAT. */
hsae_status hsae_slots_read(const hsae_context *context, const char *path, const struct hsae_safetensors *file, const struct slot *slots,
                            size_t count, const struct matrix_rows *rows);
/* What hsae_slots_write checks first: the values in memory by the rules of reading. `path` (for messages), `rows`: as there. */
hsae_status hsae_slots_verify(const hsae_context *context, const char *path, const struct slot *slots, size_t count,
                              const struct matrix_rows *rows);
/* Writes a file with these slots and the metadata of a model; matrices that have no memory come from `rows`.
 * ERROR_CONFIG, ERROR_DIVERGED, and no file, where reading would refuse a value, or a decoder row from `rows` is not of norm 1. */
hsae_status hsae_slots_write(const hsae_context *context, const char *path, const hsae_config *config, const struct slot *slots,
                             size_t count, const struct matrix_rows *rows);

/* Opens the file, checks that it is one of this library's, and gets its configuration and width. */
hsae_status hsae_model_open(const hsae_context *context, const char *path, struct hsae_safetensors **file, hsae_config *config,
                            uint32_t *dim);
/* Reads the model's part of a file that hsae_model_open has opened; its matrices to `rows` (NULL: into memory). */
hsae_status hsae_model_read(hsae_context *context, const char *path, const struct hsae_safetensors *file, const hsae_config *config,
                            uint32_t dim, const struct matrix_rows *rows, hsae_model **out);

#endif
