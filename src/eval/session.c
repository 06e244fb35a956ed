/* SPDX-License-Identifier: MIT */
/* A finished model on a device: the first lines of a training step (load, encode, lists, decode) without perturbation. */
#include "base/context.h"
#include "data/dataset.h"
#include "device/speed.h"
#include "session_state.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_ROWS = 1024, FIRST_PAIRS = 128 /* for each sample and level */, SMALLEST = 32 };

static void release_sequences(struct hsae_session *session)
{
    hsae_sequence_destroy(&session->reconstruct);
    for (int size = 0; size < HSAE_SESSION_SIZES; size++) {
        hsae_sequence_destroy(&session->encode[size]);
        for (int l = 0; l < HSAE_MAX_LEVELS; l++)
            hsae_sequence_destroy(&session->decode[l][size]);
    }
}

/* Work in proportion to the rows: the smallest size that holds them. */
static void fit(struct hsae_session *session, uint32_t rows)
{
    uint64_t fitting = SMALLEST;
    session->fitted = session->device_model;
    for (session->size = 0; fitting < rows && session->size < HSAE_SESSION_SIZES - 1; session->size++)
        fitting *= 2;
    if (session->size == HSAE_SESSION_SIZES - 1 || fitting >= session->device_model.batch) {
        session->size = HSAE_SESSION_SIZES - 1;
        return;
    }
    session->fitted.batch = session->fitted.padded = (uint32_t)fitting;
    session->fitted.words = (uint32_t)fitting / 32;
}

enum stage { STAGE_LISTS = 1, STAGE_DECODE_ALL = 2, STAGE_DECODE_ONE = 4 };

static void record(const struct hsae_session *session, struct hsae_sequence *sequence, int stages, uint32_t level)
{
    const struct device_model *device_model = &session->fitted;
    hsae_record_load(device_model, sequence, session->raw, FORMAT_F32, session->model->scale, false);
    if (stages & STAGE_LISTS)
        hsae_record_lists(device_model, sequence, NULL);
    if (stages & STAGE_DECODE_ALL)
        hsae_record_decode(device_model, sequence, 0, device_model->levels);
    if (stages & STAGE_DECODE_ONE)
        hsae_record_decode(device_model, sequence, level, 1);
}

/* Measures speeds from a timed sequence, which is recorded anew, in longer launches, when it is needed again. */
static hsae_status calibrate(struct hsae_session *session, struct hsae_sequence **sequence)
{
    enum hsae_speed_change change;
    hsae_status status = hsae_speed_learn(session->device_model.device, *sequence, &change);
    session->calibrated = ++session->calibrations == HSAE_MAX_CALIBRATIONS || change != HSAE_SPEED_FASTER;
    hsae_sequence_destroy(sequence);
    return status;
}

/* Runs a sequence, which is recorded when it is first needed. */
static hsae_status run(struct hsae_session *session, struct hsae_sequence **sequence, int stages, uint32_t level)
{
    struct hsae_device *device = session->device_model.device;
    const bool timed = !*sequence && device->can_time && !session->calibrated && session->size == HSAE_SESSION_SIZES - 1;
    hsae_status status = HSAE_OK;
    if (!*sequence) {
        status = hsae_sequence_create(device, "session", timed, sequence);
        if (!status) {
            record(session, *sequence, stages, level);
            status = hsae_sequence_end(*sequence);
        }
        if (status)
            hsae_sequence_destroy(sequence);
        session->fresh = session->checks;
    }
    if (!status)
        status = hsae_sequence_submit(*sequence, NULL);
    if (!status)
        status = hsae_device_wait(device, 0);
    return !status && timed ? calibrate(session, sequence) : status;
}

/* The host's side of the lists. */
static hsae_status make_samples(struct hsae_session *session)
{
    free(session->samples);
    session->samples = malloc(2 * (size_t)session->device_model.capacity * sizeof *session->samples);
    return session->samples ? HSAE_OK
                            : hsae_fail_memory(session->context, 2 * (uint64_t)session->device_model.capacity * sizeof *session->samples,
                                               FEWER_ROWS, "lists of %" PRIu32 " active features", session->device_model.capacity);
}

static hsae_status grow(struct hsae_session *session, uint64_t pairs)
{
    release_sequences(session);
    hsae_status status = hsae_device_model_grow(&session->device_model, pairs);
    fit(session, session->fitted.batch);
    return status ? status : make_samples(session);
}

hsae_status hsae_session_create(hsae_device *device, const hsae_model *model, uint32_t max_rows, hsae_session **out)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, model, out);
    hsae_session *session = calloc(1, sizeof *session);
    *out = NULL;
    if (!session)
        return hsae_fail_memory(device->context, sizeof **out, NULL, "a session");
    session->context = device->context;
    session->model = model;
    session->rule = hsae_row_rule(&model->config);
    uint32_t rows = max_rows ? max_rows : DEFAULT_ROWS;
    struct device_model_params params = {rows, false, false, (double)rows * model->config.level_count * FIRST_PAIRS, NULL};
    hsae_status status = hsae_device_model_create(&session->device_model, device, &model->config, model->dim, &params);
    fit(session, rows);
    hsae_session_check(session, strcmp(hsae_context_setting(session->context, HSAE_SETTING_SELF_TEST), "off") != 0);
    if (!status)
        status = hsae_device_model_upload(&session->device_model, model, 0, NULL);
    if (!status)
        status = hsae_device_model_upload_tree(&session->device_model, NULL, NULL);
    uint64_t size = (uint64_t)rows * model->dim * sizeof(float);
    if (!status)
        status = hsae_buffer_create(device, "raw batch", size, HSAE_BUFFER_STAGING, &session->raw);
    if (!status) {
        session->batch = malloc(size);
        session->verdicts = malloc(rows * sizeof *session->verdicts);
        session->keep = malloc(rows * sizeof *session->keep);
        session->starts = malloc(((size_t)model->config.level_count * rows + 1) * sizeof *session->starts);
        if (!session->batch || !session->verdicts || !session->keep || !session->starts)
            status = hsae_fail_memory(device->context, size, FEWER_ROWS, "a batch of %" PRIu32 " rows", rows);
    }
    if (!status)
        status = make_samples(session);
    if (status)
        hsae_session_destroy(&session);
    *out = session;
    return status;
}

void hsae_session_destroy(hsae_session **pointer)
{
    hsae_session *session = pointer ? *pointer : NULL;
    if (!session)
        return;
    release_sequences(session);
    hsae_buffer_destroy(&session->raw);
    hsae_device_model_destroy(&session->device_model);
    free(session->batch);
    free(session->verdicts);
    free(session->keep);
    free(session->starts);
    free(session->samples);
    free(session);
    *pointer = NULL;
}

/* What a device that computes wrong may have made of the lists must not lead the host astray. */
static hsae_status check_lists(const struct hsae_session *session)
{
    const struct device_model *device_model = &session->fitted;
    const uint64_t lists = (uint64_t)device_model->levels * device_model->batch;
    bool good = session->starts[0] == 0 && session->starts[lists] <= device_model->capacity;
    for (uint64_t list = 0; list < lists && good; list++)
        good = session->starts[list] <= session->starts[list + 1];
    for (uint32_t l = 0; l < device_model->levels && good; l++)
        for (u32 k = session->starts[l * device_model->batch]; k < session->starts[(l + 1) * device_model->batch] && good; k++)
            good =
                session->samples[2 * (size_t)k] >= device_model->first[l] && session->samples[2 * (size_t)k] < device_model->first[l + 1];
    return good ? HSAE_OK : hsae_fail_wrong(device_model->device, "its lists of active features are not in order");
}

void hsae_session_leave_out(hsae_session *session, double norm_limit, bool skip_bad_rows)
{
    if (!session)
        return;
    session->rule = (struct row_rule){norm_limit, skip_bad_rows};
}

void hsae_session_check(hsae_session *session, bool on)
{
    if (session)
        session->checks = on && session->device_model.device && session->device_model.device->info.backend != HSAE_BACKEND_REF;
}

double hsae_session_norm_limit(const hsae_session *session)
{
    return session ? session->rule.norm_limit : 0;
}

bool hsae_session_skips_bad_rows(const hsae_session *session)
{
    return session && session->rule.skip_bad;
}

hsae_left_out hsae_session_left_out(const hsae_session *session)
{
    return session ? session->left_out : (hsae_left_out){0};
}

/* After the verdicts on the batch, rows first .. first + rows - 1 of some whole: which are kept. In place of the others the device gets the
 * mean, as they could be anything. */
static void leave_out(struct hsae_session *session, uint64_t first, uint32_t rows, hsae_left_out *left_out)
{
    uint32_t dim = session->device_model.dim;
    session->keeps_all = true;
    for (uint32_t r = 0; r < rows; r++) {
        hsae_left_out_add(left_out, session->verdicts[r], first + r);
        session->keep[r] = !hsae_row_left_out(session->verdicts[r]);
        session->keeps_all &= session->keep[r];
        if (!session->keep[r])
            memcpy(session->batch + (size_t)r * dim, session->model->mean, dim * sizeof(float));
    }
}

/* Empties the lists of the rows that are left out. */
static void empty_lists(struct hsae_session *session, uint32_t rows)
{
    const struct device_model *device_model = &session->fitted;
    u32 begin = 0, used = 0;
    for (uint64_t list = 0; list < (uint64_t)device_model->levels * device_model->batch && !session->keeps_all; list++) {
        uint32_t r = (uint32_t)(list % device_model->batch);
        u32 end = session->starts[list + 1];
        session->starts[list] = used;
        if (r >= rows || session->keep[r]) {
            memmove(session->samples + 2 * (size_t)used, session->samples + 2 * (size_t)begin,
                    2 * (size_t)(end - begin) * sizeof *session->samples);
            used += end - begin;
        }
        begin = end;
        session->starts[list + 1] = used;
    }
}

/* Rows whose normalised values overflow would be taken for rows without any active feature. */
static hsae_status check_batch(const struct hsae_session *session, uint64_t first, uint32_t rows)
{
    const hsae_model *model = session->model;
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t k = 0; k < model->dim; k++) {
            float value = session->batch[(size_t)r * model->dim + k], off = value - model->mean[k];
            if (isfinite(model->scale * off))
                continue;
            return hsae_fail(session->context, HSAE_ERROR_DATA,
                             "row %" PRIu64
                             " has the value %g, which overflows float32 once it is normalised for the model: leave the row out",
                             first + r, value);
        }
    return HSAE_OK;
}

hsae_status hsae_batch_read(hsae_session *session, const hsae_dataset *dataset, uint64_t first, uint32_t count, hsae_left_out *left_out)
{
    hsae_status status = hsae_judged_read(dataset, &session->rule, first, count, session->batch, session->verdicts);
    if (status)
        return status;
    leave_out(session, first, count, left_out);
    return check_batch(session, first, count);
}

hsae_status hsae_batch_copy(hsae_session *session, const unsigned char *raw, hsae_dtype dtype, uint64_t first, uint32_t count,
                            hsae_left_out *left_out)
{
    const uint32_t dim = session->device_model.dim;
    for (uint32_t r = 0; r < count; r++)
        hsae_row_floats(raw + (first + r) * dim * hsae_dtype_size(dtype), dtype, dim, session->batch + (size_t)r * dim);
    hsae_rows_judge(&session->rule, session->batch, count, dim, session->verdicts);
    for (uint32_t r = 0; r < count; r++)
        if (session->verdicts[r] == ROW_BAD)
            return hsae_fail(session->context, HSAE_ERROR_DATA, "row %" PRIu64 " has a value that is not finite", first + r);
    leave_out(session, left_out->rows, count, left_out);
    return check_batch(session, first, count);
}

struct batch_check hsae_batch_check(const hsae_session *session, uint32_t rows)
{
    return (struct batch_check){session->model, &session->fitted, session->batch, rows, session->starts, session->samples};
}

hsae_status hsae_batch_run(hsae_session *session, uint32_t rows, bool reconstruct)
{
    const struct device_model *device_model = &session->fitted;
    u32 step_state[STATE_LEVELS];
    fit(session, reconstruct ? session->device_model.batch : rows);
    for (uint32_t r = rows; r < device_model->batch; r++)
        memcpy(session->batch + (size_t)r * device_model->dim, session->batch, device_model->dim * sizeof(float));
    hsae_status status =
        hsae_buffer_write(session->raw, 0, (uint64_t)device_model->batch * device_model->dim * sizeof(float), session->batch);
    for (;;) {
        if (!status)
            status = reconstruct ? run(session, &session->reconstruct, STAGE_LISTS | STAGE_DECODE_ALL, 0)
                                 : run(session, &session->encode[session->size], STAGE_LISTS, 0);
        if (!status)
            status = hsae_buffer_read(device_model->step_state, 0, sizeof step_state, step_state);
        if (status || !step_state[STATE_HALT])
            break;
        status = grow(session, step_state[STATE_PAIRS]); /* the lists were too short: longer ones, and again */
        if (!status)
            status = hsae_device_model_clear_halt(&session->device_model);
    }
    uint64_t lists = (uint64_t)device_model->levels * device_model->batch;
    if (!status)
        status = hsae_buffer_read(device_model->sample_starts, 0, (lists + 1) * sizeof(u32), session->starts);
    if (!status && session->starts[lists] && session->starts[lists] <= device_model->capacity)
        status = hsae_buffer_read(device_model->samples, 0, 2 * (uint64_t)session->starts[lists] * sizeof(u32), session->samples);
    if (!status)
        status = check_lists(session);
    const struct batch_check check = hsae_batch_check(session, rows);
    if (!status && session->fresh)
        status = hsae_check_encoded(&check);
    session->fresh &= reconstruct;
    if (!status)
        empty_lists(session, rows);
    return status;
}

/* The first `most` entries of the batch's lists of one level. `first`: its first row, for messages. */
static hsae_status copy_level(const struct hsae_session *session, uint32_t level, uint64_t first, uint32_t rows, uint64_t most,
                              uint32_t *indices, float *values)
{
    const u32 *starts = session->starts + (size_t)level * session->fitted.batch;
    for (uint64_t k = 0; k < starts[rows] - starts[0] && k < most; k++) {
        const u32 *pair = session->samples + 2 * (starts[0] + k);
        indices[k] = pair[0] - session->fitted.first[level];
        values[k] = bits_f32(pair[1]);
        if (!isfinite(values[k]))
            return hsae_fail(session->context, HSAE_ERROR_DATA,
                             "feature %" PRIu32 " of level %" PRIu32 " overflows float32 on one of rows %" PRIu64 " to %" PRIu64
                             ": leave out rows with values far above the others",
                             indices[k], level, first, first + rows - 1);
    }
    return HSAE_OK;
}

/* Where the entries of one level go: into memory that grows, or into the caller's. */
struct entries {
    hsae_features *growing;
    hsae_feature_room *room;
};

/* Adds the batch's lists of one level, samples first .. first + rows - 1 of the whole. */
static hsae_status add_level(const struct hsae_session *session, uint32_t level, uint64_t first, uint32_t rows, const struct entries *to)
{
    const u32 *starts = session->starts + (size_t)level * session->fitted.batch;
    uint64_t *indptr = (to->growing ? to->growing[level].indptr : to->room[level].indptr) + first;
    const uint64_t have = indptr[0], more = starts[rows] - starts[0];
    for (uint32_t r = 0; r < rows; r++)
        indptr[r + 1] = have + starts[r + 1] - starts[0];
    if (to->room) {
        hsae_feature_room *room = &to->room[level];
        room->needed = have + more;
        return have < room->capacity
                   ? copy_level(session, level, first, rows, room->capacity - have, room->indices + have, room->values + have)
                   : HSAE_OK;
    }
    hsae_features *out = &to->growing[level];
    uint32_t *indices = realloc(out->indices, (size_t)(have + more + 1) * sizeof *indices);
    out->indices = indices ? indices : out->indices;
    float *values = realloc(out->values, (size_t)(have + more + 1) * sizeof *values);
    out->values = values ? values : out->values;
    return indices && values ? copy_level(session, level, first, rows, more, indices + have, values + have)
                             : hsae_fail_memory(session->context, (have + more) * (sizeof *indices + sizeof *values),
                                                "fewer rows at a time", "the features of %" PRIu64 " rows", first + rows);
}

static hsae_status encode(hsae_session *session, const void *raw, hsae_dtype dtype, uint64_t rows, const struct entries *to)
{
    const struct device_model *device_model = &session->device_model;
    hsae_status status = HSAE_OK;
    for (uint64_t first = 0; first < rows && !status; first += device_model->batch) {
        uint32_t count = rows - first < device_model->batch ? (uint32_t)(rows - first) : device_model->batch;
        status = hsae_batch_copy(session, raw, dtype, first, count, &session->left_out);
        if (!status)
            status = hsae_batch_run(session, count, false);
        for (uint32_t l = 0; l < device_model->levels && !status; l++)
            status = add_level(session, l, first, count, to);
    }
    return status;
}

hsae_status hsae_session_encode(hsae_session *session, const float *raw, uint64_t rows, hsae_features *levels)
{
    HSAE_REQUIRE(session ? session->context : NULL, session, raw, levels);
    const uint32_t level_count = session->device_model.levels;
    hsae_status status = HSAE_OK;
    memset(levels, 0, level_count * sizeof *levels);
    for (uint32_t l = 0; l < level_count && !status; l++) {
        levels[l].rows = rows;
        levels[l].indptr = calloc((size_t)rows + 1, sizeof *levels[l].indptr);
        levels[l].indices = malloc(sizeof *levels[l].indices);
        levels[l].values = malloc(sizeof *levels[l].values);
        if (!levels[l].indptr || !levels[l].indices || !levels[l].values)
            status = hsae_fail_memory(session->context, (rows + 1) * sizeof *levels[l].indptr, "fewer rows at a time",
                                      "the features of %" PRIu64 " rows", rows);
    }
    if (!status)
        status = encode(session, raw, HSAE_DTYPE_F32, rows, &(struct entries){.growing = levels});
    for (uint32_t l = 0; l < level_count && status; l++)
        hsae_features_free(&levels[l]);
    return status;
}

hsae_status hsae_session_encode_into(hsae_session *session, const void *raw, hsae_dtype dtype, uint64_t rows, hsae_feature_room *levels)
{
    HSAE_REQUIRE(session ? session->context : NULL, session, raw, levels);
    if (!hsae_is_dtype(dtype))
        return hsae_fail_dtype(session->context, "hsae_session_encode_into", dtype);
    for (uint32_t l = 0; l < session->device_model.levels; l++) {
        if (!levels[l].indptr || (levels[l].capacity && (!levels[l].indices || !levels[l].values)))
            return hsae_fail(session->context, HSAE_ERROR_ARGUMENT, "hsae_session_encode_into: level %" PRIu32 " lacks an array", l);
        levels[l].indptr[0] = levels[l].needed = 0;
    }
    hsae_status status = encode(session, raw, dtype, rows, &(struct entries){.room = levels});
    for (uint32_t l = 0; l < session->device_model.levels && !status; l++)
        if (levels[l].needed > levels[l].capacity)
            status = hsae_fail(session->context, HSAE_ERROR_ARGUMENT,
                               "hsae_session_encode_into: level %" PRIu32 " has %" PRIu64 " entries and room for %" PRIu64
                               "; give as much room as `needed` says",
                               l, levels[l].needed, levels[l].capacity);
    return status;
}

static hsae_status check_features(const hsae_session *session, uint32_t level, const hsae_features *features)
{
    if (level >= session->device_model.levels)
        return hsae_fail(session->context, HSAE_ERROR_ARGUMENT, "level %" PRIu32 " of a model of %" PRIu32 " levels", level,
                         session->device_model.levels);
    for (uint64_t r = 0; r < features->rows; r++)
        if (features->indptr[0] != 0 || features->indptr[r + 1] < features->indptr[r])
            return hsae_fail(session->context, HSAE_ERROR_ARGUMENT, "indptr of level %" PRIu32 " is not ascending from 0 at row %" PRIu64,
                             level, r);
    for (uint64_t k = 0; features->rows && k < features->indptr[features->rows]; k++)
        if (features->indices[k] >= session->model->levels[level].features || !isfinite(features->values[k]))
            return hsae_fail(session->context, HSAE_ERROR_ARGUMENT,
                             "entry %" PRIu64 " of level %" PRIu32 " is feature %" PRIu32 " with activation %g: the level has %" PRIu32
                             " features, activations are finite",
                             k, level, features->indices[k], features->values[k], session->model->levels[level].features);
    return HSAE_OK;
}

/* Writes the caller's lists of one level in place of encode's; the other levels' lists are empty. */
static hsae_status write_lists(struct hsae_session *session, uint32_t level, const hsae_features *features, uint64_t first, uint32_t rows)
{
    const struct device_model *device_model = &session->fitted;
    uint64_t begin = features->indptr[first], pairs = features->indptr[first + rows] - begin;
    hsae_status status = HSAE_OK;
    if (pairs > device_model->capacity && (status = grow(session, pairs)))
        return status;
    for (uint32_t list = 0; list <= device_model->levels * device_model->batch; list++) {
        uint32_t from = level * device_model->batch, r = list <= from ? 0 : list - from;
        session->starts[list] = (u32)(features->indptr[first + (r < rows ? r : rows)] - begin);
    }
    for (uint64_t k = 0; k < pairs; k++) {
        session->samples[2 * k] = device_model->first[level] + features->indices[begin + k];
        session->samples[2 * k + 1] = bits_u32(features->values[begin + k]);
    }
    status = hsae_buffer_write(device_model->sample_starts, 0, (device_model->levels * (uint64_t)device_model->batch + 1) * sizeof(u32),
                               session->starts);
    return status || !pairs ? status : hsae_buffer_write(device_model->samples, 0, 2 * pairs * sizeof(u32), session->samples);
}

hsae_status hsae_session_decode(hsae_session *session, uint32_t level, const hsae_features *features, float *out)
{
    HSAE_REQUIRE(session ? session->context : NULL, session, features, out);
    const struct device_model *device_model = &session->fitted;
    const uint32_t most = session->device_model.batch;
    hsae_status status = check_features(session, level, features);
    fit(session, features->rows < most ? (uint32_t)features->rows : most);
    for (uint32_t r = 0; r < device_model->batch; r++) /* raw = mean: x = 0, so that the residual is the reconstruction */
        memcpy(session->batch + (size_t)r * device_model->dim, session->model->mean, device_model->dim * sizeof(float));
    if (!status)
        status = hsae_buffer_write(session->raw, 0, (uint64_t)device_model->batch * device_model->dim * sizeof(float), session->batch);
    for (uint64_t first = 0; first < features->rows && !status; first += most) {
        uint32_t count = features->rows - first < most ? (uint32_t)(features->rows - first) : most;
        fit(session, count);
        status = write_lists(session, level, features, first, count);
        if (!status)
            status = run(session, &session->decode[level][session->size], STAGE_DECODE_ONE, level);
        if (!status)
            status = hsae_rows_read(device_model, hsae_residual(device_model, level), hsae_residual_row(device_model, level), count,
                                    out + first * device_model->dim);
        const struct batch_check check = hsae_batch_check(session, count);
        if (!status && session->fresh)
            status = hsae_check_decoded(&check, level, out + first * device_model->dim);
        session->fresh = false;
    }
    for (uint64_t r = 0; r < features->rows && !status; r++)
        for (uint32_t k = 0; k < device_model->dim && !status; k++) {
            float *value = &out[r * device_model->dim + k];
            *value = (float)((double)*value / session->model->scale + session->model->mean[k]);
            if (!isfinite(*value))
                status = hsae_fail(session->context, HSAE_ERROR_DATA,
                                   "row %" PRIu64 ", column %" PRIu32 " of the reconstruction of level %" PRIu32
                                   " overflows float32: its activations are not those of this model",
                                   r, k, level);
        }
    return status;
}

const hsae_model *hsae_session_model(const hsae_session *session)
{
    return session->model;
}

hsae_context *hsae_session_context(const hsae_session *session)
{
    return session->context;
}
