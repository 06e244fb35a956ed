/* SPDX-License-Identifier: MIT */
/* A training step as launches of a sequence: record_step is the list of them. */
#include "crew.h"

#include "device/speed.h"
#include "forward.h"
#include "launch.h"
#include <math.h>

static uint32_t format_of(hsae_dtype dtype)
{
    return dtype == HSAE_DTYPE_F16 ? FORMAT_F16 : dtype == HSAE_DTYPE_BF16 ? FORMAT_BF16 : FORMAT_F32;
}

/* The start of a step: the batch, the flags of every feature, dead lists, lambda; then the lists. */
void hsae_record_step_lists(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct frame *frame)
{
    const struct device_model *device_model = &trainer->device_model;
    struct feature_flags_args flags = {device_model->features, device_model->levels};
    struct prepare_args prepare = {device_model->levels, device_model->batch, device_model->words * LOAD_BLOCKS(device_model->stride),
                                   trainer->config.ghost, (f32)trainer->config.lambda_init};
    hsae_record_load(device_model, sequence, frame->raw, format_of(trainer->dtype), trainer->scale, false);
    LAUNCH(device_model, sequence, feature_flags, 1, hsae_groups_for(device_model, HSAE_KERNEL_feature_flags, device_model->features),
           flags, .step_params = frame->step_params, .level_info = device_model->level_info, .tree = device_model->tree,
           .last_fired = trainer->last_fired, .decoder_rows = device_model->decoder_rows, .flags = device_model->flags);
    LAUNCH(device_model, sequence, prepare, 1, 1, prepare, .step_params = frame->step_params, .level_info = device_model->level_info,
           .flags = device_model->flags, .norms = device_model->norms, .step_state = device_model->step_state);
    hsae_record_lists(device_model, sequence, hsae_uses_segments(device_model) && !trainer->crew ? trainer->owners : NULL);
}

/* The constraint's scalars of each pair. Without them update takes rho 0. */
static void record_family(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct device_model *device_model = &trainer->device_model;
    if (!hsae_uses_constraint(trainer))
        return;
    uint32_t below = device_model->features - device_model->first[1];
    struct family_dot_args dot = {device_model->first[1], below, device_model->stride, device_model->range_rows};
    struct family_args family = {device_model->levels, device_model->batch};
    LAUNCH(device_model, sequence, family_dot, device_model->ranges, below, dot, .D = RANGES4(device_model, device_model->decoder),
           .tree = device_model->tree, .flags = device_model->flags, .dots = trainer->dots);
    LAUNCH(device_model, sequence, family, 1,
           hsae_groups_for(device_model, HSAE_KERNEL_family, (uint64_t)device_model->levels * device_model->batch), family,
           .step_state = device_model->step_state, .tree = device_model->tree, .sample_starts = device_model->sample_starts,
           .samples = device_model->samples, .positions = device_model->positions, .dots = trainer->dots,
           .pair_terms = trainer->pair_terms);
}

/* With a crew, the segments of long features: of the length that suits all devices, which is known after their lists. */
static void record_owners(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct device_model *device_model = &trainer->device_model;
    struct scan_args scan = {0, device_model->features, device_model->capacity, 0, hsae_segment_room(device_model), 0};
    LAUNCH(device_model, sequence, scan, 1, 1, scan, .counts = device_model->counts, .starts = device_model->starts,
           .step_state = device_model->step_state, .totals = device_model->totals, .sample_starts = device_model->sample_starts,
           .feature_scalars = device_model->feature_scalars, .owners = trainer->owners);
}

/* The sums of the segments of all levels: from D before any slice of the forest is updated. */
static void record_segments(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct device_model *device_model = &trainer->device_model;
    const uint32_t room = hsae_segment_room(device_model);
    if (!hsae_uses_segments(device_model))
        return;
    if (trainer->crew)
        record_owners(trainer, sequence);
    struct segment_rows_args rows = {
        .padded = device_model->padded,
        .room = room,
        .segments = device_model->features * FEATURE_SUM_WORDS,
        .stride = device_model->stride,
        .range_rows = device_model->range_rows,
        .rho = hsae_uses_constraint(trainer) ? (f32)trainer->config.rho : 0,
        .bandwidth = (f32)trainer->config.bandwidth,
    };
    for (uint32_t l = 0; l < device_model->levels; l += rows.count) { /* as many as have their residuals, and those above, in one buffer */
        uint32_t above = l ? l - 1 : 0, most = l ? hsae_residual_levels(device_model, above, device_model->levels) : device_model->levels;
        rows.level = l;
        rows.count = hsae_residual_levels(device_model, l, device_model->levels);
        rows.count = rows.count < most ? rows.count : most;
        rows.residual_row = hsae_residual_row(device_model, l);
        rows.above_row = hsae_residual_row(device_model, above);
        LAUNCH(device_model, sequence, segment_rows, device_model->ranges, room, rows, .step_state = device_model->step_state,
               .flags = device_model->flags, .starts = device_model->starts, .pairs = device_model->pairs, .samples = device_model->samples,
               .owners = trainer->owners, .level_info = device_model->level_info, .pair_terms = trainer->pair_terms,
               .feature_sums = trainer->feature_sums, .D = RANGES4(device_model, device_model->decoder),
               .feature_scalars = device_model->feature_scalars, .x = device_model->x, .residual = hsae_residual(device_model, l),
               .above = hsae_residual(device_model, above), .sums = trainer->sums);
    }
}

/* The level's features of a slice of the forest: one update launch for each range of E that the level touches. `chunk` < 0: live features;
 * else the dead list from that place on. */
static void record_update(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct forest_slice *slice, uint32_t l,
                          int64_t chunk)
{
    const struct device_model *device_model = &trainer->device_model;
    const hsae_config *config = &trainer->config;
    struct update_args args = {
        .level = l,
        .level_first = device_model->first[l],
        .rank = slice->rank[l],
        .ranks = slice->ranks[l],
        .free_row = device_model->features,
        .ghosts = config->ghost,
        .dead = chunk >= 0 ? hsae_ghost_chunk(device_model) : 0,
        .chunk = chunk >= 0 ? (u32)chunk : 0,
        .residual_row = hsae_residual_row(device_model, l),
        .above_row = hsae_residual_row(device_model, l ? l - 1 : 0),
        .segments = hsae_uses_segments(device_model) ? device_model->features * FEATURE_SUM_WORDS : 0,
        .batch = device_model->batch,
        .stride = device_model->stride,
        .range_rows = device_model->range_rows,
        .project = config->project_gradient,
        .rho = hsae_uses_constraint(trainer) ? (f32)config->rho : 0,
        .bandwidth = (f32)config->bandwidth,
        .one_minus_beta2 = (f32)(1 - config->beta2),
        .log2_beta2 = config->beta2 > 0 ? (f32)log2(config->beta2) : -1e30f,
        .decay_steps = hsae_decay_steps(config),
        .epsilon = (f32)config->adam_eps,
    };
    struct hsae_buffer *ready = chunk >= 0 ? trainer->ghost_rows : args.segments ? trainer->sums : device_model->unused_binding[0];
    for (uint32_t above = 0; above < l; above++)
        args.free_row += slice->ranks[above];
    uint32_t last = (device_model->first[l + 1] - 1) / device_model->range_rows;
    for (uint32_t range = device_model->first[l] / device_model->range_rows; range <= last && slice->ranks[l]; range++) {
        args.base = range * device_model->range_rows;
        LAUNCH(device_model, sequence, update, device_model->ranges, chunk >= 0 ? hsae_ghost_chunk(device_model) : args.ranks, args,
               .step_state = device_model->step_state, .tree = device_model->tree, .flags = device_model->flags,
               .starts = device_model->starts, .pairs = device_model->pairs, .samples = device_model->samples,
               .pair_terms = trainer->pair_terms, .feature_sums = trainer->feature_sums, .D = RANGES4(device_model, device_model->decoder),
               .encoder = device_model->encoder.range[range], .encoder_v = trainer->encoder_v.range[range],
               .decoder_v = trainer->decoder_v.range[range], .feature_scalars = device_model->feature_scalars,
               .decoder_rows = device_model->decoder_rows, .x = device_model->x, .residual = hsae_residual(device_model, l),
               .above = hsae_residual(device_model, l ? l - 1 : 0), .summed_rows = ready);
    }
}

/* A part of what the level's dead features reconstruct, to `out`. */
static void launch_ghost(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct ghost_args *ghost,
                         struct hsae_buffer *out)
{
    const struct device_model *device_model = &trainer->device_model;
    LAUNCH(device_model, sequence, ghost, device_model->ranges, device_model->batch, *ghost, .x = device_model->x,
           .E = RANGES4(device_model, device_model->encoder), .D = RANGES4(device_model, device_model->decoder),
           .flags = device_model->flags, .step_state = device_model->step_state, .feature_scalars = device_model->feature_scalars,
           .residual = hsae_residual(device_model, ghost->level), .tree = device_model->tree, .ghost = out,
           .ghost_losses = trainer->ghost_losses[ghost->level]);
}

static struct ghost_args ghost_args(const struct device_model *device_model, uint32_t l)
{
    return (struct ghost_args){.level = l,
                               .first = device_model->first[l],
                               .row = hsae_residual_row(device_model, l),
                               .batch = device_model->batch,
                               .stride = device_model->stride,
                               .range_rows = device_model->range_rows,
                               .part = GHOST_WHOLE};
}

/* What the dead features of the device's shards of a level reconstruct together, to `out`. */
static void record_ghost_sum(const hsae_trainer *trainer, struct hsae_sequence *sequence, uint32_t l, struct hsae_buffer *out)
{
    const struct device_model *device_model = &trainer->device_model;
    struct ghost_args ghost = ghost_args(device_model, l);
    ghost.part = GHOST_SUM;
    for (uint32_t s = 0; s < device_model->shards; s++) {
        ghost.to = s * device_model->padded;
        ghost.rank = device_model->shard_rank[l][s];
        ghost.ranks = device_model->shard_rank[l][s + 1] - ghost.rank;
        launch_ghost(trainer, sequence, &ghost, device_model->partials);
    }
    hsae_record_merge(device_model, sequence, l, device_model->shards, device_model->partials, out);
}

/* What all dead features of a level reconstruct together; nothing where none are dead. */
static void record_ghosts(const hsae_trainer *trainer, struct hsae_sequence *sequence, uint32_t l)
{
    const struct device_model *device_model = &trainer->device_model;
    if (!trainer->ghost_capacity[l])
        return;
    struct ghost_args ghost = ghost_args(device_model, l);
    struct ghost_scale_args scale = {l, device_model->batch, device_model->padded, device_model->slices};
    if (trainer->crew)
        hsae_record_merge(device_model, sequence, l, trainer->crew->part.ranks, trainer->crew->received[HSAE_MAX_LEVELS + l],
                          trainer->ghost[l]);
    else if (device_model->shards > 1)
        record_ghost_sum(trainer, sequence, l, trainer->ghost[l]);
    if (trainer->crew || device_model->shards > 1)
        ghost.part = GHOST_BLEND;
    launch_ghost(trainer, sequence, &ghost, trainer->ghost[l]);
    LAUNCH(device_model, sequence, ghost_scale, 1, 1, scale, .step_state = device_model->step_state,
           .ghost_losses = trainer->ghost_losses[l], .loss = device_model->loss, .weights = trainer->ghost_weights[l]);
}

/* The update of a slice of the forest, levels from the last to the first: a parent's update needs its children's products. */
static void record_slice(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct forest_slice *slice)
{
    const struct device_model *device_model = &trainer->device_model;
    const uint32_t ghosts = hsae_ghost_chunk(device_model);
    for (uint32_t l = device_model->levels; l--;) {
        for (uint32_t chunk = 0; chunk < trainer->ghost_capacity[l]; chunk += ghosts) {
            struct ghost_rows_args rows = {l,
                                           device_model->first[l],
                                           chunk,
                                           ghosts,
                                           slice->rank[l],
                                           slice->ranks[l],
                                           device_model->batch,
                                           device_model->stride,
                                           device_model->range_rows};
            LAUNCH(device_model, sequence, ghost_rows, device_model->ranges, ghosts, rows, .x = device_model->x,
                   .E = RANGES4(device_model, device_model->encoder), .D = RANGES4(device_model, device_model->decoder),
                   .flags = device_model->flags, .step_state = device_model->step_state, .feature_scalars = device_model->feature_scalars,
                   .ghost = trainer->ghost[l], .weights = trainer->ghost_weights[l], .tree = device_model->tree,
                   .rows = trainer->ghost_rows);
            record_update(trainer, sequence, slice, l, chunk);
        }
        record_update(trainer, sequence, slice, l, -1);
    }
}

/* Groups of bias for one level. */
static uint64_t column_groups(const struct device_model *device_model)
{
    struct hsae_kernel_shape shape = hsae_shape(device_model->device, HSAE_KERNEL_bias, 1);
    uint64_t vectors = device_model->stride / shape.vector_width, tile = (uint64_t)COLUMN_LANES(shape.group_size) * shape.columns;
    return (vectors + tile - 1) / tile;
}

/* The decoder biases of the levels of each residual buffer; at last the squares of each input column, for the explained variance. */
static void record_bias(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct device_model *device_model = &trainer->device_model;
    const hsae_config *config = &trainer->config;
    struct bias_args args = {.batch = device_model->batch,
                             .padded = device_model->padded,
                             .stride = device_model->stride,
                             .beta2 = (f32)config->beta2,
                             .one_minus_beta2 = (f32)(1 - config->beta2),
                             .epsilon = (f32)config->adam_eps};
    for (uint32_t l = 0; l < device_model->levels; l += args.count) {
        args.level = l;
        args.count = hsae_residual_levels(device_model, l, device_model->levels);
        args.row = hsae_residual_row(device_model, l);
        args.squares = l + args.count == device_model->levels;
        LAUNCH(device_model, sequence, bias, 1, (args.count + args.squares) * column_groups(device_model), args,
               .step_state = device_model->step_state, .residual = hsae_residual(device_model, l), .bias = device_model->bias,
               .bias_v = trainer->bias_v, .x = device_model->x, .squares = trainer->squares);
    }
}

struct finish_step_args hsae_finish_step_args(const hsae_trainer *trainer)
{
    const struct device_model *device_model = &trainer->device_model;
    const hsae_config *config = &trainer->config;
    return (struct finish_step_args){.levels = device_model->levels,
                                     .batch = device_model->batch,
                                     .padded = device_model->padded,
                                     .slices = device_model->slices,
                                     .features = device_model->features,
                                     .stride = device_model->stride,
                                     .rho = hsae_uses_constraint(trainer) ? (f32)config->rho : 0,
                                     .one_minus_momentum = (f32)(1 - config->sparsity_momentum),
                                     .eta = (f32)config->sparsity_eta,
                                     .kappa = (f32)config->sparsity_kappa,
                                     .gain = hsae_shifts_thresholds(config) ? (f32)config->sparsity_gain : 0,
                                     .penalty = (f32)(config->lambda_init * device_model->dim),
                                     .bandwidth = (f32)config->bandwidth};
}

/* The end of a step: sparsity control, metrics, when each feature was last active. */
static void record_finish_step(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct frame *frame)
{
    const struct device_model *device_model = &trainer->device_model;
    struct finish_step_args args = hsae_finish_step_args(trainer);
    LAUNCH(device_model, sequence, finish_step, 1, device_model->levels, args, .level_info = device_model->level_info,
           .loss = device_model->loss, .feature_sums = trainer->feature_sums, .active_count = device_model->active_count,
           .squares = trainer->squares, .starts = device_model->starts, .last_fired = trainer->last_fired,
           .step_state = device_model->step_state, .step_report = frame->step_report, .feature_scalars = device_model->feature_scalars);
}

/* With a crew, the launches of a step up to the sums that all devices exchange. */
static void record_sums(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct frame *frame)
{
    const struct device_model *device_model = &trainer->device_model;
    hsae_record_step_lists(trainer, sequence, frame);
    for (uint32_t l = 0; l < device_model->levels; l++) {
        hsae_record_sum(device_model, sequence, l, trainer->crew->send[l]);
        if (trainer->ghost_capacity[l])
            record_ghost_sum(trainer, sequence, l, trainer->crew->send[HSAE_MAX_LEVELS + l]);
    }
}

/* All launches of a step, in their order; with a crew, those after the exchange. */
static void record_step(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct frame *frame)
{
    const struct device_model *device_model = &trainer->device_model;
    if (trainer->crew) {
        for (uint32_t l = 0; l < device_model->levels; l++)
            hsae_record_merge(device_model, sequence, l, trainer->crew->part.ranks, trainer->crew->received[l], NULL);
    } else {
        hsae_record_step_lists(trainer, sequence, frame);
        hsae_record_decode(device_model, sequence, 0, device_model->levels);
    }
    record_family(trainer, sequence);
    record_segments(trainer, sequence);
    for (uint32_t l = 0; l < device_model->levels; l++)
        record_ghosts(trainer, sequence, l);
    for (uint32_t k = 0; k < trainer->forest_slices.count; k++)
        record_slice(trainer, sequence, &trainer->forest_slices.slice[k]);
    record_bias(trainer, sequence);
    record_finish_step(trainer, sequence, frame);
}

/* The kernels of a step beyond the forward pass. */
static void fit_kernels(const hsae_trainer *trainer)
{
    const struct device_model *device_model = &trainer->device_model;
    FIT(device_model, 1, HSAE_KERNEL_feature_flags, HSAE_KERNEL_prepare, HSAE_KERNEL_bias, HSAE_KERNEL_finish_step);
    FIT(device_model, device_model->ranges, HSAE_KERNEL_update);
    if (hsae_uses_constraint(trainer)) {
        FIT(device_model, 1, HSAE_KERNEL_family);
        FIT(device_model, device_model->ranges, HSAE_KERNEL_family_dot);
    }
    if (hsae_uses_segments(device_model))
        FIT(device_model, device_model->ranges, HSAE_KERNEL_segment_rows);
    if (hsae_uses_ghosts(trainer)) {
        FIT(device_model, 1, HSAE_KERNEL_ghost_scale);
        FIT(device_model, device_model->ranges, HSAE_KERNEL_ghost, HSAE_KERNEL_ghost_rows);
    }
}

static hsae_status record_frame(const hsae_trainer *trainer, struct frame *frame)
{
    bool timed = trainer->timed || trainer->calibrating;
    hsae_status status = hsae_sequence_create(trainer->device_model.device, "training step", timed, &frame->sequence);
    if (status)
        return status;
    (trainer->crew ? record_sums : record_step)(trainer, frame->sequence, frame);
    status = hsae_sequence_end(frame->sequence);
    if (status || !trainer->crew)
        return status;
    status = hsae_sequence_create(trainer->device_model.device, "rest of a step", false, &frame->rest);
    if (status)
        return status;
    record_step(trainer, frame->rest, frame);
    return hsae_sequence_end(frame->rest);
}

static hsae_status record_frames(hsae_trainer *trainer)
{
    hsae_status status = HSAE_OK;
    hsae_step_drop_recording(trainer);
    trainer->device_model.device->speed_guessed = false;
    for (int f = 0; f < HSAE_IN_FLIGHT && !status; f++)
        status = record_frame(trainer, &trainer->frame[f]);
    trainer->recorded = !status;
    return status;
}

/* Whether the step that is recorded next should be timed. `guessed`: when it was recorded, a launch was long and its kernel was never
 * timed. */
static bool wants_calibration(const hsae_trainer *trainer, bool guessed)
{
    const struct calibration *calibration = &trainer->calibration;
    return trainer->device_model.device->can_time && !calibration->stopped && !trainer->crew && calibration->row < HSAE_MAX_CALIBRATIONS &&
           (calibration->next || guessed);
}

hsae_status hsae_step_record(hsae_trainer *trainer)
{
    hsae_step_drop_recording(trainer);
    trainer->recordings++;
    fit_kernels(trainer);
    hsae_status status = hsae_record_buffers(trainer);
    if (status)
        return status;
    trainer->calibrating = wants_calibration(trainer, false);
    status = record_frames(trainer);
    if (!status && !trainer->calibrating && wants_calibration(trainer, trainer->device_model.device->speed_guessed)) {
        trainer->calibrating = true;
        status = record_frames(trainer);
    }
    return status;
}

hsae_status hsae_step_rerecord(hsae_trainer *trainer)
{
    return trainer->recorded ? HSAE_OK : hsae_step_record(trainer);
}
