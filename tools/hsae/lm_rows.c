/* SPDX-License-Identifier: MIT */
/* Sequences of texts, in batches from the beginning of the text on, and their activations as a source of rows. */
#include "lm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct lm_rows {
    struct lm *lm;
    struct lm_text *text;
    hsae_dtype dtype;
    uint32_t most, context, start; /* sequences of a batch; their tokens; how many of these are start tokens: 0 or 1 */
    int32_t *document;             /* tokens of a document, of which those from `at` on are left */
    size_t document_count, at;

    struct lm_sequence *sequences;
    struct lm_batch batch;
    uint32_t longest;
    int32_t *tokens; /* [most, longest] */
    float *values;   /* [most, longest, dim] */
    bool computed;

    uint32_t sequence, token; /* of the batch, to be given next as a row */
};

hsae_status lm_rows_open(const struct lm_options *options, struct lm *lm, struct lm_text *text, struct lm_rows **out)
{
    struct lm_rows *rows = *out = calloc(1, sizeof *rows);
    if (rows) {
        rows->lm = lm;
        rows->text = text;
        rows->most = (uint32_t)options->sequences;
        rows->context = (uint32_t)options->context;
        rows->start = lm_start(lm) >= 0;
        rows->batch.start = rows->start;
        rows->sequences = calloc(rows->most, sizeof *rows->sequences);
        rows->tokens = malloc((size_t)rows->most * rows->context * sizeof *rows->tokens);
        rows->values = malloc((size_t)rows->most * rows->context * lm_dim(lm) * sizeof *rows->values);
        rows->batch.sequences = rows->sequences;
        if (rows->sequences && rows->tokens && rows->values)
            return HSAE_OK;
        lm_rows_close(rows);
        *out = NULL;
    } else {
        lm_close(lm);
        lm_text_close(text);
    }
    cli_out_of_memory();
    return HSAE_ERROR_MEMORY;
}

void lm_rows_close(struct lm_rows *rows)
{
    if (!rows)
        return;
    lm_close(rows->lm);
    lm_text_close(rows->text);
    free(rows->document);
    free(rows->sequences);
    free(rows->tokens);
    free(rows->values);
    free(rows);
}

void lm_rows_rewind(struct lm_rows *rows)
{
    lm_text_rewind(rows->text);
    rows->at = rows->document_count = 0;
    rows->batch.count = rows->sequence = rows->token = 0;
}

/* Until there are tokens left of a document; none are where the text has ended. */
static hsae_status next_document(struct lm_rows *rows)
{
    const char *document = "";
    size_t size = 0;
    hsae_status status = HSAE_OK;
    while (!status && document && rows->at == rows->document_count) {
        free(rows->document);
        rows->document = NULL;
        rows->at = rows->document_count = 0;
        status = lm_text_next(rows->text, &document, &size);
        if (!status && document)
            status = lm_tokenize(rows->lm, document, size, &rows->document, &rows->document_count);
    }
    return status;
}

/* Moves the sequences apart to the length of the longest, and fills short ones up with their last token, which comes after all that counts:
 * a decoder does not see it. */
static void pad(struct lm_rows *rows)
{
    const uint32_t count = rows->batch.count;
    rows->longest = 0;
    for (uint32_t s = 0; s < count; s++)
        rows->longest = rows->sequences[s].length > rows->longest ? rows->sequences[s].length : rows->longest;
    for (uint32_t s = 0; s < count; s++) {
        struct lm_sequence *sequence = &rows->sequences[s];
        int32_t *tokens = rows->tokens + (size_t)s * rows->longest;
        memmove(tokens, sequence->tokens, sequence->length * sizeof *tokens); /* `longest` is at most the context: to the left, in order */
        for (uint32_t t = sequence->length; t < rows->longest; t++)
            tokens[t] = tokens[sequence->length - 1];
        sequence->tokens = tokens;
        sequence->values = rows->values + (size_t)s * rows->longest * lm_dim(rows->lm);
    }
}

hsae_status lm_rows_next(struct lm_rows *rows, struct lm_batch *batch)
{
    hsae_status status = HSAE_OK;
    rows->computed = false;
    rows->sequence = 0;
    rows->token = rows->start;
    rows->batch.count = 0;
    while (!status && rows->batch.count < rows->most) {
        status = next_document(rows);
        size_t left = rows->document_count - rows->at, room = rows->context - rows->start;
        if (status || !left)
            break;
        struct lm_sequence *sequence = &rows->sequences[rows->batch.count];
        int32_t *tokens = rows->tokens + (size_t)rows->batch.count++ * rows->context;
        size_t count = left < room ? left : room;
        *tokens = lm_start(rows->lm);
        memcpy(tokens + rows->start, rows->document + rows->at, count * sizeof *tokens);
        rows->at += count;
        sequence->tokens = tokens;
        sequence->length = rows->start + (uint32_t)count;
        snprintf(sequence->source, sizeof sequence->source, "%s", lm_text_file(rows->text));
    }
    if (!status)
        pad(rows);
    *batch = rows->batch;
    return status;
}

hsae_status lm_rows_compute(struct lm_rows *rows)
{
    hsae_status status = rows->computed ? HSAE_OK : lm_run(rows->lm, rows->tokens, rows->batch.count, rows->longest, rows->values);
    rows->computed = !status;
    return status;
}

/* ---- as a source ---- */

static hsae_status read_rows(void *user, void *out, uint64_t max, uint64_t *got)
{
    struct lm_rows *rows = user;
    const uint32_t dim = lm_dim(rows->lm);
    const size_t bytes = dim * (rows->dtype == HSAE_DTYPE_F32 ? 4u : 2u);
    struct lm_batch batch;
    hsae_status status = cli_signal() ? HSAE_CANCELLED : HSAE_OK;
    if (!status && rows->sequence == rows->batch.count)
        status = lm_rows_next(rows, &batch);
    if (!status && rows->batch.count)
        status = lm_rows_compute(rows);
    for (*got = 0; !status && *got < max && rows->sequence < rows->batch.count;) {
        const struct lm_sequence *sequence = &rows->sequences[rows->sequence];
        uint64_t left = sequence->length - rows->token, count = left < max - *got ? left : max - *got;
        lm_convert(sequence->values + (size_t)rows->token * dim, (size_t)count * dim, rows->dtype, (unsigned char *)out + *got * bytes);
        *got += count;
        rows->token += (uint32_t)count;
        if (count == left) {
            rows->sequence++;
            rows->token = rows->start;
        }
    }
    return status;
}

/* Rows are counted by tokens alone, so only the batch with the position is computed again. */
static hsae_status seek_row(void *user, uint64_t position)
{
    struct lm_rows *rows = user;
    struct lm_batch batch = {0};
    uint64_t row = 0, of_batch = 0;
    hsae_status status = HSAE_OK;
    lm_rows_rewind(rows);
    do {
        if (cli_signal())
            return HSAE_CANCELLED;
        row += of_batch;
        of_batch = 0;
        status = lm_rows_next(rows, &batch);
        for (uint32_t s = 0; s < batch.count && !status; s++)
            of_batch += batch.sequences[s].length - rows->start;
    } while (!status && batch.count && row + of_batch <= position);
    if (status || row == position)
        return status;
    if (!batch.count) {
        cli_error("--text has %" PRIu64 " rows, and the run was at row %" PRIu64 " already", row, position);
        return HSAE_ERROR_DATA;
    }
    while (row + batch.sequences[rows->sequence].length - rows->start <= position)
        row += batch.sequences[rows->sequence++].length - rows->start;
    rows->token = rows->start + (uint32_t)(position - row);
    return HSAE_OK;
}

static void close_rows(void *user)
{
    lm_rows_close(user);
}

hsae_status lm_stream_open(const struct lm_options *options, const char *dtype, struct train_stream *stream)
{
    struct lm_rows *rows = NULL;
    struct lm_text *text = NULL;
    struct lm *lm = NULL;
    hsae_dtype type;
    hsae_status status = cli_input_dtype(&(struct cli_input){.dtype = dtype ? dtype : "f16"}, &type);
    if (!status)
        status = lm_text_open(&options->text, &text);
    if (!status)
        status = lm_open(options, &lm);
    if (status) {
        lm_close(lm);
        lm_text_close(text);
        return status;
    }
    snprintf(stream->identity, sizeof stream->identity,
             "%s, context %" PRIu64 ", start token %" PRId32 ", %" PRIu64 " sequences at once, text %08" PRIx32, lm_name(lm),
             options->context, lm_start(lm), options->sequences, lm_text_checksum(text));
    stream->params = (hsae_source_params){.dim = lm_dim(lm), .dtype = type, .read = read_rows, .seek = seek_row};
    status = lm_rows_open(options, lm, text, &rows);
    if (status)
        return status;
    rows->dtype = type;
    stream->params.user = rows;
    stream->close = close_rows;
    return HSAE_OK;
}
