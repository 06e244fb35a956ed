/* SPDX-License-Identifier: MIT */
/* hsae collect: rows in files, with their tokens. The folder goes on after its last whole shard:
 *
 *   activations-00000.safetensors ...   tensor "activations", [rows, dim]
 *   tokens.jsonl                        {"tokens", "source", "rows_crc32"} of each sequence
 *   collection.json                     settings, and what the shards so far have; written last */
#include "lm.h"

#include "run_folder.h"
#include "run_record.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { SAMPLE_SEQUENCES = 64 }; /* for the median norm */
static const char state_name[] = "collection.json", tokens_name[] = "tokens.jsonl";

/* Of collection.json, so of the whole shards. */
struct state {
    uint64_t rows, sequences, batches, shards, dropped_start, dropped_outliers, tokens_bytes;
    double median_norm, norm_sum;
    bool finished;
};

struct collector {
    const struct lm_collection *wanted;
    hsae_context *context;
    struct lm_rows *rows;
    uint32_t dim;
    hsae_dtype dtype;
    char settings[1400];
    struct state state;
    unsigned char *shard; /* [shard_rows + those of a batch] */
    float *widened;       /* [context] rows as they are stored */
    uint64_t shard_rows;
    struct hsae_os_text lines;
    FILE *lines_file;
};

static size_t row_bytes(const struct collector *collector)
{
    return collector->dim * (collector->dtype == HSAE_DTYPE_F32 ? 4u : 2u);
}

static double norm_of(const float *values, uint32_t dim)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++)
        sum += (double)values[i] * values[i];
    return sqrt(sum);
}

/* ---- collection.json ---- */

static int write_state(const struct collector *collector)
{
    const struct state *state = &collector->state;
    return run_write_json(collector->wanted->out, state_name,
                          json_pack("{s:i, s:b, s:o, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "version", 2, "finished",
                                    state->finished, "settings", text_json(collector->settings), "median_norm", state->median_norm, "rows",
                                    (json_int_t)state->rows, "sequences", (json_int_t)state->sequences, "batches",
                                    (json_int_t)state->batches, "shards", (json_int_t)state->shards, "dropped_start",
                                    (json_int_t)state->dropped_start, "dropped_outliers", (json_int_t)state->dropped_outliers,
                                    "tokens_bytes", (json_int_t)state->tokens_bytes, "norm_sum", state->norm_sum));
}

static uint64_t count_of(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* The state of an earlier call; one of other settings is refused. */
static int read_state(struct collector *collector)
{
    const char *folder = collector->wanted->out;
    char path[RUN_PATH];
    run_path(path, folder, state_name);
    if (hsae_os_kind(path) == HSAE_OS_NONE) {
        run_path(path, folder, "activations-00000.safetensors");
        if (hsae_os_kind(path) == HSAE_OS_NONE)
            return CLI_DONE;
        cli_error("%s holds activations without %s: choose another --out", folder, state_name);
        return CLI_FAILED;
    }
    json_t *object = run_read_json(folder, state_name);
    const char *settings = json_string_value(json_object_get(object, "settings"));
    if (!settings || strcmp(settings, collector->settings) != 0) {
        cli_error("%s: made with other settings:\n  %s\nnow:\n  %s\nGive those, or choose another --out.", path,
                  settings ? settings : "not those of hsae collect", collector->settings);
        json_decref(object);
        return CLI_FAILED;
    }
    collector->state = (struct state){.rows = count_of(object, "rows"),
                                      .sequences = count_of(object, "sequences"),
                                      .batches = count_of(object, "batches"),
                                      .shards = count_of(object, "shards"),
                                      .dropped_start = count_of(object, "dropped_start"),
                                      .dropped_outliers = count_of(object, "dropped_outliers"),
                                      .tokens_bytes = count_of(object, "tokens_bytes"),
                                      .median_norm = json_number_value(json_object_get(object, "median_norm")),
                                      .norm_sum = json_number_value(json_object_get(object, "norm_sum")),
                                      .finished = json_is_true(json_object_get(object, "finished"))};
    json_decref(object);
    return CLI_DONE;
}

/* tokens.jsonl without what came after the last whole shard. */
static int cut_tokens(const struct collector *collector)
{
    char path[RUN_PATH], *line = NULL;
    size_t capacity = 0;
    struct run_output output;
    run_path(path, collector->wanted->out, tokens_name);
    FILE *old = hsae_os_fopen(path, "r");
    if (!old)
        return errno == ENOENT && !collector->state.tokens_bytes ? CLI_DONE : cli_file_error("read", path);
    if (!run_output_open(&output, path)) {
        fclose(old);
        return CLI_FAILED;
    }
    uint64_t left = collector->state.tokens_bytes;
    for (size_t length; left && (length = text_read_line(old, &line, &capacity)) > 0 && length <= left; left -= length)
        fputs(line, output.file);
    free(line);
    fclose(old);
    int status = run_output_commit(&output);
    if (status == CLI_DONE && left) {
        cli_error("%s: shorter than %s says; choose another --out", path, state_name);
        return CLI_FAILED;
    }
    return status;
}

/* ---- rows ---- */

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The median norm of the first sequences, start tokens left out; then back to the first. */
static hsae_status find_median(struct collector *collector)
{
    struct lm_batch batch = {.count = 1};
    double *norms = malloc(SAMPLE_SEQUENCES * collector->wanted->lm.context * sizeof *norms);
    size_t count = 0;
    hsae_status status = norms ? HSAE_OK : HSAE_ERROR_MEMORY;
    for (uint32_t done = 0; !status && batch.count && done < SAMPLE_SEQUENCES; done += batch.count) {
        status = lm_rows_next(collector->rows, &batch);
        if (!status && batch.count)
            status = lm_rows_compute(collector->rows);
        for (uint32_t s = 0; !status && s < batch.count && done + s < SAMPLE_SEQUENCES; s++)
            for (uint32_t t = batch.start; t < batch.sequences[s].length; t++)
                norms[count++] = norm_of(batch.sequences[s].values + (size_t)t * collector->dim, collector->dim);
    }
    if (!status && !count) {
        cli_error("--text: there is no text in there");
        status = HSAE_ERROR_DATA;
    }
    if (!status) {
        qsort(norms, count, sizeof *norms, by_value);
        collector->state.median_norm = (norms[(count - 1) / 2] + norms[count / 2]) / 2;
    }
    free(norms);
    lm_rows_rewind(collector->rows);
    return status;
}

/* Stores a row at the shard's end. */
static hsae_status store(struct collector *collector, const struct lm_sequence *sequence, uint32_t token, float *widened)
{
    const float *values = sequence->values + (size_t)token * collector->dim;
    unsigned char *row = collector->shard + collector->shard_rows * row_bytes(collector);
    lm_convert(values, collector->dim, collector->dtype, row);
    lm_widen(row, collector->dim, collector->dtype, widened);
    for (uint32_t i = 0; i < collector->dim; i++)
        if (!isfinite(widened[i])) {
            cli_error("sequence %" PRIu64 " (%s), token %" PRIu32 ": the activation is not finite%s", collector->state.sequences,
                      sequence->source, token, isfinite(values[i]) ? " in this type: give --dtype bf16 or f32" : "");
            return HSAE_ERROR_DATA;
        }
    collector->shard_rows++;
    collector->state.rows++;
    collector->state.norm_sum += norm_of(widened, collector->dim);
    return HSAE_OK;
}

/* What is kept of a sequence, and its line of tokens.jsonl. */
static hsae_status add_sequence(struct collector *collector, const struct lm *lm, const struct lm_sequence *sequence, uint32_t start)
{
    const double limit = collector->wanted->outlier > 0 ? collector->wanted->outlier * collector->state.median_norm : INFINITY;
    const uint64_t most = collector->wanted->tokens ? collector->wanted->tokens : UINT64_MAX;
    json_t *tokens = json_array();
    uint32_t kept = 0;
    hsae_status status = HSAE_OK;
    collector->state.dropped_start += start;
    for (uint32_t t = start; t < sequence->length && !status && collector->state.rows < most; t++) {
        char text[256];
        if (norm_of(sequence->values + (size_t)t * collector->dim, collector->dim) > limit) {
            collector->state.dropped_outliers++;
            continue;
        }
        status = store(collector, sequence, t, collector->widened + (size_t)kept++ * collector->dim);
        lm_token_text(lm, sequence->tokens[t], text, sizeof text);
        json_array_append_new(tokens, text_json(text));
    }
    if (!status && kept) {
        unsigned long sum = crc32_z(0, (const unsigned char *)collector->widened, (size_t)kept * collector->dim * sizeof(float));
        json_t *line = json_pack("{s:O, s:o, s:I}", "tokens", tokens, "source", text_json(sequence->source), "rows_crc32", (json_int_t)sum);
        if (!line || json_dumpf(line, collector->lines_file, JSON_COMPACT) || fputc('\n', collector->lines_file) == EOF)
            status = HSAE_ERROR_MEMORY;
        json_decref(line);
        collector->state.sequences++;
    }
    json_decref(tokens);
    return status;
}

/* ---- shards ---- */

/* A file of the rows, then their tokens; last the state, which makes them count. */
static int flush(struct collector *collector)
{
    static const hsae_tensor_type types[] = {
        [HSAE_DTYPE_F32] = HSAE_TENSOR_F32, [HSAE_DTYPE_F16] = HSAE_TENSOR_F16, [HSAE_DTYPE_BF16] = HSAE_TENSOR_BF16};
    char path[RUN_PATH], name[48];
    char *lines = hsae_os_text_close(&collector->lines);
    collector->lines_file = NULL;
    if (!lines || !(collector->lines_file = hsae_os_text_open(&collector->lines))) {
        free(lines);
        return cli_out_of_memory();
    }
    int status = CLI_DONE;
    if (collector->shard_rows) {
        const hsae_new_tensor tensor = {.name = "activations",
                                        .type = types[collector->dtype],
                                        .rank = 2,
                                        .shape = {collector->shard_rows, collector->dim},
                                        .data = collector->shard};
        snprintf(name, sizeof name, "activations-%05" PRIu64 ".safetensors", collector->state.shards++);
        run_path(path, collector->wanted->out, name);
        status = cli_exit_status(hsae_tensor_file_write(collector->context, path, NULL, 0, &tensor, 1));
        run_path(path, collector->wanted->out, tokens_name);
        FILE *file = status == CLI_DONE ? hsae_os_fopen(path, "a") : NULL;
        if (status == CLI_DONE && (!file || fputs(lines, file) == EOF || fflush(file) || hsae_os_sync(fileno(file))))
            status = cli_file_error("write", path);
        if (file && fclose(file) && status == CLI_DONE)
            status = cli_file_error("write", path);
        collector->state.tokens_bytes += strlen(lines);
        collector->shard_rows = 0;
    }
    free(lines);
    return status == CLI_DONE ? write_state(collector) : status;
}

static void show(const struct collector *collector, double began, uint64_t before)
{
    double seconds = hsae_os_seconds() - began;
    cli_status_line(false, "%" PRIu64 " rows  %.0f tokens/s", collector->state.rows,
                    seconds > 0 ? (double)(collector->state.rows - before) / seconds : 0);
}

/* From the first batch that no whole shard has, to the end. */
static int collect(struct collector *collector, const struct lm *lm)
{
    const uint64_t most = collector->wanted->tokens ? collector->wanted->tokens : UINT64_MAX, before = collector->state.rows;
    struct lm_batch batch = {.count = 1};
    double began = hsae_os_seconds();
    hsae_status status = HSAE_OK;
    int exit_status = CLI_DONE;
    for (uint64_t b = 0; b < collector->state.batches && !status; b++)
        status = lm_rows_next(collector->rows, &batch);
    while (!status && exit_status == CLI_DONE && batch.count && collector->state.rows < most) {
        status = lm_rows_next(collector->rows, &batch);
        if (!status && batch.count)
            status = lm_rows_compute(collector->rows);
        for (uint32_t s = 0; s < batch.count && !status && collector->state.rows < most; s++)
            status = add_sequence(collector, lm, &batch.sequences[s], batch.start);
        collector->state.batches += batch.count > 0;
        show(collector, began, before);
        if (!status && collector->shard_rows >= collector->wanted->shard_rows)
            exit_status = flush(collector);
    }
    cli_clear_status_line();
    if (status)
        return status == HSAE_ERROR_MEMORY ? cli_out_of_memory() : cli_exit_status(status);
    collector->state.finished = true;
    if (exit_status == CLI_DONE)
        exit_status = flush(collector);
    if (exit_status == CLI_DONE && collector->wanted->tokens && collector->state.rows < most)
        cli_warning("the text was used up after %" PRIu64 " rows, before --tokens %" PRIu64, collector->state.rows, most);
    return exit_status;
}

static int report(const struct collector *collector)
{
    const struct state *state = &collector->state;
    double mean = state->rows ? state->norm_sum / (double)state->rows : 0;
    if (collector->wanted->json)
        return cli_print_json(json_pack(
            "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:f}", "out", text_json(collector->wanted->out), "rows", (json_int_t)state->rows,
            "dim", (json_int_t)collector->dim, "sequences", (json_int_t)state->sequences, "shards", (json_int_t)state->shards,
            "dropped_start", (json_int_t)state->dropped_start, "dropped_outliers", (json_int_t)state->dropped_outliers, "median_norm",
            state->median_norm > 0 ? json_real(state->median_norm) : json_null(), "mean_norm", mean));
    char median[48] = ""; /* not computed without --outlier */
    if (state->median_norm > 0)
        snprintf(median, sizeof median, "median norm %.4g, ", state->median_norm);
    if (cli_says_results(false))
        printf("%s: %" PRIu64 " rows of %" PRIu32 " values, from %" PRIu64 " sequences, in %" PRIu64 " shards; left out: %" PRIu64
               " start tokens, %" PRIu64 " outliers; %smean norm %.4g\n",
               collector->wanted->out, state->rows, collector->dim, state->sequences, state->shards, state->dropped_start,
               state->dropped_outliers, median, mean);
    return CLI_DONE;
}

/* In a locked folder. */
static int go_on(struct collector *collector, const struct lm *lm)
{
    int status = read_state(collector);
    if (status != CLI_DONE || collector->state.finished)
        return status == CLI_DONE ? report(collector) : status;
    if (collector->state.shards)
        cli_note("%s: going on after %" PRIu64 " rows", collector->wanted->out, collector->state.rows);
    size_t most = (size_t)collector->wanted->shard_rows + collector->wanted->lm.context * collector->wanted->lm.sequences;
    collector->shard = malloc(most * row_bytes(collector));
    collector->widened = malloc(collector->wanted->lm.context * collector->dim * sizeof *collector->widened);
    collector->lines_file = hsae_os_text_open(&collector->lines);
    if (!collector->shard || !collector->widened || !collector->lines_file)
        return cli_out_of_memory();
    if (collector->wanted->outlier > 0 && collector->state.median_norm == 0) {
        hsae_status found = find_median(collector);
        if (found)
            return found == HSAE_ERROR_MEMORY ? cli_out_of_memory() : cli_exit_status(found);
    }
    status = cut_tokens(collector);
    if (status == CLI_DONE)
        status = collect(collector, lm);
    return status == CLI_DONE ? report(collector) : status;
}

int lm_collect(hsae_context *context, const struct lm_collection *wanted)
{
    struct collector collector = {.wanted = wanted, .context = context};
    struct lm_text *text = NULL;
    struct lm *lm = NULL;
    struct run_lock lock = {.lock = -1};
    hsae_status status = cli_input_dtype(&(struct cli_input){.dtype = wanted->dtype ? wanted->dtype : "f16"}, &collector.dtype);
    if (!status)
        status = lm_text_open(&wanted->lm.text, &text);
    if (!status)
        status = lm_open(&wanted->lm, &lm);
    if (status) {
        lm_close(lm);
        lm_text_close(text);
        return cli_exit_status(status);
    }
    collector.dim = lm_dim(lm);
    snprintf(collector.settings, sizeof collector.settings,
             "%s, context %" PRIu64 ", start token %" PRId32 ", %" PRIu64 " sequences at once, text %08" PRIx32
             ", %s, outlier %g, tokens %" PRIu64 ", shard rows %" PRIu64,
             lm_name(lm), wanted->lm.context, lm_start(lm), wanted->lm.sequences, lm_text_checksum(text), cli_dtype_name(collector.dtype),
             wanted->outlier, wanted->tokens, wanted->shard_rows);
    status = lm_rows_open(&wanted->lm, lm, text, &collector.rows);
    if (status)
        return cli_exit_status(status);
    int exit_status = run_lock(wanted->out, &lock);
    if (exit_status == CLI_DONE)
        exit_status = go_on(&collector, lm);
    run_unlock(wanted->out, &lock);
    if (collector.lines_file)
        free(hsae_os_text_close(&collector.lines));
    lm_rows_close(collector.rows);
    free(collector.shard);
    free(collector.widened);
    return exit_status;
}
