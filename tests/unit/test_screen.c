/* SPDX-License-Identifier: MIT */
/* Screening loses no pair: rows that rounding to 16 bits hurts most, with cuts a hair below what a pair reaches, and a hair above. */
#include "support.h"

#include "device/device.h"
#include "device/shape.h"
#include "kernels/args.h"
#include <math.h>

enum { ROWS = 33, WORDS = 2, PADDED = 64, FEATURES = 13, MAX_DIM = 512 };

static const char *device_id; /* of the suite that runs */
static hsae_device *device;

static int open_suite(void **state)
{
    (void)state;
    if (hsae_device_open(context, device_id, &device))
        device = NULL; /* the device does not exist everywhere */
    return 0;
}

static int close_suite(void **state)
{
    (void)state;
    hsae_device_close(&device);
    return 0;
}

/* All that the two kernels read and write. */
struct rows {
    u32 dim, stride;
    f32 x[PADDED * MAX_DIM], encoder[FEATURES * MAX_DIM];
    u32 table[FEATURES * SCALAR_WORDS], bits[FEATURES * WORDS];
    f32 scratch[FEATURES * PADDED];
};

enum { X, PANELS, UNITS, ENCODER, TABLE, ROUNDED, BITS, SCRATCH, BUFFERS };

static void launch(struct hsae_sequence *sequence, enum hsae_kernel kernel, const void *args, uint32_t items, uint32_t count,
                   struct hsae_buffer *const *bindings)
{
    struct hsae_launch launch = {.kernel = kernel, .shape = hsae_shape(device, kernel, 1), .args = args};
    uint32_t group = kernel == HSAE_KERNEL_screen ? launch.shape.group_size * launch.shape.columns : 1;
    hsae_launch_groups(device, (items + group - 1) / group, &launch);
    memcpy(launch.bindings, bindings, count * sizeof *bindings);
    hsae_sequence_launch(sequence, &launch);
}

static void run(struct rows *rows)
{
    struct hsae_buffer *b[BUFFERS] = {NULL};
    struct hsae_sequence *sequence;
    uint64_t ticket, x_bytes = (uint64_t)PADDED * rows->stride * sizeof(f32), row_bytes = (uint64_t)rows->stride * sizeof(f32);
    const struct {
        const char *label;
        uint64_t size;
        const void *data;
    } buffers[BUFFERS] = {
        {"x", x_bytes, rows->x},
        {"panels", x_bytes / 2, NULL},
        {"units", PADDED * sizeof(f32), NULL},
        {"encoder", FEATURES * row_bytes, rows->encoder},
        {"table", sizeof rows->table, rows->table},
        {"rounded", (FEATURES + hsae_shape(device, HSAE_KERNEL_screen, 1).columns) * row_bytes / 2, NULL},
        {"bits", sizeof rows->bits, NULL},
        {"scratch", sizeof rows->scratch, rows->scratch},
    };
    for (int k = 0; k < BUFFERS; k++) {
        assert_ok(hsae_buffer_create(device, buffers[k].label, buffers[k].size, HSAE_BUFFER_DEVICE, &b[k]));
        if (buffers[k].data)
            assert_ok(hsae_buffer_write(b[k], 0, buffers[k].size, buffers[k].data));
    }
    struct quantize_args quantize = {PADDED, rows->stride};
    struct screen_args screen = {0, 0, FEATURES, ROWS, WORDS, rows->stride, SCREEN_MARGIN(rows->dim)};
    assert_ok(hsae_sequence_create(device, "screen", false, &sequence));
    launch(sequence, HSAE_KERNEL_quantize, &quantize, WORDS, 3, (struct hsae_buffer *[]){b[X], b[PANELS], b[UNITS]});
    launch(sequence, HSAE_KERNEL_screen, &screen, FEATURES, 8,
           (struct hsae_buffer *[]){b[PANELS], b[UNITS], b[X], b[ENCODER], b[TABLE], b[ROUNDED], b[BITS], b[SCRATCH]});
    assert_ok(hsae_sequence_end(sequence));
    assert_ok(hsae_sequence_submit(sequence, &ticket));
    assert_ok(hsae_device_wait(device, ticket));
    assert_ok(hsae_buffer_read(b[BITS], 0, sizeof rows->bits, rows->bits));
    assert_ok(hsae_buffer_read(b[SCRATCH], 0, sizeof rows->scratch, rows->scratch));
    hsae_sequence_destroy(&sequence);
    for (int k = 0; k < BUFFERS; k++)
        hsae_buffer_destroy(&b[k]);
}

static struct rows *new_rows(u32 dim)
{
    struct rows *rows = calloc(1, sizeof *rows);
    assert_non_null(rows);
    rows->dim = dim;
    rows->stride = (dim + 15) / 16 * 16;
    assert_true(rows->stride <= MAX_DIM);
    return rows;
}

static double exact(const struct rows *rows, u32 feature, u32 sample)
{
    double sum = 0;
    for (u32 k = 0; k < rows->dim; k++)
        sum += (double)rows->encoder[feature * rows->stride + k] * rows->x[sample * rows->stride + k];
    return sum;
}

static void set_scalars(struct rows *rows, u32 feature, f32 bias, double cut)
{
    rows->table[feature * SCALAR_WORDS + SCALAR_BIAS] = bits_u32(bias);
    rows->table[feature * SCALAR_WORDS + SCALAR_CUT] = bits_u32((f32)cut);
}

static bool is_active(const struct rows *rows, u32 feature, u32 sample)
{
    return rows->bits[feature * WORDS + sample / 32] >> sample % 32 & 1;
}

/* A width up to MAX_DIM at which all elements of a row of equal ones, 32000 / sqrt(d) units large, lose `most` units or a little less. */
static u32 worst_width(double most)
{
    u32 found = 1;
    double best = 0;
    for (u32 dim = 1; dim <= MAX_DIM; dim++) {
        double units = QUANTIZED_NORM / sqrt(dim), lost = units - floor(units);
        if (lost < most && lost > best) {
            best = lost;
            found = dim;
        }
    }
    assert_true(best > most - 0.02);
    return found;
}

/* Equal elements are all rounded down: the sum of products loses as much as it can. */
static void test_rounding(void **state)
{
    (void)state;
    if (!device)
        skip();
    struct rows *rows = new_rows(worst_width(0.49));
    for (u32 s = 0; s < ROWS; s++)
        for (u32 k = 0; k < rows->dim; k++)
            rows->x[s * rows->stride + k] = ldexpf(k * 7 % 3 ? 1.0f : -1.0f, (int)s - 16);
    for (u32 f = 0; f < FEATURES; f++) {
        for (u32 k = 0; k < rows->dim; k++)
            rows->encoder[f * rows->stride + k] = ldexpf(k * 7 % 3 ? 1.0f : -1.0f, 2 * (int)f - 12);
        double p = exact(rows, f, 20);
        set_scalars(rows, f, 0, f % 2 ? p * (1 - 1e-6) : p * (1 + 1e-6));
    }
    run(rows);
    for (u32 f = 0; f < FEATURES; f++) {
        const f32 *listed = rows->scratch + f * PADDED;
        for (u32 s = 0; s < ROWS; s++) {
            bool active = s > 20 || (s == 20 && f % 2);
            assert_int_equal(is_active(rows, f, s), active);
            if (active)
                assert_true(fabs(*listed++ - exact(rows, f, s)) <= 1e-5 * fabs(exact(rows, f, s)));
        }
        assert_true(*listed == 0);
    }
    free(rows);
}

/* Rows without a norm or with one that is no float, elements far above all others, biases far above all products. */
static void test_extremes(void **state)
{
    static const f32 sizes[] = {0, 1e-30f, 1e-12f, 1, 1e6f, 1e15f, 3e19f};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    (void)state;
    if (!device)
        skip();
    struct rows *rows = new_rows(61);
    for (u32 s = 0; s < ROWS; s++)
        for (u32 k = 0; k < rows->dim; k++)
            rows->x[s * rows->stride + k] = sizes[s % SIZES] * (k == s ? 1000.0f : (f32)((k * 37 + s) % 19) - 9.0f);
    for (u32 f = 0; f < FEATURES; f++) {
        for (u32 k = 0; k < rows->dim; k++)
            rows->encoder[f * rows->stride + k] = sizes[f % SIZES] * (k == f ? -300.0f : (f32)((k * 41 + f) % 17) - 8.0f);
        set_scalars(rows, f, f % 3 == 2 ? 1e6f : f % 3 == 1 ? -0.5f : 0.25f, f % 3 == 2 ? 1e6 - 0.5 : f % 3 == 1 ? 2 : 0.25);
    }
    run(rows);
    for (u32 f = 0; f < FEATURES; f++)
        for (u32 s = 0; s < ROWS; s++) {
            f32 bias = bits_f32(rows->table[f * SCALAR_WORDS + SCALAR_BIAS]), cut = bits_f32(rows->table[f * SCALAR_WORDS + SCALAR_CUT]);
            double sum = exact(rows, f, s), scale = fabs(bias);
            for (u32 k = 0; k < rows->dim; k++)
                scale += fabs((double)rows->encoder[f * rows->stride + k] * rows->x[s * rows->stride + k]);
            if (scale > 1e38) /* no float */
                continue;
            if (fabs(sum + bias - cut) > 1e-5 * scale || sum == 0) /* else rounding decides */
                assert_int_equal(is_active(rows, f, s), sum + bias > cut);
        }
    free(rows);
}

int main(void)
{
    static const char *const devices[] = {"opencl:0", "vulkan:0"};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounding), cmocka_unit_test(test_extremes)};
    int failed = support_setup(NULL) ? 1 : 0;
    for (size_t k = 0; k < sizeof devices / sizeof *devices && !failed; k++) {
        device_id = devices[k];
        failed += cmocka_run_group_tests_name(device_id, tests, open_suite, close_suite);
    }
    return failed + support_teardown(NULL);
}
