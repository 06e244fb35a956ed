/* SPDX-License-Identifier: MIT */
/* A model that several devices train together. Each has a trainer, with the same configuration and the features of its part (part.h). The
 * first one leads: it is the caller's, and its calls send orders to the others, which wait for them in a thread each. What an order needs
 * from everyone is exchanged by base/peers.h. A trainer without a crew has all features. */
#ifndef HSAE_SRC_CREW_H
#define HSAE_SRC_CREW_H

#include "base/peers.h"
#include "model/slots.h"
#include "step.h"

enum order_kind {
    ORDER_PART,     /* features move to where the leader's tree has them; what they hold follows by other orders */
    ORDER_ROWS,     /* rows of a matrix are collected, or handed out */
    ORDER_VECTORS,  /* all but the matrices is handed out */
    ORDER_FEATURES, /* words of every feature are collected */
    ORDER_FIRST,    /* the first thresholds are looked for */
    ORDER_STEP,
    ORDER_FIGURES, /* sums of the last step's figures */
    ORDER_LINK,    /* new parents */
};

struct order {
    enum order_kind kind;
    bool write;         /* ROWS: to the devices */
    enum matrix matrix; /* ROWS */
    uint32_t level;
    uint64_t row, count;      /* ROWS: of the level */
    enum feature_words words; /* FEATURES */
    uint64_t step;            /* STEP */
    double rate;
    hsae_dtype dtype;
};

struct crew {
    struct hsae_peers *peers;
    struct part part;
    bool unlike;                                       /* the devices are not all of one kind */
    struct hsae_buffer *send[2 * HSAE_MAX_LEVELS];     /* [padded][stride]: this device's sum of each level, then of its ghosts' y */
    struct hsae_buffer *received[2 * HSAE_MAX_LEVELS]; /* [ranks][padded][stride]: those of all */
    float *floats;                                     /* [1 + ranks][padded][stride]: both, on the host */
    unsigned char *raw;                                /* a batch of 4-byte values, on the host */
    struct member {
        pthread_t thread;
        bool started;
        hsae_trainer *trainer;
    } * members; /* the leader's: [ranks], without itself */
};

/* crew.c: all that a crew has but for the members' trainers and threads. Takes NULL in *crew. */
void hsae_crew_free(struct crew **crew);
/* Buffers of the step's exchange, which hsae_record_buffers makes. */
hsae_status hsae_crew_buffers(hsae_trainer *trainer);
bool hsae_crew_leads(const hsae_trainer *trainer);
/* The leader's order to the others, who do the same as the leader does next. */
hsae_status hsae_crew_order(hsae_trainer *trainer, const struct order *order);
/* `status`, with which a leader ends what it has ordered: after an error the others end, too. */
hsae_status hsae_crew_settle(hsae_trainer *trainer, hsae_status status);
/* The leader's bytes to all. */
hsae_status hsae_crew_share(hsae_trainer *trainer, void *data, size_t size);
/* `size` bytes of each to all, in the order of the ranks. */
hsae_status hsae_crew_gather(hsae_trainer *trainer, const void *own, size_t size, void *all);

/* crew_rows.c: where a matrix, or words of every feature, are read or written as a whole. Of the leader, and of members with its order. */
hsae_status hsae_crew_rows(hsae_trainer *trainer, const struct order *order, void *values);
hsae_status hsae_crew_features(hsae_trainer *trainer, enum feature_words words, u32 *out);
/* The tensors in memory of the leader's model and state (NULL: of the model alone). A member has room for them. */
hsae_status hsae_crew_vectors(hsae_trainer *trainer, hsae_model *model, struct train_state *state);
/* All devices take the part of the leader's tree that is theirs now. Their device models are new: nothing of the old ones is left. */
hsae_status hsae_crew_part(hsae_trainer *trainer);

/* crew_move.c: new parents decide where features are: they, and all that belongs to them, move there. */
hsae_status hsae_crew_move(hsae_trainer *trainer);

/* crew_step.c: the frame's step, submitted up to its end; the leader's frame holds its batch. */
hsae_status hsae_crew_step(hsae_trainer *trainer, struct frame *frame);
/* The rest of it, for every device: its frame holds the batch. */
hsae_status hsae_crew_run_step(hsae_trainer *trainer, struct frame *frame);
/* Figures of the last step that are sums over features, of all devices, to trainer->status. */
hsae_status hsae_crew_figures(hsae_trainer *trainer);

/* crew_work.c: hsae_trainer_alloc; where the device was joined with others, their trainers are made, too, and wait for orders. */
hsae_status hsae_crew_alloc(hsae_device *device, const hsae_config *config, uint32_t dim, hsae_dtype dtype, hsae_trainer **out);
/* Makes a trainer the rank-th of a crew. */
hsae_status hsae_crew_join(hsae_trainer *trainer, struct hsae_peers *peers, uint32_t ranks, uint32_t rank);
/* A member's trainer, which has its device model, follows orders until it or another one fails, or the leader ends: CANCELLED. */
hsae_status hsae_crew_obey(hsae_trainer *trainer);

#endif
