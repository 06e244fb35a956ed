/* SPDX-License-Identifier: MIT */
#include "slots.h"
#include "base/config.h"
#include "data/bytes.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 20 };

/* Lists */

HSAE_OS_PRINTF(4, 5) static struct slot *add(struct slot *slot, enum hsae_tensor_type type, void *place, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    *slot = (struct slot){.type = type, .place = place, .owned = true, .level = HSAE_NO_LEVEL};
    vsnprintf(slot->name, sizeof slot->name, format, values);
    va_end(values);
    return slot;
}

static void shape(struct slot *slot, uint32_t rank, uint64_t first, uint64_t second)
{
    slot->rank = rank;
    slot->shape[0] = first;
    slot->shape[1] = second;
}

/* Sets the level of the slots before `end`. */
static void set_level(struct slot *slot, const struct slot *end, uint32_t level)
{
    for (; slot < end; slot++)
        slot->level = level;
}

size_t hsae_model_slots(struct hsae_model *model, struct slot slots[HSAE_MODEL_SLOTS])
{
    struct slot *s = slots;
    shape(add(s++, HSAE_TENSOR_F32, &model->mean, "input.mean"), 1, model->dim, 0);
    shape(add(s++, HSAE_TENSOR_F32, &model->scale, "input.scale"), 1, 1, 0);
    s[-1].owned = false;
    s[-1].rule = RULE_POSITIVE;
    for (unsigned l = 0; l < model->config.level_count; l++) {
        struct level_tensors *level = &model->levels[l];
        struct slot *first = s;
        uint64_t n = model->config.levels[l], d = model->dim;
        level->features = (uint32_t)n;
        shape(add(s++, HSAE_TENSOR_F32, &level->encoder_weight, "levels.%u.encoder.weight", l), 2, n, d);
        s[-1].matrix = MATRIX_ENCODER;
        shape(add(s++, HSAE_TENSOR_F32, &level->encoder_bias, "levels.%u.encoder.bias", l), 1, n, 0);
        shape(add(s++, HSAE_TENSOR_F32, &level->threshold, "levels.%u.threshold", l), 1, n, 0);
        s[-1].rule = RULE_POSITIVE;
        shape(add(s++, HSAE_TENSOR_F32, &level->decoder_weight, "levels.%u.decoder.weight", l), 2, n, d);
        s[-1].matrix = MATRIX_DECODER;
        shape(add(s++, HSAE_TENSOR_F32, &level->decoder_bias, "levels.%u.decoder.bias", l), 1, d, 0);
        if (l > 0) {
            shape(add(s++, HSAE_TENSOR_I32, &level->parent, "levels.%u.parent", l), 1, n, 0);
            s[-1].rule = RULE_INDEX;
            s[-1].limit = model->config.levels[l - 1];
        }
        set_level(first, s, l);
    }
    for (struct slot *each = slots; each < s; each++)
        each->halves = each->type == HSAE_TENSOR_F32;
    return (size_t)(s - slots);
}

size_t hsae_train_slots(const struct hsae_model *model, struct train_state *state, struct slot slots[HSAE_TRAIN_SLOTS])
{
    struct slot *s = slots;
    /* First, as the limit of the other steps. */
    shape(add(s++, HSAE_TENSOR_I64, &state->step, "train.step"), 1, 1, 0);
    s[-1].owned = false;
    s[-1].rule = RULE_COUNT;
    s[-1].limit = INT64_MAX;
    shape(add(s++, HSAE_TENSOR_F32, state->lambda, "sparsity.lambda"), 1, model->config.level_count, 0);
    s[-1].owned = false;
    s[-1].rule = RULE_NOT_NEGATIVE;
    shape(add(s++, HSAE_TENSOR_F32, state->l0_average, "sparsity.l0_average"), 1, model->config.level_count, 0);
    s[-1].owned = false;
    for (unsigned l = 0; l < model->config.level_count; l++) {
        struct level_train_tensors *level = &state->levels[l];
        struct slot *first = s;
        uint64_t n = model->config.levels[l], d = model->dim;
        shape(add(s++, HSAE_TENSOR_F32, &level->log_threshold, "levels.%u.log_threshold", l), 1, n, 0);
        struct slot *moments = s;
        shape(add(s++, HSAE_TENSOR_F32, &level->encoder_weight_v, "optimizer.levels.%u.encoder.weight.v", l), 2, n, d);
        s[-1].matrix = MATRIX_ENCODER_V;
        shape(add(s++, HSAE_TENSOR_F32, &level->encoder_bias_v, "optimizer.levels.%u.encoder.bias.v", l), 1, n, 0);
        shape(add(s++, HSAE_TENSOR_F32, &level->log_threshold_v, "optimizer.levels.%u.log_threshold.v", l), 1, n, 0);
        shape(add(s++, HSAE_TENSOR_F32, &level->decoder_weight_v, "optimizer.levels.%u.decoder.weight.v", l), 2, n, d);
        s[-1].matrix = MATRIX_DECODER_V;
        shape(add(s++, HSAE_TENSOR_F32, &level->decoder_bias_v, "optimizer.levels.%u.decoder.bias.v", l), 1, d, 0);
        for (; moments < s; moments++)
            moments->rule = RULE_NOT_NEGATIVE;
        shape(add(s++, HSAE_TENSOR_I64, &level->row_step, "optimizer.levels.%u.row_step", l), 1, n, 0);
        shape(add(s++, HSAE_TENSOR_I64, &level->last_fired, "levels.%u.last_fired", l), 1, n, 0);
        s[-2].rule = s[-1].rule = RULE_COUNT;
        s[-2].limit = s[-1].limit = state->step;
        if (hsae_similarity_counts(model->config.similarity)) {
            shape(add(s++, HSAE_TENSOR_I32, &level->activity, "train.levels.%u.activity", l), 3, HSAE_ACTIVITY_STEPS, n);
            s[-1].shape[2] = ((uint64_t)model->config.batch + 31) / 32;
            s[-1].matrix = MATRIX_ACTIVITY;
            s[-1].rule = RULE_BITS;
            s[-1].optional = true;
        }
        set_level(first, s, l);
    }
    shape(add(s++, HSAE_TENSOR_I64, state->left_out, "train.left_out"), 1, sizeof state->left_out / sizeof *state->left_out, 0);
    shape(add(s++, HSAE_TENSOR_I64, state->source, "train.source"), 1, sizeof state->source / sizeof *state->source, 0);
    s[-2].rule = s[-1].rule = RULE_COUNT;
    s[-2].limit = s[-1].limit = INT64_MAX;
    shape(add(s++, HSAE_TENSOR_F32, state->rate, "train.lr"), 1, sizeof state->rate / sizeof *state->rate, 0);
    s[-1].rule = RULE_NOT_NEGATIVE;
    for (struct slot *optional = s - 3; optional < s; optional++) {
        optional->owned = false;
        optional->optional = true;
    }
    return (size_t)(s - slots);
}

/* Memory. A slot knows the place of a pointer, not its type; so the pointer's bytes are copied. */

static void *owned_pointer(const struct slot *slot)
{
    void *data;
    memcpy(&data, slot->place, sizeof data);
    return data;
}

static void set_owned_pointer(const struct slot *slot, void *data)
{
    memcpy(slot->place, &data, sizeof data);
}

void *hsae_slot_data(const struct slot *slot)
{
    return slot->owned ? owned_pointer(slot) : slot->place;
}

/* Fits size_t once the slot is allocated. */
static bool element_count(const struct slot *slot, size_t *count)
{
    *count = 1;
    for (uint32_t i = 0; i < slot->rank; i++)
        if (__builtin_mul_overflow(*count, slot->shape[i], count))
            return false;
    return true;
}

size_t hsae_slots_drop_zeros(struct slot *slots, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        static const unsigned char zeros[64];
        size_t elements = 0;
        bool zero = slots[i].optional && !slots[i].owned && element_count(&slots[i], &elements) &&
                    memcmp(slots[i].place, zeros, elements * hsae_tensor_type_size(slots[i].type)) == 0;
        if (!zero)
            slots[kept++] = slots[i];
    }
    return kept;
}

uint64_t hsae_slot_row_length(const struct slot *slot)
{
    return slot->shape[slot->rank - 1];
}

uint64_t hsae_slot_rows(const struct slot *slot)
{
    uint64_t rows = 1;
    for (uint32_t i = 0; i + 1 < slot->rank; i++)
        rows *= slot->shape[i];
    return rows;
}

uint64_t hsae_slots_bytes(const struct slot *slots, size_t count, bool matrices)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        size_t elements;
        if (!slots[i].owned || (slots[i].matrix && !matrices))
            continue;
        if (!element_count(&slots[i], &elements) || elements > (UINT64_MAX - sum) / hsae_tensor_type_size(slots[i].type))
            return UINT64_MAX;
        sum += elements * hsae_tensor_type_size(slots[i].type);
    }
    return sum;
}

bool hsae_slots_alloc(const struct slot *slots, size_t count, bool matrices)
{
    for (size_t i = 0; i < count; i++) {
        size_t elements;
        if (!slots[i].owned || (slots[i].matrix && !matrices))
            continue;
        void *data = element_count(&slots[i], &elements) ? calloc(elements, hsae_tensor_type_size(slots[i].type)) : NULL;
        if (!data)
            return false;
        set_owned_pointer(&slots[i], data);
    }
    return true;
}

void hsae_slots_free(const struct slot *slots, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slots[i].owned) {
            free(owned_pointer(&slots[i]));
            set_owned_pointer(&slots[i], NULL);
        }
}

/* Reading */

static bool type_fits(const struct slot *slot, enum hsae_tensor_type type)
{
    return type == slot->type || (slot->halves && (type == HSAE_TENSOR_F16 || type == HSAE_TENSOR_BF16));
}

hsae_status hsae_slots_check(const hsae_context *context, const char *path, const struct hsae_safetensors *file, const struct slot *slots,
                             size_t count)
{
    char wanted[192], found[192];
    for (size_t i = 0; i < count; i++) {
        const struct slot *slot = &slots[i];
        const struct hsae_tensor *tensor = hsae_safetensors_find(file, slot->name);
        if (!tensor && slot->optional)
            continue;
        if (!tensor)
            return hsae_fail(context, HSAE_ERROR_FORMAT,
                             "%s: tensor \"%s\" is missing; the file is damaged: take another copy or an older checkpoint", path,
                             slot->name);
        if (!type_fits(slot, tensor->type))
            return hsae_fail(context, HSAE_ERROR_FORMAT,
                             "%s: tensor \"%s\" is %s; expected %s%s; the file is damaged: take another copy or an older checkpoint", path,
                             slot->name, tensor->type_name, hsae_tensor_type_name(slot->type), slot->halves ? ", F16 or BF16" : "");
        if (tensor->rank != slot->rank || memcmp(tensor->shape, slot->shape, slot->rank * sizeof *slot->shape) != 0)
            return hsae_fail(context, HSAE_ERROR_FORMAT,
                             "%s: tensor \"%s\" has shape %s; its configuration wants %s; the file contradicts itself: take another copy "
                             "or an older checkpoint",
                             path, slot->name, hsae_shape_text(found, tensor->rank, tensor->shape),
                             hsae_shape_text(wanted, slot->rank, slot->shape));
    }
    return HSAE_OK;
}

/* Index of the first value that is against the rule, or count. */
static size_t check_floats(const float *values, size_t count, enum slot_rule rule)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]) || (rule == RULE_POSITIVE && values[i] <= 0) || (rule == RULE_NOT_NEGATIVE && values[i] < 0))
            return i;
    return count;
}

static size_t check_int32s(const int32_t *values, size_t count, const struct slot *slot)
{
    for (size_t i = 0; i < count && slot->rule == RULE_INDEX; i++)
        if (values[i] < -1 || values[i] >= slot->limit)
            return i;
    return count;
}

static size_t check_int64s(const int64_t *values, size_t count, int64_t limit)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] < 0 || values[i] > limit)
            return i;
    return count;
}

/* The one rule for what a file may hold, for reading and for writing: index of the first value that is against the slot's, or count. */
static size_t check_values(const struct slot *slot, const void *values, size_t count)
{
    switch (slot->type) {
    case HSAE_TENSOR_F32:
        return check_floats(values, count, slot->rule);
    case HSAE_TENSOR_I32:
        return check_int32s(values, count, slot);
    default:
        return check_int64s(values, count, slot->limit);
    }
}

/* No "-nan": its sign says nothing. */
static double shown(const void *value)
{
    double number = *(const float *)value;
    return isnan(number) ? fabs(number) : number;
}

static const char *float_rule(const struct slot *slot)
{
    return slot->rule == RULE_POSITIVE ? " above 0" : slot->rule == RULE_NOT_NEGATIVE ? " of at least 0" : "";
}

/* `index` within the tensor. */
static hsae_status fail_value(const hsae_context *context, const char *path, const struct slot *slot, uint64_t index, const void *value)
{
    if (slot->type == HSAE_TENSOR_F32)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\": element %" PRIu64 " is %g; expected a finite number%s", path,
                         slot->name, index, shown(value), float_rule(slot));
    bool narrow = slot->type == HSAE_TENSOR_I32;
    return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\": element %" PRIu64 " is %" PRId64 "; expected %d to %" PRId64, path,
                     slot->name, index, narrow ? *(const int32_t *)value : *(const int64_t *)value, narrow ? -1 : 0,
                     narrow ? slot->limit - 1 : slot->limit);
}

/* A piece of a tensor, converted. */
static hsae_status read_values(const struct hsae_safetensors *file, const struct hsae_tensor *tensor, const struct slot *slot,
                               uint64_t first, size_t count, void *values)
{
    switch (slot->type) {
    case HSAE_TENSOR_F32:
        return hsae_tensor_floats(file, tensor, first, count, values);
    case HSAE_TENSOR_I32:
        return hsae_tensor_int32s(file, tensor, first, count, values);
    default:
        return hsae_tensor_int64s(file, tensor, first, count, values);
    }
}

/* Counts decoder rows whose norm is not 1. Training keeps norm 1 and evaluation relies on it; files of half precision have it only nearly.
 */
struct norms {
    uint64_t off; /* rows that do not have norm 1 */
    double worst;
};

static double row_norm(const float *row, uint64_t length)
{
    double squares = 0;
    for (uint64_t k = 0; k < length; k++)
        squares += (double)row[k] * row[k];
    return sqrt(squares);
}

static void add_norms(struct norms *norms, const float *row, uint64_t rows, uint64_t length)
{
    for (; rows; rows--, row += length) {
        double norm = row_norm(row, length);
        norms->off += fabs(norm - 1) > 1e-3;
        if (fabs(norm - 1) > fabs(norms->worst - 1))
            norms->worst = norm;
    }
}

/* Rows that are held in memory at a time. */
static uint64_t block_rows(const struct slot *slot)
{
    uint64_t rows = BLOCK_BYTES / (hsae_slot_row_length(slot) * hsae_tensor_type_size(slot->type));
    return rows ? rows : 1;
}

/* Reads in pieces, so that neither the mapped file nor a matrix for `rows` is in memory as a whole. */
static hsae_status read_slot(const hsae_context *context, const char *path, const struct hsae_safetensors *file,
                             const struct hsae_tensor *tensor, const struct slot *slot, const struct matrix_rows *rows, struct norms *norms)
{
    size_t size = hsae_tensor_type_size(slot->type);
    uint64_t length = slot->matrix ? hsae_slot_row_length(slot) : 1, step = slot->matrix ? block_rows(slot) * length : BLOCK_BYTES / size;
    unsigned char *data = hsae_slot_data(slot), *block = data ? NULL : malloc(step * size);
    hsae_status status = HSAE_OK;
    if (!data && !block)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    for (uint64_t first = 0, count; first < tensor->count && !status; first += count) {
        count = tensor->count - first < step ? tensor->count - first : step;
        void *values = data ? data + first * size : block;
        status = read_values(file, tensor, slot, first, (size_t)count, values);
        if (status)
            break;
        size_t good = check_values(slot, values, (size_t)count);
        if (good < count)
            status = fail_value(context, path, slot, first + good, (unsigned char *)values + good * size);
        else if (slot->matrix == MATRIX_DECODER)
            add_norms(norms, values, count / length, length);
        if (!status && !data)
            status = rows->copy(rows->user, slot, first / length, count / length, values);
    }
    free(block);
    return status;
}

hsae_status hsae_slots_read(const hsae_context *context, const char *path, const struct hsae_safetensors *file, const struct slot *slots,
                            size_t count, const struct matrix_rows *rows)
{
    struct norms norms = {0, 1};
    hsae_status status = HSAE_OK;
    for (size_t i = 0; i < count && !status; i++) {
        const struct hsae_tensor *tensor = hsae_safetensors_find(file, slots[i].name);
        if (tensor)
            status = read_slot(context, path, file, tensor, &slots[i], rows, &norms);
    }
    if (!status)
        status = hsae_file_check_unchanged(hsae_safetensors_file(file));
    if (!status && norms.off)
        hsae_log(context, HSAE_LOG_WARNING, "%s: %" PRIu64 " decoder rows do not have norm 1 (the worst has %g)", path, norms.off,
                 norms.worst);
    return status;
}

/* Writing: nothing is written that reading would refuse. */

/* What ends the writing of a file: `what` says which value, and why. */
static hsae_status refuse(const hsae_context *context, const char *path, const struct matrix_rows *rows, const struct slot *slot,
                          const char *what)
{
    if (rows && rows->refuse)
        return rows->refuse(rows->user, slot->level, what);
    return hsae_fail(context, HSAE_ERROR_DIVERGED, "%s: not written: %s; the training that made it diverged: take an older checkpoint",
                     path, what);
}

/* Elements first .. first + count - 1 of a slot. */
static hsae_status check_written(const hsae_context *context, const char *path, const struct matrix_rows *rows, const struct slot *slot,
                                 uint64_t first, const void *values, size_t count)
{
    size_t good = check_values(slot, values, count), size = hsae_tensor_type_size(slot->type);
    char what[224], place[64];
    uint64_t index = first + good, length = hsae_slot_row_length(slot);
    if (good == count)
        return HSAE_OK;
    const void *value = (const unsigned char *)values + good * size;
    if (slot->matrix)
        snprintf(place, sizeof place, "feature %" PRIu64 ", column %" PRIu64, index / length, index % length);
    else
        snprintf(place, sizeof place, "element %" PRIu64, index);
    if (slot->type == HSAE_TENSOR_F32)
        snprintf(what, sizeof what, "tensor \"%s\", %s is %g; expected a finite number%s", slot->name, place, shown(value),
                 float_rule(slot));
    else
        snprintf(what, sizeof what, "tensor \"%s\", %s is out of its range", slot->name, place);
    return refuse(context, path, rows, slot, what);
}

/* Checks norms: a decoder row from a device has norm 1; 0 means that it overflowed. Half precision has norm 1 only nearly. */
static hsae_status check_norms(const hsae_context *context, const char *path, const struct matrix_rows *rows, const struct slot *slot,
                               uint64_t first, const float *row, uint64_t count)
{
    char what[224];
    uint64_t length = hsae_slot_row_length(slot);
    for (uint64_t r = 0; r < count && slot->matrix == MATRIX_DECODER; r++) {
        double norm = row_norm(row + r * length, length);
        if (fabs(norm - 1) < 0.1)
            continue;
        snprintf(what, sizeof what, "tensor \"%s\", feature %" PRIu64 " has norm %g; expected 1", slot->name, first + r, norm);
        return refuse(context, path, rows, slot, what);
    }
    return HSAE_OK;
}

/* A matrix on its way from `rows` to a file. */
struct stream {
    const hsae_context *context;
    const char *path;
    const struct matrix_rows *rows;
    const struct slot *slot;
    unsigned char *block; /* shared: tensors are written one after the other */
    uint64_t row;         /* the next one to be fetched */
    size_t used, held /* bytes of the block */;
};

static hsae_status check_block(const struct stream *stream, uint64_t rows)
{
    const struct slot *slot = stream->slot;
    uint64_t length = hsae_slot_row_length(slot);
    hsae_status status =
        check_written(stream->context, stream->path, stream->rows, slot, stream->row * length, stream->block, (size_t)(rows * length));
    return status ? status
                  : check_norms(stream->context, stream->path, stream->rows, slot, stream->row, (const float *)(void *)stream->block, rows);
}

static hsae_status next_elements(void *user, size_t count, void *out)
{
    struct stream *stream = user;
    const struct slot *slot = stream->slot;
    size_t size = hsae_tensor_type_size(slot->type), left = count * size;
    for (unsigned char *to = out; left;) {
        if (stream->used == stream->held) {
            uint64_t rows = hsae_slot_rows(slot) - stream->row;
            rows = rows < block_rows(slot) ? rows : block_rows(slot);
            hsae_status status = stream->rows->copy(stream->rows->user, slot, stream->row, rows, stream->block);
            if (!status)
                status = check_block(stream, rows);
            if (status)
                return status;
            stream->row += rows;
            stream->used = 0;
            stream->held = (size_t)(rows * hsae_slot_row_length(slot)) * size;
        }
        size_t bytes = stream->held - stream->used < left ? stream->held - stream->used : left;
        memcpy(to, stream->block + stream->used, bytes);
        stream->used += bytes;
        to += bytes;
        left -= bytes;
    }
    return HSAE_OK;
}

/* A matrix in memory on its way to a file of half precision. */
struct halves {
    const hsae_context *context;
    const char *path;
    const struct slot *slot;
    uint64_t at;
};

static hsae_status next_halves(void *user, size_t count, void *out)
{
    struct halves *halves = user;
    const float *values = (const float *)hsae_slot_data(halves->slot) + halves->at;
    bool f16 = halves->slot->stored == HSAE_TENSOR_F16;
    for (size_t i = 0; i < count; i++) {
        uint16_t half = f16 ? hsae_float_to_f16(values[i]) : hsae_float_to_bf16(values[i]);
        if (!isfinite(f16 ? hsae_f16_to_float(half) : hsae_bf16_to_float(half)))
            return hsae_fail(halves->context, HSAE_ERROR_DATA, "%s: tensor \"%s\": element %" PRIu64 " is %g, which %s cannot hold%s",
                             halves->path, halves->slot->name, halves->at + i, (double)values[i], f16 ? "F16" : "BF16",
                             f16 ? "; take BF16" : "");
        memcpy((unsigned char *)out + 2 * i, &half, sizeof half);
    }
    halves->at += count;
    return HSAE_OK;
}

/* Bytes of the largest block of a matrix that is not in memory. */
static size_t block_bytes(const struct slot *slots, size_t count)
{
    size_t most = 1;
    for (size_t i = 0; i < count; i++)
        if (!hsae_slot_data(&slots[i])) {
            size_t bytes = (size_t)(block_rows(&slots[i]) * hsae_slot_row_length(&slots[i])) * hsae_tensor_type_size(slots[i].type);
            most = bytes > most ? bytes : most;
        }
    return most;
}

hsae_status hsae_slots_verify(const hsae_context *context, const char *path, const struct slot *slots, size_t count,
                              const struct matrix_rows *rows)
{
    hsae_status status = HSAE_OK;
    for (size_t i = 0; i < count && !status; i++) {
        size_t elements = 0;
        const void *data = hsae_slot_data(&slots[i]);
        if (data && element_count(&slots[i], &elements))
            status = check_written(context, path, rows, &slots[i], 0, data, elements);
    }
    return status;
}

hsae_status hsae_slots_write(const hsae_context *context, const char *path, const hsae_config *config, const struct slot *slots,
                             size_t count, const struct matrix_rows *rows)
{
    hsae_status status = hsae_config_check(context, config, path);
    if (!status)
        status = hsae_slots_verify(context, path, slots, count, rows);
    if (status)
        return status;
    struct hsae_new_tensor tensors[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    struct stream streams[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    struct halves halves[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    char *json = hsae_config_json(config);
    unsigned char *block = malloc(block_bytes(slots, count));
    if (!json || !block) {
        free(json);
        free(block);
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    }
    const struct hsae_metadata metadata[] = {
        {"config", json},
        {"format", "hsae"},
        {"library_version", hsae_version()},
        {"version", "1"},
    };
    for (size_t i = 0; i < count; i++) {
        const struct slot *slot = &slots[i];
        tensors[i] = (struct hsae_new_tensor){.name = slot->name, .type = slot->type, .rank = slot->rank, .data = hsae_slot_data(slot)};
        if (!tensors[i].data) {
            streams[i] = (struct stream){context, path, rows, slot, block, 0, 0, 0};
            tensors[i].next = next_elements;
            tensors[i].user = &streams[i];
        } else if (slot->stored) {
            halves[i] = (struct halves){context, path, slot, 0};
            tensors[i].type = slot->stored;
            tensors[i].data = NULL;
            tensors[i].next = next_halves;
            tensors[i].user = &halves[i];
        }
        memcpy(tensors[i].shape, slot->shape, sizeof slot->shape);
    }
    status = hsae_safetensors_write(context, path, metadata, sizeof metadata / sizeof *metadata, tensors, count);
    free(json);
    free(block);
    return status;
}
