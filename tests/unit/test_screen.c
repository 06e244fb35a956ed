/* SPDX-License-Identifier: MIT */
/* Screening loses no pair, with 16 bits and with 8: rows that rounding hurts most, with cuts a hair below what a pair reaches, and a hair
 * above. */
#include "support.h"

#include "device/device.h"
#include "device/shape.h"
#include "kernels/args.h"
#include <inttypes.h>
#include <math.h>

enum { ROWS = 33, WORDS = 2, PADDED = 64, FEATURES = 13, MAX_DIM = 512 };

static const char *device_id; /* of the suite that runs */
static uint32_t numbers;      /* of 8 or 16 bits */
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

enum { X, PANELS, UNITS, ENCODER, TABLE, ROUNDED, MIXED, BITS, SCRATCH, BUFFERS };

static enum hsae_kernel screening(void)
{
    return numbers == 8 ? HSAE_KERNEL_screen8 : HSAE_KERNEL_screen;
}

static void launch(struct hsae_sequence *sequence, enum hsae_kernel kernel, const void *args, uint32_t items, uint32_t count,
                   struct hsae_buffer *const *bindings)
{
    struct hsae_launch launch = {.kernel = kernel, .shape = hsae_shape(device, kernel, 1), .args = args};
    uint32_t columns = kernel == screening() ? launch.shape.columns : 1,
             group = kernel == HSAE_KERNEL_quantize ? 1 : launch.shape.group_size * columns;
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
        {"units", UNIT_WORDS * PADDED * sizeof(f32), NULL},
        {"encoder", FEATURES * row_bytes, rows->encoder},
        {"table", sizeof rows->table, rows->table},
        {"rounded", (FEATURES + hsae_shape(device, screening(), 1).columns) * row_bytes / 2, NULL},
        {"mixed", FEATURES * row_bytes, NULL},
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
    struct quantize8_args quantize8 = {PADDED, rows->stride};
    struct screen8_args screen8 = {0, 0, FEATURES, ROWS, WORDS, rows->stride};
    assert_ok(hsae_sequence_create(device, "screen", false, &sequence));
    if (numbers == 8) {
        launch(sequence, HSAE_KERNEL_quantize8, &quantize8, WORDS, 4, (struct hsae_buffer *[]){b[X], b[MIXED], b[PANELS], b[UNITS]});
        launch(sequence, HSAE_KERNEL_screen8, &screen8, FEATURES, 9,
               (struct hsae_buffer *[]){b[PANELS], b[UNITS], b[X], b[ENCODER], b[TABLE], b[MIXED], b[ROUNDED], b[BITS], b[SCRATCH]});
    } else {
        launch(sequence, HSAE_KERNEL_quantize, &quantize, WORDS, 3, (struct hsae_buffer *[]){b[X], b[PANELS], b[UNITS]});
        launch(sequence, HSAE_KERNEL_screen, &screen, FEATURES, 8,
               (struct hsae_buffer *[]){b[PANELS], b[UNITS], b[X], b[ENCODER], b[TABLE], b[ROUNDED], b[BITS], b[SCRATCH]});
    }
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

/* Of 16-bit numbers equal elements are all rounded down: the sum of products loses as much as it can. Of 8-bit numbers a row is made from
 * what mixing makes of it (a quarter of Hadamard's matrix is its own inverse): `flat`, all of 127 units, which are kept, or one of 127 and
 * others of 0.49, which are lost. What the product of one of each loses is the bound, but for a thousandth. */
static void fill(const struct rows *rows, f32 *row, bool flat, int exponent)
{
    for (u32 k = 0; k < rows->dim; k++) {
        double sum = 0;
        for (u32 j = 0; j < 16 && numbers == 8; j++) {
            bool large = flat || k % 16 + j * 16 + k / 256 * 256 == 0, odd = 0x6996 >> (k % 256 / 16 & j) & 1; /* of bits in common */
            sum += (odd ? -0.25 : 0.25) * (large ? 127 : 0.49);
        }
        row[k] = (f32)ldexp(numbers == 8 ? sum : k * 7 % 3 ? 1 : -1, exponent);
    }
}

static void try_rounding(bool flat)
{
    struct rows *rows = new_rows(numbers == 8 ? MAX_DIM : worst_width(0.49));
    for (u32 s = 0; s < ROWS; s++)
        fill(rows, rows->x + s * rows->stride, flat, (int)s - 16);
    for (u32 f = 0; f < FEATURES; f++) {
        fill(rows, rows->encoder + f * rows->stride, !flat, 2 * (int)f - 12);
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

static void test_rounding(void **state)
{
    (void)state;
    if (!device)
        skip();
    try_rounding(true);
    try_rounding(false);
}

/* Rows without a norm or with one that is no float, elements far above all others, biases far above all products. */
static void test_extremes(void **state)
{
    static const f32 sizes[] = {0, 1e-30f, 1e-12f, 1, 1e6f, 1e15f, 3e19f};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    (void)state;
    if (!device)
        skip();
    struct rows *rows = new_rows(numbers == 8 ? 300 : 61); /* 300: the last columns are mixed twice */
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
    for (size_t k = 0; k < 2 * sizeof devices / sizeof *devices && !failed; k++) {
        char name[32];
        device_id = devices[k / 2];
        numbers = k % 2 ? 8 : 16;
        snprintf(name, sizeof name, "%s, %" PRIu32 " bits", device_id, numbers);
        failed += cmocka_run_group_tests_name(name, tests, open_suite, close_suite);
    }
    return failed + support_teardown(NULL);
}
