/* SPDX-License-Identifier: MIT */
/* The explorer against counting by hand on a golden model; the same whatever the rows of a batch. Its files: tests/cli/test_explore.py. */
#include "support.h"

#include <hsae/explore.h>
#include <math.h>

enum { CONTEXTS = 2, SAMPLES = 2, LENGTH = 5 };

struct fixture {
    hsae_device *device;
    hsae_model *model;
    hsae_dataset *dataset;
    hsae_features features[HSAE_MAX_LEVELS];
    uint64_t rows;
    uint32_t levels;
    char tokens[512];
};

/* Sequences of 1, 2, 3 ... tokens; token r of all is "r". */
static void write_tokens(const char *path, uint64_t rows)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (uint64_t row = 0, length = 1; row < rows; length++) {
        fputs("{\"tokens\": [", file);
        for (uint64_t k = 0; k < length && row < rows; k++, row++)
            fprintf(file, "%s\"%d\"", k ? ", " : "", (int)row);
        fputs("]}\n", file);
    }
    fclose(file);
}

static void open_fixture(struct fixture *w, const char *name)
{
    char path[512];
    const char *paths = path;
    hsae_session *session;
    memset(w, 0, sizeof *w);
    assert_int_equal(hsae_device_open(context, "ref", &w->device), HSAE_OK);
    snprintf(path, sizeof path, HSAE_GOLDEN "/eval/%s/model.safetensors", name);
    assert_int_equal(hsae_model_load(context, path, &w->model), HSAE_OK);
    snprintf(path, sizeof path, HSAE_GOLDEN "/eval/%s/data.safetensors", name);
    assert_int_equal(hsae_dataset_open(context, &(hsae_dataset_params){.paths = &paths, .path_count = 1}, &w->dataset), HSAE_OK);
    w->rows = hsae_dataset_rows(w->dataset);
    w->levels = hsae_model_config(w->model)->level_count;
    float *raw = malloc(w->rows * hsae_dataset_dim(w->dataset) * sizeof *raw);
    assert_non_null(raw);
    for (uint64_t row = 0; row < w->rows; row++)
        assert_int_equal(hsae_dataset_read(w->dataset, &row, 1, raw + row * hsae_dataset_dim(w->dataset)), HSAE_OK);
    assert_int_equal(hsae_session_create(w->device, w->model, 0, &session), HSAE_OK);
    assert_int_equal(hsae_session_encode(session, raw, w->rows, w->features), HSAE_OK);
    hsae_session_destroy(&session);
    free(raw);
    snprintf(w->tokens, sizeof w->tokens, "%s/tokens.jsonl", folder);
    write_tokens(w->tokens, w->rows);
}

static void close_fixture(struct fixture *w)
{
    for (uint32_t l = 0; l < w->levels; l++)
        hsae_features_free(&w->features[l]);
    hsae_dataset_close(&w->dataset);
    hsae_model_free(&w->model);
    hsae_device_close(&w->device);
}

static hsae_explorer *explore(const struct fixture *w, uint32_t rows, uint64_t paths)
{
    const char *tokens = w->tokens;
    hsae_session *session;
    hsae_explorer *explorer;
    hsae_explore_params params = {.token_paths = &tokens,
                                  .token_path_count = 1,
                                  .contexts = CONTEXTS,
                                  .samples = SAMPLES,
                                  .context_length = LENGTH,
                                  .feature_tokens = paths};
    assert_int_equal(hsae_session_create(w->device, w->model, rows, &session), HSAE_OK);
    assert_int_equal(hsae_explore(session, w->dataset, &params, NULL, NULL, &explorer), HSAE_OK);
    hsae_session_destroy(&session);
    return explorer;
}

static float activation(const struct fixture *w, uint32_t level, uint64_t row, uint32_t feature)
{
    const hsae_features *features = &w->features[level];
    for (uint64_t k = features->indptr[row]; k < features->indptr[row + 1]; k++)
        if (features->indices[k] == feature)
            return features->values[k];
    return 0;
}

static void assert_near(double found, double expected)
{
    assert_true(isnan(found) == isnan(expected) && !(fabs(found - expected) > 1e-12 * fabs(expected)));
}

static void check_feature(const struct fixture *w, const hsae_explorer *explorer, uint32_t l, uint32_t i)
{
    hsae_feature_report report;
    hsae_level level = hsae_model_level(w->model, l);
    uint64_t active = 0, joint = 0, parents = 0, bins = 0;
    double sum = 0, max = 0;
    hsae_explorer_feature(explorer, l, i, &report);
    assert_int_equal(report.parent, level.parent ? level.parent[i] : -1);
    for (uint64_t row = 0; row < w->rows; row++) {
        float value = activation(w, l, row, i), above = report.parent >= 0 ? activation(w, l - 1, row, (uint32_t)report.parent) : 0;
        active += value > 0;
        sum += (double)value;
        max = value > max ? (double)value : max;
        joint += value > 0 && above > 0;
        parents += above > 0;
    }
    assert_int_equal(report.active, active);
    assert_near(report.density, (double)active / (double)w->rows);
    assert_near(report.mean, active ? sum / (double)active : (double)NAN);
    assert_near(report.max, active ? max : (double)NAN);
    assert_near(report.p_parent_given_child, report.parent >= 0 && active ? (double)joint / (double)active : (double)NAN);
    assert_near(report.p_child_given_parent, report.parent >= 0 && parents ? (double)joint / (double)parents : (double)NAN);
    double rows = (double)w->rows, off = (double)parents * (rows - (double)parents) * (double)active * (rows - (double)active);
    assert_near(report.phi, off > 0 ? (rows * (double)joint - (double)parents * (double)active) / sqrt(off) : (double)NAN);
    assert_true(isnan(report.decoder_cosine) == (report.parent < 0));
    assert_int_equal(report.duplicate, report.decoder_cosine > HSAE_DUPLICATE_COSINE && report.phi > HSAE_DUPLICATE_PHI);
    for (int k = 0; k < HSAE_EXPLORE_BINS; k++)
        bins += report.histogram[k];
    assert_int_equal(bins, active);
    for (uint32_t k = 0; k < report.excerpt_count; k++) {
        const hsae_excerpt *excerpt = &report.excerpts[k];
        const uint32_t *tokens = hsae_explorer_tokens(explorer, excerpt, NULL);
        float values[LENGTH];
        hsae_explorer_values(explorer, l, i, k, values);
        assert_true(excerpt->length <= LENGTH && excerpt->peak < excerpt->length);
        for (uint32_t t = 0; t < excerpt->length; t++) {
            char text[32];
            uint32_t size;
            const char *token = hsae_explorer_token(explorer, tokens[t], &size);
            snprintf(text, sizeof text, "%d", (int)(excerpt->start + t));
            assert_true(size == strlen(text) && memcmp(token, text, size) == 0);
            assert_true(values[t] == activation(w, l, excerpt->start + t, i));
        }
        assert_true(values[excerpt->peak] == excerpt->activation && excerpt->sampled == (k >= CONTEXTS));
    }
}

static void test_counts(void **state)
{
    (void)state;
    static const char *const names[] = {"one-level", "two-levels", "four-levels"};
    for (int n = 0; n < 3; n++) {
        struct fixture w;
        open_fixture(&w, names[n]);
        hsae_explorer *explorer = explore(&w, 0, 0);
        for (uint32_t l = 0; l < w.levels; l++)
            for (uint32_t i = 0; i < hsae_model_config(w.model)->levels[l]; i++)
                check_feature(&w, explorer, l, i);
        hsae_explorer_free(&explorer);
        close_fixture(&w);
    }
}

static void test_rows_of_a_batch(void **state)
{
    (void)state;
    struct fixture w;
    open_fixture(&w, "four-levels");
    hsae_explorer *one = explore(&w, 3, 0), *other = explore(&w, 64, 0);
    for (uint32_t l = 0; l < w.levels; l++)
        for (uint32_t i = 0; i < hsae_model_config(w.model)->levels[l]; i++) {
            hsae_feature_report a, b;
            hsae_explorer_feature(one, l, i, &a);
            hsae_explorer_feature(other, l, i, &b);
            assert_int_equal(a.excerpt_count, b.excerpt_count);
            assert_int_equal(a.sibling_count, b.sibling_count);
            for (uint32_t k = 0; k < a.excerpt_count; k++)
                assert_true(a.excerpts[k].start == b.excerpts[k].start && a.excerpts[k].quantile == b.excerpts[k].quantile);
            for (uint32_t k = 0; k < a.sibling_count; k++)
                assert_true(a.siblings[k].feature == b.siblings[k].feature && a.siblings[k].probability == b.siblings[k].probability);
        }
    assert_int_equal(hsae_explorer_span_count(one), hsae_explorer_span_count(other));
    assert_int_equal(hsae_explorer_token_features_count(one), hsae_explorer_token_features_count(other));
    hsae_explorer_free(&one);
    hsae_explorer_free(&other);
    close_fixture(&w);
}

static void test_few_paths(void **state)
{
    (void)state;
    struct fixture w;
    open_fixture(&w, "two-levels");
    hsae_explorer *explorer = explore(&w, 0, 5);
    assert_int_equal(hsae_explorer_token_features_count(explorer), 5);
    for (uint64_t k = 1; k < 5; k++) {
        hsae_token_features before, path;
        hsae_explorer_token_features(explorer, k - 1, &before);
        hsae_explorer_token_features(explorer, k, &path);
        assert_true(before.row < path.row);
        assert_int_equal(path.count[0] + path.left_out[0], w.features[0].indptr[path.row + 1] - w.features[0].indptr[path.row]);
    }
    hsae_explorer_free(&explorer);
    close_fixture(&w);
}

static bool stop(void *user, uint64_t done, uint64_t total)
{
    uint64_t *calls = user;
    (void)done;
    (void)total;
    return ++*calls < 2;
}

static void test_cancelled(void **state)
{
    (void)state;
    struct fixture w;
    hsae_session *session;
    hsae_explorer *explorer;
    uint64_t calls = 0;
    open_fixture(&w, "two-levels");
    assert_int_equal(hsae_session_create(w.device, w.model, 8, &session), HSAE_OK);
    assert_int_equal(hsae_explore(session, w.dataset, NULL, stop, &calls, &explorer), HSAE_CANCELLED);
    assert_null(explorer);
    hsae_session_destroy(&session);
    close_fixture(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts), cmocka_unit_test(test_rows_of_a_batch),
                                       cmocka_unit_test(test_few_paths), cmocka_unit_test(test_cancelled)};
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
