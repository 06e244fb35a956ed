/* SPDX-License-Identifier: MIT */
/* Order of the data: which row of the data set is sample number s of the endless stream (a permutation of all rows in each epoch).
 * Computed, not stored: any position can be resumed, whatever the size of the data set. */
#ifndef HSAE_SRC_ORDER_H
#define HSAE_SRC_ORDER_H

#include <hsae/config.h>

/* Philox4x32-10 (Salmon et al., SC'11): the four output words for a 64-bit key (low word first) and a counter. */
void hsae_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4]);

uint64_t hsae_order_row(hsae_order order, uint64_t seed, uint64_t sample, uint64_t rows);

#endif
