/* SPDX-License-Identifier: MIT */
/* The residuals of the sampled rows, from their lists and the rows of D that these name. */
#include "check.h"

#include <stdlib.h>

/* Rows of D that are read at a time. */
enum { ROW_BLOCK = 64 };

/* An activation's part in a reconstruction: times row `row` of D onto sum `sum`. */
struct share {
    u32 row, sum;
    f32 act;
};

static int by_row(const void *a, const void *b)
{
    const struct share *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return (x->sum > y->sum) - (x->sum < y->sum);
}

/* What a sampled row's reconstructions are made of; the sums are [row_count][L]. Returns how many shares there are; `shares` may be NULL.
 */
static uint64_t list_shares(const struct check *check, u32 slot, struct share *shares)
{
    const u32 levels = check->trainer->device_model.levels;
    uint64_t count = 0;
    for (u32 l = 0; l < levels; l++) {
        const struct check_list *list = &check->lists[slot * levels + l];
        for (u32 k = 0; k < list->count; k++) {
            const u32 flag = check->flags[list->entries[2 * k]];
            const f32 act = bits_f32(list->entries[2 * k + 1]);
            for (u32 up = 0; up < 2 && act != 0.0f; up++) { /* its own level, and the one above where it stands in for its parent */
                if (up ? l == 0 || !(flag & FLAG_PARENT_SWAPPED) : flag & FLAG_SWAPPED)
                    continue;
                if (shares)
                    shares[count] = (struct share){FLAG_ROW(flag), slot * levels + l - up, act};
                count++;
            }
        }
    }
    return count;
}

struct sums {
    double *value, *scale; /* [row_count][L][d] */
    u32 *terms;            /* [row_count][L] */
};

/* sum = c - x. */
static hsae_status start_sums(struct check *check, struct sums *sums)
{
    const struct device_model *device_model = &check->trainer->device_model;
    f32 *x = hsae_check_alloc(check, (uint64_t)check->row_count * device_model->dim, sizeof *x);
    hsae_status status = x ? hsae_check_buffer_rows(check, device_model->x, check->rows, check->row_count, x) : HSAE_ERROR_MEMORY;
    for (u32 sum = 0; sum < check->row_count * device_model->levels && !status; sum++) {
        const f32 *row = x + (size_t)(sum / device_model->levels) * device_model->dim;
        const f32 *bias = check->bias + (size_t)(sum % device_model->levels) * device_model->stride;
        const size_t at = (size_t)sum * device_model->dim;
        for (u32 c = 0; c < device_model->dim; c++) {
            sums->value[at + c] = (double)bias[c] - row[c];
            sums->scale[at + c] = fabs(bias[c]) + fabs(row[c]);
        }
        sums->terms[sum] = 1 + device_model->shards; /* the shards' parts are rounded, too */
    }
    return status;
}

static void add_share(const struct check *check, struct sums *sums, const struct share *share, const f32 *row)
{
    const u32 dim = check->trainer->device_model.dim;
    double *value = sums->value + (size_t)share->sum * dim, *scale = sums->scale + (size_t)share->sum * dim;
    for (u32 c = 0; c < dim; c++) {
        double term = (double)share->act * row[c];
        value[c] += term;
        scale[c] += fabs(term);
    }
    sums->terms[share->sum]++;
}

/* Sorted by row, so that each is read once. */
static hsae_status add_shares(struct check *check, struct sums *sums, const struct share *shares, uint64_t count)
{
    const struct device_model *device_model = &check->trainer->device_model;
    f32 *rows = hsae_check_alloc(check, (uint64_t)ROW_BLOCK * device_model->dim, sizeof *rows);
    hsae_status status = rows ? HSAE_OK : HSAE_ERROR_MEMORY;
    for (uint64_t first = 0, end = 0; first < count && !status; first = end) {
        u32 wanted[ROW_BLOCK], distinct = 0;
        for (; end < count && (distinct < ROW_BLOCK || shares[end].row == wanted[distinct - 1]); end++)
            if (!distinct || shares[end].row != wanted[distinct - 1])
                wanted[distinct++] = shares[end].row;
        status = hsae_check_rows(check, &device_model->decoder, wanted, distinct, rows);
        u32 at = 0;
        for (uint64_t k = first; k < end && !status; k++) {
            at += shares[k].row != wanted[at];
            add_share(check, sums, &shares[k], rows + (size_t)at * device_model->dim);
        }
    }
    return status;
}

hsae_status hsae_check_residuals(struct check *check, f32 *out)
{
    const struct device_model *device_model = &check->trainer->device_model;
    u32 rows[CHECK_ROWS];
    hsae_status status = HSAE_OK;
    for (u32 l = 0; l < device_model->levels && !status; l++) {
        for (u32 k = 0; k < check->row_count; k++)
            rows[k] = hsae_residual_row(device_model, l) + check->rows[k];
        status = hsae_check_buffer_rows(check, hsae_residual(device_model, l), rows, check->row_count,
                                        out + (size_t)l * check->row_count * device_model->dim);
    }
    return status;
}

static hsae_status compare_sums(struct check *check, const struct sums *sums)
{
    const struct device_model *device_model = &check->trainer->device_model;
    hsae_status status = hsae_check_residuals(check, check->residuals);
    for (u32 sum = 0; sum < check->row_count * device_model->levels && !status; sum++) {
        const u32 slot = sum / device_model->levels, level = sum % device_model->levels;
        const size_t at = (size_t)sum * device_model->dim;
        const f32 *found = check->residuals + ((size_t)level * check->row_count + slot) * device_model->dim;
        for (u32 c = 0; c < device_model->dim; c++)
            check->diverged |= !(fabs(sums->value[at + c]) < CHECK_MOST);
        for (u32 c = 0; c < device_model->dim && !status; c++)
            if (!hsae_check_near(found[c], (struct estimate){sums->value[at + c], bound_sum(sums->terms[sum], sums->scale[at + c])}))
                status = hsae_check_fail(check, device_model->shards > 1 ? "kernel decode or merge" : "kernel decode",
                                         "column %u of level %u's residual of row %u is %.7g, not %.7g", c, level, check->rows[slot],
                                         found[c], sums->value[at + c]);
    }
    return status;
}

hsae_status hsae_check_decode(struct check *check)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const uint64_t sums_count = (uint64_t)check->row_count * device_model->levels;
    uint64_t count = 0;
    for (u32 slot = 0; slot < check->row_count; slot++)
        count += list_shares(check, slot, NULL);
    struct sums sums = {.value = hsae_check_alloc(check, sums_count * device_model->dim, sizeof(double)),
                        .scale = hsae_check_alloc(check, sums_count * device_model->dim, sizeof(double)),
                        .terms = hsae_check_alloc(check, sums_count, sizeof(u32))};
    struct share *shares = hsae_check_alloc(check, count, sizeof *shares);
    check->residuals = hsae_check_alloc(check, sums_count * device_model->dim, sizeof *check->residuals);
    if (!sums.value || !sums.scale || !sums.terms || !shares || !check->residuals)
        return HSAE_ERROR_MEMORY;
    count = 0;
    for (u32 slot = 0; slot < check->row_count; slot++)
        count += list_shares(check, slot, shares + count);
    qsort(shares, count, sizeof *shares, by_row);
    hsae_status status = start_sums(check, &sums);
    if (!status)
        status = add_shares(check, &sums, shares, count);
    return status ? status : compare_sums(check, &sums);
}
