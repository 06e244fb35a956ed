#include "slots.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lists */

__attribute__((format(printf, 4, 5))) static struct slot *add(struct slot *slot, enum hsae_tensor_type type, void *place,
                                                              const char *format, ...)
{
    va_list values;
    va_start(values, format);
    *slot = (struct slot){.type = type, .place = place, .owned = true};
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

size_t hsae_model_slots(struct hsae_model *model, struct slot slots[HSAE_MODEL_SLOTS])
{
    struct slot *s = slots;
    shape(add(s++, HSAE_TENSOR_F32, &model->mean, "input.mean"), 1, model->dim, 0);
    shape(add(s++, HSAE_TENSOR_F32, &model->scale, "input.scale"), 1, 1, 0);
    s[-1].owned = false;
    s[-1].rule = RULE_POSITIVE;
    for (unsigned l = 0; l < model->config.level_count; l++) {
        struct level_tensors *level = &model->levels[l];
        uint64_t n = model->config.levels[l], d = model->dim;
        level->features = (uint32_t)n;
        shape(add(s++, HSAE_TENSOR_F32, &level->encoder_weight, "levels.%u.encoder.weight", l), 2, n, d);
        shape(add(s++, HSAE_TENSOR_F32, &level->encoder_bias, "levels.%u.encoder.bias", l), 1, n, 0);
        shape(add(s++, HSAE_TENSOR_F32, &level->threshold, "levels.%u.threshold", l), 1, n, 0);
        s[-1].rule = RULE_POSITIVE;
        shape(add(s++, HSAE_TENSOR_F32, &level->decoder_weight, "levels.%u.decoder.weight", l), 2, n, d);
        shape(add(s++, HSAE_TENSOR_F32, &level->decoder_bias, "levels.%u.decoder.bias", l), 1, d, 0);
        if (l == 0)
            continue;
        shape(add(s++, HSAE_TENSOR_I32, &level->parent, "levels.%u.parent", l), 1, n, 0);
        s[-1].rule = RULE_INDEX;
        s[-1].limit = model->config.levels[l - 1];
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
        uint64_t n = model->config.levels[l], d = model->dim;
        shape(add(s++, HSAE_TENSOR_F32, &level->log_threshold, "levels.%u.log_threshold", l), 1, n, 0);
        struct slot *moments = s;
        shape(add(s++, HSAE_TENSOR_F32, &level->encoder_weight_v, "optimizer.levels.%u.encoder.weight.v", l), 2, n, d);
        shape(add(s++, HSAE_TENSOR_F32, &level->encoder_bias_v, "optimizer.levels.%u.encoder.bias.v", l), 1, n, 0);
        shape(add(s++, HSAE_TENSOR_F32, &level->log_threshold_v, "optimizer.levels.%u.log_threshold.v", l), 1, n, 0);
        shape(add(s++, HSAE_TENSOR_F32, &level->decoder_weight_v, "optimizer.levels.%u.decoder.weight.v", l), 2, n, d);
        shape(add(s++, HSAE_TENSOR_F32, &level->decoder_bias_v, "optimizer.levels.%u.decoder.bias.v", l), 1, d, 0);
        for (; moments < s; moments++)
            moments->rule = RULE_NOT_NEGATIVE;
        shape(add(s++, HSAE_TENSOR_I64, &level->row_step, "optimizer.levels.%u.row_step", l), 1, n, 0);
        shape(add(s++, HSAE_TENSOR_I64, &level->last_fired, "levels.%u.last_fired", l), 1, n, 0);
        s[-2].rule = s[-1].rule = RULE_COUNT;
        s[-2].limit = s[-1].limit = state->step;
        if (model->config.similarity != HSAE_SIMILARITY_COACTIVATION)
            continue;
        shape(add(s++, HSAE_TENSOR_I32, &level->activity, "train.levels.%u.activity", l), 3, HSAE_ACTIVITY_STEPS, n);
        s[-1].shape[2] = ((uint64_t)model->config.batch + 31) / 32;
        s[-1].rule = RULE_BITS;
        s[-1].optional = true;
    }
    return (size_t)(s - slots);
}

/* Memory. A slot knows where a pointer is, not of which type: its bytes are copied. */

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

bool hsae_slots_alloc(const struct slot *slots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t elements;
        if (!slots[i].owned)
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
            return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\" is missing", path, slot->name);
        if (!type_fits(slot, tensor->type))
            return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\" is %s; expected %s%s", path, slot->name, tensor->type_name,
                             hsae_tensor_type_name(slot->type), slot->halves ? ", F16 or BF16" : "");
        if (tensor->rank != slot->rank || memcmp(tensor->shape, slot->shape, slot->rank * sizeof *slot->shape) != 0)
            return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\" has shape %s; its configuration wants %s", path, slot->name,
                             hsae_shape_text(found, tensor->rank, tensor->shape), hsae_shape_text(wanted, slot->rank, slot->shape));
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

static hsae_status fail_value(const hsae_context *context, const char *path, const struct slot *slot, size_t index)
{
    const void *data = hsae_slot_data(slot);
    if (slot->type == HSAE_TENSOR_F32)
        return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\": element %zu is %g; expected a finite number%s", path, slot->name,
                         index, (double)((const float *)data)[index],
                         slot->rule == RULE_POSITIVE       ? " above 0"
                         : slot->rule == RULE_NOT_NEGATIVE ? " of at least 0"
                                                           : "");
    bool narrow = slot->type == HSAE_TENSOR_I32;
    return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: tensor \"%s\": element %zu is %" PRId64 "; expected %d to %" PRId64, path, slot->name,
                     index, narrow ? ((const int32_t *)data)[index] : ((const int64_t *)data)[index], narrow ? -1 : 0,
                     narrow ? slot->limit - 1 : slot->limit);
}

hsae_status hsae_slots_read(const hsae_context *context, const char *path, const struct hsae_safetensors *file, const struct slot *slots,
                            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct slot *slot = &slots[i];
        const struct hsae_tensor *tensor = hsae_safetensors_find(file, slot->name);
        void *data = hsae_slot_data(slot);
        if (!tensor)
            continue;
        size_t elements = (size_t)tensor->count, good = elements;
        if (slot->type == HSAE_TENSOR_F32) {
            hsae_tensor_floats(tensor, 0, elements, data);
            good = check_floats(data, elements, slot->rule);
        } else if (slot->type == HSAE_TENSOR_I32) {
            hsae_tensor_int32s(tensor, 0, elements, data);
            good = check_int32s(data, elements, slot);
        } else {
            hsae_tensor_int64s(tensor, 0, elements, data);
            good = check_int64s(data, elements, slot->limit);
        }
        if (good < elements)
            return fail_value(context, path, slot, good);
    }
    return HSAE_OK;
}

/* Writing */

hsae_status hsae_slots_write(const hsae_context *context, const char *path, const hsae_config *config, const struct slot *slots,
                             size_t count)
{
    struct hsae_new_tensor tensors[HSAE_MODEL_SLOTS + HSAE_TRAIN_SLOTS];
    char *json = hsae_config_json(config);
    if (!json)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
    const struct hsae_metadata metadata[] = {
        {"config", json},
        {"format", "hsae"},
        {"library_version", hsae_version()},
        {"version", "1"},
    };
    for (size_t i = 0; i < count; i++) {
        const struct slot *slot = &slots[i];
        tensors[i] = (struct hsae_new_tensor){.name = slot->name, .type = slot->type, .rank = slot->rank, .data = hsae_slot_data(slot)};
        memcpy(tensors[i].shape, slot->shape, sizeof slot->shape);
    }
    hsae_status status = hsae_safetensors_write(context, path, metadata, sizeof metadata / sizeof *metadata, tensors, count);
    free(json);
    return status;
}
