/* SPDX-License-Identifier: MIT */
/* Training on a source: batches drawn from the halves of its buffer. */
#include "step.h"

#include "base/context.h"
#include "data/dataset.h"
#include "data/rows.h"
#include "data/source.h"
#include "order.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { MAX_TRIES = 4096 }; /* as of a data set */

hsae_status hsae_trainer_create_from_source(hsae_device *device, const hsae_config *config, hsae_source *source, hsae_trainer **out)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, config, source, out);
    const hsae_source_params *about = hsae_source_about(source);
    const unsigned char *raw;
    uint64_t rows;
    hsae_dataset *first = NULL;
    *out = NULL;
    hsae_status status = hsae_source_start(source, &raw, &rows);
    if (!status)
        status = hsae_dataset_named(device->context, hsae_source_name(source), raw, about->dtype, rows, about->dim, &first);
    if (!status)
        status = hsae_trainer_create(device, config, first, out);
    hsae_dataset_close(&first);
    return status;
}

/* Where a run is in its source. */
struct draw {
    hsae_trainer *trainer;
    hsae_source *source;
    struct row_rule rule;
    uint64_t refill, at; /* the next sample: number `at` of that refill */
    struct source_block block;
    bool has_block;
    uint64_t samples;       /* drawn, up to and with the last batch */
    uint64_t rows;          /* of the source, once samples of a later epoch were drawn */
    hsae_left_out left_out; /* of the last batch */
};

static hsae_status fail_bad(struct draw *draw, uint64_t row)
{
    draw->trainer->bad_row = true;
    return hsae_fail(draw->trainer->context, HSAE_ERROR_DATA,
                     "%s: row %" PRIu64 " has a value that is not finite; drop the row, make it again, or leave such rows out with "
                     "skip_bad_rows",
                     hsae_source_name(draw->source), row);
}

/* *row of the block, or the first kept one after it where it is left out. */
static hsae_status keep(struct draw *draw, uint64_t *row)
{
    const struct source_block *block = &draw->block;
    const uint64_t wanted = *row, tries = block->rows - 1 < MAX_TRIES ? block->rows - 1 : MAX_TRIES;
    enum row_verdict verdict = hsae_row_judge(&draw->rule, block->squares[wanted]);
    if (!block->again)
        hsae_left_out_add(&draw->left_out, verdict, block->first + wanted);
    for (uint64_t k = 0; k < tries && hsae_row_left_out(verdict); k++) {
        *row = *row + 1 < block->rows ? *row + 1 : 0;
        verdict = hsae_row_judge(&draw->rule, block->squares[*row]);
    }
    if (verdict == ROW_BAD)
        return fail_bad(draw, block->first + *row);
    if (!hsae_row_left_out(verdict))
        return HSAE_OK;
    return hsae_fail(
        draw->trainer->context, HSAE_ERROR_DATA,
        "%s: row %" PRIu64 " is left out, and so are all of the %" PRIu64
        " rows after it in its half of the buffer: their norms are above norm_limit, %g, or they are not finite; train on other "
        "data, or with a larger max_norm",
        hsae_source_name(draw->source), block->first + wanted, tries, draw->rule.norm_limit);
}

static hsae_status next_block(struct draw *draw, double *waited)
{
    draw->refill += draw->has_block;
    draw->at -= draw->has_block ? draw->block.rows : 0;
    draw->has_block = false;
    hsae_status status = hsae_source_block(draw->source, draw->refill, &draw->block, waited);
    draw->has_block = !status;
    return status;
}

static hsae_status next_batch(void *user, void *batch, double *waited)
{
    struct draw *draw = user;
    const hsae_config *config = &draw->trainer->config;
    const size_t bytes = draw->trainer->device_model.dim * hsae_dtype_size(draw->trainer->dtype);
    hsae_status status = HSAE_OK;
    draw->left_out = (hsae_left_out){0};
    for (uint32_t r = 0; r < draw->trainer->device_model.batch && !status; r++) {
        while (!status && (!draw->has_block || draw->at >= draw->block.rows))
            status = next_block(draw, waited);
        if (status)
            break;
        const struct source_block *block = &draw->block;
        uint64_t row = hsae_order_row(config->order, config->seed, draw->refill * block->rows + draw->at++, block->rows);
        status = keep(draw, &row);
        if (!status)
            memcpy((unsigned char *)batch + r * bytes, block->raw + row * bytes, bytes);
    }
    draw->samples += draw->trainer->device_model.batch;
    if (!status && draw->block.again)
        draw->rows = hsae_source_rows(draw->source);
    return status;
}

static void batch_done(void *user)
{
    struct draw *draw = user;
    hsae_trainer *trainer = draw->trainer;
    hsae_left_out_join(&trainer->left_out, &draw->left_out);
    trainer->source.samples = draw->samples;
    trainer->source.rows = draw->rows;
    trainer->data_rows = draw->rows ? draw->rows : UINT64_MAX;
}

/* Whether it is the source that the trainer drew from before, in the same buffer; remembers it where there was none. */
static hsae_status check_source(hsae_trainer *trainer, const hsae_source *source)
{
    const hsae_source_params *about = hsae_source_about(source);
    const uint64_t hash = hsae_source_hash(source);
    if (about->dim != trainer->device_model.dim)
        return hsae_fail(trainer->context, HSAE_ERROR_DATA, "%s: vectors of width %" PRIu32 ", the model has width %" PRIu32,
                         hsae_source_name(source), about->dim, trainer->device_model.dim);
    if (trainer->source.samples && trainer->source.hash != hash)
        return hsae_fail(trainer->context, HSAE_ERROR_CONFIG,
                         "%s is not the source that this training drew its first %" PRIu64
                         " samples from: identity, width or dtype differ; go on with that one, or begin a new run",
                         hsae_source_name(source), trainer->source.samples);
    if (trainer->source.samples && trainer->source.buffer_rows != about->buffer_rows)
        return hsae_fail(trainer->context, HSAE_ERROR_CONFIG,
                         "%s: a buffer of %" PRIu64 " rows, and the run began with %" PRIu64 ": give that number again",
                         hsae_source_name(source), about->buffer_rows, trainer->source.buffer_rows);
    trainer->source.hash = hash;
    trainer->source.buffer_rows = about->buffer_rows;
    return HSAE_OK;
}

hsae_status hsae_trainer_run_source(hsae_trainer *trainer, hsae_source *source, const hsae_run_params *params)
{
    HSAE_REQUIRE(trainer ? trainer->context : NULL, trainer, source, params);
    struct draw draw = {.trainer = trainer, .source = source, .rule = hsae_row_rule(&trainer->config)};
    hsae_status status = check_source(trainer, source);
    if (!status)
        status = hsae_step_set_dtype(trainer, hsae_source_about(source)->dtype);
    if (status || trainer->step >= hsae_run_end(trainer, params))
        return status;
    trainer->bad_row = false;
    hsae_dataset_close(&trainer->data);
    draw.samples = trainer->source.samples;
    draw.rows = trainer->source.rows;
    status = hsae_source_begin(source, draw.samples, draw.rows, &draw.refill, &draw.at);
    if (!status)
        status = hsae_run_steps(trainer, &(struct feed){next_batch, batch_done, &draw}, params);
    hsae_source_end(source);
    return status;
}
