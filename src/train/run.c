/* SPDX-License-Identifier: MIT */
/* Training: a trainer is made or resumed, its steps are fed with batches, and their figures are reported. */
#include "crew.h"

#include "base/context.h"
#include "calibration.h"
#include "order.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* `dataset`: NULL where the rows are in memory. */
static hsae_status check_rows(const hsae_context *context, const hsae_dataset *dataset, uint64_t rows, uint32_t batch)
{
    if (rows >= batch)
        return HSAE_OK;
    return hsae_fail(context, HSAE_ERROR_DATA,
                     "%s: %" PRIu64 " activation vectors are fewer than a batch of %" PRIu32 "; lower batch or give more data",
                     dataset ? hsae_dataset_path(dataset) : "activations", rows, batch);
}

/* Whether what the device gets of the model fits it; with others, about its share. */
static hsae_status check_memory(hsae_device *device, const hsae_config *given, const hsae_config *config, uint32_t dim, hsae_dtype dtype,
                                hsae_memory_plan **plan)
{
    const uint32_t ranks = hsae_device_ranks(device);
    hsae_config share = *config;
    if (plan && ranks == 1)
        return hsae_plan_start(device, given, config, dim, dtype, plan);
    for (uint32_t l = 0; l < config->level_count; l++)
        share.levels[l] = (config->levels[l] + ranks - 1) / ranks;
    share.shards = config->shards > ranks ? config->shards / ranks : 1;
    hsae_status status = hsae_plan_check(device, &share, dim, dtype);
    for (uint32_t k = 0; k < device->joined_count && !status; k++)
        status = hsae_plan_check(device->joined[k], &share, dim, dtype);
    return status;
}

static hsae_status create(hsae_device *device, const hsae_config *given, const struct init_source *source, hsae_dtype dtype,
                          hsae_memory_plan **plan, hsae_trainer **out)
{
    hsae_config config = *given;
    *out = NULL;
    hsae_status status = hsae_config_resolve(device->context, &config, source->dim);
    if (!status)
        status = check_rows(device->context, source->dataset, source->rows, config.batch);
    if (!status)
        status = check_memory(device, given, &config, source->dim, dtype, plan);
    if (!status)
        status = hsae_crew_alloc(device, &config, source->dim, dtype, out);
    if (!status)
        status = hsae_trainer_init(*out, source);
    if (!status)
        status = hsae_step_record(*out);
    if (status)
        hsae_trainer_destroy(out);
    return status;
}

hsae_status hsae_trainer_create(hsae_device *device, const hsae_config *config, const hsae_dataset *calibration, hsae_trainer **out)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, config, calibration, out);
    struct init_source from = {calibration, NULL, hsae_dataset_rows(calibration), hsae_dataset_dim(calibration)};
    return create(device, config, &from, hsae_dataset_dtype(calibration), NULL, out);
}

hsae_status hsae_trainer_create_planned(hsae_device *device, const hsae_config *config, const hsae_dataset *calibration,
                                        hsae_memory_plan **plan, hsae_trainer **out)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, config, calibration, plan, out);
    struct init_source from = {calibration, NULL, hsae_dataset_rows(calibration), hsae_dataset_dim(calibration)};
    *plan = NULL;
    return create(device, config, &from, hsae_dataset_dtype(calibration), plan, out);
}

hsae_status hsae_trainer_create_from_memory(hsae_device *device, const hsae_config *config, const float *raw, uint64_t rows, uint32_t dim,
                                            hsae_trainer **out)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, config, raw, out);
    struct init_source from = {NULL, raw, rows, dim};
    *out = NULL;
    if (!dim)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "hsae_trainer_create_from_memory: the width is 0");
    return create(device, config, &from, HSAE_DTYPE_F32, NULL, out);
}

hsae_status hsae_trainer_resume(hsae_device *device, const char *path, hsae_override_fn overrides, void *user, hsae_trainer **out)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, path, out);
    struct checkpoint checkpoint;
    hsae_config config;
    *out = NULL;
    hsae_status status = hsae_checkpoint_open(device->context, path, &checkpoint);
    if (status)
        return status;
    status = hsae_config_override(device->context, &checkpoint.config, checkpoint.dim, overrides, user, &config);
    if (!status && (uint64_t)checkpoint.step > config.steps)
        status = hsae_fail(device->context, HSAE_ERROR_CONFIG, "%s is at step %" PRId64 ", after the last of steps = %" PRIu64, path,
                           checkpoint.step, config.steps);
    if (!status)
        status = check_memory(device, NULL, &config, checkpoint.dim, HSAE_DTYPE_F32, NULL);
    if (!status)
        status = hsae_crew_alloc(device, &config, checkpoint.dim, HSAE_DTYPE_F32, out);
    if (!status)
        status = hsae_trainer_load(*out, &checkpoint);
    if (!status)
        status = hsae_step_record(*out);
    if (status)
        hsae_trainer_destroy(out);
    hsae_checkpoint_close(&checkpoint);
    return status;
}

/* What a finished step brings with it: the tree is built on the steps of the method's period. */
static bool relinks_after(const hsae_config *config, uint64_t step)
{
    if (config->level_count < 2)
        return false;
    switch (config->tree) {
    case HSAE_TREE_POSTHOC:
        return step == config->steps;
    case HSAE_TREE_FIXED:
        return step == config->hierarchy_period;
    default:
        return step % config->hierarchy_period == 0;
    }
}

/* A step that is compared with the reference, and waited for. */
static hsae_status launch_checked(hsae_trainer *trainer, struct frame *frame)
{
    struct check *check = NULL;
    hsae_status status = hsae_step_drain(trainer, 0);
    if (!status)
        status = hsae_check_before(trainer, frame, &check);
    if (!status)
        status = hsae_step_submit(trainer, frame);
    if (!status)
        status = hsae_step_drain(trainer, 0);
    if (!status)
        status = hsae_check_after(check);
    hsae_check_free(&check);
    return status;
}

hsae_status hsae_frame_launch(hsae_trainer *trainer, struct frame *frame)
{
    hsae_status status = hsae_calibration_begin(trainer);
    if (status)
        return status;
    frame->step = trainer->step + 1;
    frame->rate = hsae_step_rate(trainer, frame->step);
    status = trainer->crew             ? hsae_crew_step(trainer, frame)
             : hsae_check_due(trainer) ? launch_checked(trainer, frame)
                                       : hsae_step_submit(trainer, frame);
    if (status)
        return status;
    trainer->step++;
    status = hsae_calibration_end(trainer, frame);
    if (status)
        return status;
    if (!relinks_after(&trainer->config, trainer->step))
        return HSAE_OK;
    status = hsae_step_drain(trainer, 0);
    return status ? status : hsae_hierarchy_update(trainer);
}

void hsae_step_figures(hsae_trainer *trainer, hsae_step_metrics *metrics)
{
    const struct device_model *device_model = &trainer->device_model;
    double time = hsae_os_seconds(), steps = trainer->figures.steps ? (double)trainer->figures.steps : 1;
    memset(metrics, 0, sizeof *metrics);
    metrics->step = trainer->step;
    metrics->tokens = trainer->step * device_model->batch;
    metrics->lr = trainer->status_rate;
    metrics->seconds = time - trainer->started;
    if (time > trainer->metrics_time) {
        metrics->tokens_per_second = (double)(trainer->step - trainer->metrics_step) * device_model->batch / (time - trainer->metrics_time);
        metrics->data_wait = trainer->reading.waited / (time - trainer->metrics_time);
    }
    metrics->left_out = trainer->left_out.norm + trainer->left_out.bad;
    metrics->level_count = device_model->levels;
    for (uint32_t l = 0; l < device_model->levels; l++) {
        uint32_t at = REPORT_LEVELS + l * REPORT_LEVEL_WORDS;
        hsae_step_level *level = &metrics->levels[l];
        level->reconstruction = bits_f32(trainer->status[at + REPORT_RECONSTRUCTION]);
        level->variance_explained = hsae_step_explained(trainer, l);
        level->l0 = bits_f32(trainer->status[at + REPORT_L0]);
        level->lambda = bits_f32(trainer->status[at + REPORT_LAMBDA]);
        level->constraint = bits_f32(trainer->status[at + REPORT_CONSTRAINT]);
        level->dead = trainer->status[at + REPORT_DEAD];
        level->mean_l0 = trainer->figures.l0[l] / steps;
        level->mean_variance_explained = trainer->figures.explained[l] / steps;
    }
    memset(&trainer->figures, 0, sizeof trainer->figures);
    trainer->reading.waited = 0;
    trainer->metrics_time = time;
    trainer->metrics_step = trainer->step;
}

/* The next batch to the frame's staging buffer. */
static hsae_status stage(hsae_trainer *trainer, const struct feed *feed, struct frame *frame)
{
    void *batch;
    double waited = 0;
    hsae_status status = hsae_buffer_map(frame->raw, &batch);
    if (status)
        return status;
    status = feed->next(feed->user, batch, &waited);
    trainer->reading.waited += waited;
    hsae_status unmapped = hsae_buffer_unmap(frame->raw);
    return status ? status : unmapped;
}

static bool due(uint64_t every, uint64_t step)
{
    return every && step % every == 0;
}

/* Callbacks of a finished step; false: stop. */
static hsae_status report(hsae_trainer *trainer, const hsae_run_params *params, uint64_t until, bool *go_on)
{
    bool metrics = params->metrics && params->metrics_every && (due(params->metrics_every, trainer->step) || trainer->step == until);
    bool checkpoint = params->checkpoint && due(params->checkpoint_every, trainer->step);
    hsae_status status = metrics || checkpoint ? hsae_step_drain(trainer, 0) : HSAE_OK;
    if (!status && metrics)
        status = hsae_scalars_check(trainer, trainer->step);
    if (!status && metrics && trainer->crew)
        status = hsae_crew_figures(trainer);
    if (!status && metrics) {
        hsae_step_metrics figures;
        hsae_step_figures(trainer, &figures);
        *go_on &= params->metrics(params->user, &figures);
    }
    if (!status && checkpoint)
        *go_on &= params->checkpoint(params->user, trainer);
    if (trainer->divergence.step)
        return HSAE_ERROR_DIVERGED; /* as saving has said */
    if (!status && params->progress)
        *go_on &= params->progress(params->user, trainer->step, until);
    return status;
}

/* A wait that is longer than it takes to see that there is nothing to wait for. */
static const double REAL_WAIT = 2e-5;

/* One step of a run. Reading counts as hidden if the oldest step was still running when the host next needed a slot. */
static hsae_status run_step(hsae_trainer *trainer, const struct feed *feed)
{
    struct frame *frame = NULL;
    bool full = true;
    for (int f = 0; f < HSAE_IN_FLIGHT; f++)
        full &= trainer->frame[f].ticket != 0;
    double wanted = hsae_os_seconds();
    hsae_status status = hsae_frame_next(trainer, &frame);
    double found = hsae_os_seconds();
    if (full) {
        trainer->reading.seconds += trainer->reading.last;
        /* The reference works while it is submitted to, so it has nothing to wait for, however long the host takes to see that. */
        bool waited = trainer->device_model.device->info.backend != HSAE_BACKEND_REF && found - wanted > REAL_WAIT;
        trainer->reading.hidden += waited ? trainer->reading.last : 0;
    }
    if (!status)
        status = stage(trainer, feed, frame);
    trainer->reading.last = hsae_os_seconds() - found;
    if (!status)
        status = hsae_frame_launch(trainer, frame);
    if (!status)
        feed->done(feed->user);
    return status;
}

uint64_t hsae_run_end(const hsae_trainer *trainer, const hsae_run_params *params)
{
    return params->until && params->until < trainer->config.steps ? params->until : trainer->config.steps;
}

hsae_status hsae_run_steps(hsae_trainer *trainer, const struct feed *feed, const hsae_run_params *params)
{
    const uint64_t until = hsae_run_end(trainer, params);
    bool go_on = true;
    hsae_status status = HSAE_OK;
    while (!status && go_on && trainer->step < until) {
        status = run_step(trainer, feed);
        if (!status)
            status = report(trainer, params, until, &go_on);
    }
    hsae_status drained = status ? status : hsae_step_drain(trainer, 0);
    return drained || go_on ? drained : HSAE_CANCELLED;
}

/* ---- a run on a data set ---- */

/* Where a run is in the stream of samples. */
struct stream {
    hsae_order order;
    uint64_t seed, first, rows;
};

static uint64_t row_of(const void *user, uint64_t sample)
{
    const struct stream *stream = user;
    return hsae_order_row(stream->order, stream->seed, stream->first + sample, stream->rows);
}

struct reading {
    hsae_trainer *trainer;
    struct hsae_reader *reader;
};

static hsae_status next_batch(void *user, void *batch, double *waited)
{
    const struct reading *reading = user;
    hsae_status status = hsae_reader_next(reading->reader, reading->trainer->dtype, batch, waited);
    reading->trainer->bad_row = hsae_reader_met_bad_row(reading->reader);
    return status;
}

static void batch_done(void *user)
{
    const struct reading *reading = user;
    const hsae_left_out more = hsae_reader_left_out(reading->reader);
    hsae_left_out_join(&reading->trainer->left_out, &more);
}

/* For hsae_diverge. */
static hsae_status remember_data(hsae_trainer *trainer, const hsae_dataset *dataset)
{
    hsae_dataset_close(&trainer->data);
    trainer->data = hsae_dataset_share(dataset);
    return trainer->data ? HSAE_OK : hsae_fail(trainer->context, HSAE_ERROR_MEMORY, "out of memory for a data set");
}

hsae_status hsae_trainer_run(hsae_trainer *trainer, const hsae_dataset *dataset, const hsae_run_params *params)
{
    HSAE_REQUIRE(trainer ? trainer->context : NULL, trainer, dataset, params);
    const struct device_model *device_model = &trainer->device_model;
    const uint64_t until = hsae_run_end(trainer, params);
    if (hsae_dataset_dim(dataset) != device_model->dim)
        return hsae_fail(trainer->context, HSAE_ERROR_DATA, "%s: vectors of width %" PRIu32 ", the model has width %" PRIu32,
                         hsae_dataset_path(dataset), hsae_dataset_dim(dataset), device_model->dim);
    hsae_status status = check_rows(trainer->context, dataset, hsae_dataset_rows(dataset), device_model->batch);
    if (!status)
        status = hsae_step_set_dtype(trainer, hsae_dataset_dtype(dataset));
    trainer->bad_row = false;
    trainer->data_rows = hsae_dataset_rows(dataset);
    if (!status)
        status = remember_data(trainer, dataset);
    if (status)
        return status;
    struct reading user = {trainer, NULL};
    uint64_t batches = until > trainer->step ? until - trainer->step : 0;
    const struct stream stream = {trainer->config.order, trainer->config.seed, trainer->step * device_model->batch,
                                  hsae_dataset_rows(dataset)};
    const struct hsae_reader_params reading = {
        .dataset = dataset,
        .batch = device_model->batch,
        .batches = batches,
        .max_bytes = hsae_trainer_ring(device_model->device),
        .row = row_of,
        .user = &stream,
        .rule = hsae_row_rule(&trainer->config),
        .counted = stream.rows > stream.first ? stream.rows - stream.first : 0,
    };
    status = hsae_reader_create(trainer->context, &reading, &user.reader);
    if (!status)
        status = hsae_run_steps(trainer, &(struct feed){next_batch, batch_done, &user}, params);
    hsae_reader_destroy(&user.reader);
    return status;
}
