/* SPDX-License-Identifier: MIT */
/* What each feature of a model responds to in a data set with known tokens: statistics, contexts, siblings, and the features that are
 * active on each token. `hsae explore` makes its page of it.
 *
 *     hsae_explore -> hsae_explorer_evaluation, _feature, _values, _span, _token_features ... -> hsae_explorer_free
 *
 * The data are read three times: for their mean; through the model, for statistics and the places of the contexts; through the model, for
 * the contexts. The result does not depend on the session's max_rows. On another device it is the same up to float rounding.
 *
 * Memory does not grow with the data. In bytes it is about
 *
 *     features (56 (contexts + 32) + 5400) + 12 activations in kept windows + 4 tokens in the union of windows
 *         + 32 levels 10 tokens with features + twice the distinct token strings
 *         + 2 children^2 for each family of at most HSAE_EXPLORE_FAMILY children */
#ifndef HSAE_EXPLORE_H
#define HSAE_EXPLORE_H

#include <hsae/model.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HSAE_EXPLORE_BINS      40   /* of a histogram */
#define HSAE_EXPLORE_SIBLINGS  10   /* of a feature */
#define HSAE_EXPLORE_WORDS     32   /* of a feature */
#define HSAE_EXPLORE_STRONGEST 10   /* features of a level on one token */
#define HSAE_EXPLORE_FAMILY    1024 /* children of one parent, above which siblings are not counted */

/* Zero-initialise, set what differs. */
typedef struct hsae_explore_params {
    const char *const *token_paths; /* tokens.jsonl files, together one token for each row of the data; NULL: statistics only */
    size_t token_path_count;
    uint32_t contexts;       /* strongest contexts of a feature; 0: 20; at most 1000 */
    uint32_t samples;        /* contexts sampled across the activations of a feature; 0: 5; at most 32 */
    uint32_t context_length; /* tokens of a window, two thirds of them before its peak; 0: 32; at most 1024 */
    uint64_t feature_tokens; /* tokens whose active features are kept; 0: 131072 */
    /* Outliers: tokens whose vector has a norm above this many times the median (of the first 65,536). They count in all figures, but are
     * no peaks and give no words. 0: 2.5; INFINITY: none are. */
    double outlier_norm;
} hsae_explore_params;

/* The result. It does not change: any number of threads may read it. Pointers into it live as long as it does. Session, data set and model
 * may be gone. */
typedef struct hsae_explorer hsae_explorer;

/* Explores `dataset`. tokens.jsonl has one line a sequence: {"tokens": ["The", " cat"]}, and may have "rows_crc32": zlib's CRC-32 of the
 * sequence's rows as little-endian float32. ERROR_FORMAT: a line is something else. ERROR_DATA: there are not as many tokens as rows, a
 * sequence's length is not that of the data (where their files tell), or "rows_crc32" is that of other rows. `progress` (may be NULL)
 * counts the rows of both passes through the model. One thread at a time uses the session. */
HSAE_API hsae_status hsae_explore(hsae_session *session, const hsae_dataset *dataset, const hsae_explore_params *params,
                                  hsae_progress_fn progress, void *user, hsae_explorer **out);
/* Sets *explorer to NULL; takes NULL. */
HSAE_API void hsae_explorer_free(hsae_explorer **explorer);

/* What hsae_session_evaluate gives. */
HSAE_API const hsae_evaluation *hsae_explorer_evaluation(const hsae_explorer *explorer);
/* Number of sequences: lines with tokens. */
HSAE_API uint64_t hsae_explorer_sequences(const hsae_explorer *explorer);
/* Tokens that are outliers, without rows that are left out. */
HSAE_API uint64_t hsae_explorer_outliers(const hsae_explorer *explorer);
/* Tokens of a window. */
HSAE_API uint32_t hsae_explorer_context_length(const hsae_explorer *explorer);

/* A window of one sequence around a peak, a token on which the feature is active. Peaks are found from left to right: an active token less
 * than a window's length after the last peak replaces it if it is stronger, else it is no peak. So windows of one feature do not overlap.
 */
typedef struct hsae_excerpt {
    uint64_t start;   /* row of the first token */
    uint32_t length;  /* tokens */
    uint32_t peak;    /* offset in the window */
    float activation; /* of the peak */
    bool sampled;     /* drawn from across the activations; else one of the strongest */
    double quantile;  /* share of the feature's activations that are at most the peak's; sampled ones only */
} hsae_excerpt;

typedef struct hsae_sibling {
    uint32_t feature;
    double probability; /* P(it is active | this feature is) */
} hsae_sibling;

/* What a feature is active on. At least `share` of the feature's activations, added up over the data, are on this token; `lift` is that
 * share over the token's own share of the data, to which 3 more tokens are added. Counted by a space-saving sketch of 256 counters: a share
 * is too small by 1/256 at most. */
typedef struct hsae_word {
    uint32_t token;
    uint32_t word; /* token string of the whole word that the token is a piece of, where it is mostly a piece of one; else `token` */
    float share, lift;
} hsae_word;

/* All about one feature. NaN: does not exist (never active; no parent). */
typedef struct hsae_feature_report {
    int32_t parent; /* -1: none */
    uint32_t child_count;
    const uint32_t *children; /* ascending */
    uint64_t active;          /* tokens on which it is active */
    double density;           /* active / tokens */
    double mean;              /* activation where it is active, normalised units */
    double max;
    double peak;                 /* the largest on tokens that are no outliers; NaN: none */
    double high;                 /* 99 % of those are at most this, which is the upper end of a bin of the histogram; NaN: no histogram */
    double p_parent_given_child; /* of this feature and its parent */
    double p_child_given_parent;
    double decoder_cosine;     /* of this feature and its parent; NaN: it has none */
    double phi;                /* the correlation of being active of the two (model.h) */
    bool duplicate;            /* of its parent, as in hsae_pair_metrics */
    const uint64_t *histogram; /* [HSAE_EXPLORE_BINS], activations in equal bins from 0 to peak, without outliers; NULL without tokens */
    uint32_t excerpt_count; /* the strongest by falling activation, then the sampled by falling activation; ties: the first in the data */
    const hsae_excerpt *excerpts;
    uint32_t sibling_count; /* co-active children of the same parent, by falling probability, ties by index */
    hsae_sibling siblings[HSAE_EXPLORE_SIBLINGS];
    uint32_t word_count; /* at most HSAE_EXPLORE_WORDS, by falling share ln(lift); 0 without tokens */
    const hsae_word *words;
} hsae_feature_report;

/* Fills *out. level < levels, feature < the level's features. */
HSAE_API void hsae_explorer_feature(const hsae_explorer *explorer, uint32_t level, uint32_t feature, hsae_feature_report *out);
/* The feature's activations in its excerpt number `index` to out [length of the excerpt]; 0 where it is not active. */
HSAE_API void hsae_explorer_values(const hsae_explorer *explorer, uint32_t level, uint32_t feature, uint32_t index, float *out);

/* The distinct token strings, token < count: UTF-8 of *size bytes, not terminated (U+0000 may occur). */
HSAE_API uint32_t hsae_explorer_token_count(const hsae_explorer *explorer);
HSAE_API const char *hsae_explorer_token(const hsae_explorer *explorer, uint32_t token, uint32_t *size);

/* Consecutive tokens of one sequence that some window holds. Spans are ordered by `start`; index < count. */
typedef struct hsae_token_span {
    uint64_t start, sequence; /* row of the first token; number of the sequence, from 0 */
    uint32_t length;
    const uint32_t *tokens; /* [length], numbers of token strings */
} hsae_token_span;
HSAE_API uint64_t hsae_explorer_span_count(const hsae_explorer *explorer);
HSAE_API hsae_token_span hsae_explorer_span(const hsae_explorer *explorer, uint64_t index);
/* The tokens of an excerpt, [excerpt->length], and the number of its sequence (NULL: not wanted). */
HSAE_API const uint32_t *hsae_explorer_tokens(const hsae_explorer *explorer, const hsae_excerpt *excerpt, uint64_t *sequence);

/* The features that are active on one token, ordered by `row`. Kept for all tokens of windows if these are at most params.feature_tokens;
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
