/* SPDX-License-Identifier: MIT */
#include "reader.h"
#include "base/context.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    RING_BYTES = 64 << 20,
    MAX_BATCHES = 8,
    MIN_BATCHES = 2,
    PIECE_ROWS = 16,
    MAX_TRIES = 4096,
    FIRST_THREADS = 2,
    MAX_THREADS = 32,
};
/* Seconds that a disk takes at least. A shorter wait is no reason to add a thread. */
static const double REAL_WAIT = 1e-4;

/* A batch: the numbers of its rows, and the rows in the type of their files. */
struct slot {
    uint64_t *rows;
    unsigned char *raw;
    uint32_t done;   /* pieces */
    uint32_t failed; /* first row of the batch that could not be read; `batch`: none */
    int error;       /* why */
    bool hopeless;   /* it was read and is left out, and no kept row was found to replace it */
    hsae_left_out left_out;
    uint32_t first_piece; /* of those in which a row was left out */
};

struct hsae_reader {
    struct hsae_reader_params params;
    size_t row_bytes;
    uint32_t pieces; /* of a batch */
    uint32_t slot_count;
    struct slot slots[MAX_BATCHES]; /* batch b is in slot b % slot_count */
    uint64_t *rows;                 /* of all slots */
    unsigned char *raw;

    pthread_mutex_t lock;   /* of all that follows and of the slots' state */
    pthread_cond_t work;    /* signals that there is a piece to take, or that the threads are to end */
    pthread_cond_t ready;   /* a batch is complete */
    uint64_t issued;        /* pieces taken by some thread; piece p belongs to batch p / pieces */
    bool bad_row;           /* the last batch had one that is not finite */
    uint64_t consumed;      /* batches handed out */
    hsae_left_out left_out; /* of the last of them */
    bool ending;
    pthread_t threads[MAX_THREADS];
    uint32_t thread_count, max_threads;
};

static bool has_piece(const struct hsae_reader *reader)
{
    uint64_t batch = reader->issued / reader->pieces;
    return batch < reader->params.batches && batch < reader->consumed + reader->slot_count;
}

/* How the reading of a piece went. */
struct outcome {
    uint32_t done; /* its first rows, which are there */
    int error;     /* why the next is not */
    bool hopeless;
    hsae_left_out left_out;
};

/* Number of rows among which a replacement is searched. */
static uint64_t max_tries(const hsae_dataset *dataset)
{
    uint64_t others = hsae_dataset_rows(dataset) - 1;
    return others < MAX_TRIES ? others : MAX_TRIES;
}

/* Finds the first kept row after *row: its number to *row, its bytes to `raw`. False: none was found, or a row could not be read. */
static bool replace(const struct hsae_reader *reader, uint64_t *row, unsigned char *raw, struct outcome *outcome)
{
    const struct hsae_reader_params *params = &reader->params;
    uint64_t total = hsae_dataset_rows(params->dataset), tries = max_tries(params->dataset);
    for (uint64_t k = 0; k < tries; k++) {
        *row = *row + 1 < total ? *row + 1 : 0;
        if (hsae_dataset_fetch(params->dataset, row, 1, raw, &outcome->error) == 0)
            return false;
        if (!hsae_row_left_out(hsae_row_judge(&params->rule, hsae_dataset_squares(params->dataset, *row, raw))))
            return true;
    }
    outcome->hopeless = true;
    return false;
}

/* Rows first .. first + count - 1 of a batch whose first sample is number `sample`. */
static struct outcome read_rows(const struct hsae_reader *reader, const struct slot *slot, uint64_t sample, uint32_t first, uint32_t count)
{
    const struct hsae_reader_params *params = &reader->params;
    struct outcome outcome = {0};
    for (uint32_t k = first; k < first + count; k++)
        slot->rows[k] = params->row(params->user, sample + k);
    uint32_t fetched =
        (uint32_t)hsae_dataset_fetch(params->dataset, slot->rows + first, count, slot->raw + first * reader->row_bytes, &outcome.error);
    for (outcome.done = 0; outcome.done < fetched; outcome.done++) {
        uint32_t k = first + outcome.done;
        unsigned char *raw = slot->raw + k * reader->row_bytes;
        uint64_t row = slot->rows[k];
        enum row_verdict verdict = ROW_KEPT;
        if (hsae_row_rule_acts(&params->rule))
            verdict = hsae_row_judge(&params->rule, hsae_dataset_squares(params->dataset, row, raw));
        if (hsae_row_left_out(verdict) && !replace(reader, &slot->rows[k], raw, &outcome))
            break;
        if (sample + k < params->counted)
            hsae_left_out_add(&outcome.left_out, verdict, row);
    }
    return outcome;
}

/* Pieces come in any order. */
static void add_left_out(struct slot *slot, uint32_t piece, const hsae_left_out *more)
{
    uint64_t first = slot->left_out.first;
    bool earlier = more->norm + more->bad > 0 && piece < slot->first_piece;
    hsae_left_out_join(&slot->left_out, more);
    slot->left_out.first = earlier ? more->first : first;
    slot->first_piece = earlier ? piece : slot->first_piece;
}

static void empty_slot(const struct hsae_reader *reader, struct slot *slot)
{
    slot->done = 0;
    slot->failed = reader->params.batch;
    slot->hopeless = false;
    slot->left_out = (hsae_left_out){0};
    slot->first_piece = UINT32_MAX;
}

/* Takes the next piece, reads it and notes how that went. The lock is held on entry and on return. */
static void read_piece(struct hsae_reader *reader)
{
    uint64_t piece = reader->issued++, batch = piece / reader->pieces;
    struct slot *slot = &reader->slots[batch % reader->slot_count];
    uint32_t first = (uint32_t)(piece % reader->pieces) * PIECE_ROWS, left = reader->params.batch - first;
    uint32_t count = left < PIECE_ROWS ? left : PIECE_ROWS;
    if (has_piece(reader)) /* each thread wakes the next one while there is work */
        pthread_cond_signal(&reader->work);
    pthread_mutex_unlock(&reader->lock);
    struct outcome outcome = read_rows(reader, slot, batch * reader->params.batch, first, count);
    pthread_mutex_lock(&reader->lock);
    add_left_out(slot, first / PIECE_ROWS, &outcome.left_out);
    if (outcome.done < count && first + outcome.done < slot->failed) {
        slot->failed = first + outcome.done;
        slot->error = outcome.error;
        slot->hopeless = outcome.hopeless;
    }
    if (++slot->done == reader->pieces)
        pthread_cond_signal(&reader->ready);
}

static void *run(void *user)
{
    struct hsae_reader *reader = user;
    pthread_mutex_lock(&reader->lock);
    while (!reader->ending)
        if (has_piece(reader))
            read_piece(reader);
        else
            pthread_cond_wait(&reader->work, &reader->lock);
    pthread_mutex_unlock(&reader->lock);
    return NULL;
}

/* One thread more. */
static void add_thread(struct hsae_reader *reader)
{
    if (reader->thread_count >= reader->max_threads)
        return;
    if (hsae_os_thread_start(&reader->threads[reader->thread_count], run, reader))
        reader->max_threads = reader->thread_count;
    else
        reader->thread_count++;
}

/* How many batches the ring holds. */
static uint64_t max_slots(uint64_t batch_bytes, uint64_t max_bytes)
{
    uint64_t fit = (max_bytes ? max_bytes : RING_BYTES) / batch_bytes;
    return fit < MIN_BATCHES ? MIN_BATCHES : fit > MAX_BATCHES ? MAX_BATCHES : fit;
}

static uint32_t count_slots(const struct hsae_reader *reader)
{
    uint64_t fit = max_slots((uint64_t)reader->params.batch * reader->row_bytes, reader->params.max_bytes), wanted = reader->params.batches;
    return (uint32_t)(wanted < fit ? wanted ? wanted : 1 : fit);
}

uint64_t hsae_reader_bytes(uint32_t batch, uint64_t row_bytes, uint64_t max_bytes)
{
    return max_slots(batch * row_bytes, max_bytes) * batch * (row_bytes + sizeof(uint64_t));
}

hsae_status hsae_reader_create(hsae_context *context, const struct hsae_reader_params *params, struct hsae_reader **out)
{
    struct hsae_reader *reader = calloc(1, sizeof *reader);
    *out = NULL;
    if (!reader)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for reading ahead");
    reader->params = *params;
    reader->row_bytes = hsae_dataset_row_bytes(params->dataset);
    reader->pieces = (params->batch + PIECE_ROWS - 1) / PIECE_ROWS;
    reader->slot_count = count_slots(reader);
    reader->max_threads = MAX_THREADS;
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->work, NULL);
    pthread_cond_init(&reader->ready, NULL);
    size_t rows = (size_t)reader->slot_count * params->batch;
    reader->rows = malloc(rows * sizeof *reader->rows);
    reader->raw = malloc(rows * reader->row_bytes);
    if (!reader->rows || !reader->raw) {
        uint64_t bytes = rows * (sizeof *reader->rows + reader->row_bytes);
        uint32_t batches = reader->slot_count;
        hsae_reader_destroy(&reader);
        return hsae_fail_memory(context, bytes, "a smaller batch", "reading ahead %" PRIu32 " batches of %" PRIu32 " rows", batches,
                                params->batch);
    }
    for (uint32_t s = 0; s < reader->slot_count; s++) {
        size_t first = (size_t)s * params->batch;
        reader->slots[s] = (struct slot){.rows = reader->rows + first, .raw = reader->raw + first * reader->row_bytes};
        empty_slot(reader, &reader->slots[s]);
    }
    for (int k = 0; k < FIRST_THREADS; k++)
        add_thread(reader);
    *out = reader;
    return HSAE_OK;
}

/* Until the batch is complete; seconds. The lock is held. */
static double wait_for(struct hsae_reader *reader, const struct slot *slot)
{
    if (slot->done == reader->pieces)
        return 0;
    double started = hsae_os_seconds();
    while (slot->done < reader->pieces)
        if (reader->issued < (reader->consumed + 1) * reader->pieces)
            read_piece(reader);
        else
            pthread_cond_wait(&reader->ready, &reader->lock);
    double waited = hsae_os_seconds() - started;
    if (waited > REAL_WAIT)
        add_thread(reader);
    return waited;
}

static hsae_status fail_hopeless(const struct hsae_reader *reader, const struct slot *slot)
{
    const struct hsae_reader_params *params = &reader->params;
    uint64_t row = params->row(params->user, reader->consumed * params->batch + slot->failed);
    const char *path = hsae_dataset_place(params->dataset, row, &row)->path;
    return hsae_fail(hsae_dataset_context(params->dataset), HSAE_ERROR_DATA,
                     "%s: row %" PRIu64 " is left out, and so are all of the %" PRIu64
                     " rows after it: their norms are above norm_limit, %g, or they "
                     "are not finite; train on other data, or with a larger max_norm",
                     path, row, max_tries(params->dataset), params->rule.norm_limit);
}

hsae_status hsae_reader_next(struct hsae_reader *reader, hsae_dtype dtype, void *out, double *waited)
{
    const struct hsae_reader_params *params = &reader->params;
    struct slot *slot = &reader->slots[reader->consumed % reader->slot_count];
    pthread_mutex_lock(&reader->lock);
    *waited = wait_for(reader, slot);
    pthread_mutex_unlock(&reader->lock);
    hsae_status status = hsae_dataset_unpack(params->dataset, slot->rows, slot->failed, slot->raw, dtype, out);
    reader->bad_row = status == HSAE_ERROR_DATA;
    if (!status && slot->failed < params->batch)
        status = slot->hopeless ? fail_hopeless(reader, slot)
                                : hsae_dataset_fetch_failed(params->dataset, slot->rows[slot->failed], slot->error);
    pthread_mutex_lock(&reader->lock);
    reader->left_out = slot->left_out;
    empty_slot(reader, slot);
    reader->consumed++;
    pthread_cond_signal(&reader->work);
    pthread_mutex_unlock(&reader->lock);
    return status;
}

hsae_left_out hsae_reader_left_out(const struct hsae_reader *reader)
{
    return reader->left_out;
}

bool hsae_reader_met_bad_row(const struct hsae_reader *reader)
{
    return reader->bad_row;
}

void hsae_reader_destroy(struct hsae_reader **pointer)
{
    struct hsae_reader *reader = pointer ? *pointer : NULL;
    if (!reader)
        return;
    pthread_mutex_lock(&reader->lock);
    reader->ending = true;
    pthread_cond_broadcast(&reader->work);
    pthread_mutex_unlock(&reader->lock);
    for (uint32_t k = 0; k < reader->thread_count; k++)
        pthread_join(reader->threads[k], NULL);
    pthread_cond_destroy(&reader->ready);
    pthread_cond_destroy(&reader->work);
    pthread_mutex_destroy(&reader->lock);
    free(reader->rows);
    free(reader->raw);
    free(reader);
    *pointer = NULL;
}
