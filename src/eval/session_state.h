/* SPDX-License-Identifier: MIT */
/* A session's insides: the batch at hand, from raw rows to lists of active features. */
#ifndef HSAE_SRC_SESSION_STATE_H
#define HSAE_SRC_SESSION_STATE_H

#include "data/rows.h"
#include "session.h"
#include "session_check.h"
#include "train/forward.h"

#define FEWER_ROWS "a session of fewer rows"
/* Batches that a sequence is recorded for: 32 rows, twice, four times .. as many, and, the last, as many as the session has. */
enum { HSAE_SESSION_SIZES = 8 };

struct hsae_session {
    hsae_context *context;
    const hsae_model *model;
    struct device_model device_model;
    struct device_model fitted; /* the same buffers, for as many rows as the batch at hand needs */
    int size;                   /* of `fitted` */
    struct hsae_buffer *raw;
    struct hsae_sequence *encode[HSAE_SESSION_SIZES];                  /* load, encode, lists */
    struct hsae_sequence *reconstruct;                                 /* the same, then decode of all levels; of the last size */
    struct hsae_sequence *decode[HSAE_MAX_LEVELS][HSAE_SESSION_SIZES]; /* load, decode of lists that the host wrote */
    float *batch;                                                      /* [rows, d] */
    enum row_verdict *verdicts;                                        /* [rows], on the batch */
    bool *keep;                                                        /* [rows] of the batch */
    bool keeps_all;                                                    /* rows of the batch */
    u32 *starts;                                                       /* [L B + 1] */
    u32 *samples;                                                      /* [capacity][2] */
    struct row_rule rule;
    hsae_left_out left_out; /* by encode */
    int calibrations;       /* runs from which the device's speed was learnt (speed.h) */
    bool calibrated;        /* no more follow */
    bool checks;            /* the first batch of each recording is compared with the reference */
    bool fresh;             /* the batch at hand is such a one, and not compared yet */
};

/* Rows first .. first + count - 1 of a data set, or of the caller, to the batch, and which of them are kept. ERROR_DATA: one that is not
 * left out is not finite, or overflows. */
hsae_status hsae_batch_read(hsae_session *session, const hsae_dataset *dataset, uint64_t first, uint32_t count, hsae_left_out *left_out);
hsae_status hsae_batch_copy(hsae_session *session, const unsigned char *raw, hsae_dtype dtype, uint64_t first, uint32_t count,
                            hsae_left_out *left_out);
/* The batch (`rows` of it count, the rest is filled with the first) through encode; lists to session->starts and ->samples. `reconstruct`:
 * and through decode, on all rows of the session. */
hsae_status hsae_batch_run(hsae_session *session, uint32_t rows, bool reconstruct);
/* What the batch is compared with the reference by. */
struct batch_check hsae_batch_check(const hsae_session *session, uint32_t rows);

#endif
