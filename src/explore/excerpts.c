/* SPDX-License-Identifier: MIT */
/* The choice of contexts, and the second pass, which fills them. */
#include "explorer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- choice ---- */

static int by_strength(const void *left, const void *right)
{
    return peak_before(left, right) ? -1 : 1;
}

static bool among(const struct peak *peaks, uint32_t count, uint64_t row)
{
    for (uint32_t k = 0; k < count; k++)
        if (peaks[k].row == row)
            return true;
    return false;
}

/* The peak among begin .. end - 1 nearest to the middle that is not taken; `end`: there is none. */
static uint32_t pick(const bool *taken, uint32_t begin, uint32_t end)
{
    uint32_t middle = (begin + end) / 2;
    for (uint32_t off = 0; off <= end - begin; off++) {
        if (middle + off < end && !taken[middle + off])
            return middle + off;
        if (middle >= begin + off && !taken[middle - off])
            return middle - off;
    }
    return end;
}

static hsae_excerpt excerpt_of(const struct peak *peak, bool sampled)
{
    return (hsae_excerpt){.start = peak->row - peak->before,
                          .length = (uint32_t)peak->before + 1 + peak->after,
                          .peak = peak->before,
                          .activation = peak->value,
                          .sampled = sampled};
}

/* The strongest peaks, then one from each of `samples` equal parts of the pool by strength. */
static uint32_t choose_feature(const hsae_explorer *explorer, struct explore_level *level, uint32_t feature)
{
    struct peak *top = level->top + (uint64_t)feature * explorer->contexts, *pool = level->pool + (uint64_t)feature * HSAE_EXPLORE_POOL;
    hsae_excerpt *out = level->excerpts + (uint64_t)feature * explorer->slots;
    uint32_t count = 0, top_count = level->top_count[feature], pool_count = level->pool_count[feature];
    bool taken[HSAE_EXPLORE_POOL + 1] = {false};
    qsort(top, top_count, sizeof *top, by_strength);
    qsort(pool, pool_count, sizeof *pool, by_strength);
    for (uint32_t k = 0; k < top_count; k++)
        out[count++] = excerpt_of(&top[k], false);
    for (uint32_t k = 0; k < pool_count; k++)
        taken[k] = among(top, top_count, pool[k].row);
    for (uint32_t part = 0; part < explorer->samples; part++) {
        uint32_t end = (part + 1) * pool_count / explorer->samples, k = pick(taken, part * pool_count / explorer->samples, end);
        if (k < end)
            out[count++] = excerpt_of(&pool[k], true);
    }
    return count;
}

static void order_by_start(const hsae_excerpt *excerpts, uint32_t count, uint16_t *order)
{
    for (uint32_t k = 0; k < count; k++) {
        uint32_t at = k;
        for (; at > 0 && excerpts[order[at - 1]].start > excerpts[k].start; at--)
            order[at] = order[at - 1];
        order[at] = (uint16_t)k;
    }
}

static void free_peaks(struct explore_level *level)
{
    free(level->pending);
    free(level->touched);
    free(level->top);
    free(level->pool);
    free(level->top_count);
    free(level->pool_count);
    level->pending = level->top = level->pool = NULL;
    level->touched = level->top_count = level->pool_count = NULL;
}

static bool choose_level(hsae_explorer *explorer, struct explore_level *level)
{
    uint64_t n = level->features, slots = n * explorer->slots;
    bool good = true;
    level->excerpts = hsae_explore_zeros(&good, slots, sizeof *level->excerpts);
    level->excerpt_count = hsae_explore_zeros(&good, n, sizeof *level->excerpt_count);
    level->heads = hsae_explore_zeros(&good, slots, sizeof *level->heads);
    level->tails = hsae_explore_zeros(&good, slots, sizeof *level->tails);
    level->order = hsae_explore_zeros(&good, slots, sizeof *level->order);
    level->cursor = hsae_explore_zeros(&good, n, sizeof *level->cursor);
    level->at_most = hsae_explore_zeros(&good, n * explorer->samples, sizeof *level->at_most);
    level->histogram = hsae_explore_zeros(&good, n * HSAE_EXPLORE_BINS, sizeof *level->histogram);
    for (uint32_t i = 0; good && i < n; i++) {
        level->excerpt_count[i] = choose_feature(explorer, level, i);
        order_by_start(level->excerpts + (uint64_t)i * explorer->slots, level->excerpt_count[i],
                       level->order + (uint64_t)i * explorer->slots);
    }
    free_peaks(level);
    return good;
}

/* ---- what is kept ---- */

static int by_row(const void *left, const void *right)
{
    const struct span *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

/* The union of all windows. */
static bool make_spans(hsae_explorer *explorer)
{
    bool good = true;
    uint64_t count = 0;
    for (uint32_t l = 0; l < explorer->level_count; l++)
        for (uint32_t i = 0; i < explorer->levels[l].features; i++)
            count += explorer->levels[l].excerpt_count[i];
    struct span *spans = explorer->spans = hsae_explore_zeros(&good, count, sizeof *spans);
    if (!good)
        return false;
    for (uint32_t l = 0, at = 0; l < explorer->level_count; l++)
        for (uint32_t i = 0; i < explorer->levels[l].features; i++)
            for (uint32_t k = 0; k < explorer->levels[l].excerpt_count[i]; k++) {
                const hsae_excerpt *excerpt = &explorer->levels[l].excerpts[(uint64_t)i * explorer->slots + k];
                spans[at++] = (struct span){excerpt->start, excerpt->start + excerpt->length, 0};
            }
    qsort(spans, (size_t)count, sizeof *spans, by_row);
    for (uint64_t k = 0; k < count; k++) {
        struct span *last = explorer->span_count ? &spans[explorer->span_count - 1] : NULL;
        if (last && spans[k].start <= last->end)
            last->end = spans[k].end > last->end ? spans[k].end : last->end;
        else
            spans[explorer->span_count++] = spans[k];
    }
    for (uint64_t k = 0; k < explorer->span_count; k++) {
        spans[k].first = explorer->kept;
        explorer->kept += spans[k].end - spans[k].start;
    }
    return true;
}

/* The number of a kept row among all kept rows. */
static uint64_t kept_index(const hsae_explorer *explorer, uint64_t row)
{
    uint64_t low = 0, high = explorer->span_count;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (explorer->spans[middle].start <= row)
            low = middle;
        else
            high = middle;
    }
    return explorer->spans[low].first + (row - explorer->spans[low].start);
}

/* Marks a kept row's path to be kept; false once there are enough. */
static bool mark_path(hsae_explorer *explorer, uint64_t row)
{
    uint64_t index = kept_index(explorer, row);
    uint32_t bit = UINT32_C(1) << index % 32, *word = &explorer->path_bits[index / 32];
    if (*word & bit)
        return true;
    if (explorer->path_total == explorer->path_limit)
        return false;
    *word |= bit;
    explorer->path_total++;
    return true;
}

static bool mark_excerpt(hsae_explorer *explorer, const hsae_excerpt *excerpt, bool whole)
{
    uint64_t begin = excerpt->start + (whole ? 0 : excerpt->peak), end = whole ? excerpt->start + excerpt->length : begin + 1;
    for (uint64_t row = begin; row < end; row++)
        if (!mark_path(explorer, row))
            return false;
    return true;
}

/* Peaks first, then windows, each from the first excerpt of every feature to the last. */
static void choose_paths(hsae_explorer *explorer)
{
    for (int whole = 0; whole < 2; whole++)
        for (uint32_t k = 0; k < explorer->slots; k++)
            for (uint32_t l = 0; l < explorer->level_count; l++) {
                const struct explore_level *level = &explorer->levels[l];
                for (uint32_t i = 0; i < level->features; i++)
                    if (k < level->excerpt_count[i] && !mark_excerpt(explorer, &level->excerpts[(uint64_t)i * explorer->slots + k], whole))
                        return;
            }
}

hsae_status hsae_explore_choose(hsae_explorer *explorer)
{
    bool good = true;
    for (uint32_t l = 0; l < explorer->level_count && good; l++)
        good = choose_level(explorer, &explorer->levels[l]);
    good = good && make_spans(explorer);
    if (good) {
        explorer->text = hsae_explore_zeros(&good, explorer->kept, sizeof *explorer->text);
        explorer->path_bits = hsae_explore_zeros(&good, explorer->kept / 32 + 1, sizeof *explorer->path_bits);
    }
    if (good) {
        choose_paths(explorer);
        uint64_t lists = explorer->path_total * explorer->level_count;
        explorer->path_rows = hsae_explore_zeros(&good, explorer->path_total, sizeof *explorer->path_rows);
        explorer->path_active = hsae_explore_zeros(&good, lists, sizeof *explorer->path_active);
        explorer->path_features = hsae_explore_zeros(&good, lists * HSAE_EXPLORE_STRONGEST, sizeof *explorer->path_features);
    }
    return good ? HSAE_OK
                : hsae_fail(explorer->context, HSAE_ERROR_MEMORY,
                            "out of memory for %u contexts of %u tokens for each feature: ask for less", explorer->slots, explorer->length);
}

/* ---- the second pass ---- */

static hsae_status keep_text(hsae_explorer *explorer, uint64_t row, const struct hsae_token *token)
{
    struct kept_run *last = explorer->run_count ? &explorer->runs[explorer->run_count - 1] : NULL;
    if (!last || token->first || last->start + last->length != row) {
        if (explorer->run_count == explorer->run_capacity) {
            uint64_t capacity = explorer->run_capacity ? 2 * explorer->run_capacity : 1024;
            struct kept_run *runs = realloc(explorer->runs, (size_t)capacity * sizeof *runs);
            if (!runs)
                return hsae_fail(explorer->context, HSAE_ERROR_MEMORY, "out of memory for %" PRIu64 " pieces of text", capacity);
            explorer->runs = runs;
            explorer->run_capacity = capacity;
        }
        last = &explorer->runs[explorer->run_count++];
        *last = (struct kept_run){row, token->sequence, explorer->seen, 0};
    }
    last->length++;
    return hsae_explore_intern(explorer->context, &explorer->strings, token->text, token->size, &explorer->text[explorer->seen]);
}

/* The strongest of a row's features at one level; *count of them. */
static void strongest(const struct hsae_batch *batch, uint32_t l, uint32_t r, hsae_token_feature *out)
{
    uint32_t count = 0;
    for (uint32_t k = batch->starts[l][r]; k < batch->starts[l][r + 1]; k++) {
        hsae_token_feature each = {batch_feature(batch, l, k), batch_value(batch, k)};
        uint32_t at = count < HSAE_EXPLORE_STRONGEST ? count++ : HSAE_EXPLORE_STRONGEST;
        for (; at > 0 && out[at - 1].activation < each.activation; at--)
            if (at < HSAE_EXPLORE_STRONGEST)
                out[at] = out[at - 1];
        if (at < HSAE_EXPLORE_STRONGEST)
            out[at] = each;
    }
}

static void keep_path(hsae_explorer *explorer, const struct hsae_batch *batch, uint32_t r)
{
    uint64_t path = explorer->path_count++;
    explorer->path_rows[path] = batch->first + r;
    for (uint32_t l = 0; l < explorer->level_count; l++) {
        uint64_t list = path * explorer->level_count + l;
        explorer->path_active[list] = batch->starts[l][r + 1] - batch->starts[l][r];
        strongest(batch, l, r, explorer->path_features + list * HSAE_EXPLORE_STRONGEST);
    }
}

static hsae_status append_value(hsae_explorer *explorer, uint32_t *head, uint32_t *tail, uint32_t offset, float value)
{
    if (explorer->value_count == explorer->value_capacity) {
        uint32_t capacity = explorer->value_capacity ? explorer->value_capacity + explorer->value_capacity / 2 : 65536;
        struct excerpt_value *values =
            capacity > explorer->value_capacity ? realloc(explorer->values, (size_t)capacity * sizeof *values) : NULL;
        if (!values)
            return hsae_fail(explorer->context, HSAE_ERROR_MEMORY, "out of memory for %" PRIu32 " activations of contexts: ask for less",
                             explorer->value_count);
        explorer->values = values;
        explorer->value_capacity = capacity;
    }
    explorer->values[explorer->value_count++] = (struct excerpt_value){0, offset, value};
    if (*tail)
        explorer->values[*tail - 1].next = explorer->value_count;
    else
        *head = explorer->value_count;
    *tail = explorer->value_count;
    return HSAE_OK;
}

/* One activation: to the histogram, to the ranks of the sampled peaks and to its window. */
static hsae_status keep_activation(hsae_explorer *explorer, struct explore_level *level, uint32_t feature, uint64_t row, float value,
                                   bool outlier)
{
    uint64_t base = (uint64_t)feature * explorer->slots;
    const hsae_excerpt *excerpts = level->excerpts + base;
    const uint16_t *order = level->order + base;
    uint32_t count = level->excerpt_count[feature];
    if (!outlier) {
        uint32_t bin = (uint32_t)((double)value * HSAE_EXPLORE_BINS / (double)level->peak[feature]);
        level->histogram[(uint64_t)feature * HSAE_EXPLORE_BINS + (bin < HSAE_EXPLORE_BINS ? bin : HSAE_EXPLORE_BINS - 1)]++;
    }
    for (uint32_t k = count, sample = 0; k > 0 && excerpts[k - 1].sampled; k--, sample++)
        level->at_most[(uint64_t)feature * explorer->samples + sample] += value <= excerpts[k - 1].activation;
    uint16_t *cursor = &level->cursor[feature];
    while (*cursor < count && excerpts[order[*cursor]].start + excerpts[order[*cursor]].length <= row)
        ++*cursor;
    if (*cursor == count || excerpts[order[*cursor]].start > row)
        return HSAE_OK;
    uint64_t slot = base + order[*cursor];
    return append_value(explorer, &level->heads[slot], &level->tails[slot], (uint32_t)(row - excerpts[order[*cursor]].start), value);
}

static hsae_status keep_row(hsae_explorer *explorer, const struct hsae_batch *batch, uint32_t r)
{
    struct hsae_token token;
    uint64_t row = batch->first + r;
    bool outlier = hsae_explore_is_outlier(explorer, batch, r);
    hsae_status status = hsae_explore_read_token(explorer, row, &token);
    while (explorer->span < explorer->span_count && explorer->spans[explorer->span].end <= row)
        explorer->span++;
    if (!status && explorer->span < explorer->span_count && explorer->spans[explorer->span].start <= row) {
        status = keep_text(explorer, row, &token);
        if (explorer->path_bits[explorer->seen / 32] >> explorer->seen % 32 & 1)
            keep_path(explorer, batch, r);
        explorer->seen++;
    }
    for (uint32_t l = 0; l < explorer->level_count; l++)
        for (uint32_t k = batch->starts[l][r]; k < batch->starts[l][r + 1] && !status; k++)
            status = keep_activation(explorer, &explorer->levels[l], batch_feature(batch, l, k), row, batch_value(batch, k), outlier);
    return status;
}

hsae_status hsae_explore_excerpts(void *user, const struct hsae_batch *batch)
{
    hsae_status status = HSAE_OK;
    for (uint32_t r = 0; r < batch->rows && !status; r++)
        status = keep_row(user, batch, r);
    return status;
}

void hsae_explore_excerpts_end(hsae_explorer *explorer)
{
    for (uint32_t l = 0; l < explorer->level_count; l++) {
        struct explore_level *level = &explorer->levels[l];
        for (uint32_t i = 0; i < level->features; i++) {
            hsae_excerpt *excerpts = level->excerpts + (uint64_t)i * explorer->slots;
            const uint64_t *at_most = level->at_most + (uint64_t)i * explorer->samples;
            for (uint32_t k = level->excerpt_count[i], sample = 0; k > 0 && excerpts[k - 1].sampled; k--, sample++)
                excerpts[k - 1].quantile = (double)at_most[sample] / (double)level->active[i];
        }
    }
}
