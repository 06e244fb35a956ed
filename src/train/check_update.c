/* SPDX-License-Identifier: MIT */
/* The result of a step: the sampled features' rows and scalars, the decoder biases and the figures. The step's lists and residuals must be
 * the ones that were checked before. All rows of the batch are read once, a block at a time. */
#include "check.h"

#include "base/context.h"
#include "ref/ref.h"
#include "step.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A block of the batch, and sums over it. Rows have d floats. */
struct block {
    u32 first, rows;
    f32 *x, *residual[HSAE_MAX_LEVELS];
    f32 *ghost[HSAE_MAX_LEVELS];   /* of levels with ghost gradients */
    double *sizes;                 /* [L][rows]: norms of the residuals */
    u32 *samples[HSAE_MAX_LEVELS]; /* the rows' pairs of each level; where there is a constraint */
    double *x_sum, *x_squares;     /* [d] */
    double *bias_sum, *bias_scale; /* [L][d] */
};

/* What the step left. */
struct after {
    u32 *feature_scalars, *decoder_rows, *last_fired, *step_state;
    f32 *bias, *bias_v;
    f32 *encoder, *encoder_v, *decoder, *decoder_v; /* of the sampled features */
    f32 *loss;
};

/* ---- the same lists and residuals ---- */

static hsae_status differs(const struct check *check, const char *what)
{
    return hsae_check_fail(check, "the forward pass", "the same one, done again, makes other %s", what);
}

static hsae_status check_same(struct check *check)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const uint64_t size = (uint64_t)device_model->levels * check->row_count * device_model->dim;
    u32 *starts, *pairs;
    f32 *residuals = hsae_check_alloc(check, size, sizeof *residuals);
    hsae_status status =
        residuals ? hsae_check_words(check, device_model->starts, 0, device_model->features + 1, &starts) : HSAE_ERROR_MEMORY;
    if (!status && memcmp(starts, check->starts, (device_model->features + 1) * sizeof *starts) != 0)
        status = differs(check, "numbers of pairs");
    hsae_check_open_lists(check);
    for (u32 k = 0; k < check->feature_count && !status; k++) {
        struct check_feature *feature = &check->features[k];
        const uint64_t words = 2 * (uint64_t)(feature->end - feature->begin);
        feature->next = 0;
        status = hsae_check_part(check, &check->pairs, 2 * (uint64_t)feature->begin, words, &pairs);
        if (!status && memcmp(pairs, feature->pairs, words * sizeof *pairs) != 0)
            status = differs(check, "pairs");
    }
    if (!status)
        status = hsae_check_residuals(check, residuals);
    if (!status && memcmp(residuals, check->residuals, size * sizeof *residuals) != 0)
        status = differs(check, "residuals");
    return status;
}

/* ---- sums over the batch ---- */

static hsae_status block_create(struct check *check, struct block *block)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const uint64_t dim = device_model->dim, size = check->block_rows * dim;
    bool good = (block->x = hsae_check_alloc(check, size, sizeof(f32))) &&
                (block->x_sum = hsae_check_alloc(check, 2 * dim, sizeof(double))) &&
                (block->bias_sum = hsae_check_alloc(check, 2 * device_model->levels * dim, sizeof(double))) &&
                (block->sizes = hsae_check_alloc(check, (uint64_t)device_model->levels * check->block_rows, sizeof(double)));
    for (u32 l = 0; l < device_model->levels && good; l++)
        good = (block->residual[l] = hsae_check_alloc(check, size, sizeof(f32))) != NULL &&
               (!check->ghosts[l] || (block->ghost[l] = hsae_check_alloc(check, size, sizeof(f32))) != NULL);
    if (!good)
        return HSAE_ERROR_MEMORY;
    block->x_squares = block->x_sum + dim;
    block->bias_scale = block->bias_sum + device_model->levels * dim;
    return HSAE_OK;
}

static void block_free_samples(struct block *block)
{
    for (int l = 0; l < HSAE_MAX_LEVELS; l++) {
        free(block->samples[l]);
        block->samples[l] = NULL;
    }
}

/* Where a row's list of a level is, in all lists. */
static const u32 *list_starts(const struct check *check, u32 level, u32 row)
{
    return check->sample_starts + (size_t)level * check->trainer->device_model.batch + row;
}

static hsae_status block_read(const struct check *check, struct block *block)
{
    const struct device_model *device_model = &check->trainer->device_model;
    hsae_status status = hsae_rows_read(device_model, device_model->x, block->first, block->rows, block->x);
    for (u32 l = 0; l < device_model->levels && !status; l++) {
        status = hsae_rows_read(device_model, hsae_residual(device_model, l), hsae_residual_row(device_model, l) + block->first,
                                block->rows, block->residual[l]);
        if (!status && block->ghost[l])
            status = hsae_rows_read(device_model, check->trainer->ghost[l], block->first, block->rows, block->ghost[l]);
        if (status || !hsae_uses_constraint(check->trainer))
            continue;
        const u32 begin = *list_starts(check, l, block->first), end = *list_starts(check, l, block->first + block->rows);
        const uint64_t bytes = 2 * sizeof(u32) * (uint64_t)(end - begin);
        block->samples[l] = malloc(bytes ? bytes : 1);
        if (!block->samples[l])
            status = hsae_fail_memory(check->trainer->context, bytes, "a smaller batch", "the check of a step");
        else if (bytes)
            status = hsae_buffer_read(device_model->samples, 2 * sizeof(u32) * (uint64_t)begin, bytes, block->samples[l]);
    }
    return status;
}

/* The sums of columns, and each row's loss against its residual. */
static hsae_status add_columns(const struct check *check, const struct after *after, struct block *block)
{
    const struct device_model *device_model = &check->trainer->device_model;
    for (u32 r = 0; r < block->rows; r++) {
        const f32 *x = block->x + (size_t)r * device_model->dim;
        for (u32 c = 0; c < device_model->dim; c++) {
            block->x_sum[c] += x[c];
            block->x_squares[c] += (double)x[c] * x[c];
        }
        for (u32 l = 0; l < device_model->levels; l++) {
            const f32 *row = block->residual[l] + (size_t)r * device_model->dim;
            double squares = 0, found = 0, *sum = block->bias_sum + (size_t)l * device_model->dim,
                   *scale = block->bias_scale + (size_t)l * device_model->dim;
            for (u32 c = 0; c < device_model->dim; c++) {
                sum[c] += row[c];
                scale[c] += fabs(row[c]);
                squares += (double)row[c] * row[c];
            }
            for (u32 slice = 0; slice < device_model->slices; slice++)
                found += after->loss[((size_t)l * device_model->slices + slice) * device_model->padded + block->first + r];
            block->sizes[(size_t)l * check->block_rows + r] = sqrt(squares);
            struct estimate loss = {squares, 2 * bound_sum(device_model->dim, squares)};
            if (!hsae_check_near(found, loss))
                return hsae_check_off(check, "kernel decode", "a row's loss", found, loss);
        }
    }
    return HSAE_OK;
}

/* The activation of a feature of a level on a row of the block. */
static f32 activation(const struct check *check, const struct block *block, u32 level, u32 r, u32 index)
{
    const u32 *starts = list_starts(check, level, block->first + r), base = *list_starts(check, level, block->first);
    for (u32 k = starts[0] - base; k < starts[1] - base; k++)
        if (block->samples[level][2 * (size_t)k] == index)
            return bits_f32(block->samples[level][2 * (size_t)k + 1]);
    return 0;
}

/* The constraint's part of q, 2 rho D_i . (u_i - u_parent), and the products with relatives' activations. */
static struct estimate add_family(const struct check *check, const struct block *block, struct check_feature *f, u32 r, double a)
{
    const u32 dim = check->trainer->device_model.dim;
    const bool has_parent = f->children && check->tree[(size_t)f->index * TREE_WORDS + TREE_PARENT] != NONE;
    const double rho = (f32)check->trainer->config.rho;
    struct sum side = {0};
    if (f->children < f->relative_count)
        sum_add(&side, a, 0);
    if (has_parent)
        sum_add(&side, a, bound_ulps(2, a));
    for (u32 k = 0; k < f->relative_count; k++) {
        struct check_relative *relative = &f->relatives[k];
        const bool child = k >= f->children, parent = has_parent && k == 0;
        const double act = activation(check, block, child ? f->level + 1 : parent ? f->level - 1 : f->level, r, relative->index);
        /* u_i = a_i D_i - the children; u_parent = a_parent D_parent - the siblings and itself. */
        sum_add(&side, (child || parent ? -1 : 1) * act * relative->dot, act * (2 * bound_sum(dim, 1) + bound_ulps(4, relative->dot)));
        relative->product += a * act;
    }
    struct estimate sum = sum_estimate(&side);
    return (struct estimate){2 * rho * sum.value, 2 * rho * (sum.off + bound_ulps(4, side.scale))};
}

/* One pair: q, the sums of scalars, and those of columns. */
static void add_pair(const struct check *check, const struct block *block, struct check_feature *f, u32 r, f32 value)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 dim = device_model->dim, *scalars = check->feature_scalars + (size_t)f->index * SCALAR_WORDS;
    const f32 threshold = bits_f32(scalars[SCALAR_THRESHOLD]), bandwidth = (f32)check->trainer->config.bandwidth;
    const double lambda = bits_f32(check->step_state[STATE_LEVELS + f->level * STATE_LEVEL_WORDS + STATE_LAMBDA]);
    const double a = value > threshold ? value : 0;
    struct estimate q = {0, 0};
    const f32 *target[2] = {NULL, NULL}, *x = block->x + (size_t)r * dim;
    for (u32 up = 0; up < 2; up++) {
        if (up ? !(f->flag & FLAG_PARENT_SWAPPED) : f->flag & FLAG_SWAPPED)
            continue;
        target[up] = block->residual[f->level - up] + (size_t)r * dim;
        q.value += 2 * hsae_check_dot(f->decoder, target[up], dim);
        q.off += 2 * bound_sum(dim, f->decoder_norm * block->sizes[(size_t)(f->level - up) * check->block_rows + r]);
    }
    if (f->relative_count) {
        struct estimate side = add_family(check, block, f, r, a);
        q.off += side.off + bound_ulps(1, q.value);
        q.value += side.value;
    }
    sum_add(&f->radial, a * q.value, a * q.off);
    sum_add(&f->squares, a * a, 0);
    if (a > 0)
        sum_add(&f->bias, q.value, q.off);
    if (fabsf(value - threshold) < 0.5f * bandwidth) {
        sum_add(&f->threshold, -threshold * q.value, threshold * q.off);
        sum_add(&f->threshold, -lambda, 0);
    }
    if (a <= 0)
        return;
    f->active++;
    for (u32 up = 0; up < 2; up++)
        for (u32 c = 0; target[up] && c < dim; c++) {
            double term = a * target[up][c];
            f->decoder_sum[c] += term;
            f->decoder_scale[c] += fabs(term);
        }
    for (u32 c = 0; c < dim; c++) {
        double term = q.value * x[c];
        f->encoder_sum[c] += term;
        f->encoder_scale[c] += fabs(term);
        f->encoder_carried[c] += q.off * fabs(x[c]);
    }
}

static hsae_status add_block(const struct check *check, const struct after *after, struct block *block)
{
    hsae_status status = block_read(check, block);
    if (!status)
        status = add_columns(check, after, block);
    for (u32 k = 0; k < check->feature_count && !status; k++) {
        struct check_feature *f = &check->features[k];
        for (; f->next < f->end - f->begin && f->pairs[2 * (size_t)f->next] < block->first + block->rows; f->next++)
            if (!f->crowded)
                add_pair(check, block, f, f->pairs[2 * (size_t)f->next] - block->first, bits_f32(f->pairs[2 * (size_t)f->next + 1]));
        for (u32 r = 0; r < block->rows && f->ghost && !status; r++) {
            const size_t line = (size_t)r * check->trainer->device_model.dim;
            hsae_check_add_ghost(check, f, block->first + r, block->x + line, block->ghost[f->level] + line);
        }
    }
    return status;
}

/* ---- features ---- */

/* A sampled feature's update. */
struct update {
    struct check *check;
    struct check_feature *f;
    const u32 *scalars, *new_scalars;
    struct adam_bounds adam;
    struct estimate *moved; /* [d] */
    const f32 *encoder, *encoder_v, *decoder, *decoder_v;
    f32 shift; /* of the level's log thresholds */
};

static hsae_status compare(const struct update *update, const char *what, double found, struct estimate wanted)
{
    const struct check *check = update->check;
    char name[96];
    if (hsae_check_near(found, wanted))
        return HSAE_OK;
    snprintf(name, sizeof name, "%s of feature %u of level %u", what,
             update->f->index - check->trainer->device_model.first[update->f->level], update->f->level);
    return hsae_check_off(check, "kernel update", name, found, wanted);
}

static struct estimate gradient(const struct check *check, struct estimate sum, double factor)
{
    const double share = factor / check->trainer->device_model.batch;
    return (struct estimate){share * sum.value, share * sum.off + bound_ulps(6, share * sum.value)};
}

/* Adds a ghost gradient, if there is one. */
static struct estimate with_ghost(const struct check *check, struct estimate g, const struct sum *ghost)
{
    if (!ghost)
        return g;
    struct estimate more = gradient(check, sum_estimate(ghost), 1);
    return (struct estimate){g.value + more.value, g.off + more.off + bound_ulps(1, fabs(g.value) + fabs(more.value))};
}

/* The sum over the batch of column c of D's gradient, halved: of a G, and the constraint's rows of relatives and of its own. */
static struct estimate decoder_gradient(const struct update *update, u32 c)
{
    const struct check_feature *f = update->f;
    const double rho = (f32)update->check->trainer->config.rho, d = f->decoder[c];
    double value = f->decoder_sum[c], scale = f->decoder_scale[c], carried = bound_ulps(1, f->decoder_scale[c]), terms = 2 * f->active;
    const bool has_parent = f->children && update->check->tree[(size_t)f->index * TREE_WORDS + TREE_PARENT] != NONE;
    for (u32 k = 0; k < f->relative_count; k++) {
        const struct check_relative *relative = &f->relatives[k];
        const bool sibling = k < f->children && !(has_parent && k == 0);
        double term = (sibling ? rho : -rho) * relative->product * relative->decoder[c];
        value += term;
        scale += fabs(term);
        carried += fabs(term) * (bound_sum(f->active, 1) + bound_ulps(3, 1));
        terms += f->active;
    }
    if (f->relative_count) {
        double self = rho * ((f->children < f->relative_count) + has_parent), term = self * f->squares.value * d;
        value += term;
        scale += fabs(term);
        carried += self * (sum_estimate(&f->squares).off + bound_ulps(2, f->squares.value)) * fabs(d);
    }
    return (struct estimate){value, carried + bound_sum(terms + 1, scale)};
}

static hsae_status check_rows(const struct update *update)
{
    const struct check *check = update->check;
    const struct check_feature *f = update->f;
    const u32 dim = check->trainer->device_model.dim;
    struct estimate radial = with_ghost(check, gradient(check, sum_estimate(&f->radial), 1), f->ghost ? &f->ghost->radial : NULL);
    if (!check->trainer->config.project_gradient)
        radial = (struct estimate){0, 0};
    double squares = 0, carried = 0;
    hsae_status status = HSAE_OK;
    for (u32 c = 0; c < dim && !status; c++) {
        const double d = f->decoder[c];
        struct estimate g = with_ghost(check, gradient(check, decoder_gradient(update, c), 2), f->ghost ? &f->ghost->decoder[c] : NULL);
        g.off += radial.off * fabs(d) + bound_ulps(1, fabs(g.value) + fabs(radial.value * d));
        g.value -= radial.value * d;
        struct adam_estimate step = bound_adam(&update->adam, g, d, f->decoder_v[c]);
        update->moved[c] = step.w;
        squares += step.w.value * step.w.value;
        carried += fabs(step.w.value) * step.w.off;
        status = compare(update, "a second moment of D", update->decoder_v[c], step.v);
        double sum_off = f->encoder_carried[c] + bound_sum(f->active, f->encoder_scale[c]);
        g = gradient(check, (struct estimate){f->encoder_sum[c], sum_off}, 1);
        step = bound_adam(&update->adam, with_ghost(check, g, f->ghost ? &f->ghost->encoder[c] : NULL), f->encoder[c], f->encoder_v[c]);
        if (!status)
            status = compare(update, "a second moment of E", update->encoder_v[c], step.v);
        if (!status)
            status = compare(update, "an element of E", update->encoder[c], step.w);
    }
    double inverse = squares > 0 ? 1 / sqrt(squares) : 0;
    double relative = carried * inverse * inverse + 0.5 * bound_sum(dim, 1) + bound_ulps(9, 1);
    for (u32 c = 0; c < dim && !status; c++) {
        struct estimate moved = update->moved[c];
        status = compare(update, "an element of D", update->decoder[c],
                         (struct estimate){inverse * moved.value, inverse * (moved.off + relative * fabs(moved.value))});
    }
    return status;
}

static hsae_status compare_scalar(const struct update *update, const char *what, u32 word, struct estimate wanted)
{
    return compare(update, what, bits_f32(update->new_scalars[word]), wanted);
}

/* What the end of the step adds to the log thresholds of a level, as the device found it: compare_figures looks at it. */
static f32 level_shift(const struct check *check, const struct after *after, u32 level)
{
    return hsae_shifts_thresholds(&check->trainer->config)
               ? bits_f32(after->step_state[STATE_LEVELS + level * STATE_LEVEL_WORDS + STATE_SHIFT])
               : 0;
}

/* A log threshold after sparsity control. */
static struct estimate shifted(const struct check *check, struct estimate log_threshold, f32 shift)
{
    const double half = 0.5 * (f32)check->trainer->config.bandwidth;
    if (shift == 0 || (shift < 0 && exp(log_threshold.value) <= half))
        return log_threshold;
    return (struct estimate){log_threshold.value + shift, log_threshold.off + bound_ulps(1, log_threshold.value + shift)};
}

static hsae_status check_threshold(const struct update *update, struct estimate log_threshold)
{
    const double half = 0.5 * (f32)update->check->trainer->config.bandwidth, threshold = exp(log_threshold.value);
    double off = threshold * bound_exp(log_threshold.value, log_threshold.off);
    hsae_status status = compare_scalar(update, "log theta", SCALAR_LOG_THRESHOLD, log_threshold);
    if (!status)
        status = compare_scalar(update, "the threshold", SCALAR_THRESHOLD, (struct estimate){threshold, off});
    if (!status)
        status = compare_scalar(update, "the lists' cut", SCALAR_CUT, (struct estimate){threshold - half, off + bound_ulps(1, threshold)});
    return status;
}

static hsae_status check_scalars(const struct update *update)
{
    const struct check *check = update->check;
    const struct check_feature *f = update->f;
    const u32 *old = update->scalars;
    struct estimate g = with_ghost(check, gradient(check, sum_estimate(&f->bias), 1), f->ghost ? &f->ghost->bias : NULL);
    struct adam_estimate step = bound_adam(&update->adam, g, bits_f32(old[SCALAR_BIAS]), bits_f32(old[SCALAR_BIAS_V]));
    hsae_status status = compare_scalar(update, "the bias", SCALAR_BIAS, step.w);
    if (!status)
        status = compare_scalar(update, "the bias's second moment", SCALAR_BIAS_V, step.v);
    double factor = (double)bits_f32(old[SCALAR_THRESHOLD]) / (f32)check->trainer->config.bandwidth;
    step = bound_adam(&update->adam, gradient(check, sum_estimate(&f->threshold), factor), bits_f32(old[SCALAR_LOG_THRESHOLD]),
                      bits_f32(old[SCALAR_LOG_THRESHOLD_V]));
    if (!status)
        status = check_threshold(update, shifted(check, step.w, update->shift));
    if (!status)
        status = compare_scalar(update, "log theta's second moment", SCALAR_LOG_THRESHOLD_V, step.v);
    if (!status && update->new_scalars[SCALAR_ROW_STEP] != check->step_params[PARAM_STEP])
        status = compare(update, "the step of the last update", update->new_scalars[SCALAR_ROW_STEP],
                         (struct estimate){check->step_params[PARAM_STEP], -1});
    return status;
}

/* No pairs: not a bit may change, but for what sparsity control does to the threshold. */
static hsae_status check_untouched(const struct update *update, const struct after *after)
{
    const struct check_feature *f = update->f;
    const size_t bytes = update->check->trainer->device_model.dim * sizeof(f32);
    u32 scalars[SCALAR_WORDS];
    memcpy(scalars, update->new_scalars, sizeof scalars);
    if (update->shift != 0)
        memcpy(scalars + SCALAR_LOG_THRESHOLD, update->scalars + SCALAR_LOG_THRESHOLD, 3 * sizeof *scalars); /* and the two after it */
    bool same = memcmp(f->encoder, update->encoder, bytes) == 0 && memcmp(f->encoder_v, update->encoder_v, bytes) == 0 &&
                memcmp(f->decoder, update->decoder, bytes) == 0 && memcmp(f->decoder_v, update->decoder_v, bytes) == 0 &&
                memcmp(update->scalars, scalars, sizeof scalars) == 0 && after->decoder_rows[f->index] == FLAG_ROW(f->flag);
    if (!same)
        return hsae_check_fail(update->check, "kernel update", "feature %u of level %u changed, which is active on no row",
                               f->index - update->check->trainer->device_model.first[f->level], f->level);
    const struct estimate before = {bits_f32(update->scalars[SCALAR_LOG_THRESHOLD]), 0};
    return update->shift != 0 ? check_threshold(update, shifted(update->check, before, update->shift)) : HSAE_OK;
}

static hsae_status check_feature(struct check *check, const struct after *after, u32 k, struct estimate *moved)
{
    const hsae_config *config = &check->trainer->config;
    struct check_feature *f = &check->features[k];
    const u32 *scalars = check->feature_scalars + (size_t)f->index * SCALAR_WORDS;
    const size_t at = (size_t)k * check->trainer->device_model.dim;
    const f32 log2_beta2 = config->beta2 > 0 ? (f32)log2(config->beta2) : -1e30f;
    const u32 pause = check->step_params[PARAM_STEP] - scalars[SCALAR_ROW_STEP], most = hsae_decay_steps(config);
    const double exponent = (double)log2_beta2 * (pause < most ? pause : most), decay = exp2(exponent);
    const struct update update = {.check = check,
                                  .f = f,
                                  .scalars = scalars,
                                  .new_scalars = after->feature_scalars + (size_t)f->index * SCALAR_WORDS,
                                  .adam = {.rate = bits_f32(check->step_params[PARAM_RATE]),
                                           .correction = bits_f32(check->step_params[PARAM_CORRECTION]),
                                           .decay = decay,
                                           .one_minus_beta2 = (f32)(1 - config->beta2),
                                           .epsilon = (f32)config->adam_eps,
                                           .decay_off = decay > 0 ? bound_exp(exponent, bound_ulps(1, exponent)) : 0},
                                  .shift = level_shift(check, after, f->level),
                                  .moved = moved,
                                  .encoder = after->encoder + at,
                                  .encoder_v = after->encoder_v + at,
                                  .decoder = after->decoder + at,
                                  .decoder_v = after->decoder_v + at};
    const bool ghost = config->ghost && f->flag & FLAG_DEAD;
    if (f->begin == f->end && !ghost)
        return check_untouched(&update, after);
    if (f->crowded || (ghost && !f->ghost))
        return HSAE_OK;
    hsae_status status = check_rows(&update);
    return status ? status : check_scalars(&update);
}

/* Every row of D is a feature's or free. */
static hsae_status check_decoder_rows(struct check *check, const u32 *decoder_rows)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 rows = device_model->features + device_model->free_rows;
    unsigned char *taken = hsae_check_alloc(check, rows, 1);
    if (!taken)
        return HSAE_ERROR_MEMORY;
    for (u32 k = 0; k < rows; k++)
        if (decoder_rows[k] >= rows || taken[decoder_rows[k]]++)
            return hsae_check_fail(check, "kernel update", "row %u of the decoder has two owners, or there is none such", decoder_rows[k]);
    return HSAE_OK;
}

static hsae_status check_features(struct check *check, const struct after *after)
{
    struct estimate *moved = hsae_check_alloc(check, check->trainer->device_model.dim, sizeof *moved);
    hsae_status status = moved ? HSAE_OK : HSAE_ERROR_MEMORY;
    for (u32 k = 0; k < check->feature_count && !status; k++)
        status = check_feature(check, after, k, moved);
    return status;
}

/* ---- biases and figures ---- */

static hsae_status check_bias(const struct check *check, const struct after *after, const struct block *block)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const hsae_config *config = &check->trainer->config;
    const struct adam_bounds adam = {.rate = bits_f32(check->step_params[PARAM_RATE]),
                                     .correction = bits_f32(check->step_params[PARAM_CORRECTION]),
                                     .decay = (f32)config->beta2,
                                     .one_minus_beta2 = (f32)(1 - config->beta2),
                                     .epsilon = (f32)config->adam_eps};
    for (u32 l = 0; l < device_model->levels; l++)
        for (u32 c = 0; c < device_model->dim; c++) {
            const size_t sum = (size_t)l * device_model->dim + c, at = (size_t)l * device_model->stride + c;
            struct estimate g =
                gradient(check, (struct estimate){block->bias_sum[sum], bound_sum(device_model->batch, block->bias_scale[sum])}, 2);
            struct adam_estimate step = bound_adam(&adam, g, check->bias[at], check->bias_v[at]);
            if (!hsae_check_near(after->bias[at], step.w) || !hsae_check_near(after->bias_v[at], step.v))
                return hsae_check_fail(check, "kernel bias", "column %u of level %u's decoder bias is %.7g, not %.7g", c, l,
                                       after->bias[at], step.w.value);
        }
    return HSAE_OK;
}

static hsae_status check_variance(struct check *check, const struct block *block, f32 **squares)
{
    const struct device_model *device_model = &check->trainer->device_model;
    hsae_status status = hsae_check_words(check, check->trainer->squares, 0, device_model->stride, squares);
    for (u32 c = 0; c < device_model->dim && !status; c++) {
        double wanted = block->x_squares[c] - block->x_sum[c] * block->x_sum[c] / device_model->batch;
        if (!hsae_check_near((*squares)[c], (struct estimate){wanted, 4 * bound_sum(device_model->batch, block->x_squares[c])}))
            status = hsae_check_fail(check, "kernel bias", "column %u of the batch varies by %.7g, not %.7g", c, (*squares)[c], wanted);
    }
    return status;
}

/* The controller's state of a level, computed anew; without shifts lambda goes up or down by kappa, and rounding may decide which. */
static bool controlled(const struct check *check, const u32 *before, const u32 *after, const u32 *wanted, double l0)
{
    const f32 lambda = bits_f32(before[STATE_LAMBDA]), average = bits_f32(wanted[STATE_AVERAGE]);
    const hsae_config *config = &check->trainer->config;
    if (!hsae_check_near(bits_f32(after[STATE_AVERAGE]), (struct estimate){average, bound_ulps(8, fabs(average) + l0)}))
        return false;
    if (hsae_shifts_thresholds(config)) {
        const double shift = bits_f32(wanted[STATE_SHIFT]), next = bits_f32(wanted[STATE_LAMBDA]),
                     off = 2 * config->sparsity_gain * bound_ulps(16, 1);
        return hsae_check_near(bits_f32(after[STATE_SHIFT]), (struct estimate){shift, off}) &&
               hsae_check_near(bits_f32(after[STATE_LAMBDA]), (struct estimate){next, next * bound_exp(shift, off) + bound_ulps(8, next)});
    }
    const double kappa = (f32)config->sparsity_kappa;
    return hsae_check_near(bits_f32(after[STATE_LAMBDA]), (struct estimate){lambda * (1 - kappa), bound_ulps(3, lambda)}) ||
           hsae_check_near(bits_f32(after[STATE_LAMBDA]), (struct estimate){lambda * (1 + kappa), bound_ulps(3, lambda)});
}

static hsae_status compare_figures(const struct check *check, const struct after *after, const u32 *step_state, const u32 *status)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 *found = check->trainer->status;
    for (u32 l = 0; l < device_model->levels; l++) {
        const u32 at = REPORT_LEVELS + l * REPORT_LEVEL_WORDS, own = STATE_LEVELS + l * STATE_LEVEL_WORDS;
        const double loss = bits_f32(status[at + REPORT_RECONSTRUCTION]), l0 = bits_f32(status[at + REPORT_L0]);
        if (!hsae_check_near(
                bits_f32(found[at + REPORT_RECONSTRUCTION]),
                (struct estimate){loss, bound_sum((double)device_model->batch * device_model->slices, loss) + bound_ulps(4, loss)}) ||
            !hsae_check_near(bits_f32(found[at + REPORT_L0]), (struct estimate){l0, bound_ulps(4, l0)}) ||
            !controlled(check, check->step_state + own, after->step_state + own, step_state + own, l0))
            return hsae_check_fail(check, "kernel finish_step", "level %u has loss %.7g and L0 %.7g, it says %.7g and %.7g", l, loss, l0,
                                   bits_f32(found[at + REPORT_RECONSTRUCTION]), bits_f32(found[at + REPORT_L0]));
    }
    return HSAE_OK;
}

/* The step's figures, from what they are made of. The arguments are the trainer's: what is checked is the device. */
static hsae_status check_control(struct check *check, const struct after *after, f32 *squares)
{
    const hsae_trainer *trainer = check->trainer;
    const struct device_model *device_model = &trainer->device_model;
    const struct finish_step_args args = hsae_finish_step_args(trainer);
    f32 *feature_sums;
    u32 step_state[STATE_DEAD_LIST], status_words[REPORT_WORDS] = {0};
    hsae_status status =
        hsae_check_words(check, trainer->feature_sums, 0, (uint64_t)device_model->features * FEATURE_SUM_WORDS, &feature_sums);
    if (status)
        return status;
    memcpy(step_state, check->step_state, sizeof step_state);
    const struct hsae_finish_step_memory memory = {.level_info = check->level_info,
                                                   .loss = after->loss,
                                                   .feature_sums = feature_sums,
                                                   .active_count = check->active_count,
                                                   .squares = squares,
                                                   .starts = check->starts,
                                                   .last_fired = check->last_fired,
                                                   .step_state = step_state,
                                                   .step_report = status_words,
                                                   .feature_scalars = check->feature_scalars};
    hsae_ref_finish_step(&memory, &args);
    for (u32 i = 0; i < device_model->features; i++)
        if (check->last_fired[i] != after->last_fired[i])
            return hsae_check_fail(check, "kernel finish_step", "feature %u of all was last active in step %u, not %u", i,
                                   after->last_fired[i], check->last_fired[i]);
    return compare_figures(check, after, step_state, status_words);
}

/* ---- */

static hsae_status read_after(struct check *check, struct after *after)
{
    const hsae_trainer *trainer = check->trainer;
    const struct device_model *device_model = &trainer->device_model;
    const uint64_t n = device_model->features, line = (uint64_t)device_model->levels * device_model->stride;
    hsae_status status = hsae_check_words(check, device_model->feature_scalars, 0, n * SCALAR_WORDS, &after->feature_scalars);
    if (!status)
        status = hsae_check_words(check, device_model->decoder_rows, 0, n + device_model->free_rows, &after->decoder_rows);
    if (!status)
        status = hsae_check_words(check, trainer->last_fired, 0, n, &after->last_fired);
    if (!status)
        status = hsae_check_words(check, device_model->step_state, 0, STATE_DEAD_LIST, &after->step_state);
    if (!status)
        status = hsae_check_words(check, device_model->bias, 0, line, &after->bias);
    if (!status)
        status = hsae_check_words(check, trainer->bias_v, 0, line, &after->bias_v);
    if (!status)
        status = hsae_check_words(check, device_model->loss, 0,
                                  (uint64_t)device_model->levels * device_model->slices * device_model->padded, &after->loss);
    if (!status)
        status = check_decoder_rows(check, after->decoder_rows);
    if (!status)
        status = hsae_check_tensor(check, &device_model->encoder, NULL, &after->encoder);
    if (!status)
        status = hsae_check_tensor(check, &trainer->encoder_v, NULL, &after->encoder_v);
    if (!status)
        status = hsae_check_tensor(check, &device_model->decoder, after->decoder_rows, &after->decoder);
    return status ? status : hsae_check_tensor(check, &trainer->decoder_v, NULL, &after->decoder_v);
}

hsae_status hsae_check_update(struct check *check)
{
    const struct device_model *device_model = &check->trainer->device_model;
    struct after after = {0};
    struct block block = {0};
    f32 *squares = NULL;
    hsae_status status = check_same(check);
    if (!status)
        status = read_after(check, &after);
    if (!status)
        status = block_create(check, &block);
    if (!status)
        status = hsae_check_ghosts(check, after.loss);
    for (; block.first < device_model->batch && !status; block.first += check->block_rows) {
        block.rows = device_model->batch - block.first < check->block_rows ? device_model->batch - block.first : check->block_rows;
        status = add_block(check, &after, &block);
        block_free_samples(&block);
    }
    if (!status)
        status = check_features(check, &after);
    if (!status)
        status = check_bias(check, &after, &block);
    if (!status)
        status = check_variance(check, &block, &squares);
    return status ? status : check_control(check, &after, squares);
}
