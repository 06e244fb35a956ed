/* SPDX-License-Identifier: MIT */
#include "lesson.h"

#include "base/context.h"
#include <math.h>
#include <string.h>

/* Dead features served by one ghost_rows launch. */
enum { MOST_GHOSTS = 1024 };
/* Segments: an eighth as many as features, so that their sums take little memory beside the model. */
enum { LEAST_SEGMENTS = 64, MOST_SEGMENTS = 1024 };

/* Fewer where a buffer of their rows would be larger than a kernel may see. */
static uint32_t ghost_chunk(const struct stack *stack)
{
    uint64_t fit = hsae_binding_limit(stack->device) / (2 * (uint64_t)(stack->stride + 16) * sizeof(f32));
    return fit >= MOST_GHOSTS ? MOST_GHOSTS : fit ? (uint32_t)fit : 1;
}

/* Whatever the lists hold, since a resumed run, whose lists may be longer, has the same segments. */
static uint32_t segment_room(const struct stack *stack)
{
    uint64_t fit = hsae_binding_limit(stack->device) / (2 * (uint64_t)stack->stride * sizeof(f32)), room = stack->features / 8;
    room = room > MOST_SEGMENTS ? MOST_SEGMENTS : room > LEAST_SEGMENTS ? room : LEAST_SEGMENTS;
    return (uint32_t)(room < fit ? room : fit);
}

/* A work-group of one work-item has nothing to gain: there are as many features as a CPU can do with. In a small batch no feature is long.
 */
static bool uses_segments(const struct stack *stack)
{
    bool shared = hsae_shape_compiled(stack->device, HSAE_KERNEL_update, stack->ranges).group_size > 1;
    return shared && SEGMENTS_OF(stack->rows, SEGMENT_PAIRS(stack->rows)) && segment_room(stack);
}

double hsae_step_rate(const hsae_config *config, uint64_t step)
{
    double warm = floor(config->warmup * (double)config->steps + 0.5), t = (double)step;
    if (t <= warm)
        return config->lr * t / warm;
    return config->lr * 0.5 * (1 + cos(3.14159265358979323846 * (t - warm) / ((double)config->steps - warm)));
}

static bool uses_constraint(const hsae_trainer *trainer)
{
    return trainer->has_tree && trainer->config.rho > 0;
}

static bool uses_ghosts(const hsae_trainer *trainer)
{
    for (uint32_t l = 0; l < trainer->stack.levels; l++)
        if (trainer->ghost_capacity[l])
            return true;
    return false;
}

static hsae_status raw_buffer(const struct stack *stack, hsae_dtype dtype, struct hsae_buffer **out)
{
    uint64_t bytes = ((uint64_t)stack->rows * stack->dim * hsae_dtype_size(dtype) + 3) / 4 * 4;
    return hsae_buffer_create(stack->device, "raw batch", bytes, HSAE_BUFFER_STAGING, out);
}

hsae_status hsae_step_buffers(hsae_trainer *trainer)
{
    struct stack *stack = &trainer->stack;
    struct hsae_device *device = stack->device;
    uint64_t n = stack->features, line = stack->stride, word = sizeof(u32);
    hsae_status status = hsae_ranged_create(stack, "encoder second moments", stack->features, &trainer->encoder_v);
    if (!status)
        status = hsae_ranged_create(stack, "decoder second moments", stack->features, &trainer->decoder_v);
    if (!status)
        status = hsae_stack_buffer(stack, "decoder bias second moments", stack->levels * line, GROWS_NOT, &trainer->bias_v);
    if (!status)
        status = hsae_stack_buffer(stack, "last fired", n, GROWS_WITH_FEATURES, &trainer->last_fired);
    if (!status)
        status = hsae_stack_buffer(stack, "constraint terms", n * TERM_WORDS + segment_room(stack) * SEGMENT_WORDS, GROWS_WITH_FEATURES,
                                   &trainer->terms);
    if (!status)
        status = hsae_stack_buffer(stack, "parent-child products", n, GROWS_WITH_FEATURES, &trainer->dots);
    if (!status)
        status = hsae_stack_buffer(stack, "column squares", line, GROWS_NOT, &trainer->squares);
    for (int f = 0; f < HSAE_IN_FLIGHT && !status; f++) {
        struct flight *flight = &trainer->flight[f];
        status = raw_buffer(stack, trainer->dtype, &flight->raw);
        if (!status)
            status = hsae_buffer_create(device, "clock", CLOCK_WORDS * word, HSAE_BUFFER_STAGING, &flight->clock);
        if (!status)
            status = hsae_buffer_create(device, "status", STATUS_WORDS * word, HSAE_BUFFER_STAGING, &flight->status);
    }
    return status;
}

void hsae_step_forget(hsae_trainer *trainer)
{
    for (int f = 0; f < HSAE_IN_FLIGHT; f++)
        hsae_sequence_destroy(&trainer->flight[f].sequence);
    trainer->recorded = false;
}

void hsae_step_release(hsae_trainer *trainer)
{
    hsae_step_forget(trainer);
    for (int f = 0; f < HSAE_IN_FLIGHT; f++) {
        hsae_buffer_destroy(&trainer->flight[f].raw);
        hsae_buffer_destroy(&trainer->flight[f].clock);
        hsae_buffer_destroy(&trainer->flight[f].status);
    }
    struct hsae_buffer **buffers[] = {&trainer->bias_v,  &trainer->last_fired, &trainer->terms,  &trainer->dots, &trainer->kin,
                                      &trainer->squares, &trainer->ghost_rows, &trainer->owners, &trainer->sums};
    for (size_t k = 0; k < sizeof buffers / sizeof *buffers; k++)
        hsae_buffer_destroy(buffers[k]);
    for (int l = 0; l < HSAE_MAX_LEVELS; l++) {
        hsae_buffer_destroy(&trainer->ghost[l]);
        hsae_buffer_destroy(&trainer->ghost_losses[l]);
        hsae_buffer_destroy(&trainer->ghost_weights[l]);
    }
    hsae_ranged_destroy(&trainer->encoder_v);
    hsae_ranged_destroy(&trainer->decoder_v);
}

static uint32_t format_of(hsae_dtype dtype)
{
    return dtype == HSAE_DTYPE_F16 ? FORMAT_F16 : dtype == HSAE_DTYPE_BF16 ? FORMAT_BF16 : FORMAT_F32;
}

/* The start of a step: the batch, the flags of every feature, dead lists, lambda; then the lists. */
hsae_status hsae_step_record_lists(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct flight *flight)
{
    const struct stack *stack = &trainer->stack;
    struct swap_args swap = {stack->features, stack->levels};
    struct prepare_args prepare = {stack->levels, stack->rows, stack->words * LOAD_BLOCKS(stack->stride), trainer->config.ghost,
                                   (f32)trainer->config.lambda_init};
    hsae_status status = hsae_record_load(stack, sequence, flight->raw, format_of(trainer->dtype), trainer->scale, false);
    if (!status)
        status = LAUNCH(stack, sequence, swap, 1, hsae_groups_for(stack, HSAE_KERNEL_swap, stack->features), swap, flight->clock,
                        stack->levels_table, stack->tree, trainer->last_fired, stack->places, stack->flags);
    if (!status)
        status =
            LAUNCH(stack, sequence, prepare, 1, 1, prepare, flight->clock, stack->levels_table, stack->flags, stack->norms, stack->control);
    return status ? status : hsae_record_lists(stack, sequence);
}

/* The constraint's scalars of each pair; only where there is a tree and rho > 0, else update takes rho 0. */
static hsae_status record_family(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct stack *stack = &trainer->stack;
    uint32_t below = stack->features - stack->first[1];
    struct family_dot_args dot = {stack->first[1], below, stack->stride, stack->range_rows};
    struct family_args family = {stack->levels, stack->rows};
    hsae_status status = LAUNCH(stack, sequence, family_dot, stack->ranges, below, dot, RANGES4(stack, stack->decoder), stack->tree,
                                stack->flags, trainer->dots);
    if (!status)
        status =
            LAUNCH(stack, sequence, family, 1, hsae_groups_for(stack, HSAE_KERNEL_family, (uint64_t)stack->levels * stack->rows), family,
                   stack->control, stack->tree, stack->sample_starts, stack->samples, stack->positions, trainer->dots, trainer->kin);
    return status;
}

/* The sums of the segments of all levels: from D before any part of the forest is updated. */
static hsae_status record_segments(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct stack *stack = &trainer->stack;
    const uint32_t room = segment_room(stack);
    struct segments_args segments = {stack->features, SEGMENT_PAIRS(stack->rows), room};
    hsae_status status = LAUNCH(stack, sequence, segments, 1, 1, segments, stack->starts, stack->control, stack->table, trainer->owners);
    struct segment_rows_args rows = {
        .padded = stack->padded,
        .room = room,
        .segments = stack->features * TERM_WORDS,
        .stride = stack->stride,
        .range_rows = stack->range_rows,
        .rho = uses_constraint(trainer) ? (f32)trainer->config.rho : 0,
        .bandwidth = (f32)trainer->config.bandwidth,
    };
    for (uint32_t l = 0; l < stack->levels && !status;
         l += rows.count) { /* as many as have their residuals, and those above, in one buffer */
        uint32_t above = l ? l - 1 : 0, most = l ? hsae_residual_levels(stack, above, stack->levels) : stack->levels;
        rows.level = l;
        rows.count = hsae_residual_levels(stack, l, stack->levels);
        rows.count = rows.count < most ? rows.count : most;
        rows.residual_row = hsae_residual_row(stack, l);
        rows.above_row = hsae_residual_row(stack, above);
        status = LAUNCH(stack, sequence, segment_rows, stack->ranges, room, rows, stack->control, stack->flags, stack->starts, stack->pairs,
                        stack->samples, trainer->owners, stack->levels_table, trainer->kin, trainer->terms, RANGES4(stack, stack->decoder),
                        stack->table, stack->x, hsae_residual(stack, l), hsae_residual(stack, above), trainer->sums);
    }
    return status;
}

/* The level's features of a part of the forest: one update launch for each range of E that the level touches. `chunk` < 0: live features;
 * else the dead list from that place on. */
static hsae_status record_update(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct part *part, uint32_t l,
                                 int64_t chunk)
{
    const struct stack *stack = &trainer->stack;
    const hsae_config *config = &trainer->config;
    struct update_args args = {
        .level = l,
        .level_first = stack->first[l],
        .rank = part->rank[l],
        .ranks = part->ranks[l],
        .spare = stack->features,
        .ghosts = config->ghost,
        .dead = chunk >= 0 ? ghost_chunk(stack) : 0,
        .chunk = chunk >= 0 ? (u32)chunk : 0,
        .residual_row = hsae_residual_row(stack, l),
        .above_row = hsae_residual_row(stack, l ? l - 1 : 0),
        .segments = uses_segments(stack) ? stack->features * TERM_WORDS : 0,
        .rows = stack->rows,
        .stride = stack->stride,
        .range_rows = stack->range_rows,
        .project = config->project_gradient,
        .rho = uses_constraint(trainer) ? (f32)config->rho : 0,
        .bandwidth = (f32)config->bandwidth,
        .one_minus_beta2 = (f32)(1 - config->beta2),
        .log2_beta2 = config->beta2 > 0 ? (f32)log2(config->beta2) : -1e30f,
        .epsilon = (f32)config->adam_eps,
    };
    struct hsae_buffer *ready = chunk >= 0 ? trainer->ghost_rows : args.segments ? trainer->sums : stack->nil[0];
    hsae_status status = HSAE_OK;
    for (uint32_t above = 0; above < l; above++)
        args.spare += part->ranks[above];
    uint32_t last = (stack->first[l + 1] - 1) / stack->range_rows;
    for (uint32_t range = stack->first[l] / stack->range_rows; range <= last && part->ranks[l] && !status; range++) {
        args.base = range * stack->range_rows;
        status =
            LAUNCH(stack, sequence, update, stack->ranges, chunk >= 0 ? ghost_chunk(stack) : args.ranks, args, stack->control, stack->tree,
                   stack->flags, stack->starts, stack->pairs, stack->samples, trainer->kin, trainer->terms, RANGES4(stack, stack->decoder),
                   stack->encoder.range[range], trainer->encoder_v.range[range], trainer->decoder_v.range[range], stack->table,
                   stack->places, stack->x, hsae_residual(stack, l), hsae_residual(stack, l ? l - 1 : 0), ready);
    }
    return status;
}

/* What all dead features of a level reconstruct together. */
static hsae_status record_ghosts(const hsae_trainer *trainer, struct hsae_sequence *sequence, uint32_t l)
{
    const struct stack *stack = &trainer->stack;
    struct ghost_args ghost = {l, stack->first[l], hsae_residual_row(stack, l), stack->rows, stack->stride, stack->range_rows};
    struct ghost_scale_args scale = {l, stack->rows, stack->padded, stack->slices};
    hsae_status status = LAUNCH(stack, sequence, ghost, stack->ranges, stack->rows, ghost, stack->x, RANGES4(stack, stack->encoder),
                                RANGES4(stack, stack->decoder), stack->flags, stack->control, stack->table, hsae_residual(stack, l),
                                trainer->ghost[l], trainer->ghost_losses[l]);
    if (!status)
        status = LAUNCH(stack, sequence, ghost_scale, 1, 1, scale, stack->control, trainer->ghost_losses[l], stack->loss,
                        trainer->ghost_weights[l]);
    return status;
}

/* The update of a part of the forest, levels from the last to the first: a parent's update needs its children's products. */
static hsae_status record_part(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct part *part)
{
    const struct stack *stack = &trainer->stack;
    const uint32_t ghosts = ghost_chunk(stack);
    hsae_status status = HSAE_OK;
    for (uint32_t l = stack->levels; l-- && !status;) {
        for (uint32_t chunk = 0; chunk < trainer->ghost_capacity[l] && !status; chunk += ghosts) {
            struct ghost_rows_args rows = {
                l, stack->first[l], chunk, ghosts, part->rank[l], part->ranks[l], stack->rows, stack->stride, stack->range_rows};
            status = LAUNCH(stack, sequence, ghost_rows, stack->ranges, ghosts, rows, stack->x, RANGES4(stack, stack->encoder),
                            RANGES4(stack, stack->decoder), stack->flags, stack->control, stack->table, trainer->ghost[l],
                            trainer->ghost_weights[l], stack->tree, trainer->ghost_rows);
            if (!status)
                status = record_update(trainer, sequence, part, l, chunk);
        }
        if (!status)
            status = record_update(trainer, sequence, part, l, -1);
    }
    return status;
}

/* Groups of variance, or of bias for one level. */
static uint64_t column_groups(const struct stack *stack, enum hsae_kernel kernel)
{
    struct hsae_kernel_shape shape = hsae_shape_compiled(stack->device, kernel, 1);
    uint64_t vectors = stack->stride / shape.vector_width, tile = (uint64_t)COLUMN_LANES(shape.group_size) * shape.columns;
    return (vectors + tile - 1) / tile;
}

/* The decoder biases of the levels of each residual buffer. */
static hsae_status record_bias(const hsae_trainer *trainer, struct hsae_sequence *sequence)
{
    const struct stack *stack = &trainer->stack;
    const hsae_config *config = &trainer->config;
    hsae_status status = HSAE_OK;
    struct bias_args args = {.rows = stack->rows,
                             .padded = stack->padded,
                             .stride = stack->stride,
                             .beta2 = (f32)config->beta2,
                             .one_minus_beta2 = (f32)(1 - config->beta2),
                             .epsilon = (f32)config->adam_eps};
    for (uint32_t l = 0; l < stack->levels && !status; l += args.count) {
        args.level = l;
        args.count = hsae_residual_levels(stack, l, stack->levels);
        args.row = hsae_residual_row(stack, l);
        status = LAUNCH(stack, sequence, bias, 1, args.count * column_groups(stack, HSAE_KERNEL_bias), args, stack->control,
                        hsae_residual(stack, l), stack->bias, trainer->bias_v);
    }
    return status;
}

static hsae_status record_backward(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct flight *flight)
{
    const struct stack *stack = &trainer->stack;
    const hsae_config *config = &trainer->config;
    hsae_status status = uses_constraint(trainer) ? record_family(trainer, sequence) : HSAE_OK;
    if (!status && uses_segments(stack))
        status = record_segments(trainer, sequence);
    for (uint32_t l = 0; l < stack->levels && !status; l++)
        if (trainer->ghost_capacity[l])
            status = record_ghosts(trainer, sequence, l);
    for (uint32_t k = 0; k < trainer->parts.count && !status; k++)
        status = record_part(trainer, sequence, &trainer->parts.part[k]);
    if (!status)
        status = record_bias(trainer, sequence);
    struct variance_args variance = {stack->rows, stack->stride};
    if (!status)
        status = LAUNCH(stack, sequence, variance, 1, column_groups(stack, HSAE_KERNEL_variance), variance, stack->x, trainer->squares);
    struct control_args control = {
        stack->levels,
        stack->rows,
        stack->padded,
        stack->slices,
        stack->features,
        stack->stride,
        uses_constraint(trainer) ? (f32)config->rho : 0,
        (f32)(1 - config->sparsity_momentum),
        (f32)config->sparsity_eta,
        (f32)config->sparsity_kappa,
    };
    if (!status)
        status = LAUNCH(stack, sequence, control, 1, stack->levels, control, stack->levels_table, stack->loss, trainer->terms, stack->fired,
                        trainer->squares, stack->starts, trainer->last_fired, stack->control, flight->status);
    return status;
}

/* Ghost buffers and the capacities that the device compares its dead lists with. */
hsae_status hsae_ghost_buffers(hsae_trainer *trainer)
{
    const struct stack *stack = &trainer->stack;
    uint64_t line = stack->stride, word = sizeof(u32);
    hsae_status status = HSAE_OK;
    for (uint32_t l = 0; l < stack->levels && !status; l++) {
        u32 capacity = trainer->ghost_capacity[l];
        status = hsae_buffer_write(stack->levels_table, (l * LEVEL_WORDS + LEVEL_GHOSTS) * word, word, &capacity);
    }
    /* One more vector a row; 16 floats is the widest. */
    if (!status && uses_ghosts(trainer) && !trainer->ghost_rows)
        status = hsae_stack_buffer(stack, "ghost gradient rows", 2 * ghost_chunk(stack) * (line + 16), GROWS_NOT, &trainer->ghost_rows);
    for (uint32_t l = 0; l < stack->levels && !status; l++) {
        if (!trainer->ghost_capacity[l] || trainer->ghost[l])
            continue;
        status = hsae_stack_buffer(stack, "ghost losses", 2 * (uint64_t)stack->padded, GROWS_WITH_BATCH, &trainer->ghost_losses[l]);
        if (!status)
            status = hsae_stack_buffer(stack, "ghost weights", stack->padded, GROWS_WITH_BATCH, &trainer->ghost_weights[l]);
        if (!status)
            status = hsae_stack_buffer(stack, "ghost residual", stack->padded * line, GROWS_WITH_BATCH, &trainer->ghost[l]);
    }
    return status;
}

static hsae_status segment_buffers(hsae_trainer *trainer)
{
    const struct stack *stack = &trainer->stack;
    const uint64_t room = segment_room(stack);
    if (trainer->sums || !uses_segments(stack))
        return HSAE_OK;
    hsae_buffer_destroy(&trainer->owners);
    hsae_status status = hsae_stack_buffer(stack, "owners of segments", room, GROWS_NOT, &trainer->owners);
    return status ? status : hsae_stack_buffer(stack, "sums of segments", 2 * room * stack->stride, GROWS_NOT, &trainer->sums);
}

static hsae_status record_flights(hsae_trainer *trainer)
{
    const struct stack *stack = &trainer->stack;
    hsae_status status = HSAE_OK;
    hsae_step_forget(trainer);
    stack->device->speed_guessed = false;
    for (int f = 0; f < HSAE_IN_FLIGHT && !status; f++) {
        struct flight *flight = &trainer->flight[f];
        status = hsae_sequence_create(stack->device, "training step", trainer->timed || trainer->learning, &flight->sequence);
        if (!status)
            status = hsae_step_record_lists(trainer, flight->sequence, flight);
        if (!status)
            status = hsae_record_decode(stack, flight->sequence, 0, stack->levels);
        if (!status)
            status = record_backward(trainer, flight->sequence, flight);
        if (!status)
            status = hsae_sequence_end(flight->sequence);
    }
    trainer->recorded = !status;
    return status;
}

hsae_status hsae_step_record(hsae_trainer *trainer)
{
    const struct stack *stack = &trainer->stack;
    hsae_step_forget(trainer);
    hsae_status status = hsae_ghost_buffers(trainer);
    if (!status)
        status = segment_buffers(trainer);
    if (status)
        return status;
    hsae_buffer_destroy(&trainer->kin);
    status = hsae_stack_buffer(stack, "constraint scalars", (uint64_t)stack->capacity * KIN_WORDS, GROWS_WITH_BATCH, &trainer->kin);
    trainer->learning = hsae_lesson_wanted(trainer, false);
    if (!status)
        status = record_flights(trainer);
    if (!status && !trainer->learning && hsae_lesson_wanted(trainer, stack->device->speed_guessed)) {
        trainer->learning = true;
        status = record_flights(trainer);
    }
    return status;
}

hsae_status hsae_step_refresh(hsae_trainer *trainer)
{
    return trainer->recorded ? HSAE_OK : hsae_step_record(trainer);
}

hsae_status hsae_step_feed(hsae_trainer *trainer, hsae_dtype dtype)
{
    if (dtype == trainer->dtype)
        return hsae_step_refresh(trainer);
    struct hsae_buffer *raw[HSAE_IN_FLIGHT] = {NULL};
    hsae_status status = hsae_step_settle(trainer, 0);
    for (int f = 0; f < HSAE_IN_FLIGHT && !status; f++)
        status = raw_buffer(&trainer->stack, dtype, &raw[f]);
    if (!status) {
        hsae_step_forget(trainer);
        trainer->dtype = dtype;
    }
    for (int f = 0; f < HSAE_IN_FLIGHT; f++) {
        if (!status) {
            struct hsae_buffer *swap = trainer->flight[f].raw;
            trainer->flight[f].raw = raw[f];
            raw[f] = swap;
        }
        hsae_buffer_destroy(&raw[f]);
    }
    return status ? status : hsae_step_record(trainer);
}

hsae_status hsae_step_clock(hsae_trainer *trainer, struct flight *flight)
{
    const hsae_config *config = &trainer->config;
    u32 clock[CLOCK_WORDS] = {0};
    clock[CLOCK_STEP] = (u32)flight->step;
    clock[CLOCK_SEED_LO] = (u32)config->seed;
    clock[CLOCK_SEED_HI] = (u32)(config->seed >> 32);
    clock[CLOCK_SWAP_BOUND] = (u32)ceil(config->perturb * 16777216.0);
    clock[CLOCK_DEAD_STEPS] = config->dead_steps < UINT32_MAX ? (u32)config->dead_steps : UINT32_MAX;
    clock[CLOCK_RATE] = bits_u32((f32)hsae_step_rate(config, flight->step));
    clock[CLOCK_CORRECTION] = bits_u32((f32)(1 / (1 - pow(config->beta2, (double)flight->step))));
    return hsae_buffer_write(flight->clock, 0, sizeof clock, clock);
}

hsae_status hsae_step_submit(hsae_trainer *trainer, struct flight *flight)
{
    hsae_status status = hsae_step_clock(trainer, flight);
    return status ? status : hsae_sequence_submit(flight->sequence, &flight->ticket);
}

hsae_status hsae_step_mend(hsae_trainer *trainer, const u32 status_words[STATUS_WORDS])
{
    struct stack *stack = &trainer->stack;
    hsae_status status = HSAE_OK;
    if (status_words[STATUS_HALT] & HALT_PAIRS) {
        hsae_log(trainer->context, HSAE_LOG_DEBUG, "step %u lists %u pairs: making room", (unsigned)status_words[STATUS_STEP],
                 (unsigned)status_words[STATUS_PAIRS]);
        hsae_step_forget(trainer);
        status = hsae_stack_grow(stack, status_words[STATUS_PAIRS]);
    }
    if (status_words[STATUS_HALT] & HALT_GHOSTS)
        for (uint32_t l = 0; l < stack->levels; l++) {
            u32 dead = status_words[STATUS_LEVELS + l * STATUS_LEVEL_WORDS + STATUS_DEAD];
            while (trainer->ghost_capacity[l] < dead)
                trainer->ghost_capacity[l] += ghost_chunk(stack);
        }
    if (!status)
        status = hsae_step_record(trainer);
    return status ? status : hsae_stack_clear_halt(stack);
}

/* The flight with the oldest step, or NULL. */
static struct flight *oldest(hsae_trainer *trainer)
{
    struct flight *found = NULL;
    for (int f = 0; f < HSAE_IN_FLIGHT; f++)
        if (trainer->flight[f].ticket && (!found || trainer->flight[f].step < found->step))
            found = &trainer->flight[f];
    return found;
}

static int flying(const hsae_trainer *trainer)
{
    int count = 0;
    for (int f = 0; f < HSAE_IN_FLIGHT; f++)
        count += trainer->flight[f].ticket != 0;
    return count;
}

hsae_status hsae_step_settle(hsae_trainer *trainer, int leave)
{
    hsae_status status = trainer->divergence.step ? hsae_refuse_diverged(trainer) : HSAE_OK;
    for (struct flight *flight; !status && flying(trainer) > leave && (flight = oldest(trainer));) {
        u32 words[STATUS_WORDS];
        if ((status = hsae_device_wait(trainer->stack.device, flight->ticket)) ||
            (status = hsae_buffer_read(flight->status, 0, sizeof words, words)))
            break;
        if (!words[STATUS_HALT]) {
            memcpy(trainer->status, words, sizeof words);
            flight->ticket = 0;
            status = hsae_step_check(trainer, words);
            continue;
        }
        /* This step and those behind it changed nothing. */
        if ((status = hsae_device_wait(trainer->stack.device, 0)) || (status = hsae_step_mend(trainer, words)))
            break;
        uint64_t first = flight->step;
        for (uint64_t step = first; step < first + HSAE_IN_FLIGHT && !status; step++)
            for (int f = 0; f < HSAE_IN_FLIGHT && !status; f++)
                if (trainer->flight[f].ticket && trainer->flight[f].step == step)
                    status = hsae_step_submit(trainer, &trainer->flight[f]);
    }
    return status;
}
