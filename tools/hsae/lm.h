/* SPDX-License-Identifier: MIT */
/* Activations of a language model in a GGUF file, by llama.cpp's libllama (https://github.com/ggml-org/llama.cpp). Only lm.c includes its
 * headers. A build without it has lm_none.c in the place of the other lm_*.c. Functions that return a status have said why. */
#ifndef HSAE_TOOLS_LM_H
#define HSAE_TOOLS_LM_H

#include "train_stream.h"

/* As given: LM_OPTIONS of commands.h. */
struct lm_options {
    const char *gguf, *activation, *bos;
    struct cli_paths text;
    uint64_t layer; /* UINT64_MAX: not given */
    uint64_t context, sequences;
    uint64_t threads; /* 0: as many as there are processors */
    bool gpu, f32;
};
#define LM_OPTIONS_DEFAULT                                   \
    {                                                        \
        .layer = UINT64_MAX, .context = 128, .sequences = 16 \
    }

/* Why the options cannot be used; NULL: they can. */
const char *lm_options_problem(const struct lm_options *options);

/* ---- what hsae train and hsae collect call ---- */

/* Fills params, but for folder and buffer, and identity. `dtype` NULL: f16. */
hsae_status lm_stream_open(const struct lm_options *options, const char *dtype, struct train_stream *stream);

/* What hsae collect is to do. */
struct lm_collection {
    struct lm_options lm;
    const char *out, *dtype;
    uint64_t tokens, shard_rows; /* 0: all, the default */
    double outlier;              /* times the median norm; 0: all rows are kept */
    bool json;
};
/* The exit status. */
int lm_collect(hsae_context *context, const struct lm_collection *collection);

/* ---- the model (lm.c) ---- */

struct lm;
/* Loads it and finds the tensor, for which it runs a few tokens. */
hsae_status lm_open(const struct lm_options *options, struct lm **out);
void lm_close(struct lm *lm);
/* Width of the tensor. */
uint32_t lm_dim(const struct lm *lm);
/* "SmolLM2-135M.gguf l_out-14": what it computes, for an identity. */
const char *lm_name(const struct lm *lm);
/* The token that begins each sequence; -1: none does. */
int32_t lm_start(const struct lm *lm);
/* The tokens of a text, without a start token; free(*tokens). */
hsae_status lm_tokenize(const struct lm *lm, const char *text, size_t size, int32_t **tokens, size_t *count);
/* The text of a token, at most `size` bytes with the 0; it may be a part of a character. */
void lm_token_text(const struct lm *lm, int32_t token, char *text, size_t size);
/* Activations of `sequences` sequences of `length` tokens each to rows [sequences, length, dim]. At most as many as the options say.
 * CANCELLED: a signal came. */
hsae_status lm_run(struct lm *lm, const int32_t *tokens, uint32_t sequences, uint32_t length, float *rows);
/* Numbers to the type, rounded to nearest. */
void lm_convert(const float *values, size_t count, hsae_dtype dtype, void *out);
/* And back. */
void lm_widen(const void *numbers, size_t count, hsae_dtype dtype, float *out);

/* ---- text (lm_text.c) ---- */

struct lm_text;
/* Finds the files: .txt, a document each, and .jsonl, one a line, its "text"; in folders by name, with those inside. */
hsae_status lm_text_open(const struct cli_paths *paths, struct lm_text **out);
void lm_text_close(struct lm_text *text);
void lm_text_rewind(struct lm_text *text);
/* The next document that is not blank, valid until the next call; *document NULL: there is none. */
hsae_status lm_text_next(struct lm_text *text, const char **document, size_t *size);
/* Name of the file that the document is from. */
const char *lm_text_file(const struct lm_text *text);
/* A checksum of names, sizes and beginnings of the files. */
uint32_t lm_text_checksum(const struct lm_text *text);

/* ---- sequences in batches, and their rows (lm_rows.c) ---- */

struct lm_rows;
/* Takes both, also when it fails. */
hsae_status lm_rows_open(const struct lm_options *options, struct lm *lm, struct lm_text *text, struct lm_rows **out);
void lm_rows_close(struct lm_rows *rows);
void lm_rows_rewind(struct lm_rows *rows);
struct lm_sequence {
    const int32_t *tokens; /* the start token first, if there is one */
    const float *values;   /* [length, dim]; once the batch was computed */
    uint32_t length;
    char source[64]; /* name of the file */
};
struct lm_batch {
    const struct lm_sequence *sequences;
    uint32_t count; /* 0: the text has ended */
    uint32_t start; /* start tokens of each */
};
/* The next sequences, valid until the next call. */
hsae_status lm_rows_next(struct lm_rows *rows, struct lm_batch *batch);
hsae_status lm_rows_compute(struct lm_rows *rows);

#endif
