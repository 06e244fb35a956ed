/* SPDX-License-Identifier: MIT */
/* The first pass: how often, how strongly and together with whom each feature is active, and where its strongest peaks are. */
#include "explorer.h"

#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void count_children(struct explore_level *above, const struct explore_level *level)
{
    for (uint32_t j = 0; j < level->features; j++)
        if (level->parent[j] >= 0)
            above->first_child[level->parent[j] + 1]++;
    for (uint32_t i = 0; i < above->features; i++)
        above->first_child[i + 1] += above->first_child[i];
}

/* The tree from above, and a place in `together` for each pair of siblings. */
static bool link_family(struct explore_level *above, struct explore_level *level)
{
    bool good = true;
    uint64_t pairs = 0;
    count_children(above, level);
    uint32_t *used = hsae_explore_zeros(&good, above->features, sizeof *used);
    for (uint32_t j = 0; good && j < level->features; j++) {
        if (level->parent[j] < 0)
            continue;
        uint32_t i = (uint32_t)level->parent[j];
        level->place[j] = used[i]++;
        above->children[above->first_child[i] + level->place[j]] = j;
    }
    free(used);
    for (uint32_t i = 0; i < above->features; i++) {
        uint64_t count = above->first_child[i + 1] - above->first_child[i];
        level->family[i] = pairs;
        if (count > 0 && count <= HSAE_EXPLORE_FAMILY)
            pairs += count * (count - 1) / 2;
    }
    level->together = hsae_explore_zeros(&good, pairs, sizeof *level->together);
    return good;
}

static bool make_level(hsae_explorer *explorer, const hsae_model *model, uint32_t l, bool peaks)
{
    struct explore_level *level = &explorer->levels[l], *above = l ? level - 1 : NULL;
    hsae_level shape = hsae_model_level(model, l);
    uint64_t n = shape.features;
    bool good = true;
    level->features = shape.features;
    level->active = hsae_explore_zeros(&good, n, sizeof *level->active);
    level->sum = hsae_explore_zeros(&good, n, sizeof *level->sum);
    level->max = hsae_explore_zeros(&good, n, sizeof *level->max);
    level->peak = hsae_explore_zeros(&good, n, sizeof *level->peak);
    level->stamp = hsae_explore_zeros(&good, n, sizeof *level->stamp);
    if (l + 1 < explorer->level_count) {
        level->first_child = hsae_explore_zeros(&good, n + 1, sizeof *level->first_child);
        level->children = hsae_explore_zeros(&good, hsae_model_level(model, l + 1).features, sizeof *level->children);
    }
    if (peaks) {
        level->sketch = hsae_explore_zeros(&good, n, sizeof *level->sketch);
        level->mass = hsae_explore_zeros(&good, n, sizeof *level->mass);
        level->pending = hsae_explore_zeros(&good, n, sizeof *level->pending);
        level->touched = hsae_explore_zeros(&good, n, sizeof *level->touched);
        level->top = hsae_explore_zeros(&good, n * explorer->contexts, sizeof *level->top);
        level->pool = hsae_explore_zeros(&good, n * HSAE_EXPLORE_POOL, sizeof *level->pool);
        level->top_count = hsae_explore_zeros(&good, n, sizeof *level->top_count);
        level->pool_count = hsae_explore_zeros(&good, n, sizeof *level->pool_count);
    }
    if (!above)
        return good;
    level->parent = hsae_explore_zeros(&good, n, sizeof *level->parent);
    level->cosine = hsae_explore_zeros(&good, n, sizeof *level->cosine);
    level->joint = hsae_explore_zeros(&good, n, sizeof *level->joint);
    level->place = hsae_explore_zeros(&good, n, sizeof *level->place);
    level->before = hsae_explore_zeros(&good, n, sizeof *level->before);
    level->family = hsae_explore_zeros(&good, above->features, sizeof *level->family);
    level->last_row = hsae_explore_zeros(&good, above->features, sizeof *level->last_row);
    level->last_active = hsae_explore_zeros(&good, above->features, sizeof *level->last_active);
    if (!good)
        return false;
    memcpy(level->parent, shape.parent, n * sizeof *level->parent);
    for (uint32_t j = 0; j < n; j++)
        level->cosine[j] = level->parent[j] >= 0 ? hsae_edge_cosine(model, l, j) : (double)NAN;
    return link_family(above, level);
}

hsae_status hsae_explore_collect_create(hsae_explorer *explorer, const hsae_model *model, bool peaks)
{
    bool good = true;
    for (uint32_t l = 0; l < explorer->level_count && good; l++)
        good = make_level(explorer, model, l, peaks);
    return good ? HSAE_OK
                : hsae_fail(explorer->context, HSAE_ERROR_MEMORY, "out of memory for what %u contexts a feature need", explorer->contexts);
}

/* ---- peaks ---- */

/* A pseudo-random number that depends on its arguments only (splitmix64). */
static uint64_t hash(uint32_t level, uint32_t feature, uint64_t row)
{
    uint64_t x = row + 0x9e3779b97f4a7c15u * (((uint64_t)level << 32 | feature) + 1);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* A heap whose root is the next to be removed. */
struct heap {
    struct peak *items;
    uint32_t count, level, feature;
    bool by_hash;
};

/* Whether a is removed before b. */
static bool goes_first(const struct heap *heap, const struct peak *a, const struct peak *b)
{
    return heap->by_hash ? hash(heap->level, heap->feature, a->row) > hash(heap->level, heap->feature, b->row) : peak_before(b, a);
}

static void sift_up(struct heap *heap, uint32_t at)
{
    while (at > 0 && goes_first(heap, &heap->items[at], &heap->items[(at - 1) / 2])) {
        struct peak other = heap->items[at];
        heap->items[at] = heap->items[(at - 1) / 2];
        heap->items[(at - 1) / 2] = other;
        at = (at - 1) / 2;
    }
}

static void sift_down(struct heap *heap)
{
    for (uint32_t at = 0, child; (child = 2 * at + 1) < heap->count; at = child) {
        if (child + 1 < heap->count && goes_first(heap, &heap->items[child + 1], &heap->items[child]))
            child++;
        if (!goes_first(heap, &heap->items[child], &heap->items[at]))
            return;
        struct peak other = heap->items[at];
        heap->items[at] = heap->items[child];
        heap->items[child] = other;
    }
}

/* Offers a peak to a heap that keeps the best `capacity`; returns the new count. */
static uint32_t offer(struct heap *heap, uint32_t capacity, const struct peak *peak)
{
    if (heap->count < capacity) {
        heap->items[heap->count++] = *peak;
        sift_up(heap, heap->count - 1);
    } else if (goes_first(heap, &heap->items[0], peak)) {
        heap->items[0] = *peak;
        sift_down(heap);
    }
    return heap->count;
}

/* Keeps the pending peak of a feature, whose window has `after` tokens after it. */
static void settle(hsae_explorer *explorer, uint32_t l, uint32_t feature, uint32_t after)
{
    struct explore_level *level = &explorer->levels[l];
    struct peak peak = level->pending[feature];
    peak.after = (uint16_t)(after < explorer->max_after ? after : explorer->max_after);
    struct heap top = {level->top + (uint64_t)feature * explorer->contexts, level->top_count[feature], l, feature, false};
    struct heap pool = {level->pool + (uint64_t)feature * HSAE_EXPLORE_POOL, level->pool_count[feature], l, feature, true};
    level->top_count[feature] = offer(&top, explorer->contexts, &peak);
    level->pool_count[feature] = offer(&pool, HSAE_EXPLORE_POOL, &peak);
}

static void note_peak(hsae_explorer *explorer, uint32_t l, uint32_t feature, uint64_t row, float value)
{
    struct explore_level *level = &explorer->levels[l];
    struct peak *pending = &level->pending[feature];
    uint64_t before = row - explorer->sequence_start;
    if (pending->value > 0 && row - pending->row < explorer->length) {
        if (value <= pending->value)
            return;
    } else if (pending->value > 0) {
        settle(explorer, l, feature, explorer->max_after);
    } else {
        level->touched[level->touched_count++] = feature;
    }
    *pending = (struct peak){row, value, (uint16_t)(before < explorer->max_before ? before : explorer->max_before), 0};
}

/* The sequence ended before `row`. */
static void end_sequence(hsae_explorer *explorer, uint64_t row)
{
    for (uint32_t l = 0; l < explorer->level_count; l++) {
        struct explore_level *level = &explorer->levels[l];
        for (uint32_t k = 0; k < level->touched_count; k++) {
            struct peak *pending = &level->pending[level->touched[k]];
            uint64_t after = row - 1 - pending->row;
            settle(explorer, l, level->touched[k], after < explorer->length ? (uint32_t)after : explorer->length);
            pending->value = 0;
        }
        level->touched_count = 0;
    }
}

void hsae_explore_collect_end(hsae_explorer *explorer)
{
    end_sequence(explorer, explorer->rows);
}

/* ---- statistics ---- */

/* Counts the pairs that the feature at place `k` of the row's list makes with its siblings before it in the list. */
static void count_siblings(struct explore_level *level, const uint32_t *first_child, uint32_t k, uint32_t feature, uint64_t stamp,
                           const struct hsae_batch *batch, uint32_t l, uint32_t begin)
{
    uint32_t parent = (uint32_t)level->parent[feature];
    if (first_child[parent + 1] - first_child[parent] > HSAE_EXPLORE_FAMILY)
        return;
    level->before[feature] = level->last_row[parent] == stamp ? level->last_active[parent] : UINT32_MAX;
    level->last_row[parent] = stamp;
    level->last_active[parent] = k;
    uint32_t b = level->place[feature];
    for (uint32_t at = level->before[feature]; at != UINT32_MAX;) {
        uint32_t sibling = batch_feature(batch, l, begin + at);
        uint32_t *together = &level->together[level->family[parent] + (uint64_t)b * (b - 1) / 2 + level->place[sibling]];
        *together += *together < UINT32_MAX;
        at = level->before[sibling];
    }
}

/* `token`: number in the vocabulary; UINT32_MAX: not known, or an outlier's. */
static void collect_row(hsae_explorer *explorer, const struct hsae_batch *batch, uint32_t r, uint32_t token)
{
    uint64_t row = batch->first + r;
    for (uint32_t l = 0; l < explorer->level_count; l++) {
        struct explore_level *level = &explorer->levels[l], *above = l ? level - 1 : NULL;
        uint32_t begin = batch->starts[l][r], end = batch->starts[l][r + 1];
        for (uint32_t k = begin; k < end; k++) {
            uint32_t feature = batch_feature(batch, l, k);
            float value = batch_value(batch, k);
            level->active[feature]++;
            level->sum[feature] += value;
            level->max[feature] = value > level->max[feature] ? value : level->max[feature];
            level->stamp[feature] = row + 1;
            if (above && level->parent[feature] >= 0) {
                level->joint[feature] += above->stamp[level->parent[feature]] == row + 1;
                count_siblings(level, above->first_child, k - begin, feature, row + 1, batch, l, begin);
            }
            if (token == UINT32_MAX)
                continue;
            level->peak[feature] = value > level->peak[feature] ? value : level->peak[feature];
            note_peak(explorer, l, feature, row, value);
            hsae_explore_count_mass(level, feature, token, value);
        }
    }
}

hsae_status hsae_explore_collect(void *user, const struct hsae_batch *batch)
{
    hsae_explorer *explorer = user;
    struct hsae_token token;
    for (uint32_t r = 0; r < batch->rows; r++) {
        uint32_t id = UINT32_MAX;
        if (explorer->tokens) {
            hsae_status status = hsae_explore_read_token(explorer, batch->first + r, &token);
            if (!status && !hsae_explore_is_outlier(explorer, batch, r))
                status = hsae_explore_count_token(explorer, &token, &id);
            if (status)
                return status;
            explorer->outliers += id == UINT32_MAX;
            if (token.first) {
                end_sequence(explorer, batch->first + r);
                explorer->sequence_start = batch->first + r;
                explorer->sequence = token.sequence;
            }
        }
        collect_row(explorer, batch, r, id);
    }
    return HSAE_OK;
}
