/* SPDX-License-Identifier: MIT */
/* The folder that keeps the rows of a source (stream.h): one file for each block. */
#ifndef HSAE_SRC_SOURCE_FOLDER_H
#define HSAE_SRC_SOURCE_FOLDER_H

#include <hsae/stream.h>

/* Makes it and the folders above it. ERROR_FILE. */
hsae_status hsae_source_folder_make(const hsae_context *context, const char *folder);
/* The rows of a block, of the size that `params` says, to `raw`; *count is 0 where the folder does not have it. ERROR_CONFIG: the file is
 * of another source or buffer. ERROR_FILE, ERROR_FORMAT. */
hsae_status hsae_source_folder_read(const hsae_context *context, const hsae_source_params *params, uint64_t block, unsigned char *raw,
                                    uint64_t *count);
hsae_status hsae_source_folder_write(const hsae_context *context, const hsae_source_params *params, uint64_t block,
                                     const unsigned char *raw, uint64_t count);

#endif
