/* SPDX-License-Identifier: MIT */
/* Reads SAEs in the files of other tools: finds them, checks them, reads them piece by piece. */
#ifndef HSAE_SRC_FOREIGN_H
#define HSAE_SRC_FOREIGN_H

#include "model.h"

#include <jansson.h>

/* W_ENC and W_DEC are matrices, the others vectors. SCALING: one factor for each row of W_DEC. */
enum foreign_tensor { FOREIGN_W_ENC, FOREIGN_B_ENC, FOREIGN_W_DEC, FOREIGN_B_DEC, FOREIGN_THRESHOLD, FOREIGN_SCALING, FOREIGN_TENSORS };

/* One SAE, its files open and its shapes checked. What it computes of an activation vector x, after the factors below are applied:
 * p = W_enc x + b_enc (or W_enc (x - b_dec) + b_enc), a = p where p > threshold, else 0, and W_dec a + b_dec. */
struct foreign {
    const hsae_context *context;
    char path[4096];                    /* of the weights */
    char parent[4096];                  /* the folder that holds its folder */
    char place[512];                    /* of the activations, by its configuration: "model, hook"; "": unknown */
    const char *names[FOREIGN_TENSORS]; /* in the file; NULL: the SAE has no such tensor */
    uint32_t features, dim;             /* n, d */
    bool by_feature;                    /* the encoder is [n, d] and the decoder [d, n]; else the other way round */
    bool subtracts;                     /* the decoder's bias is taken from the input */
    bool rectifies;                     /* activations are max(p, 0) where p > threshold, else p */
    bool of_unit_rows;                  /* thresholds are meant for decoder rows of norm 1 */
    double threshold;                   /* of all features, where there is no tensor */
    double b_enc_factor, w_dec_factor, b_dec_factor;
    struct hsae_safetensors *tensors; /* safetensors */
    struct hsae_npz *arrays;          /* or npz */
};

/* The folder or file of an SAE: exchange.h lists them. *out is zeroed by the caller and to be closed also after a failure. */
hsae_status hsae_foreign_open(const hsae_context *context, const char *path, struct foreign *out);
void hsae_foreign_close(struct foreign *foreign);
/* Whether hsae_foreign_open would find an SAE there. */
bool hsae_foreign_is(const char *path);

/* All values of a tensor, in order: `take` gets them in pieces of whole rows (along the last dimension), checked to be finite. */
typedef void (*hsae_foreign_fn)(void *user, uint64_t first_row, uint64_t rows, const float *values);
hsae_status hsae_foreign_read(const struct foreign *foreign, enum foreign_tensor which, hsae_foreign_fn take, void *user);

/* ---- foreign_formats.c: what the configurations of the tools say ---- */

/* Read the configurations of SAELens (cfg.json), Gemma Scope 2 (config.json) and Llama Scope (hyperparams.json), and set the fields that
 * say how the SAE computes. ERROR_FORMAT names what cannot be represented. `path` is for messages; `sparsify`: sparsify's weights are
 * beside it. */
hsae_status hsae_foreign_saelens(struct foreign *foreign, const char *path, const json_t *cfg, bool sparsify);
hsae_status hsae_foreign_gemma_scope_2(struct foreign *foreign, const char *path, const json_t *cfg);
hsae_status hsae_foreign_llama_scope(struct foreign *foreign, const char *path, const json_t *cfg);

#endif
