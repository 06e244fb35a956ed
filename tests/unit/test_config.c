/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "base/config.h"

#include <locale.h>
#include <math.h>

static const char first_defaults[] =
    "{\"levels\": [2048, 4096, 8192, 16384], \"batch\": 1024, \"steps\": 0, \"lr\": 0, \"warmup\": 0.1, \"beta2\": 0.995, "
    "\"decay_steps\": 1, \"adam_eps\": 1e-08, \"target_l0\": 50, \"lambda_init\": 0.07, \"init_l0\": 0, \"sparsity_control\": "
    "\"threshold\", \"sparsity_gain\": 0.1, \"sparsity_momentum\": 0.98, "
    "\"sparsity_eta\": 0.01, \"sparsity_kappa\": 0.003, \"bandwidth\": 0.1, \"hierarchy_period\": 0, \"exclude\": 0.2, "
    "\"similarity\": \"encoder\", \"tree\": \"forest\", \"ghost\": true, \"dead_steps\": 0, \"project_gradient\": true, "
    "\"center\": \"mean\", \"order\": \"shuffle\", \"seed\": 0, \"rho\": 0.01, \"perturb\": 0.05, \"shards\": 1, "
    "\"max_norm\": 10, "
    "\"norm_limit\": 0, \"skip_bad_rows\": false}";

static void assert_json(const hsae_config *config, const char *expected)
{
    char *json = hsae_config_json(config);
    assert_non_null(json);
    assert_string_equal(json, expected);
    hsae_free(json);
}

static void test_defaults(void **state)
{
    (void)state;
    hsae_config config;
    hsae_config_defaults(&config);
    assert_json(&config, first_defaults);
    assert_ok(hsae_config_check(context, &config, "defaults"));
}

static void test_order_of_keys(void **state)
{
    (void)state;
    hsae_config config;
    hsae_config_defaults(&config);
    char *json = hsae_config_json(&config), *at = json;
#define FOLLOWS(key, KIND, RANGE, initial, automatic, RESUME, help) \
    at = strstr(at, "\"" #key "\": ");                              \
    assert_non_null(at);
    HSAE_CONFIG_KEYS(FOLLOWS)
#undef FOLLOWS
    hsae_free(json);
}

static void test_shards(void **state)
{
    (void)state;
    hsae_config config;
    hsae_config_defaults(&config);
    for (config.shards = 1; config.shards <= 257; config.shards++) {
        bool allowed = config.shards <= HSAE_MAX_SHARDS && !(config.shards & (config.shards - 1));
        assert_int_equal(hsae_config_check(context, &config, "here"), allowed ? HSAE_OK : HSAE_ERROR_CONFIG);
        assert_true(allowed || strstr(messages[HSAE_LOG_ERROR], "allowed: a power of two up to 256"));
    }
}

/* Every key away from its default; what is written reads back to the same text. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char text[] =
        "{\"levels\": [3, 17, 2147483647], \"batch\": 4294967295, \"steps\": 9223372036854775807, \"lr\": 0.30000000000000004, "
        "\"warmup\": 1, \"beta2\": 0, \"decay_steps\": 9, \"adam_eps\": 2e-38, \"target_l0\": [1.5, 2, 3], \"lambda_init\": 123456789.125, "
        "\"init_l0\": [0, 0, 7.1], \"sparsity_control\": \"penalty\", \"sparsity_gain\": 7, \"sparsity_momentum\": 0.999, "
        "\"sparsity_eta\": 0.001, \"sparsity_kappa\": 0.01, \"bandwidth\": 3e+38, "
        "\"hierarchy_period\": 9007199254740993, \"exclude\": 0, \"similarity\": \"coactivation\", \"tree\": \"posthoc\", \"ghost\": "
        "false, "
        "\"dead_steps\": 9007199254740995, \"project_gradient\": false, \"center\": \"none\", \"order\": \"sequential\", "
        "\"seed\": 9223372036854775806, \"rho\": 0, \"perturb\": 0.1, \"shards\": 256, \"max_norm\": 0, \"norm_limit\": 1533.25, "
        "\"skip_bad_rows\": true}";
    hsae_config config;
    hsae_config_defaults(&config);
    assert_ok(hsae_config_parse(context, &config, text, "here"));
    assert_json(&config, text);
    assert_ok(hsae_config_check(context, &config, "here"));
    assert_int_equal(config.seed, INT64_MAX - 1);
    assert_int_equal(config.tree, HSAE_TREE_POSTHOC);
    assert_false(config.ghost);
}

/* A stored configuration from before a key has what was done then: rows of any norm are kept. Setting max_norm makes the trainer find the
 * limit again. */
static void test_norm_limit(void **state)
{
    (void)state;
    hsae_config config;
    hsae_config_stored_defaults(&config);
    assert_true(config.max_norm == 0 && config.norm_limit == 0 && !config.skip_bad_rows);
    assert_true(config.decay_steps == 0 && config.sparsity_control == HSAE_SPARSITY_CONTROL_PENALTY);
    assert_ok(hsae_config_parse(context, &config, "{\"norm_limit\": 12.5, \"max_norm\": 3}", "stored"));
    assert_true(config.max_norm == 3 && config.norm_limit == 12.5);
    assert_ok(hsae_config_set(context, &config, "max_norm", "4"));
    assert_true(config.max_norm == 4 && config.norm_limit == 0);
    assert_ok(hsae_config_set(context, &config, "norm_limit", "7"));
    assert_true(config.max_norm == 4 && config.norm_limit == 7);
    assert_fails(hsae_config_set(context, &config, "max_norm", "-1"), HSAE_ERROR_CONFIG, "max_norm is \"-1\"", "allowed: 0, or a number",
                 NULL);
    assert_true(config.norm_limit == 7);
}

static void test_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"};
    hsae_config config;
    for (int i = 0; i < 3 && !setlocale(LC_ALL, names[i]); i++) {
    }
    hsae_config_defaults(&config);
    assert_json(&config, first_defaults);
    assert_ok(hsae_config_set(context, &config, "lr", "0.25"));
    assert_true(config.lr == 0.25);
    setlocale(LC_ALL, "C");
}

static hsae_status parse(const char *json)
{
    hsae_config config, before;
    memset(&config, 0, sizeof config);
    hsae_config_defaults(&config);
    memcpy(&before, &config, sizeof before);
    hsae_status status = hsae_config_parse(context, &config, json, "run.json");
    if (status)
        assert_memory_equal(&config, &before, sizeof before);
    return status;
}

static void test_parse_errors(void **state)
{
    (void)state;
    const hsae_status bad = HSAE_ERROR_CONFIG;
    assert_fails(parse("{\"batch\": 7, \"targetl0\": 3}"), bad, "run.json", "unknown key \"targetl0\"", "\"target_l0\"", NULL);
    assert_fails(parse("{\"rh\": 3}"), bad, "\"rho\"", NULL);
    assert_fails(parse("{\"a-very-long-key-that-nobody-would-ever-want-to-write-in-a-configuration-file-but-somebody-did\": 3}"), bad,
                 NULL);
    assert_fails(parse("{\"a\\u001b[2Jb\\n\": 3}"), bad, "unknown key \"a [2Jb \"", NULL); /* no control characters for a terminal */
    assert_fails(parse("{\"\": 3}"), bad, "unknown key \"\"", NULL);
    assert_fails(parse("{\"batch\": 7, \"batch\": 8}"), bad, "run.json", "duplicate", "batch", NULL);
    assert_fails(parse("{\"batch\": 7"), bad, "run.json", "not valid JSON", "line 1", NULL);
    assert_fails(parse("[1]"), bad, "not a JSON object", NULL);
    assert_fails(parse(""), bad, "not valid JSON", NULL);
    assert_fails(parse("{\"batch\": 1e3}"), bad, "run.json: batch is 1000.0; allowed: an integer from 1 to 4294967295", NULL);
    assert_fails(parse("{\"batch\": 0}"), bad, "batch is 0;", NULL);
    assert_fails(parse("{\"batch\": 4294967296}"), bad, "batch is 4294967296;", NULL);
    assert_fails(parse("{\"steps\": -1}"), bad, "steps is -1;", "from 0 to 9223372036854775807", NULL);
    assert_fails(parse("{\"seed\": 9223372036854775808}"), bad, "run.json", NULL);
    assert_fails(parse("{\"seed\": \"1\"}"), bad, "seed is \"1\";", NULL);
    assert_fails(parse("{\"lr\": \"fast\"}"), bad, "lr is \"fast\"; allowed: 0, or a number from 1.2e-38 to 3.4e38", NULL);
    assert_fails(parse("{\"lr\": -1}"), bad, "lr is -1;", NULL);
    assert_fails(parse("{\"lr\": 1e999}"), bad, "run.json", NULL);
    assert_fails(parse("{\"lr\": null}"), bad, "lr is null;", NULL);
    assert_fails(parse("{\"warmup\": 1.5}"), bad, "warmup is 1.5; allowed: a number from 0 to 1", NULL);
    assert_fails(parse("{\"beta2\": 1}"), bad, "beta2 is 1; allowed: a number from 0 to below 1", NULL);
    assert_fails(parse("{\"adam_eps\": 0}"), bad, "adam_eps is 0; allowed: a number above 0, from 1.2e-38 to 3.4e38", NULL);
    assert_fails(parse("{\"ghost\": 1}"), bad, "ghost is 1; allowed: true or false", NULL);
    assert_fails(parse("{\"tree\": \"Forest\"}"), bad, "tree is \"Forest\"", "\"forest\", \"fixed\", \"full\", \"binary\" or \"posthoc\"",
                 NULL);
    assert_fails(parse("{\"similarity\": 0}"), bad, "similarity is 0",
                 "\"encoder\", \"decoder\", \"coactivation\", \"inclusion\" or \"part\"", NULL);
    assert_fails(parse("{\"levels\": 5}"), bad, "levels is 5; allowed: a list of 1 to 8 integers", NULL);
    assert_fails(parse("{\"levels\": []}"), bad, "levels is []", NULL);
    assert_fails(parse("{\"levels\": [1,2,3,4,5,6,7,8,9]}"), bad, "levels is [1, 2, 3", NULL);
    assert_fails(parse("{\"levels\": [4, 4]}"), bad, "levels is [4, 4]", "strictly increasing", NULL);
    assert_fails(parse("{\"levels\": [4, 8.0]}"), bad, "levels is [4, 8.0]", NULL);
    assert_fails(parse("{\"levels\": [2147483648]}"), bad, "levels is [2147483648]", NULL);
    assert_fails(parse("{\"levels\": [-1, 2]}"), bad, "levels is [-1, 2]", NULL);
    assert_fails(parse("{\"target_l0\": [1, 0]}"), bad, "target_l0 is [1, 0]", "or a list of one for each level", NULL);
    assert_fails(parse("{\"target_l0\": []}"), bad, "target_l0 is []", NULL);
    assert_fails(parse("{\"init_l0\": [1, \"a\"]}"), bad, "init_l0 is [1, \"a\"]", NULL);
}

static void test_deep_json(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *json = malloc(DEPTH + 16);
    assert_non_null(json);
    strcpy(json, "{\"lr\": ");
    memset(json + 7, '[', DEPTH);
    json[7 + DEPTH] = '\0';
    assert_fails(parse(json), HSAE_ERROR_CONFIG, "not valid JSON", NULL);
    free(json);
}

static void test_set(void **state)
{
    (void)state;
    hsae_config c;
    hsae_config_defaults(&c);
    assert_ok(hsae_config_set(context, &c, "levels", "16,32"));
    assert_ok(hsae_config_set(context, &c, "target_l0", "4,.5"));
    assert_ok(hsae_config_set(context, &c, "init_l0", "1e1"));
    assert_ok(hsae_config_set(context, &c, "steps", "9007199254740993"));
    assert_ok(hsae_config_set(context, &c, "lr", "1e-3"));
    assert_ok(hsae_config_set(context, &c, "ghost", "false"));
    assert_ok(hsae_config_set(context, &c, "tree", "binary"));
    assert_ok(hsae_config_check(context, &c, "here"));
    assert_int_equal(c.level_count, 2);
    assert_int_equal(c.levels[1], 32);
    assert_true(c.target_l0[0] == 4 && c.target_l0[1] == 0.5);
    assert_true(c.init_l0[0] == 10 && c.init_l0[7] == 10);
    assert_int_equal(c.steps, 9007199254740993);
    assert_true(c.lr == 1e-3);
    assert_false(c.ghost);
    assert_int_equal(c.tree, HSAE_TREE_BINARY);

    static const char *const wrong[][2] = {
        {"batch", "12x"},     {"batch", ""},         {"batch", " 12"},
        {"batch", "1e3"},     {"batch", "+5"},       {"batch", "-5"},
        {"batch", "0"},       {"steps", "1.0"},      {"lr", ""},
        {"lr", "nan"},        {"lr", "inf"},         {"lr", "0x1p3"},
        {"lr", "1,5"},        {"lr", "1e-46"},       {"lr", "1 "},
        {"lr", "1.2.3"},      {"ghost", "yes"},      {"ghost", "True"},
        {"tree", "oak"},      {"levels", "1,,2"},    {"levels", "1,2,"},
        {"levels", "2,1"},    {"levels", "1.0,2"},   {"levels", ""},
        {"rho", "-0.1"},      {"perturb", "1.01"},   {"exclude", "1"},
        {"target_l0", "1,x"}, {"target_l0", "0"},    {"seed", "99999999999999999999"},
        {"tree", "\xff"},     {"lr", "."},           {"lr", "-"},
        {"lr", "e5"},         {"target_l0", "1,2,"}, {"steps", "9223372036854775808"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char quoted[64];
        hsae_config before = c;
        snprintf(quoted, sizeof quoted, "%s is \"%s\"; allowed: ", wrong[i][0], wrong[i][1]);
        assert_fails(hsae_config_set(context, &c, wrong[i][0], wrong[i][1]), HSAE_ERROR_CONFIG, quoted, NULL);
        assert_memory_equal(&c, &before, sizeof c);
    }
    assert_fails(hsae_config_set(context, &c, "target-l0", "3"), HSAE_ERROR_CONFIG, "unknown key \"target-l0\"", "\"target_l0\"", NULL);
}

/* A list may come before the levels that it is for. */
static void test_lists(void **state)
{
    (void)state;
    hsae_config c;
    hsae_config_defaults(&c);
    assert_ok(hsae_config_parse(context, &c, "{\"target_l0\": [1, 2], \"levels\": [8, 16]}", "a"));
    assert_ok(hsae_config_check(context, &c, "a"));
    assert_ok(hsae_config_set(context, &c, "levels", "8,16,32"));
    assert_fails(hsae_config_check(context, &c, "a"), HSAE_ERROR_CONFIG, "a: target_l0 has 2 values for 3 levels", NULL);
    assert_ok(hsae_config_set(context, &c, "levels", "8"));
    assert_fails(hsae_config_check(context, &c, "a"), HSAE_ERROR_CONFIG, "a: target_l0 has 2 values for 1 levels", NULL);
    assert_ok(hsae_config_set(context, &c, "target_l0", "9"));
    assert_fails(hsae_config_check(context, &c, "a"), HSAE_ERROR_CONFIG, "target_l0 of level 0 is 9", "8 features", NULL);
}

static void test_resolve(void **state)
{
    (void)state;
    hsae_config c;
    hsae_config_defaults(&c);
    assert_fails(hsae_config_resolve(context, &c, 64), HSAE_ERROR_CONFIG, "steps is 0", NULL);
    assert_ok(hsae_config_parse(context, &c, "{\"levels\": [512, 1024, 2048, 8192], \"target_l0\": 32, \"steps\": 1999}", "a"));
    assert_fails(hsae_config_resolve(context, &c, 0), HSAE_ERROR_ARGUMENT, NULL);
    assert_ok(hsae_config_resolve(context, &c, 576));
    assert_true(fabs(c.lr - 0.004) < 1e-18);
    assert_int_equal(c.hierarchy_period, 99);
    assert_int_equal(c.dead_steps, 199);
    assert_true(c.init_l0[0] == 48 && c.init_l0[1] == 64 && c.init_l0[2] == 128 && c.init_l0[3] == 192);
    assert_ok(hsae_config_resolve(context, &c, 64)); /* what is set stays */
    assert_true(fabs(c.lr - 0.004) < 1e-18);

    hsae_config_defaults(&c);
    c.steps = 7;
    assert_ok(hsae_config_resolve(context, &c, 1));
    assert_int_equal(c.hierarchy_period, 1);
    assert_int_equal(c.dead_steps, 1);
    hsae_config_defaults(&c);
    c.steps = UINT64_C(1) << 62;
    assert_ok(hsae_config_resolve(context, &c, 1));
    assert_int_equal(c.hierarchy_period, 5000);
    assert_int_equal(c.dead_steps, 1000);
    c.rho = NAN;
    assert_fails(hsae_config_resolve(context, &c, 1), HSAE_ERROR_CONFIG, "rho is ", NULL);
    c.rho = 0;
    c.level_count = 9;
    assert_fails(hsae_config_resolve(context, &c, 1), HSAE_ERROR_CONFIG, "levels is ", NULL);
    c.level_count = 4;
    c.tree = (hsae_tree)77;
    assert_fails(hsae_config_resolve(context, &c, 1), HSAE_ERROR_CONFIG, "tree is ", NULL);
    c.tree = HSAE_TREE_FULL;
    c.seed = UINT64_MAX;
    assert_fails(hsae_config_resolve(context, &c, 1), HSAE_ERROR_CONFIG, "seed is 18446744073709551615", NULL);
}

static void test_load(void **state)
{
    (void)state;
    hsae_config c;
    hsae_config_defaults(&c);
    const char *path = scratch("config.json");
    assert_fails(hsae_config_load(context, &c, path), HSAE_ERROR_FILE, path, "No such file", NULL);
    assert_fails(hsae_config_load(context, &c, folder), HSAE_ERROR_FILE, folder, "directory", NULL);
    write_file(path, "{\"batch\": 3}\n", 13);
    assert_ok(hsae_config_load(context, &c, path));
    assert_int_equal(c.batch, 3);
    write_file(path, "{\"batch\": 4}\0{", 14);
    assert_fails(hsae_config_load(context, &c, path), HSAE_ERROR_CONFIG, path, "not text", NULL);
    write_file(path, "{\"btch\": 4}", 11);
    assert_fails(hsae_config_load(context, &c, path), HSAE_ERROR_CONFIG, path, "\"batch\"", NULL);
    char *spaces = calloc(1, (1 << 20) + 1);
    assert_non_null(spaces);
    memset(spaces, ' ', (1 << 20) + 1);
    write_file(path, spaces, (1 << 20) + 1);
    free(spaces);
    assert_fails(hsae_config_load(context, &c, path), HSAE_ERROR_CONFIG, path, "1 MiB", NULL);
    assert_int_equal(c.batch, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),     cmocka_unit_test(test_order_of_keys), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_shards),       cmocka_unit_test(test_norm_limit),    cmocka_unit_test(test_locale),
        cmocka_unit_test(test_parse_errors), cmocka_unit_test(test_deep_json),     cmocka_unit_test(test_set),
        cmocka_unit_test(test_lists),        cmocka_unit_test(test_resolve),       cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
