/* SAEs in the files of other tools: found, checked, read piece by piece. */
#ifndef HSAE_SRC_FOREIGN_H
#define HSAE_SRC_FOREIGN_H

#include "model.h"

enum foreign_tensor { FOREIGN_W_ENC, FOREIGN_B_ENC, FOREIGN_W_DEC, FOREIGN_B_DEC, FOREIGN_THRESHOLD, FOREIGN_TENSORS };

/* One SAE, its files open and its shapes checked. */
struct foreign {
    const hsae_context *context;
    char path[4096];                  /* of the weights */
    char parent[4096];                /* the folder in which its folder lies */
    uint32_t features, dim;           /* n, d */
    bool subtracts;                   /* the decoder's bias is taken from the input */
    bool rectifies;                   /* activations are max(p, 0) where p > threshold, else p */
    struct hsae_safetensors *tensors; /* SAELens */
    struct hsae_npz *arrays;          /* or Gemma Scope */
};

/* A folder of SAELens, a params.npz or its folder. *out is zeroed by the caller and to be closed also after a failure. */
hsae_status hsae_foreign_open(const hsae_context *context, const char *path, struct foreign *out);
void hsae_foreign_close(struct foreign *foreign);
/* Whether hsae_foreign_open would find an SAE there. */
bool hsae_foreign_is(const char *path);

/* All values of a tensor, in order: `take` gets them in pieces of whole rows (along the last dimension), checked to be finite. */
typedef void (*hsae_foreign_fn)(void *user, uint64_t first_row, uint64_t rows, const float *values);
hsae_status hsae_foreign_read(const struct foreign *foreign, enum foreign_tensor which, hsae_foreign_fn take, void *user);

#endif
