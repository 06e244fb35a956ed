/* SPDX-License-Identifier: MIT */
/* Which tokens of the language model a feature makes likelier, and which it makes less likely: its decoder row through the unembedding (the
 * logit lens, nostalgebraist 2020). */
#include "explore.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* At most so many multiply-adds: ten minutes at the 3.4e9 a second of one core (AMD EPYC). */
#define MAX_WORK 2e12

enum { BLOCK = 64 /* rows of the unembedding at a time */ };

struct lens {
    const hsae_model *model;
    uint32_t dim;
    uint64_t features;
    double *sums; /* [features], of all logits */
    struct explore_logits *logits;
};

/* Keeps the largest of `sign` times the logits, ties by token. */
static void offer(struct explore_logit *list, struct explore_logit found, float sign)
{
    uint32_t at = EXPLORE_LOGITS;
    for (; at > 0 && (list[at - 1].token == UINT32_MAX || sign * list[at - 1].value < sign * found.value); at--)
        if (at < EXPLORE_LOGITS)
            list[at] = list[at - 1];
    if (at < EXPLORE_LOGITS)
        list[at] = found;
}

/* The logits of some tokens, for all features. */
static void add_block(struct lens *lens, const float *block, uint64_t first, size_t count)
{
    uint64_t at = 0;
    for (uint32_t l = 0; l < hsae_model_config(lens->model)->level_count; l++) {
        hsae_level level = hsae_model_level(lens->model, l);
        for (uint32_t i = 0; i < level.features; i++, at++)
            for (size_t k = 0; k < count; k++) {
                float value = explore_product(level.decoder_weight + (size_t)i * lens->dim, block + k * lens->dim, lens->dim);
                lens->sums[at] += (double)value;
                offer(lens->logits[at].up, (struct explore_logit){(uint32_t)(first + k), value}, 1);
                offer(lens->logits[at].down, (struct explore_logit){(uint32_t)(first + k), value}, -1);
            }
    }
}

/* From sums to what one unit of the activation does, beside the mean over all tokens, which changes no probability. */
static void finish(struct lens *lens, uint64_t tokens)
{
    float scale = hsae_model_scale(lens->model);
    for (uint64_t at = 0; at < lens->features; at++) {
        float mean = (float)(lens->sums[at] / (double)tokens);
        for (uint32_t k = 0; k < EXPLORE_LOGITS; k++) {
            lens->logits[at].up[k].value = (lens->logits[at].up[k].value - mean) / scale;
            lens->logits[at].down[k].value = (lens->logits[at].down[k].value - mean) / scale;
        }
    }
}

static int read_blocks(struct lens *lens, const hsae_dataset *unembedding, float *block)
{
    uint64_t rows[BLOCK], tokens = hsae_dataset_rows(unembedding);
    for (uint64_t first = 0; first < tokens; first += BLOCK) {
        size_t count = tokens - first < BLOCK ? (size_t)(tokens - first) : BLOCK;
        for (size_t k = 0; k < count; k++)
            rows[k] = first + k;
        hsae_status status = hsae_dataset_read(unembedding, rows, count, block);
        if (status != HSAE_OK)
            return cli_exit_status(status);
        add_block(lens, block, first, count);
        cli_status_line(false, "tokens that the features promote %3.0f %%", 100.0 * (double)first / (double)tokens);
        if (cli_signal())
            return 128 + cli_signal();
    }
    cli_clear_status_line();
    finish(lens, tokens);
    return CLI_DONE;
}

int explore_find_logits(const hsae_model *model, const hsae_dataset *unembedding, struct explore_logits **out)
{
    struct lens lens = {.model = model, .dim = hsae_model_dim(model)};
    uint64_t tokens = hsae_dataset_rows(unembedding);
    *out = NULL;
    for (uint32_t l = 0; l < hsae_model_config(model)->level_count; l++)
        lens.features += hsae_model_level(model, l).features;
    if (hsae_dataset_dim(unembedding) != lens.dim) {
        cli_error("--unembedding has rows of %u values; the model's vectors have %u", hsae_dataset_dim(unembedding), lens.dim);
        return CLI_FAILED;
    }
    if ((double)lens.features * (double)tokens * lens.dim > MAX_WORK) {
        cli_warning("--unembedding is left out: %" PRIu64 " features, %" PRIu64
                    " tokens and width %u are too much to multiply (at most %g); "
                    "give the rows of fewer tokens, and a --vocab of those",
                    lens.features, tokens, lens.dim, MAX_WORK);
        return CLI_DONE;
    }
    lens.sums = calloc(lens.features, sizeof *lens.sums);
    lens.logits = malloc(lens.features * sizeof *lens.logits);
    float *block = malloc(BLOCK * lens.dim * sizeof *block);
    for (uint64_t at = 0; lens.logits && at < lens.features; at++)
        for (uint32_t k = 0; k < EXPLORE_LOGITS; k++)
            lens.logits[at].up[k].token = lens.logits[at].down[k].token = UINT32_MAX;
    int status = lens.sums && lens.logits && block ? read_blocks(&lens, unembedding, block) : cli_out_of_memory();
    free(lens.sums);
    free(block);
    if (status != CLI_DONE)
        free(lens.logits);
    else
        *out = lens.logits;
    return status;
}
