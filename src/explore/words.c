/* SPDX-License-Identifier: MIT */
/* The words of a feature: the tokens that most of its activations are on, those above their own frequency first.
 *
 * Each feature has a space-saving sketch (Metwally, Agrawal, El Abbadi 2005, weighted): COUNTERS counters, of which the smallest gives way
 * to a token that has none and hands its mass on as the newcomer's error. */
#include "explorer.h"

#include "data/squares.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE = 8 /* words whose whole is looked for */, WORD_BYTES = 64, CANDIDATES = 16 };

bool hsae_explore_is_outlier(const hsae_explorer *explorer, const struct hsae_batch *batch, uint32_t r)
{
    return explorer->norm_limit > 0 &&
           hsae_row_squares(batch->raw + (size_t)r * batch->dim, batch->dim) > explorer->norm_limit * explorer->norm_limit;
}

/* ---- the first pass ---- */

hsae_status hsae_explore_count_token(hsae_explorer *explorer, const struct hsae_token *token, uint32_t *id)
{
    hsae_status status = hsae_explore_intern(explorer->context, &explorer->vocabulary, token->text, token->size, id);
    if (!status && *id >= explorer->frequency_capacity) {
        uint32_t capacity = explorer->vocabulary.capacity;
        uint64_t *frequency = realloc(explorer->frequency, capacity * sizeof *frequency);
        if (!frequency)
            return hsae_fail(explorer->context, HSAE_ERROR_MEMORY, "out of memory to count %u token strings", capacity);
        memset(frequency + explorer->frequency_capacity, 0, (capacity - explorer->frequency_capacity) * sizeof *frequency);
        explorer->frequency = frequency;
        explorer->frequency_capacity = capacity;
    }
    if (!status) {
        explorer->frequency[*id]++;
        explorer->ordinary++;
    }
    return status;
}

void hsae_explore_count_mass(struct explore_level *level, uint32_t feature, uint32_t token, float value)
{
    struct token_sketch *sketch = &level->sketch[feature];
    uint32_t at = 0, least = 0;
    level->mass[feature] += (double)value;
    while (at < sketch->count && sketch->token[at] != token)
        at++;
    if (at < sketch->count) {
        sketch->mass[at] += (double)value;
        return;
    }
    if (sketch->count < HSAE_EXPLORE_COUNTERS)
        least = sketch->count++;
    else
        for (uint32_t k = 1; k < HSAE_EXPLORE_COUNTERS; k++)
            least = sketch->mass[k] < sketch->mass[least] ? k : least;
    sketch->token[least] = token;
    sketch->error[least] = (float)sketch->mass[least];
    sketch->mass[least] += (double)value;
}

/* ---- between the passes ---- */

static double rank_of(const hsae_word *word)
{
    return (double)word->share * log((double)word->lift);
}

static int by_rank(const void *left, const void *right)
{
    const hsae_word *a = left, *b = right;
    double x = rank_of(a), y = rank_of(b);
    return x != y ? (x < y) - (x > y) : (a->token > b->token) - (a->token < b->token);
}

/* A token that is so rare in the data is not taken for typical of anything. */
enum { RARE = 3 };

static hsae_status choose_feature_words(hsae_explorer *explorer, struct explore_level *level, uint32_t feature)
{
    const struct token_sketch *sketch = &level->sketch[feature];
    hsae_word all[HSAE_EXPLORE_COUNTERS], *out = level->words + (uint64_t)feature * HSAE_EXPLORE_WORDS;
    hsae_status status = HSAE_OK;
    uint32_t count = 0;
    for (uint32_t k = 0; k < sketch->count; k++) {
        double share = (sketch->mass[k] - (double)sketch->error[k]) / level->mass[feature];
        double usual = ((double)explorer->frequency[sketch->token[k]] + RARE) / (double)explorer->ordinary;
        if (share > 0)
            all[count++] = (hsae_word){.token = sketch->token[k], .share = (float)share, .lift = (float)(share / usual)};
    }
    qsort(all, count, sizeof *all, by_rank);
    count = count < HSAE_EXPLORE_WORDS ? count : HSAE_EXPLORE_WORDS;
    for (uint32_t k = 0; k < count && !status; k++) {
        uint32_t size;
        const char *text = string_at(&explorer->vocabulary, all[k].token, &size);
        out[k] = all[k];
        status = hsae_explore_intern(explorer->context, &explorer->strings, text, size, &out[k].token);
        out[k].word = out[k].token;
    }
    level->word_count[feature] = count;
    return status;
}

hsae_status hsae_explore_choose_words(hsae_explorer *explorer)
{
    hsae_status status = HSAE_OK;
    bool good = true;
    for (uint32_t l = 0; l < explorer->level_count && !status; l++) {
        struct explore_level *level = &explorer->levels[l];
        level->words = hsae_explore_zeros(&good, (uint64_t)level->features * HSAE_EXPLORE_WORDS, sizeof *level->words);
        level->word_count = hsae_explore_zeros(&good, level->features, sizeof *level->word_count);
        if (!good)
            return hsae_fail(explorer->context, HSAE_ERROR_MEMORY, "out of memory for the words of %u features", level->features);
        for (uint32_t i = 0; i < level->features && !status; i++)
            status = choose_feature_words(explorer, level, i);
        free(level->sketch);
        level->sketch = NULL;
    }
    hsae_explore_strings_free(&explorer->vocabulary);
    free(explorer->frequency);
    explorer->frequency = NULL;
    return status;
}

/* ---- whole words ---- */

/* Letters of ASCII, and of the alphabets up to Armenian's, whose UTF-8 begins with these bytes. Scripts without spaces are not among them.
 */
static bool begins_with_letter(const char *text, uint32_t size)
{
    unsigned char c = size ? (unsigned char)text[0] : 0;
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xc3 && c <= 0xd5);
}

static bool ends_with_letter(const char *text, uint32_t size)
{
    uint32_t at = size;
    while (at > 0 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
        at--;
    return at > 0 ? begins_with_letter(text + at - 1, 1) : false;
}

/* Whether the word goes on from token a to token b. */
static bool goes_on(const hsae_explorer *explorer, uint32_t a, uint32_t b)
{
    uint32_t a_size, b_size;
    const char *first = string_at(&explorer->strings, a, &a_size), *second = string_at(&explorer->strings, b, &b_size);
    return ends_with_letter(first, a_size) && begins_with_letter(second, b_size);
}

/* The word around token k of a window to out; its bytes, 0 where it is longer than WORD_BYTES or may go on after the window. */
static uint32_t word_around(const hsae_explorer *explorer, const uint32_t *tokens, uint32_t length, uint32_t k, char out[WORD_BYTES])
{
    uint32_t begin = k, end = k + 1, used = 0;
    while (begin > 0 && goes_on(explorer, tokens[begin - 1], tokens[begin]))
        begin--;
    while (end < length && goes_on(explorer, tokens[end - 1], tokens[end]))
        end++;
    for (uint32_t at = begin; at < end; at++) {
        uint32_t size;
        const char *text = string_at(&explorer->strings, tokens[at], &size);
        if (used + size > WORD_BYTES)
            return 0;
        memcpy(out + used, text, size);
        used += size;
    }
    return end < length ? used : 0;
}

struct candidate {
    char text[WORD_BYTES];
    uint32_t size, count;
};

/* Counts the words that a token is part of where the feature is active; the most frequent, NULL where it is not most of them. */
static const struct candidate *best_word(const hsae_explorer *explorer, uint32_t l, uint32_t feature, uint32_t token,
                                         struct candidate *candidates, float *values)
{
    hsae_feature_report report;
    const struct candidate *best = NULL;
    uint32_t count = 0, all = 0;
    hsae_explorer_feature(explorer, l, feature, &report);
    for (uint32_t e = 0; e < report.excerpt_count; e++) {
        const hsae_excerpt *excerpt = &report.excerpts[e];
        const uint32_t *tokens = hsae_explorer_tokens(explorer, excerpt, NULL);
        hsae_explorer_values(explorer, l, feature, e, values);
        for (uint32_t k = 0; k < excerpt->length; k++) {
            struct candidate found = {.count = 1};
            if (tokens[k] != token || !(values[k] > 0))
                continue;
            uint32_t at = 0;
            found.size = word_around(explorer, tokens, excerpt->length, k, found.text);
            all += found.size > 0;
            while (at < count && (candidates[at].size != found.size || memcmp(candidates[at].text, found.text, found.size) != 0))
                at++;
            if (at == count && count < CANDIDATES)
                candidates[count++] = found;
            else if (at < count)
                candidates[at].count++;
        }
    }
    for (uint32_t k = 0; k < count; k++)
        if (candidates[k].size && 2 * candidates[k].count > all)
            best = &candidates[k];
    return best;
}

hsae_status hsae_explore_whole_words(hsae_explorer *explorer)
{
    struct candidate candidates[CANDIDATES];
    hsae_status status = HSAE_OK;
    float *values = malloc(explorer->length * sizeof *values);
    if (!values)
        return hsae_fail(explorer->context, HSAE_ERROR_MEMORY, "out of memory for a context");
    for (uint32_t l = 0; l < explorer->level_count && !status; l++) {
        struct explore_level *level = &explorer->levels[l];
        for (uint32_t i = 0; i < level->features; i++)
            for (uint32_t k = 0; k < level->word_count[i] && k < WHOLE && !status; k++) {
                hsae_word *word = &level->words[(uint64_t)i * HSAE_EXPLORE_WORDS + k];
                const struct candidate *best = best_word(explorer, l, i, word->token, candidates, values);
                if (best)
                    status = hsae_explore_intern(explorer->context, &explorer->strings, best->text, best->size, &word->word);
            }
    }
    free(values);
    return status;
}
