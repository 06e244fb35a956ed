/* SPDX-License-Identifier: MIT */
/* The blocks of an open source (stream.h): H rows each but the last one of an epoch, numbered through from 0. One thread fills a half of
 * the buffer while the caller draws from the other.
 *
 * Refill f is block f of the first epoch; once the source's end is known, and with it the number n of its blocks, it is block f mod n. */
#ifndef HSAE_SRC_SOURCE_H
#define HSAE_SRC_SOURCE_H

#include "base/context.h"
#include <hsae/stream.h>

struct source_block {
    uint64_t first; /* row of the source */
    uint64_t rows;
    bool again; /* not of the first epoch */
    const unsigned char *raw;
    const double *squares; /* hsae_row_squares of each row */
};

/* "source \"IDENTITY\"", for messages. */
const char *hsae_source_name(const hsae_source *source);
const hsae_source_params *hsae_source_about(const hsae_source *source);
/* H */
uint64_t hsae_source_half(const hsae_source *source);
/* A number of identity, width and dtype, from 0 to below 2^63. */
uint64_t hsae_source_hash(const hsae_source *source);

/* The first two blocks, as the rows of one array in the buffer, valid until the source is used again. The errors of reading them are
 * logged.
 */
hsae_status hsae_source_start(hsae_source *source, const unsigned char **raw, uint64_t *rows);

/* Starts the thread, which begins with the block that holds sample `samples` of the endless stream; *refill: its number, *offset: the
 * sample within it (the number of its rows: it is the next refill's first). `rows`: the source's, 0 where its end is not known. ERROR_DATA:
 * the source is known to have other rows. ERROR_MEMORY. */
hsae_status hsae_source_begin(hsae_source *source, uint64_t samples, uint64_t rows, uint64_t *refill, uint64_t *offset);
/* The block of the refill, valid until the next call. Refills come in rising order, one by one. Waits for it; *waited: seconds, added up.
 * The errors of reading it are logged here. */
hsae_status hsae_source_block(hsae_source *source, uint64_t refill, struct source_block *out, double *waited);
/* Ends the thread, after the read in progress. What is in the buffer stays. */
void hsae_source_end(hsae_source *source);

#endif
