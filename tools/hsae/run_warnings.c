/* SPDX-License-Identifier: MIT */
#include "run_warnings.h"
#include "run_figures.h"

#include <inttypes.h>
#include <math.h>

/* Figures beyond these are worth a warning. A run of 1,000 steps or more keeps its L0 within 3 % of the target, without dead features. */
static const double L0_FACTOR = 1.1, DEAD_SHARE = 0.05;

/* In fewer steps the L0 has hardly begun to move. A feature may be called dead when one of average activity would have been active so many
 * times meanwhile. */
static const double MIN_STEPS = 100, MIN_CHANCES = 20;

/* Times the default from which on a setting is the likely cause. */
static const double HIGH_RATE = 2, HIGH_BANDWIDTH = 10, LOW_BANDWIDTH = 0.01, HIGH_KAPPA = 30, LOW_GAIN = 0.1;

/* What a run needs. Features that are active on few rows are learned by heart: on other rows the L0 is far above its target
 * (tests/README.md has what was measured). */
static const double FEW_ACTIVE = 200, MANY_EPOCHS = 200, HELD_OUT_FACTOR = 2, FEW_UPDATES = 2, USUAL_STEPS = 1000;

void run_newest_add(struct run_newest *newest, const hsae_step_metrics *figures)
{
    newest->figures[newest->count++ % RUN_NEWEST] = *figures;
}

void run_newest_add_line(void *newest, json_t *line)
{
    const json_t *levels = json_object_get(line, "levels"), *level;
    hsae_step_metrics figures = {.step = (uint64_t)json_integer_value(json_object_get(line, "step"))};
    size_t l;
    if (json_object_get(line, "evaluation") || !json_array_size(levels) || json_array_size(levels) > HSAE_MAX_LEVELS)
        return;
    json_array_foreach(levels, l, level)
    {
        figures.levels[l].l0 = run_number(level, "l0");
        figures.levels[l].variance_explained = run_number(level, "variance_explained");
        figures.levels[l].dead = (uint64_t)json_integer_value(json_object_get(level, "dead"));
    }
    run_newest_add(newest, &figures);
}

/* Means of a level's figures over the last tenth of the steps, or as much of it as was kept. */
static hsae_step_level mean_level(const struct run_newest *newest, uint32_t level)
{
    uint64_t kept = newest->count < RUN_NEWEST ? newest->count : RUN_NEWEST, last = newest->figures[(newest->count - 1) % RUN_NEWEST].step;
    hsae_step_level mean = newest->figures[(newest->count - 1) % RUN_NEWEST].levels[level];
    double l0 = 0, explained = 0, used = 0;
    for (uint64_t k = 0; k < kept; k++) {
        const hsae_step_metrics *figures = &newest->figures[k];
        if (10 * figures->step < 9 * last)
            continue;
        l0 += figures->levels[level].l0;
        explained += figures->levels[level].variance_explained;
        used++;
    }
    mean.l0 = l0 / used;
    mean.variance_explained = explained / used;
    return mean;
}

/* What to change, in words. */
struct cause {
    char text[160];
};

HSAE_OS_PRINTF(1, 2) static struct cause cause(const char *format, ...)
{
    struct cause cause;
    va_list values;
    va_start(values, format);
    vsnprintf(cause.text, sizeof cause.text, format, values);
    va_end(values);
    return cause;
}

/* Settings that explain any bad figure; "": none does. */
static struct cause likely_cause(const hsae_config *config, const hsae_config *defaults)
{
    if (config->lr > HIGH_RATE * defaults->lr)
        return cause("lower --lr, to %.2g", defaults->lr);
    if (config->bandwidth > HIGH_BANDWIDTH * defaults->bandwidth)
        return cause("lower --bandwidth, to %g", defaults->bandwidth);
    if (config->bandwidth < LOW_BANDWIDTH * defaults->bandwidth)
        return cause("raise --bandwidth, to %g", defaults->bandwidth);
    return cause("%s", config->center == HSAE_CENTER_NONE ? "give --center mean" : "");
}

/* Twice as many steps, but at least the usual number. */
static uint64_t more_steps(const hsae_config *config)
{
    return 2 * config->steps > (uint64_t)USUAL_STEPS ? 2 * config->steps : (uint64_t)USUAL_STEPS;
}

static void add(json_t *list, const char *format, ...) HSAE_OS_PRINTF(2, 3);
static void add(json_t *list, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    json_array_append_new(list, json_vsprintf(format, values));
    va_end(values);
}

/* Why the L0 of a level is off its target where the penalty alone moves it. */
static struct cause cause_of_penalty(const hsae_config *config, const hsae_config *defaults, uint32_t level, const hsae_step_level *figures)
{
    const double target = config->target_l0[level];
    const struct cause likely = likely_cause(config, defaults);
    if (figures->lambda == 0)
        return cause("the penalty is 0: give --lambda-init %g", defaults->lambda_init);
    if (config->sparsity_kappa == 0 || config->sparsity_eta == 0)
        return cause("the penalty does not follow the L0: give --sparsity-kappa %g --sparsity-eta %g", defaults->sparsity_kappa,
                     defaults->sparsity_eta);
    if (*likely.text)
        return likely;
    if (config->sparsity_kappa > HIGH_KAPPA * defaults->sparsity_kappa)
        return cause("lower --sparsity-kappa, to %g", defaults->sparsity_kappa);
    if (figures->l0 < target && config->init_l0[level] < target)
        return cause("raise --init-l0, to %g", 2 * target);
    return cause("give --sparsity-control threshold, or --steps %" PRIu64, more_steps(config));
}

/* The same where thresholds are shifted. */
static struct cause cause_of_shifts(const hsae_config *config, const hsae_config *defaults)
{
    const struct cause likely = likely_cause(config, defaults);
    if (*likely.text)
        return likely;
    if (config->sparsity_gain < LOW_GAIN * defaults->sparsity_gain)
        return cause("raise --sparsity-gain, to %g", defaults->sparsity_gain);
    return cause("give --steps %" PRIu64, more_steps(config));
}

static void check_l0(json_t *list, const hsae_config *config, const hsae_config *defaults, uint32_t level, const hsae_step_level *figures)
{
    const double target = config->target_l0[level];
    if ((double)config->steps < MIN_STEPS || (figures->l0 <= L0_FACTOR * target && L0_FACTOR * figures->l0 >= target))
        return;
    const struct cause found = config->sparsity_control == HSAE_SPARSITY_CONTROL_THRESHOLD
                                   ? cause_of_shifts(config, defaults)
                                   : cause_of_penalty(config, defaults, level, figures);
    add(list, "level %" PRIu32 " ends with L0 %.3g, its target is %g: %s", level, figures->l0, target, found.text);
}

static void check_dead(json_t *list, const hsae_config *config, const hsae_config *defaults, uint32_t level, const hsae_step_level *figures)
{
    const uint32_t features = config->levels[level];
    const double chances = (double)config->dead_steps * config->batch * config->target_l0[level] / features;
    struct cause found = likely_cause(config, defaults);
    if ((double)figures->dead <= DEAD_SHARE * features || chances < MIN_CHANCES)
        return;
    if (!config->ghost)
        found = cause("give --ghost true");
    else if (config->decay_steps != defaults->decay_steps)
        found = cause("give --decay-steps %" PRIu64, defaults->decay_steps);
    else if (!*found.text)
        found = cause("give --steps %" PRIu64 ", a higher --init-l0 (%.3g), or --levels with fewer features", more_steps(config),
                      2 * config->init_l0[level]);
    add(list, "%" PRIu64 " of the %" PRIu32 " features of level %" PRIu32 " (%.3g %%) are dead: %s", figures->dead, features, level,
        100 * (double)figures->dead / features, found.text);
}

static void check_explained(json_t *list, const hsae_config *config, const hsae_config *defaults, uint32_t level, double trained,
                            double evaluated)
{
    const struct cause likely = likely_cause(config, defaults);
    if (trained < 0)
        add(list, "level %" PRIu32 " explains less than nothing of the variance (%.3g): %s", level, trained,
            *likely.text ? likely.text : cause("give --steps %" PRIu64 ", or --lr %.2g", more_steps(config), config->lr / 2).text);
    else if (evaluated < 0)
        add(list,
            "level %" PRIu32
            " explains less than nothing of the variance of the vectors it is evaluated on (%.3g): they differ from those of "
            "--data; evaluate on vectors of the same place in the same model, or train on more",
            level, evaluated);
}

static void check_held_out(json_t *list, const hsae_config *config, uint32_t level, double l0)
{
    const double target = config->target_l0[level];
    if (l0 > HELD_OUT_FACTOR * target)
        add(list,
            "level %" PRIu32 " has L0 %.3g on held-out vectors, its target is %g: it has learned its rows by heart; give more --data, or "
            "--levels of at most %" PRIu32 " features",
            level, l0, target, config->levels[level] / 2);
}

void run_warnings_after(json_t *list, hsae_context *context, const struct run_newest *newest, const hsae_config *config, uint32_t dim,
                        bool complete, const hsae_evaluation *evaluation)
{
    hsae_config defaults;
    hsae_config_defaults(&defaults);
    defaults.steps = config->steps;
    if (!newest->count || hsae_config_resolve(context, &defaults, dim) != HSAE_OK)
        return;
    for (uint32_t l = 0; l < config->level_count; l++) {
        const hsae_step_level figures = mean_level(newest, l);
        if (complete) /* until then the penalty is at work on it */
            check_l0(list, config, &defaults, l, &figures);
        check_dead(list, config, &defaults, l, &figures);
        check_explained(list, config, &defaults, l, figures.variance_explained,
                        evaluation ? evaluation->levels[l].variance_explained : (double)NAN);
        check_held_out(list, config, l, evaluation && complete ? evaluation->levels[l].l0 : 0);
    }
}

void run_warnings_of_tree(json_t *list, const hsae_trainer *trainer)
{
    const hsae_config *config = hsae_trainer_config(trainer);
    char text[256];
    for (uint32_t l = 1; l < config->level_count; l++)
        if (hsae_large_family(config, l, hsae_trainer_parents(trainer, l), text, sizeof text))
            add(list, "%s", text);
}

/* ---- before the first step ---- */

static void check_levels(json_t *list, const hsae_config *config, uint64_t rows)
{
    const uint32_t last = config->level_count - 1, features = config->levels[last];
    const double target = config->target_l0[last], most = floor((double)rows * target / FEW_ACTIVE);
    char levels[64] = "";
    if (features <= most)
        return;
    if (most >= 4 * target)
        snprintf(levels, sizeof levels, ", or --levels of at most %.0f features", most);
    add(list,
        "%" PRIu64 " rows let each of the %" PRIu32 " features of level %" PRIu32
        " be active %.3g times, too few to learn it from: give %.0f rows of --data%s",
        rows, features, last, (double)rows * target / features, ceil(FEW_ACTIVE * features / target), levels);
}

static void check_epochs(json_t *list, const hsae_config *config, uint64_t rows)
{
    const double epochs = (double)config->steps * config->batch / (double)rows;
    if (epochs > MANY_EPOCHS)
        add(list, "every row is seen %.0f times, of which the last teach little: give more --data, or --steps %.0f", epochs,
            fmax(1, floor(MANY_EPOCHS * (double)rows / config->batch)));
}

static void check_steps(json_t *list, const hsae_config *config)
{
    const double memory = 1 / (1 - config->beta2), steps = (double)config->steps;
    const uint64_t updates = config->steps / config->hierarchy_period;
    if (steps < memory)
        add(list, "%" PRIu64 " steps are fewer than the %.0f over which Adam averages (--beta2 %g): give --steps %.0f", config->steps,
            memory, config->beta2, fmax(USUAL_STEPS, ceil(5 * memory)));
    if (config->level_count < 2 || config->tree == HSAE_TREE_POSTHOC || (config->tree == HSAE_TREE_FIXED && updates > 0))
        return;
    if ((double)updates < FEW_UPDATES)
        add(list, "the tree is updated every %" PRIu64 " steps, so in this run of %" PRIu64 " steps %s: give --hierarchy-period %" PRIu64,
            config->hierarchy_period, config->steps, updates ? "once" : "never", config->steps > 20 ? config->steps / 20 : 1);
}

void run_warnings_before(json_t *list, const hsae_config *config, uint64_t rows)
{
    check_levels(list, config, rows);
    check_epochs(list, config, rows);
    check_steps(list, config);
}

/* The value of a key that is a number; NaN: it is none. */
static double config_number(const hsae_config *config, const char *key)
{
    char *text = hsae_config_json(config);
    json_t *object = text ? json_loads(text, 0, NULL) : NULL;
    const json_t *value = json_object_get(object, key);
    double number = json_is_number(value) ? json_number_value(value) : (double)NAN;
    json_decref(object);
    hsae_free(text);
    return number;
}

double run_better_value(hsae_context *context, const hsae_config *config, uint32_t dim, const hsae_divergence *divergence)
{
    hsae_config defaults;
    hsae_config_defaults(&defaults);
    defaults.steps = config->steps;
    if (hsae_config_resolve(context, &defaults, dim) != HSAE_OK)
        return NAN;
    double usual = config_number(&defaults, divergence->key), now = config_number(config, divergence->key);
    if (divergence->raise)
        return now < usual ? usual : 10 * now;
    return now > usual ? usual : now / 10;
}
