/* SPDX-License-Identifier: MIT */
/* New parents from similarities (algorithm: argmax with exclusion, or the greedy binary tree). The similarity matrix is
 * made in blocks of children (columns, as the samples of encode) and chunks of parents (rows), and only each child's best candidates are
 * kept. */
#include "tree_search.h"

#include "base/context.h"
#include "check.h"
#include "launch.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINARY_CANDIDATES = 16 }; /* kept for each child; when they run out the search resumes after the last */

struct candidate {
    float similarity;
    uint32_t parent;
};

/* Children whose best parents are looked for on the host, too. */
enum { CHECKED_CHILDREN = 6 };

/* An update, one pair of levels after the other; room is for the largest. */
struct relink {
    const struct device_model *device_model;
    const hsae_config *config;
    uint64_t samples; /* that the history of activity holds */
    uint32_t level;   /* of the children */
    uint32_t children, parents, candidates;
    uint32_t rows_room; /* parents at a time */
    struct hsae_buffer *rows, *feature_scalars, *best, *cursor;
    struct hsae_buffer *columns; /* unit rows of a block of children, for a vendor's product; else they go to the device model's panels */
    struct candidate *list;      /* [children][candidates] */
    struct candidate *last;      /* [children]: cursor */
    bool check;                  /* the level's next search is compared with the reference */
};

/* Unit rows of E or D, whichever is compared, from feature `first` on, zero after `count`. */
static void record_rows(const struct relink *relink, struct hsae_sequence *sequence, uint32_t first, uint32_t count, uint32_t padded,
                        struct hsae_buffer *out)
{
    const struct device_model *device_model = relink->device_model;
    bool decoder = relink->config->similarity == HSAE_SIMILARITY_DECODER;
    const struct ranged *source = decoder ? &device_model->decoder : &device_model->encoder;
    struct relink_rows_args args = {
        first, count, padded, device_model->stride, device_model->range_rows, decoder, out == device_model->panels};
    LAUNCH(device_model, sequence, relink_rows, device_model->ranges, padded, args, .S = RANGES4(device_model, *source),
           .flags = device_model->flags, .unit = out);
}

/* Groups of relink_count: tiles of parents and children. */
static uint64_t count_groups(const struct device_model *device_model, uint32_t parents)
{
    struct hsae_kernel_shape shape = hsae_shape(device_model->device, HSAE_KERNEL_relink_count, 1);
    uint32_t team = TEAM_SIZE(shape.group_size, shape.columns), teams = shape.group_size / team;
    return (uint64_t)((parents + team - 1) / team) * ((device_model->padded + teams - 1) / teams);
}

static void record_similarity(struct relink *relink, struct hsae_sequence *sequence, uint32_t child, uint32_t children, uint32_t parent,
                              uint32_t parents)
{
    const struct device_model *device_model = relink->device_model;
    uint32_t above = device_model->first[relink->level - 1] + parent;
    if (hsae_similarity_counts(relink->config->similarity)) {
        struct relink_count_args count = {device_model->first[relink->level] + child,
                                          children,
                                          device_model->padded,
                                          above,
                                          parents,
                                          device_model->features,
                                          device_model->words,
                                          relink->config->similarity == HSAE_SIMILARITY_INCLUSION ? (f32)relink->samples : 0};
        LAUNCH(device_model, sequence, relink_count, 1, count_groups(device_model, parents), count, .history = device_model->history,
               .counts = device_model->scratch);
        return;
    }
    record_rows(relink, sequence, above, parents, parents, relink->rows);
    if (relink->columns) {
        struct hsae_gemm product = {
            relink->rows,         relink->columns,      device_model->scratch, parents, children, device_model->stride,
            device_model->stride, device_model->stride, device_model->padded};
        hsae_sequence_gemm(sequence, &product);
        return;
    }
    struct encode_args encode = {0, 0, parents, children, device_model->words, device_model->dim, device_model->stride};
    LAUNCH(device_model, sequence, encode, 1, hsae_encode_groups(device_model, parents), encode, .panels = device_model->panels,
           .encoder = relink->rows, .feature_scalars = relink->feature_scalars, .bits = device_model->bits,
           .scratch = device_model->scratch);
}

/* All parents against one block of children. */
static void record_block(struct relink *relink, struct hsae_sequence *sequence, uint32_t child, uint32_t children)
{
    const struct device_model *device_model = relink->device_model;
    if (!hsae_similarity_counts(relink->config->similarity))
        record_rows(relink, sequence, device_model->first[relink->level] + child, children, device_model->padded,
                    relink->columns ? relink->columns : device_model->panels);
    for (uint32_t parent = 0, count; parent < relink->parents; parent += count) {
        count = relink->rows_room < relink->parents - parent ? relink->rows_room : relink->parents - parent;
        struct relink_best_args best = {child, children, device_model->padded, parent, count, relink->candidates};
        record_similarity(relink, sequence, child, children, parent, count);
        LAUNCH(device_model, sequence, relink_best, 1, hsae_groups_for(device_model, HSAE_KERNEL_relink_best, children), best,
               .similarity = device_model->scratch, .cursor = relink->cursor, .best = relink->best);
    }
}

/* What the host makes of a sampled child. */
struct checked_child {
    uint32_t child;
    float *row;
    double norm, best, found; /* cosines with the best parent, and with the one that the device found */
};

/* One parent against all sampled children. */
static void compare_parent(const struct relink *relink, struct checked_child *children, uint32_t parent, const float *row, bool *diverged)
{
    const uint32_t dim = relink->device_model->dim;
    double norm = sqrt(hsae_check_dot(row, row, dim));
    *diverged |= !(norm < CHECK_MOST);
    for (int k = 0; k < CHECKED_CHILDREN; k++) {
        double size = norm * children[k].norm, cosine = size > 0 ? hsae_check_dot(row, children[k].row, dim) / size : 0;
        children[k].best = fmax(children[k].best, cosine);
        if (relink->list[(size_t)children[k].child * relink->candidates].parent == parent)
            children[k].found = cosine;
    }
}

/* Rows of E or D from feature `first` on. */
static hsae_status read_rows(const struct relink *relink, const u32 *flags, uint32_t first, uint32_t count, float *out)
{
    const struct device_model *device_model = relink->device_model;
    if (relink->config->similarity != HSAE_SIMILARITY_DECODER)
        return hsae_ranged_read(device_model, &device_model->encoder, first, count, out);
    hsae_status status = HSAE_OK;
    for (uint32_t at = 0, run; at < count && !status; at += run) {
        const u32 *flag = flags + first + at;
        for (run = 1; at + run < count && FLAG_ROW(flag[run]) == FLAG_ROW(flag[0]) + run; run++)
            ;
        status = hsae_ranged_read(device_model, &device_model->decoder, FLAG_ROW(flag[0]), run, out + (size_t)at * device_model->dim);
    }
    return status;
}

static hsae_status compare_children(const struct relink *relink, const struct checked_child *children)
{
    const double off = 4 * bound_sum(relink->device_model->dim, 1) + bound_ulps(8, 1);
    for (int k = 0; k < CHECKED_CHILDREN; k++) {
        const struct candidate *best = &relink->list[(size_t)children[k].child * relink->candidates];
        if (!(fabs(best->similarity - children[k].found) <= off) || !(children[k].best <= children[k].found + 2 * off))
            return hsae_fail_wrong(relink->device_model->device,
                                   "in a hierarchy update feature %" PRIu32 " of level %" PRIu32
                                   " gets a parent of similarity %.7g, which is "
                                   "%.7g; the best has %.7g",
                                   children[k].child, relink->level, best->similarity, children[k].found, children[k].best);
    }
    return HSAE_OK;
}

/* A few children against all parents. Cosines only: counts are of whole numbers, from bits that the steps' own check looks at. */
static hsae_status check_best(const struct relink *relink)
{
    enum { BLOCK = 1 << 20 };
    const struct device_model *device_model = relink->device_model;
    const uint32_t above = device_model->first[relink->level - 1], own = device_model->first[relink->level],
                   most = BLOCK / device_model->dim + 1;
    struct checked_child children[CHECKED_CHILDREN];
    bool diverged = false; /* norms are beyond floats, or close to that: not the device's fault */
    float *rows = malloc(((size_t)most + CHECKED_CHILDREN) * device_model->dim * sizeof *rows);
    u32 *flags = malloc(device_model->features * sizeof *flags);
    hsae_status status = rows && flags ? hsae_buffer_read(device_model->flags, 0, device_model->features * sizeof *flags, flags)
                                       : hsae_fail_memory(device_model->context, (uint64_t)most * device_model->dim * sizeof *rows, NULL,
                                                          "the check of a hierarchy update");
    for (uint32_t k = 0; k < CHECKED_CHILDREN && !status; k++) { /* both ends, and between them */
        struct checked_child *child = &children[k];
        *child = (struct checked_child){.child = (uint32_t)((uint64_t)(relink->children - 1) * k / (CHECKED_CHILDREN - 1)),
                                        .row = rows + ((size_t)most + k) * device_model->dim,
                                        .best = -INFINITY,
                                        .found = NAN};
        status = read_rows(relink, flags, own + child->child, 1, child->row);
        if (!status)
            child->norm = sqrt(hsae_check_dot(child->row, child->row, device_model->dim));
        diverged |= !status && !(child->norm < CHECK_MOST);
    }
    for (uint32_t parent = 0, count; parent < relink->parents && !status; parent += count) {
        count = relink->parents - parent < most ? relink->parents - parent : most;
        status = read_rows(relink, flags, above + parent, count, rows);
        for (uint32_t r = 0; r < count && !status; r++)
            compare_parent(relink, children, parent + r, rows + (size_t)r * device_model->dim, &diverged);
    }
    if (!status && !diverged)
        status = compare_children(relink, children);
    free(rows);
    free(flags);
    return status;
}

/* Every child's best candidates after its cursor, to relink->list. */
static hsae_status search(struct relink *relink)
{
    const struct device_model *device_model = relink->device_model;
    size_t entries = (size_t)relink->children * relink->candidates;
    /* A memory plan's device computes nothing, and one block has the buffers of all. */
    const uint32_t searched =
        device_model->device->unlimited_memory && device_model->batch < relink->children ? device_model->batch : relink->children;
    hsae_status status = HSAE_OK;
    for (size_t k = 0; k < entries; k++)
        relink->list[k] = (struct candidate){-INFINITY, NONE};
    status = hsae_buffer_write(relink->best, 0, entries * sizeof *relink->list, relink->list);
    if (!status)
        status = hsae_buffer_write(relink->cursor, 0, relink->children * sizeof *relink->last, relink->last);
    for (uint32_t child = 0, count; child < searched && !status; child += count) {
        struct hsae_sequence *sequence = NULL;
        count = device_model->batch < searched - child ? device_model->batch : searched - child;
        status = hsae_sequence_create(device_model->device, "hierarchy update", false, &sequence);
        if (!status) {
            record_block(relink, sequence, child, count);
            status = hsae_device_model_run_once(device_model, &sequence);
        }
    }
    if (!status)
        status = hsae_buffer_read(relink->best, 0, entries * sizeof *relink->list, relink->list);
    for (size_t k = 0; k < entries && !status; k++)
        if (relink->list[k].parent >= relink->parents && relink->list[k].parent != NONE)
            status = hsae_fail_wrong(device_model->device, "the best parents that it found are no features");
    if (!status && relink->check && !hsae_similarity_counts(relink->config->similarity))
        status = check_best(relink);
    relink->check = false;
    return status;
}

struct ranked {
    float similarity;
    uint32_t child;
};

static int lowest_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->similarity != y->similarity)
        return x->similarity < y->similarity ? -1 : 1;
    return x->child < y->child ? -1 : x->child > y->child;
}

/* By inclusion, a parent that is active with the child less often than by chance, or that the child is a copy of, is none. */
static bool is_parent(const struct relink *relink, const struct candidate *candidate)
{
    return candidate->parent != NONE && (relink->config->similarity != HSAE_SIMILARITY_INCLUSION || candidate->similarity > 0);
}

/* Best parent each, then the least similar features lose theirs (ties: lowest index first). */
static hsae_status link_best(struct relink *relink, uint32_t excluded, int32_t *parent)
{
    struct ranked *ranked = malloc(relink->children * sizeof *ranked);
    hsae_status status = ranked ? search(relink)
                                : hsae_fail_memory(relink->device_model->context, relink->children * sizeof *ranked, "smaller levels",
                                                   "the similarities of %" PRIu32 " features", relink->children);
    for (uint32_t j = 0; j < relink->children && !status; j++) {
        parent[j] = is_parent(relink, &relink->list[j]) ? (int32_t)relink->list[j].parent : -1;
        ranked[j] = (struct ranked){relink->list[j].similarity, j};
    }
    if (!status) {
        qsort(ranked, relink->children, sizeof *ranked, lowest_first);
        for (uint32_t k = 0; k < excluded; k++)
            parent[ranked[k].child] = -1;
    }
    free(ranked);
    return status;
}

/* The binary tree's queue: a heap of children by their next candidate, the most similar on top; ties lowest child, then lowest parent. */
struct queue {
    uint32_t *heap, size;
    uint32_t *next; /* [children]: place in its list */
    const struct relink *relink;
};

static const struct candidate *next_of(const struct queue *queue, uint32_t child)
{
    return &queue->relink->list[(size_t)child * queue->relink->candidates + queue->next[child]];
}

static bool before(const struct queue *queue, uint32_t a, uint32_t b)
{
    float x = next_of(queue, a)->similarity, y = next_of(queue, b)->similarity;
    return x != y ? x > y : a < b;
}

static void sift(struct queue *queue, uint32_t at)
{
    for (;;) {
        uint32_t best = at, left = 2 * at + 1, right = left + 1;
        if (left < queue->size && before(queue, queue->heap[left], queue->heap[best]))
            best = left;
        if (right < queue->size && before(queue, queue->heap[right], queue->heap[best]))
            best = right;
        if (best == at)
            return;
        uint32_t swap = queue->heap[at];
        queue->heap[at] = queue->heap[best];
        queue->heap[best] = swap;
        at = best;
    }
}

/* Searches again after what every waiting child has used; children without candidates leave the queue. */
static hsae_status refill(struct relink *relink, struct queue *queue)
{
    hsae_status status = search(relink);
    uint32_t kept = 0;
    for (uint32_t k = 0; k < queue->size && !status; k++) {
        uint32_t child = queue->heap[k];
        queue->next[child] = 0;
        if (is_parent(relink, next_of(queue, child)))
            queue->heap[kept++] = child;
    }
    queue->size = kept;
    for (uint32_t k = kept / 2; k--;)
        sift(queue, k);
    return status;
}

static hsae_status link_binary(struct relink *relink, uint32_t excluded, int32_t *parent)
{
    struct queue queue = {.size = relink->children, .relink = relink};
    uint8_t *taken = calloc(relink->parents, sizeof *taken);
    queue.heap = malloc(relink->children * sizeof *queue.heap);
    queue.next = calloc(relink->children, sizeof *queue.next);
    hsae_status status = HSAE_OK;
    if (!taken || !queue.heap || !queue.next)
        status = hsae_fail_memory(relink->device_model->context,
                                  relink->children * (sizeof *queue.heap + sizeof *queue.next) + relink->parents * sizeof *taken,
                                  "smaller levels", "a queue of %" PRIu32 " features", relink->children);
    for (uint32_t j = 0; j < relink->children && !status; j++) {
        parent[j] = -1;
        queue.heap[j] = j;
    }
    if (!status)
        status = refill(relink, &queue);
    uint32_t wanted = relink->children - excluded, places = 2 * relink->parents;
    while (!status && queue.size && wanted && places) {
        uint32_t child = queue.heap[0];
        struct candidate top = *next_of(&queue, child);
        relink->last[child] = top;
        if (taken[top.parent] < 2) {
            taken[top.parent]++;
            places--;
            wanted--;
            parent[child] = (int32_t)top.parent;
        } else if (++queue.next[child] == relink->candidates) {
            status = refill(relink, &queue);
            continue;
        } else if (is_parent(relink, next_of(&queue, child))) {
            sift(&queue, 0);
            continue;
        }
        queue.heap[0] = queue.heap[--queue.size];
        sift(&queue, 0);
    }
    free(taken);
    free(queue.heap);
    free(queue.next);
    return status;
}

/* encode's scalars for plain dot products: no bias, everything above the cut. */
static hsae_status plain_table(struct relink *relink)
{
    const struct device_model *device_model = relink->device_model;
    uint64_t bytes = (uint64_t)relink->rows_room * SCALAR_WORDS * sizeof(u32);
    u32 *feature_scalars = calloc(1, bytes);
    hsae_status status = hsae_buffer_create(device_model->device, "plain scalars", bytes, HSAE_BUFFER_DEVICE, &relink->feature_scalars);
    if (!status && !feature_scalars)
        status = hsae_fail_memory(device_model->context, bytes, NULL, "the plain scalars of %" PRIu32 " features", relink->rows_room);
    for (uint32_t r = 0; r < relink->rows_room && !status; r++)
        feature_scalars[(size_t)r * SCALAR_WORDS + SCALAR_CUT] = bits_u32(-INFINITY);
    if (!status)
        status = hsae_buffer_write(relink->feature_scalars, 0, bytes, feature_scalars);
    free(feature_scalars);
    return status;
}

static void fit_kernels(const struct relink *relink)
{
    const struct device_model *device_model = relink->device_model;
    FIT(device_model, 1, HSAE_KERNEL_relink_best);
    if (hsae_similarity_counts(relink->config->similarity))
        FIT(device_model, 1, HSAE_KERNEL_relink_count);
    else
        FIT(device_model, device_model->ranges, HSAE_KERNEL_relink_rows);
}

static hsae_status create(struct relink *relink)
{
    const struct device_model *device_model = relink->device_model;
    const hsae_config *config = relink->config;
    uint32_t children = 0, parents = 0;
    for (uint32_t l = 1; l < device_model->levels; l++) {
        children = config->levels[l] > children ? config->levels[l] : children;
        parents = config->levels[l - 1] > parents ? config->levels[l - 1] : parents;
    }
    size_t entries = (size_t)children * relink->candidates;
    fit_kernels(relink);
    relink->rows_room = device_model->chunk < parents ? device_model->chunk : parents;
    hsae_status status = plain_table(relink);
    if (!status)
        status = hsae_buffer_create(device_model->device, "unit rows", (uint64_t)relink->rows_room * device_model->stride * sizeof(float),
                                    HSAE_BUFFER_DEVICE, &relink->rows);
    if (!status)
        status = hsae_device_model_buffer(device_model, "best parents", 2 * (uint64_t)entries, GROWS_WITH_FEATURES, &relink->best);
    if (!status)
        status = hsae_buffer_create(device_model->device, "cursors", children * sizeof *relink->last, HSAE_BUFFER_DEVICE, &relink->cursor);
    if (!status && hsae_device_has_gemm(device_model->device))
        status =
            hsae_buffer_create(device_model->device, "unit columns", (uint64_t)device_model->padded * device_model->stride * sizeof(float),
                               HSAE_BUFFER_DEVICE, &relink->columns);
    relink->list = malloc(entries * sizeof *relink->list);
    relink->last = malloc(children * sizeof *relink->last);
    if (!status && (!relink->list || !relink->last))
        status = hsae_fail_memory(device_model->context, entries * sizeof *relink->list + children * sizeof *relink->last, "smaller levels",
                                  "the candidates of %" PRIu32 " features", children);
    return status;
}

static void destroy(struct relink *relink)
{
    hsae_buffer_destroy(&relink->rows);
    hsae_buffer_destroy(&relink->columns);
    hsae_buffer_destroy(&relink->feature_scalars);
    hsae_buffer_destroy(&relink->best);
    hsae_buffer_destroy(&relink->cursor);
    free(relink->list);
    free(relink->last);
}

hsae_status hsae_hierarchy_link(const struct device_model *device_model, const hsae_config *config, uint64_t samples, bool check,
                                int32_t *const *parents)
{
    bool binary = config->tree == HSAE_TREE_BINARY;
    struct relink relink = {
        .device_model = device_model, .config = config, .samples = samples, .candidates = binary ? BINARY_CANDIDATES : 1};
    hsae_status status = device_model->levels > 1 ? create(&relink) : HSAE_OK;
    for (uint32_t l = 1; l < device_model->levels && !status; l++) {
        relink.level = l;
        relink.check = check;
        relink.children = config->levels[l];
        relink.parents = config->levels[l - 1];
        uint32_t excluded = config->tree == HSAE_TREE_FULL ? 0 : (uint32_t)floor(config->exclude * relink.children);
        for (uint32_t j = 0; j < relink.children; j++)
            relink.last[j] = (struct candidate){INFINITY, NONE};
        status = binary ? link_binary(&relink, excluded, parents[l]) : link_best(&relink, excluded, parents[l]);
    }
    destroy(&relink);
    return status;
}
