/* Every tensor of a model and of a checkpoint, as one list: allocation, freeing, loading and saving walk it, so that a tensor is named,
 * shaped and bounded in one place. */
#ifndef HSAE_SRC_SLOTS_H
#define HSAE_SRC_SLOTS_H

#include "../data/safetensors.h"
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

struct slot {
    char name[64];
    enum hsae_tensor_type type;
    uint32_t rank;
    uint64_t shape[3];
    enum slot_rule rule;
    int64_t limit;
    bool halves;   /* F16 and BF16 are read too */
    bool optional; /* zeros where the file lacks it */
    void *place;   /* where the values are; owned: where the pointer to them is */
    bool owned;
};

enum { HSAE_MODEL_SLOTS = 2 + 6 * HSAE_MAX_LEVELS, HSAE_TRAIN_SLOTS = 3 + 9 * HSAE_MAX_LEVELS };

/* The slots of a model whose config and dim are set (tensors may be missing); returns how many there are. */
size_t hsae_model_slots(struct hsae_model *model, struct slot slots[HSAE_MODEL_SLOTS]);
/* Those that a checkpoint has beside. state->step is the limit of the other steps. */
size_t hsae_train_slots(const struct hsae_model *model, struct train_state *state, struct slot slots[HSAE_TRAIN_SLOTS]);

/* The values, or NULL. */
void *hsae_slot_data(const struct slot *slot);
/* Zeroed memory for all owned slots; false: out of memory, some may be allocated. */
bool hsae_slots_alloc(const struct slot *slots, size_t count);
void hsae_slots_free(const struct slot *slots, size_t count);

/* Presence, dtype and shape of every slot, before anything is allocated for them. ERROR_FORMAT. */
hsae_status hsae_slots_check(const hsae_context *context, const char *path, const struct hsae_safetensors *file, const struct slot *slots,
                             size_t count);
/* Reads checked slots, and checks every value. ERROR_FORMAT. */
hsae_status hsae_slots_read(const hsae_context *context, const char *path, const struct hsae_safetensors *file, const struct slot *slots,
                            size_t count);
/* Writes a file with these slots and the metadata of a model. */
hsae_status hsae_slots_write(const hsae_context *context, const char *path, const hsae_config *config, const struct slot *slots,
                             size_t count);

/* Opens the file, checks that it is one of this library's, and gets its configuration and width. */
hsae_status hsae_model_open(const hsae_context *context, const char *path, struct hsae_safetensors **file, hsae_config *config,
                            uint32_t *dim);
/* Reads the model's part of a file that hsae_model_open has opened. */
hsae_status hsae_model_read(const hsae_context *context, const char *path, const struct hsae_safetensors *file, const hsae_config *config,
                            uint32_t dim, hsae_model **out);

#endif
