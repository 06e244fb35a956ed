/* SPDX-License-Identifier: MIT */
/* The search: candidates of one kernel after the other, first compared with the reference, then timed in real steps. */
#include <hsae/tune.h>

#include "bench/bench.h"
#include "device/tuning_file.h"
#include "match.h"
#include "train/step.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FINALISTS = 4, ROUNDS = 4, DEFAULT_SECONDS = 240 };
/* Kernels below this share of a step are left alone: nothing there could be seen. */
static const double MIN_SHARE = 0.005;
/* Nor is less than this share of a step worth other shapes. */
static const double MIN_GAIN = 0.001;
/* Times of one shape that differ by more than this are worth a warning. */
static const double NOISY = 1.25;

struct candidate {
    struct hsae_kernel_shape shape;
    bool tried;
    double seconds; /* least so far; infinite: not timed, or rejected */
    int wins;       /* rounds in which it was faster than the default */
};

struct tuner {
    struct bench bench;
    hsae_bench_params work;
    hsae_bench_result bench_result;
    const hsae_tune_params *params;
    hsae_tune_result *out;
    struct match *match;
    double shares[HSAE_KERNEL_COUNT]; /* seconds in a step with all defaults */
    struct hsae_kernel_shape space[HSAE_MAX_SHAPES];
    struct candidate candidates[HSAE_MAX_SHAPES];
    size_t count;
    char what[160];
};

/* hsae_bench_params.progress: steps go by within something larger that is being done. */
static bool on_progress(void *user, const char *what)
{
    const struct tuner *tuner = user;
    const hsae_tune_params *params = tuner->params;
    return !params->progress || params->progress(params->user, *tuner->what ? tuner->what : what);
}

static void shape_text(const struct hsae_kernel_shape *shape, char text[96])
{
    int used = snprintf(text, 96, "group %" PRIu32 ", columns %" PRIu32 ", width %" PRIu32, shape->group_size, shape->columns,
                        shape->vector_width);
    if (shape->tile_words)
        snprintf(text + used, 96 - (size_t)used, ", tile %" PRIu32 " x %" PRIu32 ", step %" PRIu32 ", pad %" PRIu32 ", prefetch %" PRIu32,
                 shape->tile_vectors, shape->tile_words, shape->tile_step, shape->tile_pad, shape->tile_prefetch);
}

/* ---- timing ---- */

/* Seconds of all launches of each kernel in a step with the shapes that the device has now. */
static hsae_status time_kernels(struct tuner *tuner, double seconds[HSAE_KERNEL_COUNT])
{
    struct times times = {0};
    hsae_status status = hsae_bench_timed_steps(&tuner->bench, &times);
    memset(seconds, 0, HSAE_KERNEL_COUNT * sizeof *seconds);
    for (uint32_t k = 0; k < times.launches && !status; k++)
        if (times.kernels[k] < HSAE_KERNEL_COUNT)
            seconds[times.kernels[k]] += 1e-9 * times.least[k];
    hsae_times_free(&times);
    return status;
}

/* Of all kernels in a step with all defaults. */
static double step_seconds(const struct tuner *tuner)
{
    double sum = 0;
    for (int k = 0; k < HSAE_KERNEL_COUNT; k++)
        sum += tuner->shares[k];
    return sum;
}

static hsae_status time_candidate(struct tuner *tuner, enum hsae_kernel kernel, struct candidate *candidate, double *last)
{
    double seconds[HSAE_KERNEL_COUNT];
    tuner->bench.device->tuning.shape[kernel] = candidate->shape;
    hsae_status status = time_kernels(tuner, seconds);
    *last = seconds[kernel];
    if (!status)
        candidate->seconds = fmin(candidate->seconds, *last);
    return status;
}

/* ---- one candidate ---- */

/* What ends the search; anything else that goes wrong with a candidate is the candidate's fault. */
static bool is_fatal(hsae_status status)
{
    return status == HSAE_CANCELLED || status == HSAE_ERROR_DEVICE_LOST || status == HSAE_ERROR_MEMORY || status == HSAE_ERROR_FILE;
}

static hsae_status try_candidate(struct tuner *tuner, enum hsae_kernel kernel, struct candidate *candidate, hsae_tune_kernel *out)
{
    hsae_device *device = tuner->bench.device;
    double off = 0, last;
    candidate->tried = true;
    device->tuning.shape[kernel] = candidate->shape;
    hsae_status status = hsae_match_check(tuner->match, &off);
    if (!status && off <= 1)
        status = time_candidate(tuner, kernel, candidate, &last);
    out->tried++;
    if (status || !(off <= 1)) {
        char text[96];
        shape_text(&candidate->shape, text);
        out->rejected++;
        candidate->seconds = INFINITY;
        if (!is_fatal(status))
            hsae_log(device->context, HSAE_LOG_WARNING, "%s: %s is not used with %s: %s", device->info.id, out->name, text,
                     status ? hsae_status_sentence(status) : "its results differ from the reference's");
    }
    return is_fatal(status) ? status : HSAE_OK;
}

/* ---- one kernel ---- */

static uint32_t distance(const struct hsae_kernel_shape *a, const struct hsae_kernel_shape *b)
{
    return (a->group_size != b->group_size) + (a->columns != b->columns) + (a->vector_width != b->vector_width) +
           (a->tile_vectors != b->tile_vectors) + (a->tile_words != b->tile_words) + (a->tile_step != b->tile_step) +
           (a->tile_pad != b->tile_pad) + (a->tile_prefetch != b->tile_prefetch);
}

static size_t fastest(const struct tuner *tuner)
{
    size_t best = 0;
    for (size_t k = 1; k < tuner->count; k++)
        if (tuner->candidates[k].seconds < tuner->candidates[best].seconds)
            best = k;
    return best;
}

/* The untried candidate that differs from the fastest in the fewest fields, the first of several; `count`: all were tried. */
static size_t next_candidate(const struct tuner *tuner)
{
    const struct hsae_kernel_shape *best = &tuner->candidates[fastest(tuner)].shape;
    size_t found = tuner->count;
    for (size_t k = 0; k < tuner->count; k++)
        if (!tuner->candidates[k].tried &&
            (found == tuner->count || distance(best, &tuner->candidates[k].shape) < distance(best, &tuner->candidates[found].shape)))
            found = k;
    return found;
}

static hsae_status screen(struct tuner *tuner, enum hsae_kernel kernel, double deadline, hsae_tune_kernel *out)
{
    hsae_status status = HSAE_OK;
    for (size_t at; !status && (at = next_candidate(tuner)) < tuner->count;) {
        double best = tuner->candidates[fastest(tuner)].seconds;
        if (out->tried && hsae_os_seconds() > deadline) { /* the default, with which all begins, is tried in any case */
            tuner->out->complete = false;
            break;
        }
        snprintf(tuner->what, sizeof tuner->what, "%s: shape %" PRIu32 " of %zu; default %.3f ms, best %.3f ms", out->name, out->tried + 1,
                 tuner->count, 1e3 * tuner->candidates[0].seconds, 1e3 * best);
        status = try_candidate(tuner, kernel, &tuner->candidates[at], out);
        if (at == 0 && !status && !isfinite(tuner->candidates[0].seconds))
            status = hsae_fail(tuner->bench.context, HSAE_ERROR_DRIVER, "%s: %s does not work at its default shape",
                               tuner->bench.device->info.id, out->name);
    }
    return status;
}

static int by_seconds(const void *a, const void *b)
{
    double x = ((const struct candidate *)a)->seconds, y = ((const struct candidate *)b)->seconds;
    return (x > y) - (x < y);
}

/* The default and the fastest others in turn, timed afresh: the luck of the first time is not to decide, nor what else is running. */
static hsae_status decide(struct tuner *tuner, enum hsae_kernel kernel, hsae_tune_kernel *out)
{
    struct candidate *candidates = tuner->candidates, *winner = candidates;
    size_t finalists = tuner->count < FINALISTS ? tuner->count : FINALISTS;
    double slowest = 0;
    hsae_status status = HSAE_OK;
    qsort(candidates + 1, tuner->count - 1, sizeof *candidates, by_seconds);
    while (finalists > 1 && !isfinite(candidates[finalists - 1].seconds))
        finalists--;
    snprintf(tuner->what, sizeof tuner->what, "%s: the fastest %zu against the default", out->name, finalists - 1);
    for (size_t k = 0; k < finalists; k++)
        candidates[k].seconds = INFINITY;
    for (int round = 0; round < ROUNDS && !status; round++) {
        double last[FINALISTS] = {0}; /* gcc 12 takes it for used unset */
        for (size_t k = 0; k < finalists && !status; k++) {
            status = time_candidate(tuner, kernel, &candidates[k], &last[k]);
            candidates[k].wins += !status && last[k] < last[0];
        }
        slowest = status ? slowest : fmax(slowest, last[0]);
    }
    if (status)
        return status;
    if (slowest > NOISY * candidates[0].seconds)
        hsae_log(tuner->bench.context, HSAE_LOG_WARNING,
                 "%s: not quiet: %s took from %.3f to %.3f ms at one shape; close what else is running for a better choice",
                 tuner->bench.device->info.id, out->name, 1e3 * candidates[0].seconds, 1e3 * slowest);
    double worth = fmax(HSAE_TUNE_GAIN * candidates[0].seconds, MIN_GAIN * step_seconds(tuner));
    for (size_t k = 1; k < finalists; k++)
        if (candidates[k].wins == ROUNDS && candidates[k].seconds < fmin(winner->seconds, candidates[0].seconds - worth))
            winner = &candidates[k];
    out->changed = winner != candidates;
    out->default_seconds = candidates[0].seconds;
    out->tuned_seconds = winner->seconds;
    shape_text(&candidates[0].shape, out->default_shape);
    shape_text(&winner->shape, out->shape);
    tuner->bench.device->tuning.shape[kernel] = out->changed ? winner->shape : (struct hsae_kernel_shape){0};
    return HSAE_OK;
}

static hsae_status tune_kernel(struct tuner *tuner, enum hsae_kernel kernel, double deadline)
{
    hsae_tune_kernel *out = &tuner->out->kernels[tuner->out->kernel_count];
    tuner->count = hsae_shape_space(tuner->bench.device, kernel, tuner->space);
    for (size_t k = 0; k < tuner->count; k++)
        tuner->candidates[k] = (struct candidate){.shape = tuner->space[k], .seconds = INFINITY};
    *out = (hsae_tune_kernel){.name = hsae_kernels[kernel].name, .shapes = (uint32_t)tuner->count};
    hsae_status status = screen(tuner, kernel, deadline, out);
    if (!status)
        status = decide(tuner, kernel, out);
    if (status)
        return status;
    tuner->out->kernel_count++;
    if (tuner->params->kernel_done)
        tuner->params->kernel_done(tuner->params->user, out);
    return HSAE_OK;
}

/* ---- all kernels ---- */

static bool is_wanted(struct tuner *tuner, enum hsae_kernel kernel)
{
    if (hsae_shape_space(tuner->bench.device, kernel, tuner->space) < 2 || tuner->shares[kernel] <= 0)
        return false;
    return tuner->params->kernel ? strcmp(tuner->params->kernel, hsae_kernels[kernel].name) == 0
                                 : tuner->shares[kernel] > MIN_SHARE * step_seconds(tuner);
}

/* The largest part of the step first; each gets its part of the time that is left. */
static hsae_status tune_kernels(struct tuner *tuner, double deadline)
{
    bool wanted[HSAE_KERNEL_COUNT];
    hsae_status status = HSAE_OK;
    for (int k = 0; k < HSAE_KERNEL_COUNT; k++)
        wanted[k] = is_wanted(tuner, (enum hsae_kernel)k);
    while (!status) {
        double left = 0;
        int largest = -1;
        for (int k = 0; k < HSAE_KERNEL_COUNT; k++) {
            left += wanted[k] ? tuner->shares[k] : 0;
            if (wanted[k] && (largest < 0 || tuner->shares[k] > tuner->shares[largest]))
                largest = k;
        }
        if (largest < 0)
            break;
        wanted[largest] = false;
        double start = hsae_os_seconds();
        status = tune_kernel(tuner, (enum hsae_kernel)largest, start + (deadline - start) * tuner->shares[largest] / left);
    }
    return status;
}

/* Whole steps with all defaults, with what is tuned and with the shapes of before, in turn: the lowest of each, and *slowest of a block
 * with the defaults. */
static hsae_status time_variants(struct tuner *tuner, const struct hsae_tuning variants[3], double least[3], double *slowest)
{
    hsae_status status = HSAE_OK;
    snprintf(tuner->what, sizeof tuner->what, "whole steps");
    for (int block = 0; block < 3 * ROUNDS && !status; block++) {
        double seconds;
        int variant = block % 3;
        tuner->bench.device->tuning = variants[variant];
        status = hsae_step_record(tuner->bench.trainer);
        if (!status)
            status = hsae_bench_resident_steps(&tuner->bench, 1, &seconds);
        if (!status)
            status = hsae_bench_resident_steps(&tuner->bench, tuner->work.steps, &seconds);
        if (!status)
            least[variant] = fmin(least[variant], seconds);
        if (!status && variant == 0)
            *slowest = fmax(*slowest, seconds);
    }
    return status;
}

static bool same_shapes(const struct hsae_tuning *a, const struct hsae_tuning *b)
{
    bool same = true;
    for (int k = 0; k < HSAE_KERNEL_COUNT; k++)
        same &= distance(&a->shape[k], &b->shape[k]) == 0;
    return same;
}

/* Whether the tuned shapes are the fastest in whole steps. `before`: those that the device had. */
static hsae_status prove(struct tuner *tuner, const struct hsae_tuning *before)
{
    enum { DEFAULTS, TUNED, BEFORE };
    hsae_device *device = tuner->bench.device;
    struct hsae_tuning variants[3] = {{.loaded = true}, device->tuning, *before};
    double least[3] = {INFINITY, INFINITY, INFINITY}, slowest = 0;
    hsae_status status = time_variants(tuner, variants, least, &slowest);
    device->tuning = variants[TUNED];
    if (status)
        return status;
    if (same_shapes(&variants[DEFAULTS], &variants[BEFORE]))
        least[DEFAULTS] = least[BEFORE] = fmin(least[DEFAULTS], least[BEFORE]);
    for (int k = DEFAULTS; k <= BEFORE; k += BEFORE - DEFAULTS) /* two names of the same shapes have one time */
        if (same_shapes(&variants[k], &variants[TUNED]))
            least[k] = least[TUNED] = fmin(least[k], least[TUNED]);
        else if (!(least[TUNED] < least[k]))
            tuner->out->refused = true;
    tuner->out->default_step = least[DEFAULTS];
    tuner->out->tuned_step = least[TUNED];
    if (slowest > NOISY * least[DEFAULTS])
        hsae_log(device->context, HSAE_LOG_WARNING, "%s: not quiet: a step with the default shapes took from %.3f to %.3f ms",
                 device->info.id, 1e3 * least[DEFAULTS], 1e3 * slowest);
    return HSAE_OK;
}

/* The defaults, which everything is measured against, must themselves be right. */
static hsae_status check_defaults(struct tuner *tuner)
{
    double off;
    hsae_status status = on_progress(tuner, "comparing with the reference") ? HSAE_OK : HSAE_CANCELLED;
    if (!status)
        status = hsae_match_create(tuner->bench.device, &tuner->match);
    if (!status)
        status = hsae_match_check(tuner->match, &off);
    if (!status && !(off <= 1))
        status = hsae_fail(tuner->bench.context, HSAE_ERROR_DRIVER,
                           "%s: a few training steps do not give what the reference device gives (off by %.3g times what rounding may do); "
                           "update the driver, or use another device",
                           tuner->bench.device->info.id, off);
    return status;
}

static hsae_status check_kernel(const hsae_device *device, const char *name)
{
    char names[1024] = "";
    size_t used = 0;
    for (int k = 0; k < HSAE_KERNEL_COUNT && used < sizeof names; k++) {
        if (!name || strcmp(name, hsae_kernels[k].name) == 0)
            return HSAE_OK;
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", k ? ", " : "", hsae_kernels[k].name);
    }
    return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "there is no kernel \"%s\"; there are %s", name, names);
}

static hsae_status run(struct tuner *tuner, double deadline)
{
    hsae_config config;
    struct hsae_tuning *tuning = &tuner->bench.device->tuning, known = *tuning;
    *tuning = (struct hsae_tuning){.loaded = true};
    hsae_status status = hsae_bench_config(&tuner->bench, &config);
    if (!status)
        status = check_defaults(tuner);
    if (!status)
        status = hsae_bench_prepare(&tuner->bench, &config);
    if (!status)
        status = time_kernels(tuner, tuner->shares);
    if (status)
        return status;
    for (int k = 0; k < HSAE_KERNEL_COUNT; k++)
        if (!is_wanted(tuner, (enum hsae_kernel)k))
            tuning->shape[k] = known.shape[k];
    status = tune_kernels(tuner, deadline);
    return status ? status : prove(tuner, &known);
}

hsae_status hsae_tune(hsae_device *device, const hsae_tune_params *params, hsae_tune_result *out)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, params, out);
    double started = hsae_os_seconds();
    *out = (hsae_tune_result){.complete = true};
    if (device->info.backend == HSAE_BACKEND_REF)
        return hsae_fail(device->context, HSAE_ERROR_UNSUPPORTED, "%s: there is nothing to tune on the reference device", device->info.id);
    hsae_status status = check_kernel(device, params->kernel);
    if (status)
        return status;
    struct tuner *tuner = calloc(1, sizeof *tuner);
    if (!tuner)
        return hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for tuning");
    hsae_tuning_load(device);
    struct hsae_tuning before = device->tuning;
    tuner->params = params;
    tuner->out = out;
    tuner->work = params->work;
    tuner->work.progress = on_progress;
    tuner->work.user = tuner;
    tuner->bench = (struct bench){.device = device, .context = device->context, .params = &tuner->work, .out = &tuner->bench_result};
    status = run(tuner, started + (params->seconds > 0 ? params->seconds : DEFAULT_SECONDS));
    if (status || out->refused)
        device->tuning = before;
    out->seconds = hsae_os_seconds() - started;
    hsae_bench_release(&tuner->bench);
    hsae_match_destroy(&tuner->match);
    free(tuner);
    return status;
}
