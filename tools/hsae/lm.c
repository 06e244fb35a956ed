/* SPDX-License-Identifier: MIT */
/* libllama's part of it: a tensor of the graph, read by the callback that sees each one computed. */
#include "lm.h"

#include <ggml-backend.h>
#include <gguf.h>
#include <inttypes.h>
#include <llama.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct lm {
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    struct llama_batch batch;
    uint32_t sequences, length; /* most */
    int32_t start;
    char wanted[64], name[512];
    bool all_outputs;              /* the last layer computes the tokens only whose outputs are wanted */
    char copy[4096], folder[4096]; /* with --f32: of the model; "": none, or it is removed already */

    /* Of a run in progress. */
    uint32_t dim; /* 0: not known yet */
    float *rows;
    bool found;
    char problem[160];
    char seen[1600]; /* tensors of the layer, until `wanted` is found */
};

/* ---- libllama's messages ---- */

static char first_error[512]; /* since it was emptied: the cause; those after it say what failed because of it */

static void on_log(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR && text && !*first_error)
        snprintf(first_error, sizeof first_error, "%.*s", (int)strcspn(text, "\n"), text);
    if (cli_verbose == CLI_VERBOSE && level >= GGML_LOG_LEVEL_WARN)
        fputs(text, stderr);
}

static hsae_status fail(const char *gguf, const char *what)
{
    cli_error("%s: libllama %s%s%s", gguf, what, *first_error ? ": " : "", first_error);
    return HSAE_ERROR_FORMAT;
}

/* ---- the callback ---- */

/* "14" of "l_out-14"; NULL: it ends in no number. */
static const char *layer_of(const char *name)
{
    const char *dash = strrchr(name, '-');
    return dash && dash[1] && dash[1 + strspn(dash + 1, "0123456789")] == '\0' ? dash + 1 : NULL;
}

static void remember(struct lm *lm, const char *name)
{
    const char *wanted = layer_of(lm->wanted), *layer = layer_of(name);
    size_t used = strlen(lm->seen);
    char word[80];
    snprintf(word, sizeof word, "%s ", name);
    if (!layer != !wanted || (layer && strcmp(layer, wanted) != 0) || strpbrk(name, " (") || strncmp(name, "node_", 5) == 0 || !*name)
        return;
    if (!strstr(lm->seen, word) && used + strlen(word) < sizeof lm->seen)
        memcpy(lm->seen + used, word, strlen(word) + 1);
}

/* The first `ask` of each tensor says whether it is wanted; then it is here, and false ends the graph. */
static bool on_tensor(struct ggml_tensor *tensor, bool ask, void *user)
{
    struct lm *lm = user;
    bool wanted = strcmp(tensor->name, lm->wanted) == 0;
    if (ask) {
        if (!lm->dim)
            remember(lm, tensor->name);
        return wanted && !lm->found;
    }
    if (!wanted)
        return true;
    lm->found = true;
    const int64_t *shape = tensor->ne;
    if (tensor->type != GGML_TYPE_F32 || shape[1] != lm->batch.n_tokens || shape[2] != 1 || shape[3] != 1 || !ggml_is_contiguous(tensor) ||
        (lm->dim && shape[0] != lm->dim))
        snprintf(lm->problem, sizeof lm->problem,
                 "is %s [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "] for %" PRId32 " tokens, not one float vector for each",
                 ggml_type_name(tensor->type), shape[0], shape[1], shape[2], shape[3], lm->batch.n_tokens);
    else if (lm->rows)
        ggml_backend_tensor_get(tensor, lm->rows, 0, ggml_nbytes(tensor));
    else
        lm->dim = (uint32_t)shape[0];
    return false;
}

static bool on_abort(void *user)
{
    (void)user;
    return cli_signal() != 0;
}

/* ---- loading ---- */

/* Says that a model is quantised. ERROR_FORMAT: no GGUF file. */
static hsae_status look_at(const struct lm_options *options)
{
    size_t quantised = 0;
    const char *type = "";
    *first_error = '\0';
    struct gguf_context *gguf = gguf_init_from_file(options->gguf, (struct gguf_init_params){.no_alloc = true});
    if (!gguf)
        return fail(options->gguf, "finds no GGUF file");
    int64_t count = gguf_get_n_tensors(gguf);
    for (int64_t i = 0; i < count; i++)
        if (ggml_is_quantized(gguf_get_tensor_type(gguf, i)))
            quantised++, type = ggml_type_name(gguf_get_tensor_type(gguf, i));
    gguf_free(gguf);
    if (quantised && !options->f32)
        cli_warning("%s is quantised (%zu of %" PRId64
                    " tensors, %s): libllama rounds activations, too, so its rows are 1 to 2 %% off those "
                    "of the same weights in float32; --f32 computes these",
                    options->gguf, quantised, count, type);
    return HSAE_OK;
}

static void remove_copy(struct lm *lm)
{
    if (*lm->copy && hsae_os_remove(lm->copy) == 0)
        *lm->copy = '\0';
    if (*lm->folder && !*lm->copy && hsae_os_remove_folder(lm->folder) == 0)
        *lm->folder = '\0';
}

/* All tensors as float32, in a file of its own. */
static hsae_status dequantise(struct lm *lm, const struct lm_options *options)
{
    struct llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = LLAMA_FTYPE_ALL_F32;
    params.allow_requantize = true;
    params.nthread = (int32_t)options->threads;
    if (hsae_os_temporary_folder(lm->folder, sizeof lm->folder - 16)) {
        cli_file_error("make", lm->folder);
        *lm->folder = '\0';
        return HSAE_ERROR_FILE;
    }
    snprintf(lm->copy, sizeof lm->copy, "%.4000s/f32.gguf", lm->folder);
    cli_note("%s: its weights as float32 to %s", options->gguf, lm->copy);
    if (llama_model_quantize(options->gguf, lm->copy, &params) == 0)
        return HSAE_OK;
    return fail(options->gguf, "cannot write its weights as float32 (they take 4 bytes each in $TMPDIR)");
}

static hsae_status load(struct lm *lm, const struct lm_options *options)
{
    ggml_backend_dev_t none[] = {NULL};
    struct llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = options->gpu ? 999 : 0;
    params.devices = options->gpu ? NULL : none;
    *first_error = '\0';
    lm->model = llama_model_load_from_file(*lm->copy ? lm->copy : options->gguf, params);
    remove_copy(lm); /* where the system lets it be read all the same */
    if (!lm->model)
        return fail(options->gguf, "cannot load it");
    if (llama_model_has_encoder(lm->model))
        return fail(options->gguf, "has an encoder for it; only models of decoders are read");
    lm->vocab = llama_model_get_vocab(lm->model);
    if ((uint64_t)llama_model_n_ctx_train(lm->model) < lm->length) {
        cli_error("--context %" PRIu32 ": %s was trained with at most %" PRId32 " tokens", lm->length, options->gguf,
                  llama_model_n_ctx_train(lm->model));
        return HSAE_ERROR_CONFIG;
    }
    return HSAE_OK;
}

/* No state is kept from one run to the next; keys and values are float32 meanwhile. */
static hsae_status make_context(struct lm *lm, const struct lm_options *options)
{
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = lm->length * lm->sequences;
    params.n_seq_max = lm->sequences;
    params.n_threads = params.n_threads_batch = options->threads ? (int32_t)options->threads : (int32_t)hsae_os_processors();
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.op_offload = options->gpu;
    params.no_perf = true;
    params.cb_eval = on_tensor;
    params.cb_eval_user_data = lm;
    params.abort_callback = on_abort;
    lm->context = llama_init_from_model(lm->model, params);
    if (!lm->context)
        return fail(options->gguf, "makes no context; fewer --sequences or a shorter --context take less memory");
    lm->batch = llama_batch_init((int32_t)(lm->length * lm->sequences), 0, 1);
    return HSAE_OK;
}

/* What the tokenizer puts first, else the token that the model has for it. */
static hsae_status find_start(struct lm *lm, const char *bos)
{
    lm->start = -1;
    if (!bos || strcmp(bos, "auto") == 0) {
        lm->start = llama_vocab_bos(lm->vocab); /* -1, if there is none */
        return HSAE_OK;
    }
    llama_token tokens[2];
    if (strcmp(bos, "none") == 0)
        return HSAE_OK;
    if (llama_tokenize(lm->vocab, bos, (int32_t)strlen(bos), tokens, 2, false, true) != 1) {
        cli_error("--bos %s: the model has no such token", bos);
        return HSAE_ERROR_CONFIG;
    }
    lm->start = tokens[0];
    return HSAE_OK;
}

static hsae_status choose_tensor(struct lm *lm, const struct lm_options *options)
{
    int32_t layers = llama_model_n_layer(lm->model);
    if (options->activation)
        snprintf(lm->wanted, sizeof lm->wanted, "%s", options->activation);
    else
        snprintf(lm->wanted, sizeof lm->wanted, "l_out-%" PRIu64, options->layer);
    const char *layer = layer_of(lm->wanted);
    if (layer && strtoll(layer, NULL, 10) >= layers) {
        cli_error("%s: %s has layers 0 to %" PRId32, lm->wanted, options->gguf, layers - 1);
        return HSAE_ERROR_CONFIG;
    }
    lm->all_outputs = !layer || strtoll(layer, NULL, 10) == layers - 1;
    return HSAE_OK;
}

/* Runs a few tokens, and learns the width from them. */
static hsae_status find_tensor(struct lm *lm, const struct lm_options *options)
{
    int32_t tokens[4] = {0};
    uint32_t length = lm->length < 4 ? lm->length : 4;
    hsae_status status = lm_run(lm, tokens, 1, length, NULL);
    if (status == HSAE_OK && !lm->dim) {
        cli_error("%s: there is no tensor %s; those of %s: %s(--activation NAME)", options->gguf, lm->wanted,
                  layer_of(lm->wanted) ? "that layer" : "no layer", lm->seen);
        return HSAE_ERROR_CONFIG;
    }
    return status;
}

hsae_status lm_open(const struct lm_options *options, struct lm **out)
{
    hsae_status status = HSAE_OK;
    struct lm *lm = *out = calloc(1, sizeof *lm);
    if (!lm) {
        cli_out_of_memory();
        return HSAE_ERROR_MEMORY;
    }
    lm->length = (uint32_t)options->context;
    lm->sequences = (uint32_t)options->sequences;
    llama_log_set(on_log, NULL);
    llama_backend_init();
    if (ggml_backend_reg_count() == 0) /* backends that are libraries of their own */
        ggml_backend_load_all();
    if (options->gpu && !llama_supports_gpu_offload()) {
        cli_error("--gpu: this libllama has no backend of a GPU, or finds none");
        return HSAE_ERROR_NO_DEVICE;
    }
    status = look_at(options);
    if (!status && options->f32)
        status = dequantise(lm, options);
    if (!status)
        status = load(lm, options);
    if (!status)
        status = choose_tensor(lm, options);
    if (!status)
        status = find_start(lm, options->bos);
    if (!status)
        status = make_context(lm, options);
    if (!status)
        status = find_tensor(lm, options);
    if (!status)
        snprintf(lm->name, sizeof lm->name, "%.200s (%" PRIu64 " bytes%s%s) %s", hsae_os_file_name(options->gguf),
                 llama_model_size(lm->model), options->f32 ? ", f32" : "", options->gpu ? ", gpu" : "", lm->wanted);
    return status;
}

void lm_close(struct lm *lm)
{
    if (!lm)
        return;
    if (lm->context) {
        llama_batch_free(lm->batch);
        llama_free(lm->context);
    }
    if (lm->model)
        llama_model_free(lm->model);
    llama_backend_free();
    remove_copy(lm);
    free(lm);
}

uint32_t lm_dim(const struct lm *lm)
{
    return lm->dim;
}

const char *lm_name(const struct lm *lm)
{
    return lm->name;
}

int32_t lm_start(const struct lm *lm)
{
    return lm->start;
}

/* ---- tokens ---- */

hsae_status lm_tokenize(const struct lm *lm, const char *text, size_t size, int32_t **tokens, size_t *count)
{
    int32_t most = size < INT32_MAX - 16 ? (int32_t)size + 16 : 0, found = -1;
    *tokens = most ? malloc((size_t)most * sizeof **tokens) : NULL;
    *count = 0;
    if (*tokens)
        found = llama_tokenize(lm->vocab, text, (int32_t)size, *tokens, most, false, false);
    if (found < 0) {
        cli_error("a text of %zu bytes cannot be cut into tokens: it is too long; make several of it", size);
        return HSAE_ERROR_DATA;
    }
    *count = (size_t)found;
    return HSAE_OK;
}

void lm_token_text(const struct lm *lm, int32_t token, char *text, size_t size)
{
    int32_t length = llama_token_to_piece(lm->vocab, token, text, (int32_t)size - 1, 0, true);
    text[length > 0 ? length : 0] = '\0';
}

/* ---- running ---- */

hsae_status lm_run(struct lm *lm, const int32_t *tokens, uint32_t sequences, uint32_t length, float *rows)
{
    struct llama_batch *batch = &lm->batch;
    batch->n_tokens = (int32_t)(sequences * length);
    for (int32_t i = 0; i < batch->n_tokens; i++) {
        batch->token[i] = tokens[i];
        batch->pos[i] = i % (int32_t)length;
        batch->n_seq_id[i] = 1;
        batch->seq_id[i][0] = i / (int32_t)length;
        batch->logits[i] = lm->all_outputs;
    }
    llama_memory_t memory = llama_get_memory(lm->context);
    if (memory)
        llama_memory_clear(memory, false);
    lm->rows = rows;
    lm->found = false;
    *lm->problem = *first_error = '\0';
    int32_t result = llama_decode(lm->context, *batch);
    if (cli_signal())
        return HSAE_CANCELLED;
    if (result != 0 && !lm->found) {
        cli_error("libllama cannot run the model on %" PRId32 " tokens (%" PRId32 ")%s%s", batch->n_tokens, result,
                  *first_error ? ": " : "", first_error);
        return HSAE_ERROR_DATA;
    }
    if (*lm->problem || (rows && !lm->found)) {
        cli_error("%s %s", lm->wanted, *lm->problem ? lm->problem : "was not computed");
        return HSAE_ERROR_CONFIG;
    }
    return HSAE_OK;
}

void lm_convert(const float *values, size_t count, hsae_dtype dtype, void *out)
{
    if (dtype == HSAE_DTYPE_F16)
        ggml_fp32_to_fp16_row(values, out, (int64_t)count);
    else if (dtype == HSAE_DTYPE_BF16)
        ggml_fp32_to_bf16_row(values, out, (int64_t)count);
    else
        memcpy(out, values, count * sizeof *values);
}

void lm_widen(const void *numbers, size_t count, hsae_dtype dtype, float *out)
{
    if (dtype == HSAE_DTYPE_F16)
        ggml_fp16_to_fp32_row(numbers, out, (int64_t)count);
    else if (dtype == HSAE_DTYPE_BF16)
        ggml_bf16_to_fp32_row(numbers, out, (int64_t)count);
    else
        memcpy(out, numbers, count * sizeof *out);
}
