/* SPDX-License-Identifier: MIT */
/* Ghost gradients: what the dead features of a level reconstruct together on the sampled rows, the constants of the ghost loss, and the
 * gradients of sampled dead features. */
#include "check.h"

#include "ref/ref.h"
#include <string.h>

/* Dead features whose rows are read at a time. */
enum { DEAD_BLOCK = 64 };
/* Multiply-adds that may be spent on the sampled rows' reconstructions of a level. */
static const double GHOST_WORK = 1e8;

bool hsae_check_has_ghosts(const struct check *check, u32 level)
{
    return check->trainer->config.ghost && check->trainer->ghost[level] && ref_dead(check->step_state, level);
}

/* exp(min(p, 10)), and how far it may be off. */
static struct estimate ghost_activation(const struct check *check, u32 feature, const f32 *encoder, const f32 *x, double sizes, double *pre)
{
    const u32 dim = check->trainer->device_model.dim;
    const double bias = bits_f32(check->feature_scalars[(size_t)feature * SCALAR_WORDS + SCALAR_BIAS]);
    *pre = hsae_check_dot(encoder, x, dim) + bias;
    double clamped = fmin(*pre, 10), g = exp(clamped);
    return (struct estimate){g, g * bound_exp(clamped, bound_sum(dim + 1, sizes + fabs(bias)))};
}

/* ---- before the step: alpha y + R of the sampled rows ---- */

/* Of one level. */
struct ghosts {
    u32 level, rows; /* sampled rows that are made */
    f32 *x, *encoder, *decoder;
    double *value, *scale, *carried; /* of y: [rows][d] */
};

/* The dead features of a block of the list, sorted by where their rows of D are. */
static void add_dead(const struct check *check, const struct ghosts *ghosts, const u32 *list, u32 count)
{
    const u32 dim = check->trainer->device_model.dim;
    for (u32 k = 0; k < count; k++) {
        const f32 *encoder = ghosts->encoder + (size_t)k * dim, *decoder = ghosts->decoder + (size_t)k * dim;
        const double norm = sqrt(hsae_check_dot(encoder, encoder, dim));
        for (u32 r = 0; r < ghosts->rows; r++) {
            const f32 *x = ghosts->x + (size_t)r * dim;
            double pre;
            struct estimate g = ghost_activation(check, list[k], encoder, x, norm * sqrt(hsae_check_dot(x, x, dim)), &pre);
            for (u32 c = 0; c < dim; c++) {
                const size_t at = (size_t)r * dim + c;
                double term = g.value * decoder[c];
                ghosts->value[at] += term;
                ghosts->scale[at] += fabs(term);
                ghosts->carried[at] += g.off * fabs(decoder[c]);
            }
        }
    }
}

static hsae_status add_all_dead(struct check *check, const struct ghosts *ghosts)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 dead = ref_dead(check->step_state, ghosts->level),
              *list = check->step_state + STATE_DEAD_LIST + device_model->first[ghosts->level];
    hsae_status status = HSAE_OK;
    for (u32 first = 0, count; first < dead && !status; first += count) {
        count = dead - first < DEAD_BLOCK ? dead - first : DEAD_BLOCK;
        status = hsae_check_rows(check, &device_model->encoder, list + first, count, ghosts->encoder);
        for (u32 k = 0; k < count && !status; k++)
            status = hsae_check_rows(check, &device_model->decoder, &check->decoder_rows[list[first + k]], 1,
                                     ghosts->decoder + (size_t)k * device_model->dim);
        if (!status)
            add_dead(check, ghosts, list + first, count);
    }
    return status;
}

/* alpha y + R of a row; alpha = |R| / (2 |y|). */
static void scale_row(const struct check *check, const struct ghosts *ghosts, u32 row, struct estimate *out)
{
    const u32 dim = check->trainer->device_model.dim;
    const u32 terms = ref_dead(check->step_state, ghosts->level) + check->trainer->device_model.shards - 1;
    const size_t at = (size_t)row * dim;
    const f32 *residual = check->residuals + ((size_t)ghosts->level * check->row_count + row) * dim;
    double squares = 0, off = 0;
    for (u32 c = 0; c < dim; c++) {
        double y_off = ghosts->carried[at + c] + bound_sum(terms, ghosts->scale[at + c]);
        squares += ghosts->value[at + c] * ghosts->value[at + c];
        off += fabs(ghosts->value[at + c]) * y_off;
        ghosts->carried[at + c] = y_off;
    }
    double norm = sqrt(squares), alpha = norm > 0 ? sqrt(hsae_check_dot(residual, residual, dim)) / (2 * norm) : 0;
    double relative = (squares > 0 ? off / squares : 0) + 2 * bound_sum(dim, 1) + bound_ulps(12, 1);
    for (u32 c = 0; c < dim; c++) {
        double part = alpha * ghosts->value[at + c], value = part + residual[c];
        out[at + c] =
            (struct estimate){value, alpha * ghosts->carried[at + c] + relative * fabs(part) + bound_ulps(2, fabs(part) + fabs(value))};
    }
}

static hsae_status expect_level(struct check *check, u32 level)
{
    const struct device_model *device_model = &check->trainer->device_model;
    const u32 dim = device_model->dim;
    const double rows = GHOST_WORK / (2.0 * ref_dead(check->step_state, level) * dim);
    struct ghosts ghosts = {.level = level, .rows = rows < 1 ? 1 : rows < check->row_count ? (u32)rows : check->row_count};
    const uint64_t size = (uint64_t)ghosts.rows * dim;
    struct estimate *out = hsae_check_alloc(check, size, sizeof *out);
    double *sums = hsae_check_alloc(check, 3 * size, sizeof *sums);
    ghosts.x = hsae_check_alloc(check, size, sizeof(f32));
    ghosts.encoder = hsae_check_alloc(check, (uint64_t)DEAD_BLOCK * dim, sizeof(f32));
    ghosts.decoder = hsae_check_alloc(check, (uint64_t)DEAD_BLOCK * dim, sizeof(f32));
    if (!out || !sums || !ghosts.x || !ghosts.encoder || !ghosts.decoder)
        return HSAE_ERROR_MEMORY;
    ghosts.value = sums;
    ghosts.scale = sums + size;
    ghosts.carried = sums + 2 * size;
    hsae_status status = hsae_check_buffer_rows(check, device_model->x, check->rows, ghosts.rows, ghosts.x);
    if (!status)
        status = add_all_dead(check, &ghosts);
    for (u32 row = 0; row < ghosts.rows && !status; row++)
        scale_row(check, &ghosts, row, out);
    check->ghosts[level] = out;
    check->ghost_rows[level] = ghosts.rows;
    return status;
}

hsae_status hsae_check_expect_ghosts(struct check *check)
{
    hsae_status status = HSAE_OK;
    for (u32 l = 0; l < check->trainer->device_model.levels && !status; l++)
        if (hsae_check_has_ghosts(check, l))
            status = expect_level(check, l);
    return status;
}

/* ---- after it ---- */

static hsae_status check_rows(struct check *check, u32 level)
{
    const u32 dim = check->trainer->device_model.dim, rows = check->ghost_rows[level];
    f32 *found = hsae_check_alloc(check, (uint64_t)rows * dim, sizeof *found);
    hsae_status status = found ? hsae_check_buffer_rows(check, check->trainer->ghost[level], check->rows, rows, found) : HSAE_ERROR_MEMORY;
    for (size_t at = 0; at < (size_t)rows * dim && !status; at++)
        if (!hsae_check_near(found[at], check->ghosts[level][at]))
            status =
                hsae_check_off(check, "kernel ghost", "an element of what dead features reconstruct", found[at], check->ghosts[level][at]);
    return status;
}

/* The weights of all rows, from what the device says of each. */
static hsae_status check_weights(struct check *check, u32 level, f32 *loss)
{
    const hsae_trainer *trainer = check->trainer;
    const struct device_model *device_model = &trainer->device_model;
    const struct ghost_scale_args args = {level, device_model->batch, device_model->padded, device_model->slices};
    f32 *losses, *wanted = hsae_check_alloc(check, device_model->padded, sizeof *wanted);
    hsae_status status =
        wanted ? hsae_check_words(check, trainer->ghost_losses[level], 0, 2 * (uint64_t)device_model->padded, &losses) : HSAE_ERROR_MEMORY;
    if (!status)
        status = hsae_check_words(check, trainer->ghost_weights[level], 0, device_model->padded, &check->ghost_weights[level]);
    if (status)
        return status;
    const struct hsae_ghost_scale_memory memory = {
        .step_state = check->step_state, .ghost_losses = losses, .loss = loss, .weights = wanted};
    hsae_ref_ghost_scale(&memory, &args);
    for (u32 s = 0; s < device_model->batch; s++) {
        struct estimate weight = {wanted[s],
                                  2 * bound_sum((double)device_model->batch * device_model->slices, wanted[s]) + bound_ulps(8, wanted[s])};
        if (!hsae_check_near(check->ghost_weights[level][s], weight))
            return hsae_check_off(check, "kernel ghost_scale", "a row's weight", check->ghost_weights[level][s], weight);
    }
    return HSAE_OK;
}

hsae_status hsae_check_ghosts(struct check *check, f32 *loss)
{
    hsae_status status = HSAE_OK;
    for (u32 l = 0; l < check->trainer->device_model.levels && !status; l++) {
        if (!check->ghosts[l])
            continue;
        status = check_rows(check, l);
        if (!status)
            status = check_weights(check, l, loss);
    }
    return status;
}

void hsae_check_add_ghost(const struct check *check, struct check_feature *f, u32 row, const f32 *x, const f32 *ghost)
{
    const u32 dim = check->trainer->device_model.dim;
    struct check_ghost *sums = f->ghost;
    const double weight = check->ghost_weights[f->level][row];
    double pre, size = f->encoder_norm * sqrt(hsae_check_dot(x, x, dim));
    struct estimate g = ghost_activation(check, f->index, f->encoder, x, size, &pre);
    double q = weight * hsae_check_dot(f->decoder, ghost, dim);
    double q_off = fabs(weight) * bound_sum(dim, f->decoder_norm * sqrt(hsae_check_dot(ghost, ghost, dim))) + bound_ulps(2, q);
    double product = g.value * q, product_off = g.off * fabs(q) + g.value * q_off + bound_ulps(2, product);
    const bool sure = fabs(pre - 10) > bound_sum(dim + 1, size + 10);
    struct estimate slope = {pre < 10 ? product : 0, sure && pre > 10 ? 0 : product_off + (sure ? 0 : fabs(product))};
    sum_add(&sums->radial, product, product_off);
    sum_add(&sums->bias, slope.value, slope.off);
    for (u32 c = 0; c < dim; c++) {
        double term = g.value * weight * ghost[c];
        sums->decoder[c].value += term;
        sums->decoder[c].scale += fabs(term);
        sums->decoder[c].carried += g.off * fabs(weight * ghost[c]) + bound_ulps(2, term);
        term = slope.value * x[c];
        sums->encoder[c].value += term;
        sums->encoder[c].scale += fabs(term);
        sums->encoder[c].carried += slope.off * fabs(x[c]);
    }
    sums->rows++;
}
