/* SPDX-License-Identifier: MIT */
/* Whether tokens are those of a data set's rows: how many there are, where sequences end, and the fingerprints that some files carry. */
#include "bytes.h"
#include "dataset.h"
#include "tokens.h"

#include <inttypes.h>
#include <stdlib.h>
#include <zlib.h>

/* The fingerprints of the first ALL_BEFORE sequences are checked, then every THEN_EVERY-th. */
enum { BLOCK_ROWS = 64, ALL_BEFORE = 4096, THEN_EVERY = 16 };

struct check {
    const hsae_context *context;
    const hsae_dataset *dataset;
    bool shaped;              /* the data set is no slice, so its files tell where sequences end */
    uint64_t next, sequences; /* rows and sequences before this one */
    size_t file;              /* that has row `next` */
    uint64_t file_first;      /* the first row of `file` */
    float *block;
};

/* Goes to the file that holds the next row; NULL: there is none. */
static const hsae_data_file *find_file(struct check *check)
{
    size_t count = hsae_dataset_file_count(check->dataset);
    while (check->file < count && check->next >= check->file_first + hsae_dataset_file(check->dataset, check->file)->rows)
        check->file_first += hsae_dataset_file(check->dataset, check->file++)->rows;
    return check->file < count ? hsae_dataset_file(check->dataset, check->file) : NULL;
}

/* Checks that this sequence is one of the file's, where the file has sequences of one length, and that it does not reach into the next such
 * file. */
static hsae_status check_length(struct check *check, const struct hsae_sequence *sequence)
{
    const hsae_data_file *file = find_file(check);
    if (!file)
        return HSAE_OK;
    uint64_t end = check->file_first + file->rows;
    size_t last = check->file;
    while (!file->context && end < check->next + sequence->tokens && last + 1 < hsae_dataset_file_count(check->dataset)) {
        file = hsae_dataset_file(check->dataset, ++last);
        end += file->rows;
    }
    if (!file->context || (last == check->file && sequence->tokens == file->context))
        return HSAE_OK;
    return hsae_fail(check->context, HSAE_ERROR_DATA,
                     "%s: line %" PRIu64 ": a sequence of %" PRIu64 " tokens, but at vector %" PRIu64 " the data have one of %" PRIu64
                     " vectors (%s); are these the tokens of this data?",
                     sequence->path, sequence->line, sequence->tokens, check->next, file->context, file->path);
}

/* Numbers as they would be in a file, so that the fingerprint is the same on any machine. */
static void to_little_endian(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bits = HSAE_LITTLE(32, bits);
        memcpy(&values[i], &bits, sizeof bits);
    }
}

static hsae_status check_fingerprint(struct check *check, const struct hsae_sequence *sequence)
{
    hsae_status status = HSAE_OK;
    size_t dim = hsae_dataset_dim(check->dataset);
    uLong found = crc32(0, NULL, 0);
    uint64_t rows[BLOCK_ROWS];
    if (!check->block)
        check->block = malloc(BLOCK_ROWS * dim * sizeof *check->block);
    if (!check->block)
        return hsae_fail(check->context, HSAE_ERROR_MEMORY, "%s: out of memory", sequence->path);
    for (uint64_t done = 0, count; done < sequence->tokens && !status; done += count) {
        count = sequence->tokens - done < BLOCK_ROWS ? sequence->tokens - done : BLOCK_ROWS;
        for (uint64_t i = 0; i < count; i++)
            rows[i] = check->next + done + i;
        status = hsae_dataset_read_any(check->dataset, rows, (size_t)count, check->block);
        to_little_endian(check->block, status ? 0 : (size_t)count * dim);
        for (uint64_t i = 0; i < count && !status; i++)
            found = crc32(found, (const unsigned char *)(check->block + i * dim), (uInt)(dim * sizeof *check->block));
    }
    if (status || found == sequence->fingerprint)
        return status;
    const hsae_data_file *file = find_file(check);
    return hsae_fail(check->context, HSAE_ERROR_DATA,
                     "%s: line %" PRIu64 ": these are not the tokens of vectors %" PRIu64 " to %" PRIu64 "%s%s: rows_crc32 is %" PRIu32
                     ", that of the vectors is %lu; give the data whole and in the order in which they were "
                     "collected, with their own tokens",
                     sequence->path, sequence->line, check->next, check->next + sequence->tokens - 1, check->shaped && file ? ", of " : "",
                     check->shaped && file ? file->path : "", sequence->fingerprint, found);
}

static hsae_status on_sequence(void *user, const struct hsae_sequence *sequence)
{
    struct check *check = user;
    hsae_status status = check->shaped ? check_length(check, sequence) : HSAE_OK;
    if (!status && sequence->has_fingerprint && (check->sequences < ALL_BEFORE || check->sequences % THEN_EVERY == 0))
        status = check_fingerprint(check, sequence);
    check->next += sequence->tokens;
    check->sequences++;
    return status;
}

static bool are_all_rows(const hsae_dataset *dataset)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < hsae_dataset_file_count(dataset); i++)
        rows += hsae_dataset_file(dataset, i)->rows;
    return rows == hsae_dataset_rows(dataset);
}

hsae_status hsae_tokens_check(const hsae_context *context, const char *const *paths, size_t count, const hsae_dataset *dataset,
                              uint64_t *sequences)
{
    struct check check = {.context = context, .dataset = dataset, .shaped = are_all_rows(dataset)};
    struct hsae_tokens *tokens;
    struct hsae_token token;
    bool more = true;
    uint64_t total = 0, rows = hsae_dataset_rows(dataset);
    hsae_status status = hsae_tokens_open(context, paths, count, &tokens);
    if (!status)
        hsae_tokens_watch(tokens, on_sequence, &check);
    while (!status && more) {
        status = hsae_tokens_next(tokens, &token, &more);
        if (!status && more && total++ == rows)
            status = hsae_fail(context, HSAE_ERROR_DATA,
                               "%s: line %" PRIu64 ": expected %" PRIu64 " tokens in all, one for each activation vector, found more; are "
                               "these the tokens of this data?",
                               hsae_tokens_path(tokens), hsae_tokens_line(tokens), rows);
    }
    if (!status && total < rows)
        status = hsae_fail(context, HSAE_ERROR_DATA,
                           "%s: line %" PRIu64 ": expected %" PRIu64 " tokens in all, one for each activation vector, found the end after "
                           "%" PRIu64 "; are these the tokens of this data?",
                           paths[count - 1], hsae_tokens_line(tokens), rows, total);
    if (!status)
        *sequences = check.sequences;
    hsae_tokens_close(&tokens);
    free(check.block);
    return status;
}
