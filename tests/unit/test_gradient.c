/* SPDX-License-Identifier: MIT */
/* The trainer's gradients against central differences of the loss, computed here densely in double from its formulas.
 *
 * One step from second moments v = 0 leaves v = (1 - beta2) g^2, which gives |g| of every parameter; the sign is that of its move. The
 * gates are constants of the loss, so thresholds are compared with the straight-through estimator's formula instead, with q = d loss / d a
 * by differences too. Likewise constant in the ghost loss: the residual and both scales. */
#include "support.h"

#include "model/model.h"
#include "train/order.h"
#include <math.h>
#include <stdbool.h>

enum { LEVELS = 3, MOST = 9, DIM = 7, BATCH = 5, STEP = 5 };
static const uint32_t features[LEVELS] = {4, 6, MOST};
static const double MARGIN = 0.01; /* between any pre-activation and an edge */

struct problem {
    hsae_config config;
    float mean[DIM], scale, raw[BATCH][DIM];
    float log_threshold[LEVELS][MOST];
    int32_t parent[LEVELS][MOST];
    bool swapped[LEVELS][MOST], dead[LEVELS][MOST];
    double x[BATCH][DIM], lambda[LEVELS];
    /* What the loss is a function of; `nudge` is added to the activations. */
    double encoder[LEVELS][MOST][DIM], bias[LEVELS][MOST], threshold[LEVELS][MOST];
    double decoder[LEVELS][MOST][DIM], center[LEVELS][DIM], nudge[LEVELS][BATCH][MOST];
    /* What it treats as constant. */
    double residual[LEVELS][BATCH][DIM], alpha[LEVELS][BATCH], ghost_scale[LEVELS];
};

/* ---- the loss ---- */

static double pre_activation(const struct problem *p, int l, int b, uint32_t i)
{
    double sum = p->bias[l][i];
    for (int k = 0; k < DIM; k++)
        sum += p->encoder[l][i][k] * p->x[b][k];
    return sum;
}

static double activation(const struct problem *p, int l, int b, uint32_t i)
{
    double value = pre_activation(p, l, b, i);
    return (value > p->threshold[l][i] ? value : 0) + p->nudge[l][b][i];
}

static bool has_children(const struct problem *p, int l, uint32_t i)
{
    for (uint32_t j = 0; l + 1 < LEVELS && j < features[l + 1]; j++)
        if (p->parent[l + 1][j] == (int32_t)i)
            return true;
    return false;
}

static void residual(const struct problem *p, int l, int b, double out[DIM])
{
    for (int k = 0; k < DIM; k++)
        out[k] = p->center[l][k] - p->x[b][k];
    for (uint32_t i = 0; i < features[l]; i++)
        for (int k = 0; k < DIM && !p->swapped[l][i]; k++)
            out[k] += activation(p, l, b, i) * p->decoder[l][i][k];
    for (uint32_t j = 0; l + 1 < LEVELS && j < features[l + 1]; j++)
        for (int k = 0; k < DIM && p->parent[l + 1][j] >= 0 && p->swapped[l][p->parent[l + 1][j]]; k++)
            out[k] += activation(p, l + 1, b, j) * p->decoder[l + 1][j][k];
}

static double squares(const double vector[DIM])
{
    double sum = 0;
    for (int k = 0; k < DIM; k++)
        sum += vector[k] * vector[k];
    return sum;
}

static double reconstruction(const struct problem *p, int l)
{
    double sum = 0, r[DIM];
    for (int b = 0; b < BATCH; b++) {
        residual(p, l, b, r);
        sum += squares(r);
    }
    return sum / BATCH;
}

/* Of the features of level l with their children. */
static double constraint(const struct problem *p, int l)
{
    double sum = 0, u[DIM];
    for (int b = 0; b < BATCH && l + 1 < LEVELS; b++)
        for (uint32_t i = 0; i < features[l]; i++) {
            if (!has_children(p, l, i))
                continue;
            for (int k = 0; k < DIM; k++) {
                u[k] = activation(p, l, b, i) * p->decoder[l][i][k];
                for (uint32_t j = 0; j < features[l + 1]; j++)
                    if (p->parent[l + 1][j] == (int32_t)i)
                        u[k] -= activation(p, l + 1, b, j) * p->decoder[l + 1][j][k];
            }
            sum += squares(u);
        }
    return p->config.rho * sum / BATCH;
}

/* y of the ghost loss. */
static void ghost_sum(const struct problem *p, int l, int b, double y[DIM])
{
    memset(y, 0, DIM * sizeof *y);
    for (uint32_t i = 0; i < features[l]; i++)
        for (int k = 0; k < DIM && p->dead[l][i]; k++)
            y[k] += exp(fmin(pre_activation(p, l, b, i), 10)) * p->decoder[l][i][k];
}

static double ghost_loss(const struct problem *p, int l)
{
    double sum = 0, y[DIM];
    for (int b = 0; b < BATCH; b++) {
        ghost_sum(p, l, b, y);
        for (int k = 0; k < DIM; k++)
            y[k] = p->alpha[l][b] * y[k] + p->residual[l][b][k];
        sum += squares(y);
    }
    return p->ghost_scale[l] * sum / BATCH;
}

static double loss(const struct problem *p)
{
    double sum = 0;
    for (int l = 0; l < LEVELS; l++)
        sum += reconstruction(p, l) + constraint(p, l) + ghost_loss(p, l);
    return sum;
}

static double slope(struct problem *p, double *at)
{
    const double h = 1e-5, value = *at;
    *at = value + h;
    double above = loss(p);
    *at = value - h;
    double below = loss(p);
    *at = value;
    return (above - below) / (2 * h);
}

static void fix_constants(struct problem *p)
{
    double y[DIM];
    for (int l = 0; l < LEVELS; l++) {
        for (int b = 0; b < BATCH; b++) {
            residual(p, l, b, p->residual[l][b]);
            ghost_sum(p, l, b, y);
            p->alpha[l][b] = squares(y) > 0 ? sqrt(squares(p->residual[l][b]) / squares(y)) / 2 : 0;
        }
        p->ghost_scale[l] = 1;
        bool any = false;
        for (uint32_t i = 0; i < features[l]; i++)
            any |= p->dead[l][i];
        p->ghost_scale[l] = any ? reconstruction(p, l) / ghost_loss(p, l) : 0;
    }
}

/* ---- random problems ---- */

static uint64_t random_state;

static double uniform(double low, double high)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return low + (high - low) * (double)(random_state >> 11) / 9007199254740992.0;
}

static float single(double low, double high)
{
    return (float)uniform(low, high);
}

/* As the trainer draws them; parents must be set. */
static void draw_swaps(struct problem *p)
{
    for (int l = 0; l < LEVELS; l++)
        for (uint32_t i = 0; i < features[l]; i++) {
            uint32_t words[4];
            hsae_philox(p->config.seed, (uint32_t[]){i, (uint32_t)l, STEP, 0}, words);
            p->swapped[l][i] = has_children(p, l, i) && (words[0] >> 8) / 16777216.0 < p->config.perturb;
        }
}

static bool near(double value, double edge)
{
    return fabs(value - edge) < MARGIN;
}

static bool at_an_edge(const struct problem *p, int l, uint32_t i)
{
    double theta = p->threshold[l][i], half = p->config.bandwidth / 2;
    bool edge = false;
    for (int b = 0; b < BATCH; b++) {
        double value = pre_activation(p, l, b, i);
        edge |= near(value, theta) || near(value, theta - half) || near(value, theta + half) || near(value, 10);
    }
    return edge;
}

static void draw_feature(struct problem *p, int l, uint32_t i)
{
    double norm = 0;
    do {
        for (int k = 0; k < DIM; k++)
            p->encoder[l][i][k] = single(-0.6, 0.6);
        p->bias[l][i] = single(-0.2, 0.6);
        p->log_threshold[l][i] = single(-1.5, 0);
        p->threshold[l][i] = exp(p->log_threshold[l][i]);
    } while (at_an_edge(p, l, i));
    for (int k = 0; k < DIM; k++)
        p->decoder[l][i][k] = uniform(-1, 1);
    norm = sqrt(squares(p->decoder[l][i]));
    for (int k = 0; k < DIM; k++)
        p->decoder[l][i][k] = (float)(p->decoder[l][i][k] / norm);
    /* One parent in four is missing; the last feature above has no children. */
    p->parent[l][i] = l && uniform(0, 1) < 0.75 ? (int32_t)uniform(0, features[l - 1] - 1) : -1;
}

/* Every third feature dead; the first one's pre-activations are on both sides of the clamp. */
static void kill_features(struct problem *p)
{
    for (int l = 0; l < LEVELS; l++)
        for (uint32_t i = 0; i < features[l]; i += 3)
            p->dead[l][i] = true;
    p->log_threshold[0][0] = 3.5f;
    p->threshold[0][0] = exp(3.5);
    do {
        p->bias[0][0] = single(9.5, 10.5);
    } while (at_an_edge(p, 0, 0));
}

static void draw(struct problem *p, uint64_t seed, bool ghosts, bool project)
{
    memset(p, 0, sizeof *p);
    random_state = seed;
    hsae_config_defaults(&p->config);
    p->config.sparsity_control = HSAE_SPARSITY_CONTROL_PENALTY; /* thresholds move by their gradients alone */
    p->config.decay_steps = 0;
    p->config.level_count = LEVELS;
    for (int l = 0; l < LEVELS; l++) {
        p->config.levels[l] = features[l];
        p->config.target_l0[l] = 2;
        p->lambda[l] = single(0.1, 1);
    }
    p->config.batch = BATCH;
    p->config.steps = 100;
    p->config.lr = 0.01;
    p->config.warmup = 0;
    p->config.beta2 = 0.75;
    p->config.bandwidth = 0.5;
    p->config.hierarchy_period = 1000;
    p->config.dead_steps = ghosts ? 2 : 1000;
    p->config.ghost = ghosts;
    p->config.project_gradient = project;
    p->config.seed = seed;
    p->config.rho = 0.3;
    p->config.perturb = 0.5;
    p->scale = 0.5f;
    for (int k = 0; k < DIM; k++)
        p->mean[k] = single(-1, 1);
    for (int b = 0; b < BATCH; b++)
        for (int k = 0; k < DIM; k++) {
            p->raw[b][k] = single(-3, 3);
            p->x[b][k] = p->scale * ((double)p->raw[b][k] - p->mean[k]);
        }
    for (int l = 0; l < LEVELS; l++) {
        for (uint32_t i = 0; i < features[l]; i++)
            draw_feature(p, l, i);
        for (int k = 0; k < DIM; k++)
            p->center[l][k] = single(-0.3, 0.3);
    }
    if (ghosts)
        kill_features(p);
    draw_swaps(p);
    fix_constants(p);
}

/* ---- one step of the trainer ---- */

static void narrow(float *to, const double *from, size_t count)
{
    for (size_t k = 0; k < count; k++)
        to[k] = (float)from[k];
}

static void write_checkpoint(const struct problem *p, const char *path)
{
    hsae_model *model = NULL;
    struct train_state *state = NULL;
    assert_ok(hsae_model_alloc(context, &p->config, DIM, &model));
    assert_ok(hsae_train_state_alloc(context, model, &state));
    memcpy(model->mean, p->mean, sizeof p->mean);
    model->scale = p->scale;
    state->step = STEP - 1;
    for (int l = 0; l < LEVELS; l++) {
        struct level_tensors *level = &model->levels[l];
        struct level_train_tensors *train = &state->levels[l];
        uint32_t n = features[l];
        narrow(level->encoder_weight, p->encoder[l][0], n * DIM);
        narrow(level->encoder_bias, p->bias[l], n);
        narrow(level->threshold, p->threshold[l], n);
        narrow(level->decoder_weight, p->decoder[l][0], n * DIM);
        narrow(level->decoder_bias, p->center[l], DIM);
        memcpy(train->log_threshold, p->log_threshold[l], n * sizeof(float));
        if (l)
            memcpy(level->parent, p->parent[l], n * sizeof(int32_t));
        for (uint32_t i = 0; i < n; i++)
            train->last_fired[i] = p->dead[l][i] ? 0 : STEP - 1;
        state->lambda[l] = (float)p->lambda[l];
        state->l0_average[l] = 2;
    }
    assert_ok(hsae_checkpoint_save(context, model, state, path));
    hsae_model_free(&model);
    hsae_train_state_free(&state);
}

static void assert_near(double value, double expected, double tolerance, const char *what, int l, uint32_t i, int k)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%s of level %d, feature %u, column %d: %.9g instead of %.9g", what, l, (unsigned)i, k, value, expected);
}

static void check_metrics(const struct problem *p, const hsae_step_metrics *metrics)
{
    for (int l = 0; l < LEVELS; l++) {
        const hsae_step_level *level = &metrics->levels[l];
        double active = 0, dead = 0;
        for (uint32_t i = 0; i < features[l]; i++) {
            dead += p->dead[l][i];
            for (int b = 0; b < BATCH; b++)
                active += activation(p, l, b, i) != 0;
        }
        assert_near(level->reconstruction, reconstruction(p, l), 1e-5, "reconstruction", l, 0, 0);
        assert_near(level->constraint, constraint(p, l), 1e-5, "constraint", l, 0, 0);
        assert_near(level->l0, active / BATCH, 1e-6, "l0", l, 0, 0);
        assert_near(level->lambda, p->lambda[l], 1e-7, "lambda", l, 0, 0);
        assert_near((double)level->dead, dead, 0, "dead", l, 0, 0);
    }
}

static void step(const struct problem *p, hsae_model **model, struct train_state **state)
{
    hsae_device *device = NULL;
    hsae_trainer *trainer = NULL;
    hsae_step_metrics metrics;
    write_checkpoint(p, scratch("before.safetensors"));
    assert_ok(hsae_device_open(context, "ref", &device));
    assert_ok(hsae_trainer_resume(device, scratch("before.safetensors"), NULL, NULL, &trainer));
    assert_ok(hsae_trainer_step(trainer, p->raw[0], &metrics));
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("after.safetensors")));
    hsae_trainer_destroy(&trainer);
    hsae_device_close(&device);
    assert_ok(hsae_checkpoint_load(context, scratch("after.safetensors"), model, state));
    check_metrics(p, &metrics);
}

/* ---- comparison ---- */

/* Where Adam takes a parameter on the first gradient after v = 0. */
static double moved(const struct problem *p, double value, double gradient)
{
    const hsae_config *config = &p->config;
    double rate = config->lr * 0.5 * (1 + cos(3.14159265358979323846 * STEP / (double)config->steps));
    double v = (1 - config->beta2) * gradient * gradient / (1 - pow(config->beta2, STEP));
    return value - rate * gradient / (sqrt(v) + config->adam_eps);
}

static void check_gradient(const struct problem *p, double gradient, float v, const char *what, int l, uint32_t i, int k)
{
    assert_near(sqrt(v / (1 - p->config.beta2)), fabs(gradient), 2e-6 + 1e-5 * fabs(gradient), what, l, i, k);
}

static void check_parameter(const struct problem *p, double gradient, double before, float after, float v, const char *what, int l,
                            uint32_t i, int k)
{
    check_gradient(p, gradient, v, what, l, i, k);
    if (fabs(gradient) > 1e-5)
        assert_near(after, moved(p, before, gradient), 1e-6 * (1 + fabs(before)), what, l, i, k);
}

static void check_decoder_row(struct problem *p, const float *after, const float *v, int l, uint32_t i)
{
    double gradient[DIM], row[DIM], radial = 0;
    double *before = p->decoder[l][i];
    for (int k = 0; k < DIM; k++) {
        gradient[k] = slope(p, &before[k]);
        radial += gradient[k] * before[k];
    }
    for (int k = 0; k < DIM; k++) {
        gradient[k] -= p->config.project_gradient ? radial * before[k] : 0;
        gradient[k] = fabs(gradient[k]) > 1e-8 ? gradient[k] : 0;
        check_gradient(p, gradient[k], v[k], "decoder", l, i, k);
        row[k] = moved(p, before[k], gradient[k]);
    }
    for (int k = 0; k < DIM; k++)
        assert_near(after[k], row[k] / sqrt(squares(row)), 1e-6, "decoder row", l, i, k);
}

/* d loss / d log theta by the straight-through estimator. */
static double threshold_gradient(struct problem *p, int l, uint32_t i)
{
    double sum = 0, theta = p->threshold[l][i];
    for (int b = 0; b < BATCH; b++)
        if (fabs(pre_activation(p, l, b, i) - theta) < p->config.bandwidth / 2) {
            double q = BATCH * slope(p, &p->nudge[l][b][i]);
            sum -= theta * (theta * q + p->lambda[l]) / p->config.bandwidth;
        }
    return sum / BATCH;
}

static void check_problem(struct problem *p)
{
    hsae_model *model = NULL;
    struct train_state *state = NULL;
    step(p, &model, &state);
    for (int l = 0; l < LEVELS; l++) {
        const struct level_tensors *level = &model->levels[l];
        const struct level_train_tensors *train = &state->levels[l];
        for (uint32_t i = 0; i < features[l]; i++) {
            for (int k = 0; k < DIM; k++)
                check_parameter(p, slope(p, &p->encoder[l][i][k]), p->encoder[l][i][k], level->encoder_weight[i * DIM + (uint32_t)k],
                                train->encoder_weight_v[i * DIM + (uint32_t)k], "encoder", l, i, k);
            check_parameter(p, slope(p, &p->bias[l][i]), p->bias[l][i], level->encoder_bias[i], train->encoder_bias_v[i], "bias", l, i, 0);
            check_parameter(p, threshold_gradient(p, l, i), p->log_threshold[l][i], train->log_threshold[i], train->log_threshold_v[i],
                            "log threshold", l, i, 0);
            check_decoder_row(p, level->decoder_weight + i * DIM, train->decoder_weight_v + i * DIM, l, i);
        }
        for (int k = 0; k < DIM; k++)
            check_parameter(p, slope(p, &p->center[l][k]), p->center[l][k], level->decoder_bias[k], train->decoder_bias_v[k], "center", l,
                            0, k);
    }
    hsae_model_free(&model);
    hsae_train_state_free(&state);
}

/* How often the problems so far had what makes a gradient hard. */
struct tally {
    int active, under, swapped, both, relatives, ghosts, clamped;
};

static void count(const struct problem *p, struct tally *tally)
{
    for (int l = 0; l < LEVELS; l++)
        for (uint32_t i = 0; i < features[l]; i++)
            for (int b = 0; b < BATCH; b++) {
                double value = pre_activation(p, l, b, i), theta = p->threshold[l][i];
                int32_t parent = p->parent[l][i];
                bool active = value > theta, replaces = parent >= 0 && p->swapped[l - 1][parent];
                tally->active += active;
                tally->under += !active && value > theta - p->config.bandwidth / 2;
                tally->swapped += active && p->swapped[l][i];
                tally->both += active && p->swapped[l][i] && replaces;
                tally->relatives += active && parent >= 0 && activation(p, l - 1, b, (uint32_t)parent) > 0;
                tally->ghosts += p->dead[l][i];
                tally->clamped += p->dead[l][i] && value > 10;
            }
}

enum { PROBLEMS = 12 };

static void check_many(bool ghosts, bool project, struct tally *tally)
{
    static struct problem p;
    for (uint64_t seed = 1; seed <= PROBLEMS; seed++) {
        draw(&p, seed << 40 | seed, ghosts, project);
        count(&p, tally);
        check_problem(&p);
    }
    assert_true(tally->active > 100 && tally->under > 20 && tally->swapped > 20 && tally->both > 5 && tally->relatives > 20);
}

static void test_gradients(void **unused)
{
    (void)unused;
    struct tally tally = {0};
    check_many(false, false, &tally);
}

static void test_projected(void **unused)
{
    (void)unused;
    struct tally tally = {0};
    check_many(false, true, &tally);
}

static void test_ghosts(void **unused)
{
    (void)unused;
    struct tally tally = {0};
    check_many(true, false, &tally);
    assert_true(tally.ghosts > 100 && tally.clamped > 5);
}

static void test_projected_ghosts(void **unused)
{
    (void)unused;
    struct tally tally = {0};
    check_many(true, true, &tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_projected),
        cmocka_unit_test(test_ghosts),
        cmocka_unit_test(test_projected_ghosts),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
