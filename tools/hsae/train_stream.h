/* SPDX-License-Identifier: MIT */
/* Rows that are made while `hsae train` runs, as a source of the library (hsae/stream.h). */
#ifndef HSAE_TOOLS_TRAIN_STREAM_H
#define HSAE_TOOLS_TRAIN_STREAM_H

#include "cli.h"

/* Zero: there is none. */
struct train_stream {
    /* As given. */
    const char *cache; /* hsae_source_params.folder */
    uint64_t buffer;   /* hsae_source_params.buffer_rows; 0: not given */

    hsae_source_params params;
    void (*close)(void *user); /* of params.user */
    hsae_source *source;
    char identity[1024];
};

/* Raw numbers on standard input (train_input.c): fills params, but for folder and buffer, and identity. */
hsae_status train_input_open(const struct cli_input *input, struct train_stream *stream);

/* Opens the source of `params`. */
hsae_status train_stream_open(hsae_context *context, struct train_stream *stream);
void train_stream_close(struct train_stream *stream);
/* Its record in run.json, in the place of a data set's (run_data.h). `what`: as given on the command line. */
json_t *train_stream_json(const struct train_stream *stream, const struct cli_paths *what);
/* One line about it. */
void train_stream_note(const struct train_stream *stream);

#endif
