/* SPDX-License-Identifier: MIT */
/* Standard input as a source of rows: raw numbers, row after row. It cannot seek, so a run that goes on reads it from the first row again,
 * and its identity has a checksum of its first rows. */
#include "train_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { FIRST_ROWS = 64 };

struct input {
    size_t row_bytes;
    uint64_t rows; /* given so far */
    bool ended;
    unsigned char *held; /* the first rows, at most FIRST_ROWS, which are read before the source is opened */
    size_t held_bytes, given_bytes;
};

static bool stopped(void)
{
    return cli_signal() != 0;
}

/* What there is of standard input, at most up to `size` bytes of `bytes`, of which *count are there already. */
static hsae_status take(struct input *input, unsigned char *bytes, size_t size, size_t *count)
{
    ptrdiff_t got = hsae_os_read_input(bytes + *count, size - *count, stopped);
    if (got < 0 && errno == ECANCELED)
        return HSAE_CANCELLED;
    if (got < 0) {
        cli_error("standard input cannot be read: %s", strerror(errno));
        return HSAE_ERROR_FILE;
    }
    *count += (size_t)got;
    input->ended = got == 0;
    return HSAE_OK;
}

static hsae_status fail_cut(const struct input *input, uint64_t row, size_t bytes)
{
    cli_error("standard input ends within row %" PRIu64 ", after %zu of its %zu bytes: are --dim and --dtype those of its writer?", row,
              bytes, input->row_bytes);
    return HSAE_ERROR_DATA;
}

static hsae_status read_rows(void *user, void *rows, uint64_t max, uint64_t *got)
{
    struct input *input = user;
    const size_t held = input->held_bytes - input->given_bytes, most = (size_t)max * input->row_bytes;
    size_t count = held < most ? held : most;
    memcpy(rows, input->held + input->given_bytes, count);
    input->given_bytes += count;
    hsae_status status = HSAE_OK;
    while (!status && !input->ended && (count == 0 || count % input->row_bytes))
        status = take(input, rows, most, &count);
    if (!status && count % input->row_bytes)
        return fail_cut(input, input->rows + count / input->row_bytes, count % input->row_bytes);
    *got = status ? 0 : count / input->row_bytes;
    input->rows += *got;
    return status;
}

static void close_input(void *user)
{
    struct input *input = user;
    free(input->held);
    free(input);
}

/* A file with a header that would be read as numbers; NULL: none that is known. */
static const char *format_of(const unsigned char *bytes, size_t count)
{
    static const unsigned char zeros[4] = {0};
    if (count > 10 && memcmp(bytes + 4, zeros, 4) == 0 && bytes[8] == '{' && strchr("\" }", bytes[9]))
        return "a safetensors file";
    return count > 6 && memcmp(bytes, "\x93NUMPY", 6) == 0      ? "an npy file"
           : count > 6 && memcmp(bytes, "ARROW1", 6) == 0       ? "an Arrow file"
           : count > 4 && memcmp(bytes, "PK\3\4", 4) == 0       ? "a zip or npz file"
           : count > 4 && memcmp(bytes, "\x1f\x8b\x08", 3) == 0 ? "a gzip file"
                                                                : NULL;
}

hsae_status train_input_open(const struct cli_input *given, struct train_stream *stream)
{
    hsae_dtype dtype;
    hsae_status status = cli_input_dtype(given, &dtype);
    if (!status && !given->dim) {
        cli_error("--data - reads raw numbers, row by row: give --dim D, and --dtype f16 or bf16 where they are not f32");
        status = HSAE_ERROR_CONFIG;
    }
    if (status)
        return status;
    struct input *input = calloc(1, sizeof *input);
    size_t row_bytes = (size_t)given->dim * (dtype == HSAE_DTYPE_F32 ? 4 : 2);
    if (!input || !(input->held = malloc(FIRST_ROWS * row_bytes))) {
        free(input);
        cli_out_of_memory();
        return HSAE_ERROR_MEMORY;
    }
    input->row_bytes = row_bytes;
    stream->params = (hsae_source_params){.dim = (uint32_t)given->dim, .dtype = dtype, .read = read_rows, .user = input};
    stream->close = close_input;
    while (!status && !input->ended && input->held_bytes < FIRST_ROWS * row_bytes)
        status = take(input, input->held, FIRST_ROWS * row_bytes, &input->held_bytes);
    if (status)
        return status;
    const char *format = format_of(input->held, input->held_bytes);
    if (format) {
        cli_error(
            "standard input is %s, and --data - takes raw numbers: give the file itself as --data, or write its rows without a header",
            format);
        return HSAE_ERROR_FORMAT;
    }
    if (input->held_bytes % row_bytes)
        return fail_cut(input, input->held_bytes / row_bytes, input->held_bytes % row_bytes);
    snprintf(stream->identity, sizeof stream->identity, "standard input, first rows %08lx",
             crc32(0, input->held, (unsigned)input->held_bytes));
    return HSAE_OK;
}
