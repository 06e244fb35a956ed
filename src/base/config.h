/* SPDX-License-Identifier: MIT */
/* Functions of configurations for the reader and the writer of models; not public. */
#ifndef HSAE_SRC_CONFIG_H
#define HSAE_SRC_CONFIG_H

#include <hsae/config.h>

/* Checks every key's range and how keys fit together, automatic values allowed. `origin` names the source in messages. ERROR_CONFIG. */
hsae_status hsae_config_check(const hsae_context *context, const hsae_config *config, const char *origin);

#endif
