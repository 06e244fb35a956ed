/* SPDX-License-Identifier: MIT */
#include "rows.h"
#include "base/context.h"
#include "dataset.h"
#include "squares.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row_rule hsae_row_rule(const hsae_config *config)
{
    return (struct row_rule){config->norm_limit, config->skip_bad_rows};
}

bool hsae_row_rule_acts(const struct row_rule *rule)
{
    return rule->norm_limit > 0 || rule->skip_bad;
}

enum row_verdict hsae_row_judge(const struct row_rule *rule, double squares)
{
    if (!isfinite(squares))
        return rule->skip_bad ? ROW_SKIPPED : ROW_BAD;
    return rule->norm_limit > 0 && sqrt(squares) > rule->norm_limit ? ROW_LONG : ROW_KEPT;
}

size_t hsae_rows_judge(const struct row_rule *rule, const float *rows, size_t count, uint32_t dim, enum row_verdict *verdicts)
{
    size_t left_out = 0;
    for (size_t r = 0; r < count; r++) {
        verdicts[r] = hsae_row_judge(rule, hsae_row_squares(rows + r * dim, dim));
        left_out += hsae_row_left_out(verdicts[r]);
    }
    return left_out;
}

bool hsae_rows_replace(float *rows, size_t count, uint32_t dim, const enum row_verdict *verdicts)
{
    size_t next = 0;
    while (next < count && hsae_row_left_out(verdicts[next]))
        next++;
    if (next == count)
        return false;
    for (size_t r = count; r > 0; r--) /* `next` is the next kept row, at first that after the last */
        if (hsae_row_left_out(verdicts[r - 1]))
            memcpy(rows + (r - 1) * dim, rows + next * dim, dim * sizeof *rows);
        else
            next = r - 1;
    return true;
}

hsae_status hsae_judged_read(const hsae_dataset *dataset, const struct row_rule *rule, uint64_t first, size_t count, float *out,
                             enum row_verdict *verdicts)
{
    uint64_t *rows = malloc(count * sizeof *rows);
    if (!rows)
        return hsae_fail_memory(hsae_dataset_context(dataset), count * sizeof *rows, NULL, "the numbers of %zu rows", count);
    for (size_t r = 0; r < count; r++)
        rows[r] = first + r;
    hsae_status status = rule->skip_bad ? hsae_dataset_read_any(dataset, rows, count, out) : hsae_dataset_read(dataset, rows, count, out);
    free(rows);
    if (!status)
        hsae_rows_judge(rule, out, count, hsae_dataset_dim(dataset), verdicts);
    return status;
}

/* ---- the limit ---- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double hsae_median(double *norms, uint64_t count)
{
    if (!count)
        return 0;
    qsort(norms, (size_t)count, sizeof *norms, compare_doubles);
    return (norms[(count - 1) / 2] + norms[count / 2]) / 2;
}

double hsae_norm_limit(double max_norm, double *norms, uint64_t count)
{
    return max_norm > 0 ? fmin(max_norm * hsae_median(norms, count), FLT_MAX) : 0;
}

hsae_status hsae_dataset_norm_limit(const hsae_dataset *dataset, double max_norm, bool skip_bad_rows, double *out)
{
    HSAE_REQUIRE(dataset ? hsae_dataset_context(dataset) : NULL, dataset, out);
    enum { BLOCK = 256 };
    const struct row_rule finite = {0, skip_bad_rows};
    uint64_t total = hsae_dataset_rows(dataset), rows = total < HSAE_CALIBRATION_ROWS ? total : HSAE_CALIBRATION_ROWS, used = 0;
    uint32_t dim = hsae_dataset_dim(dataset);
    enum row_verdict verdicts[BLOCK];
    float *block = malloc(BLOCK * sizeof *block * dim);
    double *norms = malloc((size_t)rows * sizeof *norms);
    hsae_status status = HSAE_OK;
    *out = 0;
    if (!block || !norms)
        status = hsae_fail_memory(hsae_dataset_context(dataset), rows * sizeof *norms + BLOCK * sizeof *block * (uint64_t)dim, NULL,
                                  "the norms of %" PRIu64 " rows", rows);
    for (uint64_t first = 0, count; first < rows && !status && max_norm > 0; first += count) {
        count = rows - first < BLOCK ? rows - first : BLOCK;
        status = hsae_judged_read(dataset, &finite, first, (size_t)count, block, verdicts);
        for (uint64_t r = 0; r < count && !status; r++) {
            double norm = verdicts[r] == ROW_KEPT ? sqrt(hsae_row_squares(block + r * dim, dim)) : 0;
            if (norm > 0)
                norms[used++] = norm;
        }
    }
    if (!status)
        *out = hsae_norm_limit(max_norm, norms, used);
    free(block);
    free(norms);
    return status;
}

/* ---- counts ---- */

void hsae_left_out_add(hsae_left_out *left_out, enum row_verdict verdict, uint64_t row)
{
    left_out->rows++;
    if (!hsae_row_left_out(verdict))
        return;
    if (left_out->norm + left_out->bad == 0)
        left_out->first = row;
    left_out->norm += verdict == ROW_LONG;
    left_out->bad += verdict == ROW_SKIPPED;
}

void hsae_left_out_join(hsae_left_out *left_out, const hsae_left_out *more)
{
    if (left_out->norm + left_out->bad == 0)
        left_out->first = more->first;
    left_out->rows += more->rows;
    left_out->norm += more->norm;
    left_out->bad += more->bad;
}

/* "98,304" */
static void group(char text[32], uint64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number), used = 0;
    for (int k = 0; k < length; k++) {
        if (k && (length - k) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[k];
    }
    text[used] = '\0';
}

/* "1,533" or "15.33" */
static void norm_text(char text[32], double norm)
{
    if (norm >= 1000 && norm < 1e15)
        group(text, (uint64_t)(norm + 0.5));
    else
        snprintf(text, 32, "%.4g", norm);
}

void hsae_left_out_text(const hsae_left_out *left_out, double norm_limit, const hsae_dataset *dataset, char *text, size_t size)
{
    if (!left_out || !text || size == 0)
        return;
    char count[32], rows[32], limit[32], why[160] = "";
    uint64_t total = left_out->norm + left_out->bad, row = left_out->first;
    group(count, total);
    group(rows, left_out->rows);
    norm_text(limit, norm_limit);
    if (left_out->norm && left_out->bad)
        snprintf(why, sizeof why, "%" PRIu64 " with a norm above %s, %" PRIu64 " not finite", left_out->norm, limit, left_out->bad);
    else if (left_out->norm)
        snprintf(why, sizeof why, "norm above %s", limit);
    else
        snprintf(why, sizeof why, "a value that is not finite");
    const hsae_data_file *file = dataset && row < hsae_dataset_rows(dataset) ? hsae_dataset_place(dataset, row, &row) : NULL;
    if (!total)
        snprintf(text, size, "0 of %s rows left out", rows);
    else
        snprintf(text, size, "%s of %s rows left out (%s; first: %s%srow %" PRIu64 ")", count, rows, why, file ? file->path : "",
                 file ? " " : "", row);
}
