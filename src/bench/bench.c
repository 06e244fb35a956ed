/* SPDX-License-Identifier: MIT */
/* The benchmark's course: peaks, data, a trainer, blocks of steps. */
#include "bench.h"

#include "base/context.h"
#include "train/calibration.h"
#include "train/order.h"
#include "train/step.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(HSAE_KERNEL_COUNT < HSAE_BENCH_KERNELS, "a result has too few places for kernels");

enum { ROUNDS = 5, WARM_STEPS = 2 * HSAE_IN_FLIGHT + 2, MAX_STEPS = 10000 };
static const uint64_t FOREVER = 1000000000; /* steps of the run whose first ones are timed */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts `values`. */
static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

hsae_status hsae_bench_preset(hsae_context *context, const char *name, hsae_bench_params *out)
{
    HSAE_REQUIRE(context, context, name, out);
    static const struct {
        const char *name;
        uint32_t dim, level_count, levels[4], batch, target, steps;
        uint64_t copy_bytes;
    } presets[] = {
        {"paper", 2304, 4, {2048, 4096, 8192, 16384}, 1024, 50, 2, UINT64_C(256) << 20},
        {"laptop", 768, 4, {512, 1024, 2048, 4096}, 512, 32, 5, UINT64_C(256) << 20},
        {"tiny", 64, 3, {64, 128, 256}, 64, 8, 20, UINT64_C(16) << 20},
    };
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(name, presets[i].name) != 0)
            continue;
        *out = (hsae_bench_params){.dim = presets[i].dim, .steps = presets[i].steps, .copy_bytes = presets[i].copy_bytes};
        hsae_config_defaults(&out->config);
        out->config.level_count = presets[i].level_count;
        memcpy(out->config.levels, presets[i].levels, sizeof presets[i].levels);
        out->config.batch = presets[i].batch;
        out->config.max_norm = 0;
        for (int l = 0; l < HSAE_MAX_LEVELS; l++)
            out->config.target_l0[l] = presets[i].target;
        return HSAE_OK;
    }
    return hsae_fail(context, HSAE_ERROR_ARGUMENT, "there is no preset \"%s\"; there are paper, laptop and tiny", name);
}

static hsae_status say(const struct bench *bench, const char *what)
{
    return bench->params->progress && !bench->params->progress(bench->params->user, what) ? HSAE_CANCELLED : HSAE_OK;
}

/* E, D and their second moments at least, beside x and a residual a level. */
static hsae_status check_memory(const struct bench *bench, const hsae_config *config)
{
    uint64_t features = 0, has = bench->device->info.limits.memory_bytes;
    for (uint32_t l = 0; l < config->level_count; l++)
        features += config->levels[l];
    double bytes = 4.0 * bench->params->dim * (4.0 * (double)features + (1.0 + config->level_count) * config->batch);
    if (bytes <= (double)has)
        return HSAE_OK;
    return hsae_fail(bench->context, HSAE_ERROR_DEVICE_MEMORY,
                     "%s: %" PRIu64 " features of width %" PRIu32 " and a batch of %" PRIu32
                     " need at least %.2f GB, the device has %.2f GB; use a smaller preset, levels, dim or batch",
                     bench->device->info.id, features, bench->params->dim, config->batch, bytes * 1e-9, (double)has * 1e-9);
}

hsae_status hsae_bench_config(const struct bench *bench, hsae_config *config)
{
    *config = bench->params->config;
    config->steps = config->dead_steps = FOREVER;
    config->lr = 0;
    config->tree = HSAE_TREE_FOREST;
    config->order = HSAE_ORDER_SHUFFLE;
    memcpy(config->init_l0, config->target_l0, sizeof config->init_l0);
    hsae_status status = hsae_config_resolve(bench->context, config, bench->params->dim);
    return status ? status : check_memory(bench, config);
}

/* By the only figures known so far: encode's operations at the measured peak. */
static hsae_status check_time(const struct bench *bench, const hsae_config *config)
{
    double features = 0, longest = bench->params->longest_step;
    for (uint32_t l = 0; l < config->level_count; l++)
        features += config->levels[l];
    double seconds = 2.0 * config->batch * bench->params->dim * features / bench->out->fma_flops;
    if (longest <= 0 || seconds <= longest)
        return HSAE_OK;
    return hsae_fail(bench->context, HSAE_ERROR_LIMIT,
                     "%s: encode alone would take %.1f s a step at the measured peak of %.1f GFLOP/s; use a smaller preset",
                     bench->device->info.id, seconds, 1e-9 * bench->out->fma_flops);
}

/* The data set: made from the encoder and the tree that a trainer of this configuration starts with, whatever its data. */
static hsae_status make_data(struct bench *bench, const hsae_config *config)
{
    hsae_trainer *trainer = NULL;
    size_t values = (size_t)config->batch * bench->params->dim;
    float *batch = malloc(values * sizeof *batch);
    if (!batch)
        return hsae_fail(bench->context, HSAE_ERROR_MEMORY, "out of memory for a batch of %" PRIu32 " rows", config->batch);
    uint32_t random = 1;
    for (size_t k = 0; k < values; k++) {
        random = random * 1664525u + 1013904223u;
        batch[k] = (float)(random >> 8) * 0x1p-24f - 0.5f;
    }
    hsae_status status = hsae_trainer_create_from_memory(bench->device, config, batch, config->batch, bench->params->dim, &trainer);
    hsae_trainer_check(trainer, false); /* its time is not a step's */
    free(batch);
    if (!status)
        status = say(bench, "building the tree");
    if (!status)
        status = hsae_hierarchy_update(trainer);
    if (!status)
        status = hsae_bench_data(trainer, &bench->data);
    hsae_trainer_destroy(&trainer);
    return status;
}

/* ---- steps ---- */

struct stopwatch {
    const struct bench *bench;
    double started; /* when the first step was submitted; 0: not yet */
};

static bool on_step(void *user, uint64_t step, uint64_t until)
{
    struct stopwatch *watch = user;
    (void)step, (void)until;
    if (watch->started == 0)
        watch->started = hsae_os_seconds();
    return !say(watch->bench, "steps");
}

/* Seconds a step, from the first one's submission to the last one's end, as `hsae train` runs them. A device that returns from a submission
 * only when it is done is timed from the start of the run. */
static hsae_status fed_steps(struct bench *bench, uint64_t steps, double *seconds)
{
    struct stopwatch watch = {bench, bench->device->info.backend == HSAE_BACKEND_REF ? hsae_os_seconds() : 0};
    const hsae_run_params params = {.until = bench->trainer->step + steps, .progress = on_step, .user = &watch};
    hsae_status status = hsae_trainer_run(bench->trainer, bench->data, &params);
    *seconds = (hsae_os_seconds() - watch.started) / (double)steps;
    return status;
}

/* Switches constraint and perturbation off, or on again, and warms the recorded step up. */
static hsae_status set_hierarchy(struct bench *bench, const hsae_config *config, bool on)
{
    double seconds;
    bench->trainer->config.rho = on ? config->rho : 0;
    bench->trainer->config.perturb = on ? config->perturb : 0;
    hsae_status status = hsae_step_record(bench->trainer);
    return status ? status : hsae_bench_resident_steps(bench, 1, &seconds);
}

/* Reads, converts and uploads the next batch of the run. rows: [B]. */
static hsae_status read_batch(struct bench *bench, uint64_t *rows)
{
    const hsae_trainer *trainer = bench->trainer;
    const hsae_config *config = &trainer->config;
    struct hsae_buffer *raw = trainer->frame[0].raw;
    void *batch;
    for (uint32_t k = 0; k < config->batch; k++)
        rows[k] = hsae_order_row(config->order, config->seed, trainer->step * config->batch + k, hsae_dataset_rows(bench->data));
    hsae_status status = hsae_buffer_map(raw, &batch);
    if (status)
        return status;
    status = hsae_dataset_gather(bench->data, rows, config->batch, trainer->dtype, batch);
    hsae_status unmapped = hsae_buffer_unmap(raw);
    return status ? status : unmapped;
}

/* One batch while nothing else runs. */
static hsae_status time_reading(struct bench *bench)
{
    enum { READS = 7 };
    const struct device_model *device_model = &bench->trainer->device_model;
    double seconds[READS];
    uint64_t *rows = malloc(device_model->batch * sizeof *rows);
    hsae_status status = rows ? HSAE_OK : hsae_fail(bench->context, HSAE_ERROR_MEMORY, "out of memory for a batch");
    for (int k = 0; k < READS && !status; k++) {
        double started = hsae_os_seconds();
        status = read_batch(bench, rows);
        seconds[k] = hsae_os_seconds() - started;
    }
    free(rows);
    if (!status) {
        median(seconds, READS);
        bench->out->read_seconds = seconds[0];
        bench->out->read_hidden =
            bench->trainer->reading.seconds > 0 ? bench->trainer->reading.hidden / bench->trainer->reading.seconds : 0;
    }
    return status;
}

/* ---- kernels ---- */

void hsae_times_free(struct times *times)
{
    free(times->kernels);
    free(times->submissions);
    free(times->least);
    free(times->last);
}

/* Whether the times are of the same launches as the sequence has. */
static bool times_match(const struct times *times, const struct hsae_sequence *sequence)
{
    bool same = times->launches == hsae_sequence_launches(sequence);
    for (uint32_t k = 0; k < times->launches && same; k++)
        same = times->kernels[k] == hsae_sequence_kernel(sequence, k) && times->submissions[k] == hsae_sequence_submission(sequence, k);
    return same;
}

/* Room for the sequence's launches. Times of other launches, recorded before lists grew, are dropped. */
static hsae_status times_fit(const struct bench *bench, struct times *times, const struct hsae_sequence *sequence)
{
    uint32_t launches = hsae_sequence_launches(sequence);
    if (times_match(times, sequence))
        return HSAE_OK;
    hsae_times_free(times);
    *times = (struct times){.idle = INFINITY};
    times->kernels = malloc(launches * sizeof *times->kernels);
    times->submissions = malloc(launches * sizeof *times->submissions);
    times->least = malloc(launches * sizeof *times->least);
    times->last = malloc(launches * sizeof *times->last);
    if (!times->kernels || !times->submissions || !times->least || !times->last)
        return hsae_fail(bench->context, HSAE_ERROR_MEMORY, "out of memory for the times of %" PRIu32 " launches", launches);
    times->launches = launches;
    for (uint32_t k = 0; k < launches; k++) {
        times->kernels[k] = hsae_sequence_kernel(sequence, k);
        times->submissions[k] = hsae_sequence_submission(sequence, k);
        times->least[k] = INFINITY;
    }
    return HSAE_OK;
}

/* Takes over the times of a frame's last step, which is done, and adds them to busy (ns). */
static hsae_status take_times(const struct bench *bench, struct times *times, struct hsae_sequence *sequence, double *busy)
{
    hsae_status status = times_fit(bench, times, sequence);
    if (!status)
        status = hsae_sequence_times(sequence, times->last);
    for (uint32_t k = 0; k < times->launches && !status; k++) {
        times->least[k] = fmin(times->least[k], times->last[k]);
        *busy += times->last[k];
    }
    return status;
}

/* `times` (may be NULL; needs at least HSAE_IN_FLIGHT steps) gets the times of the steps and the gaps between kernels. A step whose lists
 * grow ends that: all steps are recorded anew, and their sequences have no times until they are submitted again. */
static hsae_status resident_steps(struct bench *bench, uint64_t steps, struct times *times, double *seconds)
{
    hsae_trainer *trainer = bench->trainer;
    const uint64_t recordings = trainer->recordings;
    double started = hsae_os_seconds(), busy = 0;
    hsae_status status = HSAE_OK;
    for (uint64_t k = 0; k < steps && !status; k++) {
        struct frame *frame = NULL;
        status = hsae_frame_next(trainer, &frame);
        if (!status && times && k >= HSAE_IN_FLIGHT && trainer->recordings == recordings)
            status = take_times(bench, times, frame->sequence, &busy);
        if (!status)
            status = hsae_frame_launch(trainer, frame);
        if (!status)
            status = say(bench, "steps");
    }
    if (!status)
        status = hsae_step_drain(trainer, 0);
    *seconds = (hsae_os_seconds() - started) / (double)steps;
    if (!times || trainer->recordings != recordings)
        return status;
    for (int f = 0; f < HSAE_IN_FLIGHT && !status; f++)
        status = take_times(bench, times, trainer->frame[f].sequence, &busy);
    if (!status)
        times->idle = fmin(times->idle, *seconds - 1e-9 * busy / (double)steps);
    return status;
}

hsae_status hsae_bench_resident_steps(struct bench *bench, uint64_t steps, double *seconds)
{
    return resident_steps(bench, steps, NULL, seconds);
}

hsae_status hsae_bench_timed_steps(struct bench *bench, struct times *times)
{
    hsae_trainer *trainer = bench->trainer;
    uint32_t steps = bench->params->steps > HSAE_IN_FLIGHT ? bench->params->steps : HSAE_IN_FLIGHT;
    uint64_t recordings;
    double seconds;
    trainer->timed = true;
    hsae_status status = hsae_step_record(trainer);
    do { /* until no lists grow any more */
        recordings = trainer->recordings;
        if (!status)
            status = resident_steps(bench, steps, times, &seconds);
    } while (!status && trainer->recordings != recordings);
    trainer->timed = false;
    return status ? status : hsae_step_record(trainer);
}

/* Adds a launch to its kernel. */
static void add_launch(hsae_bench_result *out, enum hsae_kernel kernel, double seconds)
{
    const char *name = kernel < HSAE_KERNEL_COUNT ? hsae_kernels[kernel].name : "product";
    uint32_t at = 0;
    while (at < out->kernel_count && strcmp(out->kernels[at].name, name) != 0)
        at++;
    if (at == out->kernel_count)
        out->kernels[out->kernel_count++] = (hsae_bench_kernel){.name = name, .group = hsae_bench_group(kernel)};
    out->kernels[at].launches++;
    out->kernels[at].seconds += seconds;
    out->kernel_seconds += seconds;
}

/* The longest launch, and the longest submission. */
static void find_longest(hsae_bench_result *out, const struct times *times)
{
    double submission = 0;
    for (uint32_t k = 0; k < times->launches; k++) {
        double seconds = 1e-9 * times->least[k];
        submission = k && times->submissions[k] == times->submissions[k - 1] ? submission + seconds : seconds;
        out->longest_dispatch = fmax(out->longest_dispatch, seconds);
        out->longest_submission = fmax(out->longest_submission, submission);
        out->submissions = times->submissions[k] + 1;
    }
}

/* The kernels at their least times, and what they had to do in the last step. */
static hsae_status sum_kernels(struct bench *bench, struct times *times)
{
    hsae_bench_result *out = bench->out;
    struct work work;
    for (uint32_t k = 0; k < times->launches; k++)
        add_launch(out, times->kernels[k], 1e-9 * times->least[k]);
    out->gap_seconds = times->idle;
    find_longest(out, times);
    hsae_status status = hsae_bench_work(bench->trainer, &work, out->levels);
    for (uint32_t k = 0; k < HSAE_KERNEL_COUNT && !status; k++)
        for (uint32_t at = 0; at < out->kernel_count; at++)
            if (out->kernels[at].name == hsae_kernels[k].name)
                hsae_bench_count((enum hsae_kernel)k, &work, &out->kernels[at].flops, &out->kernels[at].bytes);
    return status;
}

/* Sorts `seconds`. */
static hsae_bench_time time_of(double *seconds, size_t count)
{
    double middle = median(seconds, count);
    return (hsae_bench_time){middle, seconds[0], seconds[count - 1]};
}

/* Whether something that takes so long would end after the time that the caller gave. */
static bool is_too_late(const struct bench *bench, double seconds)
{
    double budget = bench->params->budget_seconds;
    return budget > 0 && hsae_os_seconds() - bench->started + seconds > budget;
}

/* The best so far; its buffers do not count as memory that training needs. */
static hsae_status measure_fma(struct bench *bench)
{
    uint64_t peak_bytes = bench->device->peak_bytes;
    double flops = 0;
    hsae_status status = hsae_bench_fma(bench->device, &flops);
    bench->device->peak_bytes = peak_bytes;
    bench->out->fma_flops = fmax(bench->out->fma_flops, flops);
    return status;
}

/* Blocks of all kinds in turn, so that a machine's changing speed meets them alike. */
static hsae_status time_blocks(struct bench *bench, const hsae_config *config, struct times *times, struct times *flat_times)
{
    double fed[ROUNDS], resident[ROUNDS], flat[ROUNDS];
    uint32_t steps = bench->params->steps, rounds = 0;
    double began = hsae_os_seconds();
    hsae_status status = HSAE_OK;
    for (uint32_t round = 0; round < ROUNDS && !status; round++) {
        if (round && is_too_late(bench, (hsae_os_seconds() - began) / round))
            break;
        rounds++;
        status = measure_fma(bench);
        if (!status)
            status = fed_steps(bench, steps, &fed[round]);
        if (!status)
            status = hsae_bench_resident_steps(bench, steps, &resident[round]);
        if (!status)
            status = hsae_bench_timed_steps(bench, times);
        if (!status)
            status = set_hierarchy(bench, config, false);
        if (!status)
            status = hsae_bench_resident_steps(bench, steps, &flat[round]);
        if (!status)
            status = hsae_bench_timed_steps(bench, flat_times);
        if (!status)
            status = set_hierarchy(bench, config, true);
    }
    if (status)
        return status;
    bench->out->rounds = rounds;
    bench->out->fed = time_of(fed, rounds);
    bench->out->step = time_of(resident, rounds);
    bench->out->flat = time_of(flat, rounds);
    return HSAE_OK;
}

static hsae_status time_steps(struct bench *bench, const hsae_config *config)
{
    struct times times = {0}, flat = {0};
    hsae_status status = time_blocks(bench, config, &times, &flat);
    for (uint32_t k = 0; k < flat.launches; k++)
        bench->out->flat_kernel_seconds += 1e-9 * flat.least[k];
    if (!status)
        status = sum_kernels(bench, &times);
    hsae_times_free(&times);
    hsae_times_free(&flat);
    return status;
}

/* ---- the sustained run ---- */

struct sustained {
    const struct bench *bench;
    double started, last;
    uint64_t step; /* at `last` */
};

static bool on_sustained_step(void *user, uint64_t step, uint64_t until)
{
    struct sustained *run = user;
    hsae_bench_result *out = run->bench->out;
    const hsae_bench_params *params = run->bench->params;
    double time = hsae_os_seconds(), interval = params->sustain_interval > 0 ? params->sustain_interval : 10;
    (void)until;
    if (time - run->last >= interval || time - run->started >= params->sustain_seconds) {
        double speed = (double)((step - run->step) * run->bench->trainer->device_model.batch) / (time - run->last);
        if (out->tokens_first == 0)
            out->tokens_first = out->tokens_lowest = speed;
        out->tokens_lowest = speed < out->tokens_lowest ? speed : out->tokens_lowest;
        out->tokens_last = speed;
        out->sustained_seconds = time - run->started;
        if (params->interval)
            params->interval(params->user, out->sustained_seconds, speed);
        run->last = time;
        run->step = step;
    }
    return time - run->started < params->sustain_seconds && !say(run->bench, "sustained run");
}

static hsae_status sustain(struct bench *bench)
{
    double started = hsae_os_seconds();
    struct sustained run = {bench, started, started, bench->trainer->step};
    const hsae_run_params params = {.progress = on_sustained_step, .user = &run};
    bench->trainer->config.hierarchy_period = bench->out->hierarchy_period;
    hsae_calibration_stop(bench->trainer, false);
    hsae_status status = hsae_trainer_run(bench->trainer, bench->data, &params);
    return status == HSAE_CANCELLED && bench->out->sustained_seconds >= bench->params->sustain_seconds ? HSAE_OK : status;
}

/* ---- the whole ---- */

static hsae_status make_trainer(struct bench *bench, const hsae_config *config)
{
    double seconds, started;
    hsae_status status = hsae_trainer_create(bench->device, config, bench->data, &bench->trainer);
    hsae_trainer_check(bench->trainer, false);
    if (!status) {
        bench->trainer->config.hierarchy_period = FOREVER; /* no update within a block of steps; sustain sets it right */
        status = hsae_hierarchy_update(bench->trainer);
    }
    started = hsae_os_seconds();
    if (!status)
        status = hsae_hierarchy_update(bench->trainer);
    bench->out->tree_seconds = hsae_os_seconds() - started;
    if (!status)
        status = fed_steps(bench, WARM_STEPS, &seconds);
    return status ? status : hsae_calibration_stop(bench->trainer, true);
}

hsae_status hsae_bench_prepare(struct bench *bench, const hsae_config *config)
{
    hsae_status status = say(bench, "making data");
    if (!status)
        status = make_data(bench, config);
    if (!status)
        status = say(bench, "first parameters");
    return status ? status : make_trainer(bench, config);
}

void hsae_bench_release(struct bench *bench)
{
    hsae_trainer_destroy(&bench->trainer);
    hsae_dataset_close(&bench->data);
}

/* Calls of one size: some, within a second. */
static hsae_status time_calls(struct bench *bench, hsae_session *session, const float *raw, hsae_bench_call *call)
{
    enum { CALLS = 9 };
    double seconds[CALLS], began = hsae_os_seconds();
    size_t count = 0;
    hsae_status status = HSAE_OK;
    for (int k = 0; k <= CALLS && !status && (k < 2 || hsae_os_seconds() - began < 1); k++) { /* the first one warms up */
        hsae_features features[HSAE_MAX_LEVELS] = {0};
        double started = hsae_os_seconds();
        status = say(bench, "encode");
        if (!status)
            status = hsae_session_encode(session, raw, call->vectors, features);
        if (k)
            seconds[count++] = hsae_os_seconds() - started;
        for (uint32_t l = 0; l < HSAE_MAX_LEVELS; l++)
            hsae_features_free(&features[l]);
    }
    if (!status)
        call->time = time_of(seconds, count);
    return status;
}

/* Encodes rows of the data with the trainer's model, once the trainer is gone. */
static hsae_status time_encoding(struct bench *bench)
{
    static const uint32_t vectors[HSAE_BENCH_CALLS] = {1, 16, 1024};
    const uint32_t most = vectors[HSAE_BENCH_CALLS - 1];
    hsae_model *model = NULL;
    hsae_session *session = NULL;
    uint64_t rows[1024];
    float *raw = malloc(sizeof *raw * most * bench->params->dim);
    hsae_status status = raw ? hsae_trainer_model(bench->trainer, &model)
                             : hsae_fail(bench->context, HSAE_ERROR_MEMORY, "out of memory for %" PRIu32 " vectors", most);
    for (uint32_t k = 0; k < most; k++)
        rows[k] = k % hsae_dataset_rows(bench->data);
    if (!status)
        status = hsae_dataset_read(bench->data, rows, most, raw);
    hsae_bench_release(bench);
    if (!status)
        status = hsae_session_create(bench->device, model, most, &session);
    for (int k = 0; k < HSAE_BENCH_CALLS && !status; k++) {
        bench->out->encode[k].vectors = vectors[k];
        status = time_calls(bench, session, raw, &bench->out->encode[k]);
    }
    hsae_session_destroy(&session);
    hsae_model_free(&model);
    free(raw);
    return status;
}

static hsae_status run(struct bench *bench)
{
    hsae_config config;
    hsae_status status = hsae_bench_config(bench, &config);
    if (!status)
        status = say(bench, "multiply-adds");
    if (!status)
        status = measure_fma(bench);
    if (!status)
        status = check_time(bench, &config);
    if (!status)
        status = hsae_bench_prepare(bench, &config);
    bench->out->level_count = config.level_count;
    bench->out->hierarchy_period = config.hierarchy_period;
    if (!status)
        status = time_steps(bench, &config);
    if (!status)
        status = time_reading(bench);
    if (!status && bench->params->sustain_seconds > 0)
        status = sustain(bench);
    bench->out->device_bytes = bench->device->peak_bytes;
    bench->out->host_bytes = hsae_os_peak_memory();
    return status ? status : time_encoding(bench);
}

/* Last, and without the trainer: the buffers are no part of what training needs. */
static hsae_status run_memory(struct bench *bench)
{
    hsae_status status = say(bench, "copying");
    if (!status)
        status = hsae_bench_copy(bench->device, bench->params->copy_bytes, bench->out);
    if (!status)
        status = say(bench, "gathering");
    if (!status)
        status = hsae_bench_gathers(bench->device, bench->params->copy_bytes * 2, bench->out);
    return status ? status : hsae_bench_launches(bench->device, bench->out);
}

hsae_status hsae_bench_run(hsae_device *device, const hsae_bench_params *params, hsae_bench_result *out)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, params, out);
    struct bench bench = {.device = device, .context = device->context, .params = params, .out = out, .started = hsae_os_seconds()};
    *out = (hsae_bench_result){0};
    if (!params->steps || params->steps > MAX_STEPS || !params->dim)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT,
                         "a benchmark of %" PRIu32 " steps a block at width %" PRIu32
                         ": from 1 to %d steps and a width above 0 are allowed",
                         params->steps, params->dim, MAX_STEPS);
    device->peak_bytes = device->allocated_bytes + device->staging_bytes;
    hsae_status status = run(&bench);
    hsae_bench_release(&bench);
    return status ? status : run_memory(&bench);
}
