/* SPDX-License-Identifier: MIT */
/* The tree of an exported model: files beside the folders of its levels. */
#ifndef HSAE_SRC_TREE_FILE_H
#define HSAE_SRC_TREE_FILE_H

#include "model.h"

#define HSAE_TREE_TENSORS "tree.safetensors"
#define HSAE_TREE_JSON    "tree.json"

/* Writes both files to `folder`. */
hsae_status hsae_tree_write(const hsae_context *context, const hsae_model *model, const char *folder);
/* Parents from folder/tree.safetensors, if there is one and it is of a model of these levels (else a warning); all -1 otherwise. */
hsae_status hsae_tree_read(const hsae_context *context, hsae_model *model, const char *folder);
/* No feature has a parent. */
void hsae_tree_clear(hsae_model *model);

#endif
