/* SPDX-License-Identifier: MIT */
/* Training on rows that are made while it runs: by a language model, a pipe, a data base. The program gives a function that makes the next
 * rows; the library shuffles them in a buffer of bounded memory.
 *
 *     hsae_source_open -> hsae_trainer_create_from_source -> hsae_trainer_run_source -> hsae_source_close
 *
 * The buffer has two halves of H rows each. While steps draw from one half, in an order that only the configuration's seed and the number
 * of the refill decide, a thread fills the other. So the rows of a batch come from H neighbouring rows of the source, and the order is the
 * same on every machine. Sample i of refill f is the row that hsae_trainer_run would draw as sample i of epoch f from a data set of the
 * half's rows. So a source that ends within H rows trains to the same bytes as a data set of its rows.
 * So does a source of any length in sequential order, where the calibration rows are the same and no row is left out.
 *
 * After its last row a source begins again with the first. It is read again for that, unless all of its rows fit into the buffer, or a
 * folder keeps them. */
#ifndef HSAE_STREAM_H
#define HSAE_STREAM_H

#include <hsae/trainer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where rows come from. */
typedef struct hsae_source_params {
    uint32_t dim;     /* width d of a row */
    hsae_dtype dtype; /* of its numbers, little endian; the buffer holds them as they are */
    /* Writes the next rows, 1 to `max` of them, to rows [max, dim] and their number to *got; 0: the source has ended. Rows must be the same
     * whenever they are read, in whatever portions. A status other than OK ends the run with it; CANCELLED does so without a message. The
     * next run then reads on from the same row. Called by a thread of the library, and only within hsae_trainer_create_from_source and
     * hsae_trainer_run_source, which do not return while it is at work. */
    hsae_status (*read)(void *user, void *rows, uint64_t max, uint64_t *got);
    /* The next row to be read is number `position`, counted from 0: at the start of another epoch, and of a resumed run. Called as `read`.
     * NULL: rows before the position are read and dropped, and the source cannot begin again. */
    hsae_status (*seek)(void *user, uint64_t position);
    void *user;
    /* A text that says which rows these are: "model, layer, corpus". A checkpoint remembers it, together with width and dtype, and a run
     * cannot go on with another source. NULL: none. */
    const char *identity;
    /* Rows of the buffer, which takes buffer_rows * (d * size of dtype + 8) bytes; 0: 131,072. Half of them, rounded down, is H. A run must
     * be resumed with the same number. */
    uint64_t buffer_rows;
    /* A folder, made if it is not there, that keeps the rows of the first epoch: rows-00000000.safetensors and so on, H rows each (tensor
     * "activations" of the source's dtype). Rows that are there are read from it in place of the source, in later epochs and in later runs.
     * It is a data set as any (hsae_dataset_open). NULL: none. ERROR_CONFIG: a file in it is of another source or buffer. */
    const char *folder;
} hsae_source_params;

/* An open source with its buffer. One thread at a time uses it. */
typedef struct hsae_source hsae_source;

/* Reads nothing yet: the source must be at row 0. The struct and its texts are copied. ERROR_ARGUMENT: no width, no `read`, or fewer than 2
 * rows in the buffer. ERROR_MEMORY, ERROR_FILE. */
HSAE_API hsae_status hsae_source_open(hsae_context *context, const hsae_source_params *params, hsae_source **out);
/* Sets *source to NULL; takes NULL. */
HSAE_API void hsae_source_close(hsae_source **source);
/* Rows of the whole source; 0: its end was not reached yet. */
HSAE_API uint64_t hsae_source_rows(const hsae_source *source);

/* hsae_trainer_create with the first rows of the source, as many as the buffer holds or the source has, as calibration data: mean, scale
 * and norm_limit come from the first min(65536, these) rows. They stay in the buffer, and training begins with them. */
HSAE_API hsae_status hsae_trainer_create_from_source(hsae_device *device, const hsae_config *config, hsae_source *source,
                                                     hsae_trainer **out);

/* hsae_trainer_run on rows of the source, from the row on that the trainer's last run, or its checkpoint, came to; a trainer that had no
 * source begins with row 0. Rows are left out by the same rule; a row that is left out is replaced by the next kept row of its half of the
 * buffer, the first one after the last. A checkpoint can be written at any step. Resumed with a source of the same rows, buffer and
 * identity the training ends with the same bytes as without the interruption; without `seek` the source is read again from row 0 for that.
 *
 * ERROR_CONFIG: the source is not the one that the trainer was trained on. ERROR_DATA: other width; the source ended and cannot begin
 * again; a row is not finite (hsae_trainer_met_bad_row); no row of a half is kept. After each of these the trainer is as after the step
 * before, can be saved, and can continue. The same holds for what `read` and `seek` return. */
HSAE_API hsae_status hsae_trainer_run_source(hsae_trainer *trainer, hsae_source *source, const hsae_run_params *params);

#ifdef __cplusplus
}
#endif
#endif
