/* SPDX-License-Identifier: MIT */
/* The explorer's page: tools/explore/page.html with the data in blocks, each a script element with the base64 of the raw deflate of JSON.
 * tests/explore/sample.py writes the same blocks; what they hold is described there and in tools/explore/data.js. */
#include "explore.h"
#include "hsae/json_text.h"
#include "hsae/run_folder.h"
#include "hsae/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { FEATURES = 256, TEXT = 4096, PATHS = 1024 /* in a block */ };
/* Figures that are compared with those of other commands, and activations that are looked at. */
enum { EXACT = 9, SHOWN = 4, TOP_TOKENS = 5 };

struct page {
    const struct exploration *exploration;
    const hsae_explorer *explorer;
    const hsae_config *config;
    FILE *file;
    struct json_text text; /* of the block that is made */
    Bytef *packed;
    size_t packed_capacity;
    z_stream deflate;
    float *values; /* [context length] */
};

/* ---- blocks ---- */

static void write_base64(FILE *file, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char out[4];
    for (size_t i = 0; i < size; i += 3) {
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= i + 2 < size ? bytes[i + 2] : 0;
        for (int k = 0; k < 4; k++)
            out[k] = digits[word >> (18 - 6 * k) & 63];
        if (i + 1 >= size)
            out[2] = '=';
        if (i + 2 >= size)
            out[3] = '=';
        fwrite(out, 1, 4, file);
    }
}

/* Writes page->text as the block of this name. */
HSAE_OS_PRINTF(2, 3) static int write_block(struct page *page, const char *format, ...)
{
    va_list arguments;
    uLong bound = deflateBound(&page->deflate, (uLong)page->text.size);
    if (page->text.failed)
        return cli_out_of_memory();
    if (cli_signal())
        return 128 + cli_signal();
    if (bound > page->packed_capacity) {
        Bytef *packed = realloc(page->packed, bound);
        if (!packed)
            return cli_out_of_memory();
        page->packed = packed;
        page->packed_capacity = bound;
    }
    deflateReset(&page->deflate);
    page->deflate.next_in = (Bytef *)page->text.data;
    page->deflate.avail_in = (uInt)page->text.size;
    page->deflate.next_out = page->packed;
    page->deflate.avail_out = (uInt)page->packed_capacity;
    if (page->text.size > UINT32_MAX || bound > UINT32_MAX || deflate(&page->deflate, Z_FINISH) != Z_STREAM_END) {
        cli_error("a block of %zu bytes is too large for a page: ask for fewer or shorter contexts", page->text.size);
        return CLI_FAILED;
    }
    fputs("<script type=\"application/octet-stream\" id=\"", page->file);
    va_start(arguments, format);
    vfprintf(page->file, format, arguments);
    va_end(arguments);
    fputs("\">", page->file);
    write_base64(page->file, page->packed, page->deflate.total_out);
    fputs("</script>\n", page->file);
    json_text_clear(&page->text);
    return CLI_DONE;
}

/* ---- what they hold ---- */

static const char *trimmed(const hsae_explorer *explorer, uint32_t token, uint32_t *size)
{
    const char *text = hsae_explorer_token(explorer, token, size);
    while (*size && (*text == ' ' || *text == '\n')) {
        text++;
        --*size;
    }
    return text;
}

static bool same_word(const hsae_explorer *explorer, uint32_t a, uint32_t b)
{
    uint32_t a_size, b_size, k = 0;
    const char *first = trimmed(explorer, a, &a_size), *second = trimmed(explorer, b, &b_size);
    while (k < a_size && k < b_size && tolower((unsigned char)first[k]) == tolower((unsigned char)second[k]))
        k++;
    return a_size == b_size && k == a_size && (k > 0 || a == b);
}

/* Whether a word stands for its feature: half a percent of the activations, and not far less telling than the first. */
static bool says_much(const hsae_feature_report *report, uint32_t k)
{
    const hsae_word *word = &report->words[k], *first = report->words;
    return k < report->word_count && word->share >= 0.005F && word->lift > 1.5F &&
           word->share * logf(word->lift) >= 0.1F * first->share * logf(first->lift);
}

static uint32_t add_word(const hsae_explorer *explorer, uint32_t found[TOP_TOKENS], uint32_t count, uint32_t word)
{
    for (uint32_t k = 0; k < count; k++)
        if (same_word(explorer, found[k], word))
            return count;
    found[count] = word;
    return count + 1;
}

/* The words of a feature that stand for it, each but once whatever its case and the spaces around it; where there are none, the tokens at
 * its strongest peaks. */
static void put_top_words(struct page *page, const hsae_feature_report *report)
{
    uint32_t found[TOP_TOKENS], count = 0;
    json_text_put(&page->text, "[");
    for (uint32_t k = 0; k < report->word_count && count < TOP_TOKENS && says_much(report, k); k++)
        count = add_word(page->explorer, found, count, report->words[k].word);
    for (uint32_t k = 0; !says_much(report, 0) && k < report->excerpt_count && count < TOP_TOKENS && !report->excerpts[k].sampled; k++)
        count = add_word(page->explorer, found, count,
                         hsae_explorer_tokens(page->explorer, &report->excerpts[k], NULL)[report->excerpts[k].peak]);
    for (uint32_t k = 0; k < count; k++) {
        json_text_next(&page->text);
        json_text_count(&page->text, found[k]);
    }
    json_text_put(&page->text, "]");
}

enum column { PARENT, DENSITY, MEAN, MAX, PEAK, HIGH, P_PARENT, P_CHILD, TOGETHER, DUPLICATE, TOP, COLUMNS };

static void put_column(struct page *page, uint32_t level, enum column column)
{
    struct json_text *text = &page->text;
    json_text_put(text, "[");
    for (uint32_t i = 0; i < page->config->levels[level]; i++) {
        hsae_feature_report report;
        hsae_explorer_feature(page->explorer, level, i, &report);
        const double figures[COLUMNS] = {report.parent,
                                         report.density,
                                         report.mean,
                                         report.max,
                                         report.peak,
                                         report.high,
                                         report.p_parent_given_child,
                                         report.p_child_given_parent,
                                         report.sibling_count ? report.siblings[0].probability : 0,
                                         report.duplicate};
        json_text_next(text);
        if (column == TOP)
            put_top_words(page, &report);
        else
            json_text_number(text, figures[column], EXACT);
    }
    json_text_put(text, "]");
}

static void put_level(struct page *page, uint32_t level)
{
    static const char *const names[COLUMNS] = {"parent",   "density", "mean",     "max",       "peak", "high",
                                               "p_parent", "p_child", "together", "duplicate", "top"};
    json_text_next(&page->text);
    json_text_put(&page->text, "{\"features\":");
    json_text_count(&page->text, page->config->levels[level]);
    for (int column = 0; column < COLUMNS; column++) {
        json_text_put(&page->text, ",\"");
        json_text_put(&page->text, names[column]);
        json_text_put(&page->text, "\":");
        if (level == 0 && (column == PARENT || column == P_PARENT || column == P_CHILD || column == TOGETHER || column == DUPLICATE))
            json_text_put(&page->text, "null");
        else
            put_column(page, level, column);
    }
    json_text_put(&page->text, "}");
}

/* The index without its levels: an open object. */
static char *index_head(const struct page *page)
{
    const struct exploration *exploration = page->exploration;
    const hsae_evaluation *evaluation = hsae_explorer_evaluation(page->explorer);
    char created_by[64], *config = hsae_config_json(page->config);
    json_t *paths = json_array();
    for (size_t i = 0; i < exploration->data.count; i++)
        json_array_append_new(paths, text_json(exploration->data.items[i]));
    snprintf(created_by, sizeof created_by, "hsae %s", hsae_version());
    json_t *head = json_pack(
        "{s:i, s:o, s:s, s:{s:o, s:I, s:o}, s:{s:o, s:I, s:I, s:I}, s:o, s:i, s:i, s:i, s:I, s:i}", "version", 1, "title",
        text_json(exploration->title ? exploration->title : exploration->model_path), "created_by", created_by, "model", "path",
        text_json(exploration->model_path), "dim", (json_int_t)hsae_model_dim(exploration->model), "config",
        config ? json_loads(config, 0, NULL) : NULL, "data", "paths", paths, "tokens", (json_int_t)evaluation->tokens, "sequences",
        (json_int_t)hsae_explorer_sequences(page->explorer), "outliers", (json_int_t)hsae_explorer_outliers(page->explorer), "evaluation",
        cli_evaluation_json(evaluation, page->config), "chunk", FEATURES, "text_chunk", TEXT, "paths_chunk", PATHS, "context",
        (json_int_t)hsae_explorer_context_length(page->explorer), "paths", HSAE_EXPLORE_STRONGEST);
    char *text = head ? json_dumps(head, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(head);
    hsae_free(config);
    return text;
}

static int write_index(struct page *page)
{
    char *head = index_head(page);
    if (!head)
        return cli_out_of_memory();
    json_text_bytes(&page->text, head, strlen(head) - 1); /* without the closing brace */
    free(head);
    json_text_put(&page->text, ",\"levels\":[");
    for (uint32_t l = 0; l < page->config->level_count; l++)
        put_level(page, l);
    json_text_put(&page->text, "]}");
    return write_block(page, "index");
}

static void put_text(struct json_text *text, const char *string)
{
    json_text_next(text);
    if (string)
        json_text_string(text, string, strlen(string));
    else
        json_text_put(text, "null");
}

static void put_figure(struct json_text *text, double figure)
{
    json_text_next(text);
    json_text_number(text, figure, SHOWN);
}

static void put_neighbours(struct page *page, const struct explore_neighbour *list)
{
    json_text_next(&page->text);
    json_text_put(&page->text, "[");
    for (int k = 0; k < EXPLORE_NEIGHBOURS && list[k].cosine > 0; k++) {
        json_text_next(&page->text);
        json_text_count(&page->text, list[k].level);
        json_text_next(&page->text);
        json_text_count(&page->text, list[k].feature);
        put_figure(&page->text, (double)list[k].cosine);
    }
    json_text_put(&page->text, "]");
}

/* Of each feature [level, feature, cosine ..]; no block where there are too many features. */
static int write_neighbours(struct page *page)
{
    struct explore_neighbour *all, *at;
    int status = explore_find_neighbours(page->exploration->model, &all);
    at = all;
    for (uint32_t l = 0; l < page->config->level_count && at && status == CLI_DONE; l++) {
        json_text_put(&page->text, "{\"neighbours\":[");
        for (uint32_t i = 0; i < page->config->levels[l]; i++, at += EXPLORE_NEIGHBOURS)
            put_neighbours(page, at);
        json_text_put(&page->text, "]}");
        status = write_block(page, "neighbours-%" PRIu32, l);
    }
    free(all);
    return status;
}

static void put_logits(struct page *page, const struct explore_logit *list)
{
    struct json_text *text = &page->text;
    json_text_next(text);
    json_text_put(text, "[");
    for (int k = 0; k < EXPLORE_LOGITS && list[k].token != UINT32_MAX; k++) {
        const json_t *token = json_array_get(page->exploration->vocabulary, list[k].token);
        json_text_next(text);
        json_text_string(text, json_string_value(token), json_string_length(token));
        put_figure(text, (double)list[k].value);
    }
    json_text_put(text, "]");
}

/* Of each feature [promoted, suppressed], both [token, logit ..]; no block without an unembedding. */
static int write_logits(struct page *page)
{
    const struct explore_logits *at = page->exploration->logits;
    int status = CLI_DONE;
    for (uint32_t l = 0; l < page->config->level_count && at && status == CLI_DONE; l++) {
        json_text_put(&page->text, "{\"logits\":[");
        for (uint32_t i = 0; i < page->config->levels[l]; i++, at++) {
            json_text_next(&page->text);
            json_text_put(&page->text, "[");
            put_logits(page, at->up);
            put_logits(page, at->down);
            json_text_put(&page->text, "]");
        }
        json_text_put(&page->text, "]}");
        status = write_block(page, "logits-%" PRIu32, l);
    }
    return status;
}

/* Which features are active on which tokens, for the search: of each feature its tokens and their shares in thousandths. */
static int write_words(struct page *page, uint32_t level)
{
    json_text_put(&page->text, "{\"words\":[");
    for (uint32_t i = 0; i < page->config->levels[level]; i++) {
        hsae_feature_report report;
        hsae_explorer_feature(page->explorer, level, i, &report);
        json_text_next(&page->text);
        json_text_put(&page->text, "[");
        for (uint32_t k = 0; k < report.word_count; k++) {
            uint64_t share = (uint64_t)(1000 * (double)report.words[k].share + 0.5);
            json_text_next(&page->text);
            json_text_count(&page->text, report.words[k].token);
            json_text_put(&page->text, ",");
            json_text_count(&page->text, share);
        }
        json_text_put(&page->text, "]");
    }
    json_text_put(&page->text, "]}");
    return write_block(page, "words-%" PRIu32, level);
}

static void put_judged(struct json_text *text, const char *name, const struct judged *judged)
{
    json_text_next(text);
    json_text_put(text, "\"");
    json_text_put(text, name);
    json_text_put(text, "\":[");
    json_text_count(text, judged->count);
    put_figure(text, judged->count ? judged->sum / (double)judged->count : (double)NAN);
    json_text_put(text, "]");
}

/* [level, feature, label, score, note, marked], or with `edges` [level, feature, score of the edge to its parent]. */
static void put_labels(struct page *page, bool edges)
{
    const struct labels *labels = page->exploration->labels;
    for (uint32_t l = 0; l < labels->level_count; l++)
        for (uint32_t i = 0; i < labels->levels[l].features; i++) {
            const struct label *label = labels_of(labels, l, i);
            if (edges ? isnan(label->edge) : !label->text && !label->note && !label->marked && isnan(label->score))
                continue;
            json_text_next(&page->text);
            json_text_put(&page->text, "[");
            json_text_count(&page->text, l);
            json_text_next(&page->text);
            json_text_count(&page->text, i);
            if (edges) {
                put_figure(&page->text, label->edge);
            } else {
                put_text(&page->text, label->text);
                put_figure(&page->text, label->score);
                put_text(&page->text, label->note);
                json_text_next(&page->text);
                json_text_put(&page->text, label->marked ? "true" : "false");
            }
            json_text_put(&page->text, "]");
        }
}

static int write_labels(struct page *page)
{
    const struct labels *labels = page->exploration->labels;
    if (!labels->count && !labels->tree.count && !labels->other.count)
        return CLI_DONE;
    json_text_put(&page->text, "{\"labels\":[");
    put_labels(page, false);
    json_text_put(&page->text, "],\"edges\":[");
    put_labels(page, true);
    json_text_put(&page->text, "],\"judged\":{");
    put_judged(&page->text, "tree", &labels->tree);
    put_judged(&page->text, "other", &labels->other);
    json_text_put(&page->text, "}}");
    return write_block(page, "labels");
}

static int write_tokens(struct page *page)
{
    json_text_put(&page->text, "{\"strings\":[");
    for (uint32_t i = 0; i < hsae_explorer_token_count(page->explorer); i++) {
        uint32_t size;
        const char *token = hsae_explorer_token(page->explorer, i, &size);
        json_text_next(&page->text);
        json_text_string(&page->text, token, size);
    }
    json_text_put(&page->text, "]}");
    return write_block(page, "tokens");
}

/* Tokens of a run from `start` on, to its end or that of their block; how many. */
static uint32_t put_run(struct page *page, const hsae_token_span *run, uint64_t start)
{
    uint64_t end = run->start + run->length, block_end = (start / TEXT + 1) * TEXT;
    end = end < block_end ? end : block_end;
    json_text_next(&page->text);
    json_text_put(&page->text, "[");
    json_text_count(&page->text, start);
    json_text_put(&page->text, ",");
    json_text_count(&page->text, run->sequence);
    json_text_put(&page->text, ",[");
    for (uint64_t row = start; row < end; row++) {
        json_text_next(&page->text);
        json_text_count(&page->text, run->tokens[row - run->start]);
    }
    json_text_put(&page->text, "]]");
    return (uint32_t)(end - start);
}

static int write_text(struct page *page)
{
    uint64_t block = UINT64_MAX;
    int status = CLI_DONE;
    for (uint64_t i = 0; i < hsae_explorer_span_count(page->explorer) && status == CLI_DONE; i++) {
        hsae_token_span run = hsae_explorer_span(page->explorer, i);
        for (uint32_t done = 0; done < run.length && status == CLI_DONE;) {
            uint64_t start = run.start + done;
            if (start / TEXT != block && block != UINT64_MAX) {
                json_text_put(&page->text, "]}");
                status = write_block(page, "text-%" PRIu64, block);
            }
            if (start / TEXT != block)
                json_text_put(&page->text, "{\"runs\":[");
            block = start / TEXT;
            done += put_run(page, &run, start);
        }
    }
    if (block != UINT64_MAX && status == CLI_DONE) {
        json_text_put(&page->text, "]}");
        status = write_block(page, "text-%" PRIu64, block);
    }
    return status;
}

static void put_context(struct page *page, uint32_t level, uint32_t feature, const hsae_excerpt *excerpt, uint32_t index)
{
    struct json_text *text = &page->text;
    json_text_next(text);
    json_text_put(text, "[");
    json_text_count(text, excerpt->start);
    json_text_put(text, ",");
    json_text_count(text, excerpt->length);
    json_text_put(text, ",");
    json_text_count(text, excerpt->peak);
    json_text_put(text, ",");
    if (excerpt->sampled)
        json_text_number(text, excerpt->quantile, SHOWN);
    else
        json_text_put(text, "null");
    json_text_put(text, ",[");
    hsae_explorer_values(page->explorer, level, feature, index, page->values);
    for (uint32_t k = 0; k < excerpt->length; k++) {
        if (page->values[k] == 0)
            continue;
        json_text_next(text);
        json_text_count(text, k);
        json_text_put(text, ",");
        json_text_number(text, (double)page->values[k], SHOWN);
    }
    json_text_put(text, "]]");
}

static void put_feature(struct page *page, uint32_t level, uint32_t feature)
{
    struct json_text *text = &page->text;
    hsae_feature_report report;
    hsae_explorer_feature(page->explorer, level, feature, &report);
    json_text_next(text);
    json_text_put(text, "{\"histogram\":[");
    for (int k = 0; k < HSAE_EXPLORE_BINS && report.active; k++) {
        json_text_next(text);
        json_text_count(text, report.histogram[k]);
    }
    json_text_put(text, "],\"contexts\":[");
    for (uint32_t k = 0; k < report.excerpt_count; k++)
        put_context(page, level, feature, &report.excerpts[k], k);
    json_text_put(text, "],\"siblings\":[");
    for (uint32_t k = 0; k < report.sibling_count; k++) {
        json_text_next(text);
        json_text_put(text, "[");
        json_text_count(text, report.siblings[k].feature);
        json_text_put(text, ",");
        json_text_number(text, report.siblings[k].probability, EXACT);
        json_text_put(text, "]");
    }
    json_text_put(text, "]}");
}

static int write_features(struct page *page, uint32_t level)
{
    uint32_t features = page->config->levels[level];
    int status = CLI_DONE;
    for (uint32_t first = 0; first < features && status == CLI_DONE; first += FEATURES) {
        json_text_put(&page->text, "{\"features\":[");
        for (uint32_t i = first; i < features && i < first + FEATURES; i++)
            put_feature(page, level, i);
        json_text_put(&page->text, "]}");
        cli_status_line(false, "writing level %u %3.0f %%", level, 100.0 * first / features);
        status = write_block(page, "features-%" PRIu32 "-%" PRIu32, level, first / FEATURES);
    }
    return status;
}

static void put_path(struct page *page, const hsae_token_features *path)
{
    struct json_text *text = &page->text;
    json_text_next(text);
    json_text_put(text, "\"");
    json_text_count(text, path->row);
    json_text_put(text, "\":[");
    for (uint32_t l = 0; l < page->config->level_count; l++) {
        json_text_put(text, "[");
        for (uint32_t k = 0; k < path->count[l]; k++) {
            json_text_next(text);
            json_text_count(text, path->features[l][k].feature);
            json_text_put(text, ",");
            json_text_number(text, (double)path->features[l][k].activation, SHOWN);
        }
        json_text_put(text, "],");
    }
    json_text_put(text, "[");
    for (uint32_t l = 0; l < page->config->level_count; l++) {
        json_text_next(text);
        json_text_count(text, path->left_out[l]);
    }
    json_text_put(text, "]]");
}

static int write_paths(struct page *page)
{
    uint64_t count = hsae_explorer_token_features_count(page->explorer), block = 0;
    int status = CLI_DONE;
    for (uint64_t i = 0; i < count && status == CLI_DONE;) {
        hsae_token_features path;
        hsae_explorer_token_features(page->explorer, i, &path);
        block = path.row / PATHS;
        json_text_put(&page->text, "{\"tokens\":{");
        while (path.row / PATHS == block) {
            put_path(page, &path);
            if (++i == count)
                break;
            hsae_explorer_token_features(page->explorer, i, &path);
        }
        json_text_put(&page->text, "}}");
        cli_status_line(false, "writing paths %3.0f %%", 100.0 * (double)i / (double)count);
        status = write_block(page, "paths-%" PRIu64, block);
    }
    return status;
}

static int write_all(struct page *page)
{
    fputs(explore_page_head, page->file);
    int status = write_index(page);
    if (status == CLI_DONE)
        status = write_tokens(page);
    if (status == CLI_DONE)
        status = write_labels(page);
    if (status == CLI_DONE)
        status = write_text(page);
    for (uint32_t l = 0; l < page->config->level_count && status == CLI_DONE; l++)
        status = write_features(page, l);
    for (uint32_t l = 0; l < page->config->level_count && status == CLI_DONE; l++)
        status = write_words(page, l);
    if (status == CLI_DONE)
        status = write_neighbours(page);
    if (status == CLI_DONE)
        status = write_logits(page);
    if (status == CLI_DONE)
        status = write_paths(page);
    fputs(explore_page_tail, page->file);
    return status;
}

int explore_write_page(const struct exploration *exploration, const char *path, uint64_t *bytes)
{
    struct page page = {.exploration = exploration, .explorer = exploration->explorer, .config = hsae_model_config(exploration->model)};
    struct run_output output;
    int status = CLI_FAILED;
    page.values = malloc(hsae_explorer_context_length(page.explorer) * sizeof *page.values);
    if (!page.values || deflateInit2(&page.deflate, Z_BEST_COMPRESSION, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(page.values);
        return cli_out_of_memory();
    }
    page.file = run_output_open(&output, path);
    if (page.file) {
        status = write_all(&page);
        *bytes = (uint64_t)ftello(page.file);
        status = status == CLI_DONE ? run_output_commit(&output) : run_output_discard(&output, status);
    }
    cli_clear_status_line();
    deflateEnd(&page.deflate);
    free(page.packed);
    free(page.text.data);
    free(page.values);
    return status;
}
