/* SPDX-License-Identifier: MIT */
/* Activations for the benchmark: every sample is a sum of encoder rows of all levels with positive coefficients, plus noise. A level's
 * features are chosen by popularity (uneven, as in real data) and as children of the chosen features above, so that families fire together.
 */
#include "bench.h"

#include "base/file.h"
#include <hsae/tensor_file.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCHES = 8, BLOCK_ROWS = 256 };
static const double PLANTED = 0.5;  /* of the target L0; interference of other features adds the rest */
static const double TOGETHER = 0.5; /* a planted feature's children are planted with this probability */
static const double NOISE = 0.15;   /* of the energy */

struct term {
    uint32_t sample, feature;
    float weight;
};

struct maker {
    const hsae_trainer *trainer;
    uint64_t random;
    uint32_t samples;
    uint32_t *popular;     /* [N]: of each level the features by falling popularity */
    uint32_t *child, *end; /* global features: children of a parent are child[end[parent - 1]] .. child[end[parent] - 1] */
    struct term *terms;
    size_t count, capacity;
    float *rows; /* [samples][d] */
};

/* splitmix64 */
static uint64_t next_random(struct maker *maker)
{
    uint64_t z = maker->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* In [0, 1). */
static double uniform(struct maker *maker)
{
    return (double)(next_random(maker) >> 11) * 0x1p-53;
}

static void list_children(struct maker *maker)
{
    const struct device_model *device_model = &maker->trainer->device_model;
    uint32_t at = 0;
    for (uint32_t l = 0; l < device_model->levels; l++) {
        uint32_t *counts = maker->end + device_model->first[l];
        for (uint32_t j = 0; l + 1 < device_model->levels && j < device_model->first[l + 2] - device_model->first[l + 1]; j++)
            if (maker->trainer->parents[l + 1][j] >= 0)
                counts[maker->trainer->parents[l + 1][j]]++;
        for (uint32_t i = 0; i < device_model->first[l + 1] - device_model->first[l]; i++) { /* starts, which filling turns into ends */
            uint32_t count = counts[i];
            counts[i] = at;
            at += count;
        }
        for (uint32_t j = 0; l + 1 < device_model->levels && j < device_model->first[l + 2] - device_model->first[l + 1]; j++)
            if (maker->trainer->parents[l + 1][j] >= 0)
                maker->child[counts[maker->trainer->parents[l + 1][j]]++] = device_model->first[l + 1] + j;
    }
}

static void shuffle_popularity(struct maker *maker)
{
    const struct device_model *device_model = &maker->trainer->device_model;
    for (uint32_t l = 0; l < device_model->levels; l++)
        for (uint32_t first = device_model->first[l], i = first; i < device_model->first[l + 1]; i++) {
            uint32_t other = first + (uint32_t)(uniform(maker) * (i - first + 1));
            maker->popular[i] = maker->popular[other];
            maker->popular[other] = i;
        }
}

static hsae_status add_term(struct maker *maker, uint32_t sample, uint32_t feature)
{
    if (maker->count == maker->capacity) {
        size_t capacity = maker->capacity ? 2 * maker->capacity : 1 << 16;
        struct term *grown = realloc(maker->terms, capacity * sizeof *grown);
        if (!grown)
            return hsae_fail(maker->trainer->context, HSAE_ERROR_MEMORY, "out of memory for made-up activations");
        maker->terms = grown;
        maker->capacity = capacity;
    }
    maker->terms[maker->count++] = (struct term){sample, feature, (float)(1 - 0.5 * log(1 - uniform(maker)))};
    return HSAE_OK;
}

/* The features of one sample, level after level. */
static hsae_status choose(struct maker *maker, uint32_t sample)
{
    const struct device_model *device_model = &maker->trainer->device_model;
    size_t above = maker->count, here = maker->count;
    hsae_status status = HSAE_OK;
    for (uint32_t l = 0; l < device_model->levels; l++, above = here, here = maker->count) {
        size_t wanted = here + (size_t)ceil(PLANTED * maker->trainer->config.target_l0[l]);
        for (size_t k = above; k < here && !status; k++) {
            uint32_t parent = maker->terms[k].feature;
            for (uint32_t c = parent ? maker->end[parent - 1] : 0; c < maker->end[parent] && maker->count < wanted && !status; c++)
                if (uniform(maker) < TOGETHER)
                    status = add_term(maker, sample, maker->child[c]);
        }
        while (maker->count < wanted && !status) { /* the r-th most popular with a probability that falls as 1 / sqrt(r) */
            double u = uniform(maker);
            uint32_t features = device_model->first[l + 1] - device_model->first[l], rank = (uint32_t)(u * u * features);
            status = add_term(maker, sample, maker->popular[device_model->first[l] + rank]);
        }
    }
    return status;
}

/* Adds up all terms, a block of encoder rows at a time. */
static hsae_status add_rows(struct maker *maker)
{
    const struct device_model *device_model = &maker->trainer->device_model;
    float *block = malloc((size_t)BLOCK_ROWS * device_model->dim * sizeof *block);
    hsae_status status = block ? HSAE_OK : hsae_fail(device_model->context, HSAE_ERROR_MEMORY, "out of memory for made-up activations");
    for (uint32_t first = 0, count; first < device_model->features && !status; first += count) {
        count = device_model->features - first < BLOCK_ROWS ? device_model->features - first : BLOCK_ROWS;
        status = hsae_ranged_read(device_model, &device_model->encoder, first, count, block);
        for (size_t k = 0; k < maker->count && !status; k++) {
            const struct term *term = &maker->terms[k];
            const float *row = block + (size_t)(term->feature - first) * device_model->dim;
            float *sample = maker->rows + (size_t)term->sample * device_model->dim;
            if (term->feature < first || term->feature >= first + count)
                continue;
            for (uint32_t c = 0; c < device_model->dim; c++)
                sample[c] += term->weight * row[c];
        }
    }
    free(block);
    return status;
}

static void add_noise(struct maker *maker)
{
    size_t values = (size_t)maker->samples * maker->trainer->device_model.dim;
    double squares = 0;
    for (size_t k = 0; k < values; k++)
        squares += (double)maker->rows[k] * maker->rows[k];
    double width = 2 * sqrt(3 * NOISE * squares / (double)values); /* of a uniform distribution with that variance */
    for (size_t k = 0; k < values; k++)
        maker->rows[k] += (float)(width * (uniform(maker) - 0.5));
}

/* hsae_new_tensor: the rows as BF16, rounded to nearest. */
struct cursor {
    const float *at;
};
static hsae_status next_values(void *user, size_t count, void *out)
{
    struct cursor *cursor = user;
    uint16_t *halves = out;
    for (size_t k = 0; k < count; k++) {
        u32 bits = bits_u32(*cursor->at++);
        halves[k] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
    return HSAE_OK;
}

/* The file is taken away as soon as it is mapped. */
static hsae_status write_and_open(const struct maker *maker, hsae_dataset **out)
{
    hsae_context *context = maker->trainer->context;
    struct hsae_temporary temporary;
    const char *paths[] = {temporary.path};
    struct cursor cursor = {maker->rows};
    hsae_new_tensor tensor = {.name = "activations",
                              .type = HSAE_TENSOR_BF16,
                              .rank = 2,
                              .shape = {maker->samples, maker->trainer->device_model.dim},
                              .next = next_values,
                              .user = &cursor};
    hsae_status status = hsae_temporary_make(context, "made-up activations", &temporary);
    if (status)
        return status;
    status = hsae_tensor_file_write(context, temporary.path, NULL, 0, &tensor, 1);
    if (!status)
        status = hsae_dataset_open(context, &(hsae_dataset_params){.paths = paths, .path_count = 1}, out);
    hsae_temporary_remove(&temporary);
    return status;
}

hsae_status hsae_bench_data(hsae_trainer *trainer, hsae_dataset **out)
{
    const struct device_model *device_model = &trainer->device_model;
    struct maker maker = {.trainer = trainer, .random = trainer->config.seed, .samples = BATCHES * device_model->batch};
    maker.popular = malloc(device_model->features * sizeof *maker.popular);
    maker.child = malloc(device_model->features * sizeof *maker.child);
    maker.end = calloc(device_model->features, sizeof *maker.end);
    maker.rows = calloc((size_t)maker.samples * device_model->dim, sizeof *maker.rows);
    hsae_status status = HSAE_OK;
    if (!maker.popular || !maker.child || !maker.end || !maker.rows)
        status = hsae_fail(trainer->context, HSAE_ERROR_MEMORY, "out of memory for %u made-up activations", (unsigned)maker.samples);
    if (!status) {
        list_children(&maker);
        shuffle_popularity(&maker);
    }
    for (uint32_t sample = 0; sample < maker.samples && !status; sample++)
        status = choose(&maker, sample);
    if (!status)
        status = add_rows(&maker);
    if (!status) {
        add_noise(&maker);
        status = write_and_open(&maker, out);
    }
    free(maker.popular);
    free(maker.child);
    free(maker.end);
    free(maker.terms);
    free(maker.rows);
    return status;
}
