/* SPDX-License-Identifier: MIT */
/* Batches of a data set's rows, read ahead by threads.
 *
 * Which rows will be wanted is known for the whole run, so a ring of batches is filled in their order while earlier ones are in use. A
 * batch is cut into pieces of a few rows; each thread takes the next piece, reads it with pread, and takes another: so as many reads are
 * under way as there are threads, and a disk's queue is never empty. How deep that queue must be depends on the disk and on how much a step
 * takes, not on the host's cores: the reader begins with two threads, and whenever a batch is not there when it is wanted it adds one, up
 * to 32. They sleep while the ring is full. Whoever waits for a batch reads along, so it also works where no thread can be made.
 *
 * The ring holds rows as they lie in the files: at most `most_bytes` or 8 batches, but 2 batches in any case. Nothing grows with the data
 * set.
 *
 * pread, and not a mapping: random rows of 4608 bytes that are not cached came at 24,200 a second with 8 threads and at 42,800 with 64, on
 * a mapping touched by as many threads at 14,900 and 21,000 with half as much processor time again, on one with madvise(WILLNEED) for each
 * row at 23,600 and 44,400 (a virtual disk, 2 cores). And a file that was cut, or a disk that fails, is an error code and no SIGBUS.
 *
 * A row that the rule leaves out (rows.h) is replaced by the next kept row in the order of the files, from the last row on to the first. So
 * what is read stays a function of the data and of the batch's number: threads change no bytes. Norms are found by the threads, too. Errors
 * are kept until their batch is wanted. */
#ifndef HSAE_SRC_READER_H
#define HSAE_SRC_READER_H

#include "dataset.h"
#include "rows.h"

/* One thread at a time; the data set must outlive it. */
struct hsae_reader;

struct hsae_reader_params {
    const hsae_dataset *dataset;
    uint32_t batch;      /* rows, >= 1 */
    uint64_t batches;    /* that can be asked for; nothing is read behind them */
    uint64_t most_bytes; /* of the ring; 0: 64 MiB */
    /* The row of the data set that is sample 0 .. batch * batches - 1. Called by any thread; below hsae_dataset_rows. */
    uint64_t (*row)(const void *user, uint64_t sample);
    const void *user;
    struct row_rule rule;
    uint64_t counted; /* the first so many samples are counted in hsae_reader_left_out: those that the run draws for the first time */
};

/* Begins to read. ERROR_MEMORY. */
hsae_status hsae_reader_create(hsae_context *context, const struct hsae_reader_params *params, struct hsae_reader **out);
/* Bytes that a reader takes for batches of rows of that size. */
uint64_t hsae_reader_bytes(uint32_t batch, uint64_t row_bytes, uint64_t most_bytes);
/* The next batch to out [batch, d] in `dtype`, as hsae_dataset_gather gives it, the errors included; ERROR_DATA also where a row is
 * left out and none that could replace it is found. *waited: seconds until it was there.
 */
hsae_status hsae_reader_next(struct hsae_reader *reader, hsae_dtype dtype, void *out, double *waited);
/* Of the batch that hsae_reader_next gave last. */
hsae_left_out hsae_reader_left_out(const struct hsae_reader *reader);
/* Whether the last hsae_reader_next failed because of a row that is not finite. */
bool hsae_reader_met_bad_row(const struct hsae_reader *reader);
/* Waits for no more than the reads that are under way. Sets *reader to NULL; takes NULL. */
void hsae_reader_destroy(struct hsae_reader **reader);

#endif
