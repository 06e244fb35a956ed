/* SPDX-License-Identifier: MIT */
/* The explorer's insides: peaks of the first pass (collect.c), contexts of the second (excerpts.c). */
#ifndef HSAE_SRC_EXPLORER_H
#define HSAE_SRC_EXPLORER_H

#include "base/context.h"
#include "data/tokens.h"
#include "eval/session.h"

#include <hsae/explore.h>

enum { HSAE_EXPLORE_POOL = 32 /* candidates from which the sampled contexts are taken */, HSAE_EXPLORE_COUNTERS = 256 /* of a sketch */ };

/* Distinct strings, numbered in the order in which they came. */
struct string_table {
    char *bytes;
    uint64_t size, bytes_capacity;
    uint64_t *starts; /* [count + 1] */
    uint32_t count, capacity;
    uint32_t *buckets; /* 1 + number; 0: empty */
    uint32_t bucket_count;
};

/* Counters of a feature's sketch: at most mass, at least mass - error of its activations are on the token (of the vocabulary). */
struct token_sketch {
    uint32_t count;
    uint32_t token[HSAE_EXPLORE_COUNTERS];
    float error[HSAE_EXPLORE_COUNTERS];
    double mass[HSAE_EXPLORE_COUNTERS];
};

/* A peak, and the tokens of its window before and after it. value 0: none. */
struct peak {
    uint64_t row;
    float value;
    uint16_t before, after;
};

/* One level: arrays of [features] unless said otherwise. */
struct explore_level {
    uint32_t features;
    int32_t *parent;                  /* NULL at level 0 */
    uint32_t *first_child, *children; /* [features + 1], of the next level; NULL at the last */
    double *cosine;                   /* of the decoder rows of it and its parent; NULL at level 0 */
    uint64_t *active, *joint;         /* tokens: it; it and its parent */
    double *sum;
    float *max;
    float *peak;     /* max without outliers */
    uint64_t *stamp; /* 1 + the last row on which it was active */
    /* Siblings: pair (a, b), a < b by place among the children, of a family of at most HSAE_EXPLORE_FAMILY is number b (b - 1) / 2 + a. */
    uint32_t *place;       /* among the parent's children */
    uint64_t *family;      /* [features of the level above] first pair */
    uint32_t *together;    /* pairs */
    uint64_t *last_row;    /* [features of the level above] 1 + the row of last_active */
    uint32_t *last_active; /* [features of the level above] place in the row's list */
    uint32_t *before;      /* [features] place in the row's list of the sibling that was active before */
    /* Peaks of the first pass. */
    struct peak *pending;             /* of the sequence that is read */
    uint32_t *touched, touched_count; /* features with a pending peak */
    struct peak *top;                 /* [features, contexts] heap, the weakest first */
    struct peak *pool;                /* [features, POOL] heap, the highest hash first */
    uint32_t *top_count, *pool_count;
    /* Words. */
    struct token_sketch *sketch;
    double *mass;     /* of a feature's activations, without outliers */
    hsae_word *words; /* [features, WORDS] */
    uint32_t *word_count;
    /* Contexts. */
    hsae_excerpt *excerpts; /* [features, contexts + samples] */
    uint32_t *excerpt_count;
    uint32_t *heads, *tails; /* [features, contexts + samples] first and last value, 1 + place in values */
    uint16_t *order;         /* [features, contexts + samples] excerpts by start */
    uint16_t *cursor;        /* the first excerpt in `order` that has not ended */
    uint64_t *at_most;       /* [features, samples] activations not above a sampled peak */
    uint64_t *histogram;     /* [features, BINS] */
};

struct excerpt_value {
    uint32_t next; /* 1 + place; 0: the last */
    uint32_t offset;
    float value;
};

struct span {
    uint64_t start, end, first; /* first: kept tokens before it */
};

struct kept_run {
    uint64_t start, sequence, first; /* first: in `text` */
    uint32_t length;
};

struct hsae_explorer {
    hsae_context *context;
    uint64_t rows, sequences;
    uint32_t level_count, contexts, samples, slots; /* slots: contexts + samples */
    uint32_t length, max_before, max_after;         /* of a window */
    uint64_t path_limit;
    hsae_evaluation evaluation;
    struct explore_level levels[HSAE_MAX_LEVELS];
    /* Tokens as they are read. */
    struct hsae_tokens *tokens;
    uint64_t sequence_start, sequence;
    bool more;
    /* Kept text. */
    struct span *spans;                    /* the union of all windows, ascending */
    uint64_t span_count, span, kept, seen; /* span: the first that has not ended; kept: tokens in all spans; seen: tokens so far */
    uint32_t *text;                        /* [kept] */
    struct kept_run *runs;
    uint64_t run_count, run_capacity;
    struct excerpt_value *values;
    uint32_t value_count, value_capacity;
    struct string_table strings; /* of windows, and words */
    /* Words: all tokens of the data, and how often each is there. Only while they are read. */
    struct string_table vocabulary;
    uint64_t *frequency; /* [frequency_capacity] */
    uint32_t frequency_capacity;
    uint64_t ordinary; /* tokens that are no outliers */
    uint64_t outliers;
    double norm_limit; /* of a token that is no outlier; 0: none is */
    /* Paths. */
    uint32_t *path_bits; /* [kept] bits: keep this token's path */
    uint64_t path_count, path_total;
    uint64_t *path_rows;               /* [path_total] */
    uint32_t *path_active;             /* [path_total, levels] */
    hsae_token_feature *path_features; /* [path_total, levels, STRONGEST] */
};

/* The first pass: `batch` after the tokens of its rows. */
hsae_status hsae_explore_collect_create(hsae_explorer *explorer, const hsae_model *model, bool peaks);
hsae_status hsae_explore_collect(void *explorer, const struct hsae_batch *batch);
/* The end of the last sequence. */
void hsae_explore_collect_end(hsae_explorer *explorer);

/* Chooses the contexts, and what the second pass is to keep; frees what only the first needs. */
hsae_status hsae_explore_choose(hsae_explorer *explorer);
/* The second pass. */
hsae_status hsae_explore_excerpts(void *explorer, const struct hsae_batch *batch);
void hsae_explore_excerpts_end(hsae_explorer *explorer);
/* strings.c: the number of a string, which is added where it is new. */
hsae_status hsae_explore_intern(const hsae_context *context, struct string_table *table, const char *text, uint32_t size, uint32_t *id);
void hsae_explore_strings_free(struct string_table *table);
static inline const char *string_at(const struct string_table *table, uint32_t id, uint32_t *size)
{
    *size = (uint32_t)(table->starts[id + 1] - table->starts[id]);
    return table->bytes + table->starts[id];
}
/* words.c: one more token of the data, and its number in the vocabulary; one more activation on it; at the end of the first pass, each
 * feature's words; at the end of the second, which whole words they are pieces of. */
bool hsae_explore_is_outlier(const hsae_explorer *explorer, const struct hsae_batch *batch, uint32_t r);
hsae_status hsae_explore_count_token(hsae_explorer *explorer, const struct hsae_token *token, uint32_t *id);
void hsae_explore_count_mass(struct explore_level *level, uint32_t feature, uint32_t token, float value);
hsae_status hsae_explore_choose_words(hsae_explorer *explorer);
hsae_status hsae_explore_whole_words(hsae_explorer *explorer);
/* Reads the token of a row and keeps sequence_start and sequence; *first: it begins a sequence. */
hsae_status hsae_explore_read_token(hsae_explorer *explorer, uint64_t row, struct hsae_token *token);

/* Zeroed memory for at least one element; *good becomes false where memory runs out. */
void *hsae_explore_zeros(bool *good, uint64_t count, size_t size);

/* Whether a comes before b: the stronger first, of equal ones the earlier. */
static inline bool peak_before(const struct peak *a, const struct peak *b)
{
    return a->value > b->value || (a->value == b->value && a->row < b->row);
}

static inline float batch_value(const struct hsae_batch *batch, uint32_t pair)
{
    float value;
    __builtin_memcpy(&value, &batch->pairs[2 * (uint64_t)pair + 1], sizeof value);
    return value;
}

static inline uint32_t batch_feature(const struct hsae_batch *batch, uint32_t level, uint32_t pair)
{
    return batch->pairs[2 * (uint64_t)pair] - batch->first_feature[level];
}

#endif
