/* SPDX-License-Identifier: MIT */
/* Whether a launch is allowed: arguments, limits, bindings. Messages name the kernel and the sequence. */
#ifndef HSAE_SRC_CHECK_LAUNCH_H
#define HSAE_SRC_CHECK_LAUNCH_H

#include "backend.h"

hsae_status hsae_check_launch(const struct hsae_sequence_base *sequence, const struct hsae_launch *launch);
hsae_status hsae_check_gemm(const struct hsae_sequence_base *sequence, const struct hsae_gemm *product);

#endif
