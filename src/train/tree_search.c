/* SPDX-License-Identifier: MIT */
/* New parents from similarities (algorithm: argmax with exclusion, or the greedy binary tree). The similarity matrix is
 * made in blocks of children (columns, as the samples of encode) and chunks of parents (rows), and only each child's best candidates are
 * kept. */
#include "tree_search.h"

#include "base/context.h"
#include "check.h"
#include "launch.h"
#include "ref/ref.h"
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

/* One new tree, a pair of levels after the other; the buffers have room for the largest pair. */
struct tree_search {
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
    struct hsae_peers *peers;    /* NULL: the device has all features */
    struct ranged gathered;      /* with peers: rows of some parents, from all devices */
};

/* Unit rows of E or D, whichever is compared, from feature `first` on, zero after `count`. */
static void record_rows(const struct tree_search *search, struct hsae_sequence *sequence, uint32_t first, uint32_t count, uint32_t padded,
                        struct hsae_buffer *out)
{
    const struct device_model *device_model = search->device_model;
    bool decoder = search->config->similarity == HSAE_SIMILARITY_DECODER;
    const struct ranged *source = decoder ? &device_model->decoder : &device_model->encoder;
    struct relink_rows_args args = {
        first, count, padded, device_model->stride, device_model->range_rows, decoder, out == device_model->panels};
    LAUNCH(device_model, sequence, relink_rows, device_model->ranges, padded, args, .S = RANGES4(device_model, *source),
           .flags = device_model->flags, .unit = out);
}

/* Unit rows of the parents that were gathered. */
static void record_gathered(const struct tree_search *search, struct hsae_sequence *sequence, uint32_t count)
{
    const struct device_model *device_model = search->device_model;
    struct relink_rows_args args = {0, count, count, device_model->stride, search->rows_room, 0, 0};
    LAUNCH(device_model, sequence, relink_rows, device_model->ranges, count, args, .S = RANGES4(device_model, search->gathered),
           .flags = device_model->flags, .unit = search->rows);
}

/* Groups of relink_count: tiles of parents and children. */
static uint64_t count_groups(const struct device_model *device_model, uint32_t parents)
{
    struct hsae_kernel_shape shape = hsae_shape(device_model->device, HSAE_KERNEL_relink_count, 1);
    uint32_t team = TEAM_SIZE(shape.group_size, shape.columns), teams = shape.group_size / team;
    return (uint64_t)((parents + team - 1) / team) * ((device_model->padded + teams - 1) / teams);
}

/* The samples and the least share that relink_count takes. */
static f32 counted_samples(const struct tree_search *search)
{
    return search->config->similarity == HSAE_SIMILARITY_COACTIVATION ? 0 : (f32)search->samples;
}

static f32 least_share(const struct tree_search *search)
{
    return search->config->similarity == HSAE_SIMILARITY_PART ? PART_LEAST : 0;
}

static void record_similarity(struct tree_search *search, struct hsae_sequence *sequence, uint32_t child, uint32_t children,
                              uint32_t parent, uint32_t parents)
{
    const struct device_model *device_model = search->device_model;
    uint32_t above = device_model->first[search->level - 1] + parent;
    if (hsae_similarity_counts(search->config->similarity)) {
        struct relink_count_args count = {device_model->first[search->level] + child,
                                          children,
                                          device_model->padded,
                                          above,
                                          parents,
                                          device_model->features,
                                          device_model->words,
                                          counted_samples(search),
                                          least_share(search)};
        LAUNCH(device_model, sequence, relink_count, 1, count_groups(device_model, parents), count, .history = device_model->history,
               .counts = device_model->scratch);
        return;
    }
    if (search->peers)
        record_gathered(search, sequence, parents);
    else
        record_rows(search, sequence, above, parents, parents, search->rows);
    if (search->columns) {
        struct hsae_gemm product = {
            search->rows,         search->columns,      device_model->scratch, parents, children, device_model->stride,
            device_model->stride, device_model->stride, device_model->padded};
        hsae_sequence_gemm(sequence, &product);
        return;
    }
    struct encode_args encode = {0, 0, parents, children, device_model->words, device_model->dim, device_model->stride};
    LAUNCH(device_model, sequence, encode, 1, hsae_encode_groups(device_model, parents), encode, .panels = device_model->panels,
           .encoder = search->rows, .feature_scalars = search->feature_scalars, .bits = device_model->bits,
           .scratch = device_model->scratch);
}

/* The parents from `first` on and before `end` against one block of children. */
static void record_block(struct tree_search *search, struct hsae_sequence *sequence, uint32_t child, uint32_t children, uint32_t first,
                         uint32_t end)
{
    const struct device_model *device_model = search->device_model;
    if (!hsae_similarity_counts(search->config->similarity))
        record_rows(search, sequence, device_model->first[search->level] + child, children, device_model->padded,
                    search->columns ? search->columns : device_model->panels);
    for (uint32_t parent = first, count; parent < end; parent += count) {
        count = search->rows_room < end - parent ? search->rows_room : end - parent;
        struct relink_best_args best = {child, children, device_model->padded, parent, count, search->candidates};
        record_similarity(search, sequence, child, children, parent, count);
        LAUNCH(device_model, sequence, relink_best, 1, hsae_groups_for(device_model, HSAE_KERNEL_relink_best, children), best,
               .similarity = device_model->scratch, .cursor = search->cursor, .best = search->best);
    }
}

/* What the host makes of a sampled child. */
struct checked_child {
    uint32_t child;
    float *row;
    double norm, best, found; /* similarities to the best parent, and to the one that the device found */
};

/* One parent against all sampled children. */
static void compare_parent(const struct tree_search *search, struct checked_child *children, uint32_t parent, const float *row,
                           bool *diverged)
{
    const uint32_t dim = search->device_model->dim;
    double norm = sqrt(hsae_check_dot(row, row, dim));
    *diverged |= !(norm < CHECK_MOST);
    for (int k = 0; k < CHECKED_CHILDREN; k++) {
        double size = norm * children[k].norm, cosine = size > 0 ? hsae_check_dot(row, children[k].row, dim) / size : 0;
        children[k].best = fmax(children[k].best, cosine);
        if (search->list[(size_t)children[k].child * search->candidates].parent == parent)
            children[k].found = cosine;
    }
}

/* Rows of E or D from feature `first` on. */
static hsae_status read_rows(const struct tree_search *search, const u32 *flags, uint32_t first, uint32_t count, float *out)
{
    const struct device_model *device_model = search->device_model;
    if (search->config->similarity != HSAE_SIMILARITY_DECODER)
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

static hsae_status compare_children(const struct tree_search *search, const struct checked_child *children, double off)
{
    for (int k = 0; k < CHECKED_CHILDREN; k++) {
        const struct candidate *best = &search->list[(size_t)children[k].child * search->candidates];
        if (!(fabs(best->similarity - children[k].found) <= off) || !(children[k].best <= children[k].found + 2 * off))
            return hsae_fail_wrong(search->device_model->device,
                                   "in a hierarchy update feature %" PRIu32 " of level %" PRIu32
                                   " gets a parent of similarity %.7g, which is "
                                   "%.7g; the best has %.7g",
                                   children[k].child, search->level, best->similarity, children[k].found, children[k].best);
    }
    return HSAE_OK;
}

/* Both ends, and between them. */
static void sample_children(const struct tree_search *search, struct checked_child *children)
{
    for (uint32_t k = 0; k < CHECKED_CHILDREN; k++)
        children[k] = (struct checked_child){
            .child = (uint32_t)((uint64_t)(search->children - 1) * k / (CHECKED_CHILDREN - 1)), .best = -INFINITY, .found = NAN};
}

/* The history of features first .. first + count - 1, to rows of `line` features. */
static hsae_status read_history(const struct device_model *device_model, uint32_t first, uint32_t count, uint32_t line, u32 *out)
{
    const uint64_t words = device_model->words, word = sizeof *out;
    hsae_status status = HSAE_OK;
    for (uint64_t step = 0; step < HSAE_ACTIVITY_STEPS && !status; step++)
        status = hsae_buffer_read(device_model->history, (step * device_model->features + first) * words * word, count * words * word,
                                  out + step * line * words);
    return status;
}

/* A few children against all parents by counts: the reference's kernel on their history, some parents at a time. */
static hsae_status check_counts(const struct tree_search *search)
{
    enum { BLOCK = 1 << 20 };
    const struct device_model *device_model = search->device_model;
    const uint32_t words = device_model->words, most = BLOCK / (HSAE_ACTIVITY_STEPS * words) + 1, line = most + CHECKED_CHILDREN;
    const uint32_t above = device_model->first[search->level - 1], own = device_model->first[search->level];
    const bool counts_alone = counted_samples(search) == 0;
    struct checked_child children[CHECKED_CHILDREN];
    u32 *history = calloc((size_t)HSAE_ACTIVITY_STEPS * line * words, sizeof *history);
    f32 *counts = malloc((size_t)most * CHECKED_CHILDREN * sizeof *counts);
    hsae_status status = history && counts ? HSAE_OK
                                           : hsae_fail_memory(device_model->context, (uint64_t)HSAE_ACTIVITY_STEPS * line * words * 4, NULL,
                                                              "the check of a hierarchy update");
    sample_children(search, children);
    for (uint32_t k = 0; k < CHECKED_CHILDREN && !status; k++)
        status = read_history(device_model, own + children[k].child, 1, line, history + (size_t)(most + k) * words);
    for (uint32_t parent = 0, count; parent < search->parents && !status; parent += count) {
        count = search->parents - parent < most ? search->parents - parent : most;
        status = read_history(device_model, above + parent, count, line, history);
        const struct relink_count_args args = {most,  CHECKED_CHILDREN,        CHECKED_CHILDREN,   0, count, line,
                                               words, counted_samples(search), least_share(search)};
        const struct hsae_relink_count_memory memory = {.history = history, .counts = counts};
        if (!status)
            hsae_ref_relink_count(&memory, &args);
        for (uint32_t r = 0; r < count && !status; r++)
            for (uint32_t k = 0; k < CHECKED_CHILDREN; k++) {
                const double similarity = counts[(size_t)r * CHECKED_CHILDREN + k];
                children[k].best = fmax(children[k].best, similarity);
                if (search->list[(size_t)children[k].child * search->candidates].parent == parent + r)
                    children[k].found = similarity;
            }
    }
    free(history);
    free(counts);
    return status ? status : compare_children(search, children, counts_alone ? 0 : bound_ulps(16, 3));
}

/* The same by cosines. */
static hsae_status check_cosines(const struct tree_search *search)
{
    enum { BLOCK = 1 << 20 };
    const struct device_model *device_model = search->device_model;
    const uint32_t above = device_model->first[search->level - 1], own = device_model->first[search->level],
                   most = BLOCK / device_model->dim + 1;
    struct checked_child children[CHECKED_CHILDREN];
    bool diverged = false; /* norms are beyond floats, or close to that: not the device's fault */
    float *rows = malloc(((size_t)most + CHECKED_CHILDREN) * device_model->dim * sizeof *rows);
    u32 *flags = malloc(device_model->features * sizeof *flags);
    hsae_status status = rows && flags ? hsae_buffer_read(device_model->flags, 0, device_model->features * sizeof *flags, flags)
                                       : hsae_fail_memory(device_model->context, (uint64_t)most * device_model->dim * sizeof *rows, NULL,
                                                          "the check of a hierarchy update");
    sample_children(search, children);
    for (uint32_t k = 0; k < CHECKED_CHILDREN && !status; k++) {
        struct checked_child *child = &children[k];
        child->row = rows + ((size_t)most + k) * device_model->dim;
        status = read_rows(search, flags, own + child->child, 1, child->row);
        if (!status)
            child->norm = sqrt(hsae_check_dot(child->row, child->row, device_model->dim));
        diverged |= !status && !(child->norm < CHECK_MOST);
    }
    for (uint32_t parent = 0, count; parent < search->parents && !status; parent += count) {
        count = search->parents - parent < most ? search->parents - parent : most;
        status = read_rows(search, flags, above + parent, count, rows);
        for (uint32_t r = 0; r < count && !status; r++)
            compare_parent(search, children, parent + r, rows + (size_t)r * device_model->dim, &diverged);
    }
    if (!status && !diverged)
        status = compare_children(search, children, 4 * bound_sum(device_model->dim, 1) + bound_ulps(8, 1));
    free(rows);
    free(flags);
    return status;
}

/* Nothing found yet of `children` of the device, whose cursors are `last`. */
static hsae_status write_start(struct tree_search *search, uint32_t children, const struct candidate *last)
{
    size_t entries = (size_t)children * search->candidates;
    for (size_t k = 0; k < entries; k++)
        search->list[k] = (struct candidate){-INFINITY, NONE};
    hsae_status status = hsae_buffer_write(search->best, 0, entries * sizeof *search->list, search->list);
    return status ? status : hsae_buffer_write(search->cursor, 0, children * sizeof *last, last);
}

/* What was found of them, to the start of search->list. */
static hsae_status read_found(struct tree_search *search, uint32_t children)
{
    size_t entries = (size_t)children * search->candidates;
    hsae_status status = hsae_buffer_read(search->best, 0, entries * sizeof *search->list, search->list);
    for (size_t k = 0; k < entries && !status; k++)
        if (search->list[k].parent >= search->parents && search->list[k].parent != NONE)
            status = hsae_fail_wrong(search->device_model->device, "the best parents that it found are no features");
    return status;
}

/* `children` of the device against parents first .. end - 1. */
static hsae_status run_blocks(struct tree_search *search, uint32_t children, uint32_t first, uint32_t end)
{
    const struct device_model *device_model = search->device_model;
    hsae_status status = HSAE_OK;
    for (uint32_t child = 0, count; child < children && !status; child += count) {
        struct hsae_sequence *sequence = NULL;
        count = device_model->batch < children - child ? device_model->batch : children - child;
        status = hsae_sequence_create(device_model->device, "hierarchy update", false, &sequence);
        if (!status) {
            record_block(search, sequence, child, count, first, end);
            status = hsae_device_model_run_once(device_model, &sequence);
        }
    }
    return status;
}

/* What every device has of features first .. first + count - 1 of a level, `line` bytes each, to `all`, in the model's order. `parts` has
 * room for as much. */
static hsae_status gather_rows(const struct tree_search *search, uint32_t level, uint32_t first, uint32_t count, size_t line,
                               const void *own, unsigned char *parts, unsigned char *all)
{
    const struct part *part = search->device_model->part;
    const uint16_t *owner = part->owner + part->first[level] + first;
    size_t sizes[HSAE_MAX_SHARDS] = {0};
    const unsigned char *at[HSAE_MAX_SHARDS];
    for (uint32_t k = 0; k < count; k++)
        sizes[owner[k]] += line;
    for (uint32_t r = 0, sum = 0; r < part->ranks; sum += (uint32_t)sizes[r++])
        at[r] = parts + sum;
    hsae_status status = hsae_peers_gather(search->peers, part->rank, own, sizes, parts);
    for (uint32_t k = 0; k < count && !status; k++) {
        memcpy(all + k * line, at[owner[k]], line);
        at[owner[k]] += line;
    }
    return status;
}

/* Rows of parents first .. first + count - 1, of all devices, to search->gathered. `rows`: room for three times as many. */
static hsae_status gather_parents(const struct tree_search *search, const u32 *flags, uint32_t first, uint32_t count, float *rows)
{
    const struct device_model *device_model = search->device_model;
    const uint32_t level = search->level - 1, below = hsae_part_below(device_model->part, level, first),
                   own = hsae_part_below(device_model->part, level, (uint64_t)first + count) - below;
    const size_t room = (size_t)search->rows_room * device_model->dim;
    hsae_status status = own ? read_rows(search, flags, device_model->first[level] + below, own, rows) : HSAE_OK;
    if (!status)
        status = gather_rows(search, level, first, count, device_model->dim * sizeof *rows, rows, (unsigned char *)(rows + room),
                             (unsigned char *)(rows + 2 * room));
    return status ? status : hsae_rows_write(device_model, search->gathered.range[0], 0, count, rows + 2 * room);
}

/* Each device looks for its own children; all get what all have found. */
static hsae_status find_together(struct tree_search *search)
{
    const struct device_model *device_model = search->device_model;
    const struct part *part = device_model->part;
    const uint32_t own = part->own[search->level], *number = part->number + device_model->first[search->level];
    const size_t line = search->candidates * sizeof *search->list, bytes = search->children * line;
    float *rows = malloc(3 * (size_t)search->rows_room * device_model->dim * sizeof *rows);
    u32 *flags = malloc(device_model->features * sizeof *flags);
    unsigned char *parts = malloc(bytes), *all = malloc(bytes);
    struct candidate *last = malloc((own + 1) * sizeof *last);
    hsae_status status = rows && flags && parts && all && last
                             ? hsae_buffer_read(device_model->flags, 0, device_model->features * sizeof *flags, flags)
                             : hsae_fail_memory(device_model->context, 2 * bytes, "smaller levels", "the candidates of all devices");
    for (uint32_t k = 0; k < own && !status; k++)
        last[k] = search->last[number[k]];
    if (!status && own)
        status = write_start(search, own, last);
    for (uint32_t first = 0, count; first < search->parents && !status; first += count) {
        count = search->rows_room < search->parents - first ? search->rows_room : search->parents - first;
        status = gather_parents(search, flags, first, count, rows);
        if (!status)
            status = run_blocks(search, own, first, first + count);
    }
    if (!status && own)
        status = read_found(search, own);
    if (!status)
        status = gather_rows(search, search->level, 0, search->children, line, search->list, parts, all);
    if (!status)
        memcpy(search->list, all, bytes);
    free(rows);
    free(flags);
    free(parts);
    free(all);
    free(last);
    return status;
}

/* Every child's best candidates after its cursor, to search->list. */
static hsae_status find_candidates(struct tree_search *search)
{
    const struct device_model *device_model = search->device_model;
    if (search->peers)
        return find_together(search);
    /* A memory plan's device computes nothing, and one block has the buffers of all. */
    const uint32_t searched =
        device_model->device->unlimited_memory && device_model->batch < search->children ? device_model->batch : search->children;
    hsae_status status = write_start(search, search->children, search->last);
    if (!status)
        status = run_blocks(search, searched, 0, search->parents);
    if (!status)
        status = read_found(search, search->children);
    if (!status && search->check)
        status = hsae_similarity_counts(search->config->similarity) ? check_counts(search) : check_cosines(search);
    search->check = false;
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

/* By inclusion and part, a parent that is active with the child less often than by chance, or that kernels/args.h rules out, is none. */
static bool is_parent(const struct tree_search *search, const struct candidate *candidate)
{
    bool inclusion = search->config->similarity == HSAE_SIMILARITY_INCLUSION || search->config->similarity == HSAE_SIMILARITY_PART;
    return candidate->parent != NONE && (!inclusion || candidate->similarity > 0);
}

/* Best parent each, then the least similar features lose theirs (ties: lowest index first). */
static hsae_status link_best(struct tree_search *search, uint32_t excluded, int32_t *parent)
{
    struct ranked *ranked = malloc(search->children * sizeof *ranked);
    hsae_status status = ranked ? find_candidates(search)
                                : hsae_fail_memory(search->device_model->context, search->children * sizeof *ranked, "smaller levels",
                                                   "the similarities of %" PRIu32 " features", search->children);
    for (uint32_t j = 0; j < search->children && !status; j++) {
        parent[j] = is_parent(search, &search->list[j]) ? (int32_t)search->list[j].parent : -1;
        ranked[j] = (struct ranked){search->list[j].similarity, j};
    }
    if (!status) {
        qsort(ranked, search->children, sizeof *ranked, lowest_first);
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
    const struct tree_search *search;
};

static const struct candidate *next_of(const struct queue *queue, uint32_t child)
{
    return &queue->search->list[(size_t)child * queue->search->candidates + queue->next[child]];
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
static hsae_status refill(struct tree_search *search, struct queue *queue)
{
    hsae_status status = find_candidates(search);
    uint32_t kept = 0;
    for (uint32_t k = 0; k < queue->size && !status; k++) {
        uint32_t child = queue->heap[k];
        queue->next[child] = 0;
        if (is_parent(search, next_of(queue, child)))
            queue->heap[kept++] = child;
    }
    queue->size = kept;
    for (uint32_t k = kept / 2; k--;)
        sift(queue, k);
    return status;
}

static hsae_status link_binary(struct tree_search *search, uint32_t excluded, int32_t *parent)
{
    struct queue queue = {.size = search->children, .search = search};
    uint8_t *taken = calloc(search->parents, sizeof *taken);
    queue.heap = malloc(search->children * sizeof *queue.heap);
    queue.next = calloc(search->children, sizeof *queue.next);
    hsae_status status = HSAE_OK;
    if (!taken || !queue.heap || !queue.next)
        status = hsae_fail_memory(search->device_model->context,
                                  search->children * (sizeof *queue.heap + sizeof *queue.next) + search->parents * sizeof *taken,
                                  "smaller levels", "a queue of %" PRIu32 " features", search->children);
    for (uint32_t j = 0; j < search->children && !status; j++) {
        parent[j] = -1;
        queue.heap[j] = j;
    }
    if (!status)
        status = refill(search, &queue);
    uint32_t wanted = search->children - excluded, places = 2 * search->parents;
    while (!status && queue.size && wanted && places) {
        uint32_t child = queue.heap[0];
        struct candidate top = *next_of(&queue, child);
        search->last[child] = top;
        if (taken[top.parent] < 2) {
            taken[top.parent]++;
            places--;
            wanted--;
            parent[child] = (int32_t)top.parent;
        } else if (++queue.next[child] == search->candidates) {
            status = refill(search, &queue);
            continue;
        } else if (is_parent(search, next_of(&queue, child))) {
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
static hsae_status create_plain_scalars(struct tree_search *search)
{
    const struct device_model *device_model = search->device_model;
    uint64_t bytes = (uint64_t)search->rows_room * SCALAR_WORDS * sizeof(u32);
    u32 *feature_scalars = calloc(1, bytes);
    hsae_status status = hsae_buffer_create(device_model->device, "plain scalars", bytes, HSAE_BUFFER_DEVICE, &search->feature_scalars);
    if (!status && !feature_scalars)
        status = hsae_fail_memory(device_model->context, bytes, NULL, "the plain scalars of %" PRIu32 " features", search->rows_room);
    for (uint32_t r = 0; r < search->rows_room && !status; r++)
        feature_scalars[(size_t)r * SCALAR_WORDS + SCALAR_CUT] = bits_u32(-INFINITY);
    if (!status)
        status = hsae_buffer_write(search->feature_scalars, 0, bytes, feature_scalars);
    free(feature_scalars);
    return status;
}

static void fit_kernels(const struct tree_search *search)
{
    const struct device_model *device_model = search->device_model;
    FIT(device_model, 1, HSAE_KERNEL_relink_best);
    if (hsae_similarity_counts(search->config->similarity))
        FIT(device_model, 1, HSAE_KERNEL_relink_count);
    else
        FIT(device_model, device_model->ranges, HSAE_KERNEL_relink_rows);
}

/* All devices take as many parents at a time as the one with the least room, and have a buffer for their rows. */
static hsae_status agree_on_room(struct tree_search *search)
{
    const struct device_model *device_model = search->device_model;
    const struct part *part = device_model->part;
    uint32_t rooms[HSAE_MAX_SHARDS];
    size_t sizes[HSAE_MAX_SHARDS];
    for (uint32_t r = 0; r < part->ranks; r++)
        sizes[r] = sizeof *rooms;
    hsae_status status = hsae_peers_gather(search->peers, part->rank, &search->rows_room, sizes, rooms);
    for (uint32_t r = 0; r < part->ranks && !status; r++)
        search->rows_room = rooms[r] < search->rows_room ? rooms[r] : search->rows_room;
    if (!status)
        status =
            hsae_buffer_create(device_model->device, "rows of parents", (uint64_t)search->rows_room * device_model->stride * sizeof(float),
                               HSAE_BUFFER_DEVICE, &search->gathered.range[0]);
    return status;
}

static hsae_status create(struct tree_search *search)
{
    const struct device_model *device_model = search->device_model;
    const hsae_config *config = search->config;
    uint32_t children = 0, parents = 0;
    for (uint32_t l = 1; l < device_model->levels; l++) {
        children = config->levels[l] > children ? config->levels[l] : children;
        parents = config->levels[l - 1] > parents ? config->levels[l - 1] : parents;
    }
    size_t entries = (size_t)children * search->candidates;
    fit_kernels(search);
    search->rows_room = device_model->chunk < parents ? device_model->chunk : parents;
    hsae_status status = search->peers ? agree_on_room(search) : HSAE_OK;
    if (!status)
        status = create_plain_scalars(search);
    if (!status)
        status = hsae_buffer_create(device_model->device, "unit rows", (uint64_t)search->rows_room * device_model->stride * sizeof(float),
                                    HSAE_BUFFER_DEVICE, &search->rows);
    if (!status)
        status = hsae_device_model_buffer(device_model, "best parents", 2 * (uint64_t)entries, GROWS_WITH_FEATURES, &search->best);
    if (!status)
        status = hsae_buffer_create(device_model->device, "cursors", children * sizeof *search->last, HSAE_BUFFER_DEVICE, &search->cursor);
    if (!status && hsae_device_has_gemm(device_model->device))
        status =
            hsae_buffer_create(device_model->device, "unit columns", (uint64_t)device_model->padded * device_model->stride * sizeof(float),
                               HSAE_BUFFER_DEVICE, &search->columns);
    search->list = malloc(entries * sizeof *search->list);
    search->last = malloc(children * sizeof *search->last);
    if (!status && (!search->list || !search->last))
        status = hsae_fail_memory(device_model->context, entries * sizeof *search->list + children * sizeof *search->last, "smaller levels",
                                  "the candidates of %" PRIu32 " features", children);
    return status;
}

static void destroy(struct tree_search *search)
{
    hsae_ranged_destroy(&search->gathered);
    hsae_buffer_destroy(&search->rows);
    hsae_buffer_destroy(&search->columns);
    hsae_buffer_destroy(&search->feature_scalars);
    hsae_buffer_destroy(&search->best);
    hsae_buffer_destroy(&search->cursor);
    free(search->list);
    free(search->last);
}

hsae_status hsae_hierarchy_link(const struct device_model *device_model, const hsae_config *config, struct hsae_peers *peers,
                                uint64_t samples, bool check, int32_t *const *parents)
{
    bool binary = config->tree == HSAE_TREE_BINARY;
    struct tree_search search = {
        .device_model = device_model, .config = config, .peers = peers, .samples = samples, .candidates = binary ? BINARY_CANDIDATES : 1};
    hsae_status status = device_model->levels > 1 ? create(&search) : HSAE_OK;
    for (uint32_t l = 1; l < device_model->levels && !status; l++) {
        search.level = l;
        search.check = check;
        search.children = config->levels[l];
        search.parents = config->levels[l - 1];
        uint32_t excluded = config->tree == HSAE_TREE_FULL ? 0 : (uint32_t)floor(config->exclude * search.children);
        for (uint32_t j = 0; j < search.children; j++)
            search.last[j] = (struct candidate){INFINITY, NONE};
        status = binary ? link_binary(&search, excluded, parents[l]) : link_best(&search, excluded, parents[l]);
    }
    destroy(&search);
    return status;
}
