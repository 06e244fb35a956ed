/* SPDX-License-Identifier: MIT */
/* Which rows of activations are left out: one rule for calibration, training, evaluation, encoding and exploring.
 *
 * A row is left out where its Euclidean norm is above the limit, or where it has a value that is not finite and such rows are skipped. */
#ifndef HSAE_SRC_ROWS_H
#define HSAE_SRC_ROWS_H

#include <hsae/config.h>
#include <hsae/data.h>

struct row_rule {
    double norm_limit; /* raw units; 0: none */
    bool skip_bad;
};

enum row_verdict {
    ROW_KEPT,
    ROW_LONG,    /* left out: norm above the limit */
    ROW_SKIPPED, /* left out: not finite */
    ROW_BAD,     /* not finite, and not left out: an error */
};

static inline bool hsae_row_left_out(enum row_verdict verdict)
{
    return verdict == ROW_LONG || verdict == ROW_SKIPPED;
}

/* norm_limit must be resolved: 0 is no limit. */
struct row_rule hsae_row_rule(const hsae_config *config);
/* Whether the rule can leave out anything at all. */
bool hsae_row_rule_acts(const struct row_rule *rule);

enum row_verdict hsae_row_judge(const struct row_rule *rule, double squares);

/* Judges [count, dim] rows; returns how many of them are left out. */
size_t hsae_rows_judge(const struct row_rule *rule, const float *rows, size_t count, uint32_t dim, enum row_verdict *verdicts);
/* Replaces each row that is left out with a copy of the next kept row of the [count, dim] rows; row 0 follows the last. False: no row is
 * kept. */
bool hsae_rows_replace(float *rows, size_t count, uint32_t dim, const enum row_verdict *verdicts);
/* Rows first .. first + count - 1 of a data set as floats, and the verdict on each. Rows that are left out are in `out`, too. ERROR_DATA
 * with file and row: a row is not finite and such rows are not skipped. ERROR_FILE. */
hsae_status hsae_judged_read(const hsae_dataset *dataset, const struct row_rule *rule, uint64_t first, size_t count, float *out,
                             enum row_verdict *verdicts);

/* The median of the norms, 0 if there are none. Sorts them. */
double hsae_median(double *norms, uint64_t count);
/* norm_limit where the configuration leaves it open: max_norm times the median, at most FLT_MAX, as a configuration
 * holds no more. */
double hsae_norm_limit(double max_norm, double *norms, uint64_t count);
enum { HSAE_CALIBRATION_ROWS = 65536 }; /* number of rows, from the first on, for that median */

/* Counts one more row: number `row` of the data set. */
void hsae_left_out_add(hsae_left_out *left_out, enum row_verdict verdict, uint64_t row);
/* Adds the counts of what came after. */
void hsae_left_out_join(hsae_left_out *left_out, const hsae_left_out *more);

#endif
