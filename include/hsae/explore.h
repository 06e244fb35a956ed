/* SPDX-License-Identifier: MIT */
/* Exploring a model: what each feature responds to in a data set with known tokens.
 *
 *     hsae_explore -> hsae_explorer_evaluation, _feature, _text, _span, _token_features ... -> hsae_explorer_free
 *
 * The data are read in two passes of the model (after one that only takes their mean): statistics and the places of the contexts, then
 * the contexts themselves. The result does not depend on the session's rows; on another device it is the same up to float rounding.
 *
 * Memory: per feature some 56 (contexts + 32) + 500 bytes, 12 bytes for each activation inside a kept window, 4 for each token of the union
 * of the windows, 32 (levels x 10) for each path, and the distinct token strings of the windows; for families of at most
 * HSAE_EXPLORE_FAMILY children 2 bytes times the square of their number. It does not grow with the data. */
#ifndef HSAE_EXPLORE_H
#define HSAE_EXPLORE_H

#include <hsae/model.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HSAE_EXPLORE_BINS      40   /* of a histogram */
#define HSAE_EXPLORE_SIBLINGS  10   /* of a feature */
#define HSAE_EXPLORE_STRONGEST 10   /* features of a level on one token */
#define HSAE_EXPLORE_FAMILY    1024 /* children of one parent, above which siblings are not counted */

/* Zero-initialise, set what differs. */
typedef struct hsae_explore_params {
    const char *const *token_paths; /* tokens.jsonl files, together one token for each row of the data; NULL: statistics only, one pass */
    size_t token_path_count;
    uint32_t contexts;       /* strongest contexts of a feature; 0: 20; at most 1000 */
    uint32_t samples;        /* contexts sampled across the activations of a feature; 0: 5; at most 32 */
    uint32_t context_length; /* tokens of a window, two thirds of them before its peak; 0: 32; at most 1024 */
    uint64_t feature_tokens; /* tokens whose active features are kept; 0: 131072 */
} hsae_explore_params;

/* The result. Immutable: any number of threads may read it. Pointers into it live as long as it does; it holds the model's tree as a copy.
 */
typedef struct hsae_explorer hsae_explorer;

/* ERROR_FORMAT, ERROR_DATA: tokens that are not as data.h's formats want them, not as many as there are rows, of sequences of other lengths
 * than the data have (where their files tell), or of other rows by their fingerprints (a line's "rows_crc32": CRC-32, as zlib's, of the
 * sequence's rows as float32 in little endian). `progress` counts rows of both passes; NULL: none. */
HSAE_API hsae_status hsae_explore(hsae_session *session, const hsae_dataset *dataset, const hsae_explore_params *params,
                                  hsae_progress_fn progress, void *user, hsae_explorer **out);
/* Sets *explorer to NULL; takes NULL. */
HSAE_API void hsae_explorer_free(hsae_explorer **explorer);

/* What hsae_session_evaluate gives. */
HSAE_API const hsae_evaluation *hsae_explorer_evaluation(const hsae_explorer *explorer);
/* Lines with tokens. */
HSAE_API uint64_t hsae_explorer_sequences(const hsae_explorer *explorer);
HSAE_API uint32_t hsae_explorer_context_length(const hsae_explorer *explorer);

/* A window of one sequence around a peak. Peaks are found from left to right: an active token less than a window's length after the last
 * peak takes its place if it is stronger, and is none otherwise; so windows of one feature do not overlap. */
typedef struct hsae_excerpt {
    uint64_t start;   /* row of the first token */
    uint32_t length;  /* tokens */
    uint32_t peak;    /* offset in the window */
    float activation; /* of the peak */
    bool sampled;     /* not one of the strongest */
    double quantile;  /* of the feature's activations, the share that is at most the peak's; sampled ones only */
} hsae_excerpt;

typedef struct hsae_sibling {
    uint32_t feature;
    double probability; /* P(it is active | this feature is) */
} hsae_sibling;

/* NaN: does not exist (never active; no parent). */
typedef struct hsae_feature_report {
    int32_t parent; /* -1: none */
    uint32_t child_count;
    const uint32_t *children; /* ascending */
    uint64_t active;          /* tokens on which it is */
    double density;           /* their share */
    double mean;              /* activation where it is active, normalised units */
    double max;
    double p_parent_given_child; /* of this feature and its parent */
    double p_child_given_parent;
    const uint64_t *histogram; /* [HSAE_EXPLORE_BINS], activations in equal bins from 0 to max; NULL without tokens */
    uint32_t excerpt_count; /* the strongest by falling activation, then the sampled by falling activation; ties: the first in the data */
    const hsae_excerpt *excerpts;
    uint32_t sibling_count; /* co-active children of the same parent, by falling probability, ties by index */
    hsae_sibling siblings[HSAE_EXPLORE_SIBLINGS];
} hsae_feature_report;

/* level and feature below the model's. */
HSAE_API void hsae_explorer_feature(const hsae_explorer *explorer, uint32_t level, uint32_t feature, hsae_feature_report *out);
/* Activations of the feature in its excerpt number `index`, [excerpt.length] to `out`; 0 where it is not active. */
HSAE_API void hsae_explorer_values(const hsae_explorer *explorer, uint32_t level, uint32_t feature, uint32_t index, float *out);

/* Token strings: UTF-8, not terminated (U+0000 may occur), `size` bytes. token < count. */
HSAE_API uint32_t hsae_explorer_token_count(const hsae_explorer *explorer);
HSAE_API const char *hsae_explorer_token(const hsae_explorer *explorer, uint32_t token, uint32_t *size);

/* Consecutive kept tokens of one sequence, by rising `start`. */
typedef struct hsae_token_span {
    uint64_t start, sequence; /* row of the first token; line, counted from 0 */
    uint32_t length;
    const uint32_t *tokens;
} hsae_token_span;
HSAE_API uint64_t hsae_explorer_span_count(const hsae_explorer *explorer);
HSAE_API hsae_token_span hsae_explorer_span(const hsae_explorer *explorer, uint64_t index);
/* The tokens of an excerpt, [excerpt->length], and its sequence (NULL: not wanted). */
HSAE_API const uint32_t *hsae_explorer_tokens(const hsae_explorer *explorer, const hsae_excerpt *excerpt, uint64_t *sequence);

/* The features that are active on one token, by rising `row`. Kept for all tokens of windows if these are at most params.feature_tokens;
 * else for the peaks first, then for whole windows, in the order of the excerpts. */
typedef struct hsae_token_feature {
    uint32_t feature;
    float activation;
} hsae_token_feature;
typedef struct hsae_token_features {
    uint64_t row;
    uint32_t count[HSAE_MAX_LEVELS];                     /* at most HSAE_EXPLORE_STRONGEST */
    uint32_t left_out[HSAE_MAX_LEVELS];                  /* weaker ones */
    const hsae_token_feature *features[HSAE_MAX_LEVELS]; /* by falling activation, ties by index */
} hsae_token_features;
HSAE_API uint64_t hsae_explorer_token_features_count(const hsae_explorer *explorer);
HSAE_API void hsae_explorer_token_features(const hsae_explorer *explorer, uint64_t index, hsae_token_features *out);

#ifdef __cplusplus
}
#endif
#endif
