/* SPDX-License-Identifier: MIT */
/* Checks a whole data set before training: norms, rows that are not finite, duplicates, constant columns. */
#include "base/context.h"
#include "dataset.h"
#include "rows.h"
#include "squares.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 20 };
static const double FAR = 10; /* the default of max_norm */

struct check {
    const hsae_dataset *dataset;
    hsae_data_check *out;
    uint32_t dim;
    size_t block_rows;
    float *block;     /* [block_rows][dim] */
    float *norms;     /* [rows] NaN: not finite */
    uint64_t *hashes; /* [finite] */
    uint64_t finite;
    float *first;   /* [dim] the first finite row */
    bool *constant; /* [dim] so far */
    hsae_progress_fn progress;
    void *user;
};

/* Of the bits of a row. */
static uint64_t hash_row(const float *row, uint32_t dim)
{
    uint64_t hash = dim;
    for (uint32_t k = 0; k < dim; k++) {
        uint32_t bits;
        memcpy(&bits, row + k, sizeof bits);
        hash = (hash ^ bits) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    hash *= 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 32;
}

static hsae_status create(struct check *check)
{
    uint64_t rows = hsae_dataset_rows(check->dataset);
    size_t row = check->dim * sizeof(float);
    check->block_rows = BLOCK_BYTES / row ? BLOCK_BYTES / row : 1;
    check->block = malloc(check->block_rows * row);
    check->norms = malloc((size_t)rows * sizeof *check->norms);
    check->hashes = malloc((size_t)rows * sizeof *check->hashes);
    check->first = malloc(row);
    check->constant = malloc(check->dim * sizeof *check->constant);
    if (check->block && check->norms && check->hashes && check->first && check->constant)
        return HSAE_OK;
    return hsae_fail_memory(hsae_dataset_context(check->dataset), rows * (sizeof *check->norms + sizeof *check->hashes), NULL,
                            "checking %" PRIu64 " rows", rows);
}

static void release(struct check *check)
{
    free(check->block);
    free(check->norms);
    free(check->hashes);
    free(check->first);
    free(check->constant);
}

static void note_columns(struct check *check, const float *row)
{
    if (check->finite == 0) {
        memcpy(check->first, row, check->dim * sizeof *row);
        memset(check->constant, 1, check->dim * sizeof *check->constant);
    }
    for (uint32_t k = 0; k < check->dim; k++)
        check->constant[k] &= row[k] == check->first[k];
}

/* Of a row that is finite and not zero. */
static void note_norm(struct check *check, double norm)
{
    hsae_data_check *out = check->out;
    bool first = check->finite == out->zeros;
    out->least = first || norm < out->least ? norm : out->least;
    out->largest = first || norm > out->largest ? norm : out->largest;
}

static void note_row(struct check *check, uint64_t number, const float *row)
{
    hsae_data_check *out = check->out;
    double squares = hsae_row_squares(row, check->dim), norm = sqrt(squares);
    check->norms[number] = isfinite(squares) ? (float)norm : NAN; /* +inf above what a float holds */
    if (!isfinite(squares)) {
        out->first_bad = out->bad++ ? out->first_bad : number;
        return;
    }
    if (norm == 0)
        out->first_zero = out->zeros++ ? out->first_zero : number;
    else
        note_norm(check, norm);
    note_columns(check, row);
    check->hashes[check->finite++] = hash_row(row, check->dim);
}

/* Calls `use` on rows 0 .. rows - 1 in their order, until it returns false. `shown`: report progress. */
static hsae_status for_rows(struct check *check, bool shown, bool (*use)(void *user, uint64_t number, const float *row), void *user)
{
    uint64_t total = hsae_dataset_rows(check->dataset);
    uint64_t *numbers = malloc(check->block_rows * sizeof *numbers);
    hsae_status status = HSAE_OK;
    bool more = true;
    if (!numbers)
        return hsae_fail_memory(hsae_dataset_context(check->dataset), check->block_rows * sizeof *numbers, NULL, "the numbers of rows");
    for (uint64_t first = 0, count; first < total && more && !status; first += count) {
        count = total - first < check->block_rows ? total - first : check->block_rows;
        for (uint64_t r = 0; r < count; r++)
            numbers[r] = first + r;
        status = hsae_dataset_read_any(check->dataset, numbers, (size_t)count, check->block);
        for (uint64_t r = 0; r < count && more && !status; r++)
            more = use(user, first + r, check->block + r * check->dim);
        if (!status && check->progress && !check->progress(check->user, shown ? first + count : total, total))
            status = HSAE_CANCELLED;
    }
    free(numbers);
    return status;
}

static bool first_look(void *user, uint64_t number, const float *row)
{
    note_row(user, number, row);
    return true;
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Sorts the norms for the percentiles, then counts rows far above the median. */
static hsae_status look_at_norms(struct check *check)
{
    hsae_data_check *out = check->out;
    uint64_t n = 0;
    float *sorted = malloc((size_t)check->finite * sizeof *sorted + 1);
    if (!sorted)
        return hsae_fail_memory(hsae_dataset_context(check->dataset), check->finite * sizeof *sorted, NULL, "the norms of %" PRIu64 " rows",
                                check->finite);
    for (uint64_t r = 0; r < out->rows; r++)
        if (check->norms[r] > 0)
            sorted[n++] = check->norms[r];
    qsort(sorted, (size_t)n, sizeof *sorted, compare_floats);
    out->percent_1 = sorted[(uint64_t)(0.01 * (double)(n - 1))];
    out->percent_99 = sorted[(uint64_t)(0.99 * (double)(n - 1))];
    out->median = ((double)sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    free(sorted);
    for (uint64_t r = 0; r < out->rows; r++)
        if (check->norms[r] > FAR * out->median)
            out->first_far = out->far++ ? out->first_far : r;
    return HSAE_OK;
}

static void look_at_columns(struct check *check)
{
    hsae_data_check *out = check->out;
    for (uint32_t k = 0; k < check->dim && check->finite > 1; k++)
        if (check->constant[k]) {
            if (out->constant_columns < HSAE_CHECK_LISTED)
                out->constant[out->constant_columns] = k;
            out->constant_columns++;
        }
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Hashes that occur more than once, ascending, and for each 1 + its first row (0: not met yet). Both arrays are in the memory of
 * check->hashes. */
struct repeated {
    struct check *check;
    uint64_t count;
    uint64_t *hashes, *rows;
};

/* Whether there is no earlier row like this one. */
static bool is_new(void *user, uint64_t number, const float *row)
{
    struct repeated *repeated = user;
    hsae_data_check *out = repeated->check->out;
    if (!isfinite(hsae_row_squares(row, repeated->check->dim)))
        return true;
    uint64_t hash = hash_row(row, repeated->check->dim);
    const uint64_t *found = bsearch(&hash, repeated->hashes, (size_t)repeated->count, sizeof hash, compare_hashes);
    if (!found)
        return true;
    uint64_t *first = &repeated->rows[found - repeated->hashes];
    if (!*first) {
        *first = number + 1;
        return true;
    }
    out->first_duplicate = number;
    out->first_original = *first - 1;
    return false;
}

/* After sorting, equal hashes are neighbours. The second pass over the rows ends at the first duplicate. */
static hsae_status look_for_duplicates(struct check *check)
{
    struct repeated repeated = {.check = check, .hashes = check->hashes};
    uint64_t length;
    qsort(check->hashes, (size_t)check->finite, sizeof *check->hashes, compare_hashes);
    for (uint64_t k = 0; k < check->finite; k += length) {
        for (length = 1; k + length < check->finite && check->hashes[k + length] == check->hashes[k]; length++)
            ;
        check->out->duplicates += length - 1;
        if (length > 1)
            check->hashes[repeated.count++] = check->hashes[k];
    }
    if (!repeated.count)
        return HSAE_OK;
    repeated.rows = check->hashes + repeated.count; /* fits, as each hash was there at least twice */
    memset(repeated.rows, 0, (size_t)repeated.count * sizeof *repeated.rows);
    return for_rows(check, false, is_new, &repeated);
}

hsae_status hsae_dataset_check(const hsae_dataset *dataset, hsae_progress_fn progress, void *user, hsae_data_check *out)
{
    HSAE_REQUIRE(dataset ? hsae_dataset_context(dataset) : NULL, dataset, out);
    struct check check = {.dataset = dataset, .out = out, .dim = hsae_dataset_dim(dataset), .progress = progress, .user = user};
    *out = (hsae_data_check){.rows = hsae_dataset_rows(dataset)};
    hsae_status status = create(&check);
    if (!status)
        status = for_rows(&check, true, first_look, &check);
    if (!status && check.finite > out->zeros)
        status = look_at_norms(&check);
    if (!status && check.finite == out->zeros)
        out->least = out->percent_1 = out->median = out->percent_99 = out->largest = (double)NAN;
    if (!status)
        look_at_columns(&check);
    if (!status)
        status = look_for_duplicates(&check);
    release(&check);
    return status;
}
