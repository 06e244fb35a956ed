/* SPDX-License-Identifier: MIT */
/* Batches of a data set's rows, read ahead by threads.
 *
 * The order of the rows is known for the whole run, so threads fill a ring of batches in that order while earlier batches are in use. A
 * batch is cut into pieces of a few rows. Each thread takes the next piece, reads it with pread, and takes another, so there are as many
 * reads in progress as there are threads. How many a disk needs depends on the disk and on the time of a step, not on the host's cores: the
 * reader begins with two threads and adds one, up to 32, whenever a batch is not there when it is wanted. Threads sleep while the ring is
 * full. The caller reads, too, while it waits for a batch, so this works even where no thread can be made.
 *
 * The ring holds rows in the type of their files: at most `max_bytes` or 8 batches, but at least 2 batches. It does not grow with the data.
 *
 * Why pread and not a mapping, for random rows of 4608 bytes that are not cached, on a virtual disk with 2 cores, rows a second with 8 and
 * with 64 threads: pread 24,200 and 42,800; a mapping 14,900 and 21,000, with half as much processor time again; a mapping with
 * madvise(WILLNEED) for each row 23,600 and 44,400. And a file that was cut, or a disk that fails, is an error code, not SIGBUS.
 *
 * A row that the rule leaves out (rows.h) is replaced by the next kept row in the order of the files; row 0 follows the last. So the bytes
 * depend on the data and the batch's number only, not on threads. Threads compute the norms, too. An error is kept until its batch is
 * wanted.
 */
#ifndef HSAE_SRC_READER_H
#define HSAE_SRC_READER_H

#include "dataset.h"
#include "rows.h"

/* One thread at a time; the data set must outlive it. */
struct hsae_reader;

struct hsae_reader_params {
    const hsae_dataset *dataset;
    uint32_t batch;     /* rows, >= 1 */
    uint64_t batches;   /* number of batches of the run; nothing is read beyond them */
    uint64_t max_bytes; /* of the ring; 0: 64 MiB */
    /* The row of the data set that is sample 0 .. batch * batches - 1. Called by any thread; below hsae_dataset_rows. */
    uint64_t (*row)(const void *user, uint64_t sample);
    const void *user;
    struct row_rule rule;
    uint64_t counted; /* hsae_reader_left_out counts samples 0 .. counted - 1: each row once */
};

/* Begins to read. ERROR_MEMORY. */
hsae_status hsae_reader_create(hsae_context *context, const struct hsae_reader_params *params, struct hsae_reader **out);
/* Bytes that a reader takes for batches of rows of that size. */
uint64_t hsae_reader_bytes(uint32_t batch, uint64_t row_bytes, uint64_t max_bytes);
/* The next batch to out [batch, d] in `dtype`, as hsae_dataset_gather gives it, the errors included; ERROR_DATA also where a row is
 * left out and none that could replace it is found. *waited: seconds until it was there.
 */
hsae_status hsae_reader_next(struct hsae_reader *reader, hsae_dtype dtype, void *out, double *waited);
/* Of the batch that hsae_reader_next gave last. */
hsae_left_out hsae_reader_left_out(const struct hsae_reader *reader);
/* Whether the last hsae_reader_next failed because of a row that is not finite. */
bool hsae_reader_met_bad_row(const struct hsae_reader *reader);
/* Waits only for the reads in progress. Sets *reader to NULL; takes NULL. */
void hsae_reader_destroy(struct hsae_reader **reader);

#endif
