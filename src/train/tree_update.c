/* SPDX-License-Identifier: MIT */
/* New trees: of a trainer between two steps, and of a finished model. */
#include "crew.h"
#include "tree_search.h"

#include "base/context.h"
#include "check_activity.h"
#include "data/rows.h"
#include "forward.h"
#include "launch.h"
#include "model/slots.h"
#include <hsae/exchange.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The flags tell which row of D each feature has. The last step wrote them before its update moved the rows. */
static hsae_status refresh_flags(hsae_trainer *trainer)
{
    const struct device_model *device_model = &trainer->device_model;
    struct feature_flags_args args = {device_model->features, device_model->levels};
    struct hsae_sequence *sequence = NULL;
    hsae_status status = hsae_sequence_create(device_model->device, "flags", false, &sequence);
    if (status)
        return status;
    LAUNCH(device_model, sequence, feature_flags, 1, hsae_groups_for(device_model, HSAE_KERNEL_feature_flags, device_model->features), args,
           .step_params = trainer->frame[0].step_params, .level_info = device_model->level_info, .tree = device_model->tree,
           .last_fired = trainer->last_fired, .decoder_rows = device_model->decoder_rows, .flags = device_model->flags);
    return hsae_device_model_run_once(device_model, &sequence);
}

/* Whether one feature has too many children; says so. */
static bool warn_of_families(const hsae_context *context, const hsae_config *config, int32_t *const *parents)
{
    char text[256];
    bool large = false;
    for (uint32_t l = 1; l < config->level_count; l++)
        if (hsae_large_family(config, l, parents[l], text, sizeof text)) {
            hsae_log(context, HSAE_LOG_WARNING, "%s", text);
            large = true;
        }
    return large;
}

hsae_status hsae_hierarchy_update(hsae_trainer *trainer)
{
    const uint64_t history = trainer->step < HSAE_ACTIVITY_STEPS ? trainer->step : HSAE_ACTIVITY_STEPS;
    hsae_status status = hsae_crew_order(trainer, &(struct order){.kind = ORDER_LINK});
    if (!status)
        status = refresh_flags(trainer);
    if (!status)
        status = hsae_hierarchy_link(&trainer->device_model, &trainer->config, trainer->crew ? trainer->crew->peers : NULL,
                                     history * trainer->config.batch, trainer->checks && !trainer->checked.links, trainer->parents);
    hsae_crew_settle(trainer, status);
    if (trainer->crew && !hsae_crew_leads(trainer)) /* the features' new places come with the leader's next orders */
        return status;
    trainer->wrong |= status == HSAE_ERROR_DRIVER;
    trainer->checked.links = !status;
    if (!status && !trainer->large_family)
        trainer->large_family = warn_of_families(trainer->context, &trainer->config, trainer->parents);
    if (!status)
        status = trainer->crew ? hsae_crew_move(trainer) : hsae_trainer_upload_tree(trainer);
    return status ? status : hsae_step_rerecord(trainer);
}

/* ---- finished models ---- */

enum { FIRST_PAIRS = 128 /* for each sample and level */ };

static hsae_status copy_model(hsae_context *context, const hsae_model *model, const hsae_config *config, hsae_model **out)
{
    struct slot from[HSAE_MODEL_SLOTS], to[HSAE_MODEL_SLOTS];
    struct hsae_model source = *model;
    hsae_status status = hsae_model_alloc(context, config, model->dim, out);
    if (status)
        return status;
    size_t count = hsae_model_slots(&source, from);
    hsae_model_slots(*out, to);
    for (size_t i = 0; i < count; i++)
        memcpy(hsae_slot_data(&to[i]), hsae_slot_data(&from[i]),
               hsae_slot_rows(&to[i]) * hsae_slot_row_length(&to[i]) * hsae_tensor_type_size(to[i].type));
    return HSAE_OK;
}

static hsae_status record_activity(const struct device_model *device_model, struct hsae_buffer *raw, float scale,
                                   struct hsae_sequence **out)
{
    hsae_status status = hsae_sequence_create(device_model->device, "activity", false, out);
    if (status)
        return status;
    hsae_record_load(device_model, *out, raw, FORMAT_F32, scale, false);
    hsae_record_lists(device_model, *out, NULL);
    return hsae_sequence_end(*out);
}

/* One batch's activity to the history, where that of step `step` belongs. Lists that are too short are made longer. */
static hsae_status run_activity(struct device_model *device_model, struct hsae_buffer *raw, float scale, struct hsae_sequence **sequence,
                                u32 step)
{
    u32 step_state[STATE_LEVELS];
    hsae_status status = hsae_buffer_write(device_model->step_state, STATE_STEP * sizeof step, sizeof step, &step);
    while (!status) {
        if (!*sequence && (status = record_activity(device_model, raw, scale, sequence)))
            break;
        if ((status = hsae_sequence_submit(*sequence, NULL)) || (status = hsae_device_wait(device_model->device, 0)) ||
            (status = hsae_buffer_read(device_model->step_state, 0, sizeof step_state, step_state)) || !step_state[STATE_HALT])
            break;
        hsae_sequence_destroy(sequence);
        status = hsae_device_model_grow(device_model, step_state[STATE_PAIRS]);
        if (!status)
            status = hsae_device_model_clear_halt(device_model);
    }
    return status;
}

/* A batch from row `first` on; rows that are left out are replaced as in hsae_trainer_step. */
static hsae_status read_kept(const struct device_model *device_model, const struct row_rule *rule, const hsae_dataset *data, uint64_t first,
                             enum row_verdict *verdicts, float *batch)
{
    hsae_status status = hsae_judged_read(data, rule, first, device_model->batch, batch, verdicts);
    if (status || hsae_rows_replace(batch, device_model->batch, device_model->dim, verdicts))
        return status;
    return hsae_fail(device_model->context, HSAE_ERROR_DATA,
                     "%s: the %" PRIu32 " rows from row %" PRIu64
                     " on are all left out (norm_limit %g): not what the model was trained on?",
                     hsae_dataset_path(data), device_model->batch, first, rule->norm_limit);
}

/* Which rows of the data count: as the model has it, where the parameters do not say. */
static struct row_rule link_rule(const hsae_model *model, const hsae_link_params *params)
{
    struct row_rule rule = hsae_row_rule(&model->config);
    if (params->norm_limit != 0)
        rule.norm_limit = params->norm_limit;
    rule.skip_bad |= params->skip_bad_rows;
    return rule;
}

/* Who is active on the first batches of the data, as after that many steps of training; `check`: the first is compared with the reference.
 */
static hsae_status fill_history(struct device_model *device_model, const hsae_model *model, const hsae_link_params *params, bool check)
{
    const hsae_dataset *data = params->data;
    const struct row_rule rule = link_rule(model, params);
    uint64_t values = (uint64_t)device_model->batch * device_model->dim, batches = hsae_dataset_rows(data) / device_model->batch;
    struct hsae_buffer *raw = NULL;
    struct hsae_sequence *sequence = NULL;
    float *batch = malloc(values * sizeof *batch);
    enum row_verdict *verdicts = malloc(device_model->batch * sizeof *verdicts);
    hsae_status status = hsae_buffer_create(device_model->device, "raw batch", values * sizeof *batch, HSAE_BUFFER_STAGING, &raw);
    if (!status && (!batch || !verdicts))
        status = hsae_fail_memory(device_model->context, values * sizeof *batch + device_model->batch * sizeof *verdicts, NULL,
                                  "a batch of %" PRIu32 " rows", device_model->batch);
    for (uint32_t k = 0; k < HSAE_ACTIVITY_STEPS && k < batches && !status; k++) {
        status = read_kept(device_model, &rule, data, (uint64_t)k * device_model->batch, verdicts, batch);
        if (!status)
            status = hsae_buffer_write(raw, 0, values * sizeof *batch, batch);
        if (!status)
            status = run_activity(device_model, raw, model->scale, &sequence, k + 1);
        if (!status && check && k == 0)
            status = hsae_check_activity(device_model, model, batch, k);
    }
    hsae_sequence_destroy(&sequence);
    hsae_buffer_destroy(&raw);
    free(batch);
    free(verdicts);
    return status;
}

static hsae_status check_link(hsae_context *context, const hsae_model *model, const hsae_link_params *params)
{
    bool counts = hsae_similarity_counts(params->similarity);
    if (model->config.level_count < 2)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "a model of one level has no tree; import several SAEs into one model");
    if (!(params->exclude >= 0 && params->exclude < 1))
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "exclude is %g; expected at least 0 and below 1", params->exclude);
    if (!(params->norm_limit >= 0))
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "norm_limit is %g; expected at least 0", params->norm_limit);
    if (counts && !params->data)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "co-activation, inclusion and part are counted on data: give some");
    if (counts && hsae_dataset_dim(params->data) != model->dim)
        return hsae_fail(context, HSAE_ERROR_DATA, "the data has vectors of width %" PRIu32 ", the model of width %" PRIu32,
                         hsae_dataset_dim(params->data), model->dim);
    return HSAE_OK;
}

hsae_status hsae_model_link(hsae_device *device, const hsae_model *model, const hsae_link_params *params, hsae_model **out)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, model, params, out);
    struct device_model device_model = {0};
    int32_t *parents[HSAE_MAX_LEVELS];
    hsae_config config = model->config;
    const bool counts = hsae_similarity_counts(params->similarity), check = device->info.backend != HSAE_BACKEND_REF;
    *out = NULL;
    hsae_status status = check_link(device->context, model, params);
    if (status)
        return status;
    config.tree = params->tree == HSAE_TREE_FULL || params->tree == HSAE_TREE_BINARY ? params->tree : HSAE_TREE_POSTHOC;
    config.similarity = params->similarity;
    config.exclude = params->exclude;
    uint32_t rows = config.batch;
    if (counts && hsae_dataset_rows(params->data) < rows)
        rows = (uint32_t)hsae_dataset_rows(params->data);
    struct device_model_params sizes = {
        .batch = rows, .history = counts, .pairs = counts ? (double)rows * config.level_count * FIRST_PAIRS : 1024};
    status = copy_model(device->context, model, &config, out);
    if (!status)
        status = hsae_device_model_create(&device_model, device, &config, model->dim, &sizes);
    if (!status)
        status = hsae_device_model_upload(&device_model, model, 0, NULL);
    if (!status)
        status = hsae_device_model_upload_tree(&device_model, NULL, NULL);
    if (!status && counts)
        status = fill_history(&device_model, model, params, check);
    for (uint32_t l = 0; l < config.level_count && !status; l++)
        parents[l] = (*out)->levels[l].parent;
    uint64_t batches = counts ? hsae_dataset_rows(params->data) / rows : 0;
    batches = batches < HSAE_ACTIVITY_STEPS ? batches : HSAE_ACTIVITY_STEPS;
    if (!status)
        status = hsae_hierarchy_link(&device_model, &config, NULL, batches * rows, check, parents);
    hsae_device_model_destroy(&device_model);
    if (!status)
        warn_of_families(device->context, &config, parents);
    if (status)
        hsae_model_free(out);
    return status;
}
