/* SPDX-License-Identifier: MIT */
/* A training step as launches of a sequence: record_step is the list of them. */
#include "step.h"

#include "device/speed.h"
#include "forward.h"
#include "launch.h"
#include <math.h>

static uint32_t format_of(hsae_dtype dtype)
{
    return dtype == HSAE_DTYPE_F16 ? FORMAT_F16 : dtype == HSAE_DTYPE_BF16 ? FORMAT_BF16 : FORMAT_F32;
}

/* The start of a step: the batch, the flags of every feature, dead lists, lambda; then the lists. */
void hsae_record_step_lists(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct flight *flight)
{
    const struct stack *stack = &trainer->stack;
    struct feature_flags_args flags = {stack->features, stack->levels};
    struct prepare_args prepare = {stack->levels, stack->rows, stack->words * LOAD_BLOCKS(stack->stride), trainer->config.ghost,
                                   (f32)trainer->config.lambda_init};
    hsae_record_load(stack, sequence, flight->raw, format_of(trainer->dtype), trainer->scale, false);
    LAUNCH(stack, sequence, feature_flags, 1, hsae_groups_for(stack, HSAE_KERNEL_feature_flags, stack->features), flags,
           .step_params = flight->step_params, .level_info = stack->level_info, .tree = stack->tree, .last_fired = trainer->last_fired,
           .decoder_rows = stack->decoder_rows, .flags = stack->flags);
    LAUNCH(stack, sequence, prepare, 1, 1, prepare, .step_params = flight->step_params, .level_info = stack->level_info,
           .flags = stack->flags, .norms = stack->norms, .step_state = stack->step_state);
    hsae_record_lists(stack, sequence);
}

/* The constraint's scalars of each pair. Without them update takes rho 0. */
static void record_family(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct stack *stack = &trainer->stack;
    if (!hsae_uses_constraint(trainer))
        return;
    uint32_t below = stack->features - stack->first[1];
    struct family_dot_args dot = {stack->first[1], below, stack->stride, stack->range_rows};
    struct family_args family = {stack->levels, stack->rows};
    LAUNCH(stack, sequence, family_dot, stack->ranges, below, dot, .D = RANGES4(stack, stack->decoder), .tree = stack->tree,
           .flags = stack->flags, .dots = trainer->dots);
    LAUNCH(stack, sequence, family, 1, hsae_groups_for(stack, HSAE_KERNEL_family, (uint64_t)stack->levels * stack->rows), family,
           .step_state = stack->step_state, .tree = stack->tree, .sample_starts = stack->sample_starts, .samples = stack->samples,
           .positions = stack->positions, .dots = trainer->dots, .pair_terms = trainer->pair_terms);
}

/* The sums of the segments of all levels: from D before any part of the forest is updated. */
static void record_segments(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct stack *stack = &trainer->stack;
    const uint32_t room = hsae_segment_room(stack);
    if (!hsae_uses_segments(stack))
        return;
    struct segments_args segments = {stack->features, SEGMENT_PAIRS(stack->rows), room};
    LAUNCH(stack, sequence, segments, 1, 1, segments, .starts = stack->starts, .step_state = stack->step_state,
           .feature_scalars = stack->feature_scalars, .owners = trainer->owners);
    struct segment_rows_args rows = {
        .padded = stack->padded,
        .room = room,
        .segments = stack->features * FEATURE_SUM_WORDS,
        .stride = stack->stride,
        .range_rows = stack->range_rows,
        .rho = hsae_uses_constraint(trainer) ? (f32)trainer->config.rho : 0,
        .bandwidth = (f32)trainer->config.bandwidth,
    };
    for (uint32_t l = 0; l < stack->levels; l += rows.count) { /* as many as have their residuals, and those above, in one buffer */
        uint32_t above = l ? l - 1 : 0, most = l ? hsae_residual_levels(stack, above, stack->levels) : stack->levels;
        rows.level = l;
        rows.count = hsae_residual_levels(stack, l, stack->levels);
        rows.count = rows.count < most ? rows.count : most;
        rows.residual_row = hsae_residual_row(stack, l);
        rows.above_row = hsae_residual_row(stack, above);
        LAUNCH(stack, sequence, segment_rows, stack->ranges, room, rows, .step_state = stack->step_state, .flags = stack->flags,
               .starts = stack->starts, .pairs = stack->pairs, .samples = stack->samples, .owners = trainer->owners,
               .level_info = stack->level_info, .pair_terms = trainer->pair_terms, .feature_sums = trainer->feature_sums,
               .D = RANGES4(stack, stack->decoder), .feature_scalars = stack->feature_scalars, .x = stack->x,
               .residual = hsae_residual(stack, l), .above = hsae_residual(stack, above), .sums = trainer->sums);
    }
}

/* The level's features of a part of the forest: one update launch for each range of E that the level touches. `chunk` < 0: live features;
 * else the dead list from that place on. */
static void record_update(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct part *part, uint32_t l, int64_t chunk)
{
    const struct stack *stack = &trainer->stack;
    const hsae_config *config = &trainer->config;
    struct update_args args = {
        .level = l,
        .level_first = stack->first[l],
        .rank = part->rank[l],
        .ranks = part->ranks[l],
        .free_row = stack->features,
        .ghosts = config->ghost,
        .dead = chunk >= 0 ? hsae_ghost_chunk(stack) : 0,
        .chunk = chunk >= 0 ? (u32)chunk : 0,
        .residual_row = hsae_residual_row(stack, l),
        .above_row = hsae_residual_row(stack, l ? l - 1 : 0),
        .segments = hsae_uses_segments(stack) ? stack->features * FEATURE_SUM_WORDS : 0,
        .rows = stack->rows,
        .stride = stack->stride,
        .range_rows = stack->range_rows,
        .project = config->project_gradient,
        .rho = hsae_uses_constraint(trainer) ? (f32)config->rho : 0,
        .bandwidth = (f32)config->bandwidth,
        .one_minus_beta2 = (f32)(1 - config->beta2),
        .log2_beta2 = config->beta2 > 0 ? (f32)log2(config->beta2) : -1e30f,
        .decay_steps = hsae_decay_steps(config),
        .epsilon = (f32)config->adam_eps,
    };
    struct hsae_buffer *ready = chunk >= 0 ? trainer->ghost_rows : args.segments ? trainer->sums : stack->nil[0];
    for (uint32_t above = 0; above < l; above++)
        args.free_row += part->ranks[above];
    uint32_t last = (stack->first[l + 1] - 1) / stack->range_rows;
    for (uint32_t range = stack->first[l] / stack->range_rows; range <= last && part->ranks[l]; range++) {
        args.base = range * stack->range_rows;
        LAUNCH(stack, sequence, update, stack->ranges, chunk >= 0 ? hsae_ghost_chunk(stack) : args.ranks, args,
               .step_state = stack->step_state, .tree = stack->tree, .flags = stack->flags, .starts = stack->starts, .pairs = stack->pairs,
               .samples = stack->samples, .pair_terms = trainer->pair_terms, .feature_sums = trainer->feature_sums,
               .D = RANGES4(stack, stack->decoder), .encoder = stack->encoder.range[range], .encoder_v = trainer->encoder_v.range[range],
               .decoder_v = trainer->decoder_v.range[range], .feature_scalars = stack->feature_scalars, .decoder_rows = stack->decoder_rows,
               .x = stack->x, .residual = hsae_residual(stack, l), .above = hsae_residual(stack, l ? l - 1 : 0), .summed_rows = ready);
    }
}

/* What all dead features of a level reconstruct together; nothing where none are dead. */
static void record_ghosts(const hsae_trainer *trainer, struct hsae_sequence *sequence, uint32_t l)
{
    const struct stack *stack = &trainer->stack;
    if (!trainer->ghost_capacity[l])
        return;
    struct ghost_args ghost = {l, stack->first[l], hsae_residual_row(stack, l), stack->rows, stack->stride, stack->range_rows};
    struct ghost_scale_args scale = {l, stack->rows, stack->padded, stack->slices};
    LAUNCH(stack, sequence, ghost, stack->ranges, stack->rows, ghost, .x = stack->x, .E = RANGES4(stack, stack->encoder),
           .D = RANGES4(stack, stack->decoder), .flags = stack->flags, .step_state = stack->step_state,
           .feature_scalars = stack->feature_scalars, .residual = hsae_residual(stack, l), .ghost = trainer->ghost[l],
           .ghost_losses = trainer->ghost_losses[l]);
    LAUNCH(stack, sequence, ghost_scale, 1, 1, scale, .step_state = stack->step_state, .ghost_losses = trainer->ghost_losses[l],
           .loss = stack->loss, .weights = trainer->ghost_weights[l]);
}

/* The update of a part of the forest, levels from the last to the first: a parent's update needs its children's products. */
static void record_part(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct part *part)
{
    const struct stack *stack = &trainer->stack;
    const uint32_t ghosts = hsae_ghost_chunk(stack);
    for (uint32_t l = stack->levels; l--;) {
        for (uint32_t chunk = 0; chunk < trainer->ghost_capacity[l]; chunk += ghosts) {
            struct ghost_rows_args rows = {
                l, stack->first[l], chunk, ghosts, part->rank[l], part->ranks[l], stack->rows, stack->stride, stack->range_rows};
            LAUNCH(stack, sequence, ghost_rows, stack->ranges, ghosts, rows, .x = stack->x, .E = RANGES4(stack, stack->encoder),
                   .D = RANGES4(stack, stack->decoder), .flags = stack->flags, .step_state = stack->step_state,
                   .feature_scalars = stack->feature_scalars, .ghost = trainer->ghost[l], .weights = trainer->ghost_weights[l],
                   .tree = stack->tree, .rows = trainer->ghost_rows);
            record_update(trainer, sequence, part, l, chunk);
        }
        record_update(trainer, sequence, part, l, -1);
    }
}

/* Groups of variance, or of bias for one level. */
static uint64_t column_groups(const struct stack *stack, enum hsae_kernel kernel)
{
    struct hsae_kernel_shape shape = hsae_shape(stack->device, kernel, 1);
    uint64_t vectors = stack->stride / shape.vector_width, tile = (uint64_t)COLUMN_LANES(shape.group_size) * shape.columns;
    return (vectors + tile - 1) / tile;
}

/* The decoder biases of the levels of each residual buffer. */
static void record_bias(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct stack *stack = &trainer->stack;
    const hsae_config *config = &trainer->config;
    struct bias_args args = {.rows = stack->rows,
                             .padded = stack->padded,
                             .stride = stack->stride,
                             .beta2 = (f32)config->beta2,
                             .one_minus_beta2 = (f32)(1 - config->beta2),
                             .epsilon = (f32)config->adam_eps};
    for (uint32_t l = 0; l < stack->levels; l += args.count) {
        args.level = l;
        args.count = hsae_residual_levels(stack, l, stack->levels);
        args.row = hsae_residual_row(stack, l);
        LAUNCH(stack, sequence, bias, 1, args.count * column_groups(stack, HSAE_KERNEL_bias), args, .step_state = stack->step_state,
               .residual = hsae_residual(stack, l), .bias = stack->bias, .bias_v = trainer->bias_v);
    }
}

/* Squares of each input column, for the explained variance. */
static void record_variance(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct stack *stack = &trainer->stack;
    struct variance_args args = {stack->rows, stack->stride};
    LAUNCH(stack, sequence, variance, 1, column_groups(stack, HSAE_KERNEL_variance), args, .x = stack->x, .squares = trainer->squares);
}

/* The end of a step: the sparsity controller, metrics, when each feature was last active. */
static void record_finish_step(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct flight *flight)
{
    const struct stack *stack = &trainer->stack;
    const hsae_config *config = &trainer->config;
    struct finish_step_args args = {
        stack->levels,
        stack->rows,
        stack->padded,
        stack->slices,
        stack->features,
        stack->stride,
        hsae_uses_constraint(trainer) ? (f32)config->rho : 0,
        (f32)(1 - config->sparsity_momentum),
        (f32)config->sparsity_eta,
        (f32)config->sparsity_kappa,
        hsae_shifts_thresholds(config) ? (f32)config->sparsity_gain : 0,
        (f32)(config->lambda_init * stack->dim),
    };
    LAUNCH(stack, sequence, finish_step, 1, stack->levels, args, .level_info = stack->level_info, .loss = stack->loss,
           .feature_sums = trainer->feature_sums, .active_count = stack->active_count, .squares = trainer->squares, .starts = stack->starts,
           .last_fired = trainer->last_fired, .step_state = stack->step_state, .step_report = flight->step_report);
}

/* Sparsity control beyond the penalty. */
static void record_shift(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct stack *stack = &trainer->stack;
    struct shift_thresholds_args args = {stack->features, stack->levels, (f32)trainer->config.bandwidth};
    if (hsae_shifts_thresholds(&trainer->config))
        LAUNCH(stack, sequence, shift_thresholds, 1, hsae_groups_for(stack, HSAE_KERNEL_shift_thresholds, stack->features), args,
               .level_info = stack->level_info, .step_state = stack->step_state, .feature_scalars = stack->feature_scalars);
}

/* All launches of a step, in their order. */
static void record_step(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct flight *flight)
{
    const struct stack *stack = &trainer->stack;
    hsae_record_step_lists(trainer, sequence, flight);
    hsae_record_decode(stack, sequence, 0, stack->levels);
    record_family(trainer, sequence);
    record_segments(trainer, sequence);
    for (uint32_t l = 0; l < stack->levels; l++)
        record_ghosts(trainer, sequence, l);
    for (uint32_t k = 0; k < trainer->parts.count; k++)
        record_part(trainer, sequence, &trainer->parts.part[k]);
    record_bias(trainer, sequence);
    record_variance(trainer, sequence);
    record_finish_step(trainer, sequence, flight);
    record_shift(trainer, sequence);
}

/* The kernels of a step beyond the forward pass. */
static void fit_kernels(const hsae_trainer *trainer)
{
    const struct stack *stack = &trainer->stack;
    FIT(stack, 1, HSAE_KERNEL_feature_flags, HSAE_KERNEL_prepare, HSAE_KERNEL_bias, HSAE_KERNEL_variance, HSAE_KERNEL_finish_step);
    FIT(stack, stack->ranges, HSAE_KERNEL_update);
    if (hsae_shifts_thresholds(&trainer->config))
        FIT(stack, 1, HSAE_KERNEL_shift_thresholds);
    if (hsae_uses_constraint(trainer)) {
        FIT(stack, 1, HSAE_KERNEL_family);
        FIT(stack, stack->ranges, HSAE_KERNEL_family_dot);
    }
    if (hsae_uses_segments(stack)) {
        FIT(stack, 1, HSAE_KERNEL_segments);
        FIT(stack, stack->ranges, HSAE_KERNEL_segment_rows);
    }
    if (hsae_uses_ghosts(trainer)) {
        FIT(stack, 1, HSAE_KERNEL_ghost_scale);
        FIT(stack, stack->ranges, HSAE_KERNEL_ghost, HSAE_KERNEL_ghost_rows);
    }
}

static hsae_status record_flight(const hsae_trainer *trainer, struct flight *flight)
{
    bool timed = trainer->timed || trainer->learning;
    hsae_status status = hsae_sequence_create(trainer->stack.device, "training step", timed, &flight->sequence);
    if (status)
        return status;
    record_step(trainer, flight->sequence, flight);
    return hsae_sequence_end(flight->sequence);
}

static hsae_status record_flights(hsae_trainer *trainer)
{
    hsae_status status = HSAE_OK;
    hsae_step_forget(trainer);
    trainer->stack.device->speed_guessed = false;
    for (int f = 0; f < HSAE_IN_FLIGHT && !status; f++)
        status = record_flight(trainer, &trainer->flight[f]);
    trainer->recorded = !status;
    return status;
}

/* Whether the step that is recorded next should be timed. `guessed`: when it was recorded, a launch was long and its kernel was never
 * timed. */
static bool wants_lesson(const hsae_trainer *trainer, bool guessed)
{
    const struct lessons *lessons = &trainer->lessons;
    return trainer->stack.device->can_time && !lessons->stopped && lessons->row < HSAE_MAX_LESSONS && (lessons->next || guessed);
}

hsae_status hsae_step_record(hsae_trainer *trainer)
{
    hsae_step_forget(trainer);
    trainer->recordings++;
    fit_kernels(trainer);
    hsae_status status = hsae_record_buffers(trainer);
    if (status)
        return status;
    trainer->learning = wants_lesson(trainer, false);
    status = record_flights(trainer);
    if (!status && !trainer->learning && wants_lesson(trainer, trainer->stack.device->speed_guessed)) {
        trainer->learning = true;
        status = record_flights(trainer);
    }
    return status;
}

hsae_status hsae_step_refresh(hsae_trainer *trainer)
{
    return trainer->recorded ? HSAE_OK : hsae_step_record(trainer);
}
