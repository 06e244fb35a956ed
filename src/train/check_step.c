/* SPDX-License-Identifier: MIT */
/* The check of a step as a whole: what is sampled, what runs before the step and after it. */
#include "check.h"

#include "base/context.h"
#include "forward.h"
#include "launch.h"
#include "order.h"
#include "step.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Sampled features of a level: fewer where there are many levels or long rows, so that their sums take little memory. */
enum { MAX_FEATURES = 24, MIN_FEATURES = 6, MAX_GHOSTS = 3 };
static const uint64_t SUM_BYTES = UINT64_C(64) << 20;
/* Multiply-adds that may be spent on the sampled rows' residuals. */
static const double DECODE_WORK = 3e8;
/* Lists may turn out too short, and ghost launches too few, one after the other. */
enum { MAX_MENDS = 8 };

/* What differs may be due to numbers that overflow, which the host's, in double, do not: a step that may have such and whose figures or
 * features are not finite has diverged, and no driver is to blame. `before`: the step is not done yet. */
static hsae_status blame(struct check *check, bool before)
{
    hsae_trainer *trainer = check->trainer;
    hsae_status status = HSAE_OK;
    if (hsae_may_overflow(trainer, check->frame->step)) {
        if (before)
            status = hsae_step_submit(trainer, check->frame);
        if (!status)
            status = hsae_step_drain(trainer, 0);
        if (!status)
            status = hsae_scalars_check(trainer, check->frame->step);
    }
    return status ? status : hsae_fail_wrong(trainer->device_model.device, "%s", check->failure);
}

/* Everything that has a word or some for each feature or list. */
static hsae_status read_arrays(struct check *check)
{
    const hsae_trainer *trainer = check->trainer;
    const struct device_model *device_model = &trainer->device_model;
    const uint64_t n = device_model->features;
    const struct {
        struct hsae_buffer *buffer;
        uint64_t words;
        void *out;
    } wanted[] = {
        {device_model->feature_scalars, n * SCALAR_WORDS, &check->feature_scalars},
        {device_model->tree, n * TREE_WORDS, &check->tree},
        {device_model->flags, n, &check->flags},
        {device_model->decoder_rows, n + device_model->free_rows, &check->decoder_rows},
        {trainer->last_fired, n, &check->last_fired},
        {device_model->step_state, STATE_WORDS(n), &check->step_state},
        {device_model->starts, n + 1, &check->starts},
        {device_model->sample_starts, (uint64_t)device_model->levels * device_model->batch + 1, &check->sample_starts},
        {device_model->active_count, n, &check->active_count},
        {device_model->bias, (uint64_t)device_model->levels * device_model->stride, &check->bias},
        {trainer->bias_v, (uint64_t)device_model->levels * device_model->stride, &check->bias_v},
    };
    hsae_status status =
        hsae_buffer_read(device_model->level_info, 0, (device_model->levels + 1) * LEVEL_WORDS * sizeof(u32), check->level_info);
    if (!status)
        status = hsae_buffer_read(check->frame->step_params, 0, sizeof check->step_params, check->step_params);
    for (size_t k = 0; k < sizeof wanted / sizeof *wanted && !status; k++)
        status = hsae_check_words(check, wanted[k].buffer, 0, wanted[k].words, wanted[k].out);
    return status;
}

/* ---- sampling: fixed by seed and step ---- */

struct draw {
    uint64_t seed;
    u32 counter[4];
};

/* Below `limit`, > 0. */
static u32 draw(struct draw *from, u32 limit)
{
    u32 words[4];
    from->counter[0]++;
    hsae_philox(from->seed, from->counter, words);
    return (u32)((uint64_t)words[0] * limit >> 32);
}

static int compare(const void *a, const void *b)
{
    u32 x = *(const u32 *)a, y = *(const u32 *)b;
    return (x > y) - (x < y);
}

/* Sorts, and drops what is there twice. */
static u32 sort_unique(u32 *list, u32 count)
{
    u32 kept = 0;
    qsort(list, count, sizeof *list, compare);
    for (u32 k = 0; k < count; k++)
        if (!kept || list[k] != list[kept - 1])
            list[kept++] = list[k];
    return kept;
}

/* Both ends, both sides of a bitmap word's end, and others; fewer where lists are long. */
static void sample_rows(struct check *check, struct draw *from)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 rows = device_model->batch, fixed[] = {0, rows - 1, 31 < rows ? 31 : 0, 32 < rows ? 32 : 0};
    const double work = ((double)check->starts[device_model->features] / rows + device_model->levels) * device_model->dim;
    u32 count = 0, most = work * CHECK_ROWS <= DECODE_WORK ? CHECK_ROWS : work * 3 <= DECODE_WORK ? (u32)(DECODE_WORK / work) : 3;
    for (; count < most; count++)
        check->rows[count] = count < sizeof fixed / sizeof *fixed ? fixed[count] : draw(from, rows);
    check->row_count = sort_unique(check->rows, count);
}

/* The feature that has a pair. */
static u32 owner(const u32 *starts, u32 first, u32 end, u32 pair)
{
    while (end - first > 1) {
        u32 middle = first + (end - first) / 2;
        if (starts[middle] <= pair)
            first = middle;
        else
            end = middle;
    }
    return first;
}

static u32 features_of_level(const struct device_model *device_model)
{
    uint64_t fit = SUM_BYTES / (device_model->levels * (uint64_t)device_model->dim * (9 * sizeof(double)));
    return fit > MAX_FEATURES ? MAX_FEATURES : fit < MIN_FEATURES ? MIN_FEATURES : (u32)fit;
}

/* The ends of a level and of what launches and buffers are cut by, features with the most pairs, with few and with none, dead ones, and
 * others: up to `most`, sorted. */
static u32 sample_level(const struct check *check, struct draw *from, u32 level, u32 most, u32 *list)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 first = device_model->first[level], end = device_model->first[level + 1], *starts = check->starts;
    u32 count = 0, longest = first, shortest = NONE, idle = NONE;
    for (u32 i = first; i < end; i++) {
        u32 pairs = starts[i + 1] - starts[i];
        longest = pairs > starts[longest + 1] - starts[longest] ? i : longest;
        if (pairs && (shortest == NONE || pairs < starts[shortest + 1] - starts[shortest]))
            shortest = i;
        if (!pairs && (idle == NONE || draw(from, 4) == 0))
            idle = i;
    }
    const u32 dead = check->step_state[STATE_LEVELS + level * STATE_LEVEL_WORDS + STATE_DEAD];
    const u32 *dead_list = check->step_state + STATE_DEAD_LIST + first;
    const u32 wanted[] = {first,
                          end - 1,
                          longest,
                          shortest,
                          idle,
                          dead ? dead_list[0] : NONE,
                          dead ? dead_list[dead - 1] : NONE,
                          first / device_model->range_rows * device_model->range_rows + device_model->range_rows,
                          (end - 1) / device_model->chunk * device_model->chunk,
                          (end - 1) / device_model->chunk * device_model->chunk - 1};
    for (size_t k = 0; k < sizeof wanted / sizeof *wanted && count < most; k++)
        if (wanted[k] != NONE && wanted[k] >= first && wanted[k] < end)
            list[count++] = wanted[k];
    while (count < most) {
        u32 pairs = starts[end] - starts[first];
        list[count] = count % 2 && pairs ? owner(starts, first, end, starts[first] + draw(from, pairs)) : first + draw(from, end - first);
        count++;
    }
    return sort_unique(list, count);
}

/* Parent, siblings and children of a feature whose part of the constraint is checked. */
static hsae_status list_relatives(struct check *check, struct check_feature *feature)
{
    const u32 *tree = check->tree, *node = tree + (size_t)feature->index * TREE_WORDS, parent = node[TREE_PARENT];
    const u32 *above = parent != NONE ? tree + (size_t)parent * TREE_WORDS : NULL;
    uint64_t count = (uint64_t)node[TREE_CHILD_COUNT] + (above ? above[TREE_CHILD_COUNT] : 0);
    if (!hsae_uses_constraint(check->trainer) || count == 0)
        return HSAE_OK;
    feature->crowded = count > CHECK_RELATIVES;
    if (feature->crowded)
        return HSAE_OK;
    feature->relatives = hsae_check_alloc(check, count, sizeof *feature->relatives);
    if (!feature->relatives)
        return HSAE_ERROR_MEMORY;
    if (above)
        feature->relatives[feature->relative_count++].index = parent;
    for (u32 k = 0; above && k < above[TREE_CHILD_COUNT]; k++) {
        u32 sibling = tree[(size_t)(above[TREE_CHILD_FIRST] + k) * TREE_WORDS + TREE_AT_RANK];
        if (sibling != feature->index)
            feature->relatives[feature->relative_count++].index = sibling;
    }
    feature->children = feature->relative_count;
    for (u32 k = 0; k < node[TREE_CHILD_COUNT]; k++)
        feature->relatives[feature->relative_count++].index = tree[(size_t)(node[TREE_CHILD_FIRST] + k) * TREE_WORDS + TREE_AT_RANK];
    return HSAE_OK;
}

/* The rows of D of all sampled features' relatives. */
static hsae_status read_relatives(struct check *check)
{
    const size_t dim = check->trainer->device_model.dim;
    uint64_t count = 0;
    hsae_status status = HSAE_OK;
    for (u32 k = 0; k < check->feature_count && !status; k++) {
        status = list_relatives(check, &check->features[k]);
        count += check->features[k].relative_count;
    }
    u32 *rows = status ? NULL : hsae_check_alloc(check, count, sizeof *rows), at = 0;
    if (!rows)
        return HSAE_ERROR_MEMORY;
    for (u32 k = 0; k < check->feature_count; k++)
        for (u32 r = 0; r < check->features[k].relative_count; r++)
            rows[at++] = FLAG_ROW(check->flags[check->features[k].relatives[r].index]);
    at = sort_unique(rows, at);
    f32 *decoder = hsae_check_alloc(check, at * dim, sizeof *decoder);
    status = decoder ? hsae_check_rows(check, &check->trainer->device_model.decoder, rows, at, decoder) : HSAE_ERROR_MEMORY;
    for (u32 k = 0; k < check->feature_count && !status; k++)
        for (u32 r = 0; r < check->features[k].relative_count; r++) {
            struct check_relative *relative = &check->features[k].relatives[r];
            const u32 row = FLAG_ROW(check->flags[relative->index]), *place = bsearch(&row, rows, at, sizeof row, compare);
            relative->decoder = decoder + (size_t)(place - rows) * dim;
            relative->dot = hsae_check_dot(check->features[k].decoder, relative->decoder, (u32)dim);
        }
    return status;
}

/* Sums for the ghost gradients of a level's first few dead features. */
static hsae_status make_ghost(struct check *check, struct check_feature *feature, u32 *ghosts)
{
    const u32 dim = check->trainer->device_model.dim;
    if (!hsae_check_has_ghosts(check, feature->level) || !(feature->flag & FLAG_DEAD) || ghosts[feature->level]++ >= MAX_GHOSTS)
        return HSAE_OK;
    struct check_ghost *ghost = hsae_check_alloc(check, 1, sizeof *ghost);
    struct sum *sums = hsae_check_alloc(check, 2 * (uint64_t)dim, sizeof *sums);
    if (!ghost || !sums)
        return HSAE_ERROR_MEMORY;
    ghost->decoder = sums;
    ghost->encoder = sums + dim;
    feature->ghost = ghost;
    return HSAE_OK;
}

static hsae_status read_feature(struct check *check, struct check_feature *feature)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 dim = device_model->dim;
    feature->flag = check->flags[feature->index];
    feature->begin = check->starts[feature->index];
    feature->end = check->starts[feature->index + 1];
    feature->encoder_norm = sqrt(hsae_check_dot(feature->encoder, feature->encoder, dim));
    feature->decoder_norm = sqrt(hsae_check_dot(feature->decoder, feature->decoder, dim));
    double *sums = hsae_check_alloc(check, 5 * (uint64_t)dim, sizeof *sums);
    if (!sums)
        return HSAE_ERROR_MEMORY;
    feature->decoder_sum = sums;
    feature->decoder_scale = sums + dim;
    feature->encoder_sum = sums + 2 * (size_t)dim;
    feature->encoder_scale = sums + 3 * (size_t)dim;
    feature->encoder_carried = sums + 4 * (size_t)dim;
    return hsae_check_part(check, &check->pairs, 2 * (uint64_t)feature->begin, 2 * (uint64_t)(feature->end - feature->begin),
                           &feature->pairs);
}

/* Chooses features and reads them. */
static hsae_status sample_features(struct check *check, struct draw *from)
{
    const hsae_trainer *trainer = check->trainer;
    const struct device_model *device_model = &trainer->device_model;
    const u32 most = features_of_level(device_model);
    check->features = hsae_check_alloc(check, (uint64_t)most * device_model->levels, sizeof *check->features);
    if (!check->features)
        return HSAE_ERROR_MEMORY;
    for (u32 l = 0; l < device_model->levels; l++) {
        u32 list[MAX_FEATURES], count = sample_level(check, from, l, most, list);
        for (u32 k = 0; k < count; k++)
            check->features[check->feature_count++] = (struct check_feature){.index = list[k], .level = l};
    }
    f32 *encoder, *encoder_v, *decoder, *decoder_v;
    hsae_status status = hsae_check_tensor(check, &device_model->encoder, NULL, &encoder);
    if (!status)
        status = hsae_check_tensor(check, &trainer->encoder_v, NULL, &encoder_v);
    if (!status)
        status = hsae_check_tensor(check, &device_model->decoder, check->decoder_rows, &decoder);
    if (!status)
        status = hsae_check_tensor(check, &trainer->decoder_v, NULL, &decoder_v);
    u32 ghosts[HSAE_MAX_LEVELS] = {0};
    for (u32 k = 0; k < check->feature_count && !status; k++) {
        struct check_feature *feature = &check->features[k];
        const size_t at = (size_t)k * device_model->dim;
        feature->encoder = encoder + at;
        feature->encoder_v = encoder_v + at;
        feature->decoder = decoder + at;
        feature->decoder_v = decoder_v + at;
        status = read_feature(check, feature);
        if (!status)
            status = make_ghost(check, feature, ghosts);
    }
    return status ? status : read_relatives(check);
}

/* ---- the check ---- */

/* The forward pass up to its lists, for the step that comes; it is repeated with more room where it halts. */
static hsae_status make_lists(hsae_trainer *trainer, struct frame *frame)
{
    const struct device_model *device_model = &trainer->device_model;
    for (int mends = 0; mends < MAX_MENDS; mends++) {
        struct hsae_sequence *sequence = NULL;
        u32 step_state[STATE_DEAD_LIST];
        hsae_status status = hsae_write_step_params(trainer, frame);
        if (!status)
            status = hsae_sequence_create(device_model->device, "check of a step", false, &sequence);
        if (!status) {
            hsae_record_step_lists(trainer, sequence, frame);
            status = hsae_device_model_run_once(device_model, &sequence);
        }
        if (!status)
            status = hsae_buffer_read(device_model->step_state, 0, sizeof step_state, step_state);
        if (status || !step_state[STATE_HALT])
            return status;
        u32 words[REPORT_WORDS] = {0};
        words[REPORT_STEP] = (u32)frame->step;
        words[REPORT_HALT] = step_state[STATE_HALT];
        words[REPORT_PAIRS] = step_state[STATE_PAIRS];
        for (u32 l = 0; l < device_model->levels; l++)
            words[REPORT_LEVELS + l * REPORT_LEVEL_WORDS + REPORT_DEAD] = step_state[STATE_LEVELS + l * STATE_LEVEL_WORDS + STATE_DEAD];
        status = hsae_step_grow(trainer, words);
        if (status)
            return status;
    }
    return hsae_fail_wrong(device_model->device, "its lists are too short however long they are made");
}

static hsae_status make_residuals(const hsae_trainer *trainer)
{
    const struct device_model *device_model = &trainer->device_model;
    struct hsae_sequence *sequence = NULL;
    hsae_status status = hsae_sequence_create(device_model->device, "check of a step", false, &sequence);
    if (status)
        return status;
    hsae_record_decode(device_model, sequence, 0, device_model->levels);
    return hsae_device_model_run_once(device_model, &sequence);
}

static hsae_status check_forward(struct check *check)
{
    struct draw from = {check->trainer->config.seed, {0, (u32)check->frame->step, 0, UINT32_C(0xc4ec)}};
    hsae_status status = read_arrays(check);
    if (!status)
        status = hsae_check_flags(check);
    if (!status)
        status = hsae_check_looks(check);
    if (!status)
        status = hsae_check_starts(check);
    if (!status) {
        hsae_check_open_lists(check);
        sample_rows(check, &from);
        status = hsae_check_lists(check);
    }
    if (!status)
        status = sample_features(check, &from);
    if (!status)
        status = hsae_check_history(check);
    if (!status)
        status = hsae_check_encode(check);
    if (!status)
        status = make_residuals(check->trainer);
    if (!status)
        status = hsae_check_decode(check);
    return status || check->diverged ? status : hsae_check_expect_ghosts(check);
}

/* Dead features that the recorded step serves. */
static uint64_t served_ghosts(const hsae_trainer *trainer)
{
    uint64_t served = 0;
    for (u32 l = 0; l < trainer->device_model.levels; l++)
        served += trainer->ghost_capacity[l];
    return served;
}

bool hsae_check_due(const hsae_trainer *trainer)
{
    const struct checked *last = &trainer->checked;
    return trainer->checks && (!last->steps || (!last->calibrated && trainer->calibration.calibrated) ||
                               (!last->tree && trainer->has_tree) || (trainer->ghost_rows && served_ghosts(trainer) >= 2 * last->ghosts));
}

hsae_status hsae_check_before(hsae_trainer *trainer, struct frame *frame, struct check **out)
{
    const struct device_model *device_model = &trainer->device_model;
    struct check *check = *out = calloc(1, sizeof *check);
    if (!check)
        return hsae_fail(trainer->context, HSAE_ERROR_MEMORY, "out of memory for the check of a step");
    check->seconds = -hsae_os_seconds();
    check->trainer = trainer;
    check->frame = frame;
    uint64_t rows = CHECK_BLOCK_BYTES / (device_model->stride * sizeof(f32)) / 32 * 32;
    check->block_rows = rows < 32 ? 32 : rows < device_model->padded ? (u32)rows : device_model->padded;
    check->failure = hsae_check_alloc(check, CHECK_FAILURE_BYTES, 1);
    hsae_status status = check->failure ? make_lists(trainer, frame) : HSAE_ERROR_MEMORY;
    if (!status)
        status = check_forward(check);
    if (status == HSAE_ERROR_DRIVER && *check->failure)
        status = blame(check, true);
    trainer->wrong |= status == HSAE_ERROR_DRIVER;
    check->seconds += hsae_os_seconds();
    return status;
}

hsae_status hsae_check_after(struct check *check)
{
    hsae_trainer *trainer = check->trainer;
    if (check->diverged)
        return HSAE_OK;
    check->seconds -= hsae_os_seconds();
    hsae_status status = hsae_check_update(check);
    if (status == HSAE_ERROR_DRIVER)
        status = blame(check, false);
    trainer->wrong |= status == HSAE_ERROR_DRIVER;
    check->seconds += hsae_os_seconds();
    if (status)
        return status;
    struct checked *last = &trainer->checked;
    *last = (struct checked){last->steps + 1, trainer->calibration.calibrated, last->tree || trainer->has_tree, served_ghosts(trainer),
                             last->links};
    hsae_log(trainer->context, HSAE_LOG_INFO, "step %" PRIu64 " is as the reference device makes it (checked in %.3f s)",
             check->frame->step, check->seconds);
    return HSAE_OK;
}
