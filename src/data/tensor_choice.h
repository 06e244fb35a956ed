/* SPDX-License-Identifier: MIT */
/* Which tensor of a safetensors file holds its activation vectors. */
#ifndef HSAE_SRC_TENSOR_CHOICE_H
#define HSAE_SRC_TENSOR_CHOICE_H

#include "safetensors.h"
#include <hsae/data.h>

/* The tensor `name`, or, where `name` is NULL, the only one that can hold vectors: F32, F16 or BF16 of 2 or 3 dimensions (one without
 * elements counts where there is no other). ERROR_FORMAT: it
 * is not there, or is not of that kind, or several are. `path` is for messages. */
hsae_status hsae_choose_tensor(const hsae_context *context, const char *path, const struct hsae_safetensors *file, const char *name,
                               const struct hsae_tensor **out, hsae_dtype *dtype);

/* What the file is if hsae itself wrote it and it holds no activations: "a model or checkpoint of hsae". NULL: unknown. */
const char *hsae_own_file(const struct hsae_safetensors *file);

#endif
