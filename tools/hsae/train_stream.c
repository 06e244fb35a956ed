/* SPDX-License-Identifier: MIT */
#include "train_stream.h"

#include "text.h"

#include <inttypes.h>
#include <zlib.h>

hsae_status train_stream_open(hsae_context *context, struct train_stream *stream)
{
    stream->params.identity = stream->identity;
    stream->params.folder = stream->cache;
    stream->params.buffer_rows = stream->buffer;
    return hsae_source_open(context, &stream->params, &stream->source);
}

void train_stream_close(struct train_stream *stream)
{
    hsae_source_close(&stream->source);
    if (stream->close)
        stream->close(stream->params.user);
    stream->close = NULL;
}

/* Rows are 0, as their number is not known; identity and buffer take the place of the fingerprint of a sample. */
json_t *train_stream_json(const struct train_stream *stream, const struct cli_paths *what)
{
    char text[1200], fingerprint[20];
    int length = snprintf(text, sizeof text, "%s, %s", stream->identity, cli_dtype_name(stream->params.dtype));
    snprintf(fingerprint, sizeof fingerprint, "%016lx", crc32(0, (const unsigned char *)text, (unsigned)length));
    json_t *paths = json_array();
    for (size_t i = 0; i < what->count; i++)
        json_array_append_new(paths, text_json(what->items[i]));
    json_t *object = json_pack("{s:o, s:I, s:I, s:I, s:I, s:s, s:[], s:o, s:I}", "paths", paths, "rows", (json_int_t)0, "dim",
                               (json_int_t)stream->params.dim, "first_row", (json_int_t)0, "all_rows", (json_int_t)0, "fingerprint",
                               fingerprint, "files", "source", text_json(stream->identity), "buffer_rows", (json_int_t)stream->buffer);
    if (!object)
        cli_out_of_memory();
    return object;
}

void train_stream_note(const struct train_stream *stream)
{
    cli_note("data: %s; %s, width %" PRIu32 "%s%s", stream->identity, cli_dtype_name(stream->params.dtype), stream->params.dim,
             stream->cache ? "; kept in " : "", stream->cache ? stream->cache : "");
}
