/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "data/safetensors.h"
#include "eval/metrics.h"
#include "model/model.h"

#include <jansson.h>
#include <math.h>

/* A golden evaluation in memory. */
struct golden {
    hsae_model *model;
    json_t *expected;
    uint32_t rows, dim;
    float *raw;
    double *deviation;
    double *residual[HSAE_MAX_LEVELS];
    uint32_t *indptr[HSAE_MAX_LEVELS];
    uint32_t *indices[HSAE_MAX_LEVELS];
    float *values[HSAE_MAX_LEVELS];
};

static void read_level(struct golden *g, const struct hsae_safetensors *file, uint32_t l)
{
    char name[64];
    int64_t *indptr = malloc((g->rows + 1) * sizeof *indptr);
    g->indptr[l] = malloc((g->rows + 1) * sizeof *g->indptr[l]);
    assert_true(indptr && g->indptr[l]);
    snprintf(name, sizeof name, "levels.%u.indptr", l);
    assert_ok(hsae_tensor_int64s(file, hsae_safetensors_find(file, name), 0, g->rows + 1, indptr));
    for (uint32_t k = 0; k <= g->rows; k++)
        g->indptr[l][k] = (uint32_t)indptr[k];
    free(indptr);
    size_t count = g->indptr[l][g->rows];
    g->indices[l] = malloc((count + 1) * sizeof *g->indices[l]);
    g->values[l] = malloc((count + 1) * sizeof *g->values[l]);
    assert_true(g->indices[l] && g->values[l]);
    snprintf(name, sizeof name, "levels.%u.indices", l);
    int32_t *indices = (int32_t *)g->indices[l]; /* not negative, so the same bits */
    assert_ok(hsae_tensor_int32s(file, hsae_safetensors_find(file, name), 0, count, indices));
    snprintf(name, sizeof name, "levels.%u.values", l);
    assert_ok(hsae_tensor_floats(file, hsae_safetensors_find(file, name), 0, count, g->values[l]));
}

/* Squared distances to the mean and to each level's reconstruction, in normalised units. */
static void compute_squares(struct golden *g)
{
    const float *mu = hsae_model_mean(g->model);
    double scale = hsae_model_scale(g->model), *mean = calloc(g->dim, sizeof *mean), *xhat = calloc(g->dim, sizeof *xhat);
    assert_true(mean && xhat);
    for (uint32_t k = 0; k < g->rows; k++)
        for (uint32_t c = 0; c < g->dim; c++)
            mean[c] += scale * ((double)g->raw[k * g->dim + c] - mu[c]) / g->rows;
    for (uint32_t k = 0; k < g->rows; k++) {
        for (uint32_t c = 0; c < g->dim; c++) {
            double off = scale * ((double)g->raw[k * g->dim + c] - mu[c]) - mean[c];
            g->deviation[k] += off * off;
        }
        for (uint32_t l = 0; l < hsae_model_config(g->model)->level_count; l++) {
            hsae_level level = hsae_model_level(g->model, l);
            for (uint32_t c = 0; c < g->dim; c++)
                xhat[c] = level.decoder_bias[c];
            for (uint32_t p = g->indptr[l][k]; p < g->indptr[l][k + 1]; p++)
                for (uint32_t c = 0; c < g->dim; c++)
                    xhat[c] += (double)g->values[l][p] * level.decoder_weight[g->indices[l][p] * g->dim + c];
            for (uint32_t c = 0; c < g->dim; c++) {
                double off = scale * ((double)g->raw[k * g->dim + c] - mu[c]) - xhat[c];
                g->residual[l][k] += off * off;
            }
        }
    }
    free(mean);
    free(xhat);
}

static void load_golden(const char *name, struct golden *g)
{
    char path[512];
    const char *paths = path;
    hsae_dataset *dataset;
    struct hsae_safetensors *file;
    memset(g, 0, sizeof *g);
    snprintf(path, sizeof path, HSAE_GOLDEN "/eval/%s/model.safetensors", name);
    assert_ok(hsae_model_load(context, path, &g->model));
    snprintf(path, sizeof path, HSAE_GOLDEN "/eval/%s/data.safetensors", name);
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &paths, .path_count = 1}, &dataset));
    g->rows = (uint32_t)hsae_dataset_rows(dataset);
    g->dim = hsae_dataset_dim(dataset);
    g->raw = malloc(sizeof(float) * g->rows * g->dim);
    g->deviation = calloc(g->rows, sizeof(double));
    assert_true(g->raw && g->deviation);
    for (uint64_t k = 0; k < g->rows; k++)
        assert_ok(hsae_dataset_read(dataset, &k, 1, g->raw + k * g->dim));
    hsae_dataset_close(&dataset);
    snprintf(path, sizeof path, HSAE_GOLDEN "/eval/%s/encoded.safetensors", name);
    assert_ok(hsae_safetensors_open(context, path, &file));
    for (uint32_t l = 0; l < hsae_model_config(g->model)->level_count; l++) {
        g->residual[l] = calloc(g->rows, sizeof(double));
        assert_non_null(g->residual[l]);
        read_level(g, file, l);
    }
    hsae_safetensors_close(&file);
    snprintf(path, sizeof path, HSAE_GOLDEN "/eval/%s/expected.json", name);
    g->expected = json_load_file(path, 0, NULL);
    assert_non_null(g->expected);
    compute_squares(g);
}

static void free_golden(struct golden *g)
{
    for (int l = 0; l < HSAE_MAX_LEVELS; l++) {
        free(g->residual[l]);
        free(g->indptr[l]);
        free(g->indices[l]);
        free(g->values[l]);
    }
    free(g->raw);
    free(g->deviation);
    json_decref(g->expected);
    hsae_model_free(&g->model);
}

static void assert_figure(const json_t *object, const char *name, double found)
{
    const json_t *value = json_object_get(object, name);
    assert_non_null(value);
    if (json_is_null(value)) {
        assert_true(isnan(found));
        return;
    }
    double expected = json_number_value(value);
    if (!(fabs(found - expected) <= 1e-5 * fmax(1, fabs(expected))))
        fail_msg("%s is %.17g instead of %.17g", name, found, expected);
}

static void assert_evaluation(const json_t *expected, const hsae_evaluation *found)
{
    assert_int_equal(found->tokens, json_integer_value(json_object_get(expected, "tokens")));
    const json_t *levels = json_object_get(expected, "levels"), *pairs = json_object_get(expected, "pairs");
    const json_t *mean = json_object_get(expected, "mean");
    assert_int_equal(found->level_count, json_array_size(levels));
    assert_int_equal(found->level_count - 1, json_array_size(pairs));
    uint64_t assigned = 0;
    for (uint32_t l = 0; l <= found->level_count; l++) {
        const hsae_level_metrics *level = l < found->level_count ? &found->levels[l] : &found->mean_level;
        const json_t *object = l < found->level_count ? json_array_get(levels, l) : mean;
        assert_figure(object, "l0", level->l0);
        assert_figure(object, "dead_fraction", level->dead_fraction);
        assert_figure(object, "variance_explained", level->variance_explained);
        assert_figure(object, "variance_explained_legacy", level->variance_explained_legacy);
    }
    for (uint32_t k = 0; k < found->level_count; k++) {
        const hsae_pair_metrics *pair = k + 1 < found->level_count ? &found->pairs[k] : &found->mean_pair;
        const json_t *object = k + 1 < found->level_count ? json_array_get(pairs, k) : mean;
        assert_figure(object, "hamming", pair->hamming);
        assert_figure(object, "p_parent_given_child", pair->p_parent_given_child);
        assert_figure(object, "p_child_given_parent", pair->p_child_given_parent);
        assert_figure(object, "lift", pair->lift);
        assert_figure(object, "duplicates", pair->duplicates);
        assert_figure(object, "largest_share", pair->largest_share);
        if (k + 1 < found->level_count) {
            assert_figure(object, "assigned", (double)pair->assigned);
            assert_figure(object, "largest_family", (double)pair->largest_family);
            assigned += pair->assigned;
        }
    }
    assert_int_equal(found->mean_pair.assigned, assigned);
}

static void evaluate(struct golden *g, uint32_t batch, hsae_evaluation *out)
{
    struct hsae_metrics *metrics;
    assert_ok(hsae_metrics_create(context, g->model, &metrics));
    for (uint32_t first = 0; first < g->rows; first += batch) {
        struct hsae_active active[HSAE_MAX_LEVELS];
        const double *residual[HSAE_MAX_LEVELS];
        for (uint32_t l = 0; l < hsae_model_config(g->model)->level_count; l++) {
            active[l] = (struct hsae_active){g->indptr[l] + first, g->indices[l]};
            residual[l] = g->residual[l] + first;
        }
        hsae_metrics_add(metrics, g->rows - first < batch ? g->rows - first : batch, NULL, active, residual, g->deviation + first);
    }
    hsae_metrics_result(metrics, out);
    hsae_metrics_free(&metrics);
    assert_null(metrics);
}

static void test_golden(void **state)
{
    (void)state;
    static const char *const names[] = {"one-level", "two-levels", "four-levels", "duplicates"};
    for (int i = 0; i < 4; i++) {
        struct golden g;
        hsae_evaluation whole, parts;
        load_golden(names[i], &g);
        evaluate(&g, g.rows, &whole);
        assert_evaluation(g.expected, &whole);
        evaluate(&g, 7, &parts);
        assert_memory_equal(whole.levels, parts.levels, sizeof whole.levels);
        assert_memory_equal(whole.pairs, parts.pairs, sizeof whole.pairs);
        free_golden(&g);
    }
}

/* A tree 0-1, 0-2, orphans, and what no sample decides. */
static void test_small(void **state)
{
    (void)state;
    static const int32_t parent[3] = {0, 0, -1};
    hsae_config config;
    hsae_config_defaults(&config);
    assert_ok(hsae_config_parse(context, &config, "{\"levels\": [2, 3], \"target_l0\": 1}", "small"));
    hsae_model *model;
    assert_ok(hsae_model_alloc(context, &config, 1, &model));
    memcpy(model->levels[1].parent, parent, sizeof parent);
    struct hsae_metrics *metrics;
    hsae_evaluation e;
    assert_ok(hsae_metrics_create(context, model, &metrics));
    hsae_metrics_result(metrics, &e); /* no sample yet: no figure */
    assert_true(isnan(e.levels[0].l0) && isnan(e.levels[0].dead_fraction) && isnan(e.mean_level.variance_explained));
    assert_true(isnan(e.pairs[0].hamming) && isnan(e.mean_pair.p_parent_given_child));
    assert_int_equal(e.pairs[0].assigned, 2);

    /* Samples: {0 | 0, 1}, {1 | 2}, {| 0}, {0 |}: own activity and the OR of the children differ in the last two. */
    static const uint32_t above[] = {0, 1, 0}, above_at[] = {0, 1, 2, 2, 3}, below[] = {0, 1, 2, 0}, below_at[] = {0, 2, 3, 4, 4};
    static const double residual[2][4] = {{1, 1, 1, 5}, {0, 0, 0, 0}}, deviation[4] = {2, 2, 4, 0};
    const struct hsae_active active[] = {{above_at, above}, {below_at, below}};
    const double *const residuals[] = {residual[0], residual[1]};
    hsae_metrics_add(metrics, 4, NULL, active, residuals, deviation);
    hsae_metrics_result(metrics, &e);
    assert_int_equal(e.tokens, 4);
    assert_true(e.levels[0].l0 == 0.75 && e.levels[1].l0 == 1 && e.mean_level.l0 == 0.875);
    assert_true(e.levels[0].dead_fraction == 0 && e.levels[1].dead_fraction == 0);
    assert_true(e.levels[0].variance_explained == 0 && e.levels[1].variance_explained == 1);
    assert_true(fabs(e.levels[0].variance_explained_legacy - (0.5 + 0.5 + 0.75) / 3) < 1e-15); /* the last is at the mean */
    assert_true(e.pairs[0].hamming == 0.5);
    assert_true(e.pairs[0].p_parent_given_child == (0.5 + 1) / 2); /* child 0: 1 of 2; child 1: 1 of 1 */
    assert_true(e.pairs[0].p_child_given_parent == 0.5);
    assert_true(fabs(e.pairs[0].lift - (1 + 2) / 2.0) < 1e-15); /* the parent: 2 of 4 samples */
    assert_true(e.pairs[0].largest_family == 2 && e.pairs[0].largest_share == 1 && e.pairs[0].duplicates == 0);
    hsae_metrics_free(&metrics);

    for (int j = 0; j < 3; j++)
        model->levels[1].parent[j] = -1;
    assert_ok(hsae_metrics_create(context, model, &metrics));
    hsae_metrics_add(metrics, 4, NULL, active, residuals, deviation);
    hsae_metrics_result(metrics, &e);
    assert_true(e.pairs[0].hamming == 0 && e.pairs[0].assigned == 0 && e.pairs[0].largest_family == 0);
    assert_true(isnan(e.pairs[0].lift) && isnan(e.pairs[0].duplicates) && isnan(e.pairs[0].largest_share));
    assert_true(isnan(e.pairs[0].p_parent_given_child) && isnan(e.mean_pair.p_child_given_parent));
    hsae_metrics_free(&metrics);
    hsae_metrics_free(&metrics);
    hsae_model_free(&model);
}

/* The limit is a quarter of the children, and four even shares. */
static void test_large_family(void **state)
{
    (void)state;
    hsae_config config;
    hsae_config_defaults(&config);
    assert_ok(hsae_config_parse(context, &config, "{\"levels\": [32, 44], \"target_l0\": 1}", "family"));
    int32_t parent[44];
    char text[256];
    for (int32_t j = 0; j < 44; j++)
        parent[j] = j < 10 ? 5 : j < 40 ? 6 + j % 20 : -1;
    assert_false(hsae_large_family(&config, 1, parent, text, sizeof text)); /* 10 of 40 */
    assert_string_equal(text, "");
    parent[43] = 5;
    assert_true(hsae_large_family(&config, 1, parent, text, sizeof text)); /* 11 of 41 */
    assert_non_null(strstr(text, "feature 5 of level 0 is the parent of 11 of the 41 features of level 1 that have one (26.8 %)"));
    assert_non_null(strstr(text, "similarity inclusion"));
    config.similarity = HSAE_SIMILARITY_INCLUSION;
    assert_true(hsae_large_family(&config, 1, parent, text, sizeof text));
    assert_non_null(strstr(text, "tree binary"));
    config.levels[0] = 12; /* four even shares are 13 of 41 */
    for (int32_t j = 10; j < 40; j++)
        parent[j] = j % 12;
    assert_int_equal(parent[17] + parent[29], 10);
    assert_false(hsae_large_family(&config, 1, parent, text, sizeof text));
    config.levels[0] = 32; /* wherever the large family stands among the others */
    for (uint32_t seed = 0; seed < 44; seed++) {
        for (uint32_t j = 0; j < 44; j++)
            parent[(j * 7 + seed) % 44] = j < 12 ? 9 : (int32_t)(10 + (j * 5 + seed) % 20);
        assert_true(hsae_large_family(&config, 1, parent, text, sizeof text));
        assert_non_null(strstr(text, "feature 9 of level 0 is the parent of 12 of the 44"));
    }
    for (int32_t j = 0; j < 44; j++)
        parent[j] = -1;
    assert_false(hsae_large_family(&config, 1, parent, text, sizeof text));
    assert_false(hsae_large_family(&config, 0, parent, text, sizeof text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_small), cmocka_unit_test(test_large_family)};
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
