/* SPDX-License-Identifier: MIT */
#include "source.h"
#include "dataset.h"
#include "source_folder.h"
#include "squares.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_ROWS = 131072 };

struct half {
    uint64_t block;  /* UINT64_MAX: none */
    uint64_t filled; /* rows that are there */
    bool whole;
};

struct hsae_source {
    hsae_context *context;
    hsae_source_params params; /* its texts are owned */
    char *name;
    struct hsae_context quiet; /* of the thread: it keeps errors until their block is wanted */
    char error[4096];
    uint64_t half_rows;
    size_t row_bytes;
    unsigned char *raw; /* [2][half_rows] */
    double *squares;    /* the same */
    struct half halves[2];
    uint64_t next; /* row that `read` gives next */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    uint64_t rows;      /* 0: not known */
    uint64_t serving;   /* refill that the caller draws from */
    uint64_t filling;   /* those below are there */
    hsae_status status; /* of filling it */
    bool ending, running;
    pthread_t thread;
};

const char *hsae_source_name(const hsae_source *source)
{
    return source->name;
}

const hsae_source_params *hsae_source_about(const hsae_source *source)
{
    return &source->params;
}

uint64_t hsae_source_half(const hsae_source *source)
{
    return source->half_rows;
}

uint64_t hsae_source_hash(const hsae_source *source)
{
    const char *identity = source->params.identity;
    const unsigned char shape[] = {(unsigned char)source->params.dim, (unsigned char)(source->params.dim >> 8),
                                   (unsigned char)(source->params.dim >> 16), (unsigned char)(source->params.dim >> 24),
                                   (unsigned char)source->params.dtype};
    return hsae_hash(hsae_hash(HSAE_HASH_START, shape, sizeof shape), identity, strlen(identity)) & INT64_MAX;
}

uint64_t hsae_source_rows(const hsae_source *source)
{
    if (!source)
        return 0;
    hsae_source *own = (hsae_source *)source;
    pthread_mutex_lock(&own->lock);
    uint64_t rows = source->rows;
    pthread_mutex_unlock(&own->lock);
    return rows;
}

/* ---- opening ---- */

static void keep_error(void *user, hsae_log_level level, const char *message)
{
    hsae_source *source = user;
    if (level == HSAE_LOG_ERROR)
        snprintf(source->error, sizeof source->error, "%s", message);
    else
        hsae_log(source->context, level, "%s", message);
}

static char *name_of(const char *identity)
{
    size_t size = strlen(identity) + sizeof "source \"\"";
    char *name = malloc(size);
    if (name && *identity)
        snprintf(name, size, "source \"%s\"", identity);
    else if (name)
        strcpy(name, "source");
    return name;
}

static hsae_status check_params(const hsae_context *context, const hsae_source_params *params)
{
    uint64_t rows = params->buffer_rows ? params->buffer_rows : DEFAULT_ROWS;
    if (!hsae_is_dtype(params->dtype))
        return hsae_fail_dtype(context, "hsae_source_open", params->dtype);
    if (!params->read || !params->dim || rows < 2 || rows > SIZE_MAX / 16 / params->dim)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT,
                         "hsae_source_open: %s; width %" PRIu32 ", a buffer of %" PRIu64 " rows: expected at least 1 and 2",
                         params->read ? "`read` is given" : "`read` is NULL", params->dim, rows);
    return HSAE_OK;
}

hsae_status hsae_source_open(hsae_context *context, const hsae_source_params *params, hsae_source **out)
{
    HSAE_REQUIRE(context, context, params, out);
    *out = NULL;
    hsae_status status = check_params(context, params);
    if (status)
        return status;
    hsae_source *source = calloc(1, sizeof *source);
    if (!source)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for a source");
    const char *identity = params->identity ? params->identity : "";
    uint64_t rows = params->buffer_rows ? params->buffer_rows : DEFAULT_ROWS;
    source->context = context;
    source->quiet = *context;
    source->quiet.log = keep_error;
    source->quiet.log_user = source;
    source->params = *params;
    source->params.buffer_rows = rows;
    source->params.identity = strdup(identity);
    source->params.folder = params->folder ? strdup(params->folder) : NULL;
    source->name = name_of(identity);
    source->half_rows = rows / 2;
    source->row_bytes = params->dim * hsae_dtype_size(params->dtype);
    source->raw = malloc((size_t)rows * source->row_bytes);
    source->squares = malloc((size_t)rows * sizeof *source->squares);
    source->halves[0].block = source->halves[1].block = UINT64_MAX;
    pthread_mutex_init(&source->lock, NULL);
    pthread_cond_init(&source->changed, NULL);
    if (!source->params.identity || (params->folder && !source->params.folder) || !source->name || !source->raw || !source->squares)
        status = hsae_fail_memory(context, rows * (source->row_bytes + sizeof *source->squares), "a smaller buffer",
                                  "the buffer of a source, %" PRIu64 " rows", rows);
    if (!status && source->params.folder)
        status = hsae_source_folder_make(context, source->params.folder);
    if (status)
        hsae_source_close(&source);
    *out = source;
    return status;
}

void hsae_source_close(hsae_source **pointer)
{
    hsae_source *source = pointer ? *pointer : NULL;
    if (!source)
        return;
    pthread_cond_destroy(&source->changed);
    pthread_mutex_destroy(&source->lock);
    free((char *)source->params.identity);
    free((char *)source->params.folder);
    free(source->name);
    free(source->raw);
    free(source->squares);
    free(source);
    *pointer = NULL;
}

/* ---- filling a half: the thread's work, without the lock ---- */

static uint64_t blocks_of(const hsae_source *source, uint64_t rows)
{
    return (rows + source->half_rows - 1) / source->half_rows;
}

/* The block of a refill. */
static uint64_t block_of(const hsae_source *source, uint64_t refill)
{
    return source->rows ? refill % blocks_of(source, source->rows) : refill;
}

/* A source of one block has it in the first half for ever; one of two has each in its own. */
static uint64_t half_of(const hsae_source *source, uint64_t refill)
{
    return source->rows && source->rows <= source->half_rows ? 0 : refill % 2;
}

static uint64_t rows_of(const hsae_source *source, uint64_t block)
{
    uint64_t left = source->rows - block * source->half_rows;
    return !source->rows || left > source->half_rows ? source->half_rows : left;
}

static bool is_ending(hsae_source *source)
{
    pthread_mutex_lock(&source->lock);
    bool ending = source->ending;
    pthread_mutex_unlock(&source->lock);
    return ending;
}

/* Only this thread sets it while it runs, so it may read it without the lock. */
static void set_rows(hsae_source *source, uint64_t rows)
{
    pthread_mutex_lock(&source->lock);
    source->rows = rows;
    pthread_mutex_unlock(&source->lock);
}

/* Up to `most` rows to `raw`. */
static hsae_status read_some(hsae_source *source, unsigned char *raw, uint64_t most, uint64_t *got)
{
    *got = 0;
    hsae_status status = source->params.read(source->params.user, raw, most, got);
    if (status == HSAE_CANCELLED)
        return status;
    if (status)
        return hsae_fail(&source->quiet, status, "%s: row %" PRIu64 " cannot be read: %s", source->name, source->next,
                         hsae_status_sentence(status));
    if (*got > most)
        return hsae_fail(&source->quiet, HSAE_ERROR_ARGUMENT,
                         "%s: `read` says that it wrote %" PRIu64 " rows where there was room for %" PRIu64, source->name, *got, most);
    source->next += *got;
    return HSAE_OK;
}

/* Makes `row` the next one. `raw`: room in the half for `most` rows that are dropped. */
static hsae_status go_to(hsae_source *source, struct half *half, uint64_t row, unsigned char *raw, uint64_t most)
{
    hsae_status status = HSAE_OK;
    if (source->next == row)
        return HSAE_OK;
    if (source->params.seek) {
        status = source->params.seek(source->params.user, row);
        if (status && status != HSAE_CANCELLED)
            hsae_fail(&source->quiet, status, "%s: row %" PRIu64 " cannot be sought: %s", source->name, row, hsae_status_sentence(status));
        source->next = status ? source->next : row;
        return status;
    }
    if (source->next > row && row == 0 && source->rows)
        return hsae_fail(&source->quiet, HSAE_ERROR_DATA,
                         "%s ended after %" PRIu64
                         " rows, and steps are left: give it more rows, a `seek`, a folder that keeps them, or a buffer of as many rows; "
                         "or train fewer steps",
                         source->name, source->rows);
    if (source->next > row)
        return hsae_fail(&source->quiet, HSAE_ERROR_DATA, "%s: it is at row %" PRIu64 ", cannot seek, and row %" PRIu64 " is wanted",
                         source->name, source->next, row);
    half->block = UINT64_MAX;
    while (!status && source->next < row && !is_ending(source)) {
        uint64_t got, want = row - source->next < most ? row - source->next : most;
        status = read_some(source, raw, want, &got);
        if (!status && got == 0)
            status = hsae_fail(&source->quiet, HSAE_ERROR_DATA, "%s ended after %" PRIu64 " rows; the run was at row %" PRIu64 " already",
                               source->name, source->next, row);
    }
    return status;
}

static void add_squares(hsae_source *source, uint64_t first, uint64_t count)
{
    for (uint64_t r = first; r < first + count; r++)
        source->squares[r] = hsae_row_squares_raw(source->raw + r * source->row_bytes, source->params.dtype, source->params.dim);
}

/* The source gave no more rows. */
static hsae_status end_reached(hsae_source *source, uint64_t rows)
{
    if (source->rows)
        return hsae_fail(&source->quiet, HSAE_ERROR_DATA, "%s ended after %" PRIu64 " rows, and at first after %" PRIu64, source->name,
                         source->next, source->rows);
    if (rows == 0)
        return hsae_fail(&source->quiet, HSAE_ERROR_DATA, "%s has no rows", source->name);
    set_rows(source, rows);
    return HSAE_OK;
}

/* More rows of a block from the source, until it is whole, the source ends, or the thread is to end. What the half held before stays until
 * there is a row to replace it: at the end of a source it may be wanted again. */
static hsae_status read_half(hsae_source *source, struct half *half, uint64_t block)
{
    uint64_t base = (uint64_t)(half - source->halves) * source->half_rows, got = 1;
    hsae_status status = HSAE_OK;
    while (!status && got && !is_ending(source)) {
        uint64_t filled = half->block == block ? half->filled : 0, at = base + filled, most = rows_of(source, block) - filled;
        unsigned char *raw = source->raw + at * source->row_bytes;
        if (most == 0)
            break;
        status = go_to(source, half, block * source->half_rows + filled, raw, most);
        if (status || is_ending(source))
            break;
        status = read_some(source, raw, most, &got);
        if (!status && got == 0)
            status = end_reached(source, block * source->half_rows + filled);
        if (!status && got)
            *half = (struct half){block, filled + got, false};
        if (!status)
            add_squares(source, at, got);
    }
    bool whole = !status && half->block == block && half->filled == rows_of(source, block);
    if (whole && source->params.folder)
        status = hsae_source_folder_write(&source->quiet, &source->params, block, source->raw + base * source->row_bytes, half->filled);
    half->whole |= whole && !status;
    return status;
}

/* The rows of a block from the folder, where they are there. */
static hsae_status load_half(hsae_source *source, struct half *half, uint64_t block)
{
    uint64_t base = (uint64_t)(half - source->halves) * source->half_rows, count = 0;
    if (!source->params.folder || half->block == block)
        return HSAE_OK;
    half->block = UINT64_MAX;
    hsae_status status = hsae_source_folder_read(&source->quiet, &source->params, block, source->raw + base * source->row_bytes, &count);
    if (status || !count)
        return status;
    if (count < source->half_rows && !source->rows)
        set_rows(source, block * source->half_rows + count);
    if (count != rows_of(source, block))
        return hsae_fail(&source->quiet, HSAE_ERROR_DATA, "%s: block %" PRIu64 " of the source has %" PRIu64 " rows, expected %" PRIu64,
                         source->params.folder, block, count, rows_of(source, block));
    add_squares(source, base, count);
    *half = (struct half){block, count, true};
    return HSAE_OK;
}

/* Until the refill's half is whole, or the thread is to end. The end of the source may make it another block's. */
static hsae_status fill(hsae_source *source, uint64_t refill, bool *whole)
{
    hsae_status status = HSAE_OK;
    *whole = false;
    while (!status && !*whole && !is_ending(source)) {
        struct half *half = &source->halves[half_of(source, refill)];
        const uint64_t block = block_of(source, refill);
        if (half->block != block || !half->whole)
            status = load_half(source, half, block);
        if (!status && !(half->block == block && half->whole))
            status = read_half(source, half, block);
        *whole = !status && half->whole && half->block == block_of(source, refill);
    }
    return status;
}

static void *run(void *user)
{
    hsae_source *source = user;
    pthread_mutex_lock(&source->lock);
    while (!source->ending && !source->status) {
        bool whole;
        uint64_t refill = source->filling;
        if (refill > source->serving + 1) {
            pthread_cond_wait(&source->changed, &source->lock);
            continue;
        }
        pthread_mutex_unlock(&source->lock);
        hsae_status status = fill(source, refill, &whole);
        pthread_mutex_lock(&source->lock);
        source->status = status;
        source->filling += whole;
        pthread_cond_broadcast(&source->changed);
    }
    pthread_mutex_unlock(&source->lock);
    return NULL;
}

/* ---- the caller's side ---- */

hsae_status hsae_source_begin(hsae_source *source, uint64_t samples, uint64_t rows, uint64_t *refill, uint64_t *offset)
{
    if (rows && source->rows && rows != source->rows)
        return hsae_fail(source->context, HSAE_ERROR_DATA, "%s has %" PRIu64 " rows, and had %" PRIu64 " when the run drew from it",
                         source->name, source->rows, rows);
    source->rows = rows ? rows : source->rows;
    uint64_t epoch = source->rows ? samples / source->rows : 0, row = source->rows ? samples % source->rows : samples;
    *refill = epoch * (source->rows ? blocks_of(source, source->rows) : 0) + row / source->half_rows;
    *offset = row % source->half_rows;
    source->serving = source->filling = *refill;
    /* What would be read and dropped is kept, as it may turn out that the buffer holds the whole source. */
    source->filling -= !source->params.seek && source->next == 0 && row / source->half_rows == 1;
    source->status = HSAE_OK;
    source->ending = false;
    int error = hsae_os_thread_start(&source->thread, run, source);
    source->running = !error;
    return error ? hsae_fail(source->context, HSAE_ERROR_MEMORY, "%s: no thread can be made to read it: %s", source->name, strerror(error))
                 : HSAE_OK;
}

/* Until the refills below `end` are there; the lock is held. */
static hsae_status wait_for(hsae_source *source, uint64_t end)
{
    while (source->filling < end && !source->status)
        pthread_cond_wait(&source->changed, &source->lock);
    return source->filling < end ? source->status : HSAE_OK;
}

static hsae_status fail(const hsae_source *source, hsae_status status)
{
    return status && status != HSAE_CANCELLED ? hsae_fail(source->context, status, "%s", source->error) : status;
}

hsae_status hsae_source_start(hsae_source *source, const unsigned char **raw, uint64_t *rows)
{
    uint64_t refill, offset, both = 2 * source->half_rows;
    hsae_status status = hsae_source_begin(source, 0, 0, &refill, &offset);
    if (status)
        return status;
    pthread_mutex_lock(&source->lock);
    status = wait_for(source, 2);
    pthread_mutex_unlock(&source->lock);
    hsae_source_end(source);
    *raw = source->raw;
    *rows = source->rows && source->rows < both ? source->rows : both;
    return fail(source, status);
}

hsae_status hsae_source_block(hsae_source *source, uint64_t refill, struct source_block *out, double *waited)
{
    double started = hsae_os_seconds();
    pthread_mutex_lock(&source->lock);
    source->serving = refill;
    pthread_cond_broadcast(&source->changed);
    bool there = source->filling > refill;
    hsae_status status = wait_for(source, refill + 1);
    uint64_t half = half_of(source, refill), base = half * source->half_rows, block = block_of(source, refill);
    *out = (struct source_block){block * source->half_rows, rows_of(source, block), block != refill, source->raw + base * source->row_bytes,
                                 source->squares + base};
    pthread_mutex_unlock(&source->lock);
    *waited += there ? 0 : hsae_os_seconds() - started;
    return fail(source, status);
}

void hsae_source_end(hsae_source *source)
{
    if (!source->running)
        return;
    pthread_mutex_lock(&source->lock);
    source->ending = true;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
    pthread_join(source->thread, NULL);
    source->running = false;
}
