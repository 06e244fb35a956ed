/* SPDX-License-Identifier: MIT */
/* The forward pass up to its lists: batch, flags, dead lists, pre-activations, pairs by feature and by sample. What is made of whole
 * numbers is compared whole, and every index is known to be in its place before anything is looked up by it. */
#include "check.h"

#include "base/context.h"
#include "ref/ref.h"
#include <stdlib.h>
#include <string.h>

/* Multiply-adds that may be spent on pre-activations: with more, not all rows are looked at. */
static const double ENCODE_WORK = 3e8;
/* Of the pairs that are read at a time. */
enum { PAIR_BLOCK = 1 << 18 };

/* ---- whole numbers ---- */

/* The host's own words, come back. */
static hsae_status check_tree(const struct check *check)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 n = device_model->features, rows = n + device_model->free_rows;
    bool good = true;
    for (u32 i = 0; i < n && good; i++) {
        const u32 *node = check->tree + (size_t)i * TREE_WORDS;
        good = (node[TREE_PARENT] == NONE || node[TREE_PARENT] < n) && node[TREE_RANK] < n && node[TREE_AT_RANK] < n &&
               (uint64_t)node[TREE_CHILD_COUNT] + (node[TREE_CHILD_COUNT] ? node[TREE_CHILD_FIRST] : 0) <= n;
    }
    for (u32 row = 0; row < rows && good; row++)
        good = check->decoder_rows[row] < rows;
    return good ? HSAE_OK
                : hsae_check_fail(check, "a copy from the device", "the tree, or where rows of the decoder are, is not what was written");
}

/* Dead lists: the features whose flags say so, ascending. */
static hsae_status check_dead(const struct check *check)
{
    const struct device_model *device_model = &check->trainer->device_model;
    for (u32 l = 0; l < device_model->levels; l++) {
        u32 dead = 0, told = check->step_state[STATE_LEVELS + l * STATE_LEVEL_WORDS + STATE_DEAD];
        bool good = true;
        for (u32 i = device_model->first[l]; i < device_model->first[l + 1]; i++)
            if (check->flags[i] & FLAG_DEAD)
                good &= check->step_state[STATE_DEAD_LIST + device_model->first[l] + dead++] == i;
        if (!good || dead != told)
            return hsae_check_fail(check, "kernel prepare", "level %u has %u dead features, it lists %u", l, dead, told);
    }
    if (check->step_state[STATE_STEP] != check->step_params[PARAM_STEP] ||
        check->step_state[STATE_RATE] != check->step_params[PARAM_RATE] ||
        check->step_state[STATE_CORRECTION] != check->step_params[PARAM_CORRECTION])
        return hsae_check_fail(check, "kernel prepare", "it works on step %u, not %u, or at another rate", check->step_state[STATE_STEP],
                               check->step_params[PARAM_STEP]);
    return HSAE_OK;
}

hsae_status hsae_check_flags(struct check *check)
{
    const struct device_model *device_model = &check->trainer->device_model;
    u32 *flags = hsae_check_alloc(check, device_model->features, sizeof *flags);
    const struct feature_flags_args args = {device_model->features, device_model->levels};
    hsae_status status = flags ? check_tree(check) : HSAE_ERROR_MEMORY;
    if (status)
        return status;
    const struct hsae_feature_flags_memory memory = {.step_params = check->step_params,
                                                     .level_info = check->level_info,
                                                     .tree = check->tree,
                                                     .last_fired = check->last_fired,
                                                     .decoder_rows = check->decoder_rows,
                                                     .flags = flags};
    hsae_ref_feature_flags(&memory, &args);
    for (u32 i = 0; i < device_model->features; i++)
        if (flags[i] != check->flags[i])
            return hsae_check_fail(check, "kernel feature_flags", "feature %u of all has flags %#x, not %#x", i, check->flags[i], flags[i]);
    return check_dead(check);
}

/* Starts of `count` lists. */
static hsae_status check_starts(const struct check *check, const char *kernel, const u32 *starts, uint64_t count, u32 longest)
{
    bool good = starts[0] == 0 && starts[count] <= check->trainer->device_model.capacity;
    for (uint64_t k = 0; k < count && good; k++)
        good = starts[k] <= starts[k + 1] && starts[k + 1] - starts[k] <= longest;
    return good ? HSAE_OK : hsae_check_fail(check, kernel, "the starts of its lists are not in order");
}

/* ---- lists ---- */

/* A pair of a sampled row, as the lists by feature have it. */
struct entry {
    u32 list, rank, feature, act, position;
};

static int by_rank(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->list != y->list)
        return x->list < y->list ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* A walk through all pairs. */
struct walk {
    struct check *check;
    u32 *slots;            /* [B]: of a sampled row its number + 1 */
    struct entry *entries; /* room for as many as the sampled rows' lists have */
    uint64_t count, room;
    u32 feature, level, last; /* whose pairs come; sample of the last one + 1, 0 before the first */
    u32 active;
};

/* Ends features whose pairs are over before `position`. */
static hsae_status finish_features(struct walk *walk, uint64_t position)
{
    const struct check *check = walk->check;
    const struct device_model *device_model = &check->trainer->device_model;
    while (walk->feature < device_model->features && check->starts[walk->feature + 1] <= position) {
        if (check->active_count[walk->feature] != walk->active)
            return hsae_check_fail(check, "kernel lists_fill", "feature %u of level %u is active on %u rows, it counts %u",
                                   walk->feature - device_model->first[walk->level], walk->level, walk->active,
                                   check->active_count[walk->feature]);
        walk->feature++;
        walk->active = walk->last = 0;
        while (walk->level + 1 < device_model->levels && walk->feature >= device_model->first[walk->level + 1])
            walk->level++;
    }
    return HSAE_OK;
}

static hsae_status walk_pair(struct walk *walk, uint64_t position, const u32 *pair)
{
    const struct check *check = walk->check;
    const struct device_model *device_model = &check->trainer->device_model;
    hsae_status status = finish_features(walk, position);
    if (status)
        return status;
    const u32 *scalars = check->feature_scalars + (size_t)walk->feature * SCALAR_WORDS, sample = pair[0];
    const f32 value = bits_f32(pair[1]);
    if (sample >= device_model->batch || sample < walk->last || !(value > bits_f32(scalars[SCALAR_CUT])))
        return hsae_check_fail(check, "kernel lists_fill", "pair %u of feature %u of level %u is row %u with pre-activation %g",
                               (u32)(position - check->starts[walk->feature]), walk->feature - device_model->first[walk->level],
                               walk->level, sample, value);
    walk->last = sample + 1;
    bool active = value > bits_f32(scalars[SCALAR_THRESHOLD]);
    walk->active += active;
    if (!walk->slots[sample])
        return HSAE_OK;
    if (walk->count == walk->room)
        return hsae_check_fail(check, "kernel samples_count", "its lists by row are shorter than those by feature");
    walk->entries[walk->count++] = (struct entry){.list = (walk->slots[sample] - 1) * device_model->levels + walk->level,
                                                  .rank = check->tree[(size_t)walk->feature * TREE_WORDS + TREE_RANK],
                                                  .feature = walk->feature,
                                                  .act = active ? pair[1] : 0,
                                                  .position = (u32)position};
    return HSAE_OK;
}

static hsae_status walk_pairs(struct walk *walk)
{
    const struct check *check = walk->check;
    const struct device_model *device_model = &check->trainer->device_model;
    const uint64_t total = check->starts[device_model->features];
    u32 *pairs = malloc(PAIR_BLOCK * 2 * sizeof *pairs);
    hsae_status status = pairs ? HSAE_OK : hsae_fail_memory(check->trainer->context, PAIR_BLOCK * 2 * sizeof *pairs, NULL, "pairs");
    for (uint64_t first = 0, count; first < total && !status; first += count) {
        count = total - first < PAIR_BLOCK ? total - first : PAIR_BLOCK;
        status = hsae_buffer_read(device_model->pairs, first * 2 * sizeof *pairs, count * 2 * sizeof *pairs, pairs);
        for (uint64_t k = 0; k < count && !status; k++)
            status = walk_pair(walk, first + k, pairs + 2 * k);
    }
    free(pairs);
    return status ? status : finish_features(walk, total);
}

/* A sampled row's list of a level against the entries found, from *at on. */
static hsae_status compare_list(struct check *check, const struct walk *walk, u32 list, uint64_t *at)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 row = check->rows[list / device_model->levels], level = list % device_model->levels;
    const u32 *starts = check->sample_starts + (size_t)level * device_model->batch + row;
    struct check_list *own = &check->lists[list];
    u32 *positions;
    own->count = starts[1] - starts[0];
    hsae_status status = hsae_check_part(check, &check->samples, 2 * (uint64_t)starts[0], 2 * (uint64_t)own->count, &own->entries);
    if (!status)
        status = hsae_check_part(check, &check->positions, starts[0], own->count, &positions);
    for (u32 k = 0; k < own->count && !status; k++, (*at)++) {
        const struct entry *entry = *at < walk->count ? &walk->entries[*at] : NULL;
        if (!entry || entry->list != list || own->entries[2 * k] != entry->feature || own->entries[2 * k + 1] != entry->act ||
            positions[k] != entry->position)
            status = hsae_check_fail(check, "kernel samples_fill",
                                     "entry %u of row %u's list of level %u is not what the lists by feature say", k, row, level);
    }
    return status;
}

hsae_status hsae_check_lists(struct check *check)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 lists = check->row_count * device_model->levels;
    struct walk walk = {.check = check};
    for (u32 list = 0; list < lists; list++) {
        const u32 *starts =
            check->sample_starts + (size_t)(list % device_model->levels) * device_model->batch + check->rows[list / device_model->levels];
        walk.room += starts[1] - starts[0];
    }
    walk.slots = hsae_check_alloc(check, device_model->batch, sizeof *walk.slots);
    walk.entries = hsae_check_alloc(check, walk.room, sizeof *walk.entries);
    check->lists = hsae_check_alloc(check, lists, sizeof *check->lists);
    if (!walk.slots || !walk.entries || !check->lists)
        return HSAE_ERROR_MEMORY;
    for (u32 k = 0; k < check->row_count; k++)
        walk.slots[check->rows[k]] = k + 1;
    hsae_status status = walk_pairs(&walk);
    if (status)
        return status;
    qsort(walk.entries, walk.count, sizeof *walk.entries, by_rank);
    uint64_t at = 0;
    for (u32 list = 0; list < lists && !status; list++)
        status = compare_list(check, &walk, list, &at);
    return status || at == walk.count ? status : hsae_check_fail(check, "kernel samples_count", "its lists by row lack entries");
}

hsae_status hsae_check_history(struct check *check)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 words = device_model->words, slot = (check->step_params[PARAM_STEP] - 1) % HSAE_ACTIVITY_STEPS;
    if (hsae_buffer_size(device_model->history) <= 64) /* none is kept */
        return HSAE_OK;
    u32 *wanted = hsae_check_alloc(check, words, sizeof *wanted), *found;
    hsae_status status = wanted ? HSAE_OK : HSAE_ERROR_MEMORY;
    for (u32 k = 0; k < check->feature_count && !status; k++) {
        const struct check_feature *feature = &check->features[k];
        const u32 threshold = check->feature_scalars[(size_t)feature->index * SCALAR_WORDS + SCALAR_THRESHOLD];
        status = hsae_check_words(check, device_model->history, ((uint64_t)slot * device_model->features + feature->index) * words, words,
                                  &found);
        memset(wanted, 0, words * sizeof *wanted);
        for (u32 pair = 0; pair < feature->end - feature->begin; pair++)
            if (bits_f32(feature->pairs[2 * pair + 1]) > bits_f32(threshold))
                wanted[feature->pairs[2 * pair] / 32] |= 1u << feature->pairs[2 * pair] % 32;
        if (!status && memcmp(found, wanted, words * sizeof *wanted) != 0)
            status = hsae_check_fail(check, "kernel lists_fill", "the history of feature %u of level %u is not what its pairs say",
                                     feature->index - device_model->first[feature->level], feature->level);
    }
    return status;
}

hsae_status hsae_check_starts(struct check *check)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const uint64_t lists = (uint64_t)device_model->levels * device_model->batch;
    hsae_status status =
        check_starts(check, "kernel scan of the lists by feature", check->starts, device_model->features, device_model->batch);
    if (!status)
        status = check_starts(check, "kernel scan of the lists by row", check->sample_starts, lists, device_model->features);
    for (u32 l = 0; l < device_model->levels && !status; l++)
        if (check->sample_starts[(size_t)(l + 1) * device_model->batch] != check->starts[device_model->first[l + 1]])
            status =
                hsae_check_fail(check, "kernel samples_count", "level %u has %u pairs in all by row, %u by feature up to it", l,
                                check->sample_starts[(size_t)(l + 1) * device_model->batch], check->starts[device_model->first[l + 1]]);
    return status;
}

/* ---- the batch and its pre-activations ---- */

/* A block of the batch, and what the reference makes of the raw rows. */
struct block {
    u32 first, rows, padded;
    u32 *raw;
    f32 *x, *wanted; /* [rows][d]; [padded][stride] */
    f32 *norms;
    f32 *mean; /* [stride] */
    double *sizes;
};

static hsae_status read_block(const struct check *check, struct block *block, u32 format, u32 item)
{
    const hsae_trainer *trainer = check->trainer;
    const struct device_model *device_model = &trainer->device_model;
    uint64_t line = (uint64_t)device_model->dim * item;
    hsae_status status = hsae_buffer_read(check->frame->raw, block->first * line, (block->rows * line + 3) / 4 * 4, block->raw);
    if (!status)
        status = hsae_rows_read(device_model, device_model->x, block->first, block->rows, block->x);
    const struct load_args args = {block->rows, block->padded, device_model->dim, device_model->stride, format, trainer->scale, 0};
    const struct hsae_load_memory memory = {.raw = block->raw, .mean = block->mean, .x = block->wanted, .norms = block->norms};
    if (!status)
        hsae_ref_load(&memory, &args);
    return status;
}

static hsae_status check_load(const struct check *check, struct block *block)
{
    const struct device_model *device_model = &check->trainer->device_model;
    for (u32 r = 0; r < block->rows; r++) {
        const f32 *found = block->x + (size_t)r * device_model->dim, *wanted = block->wanted + (size_t)r * device_model->stride;
        for (u32 c = 0; c < device_model->dim; c++)
            if (!hsae_check_near(found[c], (struct estimate){wanted[c], bound_ulps(2, wanted[c])}))
                return hsae_check_fail(check, "kernel load", "column %u of row %u of the batch is %.7g, not %.7g", c, block->first + r,
                                       found[c], wanted[c]);
        block->sizes[r] = sqrt(hsae_check_dot(found, found, device_model->dim));
    }
    return HSAE_OK;
}

/* Spread evenly, without a step that a work-group's size could have. */
static bool looked_at(u32 row, u32 rows, double share)
{
    return row == 0 || row + 1 == rows || (double)(row * UINT32_C(2654435769)) < share * 4294967296.0;
}

static hsae_status check_pair(const struct check *check, const struct check_feature *feature, u32 row, const u32 *pair, struct estimate p)
{
    const u32 *scalars = check->feature_scalars + (size_t)feature->index * SCALAR_WORDS;
    const char *kernel = check->trainer->device_model.screens == 8 ? "kernel screen8"
                         : check->trainer->device_model.screens    ? "kernel screen"
                                                                   : "kernel encode";
    const u32 index = feature->index - check->trainer->device_model.first[feature->level];
    if (pair && !hsae_check_near(bits_f32(pair[1]), p))
        return hsae_check_fail(check, kernel, "the pre-activation of feature %u of level %u on row %u is %.7g, not %.7g", index,
                               feature->level, row, bits_f32(pair[1]), p.value);
    if (!pair && p.value - p.off > bits_f32(scalars[SCALAR_CUT]))
        return hsae_check_fail(check, kernel, "feature %u of level %u lacks row %u, on which its pre-activation is %.7g, above %.7g", index,
                               feature->level, row, p.value, bits_f32(scalars[SCALAR_CUT]));
    return HSAE_OK;
}

/* The sampled features on the block's rows. */
static hsae_status check_encoded(struct check *check, const struct block *block, double share)
{
    const struct device_model *device_model = &check->trainer->device_model;
    hsae_status status = HSAE_OK;
    for (u32 k = 0; k < check->feature_count && !status; k++) {
        struct check_feature *feature = &check->features[k];
        const double bias = bits_f32(check->feature_scalars[(size_t)feature->index * SCALAR_WORDS + SCALAR_BIAS]);
        for (u32 r = 0; r < block->rows && !status; r++) {
            const u32 row = block->first + r, *pair = feature->pairs + 2 * (size_t)feature->next;
            bool listed = feature->next < feature->end - feature->begin && pair[0] == row;
            feature->next += listed;
            if (!looked_at(row, device_model->batch, share))
                continue;
            double p = bias + hsae_check_dot(feature->encoder, block->x + (size_t)r * device_model->dim, device_model->dim);
            double off = bound_sum(device_model->dim + 1, feature->encoder_norm * block->sizes[r] + fabs(bias));
            status = check_pair(check, feature, row, listed ? pair : NULL, (struct estimate){p, off});
        }
    }
    return status;
}

/* The norms' sum is what the first lambda comes from. */
static hsae_status check_norms(struct check *check, double wanted)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const uint64_t count = (uint64_t)device_model->words * LOAD_BLOCKS(device_model->stride);
    f32 *norms;
    double found = 0;
    hsae_status status = hsae_check_words(check, device_model->norms, 0, count, &norms);
    for (uint64_t k = 0; k < count && !status; k++)
        found += norms[k];
    struct estimate sum = {wanted, 2 * bound_sum(32 * LOAD_COLUMNS, wanted)};
    if (!status && !hsae_check_near(found, sum))
        status = hsae_check_off(check, "kernel load", "the batch's |x|^2", found, sum);
    return status;
}

hsae_status hsae_check_looks(struct check *check)
{
    hsae_trainer *trainer = check->trainer;
    const struct device_model *device_model = &trainer->device_model;
    const struct first_looks *looks = trainer->looks;
    if (!looks || check->step_params[PARAM_STEP] != 1)
        return HSAE_OK;
    f32 *row = hsae_check_alloc(check, device_model->dim, sizeof *row);
    hsae_status status = row ? HSAE_OK : HSAE_ERROR_MEMORY;
    for (u32 k = 0; k < MAX_LOOKS && k < looks->count && !status; k++) {
        status = hsae_check_rows(check, &device_model->encoder, &looks->features[k], 1, row);
        for (u32 end = 0; end < 2 && !status; end++) {
            const f32 *x = looks->x + (size_t)end * device_model->dim;
            double scale = sqrt(hsae_check_dot(row, row, device_model->dim) * hsae_check_dot(x, x, device_model->dim));
            struct estimate p = {hsae_check_dot(row, x, device_model->dim), bound_sum(device_model->dim, scale)};
            if (!hsae_check_near(looks->values[k][end], p))
                status = hsae_check_off(check, "kernel encode, of the first thresholds,", "a pre-activation", looks->values[k][end], p);
        }
    }
    free(trainer->looks);
    trainer->looks = NULL;
    return status;
}

hsae_status hsae_check_encode(struct check *check)
{
    const hsae_trainer *trainer = check->trainer;
    const struct device_model *device_model = &trainer->device_model;
    const u32 most = check->block_rows, item = trainer->dtype == HSAE_DTYPE_F32 ? 4 : 2;
    const u32 format = trainer->dtype == HSAE_DTYPE_F16 ? FORMAT_F16 : trainer->dtype == HSAE_DTYPE_BF16 ? FORMAT_BF16 : FORMAT_F32;
    struct block block = {.raw = hsae_check_alloc(check, (uint64_t)most * device_model->dim, sizeof(f32)),
                          .x = hsae_check_alloc(check, (uint64_t)most * device_model->dim, sizeof(f32)),
                          .wanted = hsae_check_alloc(check, (uint64_t)most * device_model->stride, sizeof(f32)),
                          .norms = hsae_check_alloc(check, (uint64_t)most / 32 * LOAD_BLOCKS(device_model->stride), sizeof(f32)),
                          .mean = hsae_check_alloc(check, device_model->stride, sizeof(f32)),
                          .sizes = hsae_check_alloc(check, most, sizeof(double))};
    if (!block.raw || !block.x || !block.wanted || !block.norms || !block.mean || !block.sizes)
        return HSAE_ERROR_MEMORY;
    memcpy(block.mean, trainer->mean, device_model->dim * sizeof *block.mean);
    double squares = 0, share = ENCODE_WORK / ((double)check->feature_count * device_model->batch * device_model->dim);
    hsae_status status = HSAE_OK;
    for (block.first = 0; block.first < device_model->batch && !status; block.first += most) {
        block.rows = device_model->batch - block.first < most ? device_model->batch - block.first : most;
        block.padded = (block.rows + 31) / 32 * 32;
        status = read_block(check, &block, format, item);
        if (!status)
            status = check_load(check, &block);
        for (u32 r = 0; r < block.rows && !status; r++)
            squares += block.sizes[r] * block.sizes[r];
        if (!status)
            status = check_encoded(check, &block, share);
    }
    return status ? status : check_norms(check, squares);
}
