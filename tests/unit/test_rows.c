/* SPDX-License-Identifier: MIT */
/* Rows that are left out: the rule, calibration, training and its counts, sessions, and the check of a whole data set. */
#include "support.h"

#include "data/bytes.h"
#include "data/dataset.h"
#include "data/rows.h"
#include "data/squares.h"
#include "model/model.h"
#include "train/trainer.h"

#include <float.h>
#include <math.h>

enum { DIM = 11, ROWS = 210, BATCH = 32, STEPS = 16, LONG_ROWS = 6, FILE_ROWS = 100 };

static hsae_device *device;
/* `clean` without the rows that are far too long; `dirty` with them; `filled` with the next kept row in place of each. */
static float clean[ROWS - LONG_ROWS][DIM], dirty[ROWS][DIM], filled[ROWS][DIM];
/* Two neighbours, the first and the last, one of the first batch, one that only training meets. */
static const uint64_t long_rows[LONG_ROWS] = {0, 17, 77, 78, 180, ROWS - 1};
static const double LIMIT = 30;

static bool is_long(uint64_t row)
{
    for (int k = 0; k < LONG_ROWS; k++)
        if (long_rows[k] == row)
            return true;
    return false;
}

static double uniform(double low, double high)
{
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return low + (high - low) * (double)(state >> 11) / 9007199254740992.0;
}

/* Whole numbers of eighths, which halves hold too. */
static float eighths(double low, double high)
{
    return (float)(floor(8 * uniform(low, high)) / 8);
}

static void make_rows(void)
{
    uint64_t kept = 0;
    for (uint64_t r = 0; r < ROWS; r++) {
        for (int k = 0; k < DIM; k++)
            dirty[r][k] = eighths(-2, 2) + (k == (int)(r % 5) ? 3 : 0);
        if (is_long(r))
            dirty[r][r % DIM] = r % 2 ? 5000 : -400;
        else
            memcpy(clean[kept++], dirty[r], sizeof dirty[r]);
    }
    assert_int_equal(kept, ROWS - LONG_ROWS);
    for (uint64_t r = 0; r < ROWS; r++) {
        uint64_t from = r;
        while (is_long(from))
            from = (from + 1) % ROWS;
        memcpy(filled[r], dirty[from], sizeof filled[r]);
    }
}

static uint16_t f16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return value == 0 ? 0 : (uint16_t)((bits >> 16 & 0x8000) | ((bits >> 23 & 0xff) - 112) << 10 | (bits >> 13 & 0x3ff));
}

static void write_part(const char *path, const float *rows, uint64_t count, hsae_tensor_type type)
{
    uint16_t *halves = malloc(count * DIM * sizeof *halves);
    assert_non_null(halves);
    for (uint64_t k = 0; k < count * DIM; k++)
        halves[k] = f16(rows[k]);
    const hsae_new_tensor tensor = {
        .name = "x", .type = type, .rank = 2, .shape = {count, DIM}, .data = type == HSAE_TENSOR_F32 ? (const void *)rows : halves};
    assert_ok(hsae_tensor_file_write(context, path, NULL, 0, &tensor, 1));
    free(halves);
}

/* Two files, the first of FILE_ROWS rows. */
static hsae_dataset *make_data(const char *stem, const float *rows, uint64_t count, hsae_tensor_type type)
{
    char names[2][64];
    const char *paths[2];
    hsae_dataset *data;
    for (int f = 0; f < 2; f++) {
        snprintf(names[f], sizeof names[f], "%s-%d.safetensors", stem, f);
        paths[f] = scratch(names[f]);
    }
    write_part(paths[0], rows, FILE_ROWS, type);
    write_part(paths[1], rows + FILE_ROWS * DIM, count - FILE_ROWS, type);
    assert_ok(hsae_dataset_open(context, &(hsae_dataset_params){.paths = paths, .path_count = 2}, &data));
    return data;
}

static hsae_config make_config(hsae_order order)
{
    hsae_config config;
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.levels[0] = 12;
    config.levels[1] = 40;
    config.batch = BATCH;
    config.steps = STEPS;
    config.lr = 0.02;
    config.hierarchy_period = 4;
    config.order = order;
    config.seed = 7;
    config.norm_limit = LIMIT;
    for (int l = 0; l < HSAE_MAX_LEVELS; l++)
        config.target_l0[l] = 2;
    return config;
}

static hsae_trainer *new_trainer(const hsae_config *config, const hsae_dataset *calibration)
{
    hsae_trainer *trainer;
    assert_ok(hsae_trainer_create(device, config, calibration, &trainer));
    return trainer;
}

static void run(hsae_trainer *trainer, const hsae_dataset *data, uint64_t until)
{
    assert_ok(hsae_trainer_run(trainer, data, &(hsae_run_params){.until = until}));
}

struct bytes {
    unsigned char *data;
    size_t size;
};

/* The trainer's model, or its checkpoint. */
static struct bytes bytes_of(hsae_trainer *trainer, bool checkpoint)
{
    struct bytes bytes;
    assert_ok(checkpoint ? hsae_trainer_save_checkpoint(trainer, scratch("saved")) : hsae_trainer_save_model(trainer, scratch("saved")));
    bytes.data = read_file(scratch("saved"), &bytes.size);
    return bytes;
}

/* Both are freed. */
static void assert_same(struct bytes a, struct bytes b)
{
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    free(a.data);
    free(b.data);
}

/* ---- the rule ---- */

static void test_squares(void **unused)
{
    (void)unused;
    for (uint32_t dim = 1; dim <= 70; dim++) {
        float row[70];
        uint16_t halves[70], brains[70];
        double plain = 0;
        for (uint32_t k = 0; k < dim; k++) {
            uint32_t bits;
            row[k] = eighths(-15, 15);
            memcpy(&bits, &row[k], sizeof bits);
            halves[k] = f16(row[k]);
            brains[k] = (uint16_t)(bits >> 16);
            plain += (double)row[k] * row[k];
        }
        double squares = hsae_row_squares(row, dim);
        assert_true(fabs(squares - plain) <= 1e-12 * plain);
        assert_true(squares == hsae_row_squares_raw((const unsigned char *)row, HSAE_DTYPE_F32, dim));
        assert_true(squares == hsae_row_squares_raw((const unsigned char *)halves, HSAE_DTYPE_F16, dim));
        assert_true(squares == hsae_row_squares_raw((const unsigned char *)brains, HSAE_DTYPE_BF16, dim));
        for (uint32_t k = 0; k < dim; k++) {
            float value = row[k];
            row[k] = k % 2 ? INFINITY : NAN;
            assert_false(isfinite(hsae_row_squares(row, dim)));
            row[k] = -3.4e38f; /* finite, though its square is not as a float */
            assert_true(isfinite(hsae_row_squares(row, dim)));
            row[k] = value;
            halves[k] |= 0x7c00;
            assert_false(isfinite(hsae_row_squares_raw((const unsigned char *)halves, HSAE_DTYPE_F16, dim)));
            halves[k] = f16(value);
        }
    }
}

/* All halves. */
static void test_halves(void **unused)
{
    (void)unused;
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        uint16_t half = (uint16_t)bits;
        double value = hsae_f16_to_float(half), squares = hsae_row_squares_raw((const unsigned char *)&half, HSAE_DTYPE_F16, 1);
        assert_true(isfinite(value) ? squares == value * value : !isfinite(squares));
    }
}

static void test_rule(void **unused)
{
    (void)unused;
    const struct row_rule none = {0, false}, limit = {5, false}, both = {5, true};
    assert_false(hsae_row_rule_acts(&none));
    assert_true(hsae_row_rule_acts(&limit) && hsae_row_rule_acts(&both));
    assert_int_equal(hsae_row_judge(&none, 1e300), ROW_KEPT);
    assert_int_equal(hsae_row_judge(&limit, 25), ROW_KEPT); /* the limit itself is kept */
    assert_int_equal(hsae_row_judge(&limit, 25.0001), ROW_LONG);
    assert_int_equal(hsae_row_judge(&limit, (double)INFINITY), ROW_BAD);
    assert_int_equal(hsae_row_judge(&none, (double)NAN), ROW_BAD);
    assert_int_equal(hsae_row_judge(&both, (double)NAN), ROW_SKIPPED);

    float rows[5][1] = {{9}, {1}, {8}, {7}, {2}};
    enum row_verdict verdicts[5];
    assert_int_equal(hsae_rows_judge(&limit, rows[0], 5, 1, verdicts), 3);
    assert_true(hsae_rows_replace(rows[0], 5, 1, verdicts));
    assert_memory_equal(rows, ((float[]){1, 1, 2, 2, 2}), sizeof rows);
    rows[4][0] = 6; /* the last is replaced by the first that is kept */
    assert_int_equal(hsae_rows_judge(&limit, rows[0], 5, 1, verdicts), 1);
    assert_true(hsae_rows_replace(rows[0], 5, 1, verdicts));
    assert_true(rows[4][0] == 1);
    for (int r = 0; r < 5; r++)
        rows[r][0] = 6;
    hsae_rows_judge(&limit, rows[0], 5, 1, verdicts);
    assert_false(hsae_rows_replace(rows[0], 5, 1, verdicts));
}

static void test_limit(void **unused)
{
    (void)unused;
    double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2};
    assert_true(hsae_norm_limit(10, odd, 3) == 30 && hsae_norm_limit(10, even, 4) == 25);
    assert_true(hsae_norm_limit(0, odd, 3) == 0 && hsae_norm_limit(10, odd, 0) == 0 && hsae_norm_limit(1e308, odd, 3) == FLT_MAX);
}

static void test_text(void **unused)
{
    (void)unused;
    char text[400];
    hsae_dataset *data = make_data("dirty", dirty[0], ROWS, HSAE_TENSOR_F32);
    hsae_left_out_text(&(hsae_left_out){98304, 9, 0, 117}, 1533.4, data, text, sizeof text);
    assert_non_null(strstr(text, "9 of 98,304 rows left out (norm above 1,533; first: "));
    assert_non_null(strstr(text, "dirty-1.safetensors row 17)"));
    hsae_left_out_text(&(hsae_left_out){1234567, 1000, 2, 5}, 1.25, NULL, text, sizeof text);
    assert_string_equal(text, "1,002 of 1,234,567 rows left out (1000 with a norm above 1.25, 2 not finite; first: row 5)");
    hsae_left_out_text(&(hsae_left_out){12, 0, 2, 5}, 0, NULL, text, sizeof text);
    assert_string_equal(text, "2 of 12 rows left out (a value that is not finite; first: row 5)");
    hsae_left_out_text(&(hsae_left_out){12, 0, 0, 0}, 0, NULL, text, sizeof text);
    assert_string_equal(text, "0 of 12 rows left out");
    hsae_dataset_close(&data);
}

/* ---- calibration ---- */

/* As if the rows were not there. */
static void test_calibration(void **unused)
{
    (void)unused;
    hsae_dataset *with = make_data("dirty", dirty[0], ROWS, HSAE_TENSOR_F32);
    hsae_dataset *without = make_data("clean", clean[0], ROWS - LONG_ROWS, HSAE_TENSOR_F32);
    for (int center = 0; center < 2; center++) {
        hsae_config config = make_config(HSAE_ORDER_SHUFFLE);
        config.center = center ? HSAE_CENTER_NONE : HSAE_CENTER_MEAN;
        messages[HSAE_LOG_WARNING][0] = '\0';
        hsae_trainer *a = new_trainer(&config, without), *c;
        assert_string_equal(messages[HSAE_LOG_WARNING], "");
        hsae_trainer *b = new_trainer(&config, with);
        assert_non_null(strstr(messages[HSAE_LOG_WARNING], "6 of 210 rows left out (norm above 30; first: "));
        assert_non_null(strstr(messages[HSAE_LOG_WARNING], "dirty-0.safetensors row 0)"));
        assert_same(bytes_of(a, true), bytes_of(b, true));
        assert_ok(hsae_trainer_create_from_memory(device, &config, dirty[0], ROWS, DIM, &c));
        assert_same(bytes_of(a, true), bytes_of(c, true));
        hsae_trainer_destroy(&a);
        hsae_trainer_destroy(&b);
        hsae_trainer_destroy(&c);
    }
    hsae_dataset_close(&with);
    hsae_dataset_close(&without);
}

/* The limit is found, is 10 times the median by default, and is kept in the configuration; 0 leaves all in. */
static void test_automatic(void **unused)
{
    (void)unused;
    double norms[ROWS];
    for (int r = 0; r < ROWS; r++)
        norms[r] = sqrt(hsae_row_squares(dirty[r], DIM));
    double median = hsae_median(norms, ROWS), limit;
    hsae_dataset *data = make_data("dirty", dirty[0], ROWS, HSAE_TENSOR_F32);
    hsae_config config = make_config(HSAE_ORDER_SHUFFLE);
    config.norm_limit = 0;
    hsae_trainer *trainer = new_trainer(&config, data);
    assert_true(hsae_trainer_config(trainer)->norm_limit == 10 * median);
    hsae_trainer_destroy(&trainer);
    assert_ok(hsae_dataset_norm_limit(data, 10, false, &limit));
    assert_true(limit == 10 * median);
    config.max_norm = 0;
    messages[HSAE_LOG_WARNING][0] = '\0';
    trainer = new_trainer(&config, data);
    assert_true(hsae_trainer_config(trainer)->norm_limit == 0);
    run(trainer, data, 2);
    assert_int_equal(hsae_trainer_left_out(trainer).norm, 0);
    assert_string_equal(messages[HSAE_LOG_WARNING], "");
    hsae_trainer_destroy(&trainer);
    config.max_norm = 10;
    config.norm_limit = 1e5;
    trainer = new_trainer(&config, data);
    assert_non_null(strstr(messages[HSAE_LOG_WARNING], "norm_limit is 100000, but max_norm times the median norm"));
    hsae_trainer_destroy(&trainer);
    config.norm_limit = 0.5; /* below all of them */
    assert_fails(hsae_trainer_create(device, &config, data, &trainer), HSAE_ERROR_DATA, NULL);
    hsae_dataset_close(&data);
}

/* Most rows are zero: the median is that of the others. */
static void test_zeros(void **unused)
{
    (void)unused;
    static float rows[ROWS][DIM];
    for (int r = 0; r < ROWS; r += 3)
        memcpy(rows[r], filled[r], sizeof rows[r]);
    hsae_dataset *data = make_data("zeros", rows[0], ROWS, HSAE_TENSOR_F32);
    hsae_config config = make_config(HSAE_ORDER_SHUFFLE);
    config.norm_limit = 0;
    hsae_trainer *trainer = new_trainer(&config, data);
    assert_true(hsae_trainer_config(trainer)->norm_limit > 20);
    run(trainer, data, STEPS);
    assert_int_equal(hsae_trainer_left_out(trainer).norm, 0);
    hsae_trainer_destroy(&trainer);
    hsae_dataset_close(&data);
}

/* ---- training ---- */

/* As on data in which the next kept row stands for each that is left out; counts are those of the first epoch. */
static void test_training(void **unused)
{
    (void)unused;
    for (int variant = 0; variant < 4; variant++) {
        hsae_tensor_type type = variant % 2 ? HSAE_TENSOR_F16 : HSAE_TENSOR_F32;
        hsae_config config = make_config(variant < 2 ? HSAE_ORDER_SEQUENTIAL : HSAE_ORDER_SHUFFLE);
        hsae_dataset *calibration = make_data("clean", clean[0], ROWS - LONG_ROWS, type);
        hsae_dataset *with = make_data("dirty", dirty[0], ROWS, type), *without = make_data("filled", filled[0], ROWS, type);
        hsae_trainer *a = new_trainer(&config, calibration), *b = new_trainer(&config, calibration);
        run(a, without, 0);
        run(b, with, 0);
        hsae_left_out left_out = hsae_trainer_left_out(b);
        assert_true(left_out.norm == LONG_ROWS && left_out.bad == 0 && left_out.rows == ROWS && is_long(left_out.first));
        assert_true(variant >= 2 || left_out.first == 0);
        assert_int_equal(hsae_trainer_left_out(a).norm, 0);
        assert_same(bytes_of(a, false), bytes_of(b, false));
        hsae_trainer_destroy(&a);
        hsae_trainer_destroy(&b);
        hsae_dataset_close(&calibration);
        hsae_dataset_close(&with);
        hsae_dataset_close(&without);
    }
}

static hsae_status limit_is_open(void *user, hsae_config *config)
{
    (void)user;
    config->norm_limit = 0; /* as a configuration file that leaves it to be found */
    return HSAE_OK;
}

static hsae_status other_max_norm(void *user, hsae_config *config)
{
    (void)user;
    config->max_norm = 5;
    return HSAE_OK;
}

/* Stopped anywhere and resumed: the same bits and the same counts. */
static void test_resume(void **unused)
{
    (void)unused;
    hsae_config config = make_config(HSAE_ORDER_SHUFFLE);
    hsae_dataset *data = make_data("dirty", dirty[0], ROWS, HSAE_TENSOR_F16);
    hsae_trainer *whole = new_trainer(&config, data), *trainer;
    run(whole, data, 0);
    for (uint64_t stop = 0; stop <= STEPS; stop += 3) {
        trainer = new_trainer(&config, data);
        run(trainer, data, stop);
        uint64_t before = hsae_trainer_left_out(trainer).norm;
        assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("stop")));
        hsae_trainer_destroy(&trainer);
        assert_ok(hsae_trainer_resume(device, scratch("stop"), limit_is_open, NULL, &trainer));
        assert_int_equal(hsae_trainer_left_out(trainer).norm, before);
        assert_true(hsae_trainer_config(trainer)->norm_limit == LIMIT);
        run(trainer, data, 0);
        assert_int_equal(hsae_trainer_left_out(trainer).first, hsae_trainer_left_out(whole).first);
        assert_same(bytes_of(trainer, true), bytes_of(whole, true));
        hsae_trainer_destroy(&trainer);
    }
    assert_fails(hsae_trainer_resume(device, scratch("stop"), other_max_norm, NULL, &trainer), HSAE_ERROR_CONFIG, "on resuming only",
                 "skip_bad_rows may change", NULL);
    hsae_trainer_destroy(&whole);
    hsae_dataset_close(&data);
}

static void test_step(void **unused)
{
    (void)unused;
    hsae_config config = make_config(HSAE_ORDER_SEQUENTIAL);
    hsae_trainer *a, *b;
    float batch[BATCH][DIM];
    hsae_step_metrics metrics;
    assert_ok(hsae_trainer_create_from_memory(device, &config, clean[0], ROWS - LONG_ROWS, DIM, &a));
    assert_ok(hsae_trainer_create_from_memory(device, &config, clean[0], ROWS - LONG_ROWS, DIM, &b));
    memcpy(batch, dirty[60], sizeof batch); /* rows 77 and 78 are number 17 and 18, 79 stands for them */
    assert_ok(hsae_trainer_step(a, batch[0], &metrics));
    assert_int_equal(metrics.left_out, 2);
    memcpy(batch[17], dirty[79], sizeof batch[17]);
    memcpy(batch[18], dirty[79], sizeof batch[18]);
    assert_ok(hsae_trainer_step(b, batch[0], &metrics));
    assert_int_equal(metrics.left_out, 0);
    assert_same(bytes_of(a, false), bytes_of(b, false));
    for (int r = 0; r < BATCH; r++)
        memcpy(batch[r], dirty[0], sizeof batch[r]);
    assert_fails(hsae_trainer_step(a, batch[0], NULL), HSAE_ERROR_DATA, "all 32 rows", "norm_limit", NULL);
    assert_int_equal(hsae_trainer_step_count(a), 1);
    assert_true(hsae_trainer_left_out(a).norm == 2 && hsae_trainer_left_out(a).first == 17 && hsae_trainer_left_out(a).rows == BATCH);
    hsae_trainer_destroy(&a);
    hsae_trainer_destroy(&b);
}

static hsae_status skip_bad_rows(void *user, hsae_config *config)
{
    (void)user;
    config->skip_bad_rows = true;
    return HSAE_OK;
}

/* A row that is not finite ends the run; what was trained can be saved, and goes on without the row as if it had been left out from the
 * start. */
static void test_bad_row(void **unused)
{
    (void)unused;
    static float rows[ROWS][DIM];
    memcpy(rows, dirty, sizeof rows);
    rows[150][4] = NAN;
    rows[151][0] = -INFINITY;
    hsae_config config = make_config(HSAE_ORDER_SEQUENTIAL);
    hsae_dataset *data = make_data("bad", rows[0], ROWS, HSAE_TENSOR_F32), *good, *start;
    assert_ok(hsae_dataset_slice(data, 0, 120, &start));
    hsae_trainer *trainer = new_trainer(&config, start), *whole;
    assert_fails(hsae_trainer_run(trainer, data, &(hsae_run_params){0}), HSAE_ERROR_DATA, "bad-1.safetensors", "row 50, column 4",
                 "skip_bad_rows", NULL);
    assert_int_equal(hsae_trainer_step_count(trainer), 4); /* rows 0 to 127 */
    assert_true(hsae_trainer_met_bad_row(trainer));
    assert_ok(hsae_trainer_save_checkpoint(trainer, scratch("stop")));
    hsae_trainer_destroy(&trainer);
    assert_ok(hsae_trainer_resume(device, scratch("stop"), skip_bad_rows, NULL, &trainer));
    run(trainer, data, 0);
    assert_false(hsae_trainer_met_bad_row(trainer));
    hsae_left_out left_out = hsae_trainer_left_out(trainer);
    assert_true(left_out.bad == 2 && left_out.norm == LONG_ROWS && left_out.rows == ROWS && left_out.first == 0);
    config.skip_bad_rows = true;
    whole = new_trainer(&config, start);
    run(whole, data, 0);
    assert_same(bytes_of(trainer, true), bytes_of(whole, true));
    hsae_trainer_destroy(&whole);
    hsae_trainer_destroy(&trainer);

    memcpy(rows[150], rows[152], sizeof rows[150]); /* what stands for them */
    memcpy(rows[151], rows[152], sizeof rows[151]);
    good = make_data("good", rows[0], ROWS, HSAE_TENSOR_F32);
    trainer = new_trainer(&config, start);
    whole = new_trainer(&config, start);
    run(trainer, good, 0);
    run(whole, data, 0);
    assert_same(bytes_of(trainer, false), bytes_of(whole, false));
    hsae_trainer_destroy(&trainer);
    hsae_trainer_destroy(&whole);
    whole = new_trainer(&config, data); /* calibration, too */
    hsae_trainer_destroy(&whole);
    hsae_dataset_close(&good);
    hsae_dataset_close(&start);
    hsae_dataset_close(&data);
}

/* Nothing to put in the place of a row. */
static void test_hopeless(void **unused)
{
    (void)unused;
    static float rows[ROWS][DIM];
    for (int r = 0; r < ROWS; r++)
        rows[r][0] = 1000;
    hsae_config config = make_config(HSAE_ORDER_SHUFFLE);
    hsae_dataset *data = make_data("long", rows[0], ROWS, HSAE_TENSOR_F32), *calibration;
    calibration = make_data("clean", clean[0], ROWS - LONG_ROWS, HSAE_TENSOR_F32);
    hsae_trainer *trainer = new_trainer(&config, calibration);
    assert_fails(hsae_trainer_run(trainer, data, &(hsae_run_params){0}), HSAE_ERROR_DATA, "long-", "norm_limit", "30", NULL);
    assert_false(hsae_trainer_met_bad_row(trainer));
    run(trainer, calibration, 0);
    hsae_trainer_destroy(&trainer);
    hsae_dataset_close(&data);
    hsae_dataset_close(&calibration);
}

/* ---- sessions ---- */

static hsae_model *make_model(void)
{
    hsae_config config = make_config(HSAE_ORDER_SHUFFLE);
    hsae_model *model;
    hsae_dataset *data = make_data("clean", clean[0], ROWS - LONG_ROWS, HSAE_TENSOR_F32);
    hsae_trainer *trainer = new_trainer(&config, data);
    run(trainer, data, 0);
    assert_ok(hsae_trainer_model(trainer, &model));
    hsae_trainer_destroy(&trainer);
    hsae_dataset_close(&data);
    return model;
}

static void test_evaluate(void **unused)
{
    (void)unused;
    hsae_model *model = make_model();
    hsae_session *session;
    hsae_evaluation with, without, kept;
    hsae_dataset *data = make_data("dirty", dirty[0], ROWS, HSAE_TENSOR_F32), *good, *one;
    good = make_data("good", clean[0], ROWS - LONG_ROWS, HSAE_TENSOR_F32);
    assert_ok(hsae_session_create(device, model, 16, &session));
    assert_true(hsae_session_norm_limit(session) == LIMIT && !hsae_session_skips_bad_rows(session));
    assert_ok(hsae_session_evaluate(session, data, NULL, NULL, &with));
    assert_ok(hsae_session_evaluate(session, good, NULL, NULL, &without));
    assert_true(with.left_out.norm == LONG_ROWS && with.left_out.rows == ROWS && with.left_out.first == 0);
    assert_true(with.tokens == ROWS - LONG_ROWS && without.tokens == with.tokens && without.left_out.norm == 0);
    assert_memory_equal(with.levels, without.levels, sizeof with.levels);
    assert_memory_equal(with.pairs, without.pairs, sizeof with.pairs);
    hsae_session_leave_out(session, 0, false);
    assert_ok(hsae_session_evaluate(session, data, NULL, NULL, &kept));
    assert_true(kept.tokens == ROWS && kept.levels[0].variance_explained != with.levels[0].variance_explained);
    hsae_session_leave_out(session, LIMIT, false);
    assert_ok(hsae_dataset_slice(data, 77, 2, &one));
    assert_fails(hsae_session_evaluate(session, one, NULL, NULL, &kept), HSAE_ERROR_DATA, "all 2 rows are left out", NULL);
    hsae_dataset_close(&one);
    hsae_session_destroy(&session);
    hsae_model_free(&model);
    hsae_dataset_close(&data);
    hsae_dataset_close(&good);
}

static void assert_same_row(const hsae_features *a, uint64_t row_a, const hsae_features *b, uint64_t row_b)
{
    uint64_t count = a->indptr[row_a + 1] - a->indptr[row_a];
    assert_int_equal(count, b->indptr[row_b + 1] - b->indptr[row_b]);
    assert_memory_equal(a->indices + a->indptr[row_a], b->indices + b->indptr[row_b], count * sizeof *a->indices);
    assert_memory_equal(a->values + a->indptr[row_a], b->values + b->indptr[row_b], count * sizeof *a->values);
}

/* Rows keep their places; a row that is left out has no features. */
static void test_encode(void **unused)
{
    (void)unused;
    hsae_model *model = make_model();
    hsae_session *session;
    hsae_features with[2], without[2];
    static float rows[ROWS][DIM];
    memcpy(rows, dirty, sizeof rows);
    assert_ok(hsae_session_create(device, model, 16, &session));
    assert_ok(hsae_session_encode(session, clean[0], ROWS - LONG_ROWS, without));
    assert_int_equal(hsae_session_left_out(session).norm, 0);
    assert_ok(hsae_session_encode(session, rows[0], ROWS, with));
    assert_true(hsae_session_left_out(session).norm == LONG_ROWS && hsae_session_left_out(session).first == ROWS - LONG_ROWS);
    for (int l = 0; l < 2; l++) {
        for (uint64_t r = 0, kept = 0; r < ROWS; r++)
            if (is_long(r))
                assert_int_equal(with[l].indptr[r], with[l].indptr[r + 1]);
            else
                assert_same_row(&with[l], r, &without[l], kept++);
        hsae_features_free(&with[l]);
        hsae_features_free(&without[l]);
    }
    rows[5][2] = NAN;
    assert_fails(hsae_session_encode(session, rows[0], ROWS, with), HSAE_ERROR_DATA, "row 5", NULL);
    hsae_session_leave_out(session, LIMIT, true);
    assert_ok(hsae_session_encode(session, rows[0], ROWS, with));
    assert_int_equal(with[1].indptr[5], with[1].indptr[6]);
    assert_int_equal(hsae_session_left_out(session).bad, 1);
    for (int l = 0; l < 2; l++)
        hsae_features_free(&with[l]);
    hsae_session_destroy(&session);
    hsae_model_free(&model);
}

/* ---- the check of a data set ---- */

static bool count_calls(void *user, uint64_t done, uint64_t total)
{
    ++*(int *)user;
    return done <= total;
}

static bool stop(void *user, uint64_t done, uint64_t total)
{
    (void)user, (void)done, (void)total;
    return false;
}

static void test_check(void **unused)
{
    (void)unused;
    static float rows[ROWS][DIM];
    double norms[ROWS];
    uint64_t used = 0;
    int calls = 0;
    hsae_data_check found;
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < DIM; k++)
            rows[r][k] = k == 3 || k == 9 ? 0.5f * (float)k : (float)uniform(-1, 1);
    memset(rows[30], 0, sizeof rows[30]);
    rows[30][3] = 1.5f;
    rows[30][9] = 4.5f;
    memcpy(rows[120], rows[30], sizeof rows[120]);
    memcpy(rows[121], rows[30], sizeof rows[121]);
    memcpy(rows[200], rows[199], sizeof rows[200]);
    rows[150][0] = INFINITY;
    rows[160][10] = NAN;
    rows[140][1] = 3e38f;
    rows[141][1] = -3e38f;
    for (int r = 0; r < ROWS; r++)
        if (r != 150 && r != 160)
            norms[used++] = sqrt(hsae_row_squares(rows[r], DIM));
    hsae_dataset *data = make_data("check", rows[0], ROWS, HSAE_TENSOR_F32), *slice;
    assert_ok(hsae_dataset_check(data, count_calls, &calls, &found));
    double median = hsae_median(norms, used);
    assert_true(calls > 0 && found.rows == ROWS);
    assert_true(found.least == norms[0] && found.largest == norms[used - 1] && fabs(found.median - median) < 1e-6);
    assert_true(fabs(found.percent_1 - norms[2]) < 1e-6 && fabs(found.percent_99 - norms[204]) < 1e-6);
    assert_true(found.far == 2 && found.first_far == 140 && found.bad == 2 && found.first_bad == 150 && found.zeros == 0);
    assert_true(found.duplicates == 3 && found.first_duplicate == 120 && found.first_original == 30);
    assert_true(found.constant_columns == 2 && found.constant[0] == 3 && found.constant[1] == 9);
    assert_ok(hsae_dataset_slice(data, 110, 50, &slice));
    assert_ok(hsae_dataset_check(slice, NULL, NULL, &found));
    assert_true(found.rows == 50 && found.first_far == 30 && found.first_bad == 40 && found.bad == 1);
    assert_true(found.duplicates == 1 && found.first_duplicate == 11 && found.first_original == 10);
    assert_int_equal(hsae_dataset_check(slice, stop, NULL, &found), HSAE_CANCELLED);
    hsae_dataset_close(&slice);
    assert_ok(hsae_dataset_slice(data, 150, 1, &slice)); /* nothing that is finite */
    assert_ok(hsae_dataset_check(slice, NULL, NULL, &found));
    assert_true(isnan(found.median) && isnan(found.largest) && found.bad == 1 && found.constant_columns == 0 && found.duplicates == 0);
    hsae_dataset_close(&slice);
    hsae_dataset_close(&data);
    memset(rows, 0, sizeof rows);
    data = make_data("zero", rows[0], ROWS, HSAE_TENSOR_F32);
    assert_ok(hsae_dataset_check(data, NULL, NULL, &found));
    assert_true(isnan(found.median) && found.zeros == ROWS && found.first_zero == 0 && found.duplicates == ROWS - 1);
    assert_true(found.constant_columns == DIM && found.constant[HSAE_CHECK_LISTED - 1] == HSAE_CHECK_LISTED - 1);
    hsae_dataset_close(&data);
}

static void test_place(void **unused)
{
    (void)unused;
    uint64_t row;
    hsae_dataset *data = make_data("dirty", dirty[0], ROWS, HSAE_TENSOR_F32), *slice;
    assert_ok(hsae_dataset_slice(data, 90, 100, &slice));
    assert_string_equal(hsae_os_file_name(hsae_dataset_place(slice, 9, &row)->path), "dirty-0.safetensors");
    assert_int_equal(row, 99);
    assert_string_equal(hsae_os_file_name(hsae_dataset_place(slice, 10, &row)->path), "dirty-1.safetensors");
    assert_int_equal(row, 0);
    hsae_dataset_close(&slice);
    hsae_dataset_close(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_squares),   cmocka_unit_test(test_halves),   cmocka_unit_test(test_rule),
        cmocka_unit_test(test_limit),     cmocka_unit_test(test_text),     cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_automatic), cmocka_unit_test(test_zeros),    cmocka_unit_test(test_training),
        cmocka_unit_test(test_resume),    cmocka_unit_test(test_step),     cmocka_unit_test(test_bad_row),
        cmocka_unit_test(test_hopeless),  cmocka_unit_test(test_evaluate), cmocka_unit_test(test_encode),
        cmocka_unit_test(test_check),     cmocka_unit_test(test_place),
    };
    if (support_setup(NULL) || hsae_device_open(context, "ref", &device))
        return 1;
    make_rows();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    hsae_device_close(&device);
    return support_teardown(NULL) || failed;
}
