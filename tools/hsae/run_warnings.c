/* SPDX-License-Identifier: MIT */
#include "run_warnings.h"

#include <inttypes.h>
#include <math.h>

/* Figures beyond these are far off. On real activations a run of enough steps ends within a third of its targets, without dead features. */
static const double L0_FACTOR = 1.5, DEAD_SHARE = 0.05;

/* In fewer steps the L0 has hardly begun to move. A feature may be called dead when one of average activity would have been active so many
 * times meanwhile. */
static const double MIN_STEPS = 100, MIN_CHANCES = 20;

/* Times the default from which on a setting is the likely cause. */
static const double HIGH_RATE = 2, HIGH_BANDWIDTH = 10, LOW_BANDWIDTH = 0.01, HIGH_KAPPA = 30, LOW_GAIN = 0.1;

void run_newest_add(struct run_newest *newest, const hsae_step_metrics *figures)
{
    newest->figures[newest->count++ % RUN_NEWEST] = *figures;
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

/* Settings that explain any bad figure; NULL: none does. */
static const char *likely_cause(const hsae_config *config, const hsae_config *defaults)
{
    if (config->lr > HIGH_RATE * defaults->lr)
        return "lower --lr";
    if (config->bandwidth > HIGH_BANDWIDTH * defaults->bandwidth)
        return "lower --bandwidth";
    if (config->bandwidth < LOW_BANDWIDTH * defaults->bandwidth)
        return "raise --bandwidth";
    return config->center == HSAE_CENTER_NONE ? "give --center mean" : NULL;
}

static void add(json_t *list, const char *format, ...) HSAE_OS_PRINTF(2, 3);
static void add(json_t *list, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    json_array_append_new(list, json_vsprintf(format, values));
    va_end(values);
}

static void check_l0(json_t *list, const hsae_config *config, const hsae_config *defaults, uint32_t level, const hsae_step_level *figures)
{
    double target = config->target_l0[level];
    const char *cause = likely_cause(config, defaults);
    if ((double)config->steps < MIN_STEPS)
        return;
    if (figures->l0 <= L0_FACTOR * target && L0_FACTOR * figures->l0 >= target)
        return;
    const bool shifts = config->sparsity_control == HSAE_SPARSITY_CONTROL_THRESHOLD;
    if (shifts && !cause)
        cause = config->sparsity_gain < LOW_GAIN * defaults->sparsity_gain ? "raise --sparsity-gain"
                                                                           : "give more --steps, or another --init-l0";
    else if (!shifts && figures->lambda == 0)
        cause = "the penalty is 0: give --lambda-init above 0";
    else if (!shifts && (config->sparsity_kappa == 0 || config->sparsity_eta == 0))
        cause = "the penalty does not follow the L0: give --sparsity-kappa and --sparsity-eta above 0";
    else if (!cause && config->sparsity_kappa > HIGH_KAPPA * defaults->sparsity_kappa)
        cause = "lower --sparsity-kappa";
    else if (!cause && figures->l0 < target && config->init_l0[level] < target)
        cause = "raise --init-l0";
    else if (!cause)
        cause = figures->l0 > target ? "give more --steps, or a higher --lambda-init" : "give more --steps, or a lower --lambda-init";
    add(list, "level %" PRIu32 " ends with L0 %.3g, its target is %g: %s", level, figures->l0, target, cause);
}

static void check_dead(json_t *list, const hsae_config *config, const hsae_config *defaults, uint32_t level, const hsae_step_level *figures)
{
    uint32_t features = config->levels[level];
    const char *cause = likely_cause(config, defaults);
    double chances = (double)config->dead_steps * config->batch * config->target_l0[level] / features;
    if ((double)figures->dead <= DEAD_SHARE * features || chances < MIN_CHANCES)
        return;
    if (!config->ghost)
        cause = "give --ghost true";
    else if (!cause)
        cause = "give more --steps, or a higher --init-l0";
    add(list, "%" PRIu64 " of the %" PRIu32 " features of level %" PRIu32 " (%.3g %%) are dead: %s", figures->dead, features, level,
        100 * (double)figures->dead / features, cause);
}

static void check_explained(json_t *list, const hsae_config *config, const hsae_config *defaults, uint32_t level, double trained,
                            double evaluated)
{
    const char *cause = likely_cause(config, defaults);
    if (trained < 0)
        add(list, "level %" PRIu32 " explains less than nothing of the variance (%.3g): %s", level, trained,
            cause ? cause : "give more --steps, or a lower --lr");
    else if (evaluated < 0)
        add(list,
            "level %" PRIu32
            " explains less than nothing of the variance of the vectors it is evaluated on (%.3g): they differ from those of "
            "--data; evaluate on vectors of the same place in the same model, or train on more",
            level, evaluated);
}

json_t *run_warnings(hsae_context *context, const struct run_newest *newest, const hsae_config *config, uint32_t dim, bool complete,
                     const hsae_evaluation *evaluation)
{
    json_t *list = json_array();
    hsae_config defaults;
    hsae_config_defaults(&defaults);
    defaults.steps = config->steps;
    if (!list || !newest->count || hsae_config_resolve(context, &defaults, dim) != HSAE_OK)
        return list;
    for (uint32_t l = 0; l < config->level_count; l++) {
        const hsae_step_level figures = mean_level(newest, l);
        if (complete) /* until then the penalty is at work on it */
            check_l0(list, config, &defaults, l, &figures);
        check_dead(list, config, &defaults, l, &figures);
        check_explained(list, config, &defaults, l, figures.variance_explained,
                        evaluation ? evaluation->levels[l].variance_explained : (double)NAN);
    }
    return list;
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
